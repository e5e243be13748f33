from __future__ import annotations

from pathlib import Path

import pytest

from file_watcher.embedding.errors import WatcherError
from file_watcher.embedding.place import CatalogPlace


def test_without_a_name_the_catalog_has_a_folder_that_goes_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = CatalogPlace(None)
    catalog = place.open()
    assert place.open() == catalog
    assert catalog.parent.parent == tmp_path
    assert catalog.parent.stat().st_mode & 0o777 == 0o700
    catalog.write_text("catalog")
    place.close()
    place.close()
    assert list(tmp_path.iterdir()) == []


def test_a_named_catalog_stays(tmp_path: Path) -> None:
    place = CatalogPlace(tmp_path / "catalog.db")
    assert place.open() == tmp_path / "catalog.db"
    (tmp_path / "catalog.db").write_text("catalog")
    place.close()
    assert (tmp_path / "catalog.db").exists()


def test_a_catalog_in_a_watched_folder_is_refused(tmp_path: Path) -> None:
    place = CatalogPlace(tmp_path / "below" / "catalog.db")
    place.check([tmp_path / "other"])
    with pytest.raises(WatcherError, match="put the catalog elsewhere"):
        place.check([tmp_path / "other", tmp_path])


def test_no_room_for_temporary_files_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(WatcherError, match="name a file with catalog=") as caught:
        CatalogPlace(None).open()
    assert isinstance(caught.value.__cause__, FileNotFoundError)
