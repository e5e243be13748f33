"""An outbox in memory, and a lane to a broker that confirms when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Sequence

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import OutboxMessage


class MemoryOutbox:
    """Keeps messages by sequence. `fail_times` makes that many calls raise CatalogUnavailable."""

    def __init__(self, messages: Iterable[OutboxMessage] = ()) -> None:
        self._lock = threading.Lock()
        self._waiting = {message.sequence: message for message in messages}
        self.published: list[int] = []
        self.unrouted: list[int] = []
        self.reads: list[int] = []
        self.reads_apart: list[tuple[int, int]] = []
        self.reserved: list[int] = []
        self.reserved_of: dict[int, int] = {}
        self.carriers: dict[int, int] = {}
        self.fail_times = 0

    def add(self, *messages: OutboxMessage) -> None:
        """Record further messages, as a commit of the decider does."""
        with self._lock:
            self._waiting.update((message.sequence, message) for message in messages)

    def pending(
        self, after_sequence: int, limit: int, left_behind: Collection[int] = ()
    ) -> list[OutboxMessage]:
        """See waiting.Outbox."""
        with self._lock:
            self._fail_if_asked()
            self.reads.append(after_sequence)
            return [
                each
                for each in self._after(after_sequence)
                if each.library_id not in left_behind or each.old_path is not None
            ][:limit]

    def pending_of(self, library_id: int, after_sequence: int, up_to: int, limit: int) -> list[OutboxMessage]:
        """See waiting.Outbox."""
        with self._lock:
            self._fail_if_asked()
            self.reads_apart.append((library_id, after_sequence))
            of_library = [each for each in self._after(after_sequence) if each.library_id == library_id]
            return [each for each in of_library if each.sequence <= up_to][:limit]

    def mark_published(self, sequences: Sequence[int]) -> None:
        """See waiting.Outbox."""
        with self._lock:
            self._fail_if_asked()
            self.published.extend(self._take(sequences))

    def mark_unrouted(self, sequences: Sequence[int]) -> None:
        """See waiting.Outbox."""
        with self._lock:
            self._fail_if_asked()
            self.unrouted.extend(self._take(sequences))

    def depth(self) -> tuple[int, int | None]:
        """See waiting.Outbox."""
        with self._lock:
            self._fail_if_asked()
            oldest = min((message.created_ns for message in self._waiting.values()), default=None)
            return len(self._waiting), oldest

    def reserve(self, up_to: int, library_ids: Collection[int]) -> None:
        """See waiting.Outbox."""
        with self._lock:
            self._fail_if_asked()
            self.reserved.append(up_to)
            self.reserved_of.update(dict.fromkeys(library_ids, up_to))

    def carrier_of(self, sequence: int) -> int:
        """See waiting.Outbox; the test says in `carriers` what was merged into what."""
        return self.carriers.get(sequence, sequence)

    def merge_away(self, *sequences: int) -> None:
        """Take messages out that nobody has seen, as the compaction does."""
        with self._lock:
            self._take(sequences)

    def _after(self, sequence: int) -> list[OutboxMessage]:
        return [self._waiting[each] for each in sorted(self._waiting) if each > sequence]

    def _take(self, sequences: Sequence[int]) -> list[int]:
        return [sequence for sequence in sequences if self._waiting.pop(sequence, None) is not None]

    def _fail_if_asked(self) -> None:
        if self.fail_times:
            self.fail_times -= 1
            raise CatalogUnavailable("the database is away")


class MemoryLane:
    """Remembers what was submitted; nothing is confirmed until the test says so."""

    where = "nowhere:5672, vhost /"

    def __init__(self) -> None:
        self.submitted: list[OutboxMessage] = []

    @property
    def sequences(self) -> list[int]:
        """What was submitted, in order."""
        return [message.sequence for message in self.submitted]

    def submit(self, messages: Sequence[OutboxMessage]) -> None:
        """See lane.Lane."""
        self.submitted.extend(messages)
