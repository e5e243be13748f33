from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.benchmarks.catalogued import write_catalog
from tests.benchmarks.corpus import plain_library
from tests.benchmarks.subject import Subject, measured
from tests.benchmarks.trust import Untrue
from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for

FILES = 4


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    """A catalog of four files of which nothing was told yet; its service never runs."""
    root = tmp_path / "library"
    root.mkdir()
    service = ServiceProcess(tmp_path, root, "amqp://localhost", "exchange")
    made = Subject(service, root, "exchange", tmp_path / "catalog.sqlite3", lambda: 0)
    write_catalog(made.url, os.fsencode(root), plain_library(root, 2, FILES // 2))
    return made


def tell(subject: Subject, *kinds: str, published_ns: int | None = 7, times: int = 1) -> None:
    """Record messages of these kinds about every file of the catalog."""
    with closing(sqlite3.connect(subject.catalog)) as connection, connection:
        for number in range(times):
            for kind in kinds:
                connection.execute(
                    "INSERT INTO fw_events (event_id, library_id, event_type, routing_key, path, path_text, "
                    "created_ns, published_ns, body) SELECT ? || id, library_id, ?, ?, path, path_text, 1, ?, '' "
                    "FROM fw_files",
                    (f"{kind}-{number}-", kind, f"file.{kind}", published_ns),
                )


def change(subject: Subject, values: str) -> None:
    with closing(sqlite3.connect(subject.catalog)) as connection, connection:
        connection.execute(f"UPDATE fw_files SET {values} WHERE id = (SELECT min(id) FROM fw_files)")


def test_one_message_for_each_file_is_an_import(subject: Subject) -> None:
    tell(subject, "created", "library.scanned")

    subject.require_imported(FILES, tagged=False)
    assert subject.confirmed() == FILES


def test_before_the_service_has_made_its_catalog_nothing_is_confirmed(subject: Subject) -> None:
    subject.catalog.unlink()

    assert subject.confirmed() == 0


@pytest.mark.parametrize("files", [FILES - 1, FILES + 1])
def test_another_number_of_files_is_no_import(subject: Subject, files: int) -> None:
    tell(subject, "created")

    with pytest.raises(Untrue, match=f"{files} files: 4 messages about 4 paths"):
        subject.require_imported(files, tagged=False)


def test_files_that_were_told_twice_are_no_import(subject: Subject) -> None:
    tell(subject, "created", times=2)

    with pytest.raises(Untrue, match="4 files: 8 messages about 4 paths"):
        subject.require_imported(FILES, tagged=False)


def test_files_that_changed_meanwhile_are_no_import(subject: Subject) -> None:
    tell(subject, "created", "modified")

    with pytest.raises(Untrue, match="8 messages"):
        subject.require_imported(FILES, tagged=False)


def test_messages_without_a_confirm_are_no_import(subject: Subject) -> None:
    tell(subject, "created", published_ns=None)

    assert subject.confirmed() == 0
    with pytest.raises(Untrue, match="4 files"):
        subject.require_imported(FILES, tagged=False)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ("sha256 = NULL", "3 of 4 files have hashes"),
        ("""metadata = '{"error": "it is broken", "tags": {}}'""", "1 files were unreadable media"),
        ("""metadata = '{"tags": {"title": "Song"}}'""", "1 of 4 files have tags"),
    ],
)
def test_a_file_that_was_read_otherwise_than_meant_is_no_import(
    subject: Subject, values: str, complaint: str
) -> None:
    tell(subject, "created")
    change(subject, values)

    with pytest.raises(Untrue, match=complaint):
        subject.require_imported(FILES, tagged=False)


def test_an_import_of_music_without_tags_is_none(subject: Subject) -> None:
    tell(subject, "created")

    with pytest.raises(Untrue, match="0 of 4 files have tags"):
        subject.require_imported(FILES, tagged=True)


def test_a_service_that_never_ran_was_not_measured(subject: Subject) -> None:
    with pytest.raises(Untrue, match="never started"), measured(subject.service):
        pass


def test_a_service_that_ends_badly_was_not_measured(subject: Subject) -> None:
    script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done"
    subject.service.command_line = lambda: ["sh", "-c", script]  # type: ignore[method-assign]

    with pytest.raises(Untrue, match="the service ended with 3"):
        start_and_stop(subject.service)


def start_and_stop(service: ServiceProcess) -> None:
    with measured(service):
        service.start()
        wait_for(service.log.read_text, "the trap to stand")
