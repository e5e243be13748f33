"""Sentences of the specification, told from the kernel's hint to the consumer's mirror."""

from __future__ import annotations

import errno
import itertools

import pytest

from file_watcher.model import FileEvent, Hint, HintKind, Source
from tests.support.pipeline import Pipeline
from tests.support.scene import told
from tests.support.world import World, fingerprint_of

A, B, C, D = b"/lib/a", b"/lib/b", b"/lib/c", b"/lib/d"


class Library:
    """A disk that is watched and whose first files are told already."""

    def __init__(self) -> None:
        self.world = World()
        self.pipeline = Pipeline(self.world)

    def has(self, **contents: bytes) -> None:
        """Put files there (`d__x` is d/x) and have them told."""
        for name, content in contents.items():
            self.pipeline.hint(self.world.write(b"/lib/" + name.replace("__", "/").encode(), content))
        self.pipeline.settle()
        self.world.reads = 0

    def after(self, *hints: list[Hint]) -> list[FileEvent]:
        """Give the hints and let everything come to rest; returns what was told."""
        for each in hints:
            self.pipeline.hint(each)
        events = self.pipeline.settle()
        assert self.pipeline.mirror.files == self.world.contents()
        return events


@pytest.fixture
def library() -> Library:
    return Library()


# -- one change, one message ---------------------------------------------------------------------------


def test_a_write_is_created_then_modified_then_deleted(library: Library) -> None:
    created = library.after(library.world.write(A, b"one"))
    modified = library.after(library.world.write(A, b"two"))
    deleted = library.after(library.world.delete(A))
    events = created + modified + deleted
    assert told(events) == [("created", A), ("modified", A), ("deleted", A)]
    assert [(event.previous_version, event.version) for event in events] == [(None, 1), (1, 2), (2, 3)]
    assert len({event.file_id for event in events}) == 1


def test_a_file_that_is_created_anew_is_a_new_file(library: Library) -> None:
    first = library.after(library.world.write(A, b"one"))
    library.after(library.world.delete(A))
    again = library.after(library.world.write(A, b"one"))
    assert told(again) == [("created", A)]
    assert (again[0].version, again[0].previous_version) == (1, None)
    assert again[0].file_id != first[0].file_id


def test_a_touch_says_nothing(library: Library) -> None:
    library.has(a=b"one")
    assert library.after(library.world.touch(A)) == []
    assert library.pipeline.unchanged == 1


def test_a_file_that_comes_and_goes_within_the_window_says_nothing(library: Library) -> None:
    assert library.after(library.world.write(A, b"one"), library.world.delete(A)) == []
    assert library.world.reads == 0


def test_many_writes_are_one_message_with_the_last_content(library: Library) -> None:
    hints = [library.world.write(A, content) for content in (b"one", b"two", b"three")]
    events = library.after(*hints)
    assert told(events) == [("created", A)]
    assert events[0].fingerprint == fingerprint_of(b"three")


def test_a_write_that_restores_the_mtime_is_modified(library: Library) -> None:
    library.has(a=b"one")
    assert told(library.after(library.world.write_and_restore_mtime(A, b"two"))) == [("modified", A)]


def test_a_carried_hash_that_was_out_of_date_is_put_right_in_the_background(library: Library) -> None:
    """The write's own hint was lost, the mtime set back: only the second reading can tell."""
    library.has(a=b"one")
    library.world.write_and_restore_mtime(A, b"two")
    assert told(library.after(library.world.rename(A, B))) == [("renamed", B, A), ("modified", B)]


# -- moves ---------------------------------------------------------------------------------------------


def test_a_rename_is_told_with_carried_hashes_before_they_are_read_once_more(library: Library) -> None:
    library.has(a=b"one")
    library.pipeline.hint(library.world.rename(A, B))
    library.pipeline.run(1.0)
    assert told(library.pipeline.ledger.events[1:]) == [("renamed", B, A)]
    assert library.world.reads == 0
    assert library.pipeline.run(10.0) == []
    assert library.world.reads == 1
    assert library.pipeline.ledger.rows[B].racy is False


def test_a_folder_moves_unread_with_one_message_for_each_file(library: Library) -> None:
    library.has(d__x=b"one", d__y=b"", d__e__z=b"three")
    events = library.after(library.world.rename_folder(D, b"/lib/f"))
    assert sorted(told(events)) == [
        ("moved", b"/lib/f/e/z", b"/lib/d/e/z"),
        ("moved", b"/lib/f/x", b"/lib/d/x"),
        ("moved", b"/lib/f/y", b"/lib/d/y"),
    ]
    assert library.world.reads == 0


def test_a_folder_that_moved_while_nobody_watched_moves_unread(library: Library) -> None:
    library.has(d__x=b"one", d__y=b"")
    library.world.rename_folder(D, b"/lib/f")
    library.pipeline.restart()
    events = library.after()
    assert {event.event_type for event in events} == {"moved"}
    assert {event.evidence for event in events} == {"inode"}
    assert library.world.reads == 0


def test_a_file_that_is_renamed_twice_within_the_window_is_renamed_once(library: Library) -> None:
    library.has(a=b"one")
    events = library.after(library.world.rename(A, B), library.world.rename(B, C))
    assert told(events) == [("renamed", C, A)]
    assert events[0].evidence == "cookie"


def test_a_swap_is_modified_of_each_path(library: Library) -> None:
    library.has(a=b"one", b=b"two")
    hints = [library.world.rename(*pair) for pair in ((A, C), (B, A), (C, B))]
    assert sorted(told(library.after(*hints))) == [("modified", A), ("modified", B)]


def test_a_rotation_of_three_is_modified_of_each_path(library: Library) -> None:
    library.has(a=b"one", b=b"two", c=b"three")
    hints = [library.world.rename(*pair) for pair in ((A, D), (C, A), (B, C), (D, B))]
    assert sorted(told(library.after(*hints))) == [("modified", A), ("modified", B), ("modified", C)]


def test_a_chain_is_told_tail_first_whatever_comes_first(library: Library) -> None:
    library.has(a=b"one", b=b"two", c=b"three")
    hints = [library.world.rename(*pair) for pair in ((C, D), (B, C), (A, B))]
    expected = [("renamed", D, C), ("renamed", C, B), ("renamed", B, A)]
    assert told(library.after(*reversed(hints))) == expected


def test_an_overwritten_file_is_deleted_before_the_move(library: Library) -> None:
    library.has(a=b"one", b=b"two")
    assert told(library.after(library.world.rename(A, B))) == [("deleted", B), ("renamed", B, A)]


def test_a_file_that_was_written_after_its_rename_is_renamed_then_modified(library: Library) -> None:
    library.has(a=b"one")
    events = library.after(library.world.rename(A, B), library.world.write(B, b"two"))
    assert told(events) == [("renamed", B, A), ("modified", B)]


def test_a_partial_download_that_gets_its_name_is_created(library: Library) -> None:
    """The filters drop the hint of the partial name; the cookie names a file that nobody knows."""
    library.world.write(b"/lib/a.part", b"one")
    hints = library.world.rename(b"/lib/a.part", A)
    assert told(library.after([hint for hint in hints if hint.path == A])) == [("created", A)]


def test_a_tagger_that_replaces_by_rename_is_one_modified(library: Library) -> None:
    library.has(a=b"one")
    before = library.pipeline.ledger.rows[A].file_id
    events = library.after(library.world.replace(A, b"two"))
    assert told(events) == [("modified", A)]
    assert events[0].file_id == before


def test_a_backup_made_by_rename_before_a_new_save_is_one_rename_and_one_created(library: Library) -> None:
    """What editors do: a becomes b, and a new a is written."""
    library.has(a=b"one")
    events = library.after(library.world.rename(A, B), library.world.write(A, b"two"))
    assert told(events) == [("renamed", B, A), ("created", A)]


# -- hard links ----------------------------------------------------------------------------------------


def test_a_write_under_one_name_is_told_for_every_name(library: Library) -> None:
    library.has(a=b"one")
    assert told(library.after(library.world.link(A, B))) == [("created", B)]
    assert sorted(told(library.after(library.world.write(A, b"two")))) == [("modified", A), ("modified", B)]


def test_removing_one_name_leaves_the_other(library: Library) -> None:
    library.has(a=b"one")
    library.after(library.world.link(A, B))
    assert told(library.after(library.world.delete(A))) == [("deleted", A)]


# -- files and folders that change places --------------------------------------------------------------


def test_a_file_becomes_a_folder_and_a_folder_becomes_a_file(library: Library) -> None:
    library.has(d=b"one")
    assert told(library.after(library.world.delete(D), library.world.write(b"/lib/d/x", b"two"))) == [
        ("deleted", D),
        ("created", b"/lib/d/x"),
    ]
    assert told(library.after(library.world.delete(b"/lib/d/x"), library.world.write(D, b"three"))) == [
        ("deleted", b"/lib/d/x"),
        ("created", D),
    ]


# -- open, growing, unreadable -------------------------------------------------------------------------


def test_a_growing_file_is_silent_until_max_wait_then_told_at_most_every_max_wait(library: Library) -> None:
    library.pipeline.hint(library.world.open(A))
    told_at = []
    for second in range(100):
        library.world.append(A, b"more")
        told_at += [second for _ in library.pipeline.run(1.0)]
    assert len(told_at) == 3
    assert 29 <= told_at[0] <= 32
    assert all(later - earlier >= 30 for earlier, later in itertools.pairwise(told_at))
    events = library.pipeline.ledger.events
    assert told(events) == [("created", A), ("modified", A), ("modified", A)]
    assert all(event.growing and event.fingerprint is None for event in events)
    final = library.after(library.world.close(A))
    assert told(final) == [("modified", A)]
    assert (final[0].growing, final[0].fingerprint) == (False, fingerprint_of(b"more" * 100))
    assert library.world.reads == 1


def test_a_copy_that_stalls_is_one_message_with_the_final_hash(library: Library) -> None:
    library.pipeline.hint(library.world.open(A))
    library.world.append(A, b"first")
    assert library.pipeline.run(20.0) == []
    library.world.append(A, b"last")
    events = library.after(library.world.close(A))
    assert told(events) == [("created", A)]
    assert events[0].fingerprint == fingerprint_of(b"firstlast")


def test_a_file_that_stays_open_but_still_is_told_with_hashes_after_max_wait(library: Library) -> None:
    library.pipeline.hint(library.world.open(A))
    library.world.append(A, b"one")
    assert library.pipeline.run(28.0) == []
    events = library.pipeline.run(10.0)
    assert told(events) == [("created", A)]
    assert (events[0].growing, events[0].fingerprint) == (False, fingerprint_of(b"one"))


def test_a_file_that_grows_again_after_a_long_pause_is_told_although_it_was_never_closed(
    library: Library,
) -> None:
    library.pipeline.hint(library.world.open(A))
    library.world.append(A, b"one")
    library.pipeline.run(200.0)
    library.world.append(A, b"more")
    events = library.pipeline.run(100.0)
    assert told(events) == [("modified", A)]
    assert events[0].fingerprint == fingerprint_of(b"onemore")


def test_a_growing_file_that_vanishes_is_deleted(library: Library) -> None:
    library.pipeline.hint(library.world.open(A))
    for _ in range(35):
        library.world.append(A, b"more")
        library.pipeline.run(1.0)
    assert told(library.after(library.world.delete(A))) == [("deleted", A)]


def test_an_unreadable_file_is_told_once_and_again_when_it_can_be_read(library: Library) -> None:
    hints = library.world.write(A, b"one")
    library.world.forbid(A)
    library.pipeline.hint(hints)
    (event,) = library.pipeline.settle()
    assert (event.event_type, event.fingerprint) == ("created", None)
    assert event.reason is not None
    for _ in range(3):
        library.pipeline.hint_everything()
        assert library.pipeline.settle() == []
    library.world.allow(A)
    library.pipeline.hint_everything()
    (event,) = library.after()
    assert (event.event_type, event.fingerprint, event.reason) == ("modified", fingerprint_of(b"one"), None)


def test_a_folder_with_an_unreadable_file_moves_whole(library: Library) -> None:
    library.world.write(b"/lib/d/x", b"one")
    library.world.forbid(b"/lib/d/x")
    library.pipeline.hint([Hint(b"/lib/d/x", HintKind.CREATED)])
    library.pipeline.settle()
    library.pipeline.hint(library.world.rename_folder(D, b"/lib/f"))
    assert told(library.pipeline.settle()) == [("moved", b"/lib/f/x", b"/lib/d/x")]


def test_a_failing_disk_says_nothing_until_it_answers(library: Library) -> None:
    library.has(a=b"one")
    hints = library.world.write(A, b"two")
    library.world.forbid(A, errno.EIO)
    library.pipeline.hint(hints)
    assert library.pipeline.run(100.0) == []
    library.world.allow(A)
    assert told(library.pipeline.run(40.0)) == [("modified", A)]


def test_a_folder_that_cannot_be_read_shields_what_is_in_it(library: Library) -> None:
    library.has(d__x=b"one", d__y=b"two")
    library.world.hidden.add(D)
    library.pipeline.hint_everything()
    assert library.pipeline.run(100.0) == []
    library.world.hidden.clear()
    assert library.pipeline.run(40.0) == []
    assert library.world.reads == 0


# -- what is not read ----------------------------------------------------------------------------------


def test_a_restart_reads_nothing_of_what_did_not_change(library: Library) -> None:
    library.has(a=b"one", b=b"", d__x=b"two")
    library.pipeline.restart()
    assert library.after() == []
    assert library.world.reads == 0


def test_a_racy_file_is_read_once_more_and_then_trusted(library: Library) -> None:
    library.world.read_lag_ns = 0
    library.pipeline.hint(library.world.write(A, b"one"))
    while A not in library.pipeline.ledger.rows:
        library.pipeline.now += 0.5
        library.pipeline.examine()
        library.pipeline.decide()
    assert library.pipeline.ledger.rows[A].racy
    library.world.files[A].content = b"two"
    assert told(library.after()) == [("modified", A)]
    reads = library.world.reads
    library.pipeline.hint_everything()
    library.after()
    assert library.world.reads == reads


def test_a_change_of_mode_alone_is_read_and_says_nothing(library: Library) -> None:
    library.has(a=b"one")
    library.world.chmod(A)
    library.pipeline.hint([Hint(A, HintKind.SCANNED, source=Source.SCAN)])
    assert library.after() == []
    assert library.world.reads == 1
