"""Looks at the disk: there, gone only where it is proved, else unknown."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from file_watcher.errors import RetryableError
from file_watcher.model import GONE, UNKNOWN, FileStat, Library, Sight
from file_watcher.watching import sight as sight_module
from file_watcher.watching.links import runs_through_link
from file_watcher.watching.mounts import Mount, MountTable
from file_watcher.watching.nested import MountIdentity
from file_watcher.watching.sight import (
    Eyes,
    RootState,
    identify_root,
    inode_with_other_names,
    look,
    verify_root,
)
from tests.support.waiting import wait_for


def everything(_path: bytes) -> bool:
    return True


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    folder.mkdir()
    return folder.resolve()


@pytest.fixture
def library(root: Path) -> Library:
    return Library(1, "music", "production", os.fsencode(root))


@pytest.fixture
def song(root: Path) -> Path:
    path = root / "album" / "song.mp3"
    path.parent.mkdir()
    path.write_bytes(b"la")
    return path


def fail_with(number: int, monkeypatch: pytest.MonkeyPatch, at: Path) -> None:
    """Let stat(2) fail at one path, as a broken disk or a server that is away would."""
    real = os.stat

    def stat(path: bytes, *args: object, **kwargs: object) -> os.stat_result:
        if path == os.fsencode(at):
            raise OSError(number, os.strerror(number), path)
        return real(path, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", stat)


def test_a_regular_file_is_there_with_its_stat(song: Path) -> None:
    assert look(os.fsencode(song)) == FileStat.of(song.stat())


def test_what_is_no_regular_file_is_gone(root: Path, song: Path) -> None:
    (root / "link.mp3").symlink_to(song)
    (root / "loop.mp3").symlink_to("loop.mp3")
    os.mkfifo(root / "fifo.mp3")
    for name in ("nothing.mp3", "album", "link.mp3", "fifo.mp3", "album/song.mp3/below.mp3", "loop.mp3/x"):
        assert look(os.fsencode(root / name)) is GONE, name


def test_a_name_too_long_for_the_filesystem_is_gone_and_a_path_too_long_to_ask_is_unknown(root: Path) -> None:
    assert look(os.fsencode(root) + b"/" + b"n" * 300) is GONE
    assert look(os.fsencode(root) + b"/" + b"n/" * 2100 + b"x") is UNKNOWN


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_any_other_error_is_unknown(number: int, song: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(number, monkeypatch, song)
    assert look(os.fsencode(song)) is UNKNOWN


def test_a_library_that_is_not_open_is_unknown_as_a_whole(library: Library, song: Path) -> None:
    eyes = Eyes()
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    assert eyes.root_state(library) is RootState.MISSING
    eyes.open(library, everything)
    assert eyes.look(os.fsencode(song), library.id) == FileStat.of(song.stat())
    eyes.shut(library)
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN


def test_a_root_that_is_not_there_cannot_be_opened(library: Library, root: Path) -> None:
    root.rmdir()
    with pytest.raises(RetryableError, match="music"):
        Eyes().open(library, everything)
    root.write_text("a file")
    with pytest.raises(RetryableError, match="Not a directory"):
        Eyes().open(library, everything)


def test_a_file_that_the_filter_does_not_want_is_gone_though_it_is_there(
    library: Library, song: Path
) -> None:
    eyes = Eyes()
    eyes.open(library, lambda path: not path.endswith(b".mp3"))
    assert eyes.look(os.fsencode(song), library.id) is GONE


def test_a_deleted_file_is_gone_while_the_root_stands(library: Library, song: Path) -> None:
    eyes = Eyes()
    eyes.open(library, everything)
    song.unlink()
    assert eyes.look(os.fsencode(song), library.id) is GONE


def test_nothing_is_gone_once_the_root_is_missing_or_replaced(
    library: Library, root: Path, song: Path
) -> None:
    eyes = Eyes()
    eyes.open(library, everything)
    kept = root.rename(root.with_name("kept"))
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    assert eyes.root_state(library) is RootState.MISSING
    root.mkdir()
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    assert eyes.root_state(library) is RootState.REPLACED
    root.rmdir()
    kept.rename(root)
    assert eyes.root_state(library) is RootState.OK
    assert isinstance(eyes.look(os.fsencode(song), library.id), FileStat)


def test_a_file_that_is_back_at_the_second_look_is_not_gone(
    library: Library, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eyes = Eyes()
    eyes.open(library, everything)
    song.unlink()
    real = verify_root

    def come_back(*args: object) -> RootState:
        song.write_bytes(b"back")
        return real(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(sight_module, "verify_root", come_back)
    assert isinstance(eyes.look(os.fsencode(song), library.id), FileStat)


def test_a_root_that_is_lost_during_the_second_look_makes_it_unknown(
    library: Library, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eyes = Eyes()
    eyes.open(library, everything)
    song.unlink()
    states = iter([RootState.OK, RootState.MISSING])
    monkeypatch.setattr(sight_module, "verify_root", lambda *_: next(states))
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN


def test_a_root_is_told_missing_replaced_or_unreadable(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = os.fsencode(root)
    identity = identify_root(path)
    assert verify_root(path, identity) is RootState.OK
    root.rename(root.with_name("elsewhere"))
    assert verify_root(path, identity) is RootState.MISSING
    root.write_text("a file")
    assert verify_root(path, identity) is RootState.REPLACED
    fail_with(errno.ESTALE, monkeypatch, root)
    assert verify_root(path, identity) is RootState.UNREADABLE


def test_a_root_that_was_a_mount_point_and_is_none_is_unmounted(root: Path) -> None:
    was_mounted = sight_module.RootIdentity(device=1, inode=2, fsid=3, is_mount_point=True)
    assert verify_root(os.fsencode(root), was_mounted) is RootState.UNMOUNTED


class Mounts:
    """A mount table whose mounts below the root can be taken away."""

    def __init__(self, root: Path, *below: Path, fs_type: str = "xfs") -> None:
        self.root = root
        self.below = set(below)
        self.fs_type = fs_type

    def __call__(self) -> MountTable:
        nested = [Mount(10 + n, 1, os.fsencode(p), "xfs", b"") for n, p in enumerate(sorted(self.below))]
        return MountTable([Mount(1, 0, b"/", self.fs_type, b""), *nested])


def test_what_lay_on_a_disk_that_is_away_is_unknown_and_so_is_the_bare_folder(
    library: Library, root: Path, song: Path
) -> None:
    mounts = Mounts(root, song.parent)
    eyes = Eyes(mounts)
    eyes.open(library, everything)
    song.unlink()
    assert eyes.look(os.fsencode(song), library.id) is GONE
    mounts.below.clear()
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    song.write_bytes(b"in the bare folder")
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    assert eyes.look(os.fsencode(root / "other.mp3"), library.id) is GONE
    mounts.below.add(song.parent)
    assert isinstance(eyes.look(os.fsencode(song), library.id), FileStat)


class Counted(Mounts):
    """Counts how often the table is asked for."""

    asked = 0

    def __call__(self) -> MountTable:
        self.asked += 1
        return super().__call__()


def test_many_looks_say_what_single_ones_say_and_ask_for_the_mounts_once(
    library: Library, root: Path, song: Path
) -> None:
    beside, gone, unwanted = root / "beside.mp3", root / "gone.mp3", root / "cover.jpg"
    for path in (beside, unwanted):
        path.write_bytes(b"x")
    mounts = Counted(root, song.parent)
    eyes = Eyes(mounts)
    eyes.open(library, lambda path: path.endswith(b".mp3"))
    places = [(os.fsencode(path), library.id) for path in (song, beside, gone, unwanted)]
    places.append((os.fsencode(song), 99))

    def looked_together() -> list[Sight]:
        together = eyes.look_at_all(places)
        assert together == [eyes.look(*place) for place in places]
        return together

    there = [FileStat.of(path.stat()) for path in (song, beside)]
    assert looked_together() == [*there, GONE, GONE, UNKNOWN]
    mounts.below.clear()
    assert looked_together() == [UNKNOWN, there[1], GONE, GONE, UNKNOWN], (
        "the song's is the bare folder of a disk"
    )
    mounts.below.add(song.parent)
    root.rename(root.with_name("away"))
    assert looked_together() == [UNKNOWN, UNKNOWN, UNKNOWN, GONE, UNKNOWN]
    root.with_name("away").rename(root)
    mounts.asked = 0
    eyes.look_at_all([places[1]] * 100)
    assert mounts.asked == 1


def test_many_looks_ask_for_the_mounts_after_the_last(
    library: Library, root: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that goes while they look: what was seen below its mount point may be the bare folder's."""
    mounts = Mounts(root, song.parent)
    eyes = Eyes(mounts)
    eyes.open(library, everything)
    (root / "last.mp3").write_bytes(b"x")
    real = sight_module.look

    def unmount_at_the_last(path: bytes, *, follow_symlinks: bool = False) -> Sight:
        if path.endswith(b"last.mp3"):
            mounts.below.clear()
        return real(path, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(sight_module, "look", unmount_at_the_last)
    places = [(os.fsencode(path), library.id) for path in (song, root / "last.mp3")]
    assert eyes.look_at_all(places)[0] is UNKNOWN


def test_a_glance_at_a_file_that_is_there_asks_for_no_mounts_and_else_is_a_look(
    library: Library, root: Path, song: Path
) -> None:
    mounts = Counted(root, song.parent)
    eyes = Eyes(mounts)
    assert eyes.glance(os.fsencode(song), library.id) is UNKNOWN
    eyes.open(library, lambda path: path.endswith(b".mp3"))
    mounts.asked = 0
    assert eyes.glance(os.fsencode(song), library.id) == FileStat.of(song.stat())
    assert mounts.asked == 0
    assert eyes.glance(os.fsencode(root / "cover.jpg"), library.id) is GONE
    mounts.below.clear()
    assert isinstance(eyes.glance(os.fsencode(song), library.id), FileStat), "nobody has asked since"
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    assert eyes.glance(os.fsencode(song), library.id) is UNKNOWN
    song.unlink()
    assert eyes.glance(os.fsencode(song), library.id) is UNKNOWN
    mounts.below.add(song.parent)
    assert eyes.glance(os.fsencode(song), library.id) is GONE


def test_what_a_link_leads_to_on_a_disk_that_is_away_or_in_doubt_is_unknown_too(
    library: Library, root: Path, song: Path
) -> None:
    (root / "link").symlink_to("album")
    through_link = os.fsencode(root / "link" / song.name)
    mounts = Mounts(root, song.parent)
    eyes = Eyes(mounts)
    eyes.open(library, everything, follow_symlinks=True)
    assert isinstance(eyes.look(through_link, library.id), FileStat)
    mounts.below.clear()
    assert eyes.look(through_link, library.id) is UNKNOWN, "it is the bare folder's"
    assert eyes.is_away(os.fsencode(root / "link"), library)
    song.parent.rename(root / "former")
    assert eyes.look(through_link, library.id) is UNKNOWN
    assert eyes.shields(through_link, library)
    assert eyes.look(os.fsencode(root / "other.mp3"), library.id) is GONE
    song.parent.mkdir()
    mounts.below.add(song.parent)
    assert eyes.look(through_link, library.id) is UNKNOWN, "another disk than before is mounted there"


def test_a_disk_that_was_remembered_and_is_not_mounted_at_the_start_is_away(
    library: Library, root: Path, song: Path
) -> None:
    eyes = Eyes(Mounts(root))
    point = os.fsencode(song.parent)
    eyes.open(library, everything, known_mounts={point: MountIdentity(1, "2")})
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    assert eyes.is_away(point, library)
    assert eyes.shields(os.fsencode(song), library)
    assert not eyes.shields(os.fsencode(root / "other.mp3"), library)
    eyes.accept_mounts(library, learn=(), forget=[point])
    assert isinstance(eyes.look(os.fsencode(song), library.id), FileStat)
    assert eyes.known_mounts(library) == {}


def test_where_a_disk_was_mounted_over_what_is_missing_is_not_gone(
    library: Library, root: Path, song: Path
) -> None:
    mounts = Mounts(root)
    eyes = Eyes(mounts)
    eyes.open(library, everything)
    mounts.below.add(song.parent)
    assert isinstance(eyes.look(os.fsencode(song), library.id), FileStat)
    song.unlink()
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN
    eyes.accept_mounts(library, learn=[os.fsencode(song.parent)], forget=())
    assert eyes.look(os.fsencode(song), library.id) is GONE


def test_the_disks_are_remembered_while_a_library_is_shut(library: Library, root: Path, song: Path) -> None:
    mounts = Mounts(root, song.parent)
    eyes = Eyes(mounts)
    eyes.open(library, everything)
    assert eyes.known_mounts(library).keys() == {os.fsencode(song.parent)}
    eyes.shut(library)
    mounts.below.clear()
    assert eyes.shields(os.fsencode(song), library)
    eyes.open(library, everything, known_mounts=None)
    assert eyes.look(os.fsencode(song), library.id) is UNKNOWN


def test_a_library_that_was_never_open_knows_no_disks(library: Library, song: Path) -> None:
    eyes = Eyes()
    eyes.accept_mounts(library, learn=[b"/x"], forget=[b"/y"])
    assert eyes.known_mounts(library) == {}
    assert not eyes.shields(os.fsencode(song), library)
    assert eyes.root_state(library) is RootState.MISSING


def test_where_case_is_folded_only_the_exact_spelling_is_there(
    library: Library, root: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eyes = Eyes(Mounts(root, fs_type="vfat"))
    eyes.open(library, everything)
    real = os.stat

    def folding_stat(path: bytes | str, **kwargs: bool) -> os.stat_result:
        if isinstance(path, bytes):
            path = path.replace(b"SONG", b"song").replace(b"ALBUM", b"album")
        return real(path, **kwargs)

    monkeypatch.setattr(os, "stat", folding_stat)
    assert isinstance(eyes.look(os.fsencode(song), library.id), FileStat)
    assert eyes.look(os.fsencode(root) + b"/album/SONG.mp3", library.id) is GONE
    assert eyes.look(os.fsencode(root) + b"/ALBUM/song.mp3", library.id) is GONE


def test_a_folder_without_the_casefold_flag_is_not_listed(
    library: Library, root: Path, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eyes = Eyes(Mounts(root, fs_type="ext4"))
    eyes.open(library, everything)
    monkeypatch.setattr(os, "listdir", lambda _path: pytest.fail("listed"))
    assert isinstance(eyes.look(os.fsencode(song), library.id), FileStat)


def test_a_folder_that_becomes_a_link_is_noticed_a_moment_later(
    library: Library, root: Path, song: Path, tmp_path: Path
) -> None:
    eyes = Eyes()
    eyes.open(library, everything)
    path = os.fsencode(song)
    assert isinstance(eyes.look(path, library.id), FileStat)
    song.parent.rename(tmp_path / "elsewhere")
    song.parent.symlink_to(tmp_path / "elsewhere")
    wait_for(lambda: eyes.look(path, library.id) is GONE, "the link to be noticed")


def test_a_folder_that_became_a_link_holds_nothing(library: Library, root: Path, song: Path) -> None:
    eyes = Eyes()
    eyes.open(library, everything)
    elsewhere = shutil.move(song.parent, root.with_name("elsewhere"))
    (root / "album").symlink_to(elsewhere)
    assert eyes.look(os.fsencode(song), library.id) is GONE
    assert runs_through_link(library.root, os.fsencode(song.parent))
    assert not runs_through_link(library.root, library.root)


def test_links_are_followed_on_demand_and_only_inside_the_root(
    library: Library, root: Path, song: Path
) -> None:
    outside = root.with_name("outside.mp3")
    outside.write_bytes(b"out")
    (root / "inside.mp3").symlink_to(song)
    (root / "outside.mp3").symlink_to(outside)
    (root / "dangling.mp3").symlink_to("nowhere")
    (root / "loop.mp3").symlink_to("loop.mp3")
    eyes = Eyes()
    eyes.open(library, everything, follow_symlinks=True)
    assert eyes.look(os.fsencode(root / "inside.mp3"), library.id) == FileStat.of(song.stat())
    for name in ("outside.mp3", "dangling.mp3", "loop.mp3"):
        assert eyes.look(os.fsencode(root / name), library.id) is GONE, name


def test_only_a_regular_file_with_a_second_name_has_other_names(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.touch()
    folder.mkdir()
    assert [inode_with_other_names(os.fsencode(path)) for path in (file, folder, tmp_path / "none")] == [
        0,
        0,
        0,
    ]
    (folder / "link").hardlink_to(file)
    assert inode_with_other_names(os.fsencode(file)) == file.stat().st_ino
