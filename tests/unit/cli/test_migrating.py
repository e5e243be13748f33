"""`migrate` makes and upgrades; `migrate --check` only looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_watcher.catalog.schema import REVISIONS
from tests.support.catalog import opened
from tests.unit.cli.conftest import Invoke


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/new/catalog.sqlite3"


def test_a_look_at_a_missing_catalog_makes_none(invoke: Invoke, url: str, tmp_path: Path) -> None:
    result = invoke("migrate", "--check", "--database-url", url)
    assert result.exit_code == 1
    assert "is not made yet" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_older_catalog_is_told_by_a_look(
    invoke: Invoke, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(url):
        pass
    monkeypatch.setattr("file_watcher.catalog.schema.REVISIONS", (*REVISIONS, "9999"))
    result = invoke("migrate", "--check", "--database-url", url)
    assert result.exit_code == 1
    assert "is older than this version" in result.stderr


def test_a_newer_catalog_is_left_alone(invoke: Invoke, url: str) -> None:
    with opened(url) as database, database.writing() as connection:
        connection.exec_driver_sql("UPDATE fw_alembic_version SET version_num = '9999'")
    looked, tried = (invoke("migrate", *check, "--database-url", url) for check in (["--check"], []))
    assert (looked.exit_code, tried.exit_code) == (1, 2)
    assert "is newer than this version knows" in looked.stderr
    assert "Install that version again" in tried.stderr


def test_a_folder_that_cannot_be_made_is_told_in_one_line(invoke: Invoke) -> None:
    result = invoke("migrate", "--database-url", "sqlite:////proc/nothing/catalog.sqlite3")
    assert result.exit_code == 2
    assert result.stderr.startswith("file_watcher: The state folder '/proc/nothing' cannot be written to")
    assert result.stderr.count("\n") == 1
