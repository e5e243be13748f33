"""Which libraries are behind, and which of their messages are next. Pure; a part of the dispatch.

A library at its rate limit must not hold up the others, however much of it waits. Its messages wait here, in their
order; beyond `most_held` they stay in the outbox, and the library is *left behind*: the others are read on without
it, and it is read apart, from where it stopped, once there is room for more.

Files that were moved from one library to another connect them. So that order is kept there too:
- what tells of a move waits until the library that the file came from has told all that was recorded before it;
- what lies at the place that it came from, and was recorded after it, waits for it. For that the outbox shows of
  those left behind at least what was moved; while too many of such moves wait, nothing more is read.
Whoever waits, waits for something that was recorded earlier: so there is always one that can go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from file_watcher.model import OutboxMessage
from file_watcher.publishing.occupancy import Occupancy
from file_watcher.publishing.token_bucket import TokenBucket

_MOST_MOVES: Final = 20_000
"""Moves out of other libraries that wait, beyond which the others wait, too: 5 MB."""
_SHORTEST_WAIT: Final = 0.01
"""Seconds between two looks at the limits: a bucket holds the messages of ten times as long."""


@dataclass(frozen=True, slots=True)
class Pacing:
    """Both are asked for each message, and must answer at once."""

    rate_of: Callable[[int], float | None] = lambda _library_id: None
    """Messages per second of a library, None for no limit of its own."""
    library_of: Callable[[bytes], int | None] = lambda _path: None
    """The library that a path lies in."""


@dataclass(slots=True)
class _Backlog:
    messages: deque[OutboxMessage] = field(default_factory=deque)
    read_up_to: int | None = None
    """The sequence after which it is left behind; None where all is in hand that was read of the others."""

    def begins_before(self, sequence: int) -> bool:
        if self.messages:
            return self.messages[0].sequence < sequence
        return self.read_up_to is not None and self.read_up_to < sequence


class Backlogs:
    """Messages by library, where something keeps them."""

    def __init__(self, pacing: Pacing, most_held: int) -> None:
        """Holds `most_held` messages of each library."""
        self._pacing = pacing
        self._most_held = most_held
        self._by_library: dict[int, _Backlog] = {}
        self._turns: deque[int] = deque()
        """The libraries that are behind, the one first whose turn is next."""
        self._buckets: dict[int, TokenBucket] = {}
        self._left_places: dict[int, tuple[int, bytes]] = {}
        """By sequence, of what waits and tells of a move: its library, and the place in another one."""
        self._places = Occupancy()

    def __len__(self) -> int:
        """How many libraries are behind."""
        return len(self._by_library)

    @property
    def left_behind(self) -> Collection[int]:
        """Libraries of which the outbox holds more than is here."""
        return [number for number, each in self._by_library.items() if each.read_up_to is not None]

    @property
    def is_crowded(self) -> bool:
        """Whether so many moves wait that nothing more may be read of the others."""
        return len(self._left_places) >= _MOST_MOVES

    def admits(self, message: OutboxMessage, now: float) -> bool:
        """Whether the message just read may go; its token is taken then. Otherwise it is to be held."""
        if self._by_library and (message.library_id in self._by_library or self._is_behind_others(message)):
            return False
        return self._takes_token(message.library_id, now)

    def hold(self, message: OutboxMessage) -> None:
        """Keep the message until its turn; or leave it in the outbox, where too many are kept already."""
        backlog = self._by_library.get(message.library_id)
        if backlog is None:
            backlog = self._by_library[message.library_id] = _Backlog()
            self._turns.append(message.library_id)
        self._note_move(message)
        if backlog.read_up_to is not None:
            return
        if len(backlog.messages) < self._most_held:
            backlog.messages.append(message)
        else:
            backlog.read_up_to = backlog.messages[-1].sequence

    def next(self, now: float) -> OutboxMessage | None:
        """Take out a message whose turn it is, of one library after the other; None where all have to wait."""
        for _ in range(len(self._turns)):
            number = self._turns[0]
            self._turns.rotate(-1)
            messages = self._by_library[number].messages
            if messages and not self._is_behind_others(messages[0]) and self._takes_token(number, now):
                return self._pop(number)
        return None

    def wanting(self) -> list[tuple[int, int, int]]:
        """Libraries that are to be read on: number, the sequence after which, and how many messages."""
        return [
            (number, each.read_up_to, self._most_held - len(each.messages))
            for number, each in self._by_library.items()
            if each.read_up_to is not None and len(each.messages) <= self._most_held // 2
        ]

    def read_on(self, library_id: int, page: Sequence[OutboxMessage], up_to: int, *, is_all: bool) -> None:
        """Take in the next messages of a library that was left behind: all that wait up to that sequence.

        `is_all`: so far were the others read, too.
        """
        backlog = self._by_library[library_id]
        backlog.messages.extend(page)
        read = {message.sequence for message in page}
        for sequence, (number, _) in list(self._left_places.items()):
            # What is not there any more was merged into a later one, or the library was removed.
            if (
                number == library_id
                and (backlog.read_up_to or 0) < sequence <= up_to
                and sequence not in read
            ):
                self._forget_move(sequence)
        for message in page:
            self._note_move(message)
        backlog.read_up_to = None if is_all else up_to
        self._drop_if_caught_up(library_id)

    def wait_seconds(self, now: float) -> float | None:
        """How long until a limit lets something go; None where nothing waits for that."""
        waits = [
            bucket.wait_seconds(now)
            for number, each in self._by_library.items()
            if each.messages and (bucket := self._buckets.get(number)) is not None
        ]
        # What has its token already waits for something else, of which a word will come.
        return min((max(_SHORTEST_WAIT, seconds) for seconds in waits if seconds > 0), default=None)

    def clear(self) -> None:
        """Forget what is held: all of it is read again."""
        self._by_library.clear()
        self._turns.clear()
        self._left_places.clear()
        self._places.clear()

    # -- inside ----------------------------------------------------------------------------------

    def _pop(self, library_id: int) -> OutboxMessage:
        message = self._by_library[library_id].messages.popleft()
        self._forget_move(message.sequence)
        self._drop_if_caught_up(library_id)
        return message

    def _drop_if_caught_up(self, library_id: int) -> None:
        backlog = self._by_library[library_id]
        if not backlog.messages and backlog.read_up_to is None:
            del self._by_library[library_id]
            self._turns.remove(library_id)

    def _takes_token(self, library_id: int, now: float) -> bool:
        rate = self._pacing.rate_of(library_id)
        if rate is None:
            self._buckets.pop(library_id, None)
            return True
        bucket = self._buckets.get(library_id)
        if bucket is None:
            bucket = self._buckets[library_id] = TokenBucket(rate)
        bucket.set_rate(rate)
        if not bucket.has_token(now):
            return False
        bucket.take()
        return True

    def _is_behind_others(self, message: OutboxMessage) -> bool:
        """Whether another library has to tell something first that concerns the same files."""
        origin = self._origin_of(message)
        if (
            origin is not None
            and (ahead := self._by_library.get(origin)) is not None
            and ahead.begins_before(message.sequence)
        ):
            return True
        return bool(self._left_places) and self._lies_where_a_move_began(message)

    def _lies_where_a_move_began(self, message: OutboxMessage) -> bool:
        """Whether a move that was recorded earlier, and still waits in another library, began at its place."""
        paths = (message.path,) if message.old_path is None else (message.path, message.old_path)
        if not any(map(self._places.touches, paths)):
            return False
        return any(
            sequence < message.sequence and number != message.library_id and _are_connected(path, place)
            for sequence, (number, place) in self._left_places.items()
            for path in paths
        )

    def _origin_of(self, message: OutboxMessage) -> int | None:
        """The library that the message's file was moved from, where that is another one."""
        if message.old_path is None:
            return None
        origin = self._pacing.library_of(message.old_path)
        return None if origin == message.library_id else origin

    def _note_move(self, message: OutboxMessage) -> None:
        if message.old_path is None or message.sequence in self._left_places:
            return
        if self._origin_of(message) is not None:
            self._left_places[message.sequence] = message.library_id, message.old_path
            self._places.add(message.old_path)

    def _forget_move(self, sequence: int) -> None:
        left = self._left_places.pop(sequence, None)
        if left is not None:
            self._places.remove(left[1])


def _are_connected(one: bytes, other: bytes) -> bool:
    return one == other or one.startswith(other + b"/") or other.startswith(one + b"/")
