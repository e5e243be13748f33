"""The scheduler stage: takes hints from everywhere, debounces them, hands out what is due.

Owns the thread `fw-debounce`. `observe`, `look_at` and the rest may be called from any thread; they take note
and return. The one lock guards the debouncer; nothing is called while it is held.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import structlog

from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.model import FileStat, Hint, HintKind, Library, Source, Ticket, Undecided
from file_watcher.pulse import Progress, Pulse
from file_watcher.telemetry import Telemetry
from file_watcher.watching.debounce import Debouncer
from file_watcher.watching.dirty import DebounceBounds, TimingOf

log = structlog.get_logger(__name__)

_AT_ONCE: Final = 64
"""Tickets taken under the lock together; more would make those who hint wait."""
_TAKEN_AT_ONCE: Final = 1000
"""Hints put under the lock together: about 2 ms."""
_BEHIND: Final = 16_384
"""Hints that may wait to be taken in, as many as the kernel's own queue holds. Beyond that the observer's thread
takes them in itself: it slows down, and what the kernel then cannot keep is an overflow, which brings a scan."""
_SAID_AGAIN_AFTER: Final = 60.0
"""Seconds between two lines that tell of folded paths."""
_FULL_SECONDS: Final = 0.1
"""How long to wait for room in the queue before new hints are taken in again."""

Wants = Callable[[Hint, Library], bool]
"""Whether the filters of the library want the hint's path."""


class _Arrived(NamedTuple):
    hint: Hint
    library: Library
    now: float
    now_ns: int


class Scheduler:
    """Debounces hints and delivers tickets.

    `deliver(ticket, timeout)` puts a file's ticket into the bounded queue and returns False where it was
    full; `deliver_folder(ticket)` takes a folder's ticket at once.
    """

    def __init__(
        self,
        timing_of: TimingOf,
        wants: Wants,
        deliver: Callable[[Ticket, float], bool],
        deliver_folder: Callable[[Ticket], None],
        telemetry: Telemetry,
        on_failure: FailureReport,
        bounds: DebounceBounds | None = None,
        goes_first: Callable[[bytes, Library], bool] | None = None,
    ) -> None:
        self._debouncer = Debouncer(timing_of, bounds, goes_first)
        self._wants = wants
        self._deliver = deliver
        self._deliver_folder = deliver_folder
        self._telemetry = telemetry
        self._on_failure = on_failure
        self._arrived: deque[_Arrived] = deque()
        self._intake = threading.Lock()
        """Held by whoever takes in what arrived: a hint is in the deque or in the debouncer for all others."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._room = threading.Condition(self._lock)
        self._room_wanted: list[int] = []
        """How few files are to be dirty before each of those who wait for room is woken."""
        self._settled = threading.Condition(self._lock)
        self._folded_said: tuple[int, float] = (0, float("-inf"))
        """How many paths were folded when that was last logged, and when."""
        self._thread: threading.Thread | None = None
        self._pulse = Pulse("fw-debounce")

    def start(self) -> None:
        """Start delivering."""
        self._thread = spawn("fw-debounce", self._run, self._on_failure)

    def close(self) -> None:
        """Deliver nothing more. What is dirty is found again by the next start's scan."""
        self._stop.set()
        self._wake.set()
        with self._lock:
            self._room.notify_all()
            self._settled.notify_all()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the thread."""
        return join_all([self._thread] if self._thread else [], deadline)

    def resize(self, buffer_size: int) -> None:
        """Suit a queue of so many files from now on: how many paths may be dirty before folders stand for them."""
        with self._lock:
            self._debouncer.resize(DebounceBounds.beside(buffer_size))

    def observe(self, hint: Hint, library: Library) -> None:
        """Take a kernel's hint. Called on the observer's threads: takes note and returns."""
        self._arrived.append(_Arrived(hint, library, time.monotonic(), time.time_ns()))
        self._wake.set()
        if len(self._arrived) > _BEHIND:
            self._take_arrived()

    def look_at(
        self,
        path: bytes,
        library: Library,
        source: Source,
        *,
        delay: float = 0.0,
        must_hash: bool = False,
        background: bool = False,
        noticed: float | None = None,
        moved_from: frozenset[bytes] = frozenset(),
    ) -> None:
        """Have a path looked at after `delay` seconds, without debounce."""
        hint = Hint(path, HintKind.SCANNED, source=source)
        with self._lock:
            self._debouncer.hint(
                hint,
                library,
                time.monotonic(),
                time.time_ns(),
                delay=delay,
                must_hash=must_hash,
                background=background,
                noticed=noticed,
                moved_from=moved_from,
            )
        self._wake.set()

    def look_at_new(self, files: Sequence[tuple[bytes, bool]], library: Library, source: Source) -> None:
        """Have many files looked at that a scan found without a row, each with whether no row can be of it."""
        with self._lock:
            now, now_ns = time.monotonic(), time.time_ns()
            for path, is_unrecorded in files:
                hint = Hint(path, HintKind.SCANNED, source=source)
                self._debouncer.hint(hint, library, now, now_ns, is_unrecorded=is_unrecorded)
        self._wake.set()

    def done(
        self,
        ticket: Ticket,
        *,
        look_again_after: float | None = None,
        growing: bool = False,
        stat: FileStat | None = None,
    ) -> None:
        """The ticket's path was decided by a look that saw `stat`, or nothing is owed to it."""
        now = time.monotonic()
        with self._lock:
            may_be_due = self._debouncer.done(
                ticket, now, look_again_after=look_again_after, growing=growing, stat=stat
            )
            if self._room_wanted and self._debouncer.files() <= max(self._room_wanted):
                self._room.notify_all()
            self._settled.notify_all()
        if may_be_due:
            self._wake.set()

    def again(self, ticket: Ticket, stat: FileStat | None, after: float) -> None:
        """The ticket's path was not ready to be decided: look once more after so many seconds."""
        with self._lock:
            self._debouncer.again(ticket, time.monotonic(), stat, after)
        self._wake.set()

    def begin_reading(self, ticket: Ticket, stat: FileStat) -> None:
        """The ticket's file has settled, and reading it will take a while."""
        with self._lock:
            self._debouncer.begin_reading(ticket, stat)

    def wait_for_room(self, limit: int, timeout: float) -> bool:
        """Wait until fewer than `limit` files are dirty, so that a scan cannot flood the memory.

        Folders do not count: they may wait for the very scan that asks. Who has to wait is woken when there
        is room for many, not for each file.
        """
        with self._room:
            if self._debouncer.files() < limit or self._stop.is_set():
                return True
            enough = limit - 1 - limit // 4
            self._room_wanted.append(enough)
            self._room.wait_for(lambda: self._debouncer.files() <= enough or self._stop.is_set(), timeout)
            self._room_wanted.remove(enough)
            return self._debouncer.files() < limit or self._stop.is_set()

    def background_room(self) -> int:
        """How many more paths may be looked at in the background."""
        with self._lock:
            return self._debouncer.background_room()

    def may_sweep(self) -> bool:
        """Whether the background has room for what a sweep finds."""
        with self._lock:
            return self._debouncer.may_sweep()

    def take_unrested(self) -> set[Library]:
        """Libraries of which background looks found no room since the last call: they want a sweep."""
        with self._lock:
            return self._debouncer.take_unrested()

    def is_folded(self, folder: bytes) -> bool:
        """Whether the folder's ticket stands for dirty paths below it, since there were too many."""
        with self._lock:
            return self._debouncer.is_folded(folder)

    def may_owe_reading(self, path: bytes) -> bool:
        """Whether a file may not be left unread, whatever its stat says; asked while its folder is scanned."""
        with self._lock:
            return self._debouncer.may_owe_reading(path)

    def may_be_hinted(self, path: bytes, library: Library) -> bool:
        """Whether a hint at the path, or at a folder above it, is undecided, perhaps folded; asked as above."""
        with self._lock:
            return self._debouncer.may_be_hinted(path, library)

    def wait_until_decided(self, noticed_before: float, patience: float, timeout: float) -> bool:
        """Wait until no hint from before that monotonic time is undecided; False at the timeout.

        Files that have been open or growing for more than `patience` seconds are not waited for.
        """
        self._take_arrived()
        with self._settled:
            return self._settled.wait_for(
                lambda: self._stop.is_set() or not self._is_undecided(noticed_before, patience), timeout
            )

    def is_undecided(self, noticed_before: float, patience: float) -> bool:
        """Whether a hint from before that monotonic time is undecided."""
        with self._lock:
            return self._is_undecided(noticed_before, patience)

    def undecided(self, patience: float) -> Undecided:
        """What is undecided; `patience` as in `wait_until_decided`."""
        with self._lock:
            return self._debouncer.undecided_now(patience, time.monotonic())

    def depth(self) -> int:
        """How many paths are dirty."""
        with self._lock:
            return len(self._debouncer)

    def progress(self) -> Progress:
        """How far the thread is; it gets on also while it waits for room in the queue."""
        return self._pulse.look()

    def _is_undecided(self, noticed_before: float, patience: float) -> bool:
        return self._debouncer.undecided(noticed_before, patience, time.monotonic())

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            self._pulse.at("takes in hints and hands out paths")
            self._take_arrived()
            with self._lock:
                tickets = self._debouncer.due(time.monotonic(), _AT_ONCE)
                due = self._debouncer.next_due()
            for ticket in tickets:
                self._hand_over(ticket)
            if not tickets:
                self._pulse.rest()
                self._wake.wait(None if due is None else max(0.0, due - time.monotonic()))

    def _hand_over(self, ticket: Ticket) -> None:
        if ticket.is_folder:
            self._deliver_folder(ticket)
            return
        if self._deliver(ticket, 0.0):
            return
        # There is no room: what goes first has some of its own, and may become due meanwhile.
        waiting = deque([ticket])
        while waiting and not self._stop.is_set():
            if self._deliver(waiting[0], _FULL_SECONDS):
                waiting.popleft()
            self._pulse.step()
            self._take_arrived()
            if waiting and waiting[0] is ticket:
                with self._lock:
                    waiting.extendleft(reversed(self._debouncer.due_first(time.monotonic(), _AT_ONCE)))

    def _take_arrived(self) -> None:
        """Filter and debounce what the observers noted. What another thread is just taking in is waited for."""
        while True:
            with self._intake:
                wanted, suppressed = self._take_some(min(len(self._arrived), _TAKEN_AT_ONCE))
            for each in wanted:
                self._telemetry.hint_seen(each.hint.kind, each.library)
            if suppressed:
                self._telemetry.debounced(suppressed)
            self._say_folded(time.monotonic())
            if not self._arrived:
                return

    def _say_folded(self, now: float) -> None:
        """Log that folders stand for what is dirty, once a minute while that goes on."""
        (folded, said_at), so_far = self._folded_said, self._debouncer.folded
        if so_far > folded and now - said_at >= _SAID_AGAIN_AFTER:
            self._folded_said = (so_far, now)
            log.warning(
                "dirty_paths_folded", count=so_far - folded, effect="their folders are compared as a whole"
            )

    def _take_some(self, count: int) -> tuple[list[_Arrived], int]:
        """Those of the oldest hints that the filters want, and how many of them fell into an open window."""
        taken = [self._arrived.popleft() for _ in range(count)]
        wanted = [each for each in taken if self._wants(each.hint, each.library)]
        with self._lock:
            before = self._debouncer.suppressed
            for each in wanted:
                self._debouncer.hint(each.hint, each.library, each.now, each.now_ns)
            return wanted, self._debouncer.suppressed - before
