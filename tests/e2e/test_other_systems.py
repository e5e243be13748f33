"""Where there is no inotify and no lease: the service as it runs on macOS and Windows, as far as Linux can show it.

The process takes itself for one there (`tests.support.other_system`): what is Linux's alone is missing, hints come from
watchdog's own observer, and scans make up for what it does not tell.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.support.consumer import Consumer
from tests.support.service import ServiceProcess, disk, running


class ServiceElsewhere(ServiceProcess):
    """The service in a process that looks like another system."""

    system = ""

    def command_line(self) -> list[str]:
        return [sys.executable, "-m", "tests.support.other_system", self.system, "file_watcher", "run"]


def spelled(path: bytes, system: str) -> bytes:
    return path.replace(b"/", b"\\") if system == "win32" else path


# What is missing on macOS is missing on Windows, too.
@pytest.mark.parametrize("system", ["win32", pytest.param("darwin", marks=pytest.mark.soak)])
def test_a_consumer_has_the_disk_where_hints_are_no_promise(
    tmp_path: Path, broker_url: str, exchange: str, system: str
) -> None:
    library = tmp_path / "library"
    album = library / "album"
    album.mkdir(parents=True)
    for number in range(5):
        (album / f"{number}.json").write_text(f"{number}")
    consumer = Consumer(broker_url, exchange)
    consumer.subscribe()
    settings = {"FILE_WATCH_PATTERNS": "*.json", "FILE_WATCH_LOSS_GUARD": "off"}
    service = ServiceElsewhere(tmp_path, library, broker_url, exchange, **settings)
    service.system = system
    with running(service):
        service.sync()
        (album / "0.json").write_text("new")
        (album / "1.json").rename(library / "moved.json")
        (album / "2.json").unlink()
        (library / "late.json").write_text("late")
        service.sync()
        album.rename(library / "other")
        shutil.copytree(library / "other", library / "copy")
        (library / "other" / "3.json").unlink()
        service.sync()
        shutil.rmtree(library / "copy")
        service.sync()
    consumer.drain()
    expected = {spelled(path, system): hashes for path, hashes in disk(library, suffixes=(".json",)).items()}
    assert consumer.mirror.files == expected
    assert consumer.mirror.problems == []
    kinds = {event.kind for event in consumer.events()}
    assert {"created", "modified", "deleted", "moved"} <= kinds
