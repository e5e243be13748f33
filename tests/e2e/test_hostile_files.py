"""Whatever lies in a library, however broken or malicious: it is told truly or not at all, and harms nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.consumer import Consumer, path_of
from tests.support.faulty_disks import HousedService
from tests.support.hostile import Traps
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk, running
from tests.support.waiting import wait_for

_MAY_NOT_LEAVE = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What drives a terminal or reorders a line; only the line feed stands between lines."""
_CONSOLE_LINE = re.compile(
    r"\d\d:\d\d:\d\d (debug|info|warning|error|created|modified|library\.scanned) +\S.*"
)
TERABYTE = 1 << 40


class Listener(Consumer):
    """A consumer that knows the events of each path."""

    def told(self) -> dict[bytes, list[dict[str, Any]]]:
        """All events so far by path, in order."""
        self.drain()
        events: dict[bytes, list[dict[str, Any]]] = {}
        for event in self.events():
            path = path_of(event.body, "file_path")
            assert path is not None
            events.setdefault(path, []).append(event.body)
        return events

    def wait_until_told(self, *paths: Path, timeout: float = 30) -> None:
        """Wait for the first event about each."""
        wanted = set(map(os.fsencode, paths))
        wait_for(lambda: wanted <= self.told().keys(), f"{len(paths)} files to be told", timeout, every=0.1)


@pytest.fixture
def listener(rabbit: RabbitNode, exchange: str) -> Listener:
    listener = Listener(rabbit.url, exchange)
    listener.subscribe()
    return listener


@pytest.fixture
def service(tmp_path: Path, library: Path, rabbit: RabbitNode, exchange: str) -> HousedService:
    return HousedService(tmp_path, library, rabbit.url, exchange)


def check_created_once(events: list[dict[str, Any]], path: bytes) -> None:
    """One `created` with what the file truly holds, and with the exact name."""
    assert [event["event_type"] for event in events] == ["created"], path
    content = Path(os.fsdecode(path)).read_bytes()
    assert events[0]["sha256_hash"] == hashlib.sha256(content).hexdigest(), path
    assert events[0]["size"] == len(content)
    try:
        assert events[0]["file_path"] == path.decode()
        assert "file_path_base64" not in events[0]
    except UnicodeDecodeError:
        assert "\ufffd" in events[0]["file_path"]


def check_harmless(text: str) -> None:
    """No character in it does more than stand there."""
    found = _MAY_NOT_LEAVE.search(text)
    assert found is None, repr(text[max(0, found.start() - 80) : found.end() + 80])


def check_log(service: ServiceProcess) -> None:
    """No file name has forged a line, in whichever format."""
    text = service.log.read_bytes().decode()
    check_harmless(text)
    for line in text.removesuffix("\n").split("\n"):
        if service.environment["LOG_FORMAT"] == "json":
            assert {"event", "level", "timestamp"} <= json.loads(line).keys()
        else:
            assert _CONSOLE_LINE.fullmatch(line), line


def check_well(service: ServiceProcess) -> None:
    """Alive and ready, with nothing to complain about."""
    assert [service.ask(page)[0] for page in ("/healthz", "/readyz")] == [200, 200]


@pytest.mark.parametrize(
    ("log_format", "database", "follow"), [("json", "sqlite", False), ("console", "postgresql", True)]
)
def test_a_library_full_of_traps_is_told_truly(
    tmp_path: Path,
    listener: Listener,
    rabbit: RabbitNode,
    exchange: str,
    request: pytest.FixtureRequest,
    log_format: str,
    database: str,
    follow: bool,
) -> None:
    evil = "li\nbrary \x1b[31m\u202e".encode() + (b"" if follow else b"\xff")
    library, outside = tmp_path / os.fsdecode(evil), tmp_path / "outside"
    outside.mkdir()
    (outside / "not ours.mp3").write_bytes(b"secret")
    settings = {
        "LOG_FORMAT": log_format,
        "FILE_WATCH_FOLLOW_SYMLINKS": str(follow),
        "FILE_WATCH_POLL_INTERVAL": "1s",
    }
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    service = HousedService(tmp_path, library, rabbit.url, exchange, url, **settings)
    with Traps(library / "before") as before, Traps(library / "during") as during:
        before.lay(outside)
        with running(service):
            during.lay(outside)
            service.sync()
            events = listener.told()
            for traps in (before, during):
                for path in traps.told + (traps.linked if follow else []):
                    check_created_once(events.pop(path, []), path)
            assert events == {}, "these were told, and are not ours to tell"
            for command in (["scan"], ["check"] if follow else ["status", "--json"]):
                result = service.command(*command)
                check_harmless(result.stdout + result.stderr)
                expected = 1 if command == ["check"] else 0
                assert result.returncode == expected, (
                    "only `check` complains: of the folders that are too deep"
                )
            service.sync()
            assert [event.body for event in listener.drain() if event.routing_key.startswith("file.")] == []
            check_well(service)
    check_log(service)
    text = service.log.read_text()
    assert text.count("path_too_long") == 4, "a file and a folder, before and during, each once"
    assert "polled" not in text


def test_files_of_a_terabyte_hold_up_neither_the_others_nor_the_stop(
    library: Path, listener: Listener, service: HousedService
) -> None:
    early = [library / f"{letter}.mp3" for letter in "azm"]
    late = [library / "folder" / f"{letter}.mp3" for letter in "azm"]
    for song in early:
        song.write_bytes(bytes(song))
    huge = [library / f"huge {number}.mp3" for number in range(6)]
    for path in huge:
        path.touch()
        os.truncate(path, TERABYTE)
    service.start()
    try:
        listener.wait_until_told(*early)
        wait_for(lambda: sum(reads(service, path) for path in huge) == 3, "all threads but one to read them")
        (library / "folder").mkdir()
        for song in late:
            song.write_bytes(bytes(song))
        listener.wait_until_told(*late)
        assert service.ask("/healthz")[0] == 200
        early[0].unlink()
        wait_for(
            lambda: (
                [each["event_type"] for each in listener.told()[bytes(early[0])]] == ["created", "deleted"]
            ),
            "a deletion, which is older than no reading and waits for none",
        )
        assert sum(reads(service, path) for path in huge) == 3
    except BaseException:
        service.kill()
        raise
    began = time.monotonic()
    assert service.stop() == 0
    assert time.monotonic() - began < 5
    assert not {bytes(path) for path in huge} & listener.told().keys()


def reads(service: ServiceProcess, path: Path) -> bool:
    """Whether the service has the file open to hash it, beyond its first bytes."""
    assert service.process is not None
    folder = Path(f"/proc/{service.process.pid}")
    for descriptor in (folder / "fd").iterdir():
        try:
            if descriptor.readlink() == path:
                info = (folder / "fdinfo" / descriptor.name).read_text()
                return int(info.split()[1]) > 1 << 20
        except FileNotFoundError:  # closed meanwhile
            continue
    return False


def test_files_that_vanish_grow_shrink_or_are_replaced_while_they_are_hashed_are_told_as_they_are_then(
    library: Path, listener: Listener, service: HousedService
) -> None:
    gone, grown, shrunk, replaced = (library / f"{name}.mp3" for name in ("gone", "grown", "shrunk", "other"))
    service.environment["FILE_WATCH_SCAN_WORKERS"] = "5"
    with running(service):
        for path in (gone, grown, shrunk, replaced):
            path.touch()
            os.truncate(path, TERABYTE)
        wait_for(
            lambda: all(reads(service, each) for each in (gone, grown, shrunk, replaced)), "all to be read"
        )
        gone.unlink()
        with grown.open("ab") as file:
            file.write(b"more")
        os.truncate(shrunk, 1000)
        (library / "new.part").write_bytes(b"in its place")
        (library / "new.part").replace(replaced)
        wait_for(lambda: reads(service, grown), "the longer one to be read")
        os.truncate(grown, 2000)
        service.sync()
        told = listener.told()
        assert bytes(gone) not in told
        for path in (grown, shrunk, replaced):
            check_created_once(told[bytes(path)], bytes(path))
        check_well(service)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="file-watcher-hostile-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_file_that_may_not_be_read_is_told_once_with_an_error_and_again_when_it_may(
    open_folder: Path, listener: Listener, rabbit: RabbitNode, exchange: str
) -> None:
    library = open_folder / "library"
    library.mkdir()
    for name in ("state", "config"):
        (open_folder / name).mkdir()
        os.chown(open_folder / name, 65534, 65534)
    service = HousedService(open_folder, library, rabbit.url, exchange)
    service.wrapper = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
    for name in [name for name in service.environment if name.startswith("COVERAGE_")]:
        del service.environment[name]  # it may not write where the others leave their data
    early, late = library / "ea\nrly.mp3", library / "late.mp3"
    forbid(early)
    with running(service):
        forbid(late)
        service.sync()
        assert service.command("scan").returncode == 0
        for path in (early, late):
            (event,) = listener.told()[bytes(path)]
            assert (event["event_type"], event["sha256_hash"], event["size"]) == ("created", None, 9)
            assert event["metadata"] is None
            assert event["reason"].endswith("cannot be read: Permission denied.")
            path.chmod(0o644)
        assert service.command("scan").returncode == 0
        service.sync()
        for path in (early, late):
            _, event = listener.told()[bytes(path)]
            assert (event["event_type"], event["changed"]) == ("modified", ["content"])
            assert event["sha256_hash"] == hashlib.sha256(b"forbidden").hexdigest()
        check_well(service)
    assert listener.mirror.problems == []
    check_log(service)


def forbid(path: Path) -> None:
    """A file that only root may read."""
    hidden = path.with_suffix(".part")
    hidden.write_bytes(b"forbidden")
    hidden.chmod(0)
    hidden.rename(path)


def test_a_folder_that_turns_into_a_link_again_and_again_leads_nobody_astray(
    library: Path, tmp_path: Path, listener: Listener, service: HousedService
) -> None:
    outside, trap, aside = tmp_path / "outside", library / "trap", library / "aside"
    for number in range(200):
        (outside / f"{number}").mkdir(parents=True)
        (outside / f"{number}" / "not ours.mp3").touch()
    (trap / "0").mkdir(parents=True)
    (trap / "0" / "song.mp3").write_bytes(b"ours")
    enough = threading.Event()

    def swap() -> None:
        while not enough.is_set():
            trap.rename(aside)
            trap.symlink_to(outside)
            trap.unlink()
            aside.rename(trap)

    swapper = threading.Thread(target=swap)
    with running(service):
        swapper.start()
        try:
            service.command("scan")
        finally:
            enough.set()
            swapper.join()
        service.sync()
        listener.drain()
        assert listener.mirror.files == disk(library)
        assert listener.mirror.problems == []
        assert not [path for path in listener.told() if b"not ours" in path]
        wait_for(
            lambda: service.metric("watcher_watches", state="active") == 3, "no folder beyond it watched"
        )
        service.wait_until_ready()  # the kernel's queue may have been full, and the scan that mends it be under way
        check_well(service)


def test_a_file_that_says_it_is_empty_and_is_not_is_never_told_with_hashes_that_are_not_its_own(
    library: Path, listener: Listener, service: HousedService
) -> None:
    liar, other = library / "liar.mp3", library / "other.mp3"
    liar.touch()
    other.write_bytes(b"music")
    service.environment["FILE_WATCH_MAX_WAIT"] = "1s"
    service.with_mounts(f"mount --bind /proc/version '{liar}'")
    with running(service):
        listener.wait_until_told(liar, other)
        service.sync()
        for told in listener.told()[bytes(liar)]:
            assert (told["sha256_hash"], told["growing"]) == (None, True)
        check_well(service)


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_a_hundred_thousand_files_in_one_folder_are_each_told_once(
    library: Path, listener: Listener, service: HousedService
) -> None:
    (library / "flat").mkdir()
    with running(service):
        began = time.monotonic()
        for number in range(100_000):
            (library / "flat" / f"{number}.mp3").write_bytes(b"%d" % number)
        written = time.monotonic() - began
        service.sync(500)
        seconds = time.monotonic() - began
        print(
            f"100,000 files in one folder: written in {written:.0f} s, all confirmed {seconds:.0f} s after the first"
        )
        listener.drain()
        assert Counter(event.kind for event in listener.events()) == {"created": 100_000}
        assert listener.mirror.files == disk(library)
        check_well(service)
