from __future__ import annotations

import os
from pathlib import Path

import pytest

from file_watcher.errors import UsageError
from file_watcher.watching.missing import make_missing, why_not
from file_watcher.watching.mounts import Mount, MountTable

ROOT_DISK = Mount(1, 0, b"/", "ext4", b"/dev/sda1")
PLUGGED = Mount(2, 1, b"/mnt/disk", "ext4", b"/dev/sdb1")


def reason(root: bytes, *mounts: Mount, configured: frozenset[bytes] = frozenset()) -> str | None:
    return why_not(root, was_watched=False, table=MountTable([ROOT_DISK, *mounts]), configured=configured)


def test_a_folder_that_nobody_has_made_yet_is_made_with_those_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "recordings" / "door"
    assert make_missing(os.fsencode(folder), was_watched=False)
    assert folder.is_dir()
    assert not make_missing(os.fsencode(folder), was_watched=False), "it is there already"


def test_a_folder_that_was_there_before_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    assert not make_missing(os.fsencode(folder), was_watched=True)
    assert not folder.exists()


@pytest.mark.parametrize("below", ["", "/door"])
def test_what_a_link_to_nothing_leads_to_is_not_made(tmp_path: Path, below: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "away")
    assert not make_missing(os.fsencode(f"{link}{below}"), was_watched=False)
    assert not (tmp_path / "away").exists()


def test_the_place_of_a_disk_that_is_not_mounted_stays_empty(tmp_path: Path) -> None:
    fstab = tmp_path / "fstab"
    place = tmp_path / "my disk"
    place.mkdir()
    escaped = str(place).replace(" ", "\\040")
    fstab.write_text(
        f"# {tmp_path} is no disk\nUUID=1 / ext4\nUUID=2 {escaped} ext4 nofail 0 2\nUUID=3 none swap\n"
    )
    assert not make_missing(os.fsencode(place / "door"), was_watched=False, fstab=fstab)
    assert list(place.iterdir()) == []
    assert make_missing(os.fsencode(tmp_path / "beside"), was_watched=False, fstab=fstab)


@pytest.mark.parametrize("root", [b"/mnt/nas/door", b"/media/usb", b"/run/media/me/disk/door"])
def test_where_disks_are_mounted_by_custom_nothing_is_made_without_one(root: bytes) -> None:
    assert "no disk is mounted there" in (reason(root) or "")


def test_a_disk_that_is_mounted_is_written_to() -> None:
    table = MountTable([ROOT_DISK, PLUGGED._replace(mount_point=b"/srv/disk")])
    root, configured = b"/srv/disk/door", frozenset({b"/srv/disk"})
    assert why_not(root, was_watched=False, table=table, configured=configured) is None
    assert "is not mounted" in (reason(root, configured=configured) or "")


def test_a_refusal_of_the_system_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="FILE_WATCH_CREATE_MISSING=false"):
        make_missing(os.fsencode(tmp_path / "file" / "door"), was_watched=False)
