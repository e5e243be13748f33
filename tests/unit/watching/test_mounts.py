"""The mount table: escapes, mounts over mounts, and what filesystems can be trusted with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from file_watcher.watching.mounts import (
    UNKNOWN_FS,
    MountReader,
    MountTable,
    answers_leases,
    folds_case,
    needs_polling,
    timestamp_granularity_ns,
)

TEXT = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /media rw master:1 - xfs /dev/sdb rw
41 40 0:51 / /media/my\040disk\134 rw shared:3 propagate_from:2 - vfat /dev/sdc1 rw
42 40 0:52 /sub /media/net rw - nfs4 server:/export rw
43 27 0:53 / /covered/inner rw - btrfs /dev/sdd rw
44 27 0:54 / /covered rw - tmpfs tmpfs rw
45 44 0:55 / /covered rw - fuse.sshfs host: rw
this is no mount
46 27 oops
"""


@pytest.fixture
def table() -> MountTable:
    return MountTable.parse(TEXT)


@pytest.mark.parametrize(
    ("path", "fs_type"),
    [
        (b"/etc", "ext4"),
        (b"/media", "xfs"),
        (b"/media/a/b", "xfs"),
        (b"/media/my disk\\/a", "vfat"),
        (b"/media/my disk", "xfs"),
        (b"/media/net/x", "nfs4"),
        (b"/media/network", "xfs"),
    ],
)
def test_the_deepest_mount_on_the_way_counts(table: MountTable, path: bytes, fs_type: str) -> None:
    assert table.fs_type_of(path) == fs_type


def test_a_mount_that_another_one_covers_does_not_count(table: MountTable) -> None:
    assert table.fs_type_of(b"/covered/inner/x") == "fuse.sshfs"
    assert table.is_mount_point(b"/covered")
    assert not table.is_mount_point(b"/covered/inner")
    assert b"/covered/inner" not in table.mountpoints_below(b"/")


def test_mount_points_below_a_root_are_strictly_below_it(table: MountTable) -> None:
    assert table.mountpoints_below(b"/media") == {b"/media/my disk\\", b"/media/net"}
    assert table.mountpoints_below(b"/media/net") == frozenset()


def test_without_a_table_everything_is_unknown(tmp_path: Path) -> None:
    none = MountTable.read(tmp_path / "mountinfo")
    assert none.fs_type_of(b"/") == UNKNOWN_FS
    assert not none.is_mount_point(b"/")
    assert not needs_polling(UNKNOWN_FS)
    assert answers_leases(UNKNOWN_FS) is False
    assert folds_case(UNKNOWN_FS) is False


def test_a_table_whose_top_mount_is_its_own_parent_can_be_read() -> None:
    assert MountTable.parse(b"1 1 0:1 / / rw - overlay overlay rw\n").fs_type_of(b"/x") == "overlay"


def test_this_machine_has_a_proc_filesystem() -> None:
    table = MountTable.read()
    assert table.fs_type_of(b"/proc/self") == "proc"
    assert table.is_mount_point(b"/proc") is os.path.ismount("/proc")


@pytest.mark.parametrize(
    "fs_type", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "fuse", "9p", "virtiofs", "ceph"]
)
def test_filesystems_that_others_change_need_polling(fs_type: str) -> None:
    assert needs_polling(fs_type)
    assert answers_leases(fs_type) is False
    assert timestamp_granularity_ns(fs_type) >= 1_000_000_000


@pytest.mark.parametrize("fs_type", ["ext4", "xfs", "btrfs", "tmpfs", "f2fs"])
def test_local_filesystems_need_no_polling_and_answer_leases(fs_type: str) -> None:
    assert not needs_polling(fs_type)
    assert answers_leases(fs_type) is True
    assert timestamp_granularity_ns(fs_type) == 20_000_000


def test_a_local_disk_behind_fuse_needs_no_polling_and_overlay_needs_a_trial() -> None:
    assert not needs_polling("fuseblk")
    assert answers_leases("fuseblk") is False
    assert answers_leases("overlay") is None


def test_filesystems_that_store_coarse_times_or_fold_case_are_known() -> None:
    assert timestamp_granularity_ns("vfat") == 2_000_000_000
    assert timestamp_granularity_ns("hfsplus") == 1_000_000_000
    assert folds_case("vfat") is True
    assert folds_case("ext4") is None
    assert folds_case("xfs") is False


def test_the_table_is_read_again_only_after_it_changed(tmp_path: Path) -> None:
    reader = MountReader()
    try:
        assert reader() is reader()
        assert reader().mount_of(b"/") is not None
    finally:
        reader.close()
    reader.close()
    assert reader().mount_of(b"/") is not None, "without a descriptor it costs more, and works"
    assert MountReader(tmp_path / "none")().mount_of(b"/") is None


def test_a_mount_is_seen_at_the_next_call(tmp_path: Path) -> None:
    script = f"""if True:
        import subprocess
        from file_watcher.watching.mounts import MountReader
        reader, point = MountReader(), {os.fsencode(tmp_path)!r}
        seen = [point in reader().mounts_below(b"/")]
        subprocess.run(["mount", "-t", "tmpfs", "none", point], check=True)
        seen.append(reader().mounts_below(b"/")[point].fs_type)
        subprocess.run(["umount", point], check=True)
        print([*seen, point in reader().mounts_below(b"/")])
    """
    command = ["unshare", "--user", "--map-root-user", "--mount", sys.executable, "-c", script]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.stdout == "[False, 'tmpfs', False]\n", answer.stderr
