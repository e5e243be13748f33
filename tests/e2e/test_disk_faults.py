"""Faults of disks and of the kernel's watches, real ones: nothing is lost and nothing is invented."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.consumer import Consumer
from tests.support.databases import MOSTLY_SQLITE
from tests.support.faulty_disks import HousedService
from tests.support.service import disk, running
from tests.support.waiting import wait_for

QUICKLY = {"FILE_WATCH_POLL_INTERVAL": "1s", "FILE_WATCH_PATTERNS": "*.json"}
"""Names without tags: these tests are about files that are there or not."""


class Scene:
    """A library, a service over it, and a consumer."""

    def __init__(self, folder: Path, broker_url: str, exchange: str, database_url: str | None = None) -> None:
        self.folder = folder
        self.library = folder / "library"
        self.library.mkdir()
        self.consumer = Consumer(broker_url, exchange)
        self.consumer.subscribe()
        self.service = HousedService(folder, self.library, broker_url, exchange, database_url, **QUICKLY)

    def told(self) -> Counter[str]:
        """The kinds of the file events since the last call, once all that happened is confirmed."""
        self.service.sync()
        new = self.consumer.drain()
        assert self.consumer.mirror.problems == []
        return Counter(message.kind for message in new if message.routing_key.startswith("file."))

    def notices(self, kind: str) -> int:
        """How many notices of a kind were taken so far."""
        return sum(message.kind == kind for message in self.consumer.messages)

    def files_are_told(self, *roots: Path) -> None:
        """The consumer knows exactly what is on the disk."""
        assert self.consumer.mirror.files == disk(*(roots or (self.library,)), suffixes=(".json",))


@pytest.fixture
def scene(tmp_path: Path, broker_url: str, exchange: str) -> Scene:
    return Scene(tmp_path, broker_url, exchange)


def fill(folder: Path, count: int, prefix: str = "") -> None:
    """Write so many different files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{prefix}{number}.json").write_text(f"{folder.name} {prefix} {number}")


def test_a_disk_below_the_root_that_goes_keeps_its_files_until_it_is_back_or_given_up(scene: Scene) -> None:
    disk_folder, point = scene.folder / "disk", scene.library / "disk"
    fill(scene.library, 5)
    fill(disk_folder, 20)
    point.mkdir()
    service = scene.service
    service.with_mounts(f"mount --bind {disk_folder} {point}")
    with running(service):
        assert scene.told() == {"created": 25}

        service.inside(f"umount {point}")
        service.wait_until_told(f"the disk usually mounted at {point} is away")
        (point / "bare.json").write_text("in the bare folder")
        (point / "3.json").write_text("in the place of one that is away")
        (disk_folder / "late.json").write_text("while it was away")
        (scene.library / "0.json").unlink()
        assert scene.told() == {"deleted": 1}

        service.inside(f"mount --bind {disk_folder} {point}")
        service.wait_until_ready()
        assert scene.told() == {"created": 1}
        (point / "seen.json").write_text("below the mount, so nobody can see it")
        (disk_folder / "new.json").write_text("on the disk, by a new watch")
        assert scene.told() == {"created": 1}

    service.with_mounts()
    service.start()
    try:
        service.wait_until_told("is away")
        assert scene.told() == {}, "a restart without the disk deletes nothing"
        known = [path for path in scene.consumer.mirror.files if path.startswith(os.fsencode(point) + b"/")]
        assert len(known) == 22
        assert service.command("scan").returncode == 0
        assert scene.told() == {}
        service.approve("library")
        service.wait_until_ready()
        assert scene.told() == {"deleted": 21, "modified": 1, "created": 2}
        scene.files_are_told()
    finally:
        assert service.stop() == 0, service.tail()


def test_a_disk_that_is_mounted_over_files_deletes_none_of_them_unless_that_is_meant(scene: Scene) -> None:
    album = scene.library / "album"
    fill(album, 30)
    service = scene.service
    service.with_mounts()
    with running(service):
        assert scene.told() == {"created": 30}
        service.inside(f"mount -t tmpfs other {album}")
        service.wait_until_told(f"another disk than before is mounted at {album}")
        (service.path(album) / "on top.json").write_text("of the other disk")
        assert scene.told() == {"created": 1}

        service.inside(f"umount {album}")
        service.wait_until_ready()
        assert scene.told() == {"deleted": 1}
        scene.files_are_told()

        service.inside(f"mount -t tmpfs other {album}")
        service.wait_until_told("another disk than before")
        service.approve("library")
        service.wait_until_ready()
        assert scene.told() == {"deleted": 30}


def test_an_empty_folder_that_gets_a_disk_needs_no_word_from_anybody(scene: Scene) -> None:
    point = scene.library / "disk"
    point.mkdir()
    fill(scene.folder / "disk", 3)
    service = scene.service
    service.with_mounts()
    with running(service):
        assert scene.told() == {}
        service.inside(f"mount --bind {scene.folder / 'disk'} {point}")
        wait_for(lambda: scene.told()["created"] == 3, "the disk's files to be told")
        fill(scene.folder / "disk", 1, "watched ")
        assert scene.told() == {"created": 1}
        assert service.ask("/readyz")[0] == 200


def test_a_root_that_is_unmounted_or_mounted_over_suspends_and_resumes_by_itself(scene: Scene) -> None:
    disk_folder = scene.folder / "disk"
    fill(disk_folder, 20)
    service = scene.service
    service.with_mounts(f"mount --bind {disk_folder} {scene.library}")
    with running(service):
        assert scene.told() == {"created": 20}
        service.inside(f"umount {scene.library}")
        service.wait_until_told("its disk is not mounted")
        service.inside(f"mount --bind {disk_folder} {scene.library}")
        service.wait_until_ready()
        service.inside(f"mount -t tmpfs other {scene.library}")
        service.wait_until_told("another folder or disk than before")
        service.inside(f"umount {scene.library}")
        service.wait_until_ready()
        fill(disk_folder, 1, "watched again ")
        assert scene.told() == {"created": 1}
        assert (scene.notices("library.suspended"), scene.notices("library.resumed")) == (2, 2)


def overflow_the_queue(service: HousedService, folder: Path) -> None:
    """Make more events than the kernel keeps (16,384) while the service is frozen."""
    service.suspend()
    noise = (folder / "noise.tmp", folder / "other noise.tmp")  # the kernel merges what repeats itself
    for number in range(17_000):
        noise[number % 2].write_bytes(b"")


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.soak)])
def test_files_survive_an_overflow_and_a_root_that_goes_and_comes_back(scene: Scene, count: int) -> None:
    service, many = scene.service, scene.library / "many"
    fill(many, 1, "first ")
    with running(service):
        overflow_the_queue(service, many)
        fill(many, count)
        (many / "first 0.json").unlink()
        service.resume()
        wait_for(lambda: "queue was full" in service.log.read_text(), "the overflow to be noticed")
        assert scene.told() == {"created": count + 1, "deleted": 1}

        away = scene.library.rename(scene.folder / "away")
        service.wait_until_told("is suspended: the folder is not there")
        away.rename(scene.library)
        service.wait_until_ready()
        for _ in range(5):
            scene.library.rename(away).rename(scene.library)
        # A look in between may have found it away, and what is suspended is not waited for.
        service.wait_until_ready()
        fill(many, 1, "after ")
        assert scene.told() == {"created": 1}
        read = service.metric("watcher_hashed_bytes_total")
        assert read < 2 * sum(path.stat().st_size for path in many.iterdir())
        scene.files_are_told()


@MOSTLY_SQLITE
def test_a_loss_is_told_when_it_was_seen_and_asks_first_when_it_was_not(
    tmp_path: Path, broker_url: str, exchange: str, database_url: str
) -> None:
    scene = Scene(tmp_path, broker_url, exchange, database_url)
    fill(scene.library / "a", 300)
    fill(scene.library / "b", 200)
    service = scene.service
    with running(service):
        assert scene.told() == {"created": 500}
        shutil.rmtree(scene.library / "a")
        assert scene.told() == {"deleted": 300}
    shutil.move(scene.library / "b", scene.folder / "b")
    service.start()
    try:
        service.wait_until_told("200 of 200 files are missing at once")
        assert scene.told() == {}
        assert scene.notices("library.suspended") == 1
        shutil.move(scene.folder / "b", scene.library / "b")
        service.wait_until_ready()
        assert scene.told() == {}
        assert scene.notices("library.resumed") == 1
    finally:
        assert service.stop() == 0, service.tail()
    shutil.rmtree(scene.library / "b")
    service.start()
    try:
        service.wait_until_told("python -m file_watcher approve library")
        service.approve("library")
        service.wait_until_ready()
        assert scene.told() == {"deleted": 200}
    finally:
        assert service.stop() == 0, service.tail()
    scene.files_are_told()


def test_a_root_that_is_deleted_and_made_anew_asks_before_it_deletes(scene: Scene) -> None:
    fill(scene.library, 150)
    service = scene.service
    with running(service):
        assert scene.told() == {"created": 150}
        shutil.move(scene.library, scene.folder / "former")
        service.wait_until_told("the folder is not there")
        fill(scene.library, 1, "new ")
        service.wait_until_told("another folder or disk than before")
        assert scene.told() == {}
        service.approve("library")
        service.wait_until_ready()
        assert scene.told() == {"deleted": 150, "created": 1}
        scene.files_are_told()


def test_what_the_kernel_grants_no_watch_for_is_polled_and_watched_when_it_does(scene: Scene) -> None:
    for number in range(10):
        fill(scene.library / f"{number}", 1)
    service = scene.service
    service.with_limits(max_inotify_instances=0, max_inotify_watches=5)
    with running(service):
        service.wait_until_told("sysctl -w fs.inotify.max_user_instances=")
        assert service.metric("watcher_watches", state="polled") == 1
        fill(scene.library / "9", 1, "polled ")
        wait_for(lambda: service.metric("watcher_enqueue_total", type="created") == 11, "the poll", 30)

        service.set_limit("max_inotify_instances", 10)
        service.wait_until_told("sysctl -w fs.inotify.max_user_watches=")
        assert service.metric("watcher_watches", state="polled") == 6
        for number in range(10):
            fill(scene.library / f"{number}", 1, "half ")
        wait_for(lambda: service.metric("watcher_enqueue_total", type="created") == 21, "the half", 30)

        service.set_limit("max_inotify_watches", 100)
        wait_for(lambda: service.metric("watcher_watches", state="polled") == 0, "all to be watched")
        service.wait_until_told("'library': 'watched'")
        fill(scene.library / "9", 1, "watched ")
        assert scene.told() == {"created": 22}
        scene.files_are_told()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are for their owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="file-watcher-disk-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_may_not_be_read_keeps_its_files_and_is_watched_once_it_may(
    open_folder: Path, broker_url: str, exchange: str
) -> None:
    scene = Scene(open_folder, broker_url, exchange)
    fill(scene.library / "open", 2)
    fill(scene.library / "secret", 3)
    service = scene.service
    nobody = ("--reuid=65534", "--regid=65534", "--clear-groups")
    service.wrapper = ("setpriv", *nobody, "--")
    for name in ("state", "config"):
        (open_folder / name).mkdir()
        os.chown(open_folder / name, 65534, 65534)
    with running(service):
        wait_for(lambda: service.metric("watcher_enqueue_total", type="created") == 5, "the files", 30)
        (scene.library / "secret").chmod(0o700)
        (scene.library / "later").mkdir(mode=0o700)
        service.wait_until_told("No permission to read")
        fill(scene.library / "later", 2)
        (scene.library / "secret" / "0.json").unlink()
        (scene.library / "later").chmod(0o755)
        (scene.library / "secret").chmod(0o755)
        wait_for(lambda: service.metric("watcher_watches", state="polled") == 0, "all to be watched")
        wait_for(lambda: service.metric("watcher_enqueue_total", type="created") == 7, "what was hidden", 30)
        wait_for(lambda: service.metric("watcher_enqueue_total", type="deleted") == 1, "what went", 30)
        fill(scene.library / "later", 1, "watched ")
        wait_for(lambda: service.metric("watcher_enqueue_total", type="created") == 8, "the new one", 30)
    scene.consumer.drain()
    assert scene.consumer.mirror.problems == []
    scene.files_are_told()
