"""Watching real folders with the kernel's own watches."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from file_watcher.errors import RetryableError
from file_watcher.lifecycle import Deadline
from file_watcher.model import Hint, HintKind, Library
from file_watcher.watching import inotify_tree
from file_watcher.watching.canary import Canary
from file_watcher.watching.limits import WatchBudget
from file_watcher.watching.observer import LibraryWatch, native_supported
from file_watcher.watching.trouble import Trouble, TroubleKind
from tests.support.waiting import wait_for

PROJECT = Path(__file__).parents[2]


class Watched:
    """A library that is being watched, and what was told of it."""

    def __init__(
        self,
        root: Path,
        *,
        recursive: bool = True,
        wants_folder: Callable[[bytes], bool] = lambda _: True,
        on_hint: Callable[[Hint], None] | None = None,
    ) -> None:
        self.root = root
        self.hints: list[Hint] = []
        self.troubles: list[Trouble] = []
        self.watch = LibraryWatch(
            Library(1, "music", "production", os.fsencode(root)),
            on_hint or self.hints.append,
            self.troubles.append,
            recursive=recursive,
            wants_folder=wants_folder,
        )

    def told(self) -> list[tuple[str, str]]:
        """What was told since the last call, as (path below the root, kind); a folder's ends with "/"."""
        assert self.watch.drain(10)
        hints, self.hints[:] = list(self.hints), []
        return [(self.name_of(hint), hint.kind.value) for hint in hints]

    def name_of(self, hint: Hint) -> str:
        return os.path.relpath(os.fsdecode(hint.path), self.root) + ("/" if hint.is_folder else "")

    def uncovered(self) -> list[str]:
        """The files on the disk that neither a hint of their own nor one of a folder above them tells of."""
        assert self.watch.drain(20)
        files = {hint.path for hint in self.hints}
        folders = {hint.path for hint in self.hints if hint.is_folder}
        return [
            str(path)
            for path in self.root.rglob("*")
            if path.is_file()
            and os.fsencode(path) not in files
            and not any(os.fsencode(parent) in folders for parent in path.parents)
        ]

    @property
    def tree(self) -> inotify_tree.WatchTree:
        """The reader's bookkeeping: holding its lock lets the reader fall behind, as a busy machine would."""
        tree = self.watch._engine._reader.tree  # type: ignore[union-attr]
        assert isinstance(tree, inotify_tree.WatchTree)
        return tree


@contextmanager
def watching(root: Path, **options: object) -> Iterator[Watched]:
    watched = Watched(root, **options)  # type: ignore[arg-type]
    watched.watch.start()
    try:
        yield watched
    finally:
        watched.watch.close()
        assert watched.watch.join(Deadline(5))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "library"
    (folder / "album").mkdir(parents=True)
    return folder.resolve()


def test_this_system_has_native_watches() -> None:
    assert native_supported() is (sys.platform == "linux")


def test_a_file_that_is_made_written_and_deleted_is_hinted_in_order(root: Path) -> None:
    with watching(root) as watched:
        (root / "album/a.mp3").write_bytes(b"la")
        (root / "album/a.mp3").unlink()
        assert watched.told() == [
            ("album/a.mp3", "created"),
            ("album/a.mp3", "closed"),
            ("album/a.mp3", "deleted"),
        ]


def test_reading_and_listing_raise_no_hint(root: Path) -> None:
    (root / "album/a.mp3").write_bytes(b"la")
    with watching(root) as watched:
        (root / "album/a.mp3").read_bytes()
        list(root.rglob("*"))
        (root / "album/a.mp3").chmod(0o600)
        assert watched.told() == []


def test_a_rename_hints_both_ends_and_pairs_them(root: Path) -> None:
    (root / "album/a.mp3").write_bytes(b"la")
    (root / "other").mkdir()
    with watching(root) as watched:
        (root / "album/a.mp3").rename(root / "other/b.mp3")
        assert watched.watch.drain(5)
        old, new = os.fsencode(root / "album/a.mp3"), os.fsencode(root / "other/b.mp3")
        assert watched.hints == [Hint(old, HintKind.MOVED), Hint(new, HintKind.MOVED, moved_from=old)]


def test_a_file_that_leaves_is_deleted_and_one_that_comes_is_created(root: Path, tmp_path: Path) -> None:
    (root / "album/a.mp3").write_bytes(b"la")
    (tmp_path / "b.mp3").write_bytes(b"li")
    with watching(root) as watched:
        (root / "album/a.mp3").rename(tmp_path / "a.mp3")
        (tmp_path / "b.mp3").rename(root / "album/b.mp3")
        assert watched.told() == [("album/a.mp3", "deleted"), ("album/b.mp3", "created")]


def test_names_of_any_bytes_are_hinted_exactly(root: Path) -> None:
    name = os.fsencode(root) + b"/album/\xff\xfe \n.mp3"
    with watching(root) as watched:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
        assert watched.watch.drain(5)
        assert {hint.path for hint in watched.hints} == {name}


def test_a_folder_with_contents_is_hinted_as_one_and_watched_in_full(root: Path) -> None:
    with watching(root) as watched:
        (root / "new/cd1/scans").mkdir(parents=True)
        assert ("new/", "created") in watched.told()
        assert watched.watch.watch_count() == 5
        (root / "new/cd1/scans/late.mp3").write_bytes(b"la")
        assert ("new/cd1/scans/late.mp3", "closed") in watched.told()


def test_a_moved_folder_hints_both_ends_and_its_contents_go_on_under_the_new_path(root: Path) -> None:
    (root / "album/cd1").mkdir()
    (root / "album/cd1/a.mp3").write_bytes(b"la")
    with watching(root) as watched:
        (root / "album").rename(root / "Album")
        assert watched.told() == [("album/", "moved"), ("Album/", "moved")]
        (root / "Album/cd1/a.mp3").write_bytes(b"li")
        assert watched.told() == [("Album/cd1/a.mp3", "closed")]
        assert watched.watch.watch_count() == 3


def test_a_folder_that_comes_from_elsewhere_is_watched_in_full(root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere/cd1").mkdir(parents=True)
    with watching(root) as watched:
        (tmp_path / "elsewhere").rename(root / "here")
        assert watched.told() == [("here/", "created")]
        (root / "here/cd1/a.mp3").write_bytes(b"la")
        assert watched.told() == [("here/cd1/a.mp3", "created"), ("here/cd1/a.mp3", "closed")]


def test_every_file_of_a_copied_tree_is_covered(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    for number in range(400):
        path = source / str(number % 20) / str(number % 7) / f"{number}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"la")
    with watching(root) as watched:
        subprocess.run(["cp", "-r", source, root / "copy"], check=True)
        assert watched.uncovered() == []
        assert watched.watch.watch_count() == 2 + 1 + 20 + 140


def test_a_drain_waits_for_everything_before_it_under_load(root: Path) -> None:
    with watching(root) as watched:
        for number in range(3_000):
            (root / f"album/{number}.mp3").write_bytes(b"")
        assert watched.watch.drain(10)
        assert len({hint.path for hint in watched.hints}) == 3_000


def test_many_threads_can_drain_at_once(root: Path) -> None:
    with watching(root) as watched:
        seen: list[bool] = []

        def write_and_drain(number: int) -> None:
            path = root / f"album/{number}.mp3"
            for _ in range(20):
                path.write_bytes(b"la")
                drained = watched.watch.drain(10)
                seen.append(drained and os.fsencode(path) in {hint.path for hint in watched.hints})

        threads = [threading.Thread(target=write_and_drain, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [True] * 160


def test_a_drain_that_gets_no_answer_ends_at_its_timeout(root: Path) -> None:
    with watching(root) as watched:
        with watched.tree._lock:
            (root / "album/a.mp3").write_bytes(b"la")
            assert not watched.watch.drain(0.1)
        assert watched.watch.drain(5)


def test_an_overflow_is_reported_and_hints_are_not_relied_on_any_more(root: Path) -> None:
    with watching(root) as watched:
        with watched.tree._lock:
            for number in range(9_000):
                os.close(os.open(root / f"album/{number}", os.O_CREAT | os.O_WRONLY))
        wait_for(lambda: watched.troubles, "the overflow to be reported")
        assert [trouble.kind for trouble in watched.troubles] == [TroubleKind.OVERFLOW]
        assert not watched.watch.drain(1)
        assert "queue was full" in str(watched.watch.alive())
        assert watched.watch.watch_count() == 2


def test_thousands_of_renames_behind_a_file_that_left_are_paired(root: Path, tmp_path: Path) -> None:
    for number in range(2_000):
        (root / f"album/{number}.mp3").write_bytes(b"")
    with watching(root) as watched:
        (root / "album/0.mp3").rename(tmp_path / "gone.mp3")
        for number in range(1, 2_000):
            (root / f"album/{number}.mp3").rename(root / f"album/{number}.flac")
        assert watched.watch.drain(10)
        assert sum(hint.moved_from is not None for hint in watched.hints) == 1_999


def test_a_folder_tree_made_and_renamed_while_the_reader_is_behind_is_watched(root: Path) -> None:
    with watching(root) as watched:
        with watched.tree._lock:
            (root / "tmp/inner").mkdir(parents=True)
            (root / "tmp").rename(root / "final")
        watched.told()
        (root / "final/inner/a.mp3").write_bytes(b"la")
        assert ("final/inner/a.mp3", "closed") in watched.told()


def test_a_name_taken_again_while_the_reader_is_behind_leaves_no_folder_blind(root: Path) -> None:
    with watching(root) as watched:
        with watched.tree._lock:
            (root / "one").mkdir()
            (root / "one").rename(root / "two")
            (root / "one").mkdir()
        watched.told()
        (root / "one/a.mp3").write_bytes(b"la")
        (root / "two/b.mp3").write_bytes(b"la")
        told = watched.told()
        assert ("one/a.mp3", "closed") in told
        assert ("two/b.mp3", "closed") in told


def test_folders_that_swap_their_names_while_the_reader_is_behind_keep_them_apart(root: Path) -> None:
    (root / "one").mkdir()
    (root / "two").mkdir()
    with watching(root) as watched:
        with watched.tree._lock:
            (root / "one").rename(root / "spare")
            (root / "two").rename(root / "one")
            (root / "spare").rename(root / "two")
        watched.told()
        (root / "one/a.mp3").write_bytes(b"la")
        assert watched.told() == [("one/a.mp3", "created"), ("one/a.mp3", "closed")]
        (root / "two/b.mp3").write_bytes(b"la")
        assert watched.told() == [("two/b.mp3", "created"), ("two/b.mp3", "closed")]


def test_a_folder_moved_out_while_its_name_is_used_again_does_not_end_the_watch(
    root: Path, tmp_path: Path
) -> None:
    with watching(root) as watched:
        (root / "album").rename(tmp_path / "away")
        watched.told()
        (root / "album").mkdir()
        watched.told()
        assert watched.watch.watch_count() == 2
        (root / "album").rmdir()
        (tmp_path / "away").rmdir()
        watched.told()
        assert watched.watch.alive() is None
        assert watched.watch.watch_count() == 1
        (root / "a.mp3").write_bytes(b"la")
        assert ("a.mp3", "closed") in watched.told()


def test_a_tree_of_a_thousand_levels_that_comes_does_not_end_the_watch(root: Path, tmp_path: Path) -> None:
    folders = [os.path.join(tmp_path, "deep", *"d" * depth) for depth in range(1_100)]
    for folder in folders:
        os.mkdir(folder)
    try:
        with watching(root) as watched:
            (tmp_path / "deep").rename(root / "deep")
            assert watched.told() == [("deep/", "created")]
            assert watched.watch.watch_count() == 1_102
            (root / "deep").rename(tmp_path / "deep")
    finally:
        for folder in reversed(folders):
            os.rmdir(folder)


def test_an_event_that_cannot_be_worked_on_is_reported_and_the_next_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = inotify_tree.WatchTree.on_event

    def fail_once(self: inotify_tree.WatchTree, event: object) -> None:
        monkeypatch.setattr(inotify_tree.WatchTree, "on_event", real)
        raise KeyError("bookkeeping")

    with watching(root) as watched:
        monkeypatch.setattr(inotify_tree.WatchTree, "on_event", fail_once)
        (root / "a.mp3").write_bytes(b"la")
        wait_for(lambda: watched.hints, "the next hint")
        assert [trouble.kind for trouble in watched.troubles] == [TroubleKind.EVENT_FAILED]
        assert not watched.watch.drain(1)


def test_a_reader_that_dies_is_reported(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise OSError("the descriptor went away")

    with watching(root) as watched:
        monkeypatch.setattr(inotify_tree.Reader, "read_events", fail)
        (root / "a.mp3").write_bytes(b"la")
        wait_for(lambda: watched.troubles, "the death to be reported")
        assert watched.troubles[0].kind is TroubleKind.THREAD_DIED
        assert "fw-watch-reader" in str(watched.watch.alive())


def test_a_receiver_that_raises_is_reported_and_gets_the_next_hint(root: Path) -> None:
    got: list[Hint] = []

    def refuse_first(hint: Hint) -> None:
        got.append(hint)
        if len(got) == 1:
            raise LookupError("no room")

    with watching(root, on_hint=refuse_first) as watched:
        (root / "a.mp3").write_bytes(b"la")
        wait_for(lambda: len(got) == 2, "the second hint")
        assert [trouble.kind for trouble in watched.troubles] == [TroubleKind.EVENT_FAILED]


def test_a_root_that_is_deleted_is_reported(root: Path) -> None:
    with watching(root) as watched:
        shutil.rmtree(root)
        wait_for(lambda: watched.troubles, "the loss to be reported")
        assert [trouble.kind for trouble in watched.troubles] == [TroubleKind.ROOT_LOST]
        assert not watched.watch.drain(1)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_root_that_is_no_folder_is_refused_in_plain_words(root: Path, kind: str) -> None:
    (root / "file").write_bytes(b"")
    watched = Watched(root / kind)
    with pytest.raises(RetryableError, match="does not exist or is no folder"):
        watched.watch.start()
    watched.watch.close()
    assert watched.watch.join(Deadline(1))
    assert watched.watch.alive() is not None


def test_folders_that_are_not_wanted_cost_no_watch(root: Path) -> None:
    (root / ".trash/deep").mkdir(parents=True)
    with watching(root, wants_folder=lambda path: b"/." not in path) as watched:
        assert watched.watch.watch_count() == 2
        (root / ".trash").rename(root / "back")
        watched.told()
        assert watched.watch.watch_count() == 4


def test_without_recursion_only_the_root_is_watched(root: Path) -> None:
    with watching(root, recursive=False) as watched:
        assert watched.watch.watch_count() == 1
        (root / "album").rename(root / "moved")
        (root / "new").mkdir()
        watched.told()
        assert watched.watch.watch_count() == 1


def test_after_the_close_no_hint_comes_and_a_second_close_does_nothing(root: Path) -> None:
    with watching(root) as watched:
        watched.watch.close()
        watched.watch.close()
        (root / "a.mp3").write_bytes(b"la")
        assert watched.watch.join(Deadline(5))
        assert watched.hints == []
        assert not watched.watch.drain(1)
        assert watched.watch.alive() is not None


def test_a_watch_that_is_closed_at_once_or_never_started_leaves_nothing_behind(root: Path) -> None:
    never = Watched(root)
    never.watch.close()
    assert never.watch.join(Deadline(1))
    for _ in range(20):
        with watching(root):
            pass


def test_a_receiver_of_troubles_that_raises_does_not_end_the_watch(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Trouble) -> None:
        raise LookupError("no room")

    with watching(root) as watched:
        monkeypatch.setattr(watched.watch, "_on_trouble", refuse)
        with watched.tree._lock:
            for number in range(9_000):
                os.close(os.open(root / f"album/{number}", os.O_CREAT | os.O_WRONLY))
        wait_for(watched.watch.alive, "the overflow to be noticed")
        watched.hints.clear()
        (root / "a.mp3").write_bytes(b"la")
        wait_for(lambda: "a.mp3" in {watched.name_of(hint) for hint in watched.hints}, "a hint afterwards")


def test_where_there_are_no_native_watches_hints_come_but_a_drain_promises_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.watching.observer.native_supported", lambda: False)
    with watching(root) as watched:
        (root / "album/a.mp3").write_bytes(b"la")
        wait_for(lambda: HintKind.CLOSED in {hint.kind for hint in watched.hints}, "the file's hints")
        assert {hint.path for hint in watched.hints} == {os.fsencode(root / "album/a.mp3")}
        assert watched.watch.alive() is None
        assert not watched.watch.drain(0.1)
        assert watched.watch.unwatched() == []


def test_a_reader_that_is_closed_before_it_reads_closes_its_descriptors() -> None:
    before = set(os.listdir("/proc/self/fd"))
    reader = inotify_tree.Reader(Canary(), lambda _: None)
    assert set(os.listdir("/proc/self/fd")) > before
    reader.close()
    assert set(os.listdir("/proc/self/fd")) == before


def in_a_child(script: str, *command: str) -> str:
    """Run Python in another process, as another user or under other limits; what it prints."""
    finished = subprocess.run(
        [*command, sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=PROJECT,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


OWN_LIMITS = ("unshare", "--user", "--map-root-user")
"""A user namespace has limits of its own, in /proc/sys/user; those in /proc/sys/fs are the whole machine's."""

PREPARE = """
    import os, sys, threading
    from file_watcher.model import Library
    from file_watcher.errors import RetryableError
    from file_watcher.lifecycle import Deadline
    from file_watcher.watching import inotify
    from file_watcher.watching.observer import LibraryWatch
    root = {root!r}
    troubles = []
    watch = LibraryWatch(Library(1, "m", "t", root), lambda hint: None, troubles.append)
"""


def test_a_folder_that_may_not_be_read_is_recorded_and_the_rest_is_watched(root: Path) -> None:
    (root / "secret/inner").mkdir(parents=True)
    (root / "secret2").mkdir()
    (root / "secret").chmod(0o000)
    (root / "secret2").chmod(0o000)
    for folder in (root, *root.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    script = (
        PREPARE.format(root=os.fsencode(root))
        + """
    if os.getuid() == 0:
        os.setresuid(65534, 65534, 65534)
    watch.start()
    print(watch.watch_count(), sorted(watch.unwatched()) == [(root + b"/secret", 13), (root + b"/secret2", 13)])
    print([(trouble.kind.value, trouble.errno) for trouble in troubles], watch.alive(), watch.drain(5))
    watch.close()
    print(watch.join(Deadline(5)))
    """
    )
    try:
        lines = in_a_child(script).splitlines()
    finally:
        (root / "secret").chmod(0o700)
    assert lines[-3:] == ["2 True", "[('unwatched', 13)] None True", "True"]


def test_a_root_that_may_not_be_read_is_refused_in_plain_words(root: Path) -> None:
    root.chmod(0o000)
    script = (
        PREPARE.format(root=os.fsencode(root))
        + """
    if os.getuid() == 0:
        os.chmod(os.path.dirname(root), 0o755)
        os.chown(root, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    try:
        watch.start()
    except RetryableError as exc:
        print(exc)
    print(len(threading.enumerate()))
    """
    )
    for folder in root.parents:
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    try:
        lines = in_a_child(script).splitlines()
    finally:
        root.chmod(0o700)
    assert lines == [
        f"No permission to read {root}: let the user that runs file_watcher read the folder",
        "1",
    ]


def test_a_watch_limit_that_is_reached_is_recorded_with_the_command_that_mends_it(root: Path) -> None:
    for number in range(20):
        (root / f"{number}").mkdir()
    script = (
        PREPARE.format(root=os.fsencode(root))
        + """
    with open("/proc/sys/user/max_inotify_watches", "w") as limit:
        limit.write("10")
    watch.start()
    print(watch.watch_count(), len(watch.unwatched()), [(t.kind.value, t.errno) for t in troubles])
    print(troubles[0].detail)
    print(watch.drain(1))
    watch.close()
    print(watch.join(Deadline(5)))
    """
    )
    lines = in_a_child(script, *OWN_LIMITS).splitlines()
    assert "10 12 [('unwatched', 28)]" in lines
    assert any("sysctl -w fs.inotify.max_user_watches=" in line for line in lines)
    assert lines[-2:] == ["False", "True"]


def test_folders_that_found_no_watch_free_get_one_when_it_is(root: Path) -> None:
    for number in range(20):
        (root / f"{number}").mkdir()
    script = (
        PREPARE.format(root=os.fsencode(root))
        + """
    def limit(count):
        with open("/proc/sys/user/max_inotify_watches", "w") as file:
            file.write(str(count))
    limit(10)
    watch.start()
    os.rmdir(watch.unwatched()[0][0])
    watch.watch_more()
    limit(15)
    watch.watch_more()
    some = (watch.watch_count(), len(watch.unwatched()))
    limit(100)
    watch.watch_more()
    print(some, watch.watch_count(), watch.unwatched())
    watch.close()
    print(watch.join(Deadline(5)))
    """
    )
    lines = in_a_child(script, *OWN_LIMITS).splitlines()
    assert lines[-2:] == ["(15, 6) 21 []", "True"]


def test_the_service_s_own_limit_counts_what_all_its_watches_hold(root: Path) -> None:
    (root / "album" / "inner").mkdir()
    budget = WatchBudget(4)
    troubles: list[Trouble] = []

    def watch_of(name: str) -> LibraryWatch:
        folder = Library(1, "music", "production", os.fsencode(root / name))
        return LibraryWatch(folder, lambda hint: None, troubles.append, budget=budget)

    first, second, third = watch_of("album"), watch_of("."), watch_of("album")
    try:
        first.start()
        second.start()
        assert (first.watch_count(), second.watch_count(), len(second.unwatched())) == (2, 2, 1)
        assert [trouble.errno for trouble in troubles] == [errno.EDQUOT]
        with pytest.raises(RetryableError, match="FILE_WATCH_MAX_WATCHES"):
            third.start()
        first.close()
        assert first.join(Deadline(5))
        second.watch_more()
        assert (second.watch_count(), second.unwatched()) == (3, [])
    finally:
        for watch in (first, second, third):
            watch.close()
            assert watch.join(Deadline(5))


def test_an_instance_limit_that_is_reached_is_told_with_the_command_that_mends_it(root: Path) -> None:
    script = (
        PREPARE.format(root=os.fsencode(root))
        + """
    with open("/proc/sys/user/max_inotify_instances", "w") as limit:
        limit.write("0")
    try:
        watch.start()
    except RetryableError as exc:
        print(exc)
    """
    )
    (line,) = in_a_child(script, *OWN_LIMITS).splitlines()
    assert "sysctl -w fs.inotify.max_user_instances=" in line


def test_a_root_that_is_unmounted_is_reported(root: Path) -> None:
    script = (
        PREPARE.format(root=os.fsencode(root))
        + """
    import subprocess, time
    subprocess.run(["mount", "-t", "tmpfs", "none", os.fsdecode(root)], check=True)
    os.mkdir(root + b"/a")
    watch.start()
    subprocess.run(["umount", os.fsdecode(root)], check=True)
    end = time.monotonic() + 5
    while len(troubles) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    print([trouble.kind.value for trouble in troubles])
    watch.close()
    print(watch.join(Deadline(5)))
    """
    )
    lines = in_a_child(script, *OWN_LIMITS, "--mount").splitlines()
    assert lines[-2:] == ["['unmounted', 'root_lost']", "True"]


@pytest.mark.parametrize("when", ["before it is watched", "while it is listed"])
def test_a_link_that_takes_the_place_of_a_folder_is_neither_watched_nor_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    (tmp_path / "outside" / "deeper" / "still").mkdir(parents=True)
    album = os.fsencode(root / "album")
    listing, folders_in = inotify_tree.WatchTree._subfolders, inotify_tree._folders_in

    def swap() -> None:
        if not (root / "album").is_symlink():
            (root / "album").rename(tmp_path / "aside")
            (root / "album").symlink_to(tmp_path / "outside")

    def after_its_parent(tree: inotify_tree.WatchTree, folder: bytes) -> list[bytes]:
        found = listing(tree, folder)
        swap()
        return found

    def at_its_turn(folder: bytes) -> list[bytes]:
        if folder == album:
            swap()
        return folders_in(folder)

    if when == "before it is watched":
        monkeypatch.setattr(inotify_tree.WatchTree, "_subfolders", after_its_parent)
    else:
        monkeypatch.setattr(inotify_tree, "_folders_in", at_its_turn)
    with watching(root) as watched:
        assert (root / "album").is_symlink()
        paths = set(watched.tree._active_callbacks_by_path)
        assert paths <= {os.fsencode(root), album}, "nothing of what the link leads to"
        assert watched.watch.drain(10)
        (tmp_path / "outside" / "deeper" / "song.mp3").touch()
        (tmp_path / "outside" / "song.mp3").touch()
        assert all("song" not in name for name, _ in watched.told())
        assert watched.troubles == []
