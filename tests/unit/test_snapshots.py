"""What a snapshot is of, in which words it is told, and what it says to a wish that cannot be."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.batch import Batch
from file_watcher.catalog.database import Database
from file_watcher.catalog.outbox import Outbox
from file_watcher.catalog.requests import Requests
from file_watcher.catalog.snapshot import Scope, SnapshotWriter
from file_watcher.catalog.store import CatalogStore
from file_watcher.errors import UsageError
from file_watcher.model import Library, OutboxMessage
from file_watcher.snapshots import Replayer, Telling, Wish, chosen
from file_watcher.telemetry import Telemetry
from tests.support.catalog import ROOT, music, opened, record, store_of
from tests.support.messages import METADATA, validated

MUSIC = music()
SPEECH = Library(2, "speech", "production", b"/data/speech")
NOW_NS = 1_767_268_800_123_456_789


class Counted(Telemetry):
    """Remembers what was counted as recorded."""

    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], int] = {}

    def recorded(self, queue: str, message_type: str, count: int = 1) -> None:
        self.messages[queue, message_type] = count


class Books:
    """A catalog in a file, and what replays it."""

    def __init__(self, database: Database) -> None:
        self.store: CatalogStore = store_of(database)
        self.requests = Requests(database)
        self.outbox = Outbox(database, [MUSIC.id, SPEECH.id])
        self.telemetry = Counted()
        self.wakes = 0
        self.replayer = Replayer(
            SnapshotWriter(database), lambda: [MUSIC, SPEECH], "abc12345", self.wake, self.telemetry
        )

    def wake(self) -> None:
        self.wakes += 1

    def replay(self, wish: Wish) -> tuple[dict[str, Any], list[OutboxMessage]]:
        """The answer, and the messages that it stands for."""
        number = self.requests.ask("replay", wish.arguments())
        (request,) = self.requests.take()
        assert Wish.of(request.arguments) == wish
        answer = self.replayer.replay(number, Wish.of(request.arguments), lambda: False)
        assert answer == self.requests.wait(number, timeout=0).result
        assert answer is not None
        return dict(answer), self.outbox.pending(0, 1000)


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    with opened(f"sqlite:///{tmp_path / 'catalog.db'}") as database:
        yield Books(database)


# the messages


def test_a_snapshot_tells_each_file_as_it_is_known_between_begin_and_end(books: Books) -> None:
    tagged = record("a.mp3", version=4, metadata=METADATA, size=77, mtime_ns=1_767_225_599_000_000_000)
    growing = record("b.mp3", version=2, fingerprint=None, growing=True)
    books.store.commit(Batch(inserts=[growing, tagged]))

    answer, messages = books.replay(Wish(library="music"))

    begin, first, second, end = [validated(each.body, each.routing_key) for each in messages]
    (told,) = answer["snapshots"]
    assert told == {
        "snapshot": begin["snapshot"],
        "library": "music",
        "files": 2,
        "first": messages[0].sequence,
        "last": messages[-1].sequence,
        "suspended": None,
    }
    assert {each["snapshot"] for each in (begin, first, second, end)} == {told["snapshot"]}
    assert len({each["event_id"] for each in (begin, first, second, end)} | {told["snapshot"]}) == 5
    assert [each.event_id for each in messages] == [each["event_id"] for each in (begin, first, second, end)]
    scope = {"library": "music", "path_prefix": None, "changed_since": None}
    assert (begin["scope"], begin["suspended"], begin["reason"]) == (scope, False, None)
    assert (end["scope"], end["count"]) == (scope, 2)
    assert first["file_path"] == "/data/music/a.mp3"
    assert (first["file_id"], first["version"], first["previous_version"]) == (tagged.file_id, 4, None)
    assert (first["size"], first["modified_at"]) == (77, "2025-12-31T23:59:59.000000Z")
    assert (first["sha256_hash"], first["xxh128_hash"]) == ((b"s" * 32).hex(), (b"x" * 16).hex())
    assert (first["metadata"], first["operation"], first["growing"]) == (METADATA, "put", False)
    assert (second["growing"], second["sha256_hash"], second["version"]) == (True, None, 2)
    assert {each.library for each in messages} <= {"music", ""}


def test_the_notices_carry_the_root_so_that_nothing_of_the_library_is_under_way_with_them(
    books: Books,
) -> None:
    books.store.commit(Batch(inserts=[record("a/b.mp3")]))
    _, messages = books.replay(Wish("music", (ROOT + b"/a",)))
    assert [each.path for each in messages] == [ROOT, ROOT + b"/a/b.mp3", ROOT]


def test_everything_goes_to_the_queue_that_is_named(books: Books) -> None:
    books.store.commit(Batch(inserts=[record("a.mp3")]))
    _, messages = books.replay(Wish(queue="late"))
    assert {each.queue for each in messages} == {"late"}
    _, messages = books.replay(Wish())
    assert {each.queue for each in messages[5:]} == {None}


def test_without_a_name_each_library_has_a_snapshot_of_its_own(books: Books) -> None:
    books.store.commit(Batch(inserts=[record("a.mp3")]))
    answer, messages = books.replay(Wish())
    assert [(each["library"], each["files"]) for each in answer["snapshots"]] == [("music", 1), ("speech", 0)]
    assert len({each["snapshot"] for each in answer["snapshots"]}) == 2
    kinds = ["snapshot.begin", "created", "snapshot.end", "snapshot.begin", "snapshot.end"]
    assert [each.event_type for each in messages] == kinds
    assert books.telemetry.messages == {
        ("replay", "snapshot.begin"): 2,
        ("replay", "created"): 1,
        ("replay", "snapshot.end"): 2,
    }
    assert books.wakes == 1


def test_nothing_is_counted_or_announced_where_it_was_stopped(books: Books) -> None:
    books.store.commit(Batch(inserts=[record("a.mp3")]))
    assert books.replayer.replay(1, Wish(), lambda: True) is None
    assert (books.wakes, books.telemetry.messages) == (0, {})


def notices(folder: bytes, since_ns: int | None = None) -> list[dict[str, Any]]:
    telling = Telling(MUSIC, Scope(1, folder, since_ns), None, "abc12345", NOW_NS)
    return [
        validated(each.body, each.routing_key) for each in (telling.begin("the disk is away"), telling.end(0))
    ]


def test_the_scope_says_which_folder_and_since_when() -> None:
    for notice in notices(ROOT + b"/a", NOW_NS - 10**9):
        assert notice["scope"] == {
            "library": "music",
            "path_prefix": "/data/music/a",
            "changed_since": "2026-01-01T11:59:59.123456Z",
        }


def test_a_folder_whose_name_is_no_text_is_told_in_its_bytes() -> None:
    folder = ROOT + b"/\xff"
    for notice in notices(folder):
        assert base64.b64decode(notice["scope"]["path_prefix_base64"]) == folder
        assert notice["scope"]["path_prefix"] == "/data/music/�"


def test_a_library_that_is_not_watched_now_says_so_and_why() -> None:
    begin, _ = notices(ROOT)
    assert (begin["suspended"], begin["reason"]) == (True, "the disk is away")


# the wish


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), [(MUSIC, ROOT), (SPEECH, SPEECH.root)]),
        (Wish("speech"), [(SPEECH, SPEECH.root)]),
        (Wish(folders=(ROOT + b"/a",)), [(MUSIC, ROOT + b"/a")]),
        (Wish("music", (ROOT,)), [(MUSIC, ROOT)]),
        (Wish(folders=(b"/home/link/a", b"/data/speech/a")), [(SPEECH, b"/data/speech/a")]),
        (Wish(folders=(ROOT + b"/link", b"/elsewhere")), [(MUSIC, ROOT + b"/link")]),
    ],
)
def test_a_wish_is_for_the_libraries_that_it_fits(wish: Wish, expected: list[tuple[Library, bytes]]) -> None:
    assert [(library, scope.folder) for library, scope in chosen([MUSIC, SPEECH], wish)] == expected


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            Wish("musik"),
            "No watched library is named musik; there is music (/data/music), speech (/data/speech)",
        ),
        (
            Wish("speech", (ROOT + b"/a",)),
            "/data/music/a lies outside of speech (/data/speech); give a path inside",
        ),
        (
            Wish(folders=(b"/data/musical", b"/x")),
            "/data/musical lies outside of music (/data/music), speech (/data/speech); give a path inside",
        ),
    ],
)
def test_a_wish_that_fits_none_is_told_what_there_is(wish: Wish, words: str) -> None:
    with pytest.raises(UsageError) as raised:
        chosen([MUSIC, SPEECH], wish)
    assert str(raised.value) == words


def test_where_nothing_is_watched_nothing_is_replayed() -> None:
    with pytest.raises(UsageError, match="No library is watched"):
        chosen([], Wish())


def test_a_wish_goes_through_json_with_every_byte() -> None:
    wish = Wish("music", (b"/\xff\xfe", "/ü".encode()), 12, "späte")
    assert Wish.of(json.loads(json.dumps(wish.arguments()))) == wish
