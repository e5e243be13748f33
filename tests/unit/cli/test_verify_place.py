"""Where a verification stands: written down whole, read back equal, and apart from others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from file_watcher.cli.verify_place import Place, PlaceFile, PlaceNotKept

PLACE = Place(3, b"/m/\xff\n", 10**13, 1.5, Counter({"intact": 5}), [{"path": "/m/x", "verdict": "corrupt"}])


def test_a_place_is_read_back_as_it_was(tmp_path: Path) -> None:
    file = PlaceFile(tmp_path / "state", "catalog", [1], [])
    assert file.load() is None
    file.save(PLACE)
    assert file.load() == PLACE
    file.save(Place(3, b"/m/z"))
    assert file.load() == Place(3, b"/m/z")
    assert len(list((tmp_path / "state").iterdir())) == 1
    file.remove()
    file.remove()
    assert file.load() is None


def test_other_questions_have_other_places(tmp_path: Path) -> None:
    PlaceFile(tmp_path, "catalog", [1, 2], []).save(PLACE)
    assert PlaceFile(tmp_path, "catalog", [2, 1], []).load() == PLACE
    for other in (("other", [1, 2], []), ("catalog", [1], []), ("catalog", [1, 2], [b"/m"])):
        assert PlaceFile(tmp_path, *other).load() is None


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"library_id": "x"}', b"\xff"])
def test_a_place_that_cannot_be_read_is_none(tmp_path: Path, content: bytes) -> None:
    file = PlaceFile(tmp_path, "catalog", [1], [])
    file.save(PLACE)
    (written,) = tmp_path.iterdir()
    written.write_bytes(content)
    assert file.load() is None


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(PlaceNotKept, match="cannot be kept in"):
        PlaceFile(tmp_path / "file", "catalog", [1], []).save(PLACE)
