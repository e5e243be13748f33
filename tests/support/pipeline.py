"""The real debouncer, examiner and decider over a `World`, driven step by step with a clock of the test's own."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from file_watcher.model import FileRecord, Hint, HintKind, Observation, Source, Ticket
from file_watcher.processing.decider import Decider, DeciderConfig
from file_watcher.processing.examine import Examination, Examiner
from file_watcher.processing.settle import SettleConfig
from file_watcher.watching.debounce import Debouncer
from tests.support.world import LIBRARY, MemoryLedger, Mirror, World


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

    def __init__(self, world: World, window: float = 1.0, move_window: float = 2.0) -> None:
        self.world = world
        self.ledger = MemoryLedger()
        self.mirror = Mirror()
        self.now = 1000.0
        self.debouncer = Debouncer(window)
        surroundings = _View(world, self.ledger)
        self.examiner = Examiner(SettleConfig(quiet=window, max_wait=30.0), surroundings)
        self.decider = Decider(
            DeciderConfig(move_window=move_window, patience=30.0),
            self.ledger,
            world,
            StepClock(world),
            lambda noticed, now: self.debouncer.undecided(noticed, 30.0, now),
        )
        self._in_flight: dict[bytes, tuple[Ticket, Examination]] = {}
        self._applied = 0

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
            self.debouncer.hint(hint, LIBRARY, self.now, self.world.now_ns)

    def examine(self, limit: int = 100) -> None:
        """Take due tickets and examine them; the decider has not seen them yet."""
        for ticket in self.debouncer.due(self.now, limit):
            examination = self.examiner.examine(ticket, self.now)
            for path in examination.other_links:
                self._recheck(path, None, must_hash=False)
            if examination.observation is None:
                self.debouncer.again(ticket, self.now, examination.stat, examination.again_after)
            else:
                self._in_flight[ticket.path] = (ticket, examination)

    def decide(self, limit: int = 100) -> None:
        """Hand examined paths to the decider and apply what it told to the mirror."""
        batch = dict(itertools.islice(self._in_flight.items(), limit))
        for path in batch:
            del self._in_flight[path]
        observations = [each.observation for _, each in batch.values() if each.observation is not None]
        outcome = self.decider.step(observations, self.now)
        for ticket, _ in batch.values():
            self.debouncer.done(ticket, self.now)
        for seen, must_hash in outcome.decision.again:
            self._recheck(seen.path, seen, must_hash=must_hash)
        for path in outcome.decision.look_at:
            self._recheck(path, None, must_hash=False)
        for row in outcome.decision.recheck:
            self._make_sure(row)
        for event in self.ledger.events[self._applied :]:
            self.mirror.apply(event)
        self._applied = len(self.ledger.events)

    def settle(self) -> None:
        """Run until nothing is dirty or held any more; fails where that takes absurdly long."""
        for _ in range(200):
            self.now += 0.5
            self.world.tick()
            self.examine(1000)
            self.decide(1000)
            if not len(self.debouncer) and not len(self.decider) and not self._in_flight:
                return
        raise AssertionError("the pipeline does not come to rest")

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

    def _recheck(self, path: bytes, seen: Observation | None, *, must_hash: bool) -> None:
        hint = Hint(path, HintKind.SCANNED, source=Source.RECHECK)
        self.debouncer.hint(
            hint,
            LIBRARY,
            self.now,
            self.world.now_ns,
            must_hash=must_hash,
            moved_from=seen.moved_from if seen else frozenset(),
        )

    def _make_sure(self, row: FileRecord) -> None:
        hint = Hint(row.path, HintKind.SCANNED, source=Source.RECHECK)
        self.debouncer.hint(
            hint, LIBRARY, self.now, self.world.now_ns, must_hash=True, background=True, delay=0.1
        )


class _View:
    """The examiner's surroundings: the world and the ledger."""

    def __init__(self, world: World, ledger: MemoryLedger) -> None:
        self.look = world.look
        self.find = ledger.find
        self.is_open_for_writing = world.is_open_for_writing
        self.read = world.read
        self.read_tags = world.read_tags
