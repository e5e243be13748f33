from __future__ import annotations

import errno
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

import pytest

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import (
    GONE,
    UNKNOWN,
    FileRecord,
    FileStat,
    Library,
    Metadata,
    Observation,
    Sight,
    Source,
    Ticket,
)
from file_watcher.processing.examine import Examination, Examiner
from file_watcher.processing.fingerprint import (
    ChangedWhileReading,
    Crowded,
    NotRegular,
    Reading,
    Unreadable,
    Vanished,
)
from file_watcher.processing.idle import StreamConfig
from file_watcher.processing.settle import SettleConfig
from file_watcher.processing.tags.whole import WholeFuture
from tests.support.world import LIBRARY, fingerprint_of

A, B = b"/lib/a", b"/lib/b"
STAT = FileStat(size=3, mtime_ns=1_000, ctime_ns=2_000, device=7, inode=100)
LATER = STAT._replace(mtime_ns=9_000, ctime_ns=9_000)
ONE = fingerprint_of(b"one")
NOW = 1000.0


@dataclass
class Around:
    """Surroundings that answer what they are told to, and remember what they were asked."""

    sight: Sight = STAT
    rows: list[FileRecord] = field(default_factory=list)
    is_open: bool | None = False
    reading: Reading | Exception = field(default_factory=lambda: Reading(STAT, ONE, 5_000, 0.0))
    tags: Future[Metadata | None] | None = None
    whole: WholeFuture | None = None
    reads: int = 0
    linked_inode: int = 0
    mode: str | None = None

    def look(self, path: bytes, library: Library | None) -> Sight:
        return self.sight

    def find(self, path: bytes, inode: int) -> Sequence[FileRecord]:
        return [row for row in self.rows if row.path == path or row.stat.inode == inode]

    def in_hand(self, path: bytes, library: Library, device: int) -> AbstractContextManager[Around]:
        return nullcontext(self)

    def is_open_for_writing(self) -> bool | None:
        return self.is_open

    def inode_with_other_names(self, path: bytes) -> int:
        return self.linked_inode

    def attributes(self, path: bytes, library: Library) -> str | None:
        return self.mode

    def read(self) -> Reading:
        self.reads += 1
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading

    def read_tags(self, path: bytes, stat: FileStat) -> Future[Metadata | None] | None:
        return self.tags

    def read_whole(self, path: bytes, stat: FileStat) -> WholeFuture | None:
        return self.whole


TICKET = Ticket(
    path=A,
    library=LIBRARY,
    is_folder=False,
    closed=False,
    must_hash=False,
    moved_from=frozenset(),
    source=Source.KERNEL,
    noticed=NOW - 1,
    changed_ns=77,
    waited_since=NOW - 1,
    last_stat=None,
    still_since=NOW - 1,
    told_growing=None,
)


def row(path: bytes = A, stat: FileStat = STAT, **fields: object) -> FileRecord:
    values: dict[str, object] = {"file_id": path.decode(), "version": 1, "fingerprint": ONE}
    return FileRecord(path, LIBRARY.id, stat=stat, **(values | fields))  # type: ignore[arg-type]


def examine(around: Around, **ticket: object) -> Examination:
    config = SettleConfig(quiet=1.0, max_wait=30.0)
    return Examiner(lambda _: config, around).examine(replace(TICKET, **ticket), NOW)  # type: ignore[arg-type]


def observed(examination: Examination) -> Observation:
    assert examination.observation is not None
    return examination.observation


# -- what is read, and what is not ---------------------------------------------------------------------


def test_a_file_without_a_row_is_read() -> None:
    examination = examine(Around(), moved_from=frozenset({B}), source=Source.SCAN)
    assert observed(examination) == Observation(
        path=A,
        library=LIBRARY,
        sight=STAT,
        fingerprint=ONE,
        read_at_ns=5_000,
        moved_from=frozenset({B}),
        source=Source.SCAN,
        noticed=NOW - 1,
        changed_ns=77,
    )
    assert examination.keep_watching_after is None


def test_no_row_is_asked_for_where_none_can_be() -> None:
    class Unasked(Around):
        def find(self, path: bytes, inode: int) -> Sequence[FileRecord]:
            raise AssertionError("that costs a question for each file")

    assert observed(examine(Unasked(), source=Source.SCAN, is_unrecorded=True)).fingerprint == ONE


def test_the_stat_of_the_open_file_counts() -> None:
    """It is the one that was the same before and after the reading."""
    around = Around(reading=Reading(LATER, ONE, 5_000, 0.0))
    assert observed(examine(around)).sight == LATER


def test_a_file_that_its_row_proves_is_not_read() -> None:
    around = Around(rows=[row()])
    seen = observed(examine(around))
    assert (seen.sight, seen.fingerprint, around.reads) == (STAT, None, 0)


@pytest.mark.parametrize("why", [{"closed": True}, {"must_hash": True}])
def test_a_closed_write_and_a_wish_to_make_sure_always_read(why: dict[str, bool]) -> None:
    around = Around(rows=[row()])
    assert observed(examine(around, **why)).fingerprint == ONE
    assert around.reads == 1


@pytest.mark.parametrize("doubt", [{"racy": True}, {"fingerprint": None}, {"growing": True}, {"stat": LATER}])
def test_a_file_that_its_row_does_not_prove_is_read(doubt: dict[str, object]) -> None:
    around = Around(rows=[row(**doubt)])  # type: ignore[arg-type]
    examine(around)
    assert around.reads == 1


def test_a_moved_file_that_its_row_proves_is_not_read() -> None:
    around = Around(sight=STAT._replace(ctime_ns=9), rows=[row(B)])
    examine(around, moved_from=frozenset({B}))
    assert around.reads == 0
    examine(around)
    assert around.reads == 1


@pytest.mark.parametrize("sight", [GONE, UNKNOWN])
def test_what_is_not_seen_is_observed_as_it_is(sight: Sight) -> None:
    around = Around(sight=sight)
    assert observed(examine(around)).sight is sight
    assert around.reads == 0


def test_a_file_whose_hashes_nobody_wants_is_not_read_but_its_tags_are() -> None:
    around = Around(tags=Future())
    config = SettleConfig(quiet=1.0, max_wait=30.0)
    examination = Examiner(lambda _: config, around, hashes=lambda _: False).examine(TICKET, NOW)
    seen = observed(examination)
    assert (seen.sight, seen.fingerprint, seen.unhashed, around.reads) == (STAT, None, True, 0)
    assert examination.tags is around.tags
    assert examination.again_after == 1.0, "the pause before its tags are asked for again"


@pytest.mark.parametrize(("size", "is_announced"), [((1 << 20) - 1, False), (1 << 20, True)])
def test_a_reading_that_may_take_long_is_announced(size: int, *, is_announced: bool) -> None:
    announced: list[tuple[Ticket, FileStat]] = []
    around = Around(sight=STAT._replace(size=size))
    config = SettleConfig(quiet=1.0, max_wait=30.0)
    examiner = Examiner(lambda _: config, around, begins_reading=lambda *what: announced.append(what))
    examiner.examine(TICKET, NOW)
    assert announced == ([(TICKET, around.sight)] if is_announced else [])


# -- settling ------------------------------------------------------------------------------------------


def test_a_file_that_somebody_writes_is_looked_at_again_after_the_window() -> None:
    around = Around(is_open=True)
    assert examine(around) == Examination(None, STAT, 1.0)
    assert around.reads == 0


def test_a_file_that_stays_open_but_still_is_read_and_kept_an_eye_on() -> None:
    around = Around(is_open=True)
    examination = examine(around, last_stat=STAT, still_since=NOW - 30)
    assert observed(examination).fingerprint == ONE
    assert examination.keep_watching_after == 30.0


def test_a_file_that_grows_for_long_is_observed_unread_and_kept_an_eye_on() -> None:
    around = Around(is_open=True)
    examination = examine(around, last_stat=LATER, waited_since=NOW - 30)
    seen = observed(examination)
    assert (seen.growing, seen.fingerprint, seen.sight) == (True, None, STAT)
    assert examination.keep_watching_after == 1.0
    assert around.reads == 0


def test_a_file_that_is_proved_but_still_open_is_kept_an_eye_on_for_its_next_growth() -> None:
    """Growth raises no hint: only our own looks find it."""
    assert examine(Around(rows=[row()], is_open=True), source=Source.RECHECK).keep_watching_after == 30.0
    assert examine(Around(rows=[row()], is_open=None), source=Source.RECHECK).keep_watching_after is None
    assert examine(Around(rows=[row()], is_open=False), source=Source.RECHECK).keep_watching_after is None
    assert examine(Around(rows=[row()], is_open=True), source=Source.RESCAN).keep_watching_after is None


# -- a reading that fails ------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Vanished(A), NotRegular(A)])
def test_a_file_that_vanished_is_looked_at_again_at_once(error: Exception) -> None:
    assert examine(Around(reading=error)) == Examination(None, STAT, 0.0)


def test_a_large_file_that_others_are_before_is_looked_at_again_later() -> None:
    assert examine(Around(reading=Crowded(A))) == Examination(None, STAT, 1.0)


def test_a_file_that_changed_while_it_was_read_settles_again() -> None:
    assert examine(Around(reading=ChangedWhileReading(A))) == Examination(None, None, 1.0)


def test_a_file_that_changes_at_every_reading_for_long_is_observed_as_growing() -> None:
    changing = Around(reading=ChangedWhileReading(A), rows=[row(B)], sight=LATER)
    assert examine(changing, waited_since=NOW - 29.9).observation is None
    examination = examine(changing, waited_since=NOW - 30)
    assert (observed(examination).growing, observed(examination).sight) == (True, LATER)
    assert (examination.keep_watching_after, examination.other_links) == (1.0, (B,))
    assert examine(changing, waited_since=NOW - 60, told_growing=NOW - 29.9).observation is None


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM])
def test_a_file_that_may_not_be_read_is_observed_with_the_reason(number: int) -> None:
    seen = observed(examine(Around(reading=Unreadable(A, number))))
    assert (seen.sight, seen.fingerprint) == (STAT, None)
    assert seen.error == str(Unreadable(A, number))


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EAGAIN])
def test_a_failing_disk_tells_nothing(number: int) -> None:
    assert observed(examine(Around(reading=Unreadable(A, number)))).sight is UNKNOWN


def test_an_outage_of_the_catalog_is_the_callers() -> None:
    class Away(Around):
        def find(self, path: bytes, inode: int) -> Sequence[FileRecord]:
            raise CatalogUnavailable("nobody answers")

    with pytest.raises(CatalogUnavailable):
        examine(Away())


# -- tags ----------------------------------------------------------------------------------------------


def test_tags_are_begun_and_handed_on_without_waiting_for_them() -> None:
    tags: Future[Metadata | None] = Future()
    assert examine(Around(tags=tags)).tags is tags
    assert examine(Around(tags=tags, rows=[row()])).tags is None


# -- small media, which children read ----------------------------------------------------------------


def test_a_small_medium_is_left_to_a_child_with_all_that_is_known_of_it() -> None:
    around = Around(whole=Future(), rows=[row(stat=LATER)], mode="0644 0 0")
    examination = examine(around, last_stat=STAT)
    assert examination.whole is around.whole
    assert (examination.stat, examination.again_after, examination.tags) == (STAT, 1.0, None)
    assert replace(observed(examination), fingerprint=ONE, read_at_ns=5_000) == observed(
        examine(replace(around, whole=None), last_stat=STAT)
    )
    assert around.reads == 0


@pytest.mark.parametrize(
    ("sight", "ticket"),
    [(STAT._replace(size=1 << 20), {}), (STAT, {"by_worker": True})],
    ids=["large", "no child could"],
)
def test_other_media_are_read_by_the_worker(sight: FileStat, ticket: dict[str, bool]) -> None:
    around = Around(sight=sight, whole=Future(), tags=Future())
    examination = examine(around, **ticket)
    assert (examination.whole, examination.tags, around.reads) == (None, around.tags, 1)


# -- hard links ----------------------------------------------------------------------------------------


def test_a_write_under_one_name_makes_the_other_names_dirty() -> None:
    around = Around(sight=LATER, rows=[row(), row(B), row(b"/lib/c")])
    assert examine(around).other_links == (B, b"/lib/c")


@pytest.mark.parametrize("ticket", [{"closed": True}, {"must_hash": True}])
def test_a_write_that_left_size_and_mtime_as_they_were_makes_the_other_names_dirty(
    ticket: dict[str, object],
) -> None:
    around = Around(sight=STAT._replace(ctime_ns=9), rows=[row(), row(B)])
    assert examine(around, **ticket).other_links == (B,)
    around = Around(rows=[row(), row(B)])
    assert examine(around, **ticket).other_links == (), "nothing was written"


def test_a_touch_of_the_ctime_makes_no_other_name_dirty() -> None:
    around = Around(sight=STAT._replace(ctime_ns=9), rows=[row(), row(B)])
    assert examine(around).other_links == ()


def test_other_names_are_told_of_a_growing_file_too() -> None:
    around = Around(sight=LATER, rows=[row(), row(B)], is_open=True)
    assert examine(around, last_stat=STAT, waited_since=NOW - 30).other_links == (B,)


def test_other_names_are_told_of_a_file_that_may_not_be_read_too() -> None:
    around = Around(sight=LATER, rows=[row(), row(B)], reading=Unreadable(A, errno.EACCES))
    assert examine(around).other_links == (B,)


@pytest.mark.parametrize("sight", [GONE, LATER._replace(inode=5)])
def test_the_other_names_of_a_file_that_was_here_are_dirty(sight: Sight) -> None:
    """A rename over the path, or its end, changes the links of the file that was here."""
    around = Around(sight=sight, rows=[row(), row(B)])
    assert examine(around).other_links == (B,)


def test_only_the_kernels_hints_make_other_names_dirty() -> None:
    around = Around(sight=LATER, rows=[row(), row(B)])
    for source in (Source.SCAN, Source.RESCAN, Source.RECHECK):
        assert examine(around, source=source).other_links == ()


def test_a_write_under_a_name_that_is_not_wanted_makes_the_wanted_names_dirty() -> None:
    around = Around(sight=GONE, rows=[row(B), row(b"/lib/c")], linked_inode=STAT.inode)
    assert examine(around).other_links == (B, b"/lib/c")
    assert examine(around, source=Source.RECHECK).other_links == ()
    around.linked_inode = 0
    assert examine(around).other_links == ()


def test_each_library_settles_by_its_own_rules() -> None:
    """The same open file, still for ten seconds: told in one library, waited for in the other, rests in the third."""
    other, streams = replace(LIBRARY, id=2), replace(LIBRARY, id=3)
    settling = {
        LIBRARY.id: SettleConfig(1.0, 5.0),
        other.id: SettleConfig(2.0, 60.0),
        streams.id: SettleConfig(),
    }
    around = Around(is_open=True, rows=[row(fingerprint=None, growing=True, awaits_idle=True)])
    examiner = Examiner(
        lambda library: settling[library.id],
        around,
        lambda library: StreamConfig(idle=3600.0) if library.id == streams.id else None,
        lambda: STAT.ctime_ns + 10**9,
    )
    seen = replace(TICKET, closed=True, last_stat=STAT, still_since=NOW - 10)
    told, waits, rests = (
        examiner.examine(replace(seen, library=each), NOW) for each in (LIBRARY, other, streams)
    )
    assert (observed(told).fingerprint, observed(told).idle, told.keep_watching_after) == (ONE, None, 5.0)
    assert (waits.observation, waits.again_after) == (None, 2.0)
    assert (rests.observation, rests.rests) == (None, True)


# -- streams -------------------------------------------------------------------------------------------


def test_a_stream_that_a_scan_found_just_before_it_was_told_is_not_told_as_growing_again() -> None:
    around = Around(rows=[row()], is_open=True)
    seen = observed(examine_stream(around, 20, source=Source.SCAN, is_unrecorded=True))
    assert (seen.growing, seen.fingerprint, around.reads) == (False, None, 0)


def examine_stream(around: Around, age: float, **ticket: object) -> Examination:
    """Examine a file of a stream library that was written so many seconds ago; it is idle after 60."""
    stream = StreamConfig(idle=60.0, quiet=1.0, max_wait=30.0)
    now_ns = STAT.ctime_ns + int(age * 1e9)
    examiner = Examiner(
        lambda _: SettleConfig(quiet=1.0, max_wait=30.0), around, lambda _: stream, lambda: now_ns
    )
    return examiner.examine(replace(TICKET, **ticket), NOW)  # type: ignore[arg-type]


def test_what_grows_is_told_or_rests_and_is_not_read() -> None:
    around = Around(is_open=True)
    told = examine_stream(around, 1)
    assert (observed(told).growing, observed(told).idle, told.keep_watching_after) == (True, False, 15.0)
    around.rows = [row(stat=STAT, fingerprint=None, growing=True, awaits_idle=True)]
    rest = examine_stream(around, 50, told_growing=NOW - 5)
    assert (rest.observation, rest.rests, rest.stat, rest.again_after) == (None, True, STAT, 10.0)
    assert around.reads == 0


def test_what_is_idle_is_read_once_and_told_so() -> None:
    around = Around(rows=[row(fingerprint=None, growing=True, awaits_idle=True)])
    examination = examine_stream(around, 60)
    assert (observed(examination).idle, observed(examination).fingerprint) == (True, ONE)
    assert (examination.keep_watching_after, around.reads) == (None, 1)


def test_what_is_idle_and_a_small_medium_is_told_so_by_the_child_that_reads_it() -> None:
    around = Around(whole=Future())
    examination = examine_stream(around, 60)
    assert (examination.whole, observed(examination).idle, around.reads) == (around.whole, True, 0)


def test_complete_content_is_looked_at_again_when_it_may_be_idle_and_stays_unread() -> None:
    around = Around(rows=[row(awaits_idle=True)])
    examination = examine_stream(around, 20)
    assert (observed(examination).idle, examination.keep_watching_after) == (False, 40.0)
    assert (observed(examine_stream(around, 60)).idle, around.reads) == (True, 0)


def test_what_begins_to_grow_while_it_is_read_is_told_as_growing() -> None:
    around = Around(reading=ChangedWhileReading(A))
    assert observed(examine_stream(around, 1)).growing
    around.rows = [row(stat=STAT, fingerprint=None, growing=True)]
    assert examine_stream(around, 60, told_growing=NOW - 5).rests


def test_a_change_of_mode_that_the_kernel_tells_is_left_unread() -> None:
    around = Around(LATER._replace(mtime_ns=STAT.mtime_ns), rows=[row(attributes="644 0 0")], mode="600 0 0")
    assert (observed(examine(around)).attributes, around.reads) == ("600 0 0", 0)
    assert observed(examine(around, closed=True)).fingerprint == ONE
    assert observed(examine(around, source=Source.RESCAN)).fingerprint == ONE
    around.mode = "644 0 0"
    assert observed(examine(around)).fingerprint == ONE
