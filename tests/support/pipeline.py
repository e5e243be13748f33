"""The real debouncer, examiner and decider over a `World`, driven step by step with a clock of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import FileEvent, FileStat, Hint, HintKind, Observation, Source, Ticket
from file_watcher.processing.decider import Decider, DeciderConfig
from file_watcher.processing.decision import Decision
from file_watcher.processing.examine import Examination, Examiner
from file_watcher.processing.idle import StreamConfig
from file_watcher.processing.settle import SettleConfig
from file_watcher.watching.debounce import Debouncer
from file_watcher.watching.dirty import DebounceBounds, DebounceTiming
from tests.support.world import LIBRARY, MemoryLedger, Mirror, World

UNKNOWN_PAUSE = 30.0
MAX_WAIT = 30.0


class StepClock:
    """Identifiers that count up, and the world's time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ids = itertools.count(1)

    def now_ns(self) -> int:
        return self._world.now_ns

    def new_id(self) -> str:
        return f"{next(self._ids):08d}"


class Pipeline:
    """From hint to event without threads. `now` is the monotonic clock in seconds."""

    def __init__(
        self,
        world: World,
        window: float = 1.0,
        move_window: float = 2.0,
        bounds: DebounceBounds | None = None,
        stream: StreamConfig | None = None,
        *,
        hashes: bool = True,
    ) -> None:
        self.world = world
        self.hashes = hashes
        """Whether files are read; may change between two steps."""
        self._stream = stream
        self.ledger = MemoryLedger()
        self.mirror = Mirror()
        self.now = 1000.0
        self.unchanged = 0
        self._window = window
        self._bounds = bounds
        self.folded = 0
        """Folders that stood for dirty paths below them, and were compared as a whole."""
        self._move_window = move_window
        self._clock = StepClock(world)
        self._applied = 0
        self._in_flight: dict[bytes, tuple[Ticket, Examination]] = {}
        self._scans: list[Iterator[None]] = []
        self._batch: list[tuple[Ticket, Examination]] = []
        self._begin()

    def restart(self) -> None:
        """Die and start again: only the ledger and what was told are left; the start's scan hints at all."""
        self._begin()
        self.hint_everything()

    def hint(self, hints: Iterable[Hint]) -> None:
        """Give hints to the debouncer; a folder's hint is spread at once, as the folder scan does."""
        for hint in hints:
            if hint.is_folder:
                self._spread(hint)
            else:
                self.debouncer.hint(hint, LIBRARY, self.now, self.world.now_ns)

    def hint_everything(self) -> None:
        """What a scan does: hint at all that is on the disk or in the catalog."""
        for path in sorted(self.world.files.keys() | self.ledger.rows.keys()):
            hint = Hint(path, HintKind.SCANNED, source=Source.SCAN)
            self.debouncer.hint(
                hint, LIBRARY, self.now, self.world.now_ns, is_unrecorded=self._is_unrecorded(path)
            )

    def examine(self, limit: int = 100) -> None:
        """Take due tickets and examine them; the decider has not seen them yet. Scans go on as far as they can."""
        if not self.ledger.is_away:
            self._scans = [scan for scan in self._scans if next(scan, self) is None]
        for ticket in self.debouncer.due(self.now, limit):
            if ticket.is_folder:
                self._scans.append(self._scan_folder(ticket))
            else:
                self._examine(ticket)

    def _examine(self, ticket: Ticket) -> None:
        try:
            examination = self.examiner.examine(ticket, self.now)
        except CatalogUnavailable:
            self.debouncer.again(ticket, self.now, None, 1.0)
            return
        if examination.rests:
            self.debouncer.done(
                ticket, self.now, look_again_after=examination.again_after, stat=examination.stat
            )
        elif examination.observation is None:
            self.debouncer.again(ticket, self.now, examination.stat, examination.again_after)
        else:
            assert ticket.path not in self._in_flight, "two observations of one path at a time"
            self._in_flight[ticket.path] = (ticket, examination)

    def _let_children_read(self) -> None:
        """What the worker pool does with what was left to a child, once that has come to it."""
        for ticket, examination in [each for each in self._in_flight.values() if each[1].whole is not None]:
            assert examination.observation is not None
            assert examination.stat is not None
            reading = self.world.read_whole_now(ticket.path, examination.stat)
            del self._in_flight[ticket.path]
            if reading is None:
                self._examine(replace(ticket, by_worker=True))
                continue
            seen = replace(
                examination.observation, fingerprint=reading.fingerprint, read_at_ns=reading.read_at_ns
            )
            self._in_flight[ticket.path] = (ticket, replace(examination, observation=seen, whole=None))

    def _is_unrecorded(self, path: bytes) -> bool:
        sight, rows = self.world.look(path), self.ledger.rows
        inodes = {row.stat.inode for row in rows.values()}
        return isinstance(sight, FileStat) and path not in rows and sight.inode not in inodes

    def decide(self, limit: int = 100) -> None:
        """Hand examined paths to the decider and apply what it told to the mirror.

        While the catalog is away the same batch is handed over again by the next call.
        """
        self._let_children_read()
        self._batch = self._batch or list(itertools.islice(self._in_flight.values(), limit))
        observations = [each.observation for _, each in self._batch if each.observation is not None]
        try:
            outcome = self.decider.step(observations, self.now)
        except CatalogUnavailable:
            return
        finally:
            self._publish()
        check_all_accounted_for(observations, outcome.decision)
        batch, self._batch = self._batch, []
        for ticket, _ in batch:
            del self._in_flight[ticket.path]
        self._pass_on(outcome.decision, batch)

    def settle(self, seconds: float = 200.0) -> list[FileEvent]:
        """Run until nothing is left to do but to wait for what is far off; returns what was told meanwhile.

        Fails where that takes absurdly long.
        """
        began, told = self.now, len(self.ledger.events)
        while not self.is_at_rest:
            assert self.now < began + seconds, "the pipeline does not come to rest"
            self.run(0.5)
        return self.ledger.events[told:]

    def run(self, seconds: float, every: float = 0.5) -> list[FileEvent]:
        """Let time pass; returns what was told meanwhile."""
        told, end = len(self.ledger.events), self.now + seconds
        while self.now < end:
            self.now += every
            self.world.tick()
            self.examine(1000)
            self.decide(1000)
        return self.ledger.events[told:]

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing is dirty, held or about to be looked at."""
        due = self.debouncer.next_due()
        return not (self._in_flight or len(self.debouncer) or len(self.decider)) and (
            due is None or due > self.now + 5.0
        )

    def _begin(self) -> None:
        self.debouncer = Debouncer(lambda _: DebounceTiming(self._window), bounds=self._bounds)
        config = SettleConfig(quiet=self._window, max_wait=MAX_WAIT)
        self.examiner = Examiner(
            lambda _: config,
            _View(self.world, self.ledger),
            lambda _: self._stream,
            lambda: self.world.now_ns,
            lambda _: self.hashes,
            self.debouncer.begin_reading,
        )
        self.decider = Decider(
            DeciderConfig(move_window=self._move_window, patience=30.0),
            self.ledger,
            self.world,
            self._clock,
            lambda now: self.debouncer.undecided_now(30.0, now),
        )
        self._in_flight = {}
        self._scans = []
        self._batch = []

    def _publish(self) -> None:
        for event in self.ledger.events[self._applied :]:
            self.mirror.apply(event)
        self._applied = len(self.ledger.events)

    def _pass_on(self, decision: Decision, batch: Sequence[tuple[Ticket, Examination]]) -> None:
        """What the deciding stage does with a decision, in its order."""
        self.unchanged += decision.unchanged
        for seen, must_hash in decision.again:
            self._look_at(seen.path, must_hash=must_hash, noticed=seen.noticed, moved_from=seen.moved_from)
        for path in decision.look_at:
            self._look_at(path)
        for ticket, examination in batch:
            for path in examination.other_links:
                self._look_at(path, noticed=ticket.noticed)
        growing = {event.path for event in decision.events if event.growing}
        for ticket, examination in batch:
            self.debouncer.done(
                ticket,
                self.now,
                look_again_after=examination.keep_watching_after,
                growing=ticket.path in growing,
                stat=examination.stat,
            )
        for row in decision.recheck:
            self._look_at(row.path, delay=0.1, must_hash=True, background=True)
        for seen in decision.unknown:
            self._look_at(seen.path, delay=UNKNOWN_PAUSE, background=True)

    def _look_at(
        self,
        path: bytes,
        *,
        delay: float = 0.0,
        must_hash: bool = False,
        background: bool = False,
        noticed: float | None = None,
        moved_from: frozenset[bytes] = frozenset(),
    ) -> None:
        self.debouncer.hint(
            Hint(path, HintKind.SCANNED, source=Source.RECHECK),
            LIBRARY,
            self.now,
            self.world.now_ns,
            delay=delay,
            must_hash=must_hash,
            background=background,
            noticed=noticed,
            moved_from=moved_from,
        )

    def _scan_folder(self, ticket: Ticket) -> Iterator[None]:
        """What the scanning stage does with a folder that stands for dirty paths below it; stops where it waits.

        What is unknown now is hinted at too: the real scan leaves it to the polls of folders that cannot be read.
        """
        assert self.debouncer.is_folded(ticket.path)
        self.folded += 1
        below = [
            path
            for path in sorted(self.world.files.keys() | self.ledger.rows.keys())
            if path.startswith(ticket.path + b"/")
        ]
        for path in [*below, ticket.path]:
            while self.debouncer.files():
                yield
            owed = self.debouncer.may_owe_reading(path)
            if path == ticket.path or owed or not self._is_proved(path):
                hint = Hint(path, HintKind.SCANNED, source=Source.KERNEL)
                self.debouncer.hint(
                    hint, LIBRARY, self.now, self.world.now_ns, must_hash=owed, noticed=ticket.noticed
                )
        self.debouncer.done(ticket, self.now)

    def _is_proved(self, path: bytes) -> bool:
        row = self.ledger.rows.get(path)
        if row is None or row.fingerprint is None or row.racy or row.growing:
            return False
        return row.stat == self.world.look(path, LIBRARY)

    def _spread(self, hint: Hint) -> None:
        paths = {
            path
            for path in self.world.files.keys() | self.ledger.rows.keys()
            if path.startswith(hint.path + b"/")
        }
        for path in paths:
            origin = hint.moved_from + path[len(hint.path) :] if hint.moved_from else None
            each = Hint(path, HintKind.SCANNED, moved_from=origin, source=Source.SCAN)
            self.debouncer.hint(each, LIBRARY, self.now, self.world.now_ns)
        itself = Hint(hint.path, HintKind.SCANNED, source=Source.SCAN)
        self.debouncer.hint(itself, LIBRARY, self.now, self.world.now_ns)


def check_all_accounted_for(observations: Iterable[Observation], decision: Decision) -> None:
    """Every observation ends in exactly one of held, again, settled and unknown."""
    ends = [each.observation.path for each in decision.held]
    ends += [seen.path for seen, _ in decision.again]
    ends += [seen.path for seen in (*decision.settled, *decision.unknown)]
    for seen in observations:
        assert ends.count(seen.path) == 1, f"{seen.path!r} ends {ends.count(seen.path)} times"


class _View:
    """The examiner's surroundings: the world and the ledger."""

    def __init__(self, world: World, ledger: MemoryLedger) -> None:
        self.look = world.look
        self.find = ledger.find
        self.in_hand = world.in_hand
        self.inode_with_other_names = world.inode_with_other_names
        self.read_tags = world.read_tags
        self.read_whole = world.read_whole
        self.attributes = world.attributes
