"""The shipped schemas: valid themselves, and strict about what the contract promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from file_watcher.catalog.snapshot import Scope
from file_watcher.model import EventType, uuid7
from file_watcher.publishing import schema
from file_watcher.publishing.message import encode_event, encode_job
from file_watcher.snapshots import Telling
from tests.support.jobs import job
from tests.support.messages import LIBRARY, NOW_NS, event

Document = dict[str, Any]


@pytest.mark.parametrize("name", schema.NAMES)
def test_each_schema_is_a_valid_draft_2020_12_schema(name: str) -> None:
    document = schema.load(name)

    Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_an_unknown_schema_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        schema.load("../../pyproject")


def test_changing_a_loaded_schema_changes_no_other() -> None:
    schema.load("event").clear()

    assert schema.load("event")


def is_valid(document: Document) -> bool:
    return Draft202012Validator(schema.load("event")).is_valid(document)


def encoded(event_type: EventType, **changes: Any) -> Document:
    document: Document = json.loads(encode_event(event(event_type, **changes), "abc"))
    return document


def test_a_missing_key_breaks_the_contract() -> None:
    whole = encoded(EventType.CREATED)

    for key in whole:
        rest = {name: value for name, value in whole.items() if name != key}
        assert not is_valid(rest), key


def test_a_mistyped_value_breaks_the_contract() -> None:
    whole = encoded(EventType.CREATED)

    for key in whole:
        assert not is_valid({**whole, key: ["unexpected", 1]}), key


def test_an_unknown_key_does_not_break_the_contract() -> None:
    assert is_valid({**encoded(EventType.CREATED), "new_in_some_later_version": 1})


@pytest.mark.parametrize(
    ("event_type", "change"),
    [
        (EventType.CREATED, {"old_path": "/m/x"}),
        (EventType.CREATED, {"operation": "delete"}),
        (EventType.CREATED, {"sha256_hash": None}),
        (EventType.CREATED, {"sha256_hash": "AB" * 32}),
        (EventType.CREATED, {"growing": True}),
        (EventType.CREATED, {"size": None}),
        (EventType.CREATED, {"file_path": "relative.mp3"}),
        (EventType.CREATED, {"timestamp": "2026-01-01T12:00:00Z"}),
        (EventType.CREATED, {"event_id": "0191"}),
        (EventType.CREATED, {"reason": ""}),
        (EventType.CREATED, {"metadata": {"duration": -1}}),
        (EventType.CREATED, {"metadata": {"tags": {"title": ""}}}),
        (EventType.CREATED, {"changed": ["content"]}),
        (EventType.MODIFIED, {"changed": None}),
        (EventType.MODIFIED, {"changed": []}),
        (EventType.MODIFIED, {"changed": ["name"]}),
        (EventType.DELETED, {"operation": "put"}),
        (EventType.DELETED, {"growing": True, "sha256_hash": None, "xxh128_hash": None}),
        (EventType.MOVED, {"old_path": None}),
        (EventType.MOVED, {"evidence": None}),
        (EventType.MOVED, {"previous": None}),
        (EventType.RENAMED, {"evidence": "guess"}),
        (EventType.RENAMED, {"previous": {"file_path": "/m/x"}}),
        (EventType.IDLE, {"evidence": "cookie"}),
        (EventType.CREATED, {"snapshot": "0191"}),
        (EventType.MODIFIED, {"snapshot": uuid7()}),
        (EventType.CREATED, {"snapshot": uuid7(), "previous_version": 2}),
        (EventType.CREATED, {"snapshot": uuid7(), "reason": "why"}),
    ],
)
def test_each_type_of_event_holds_what_it_must(event_type: EventType, change: Document) -> None:
    whole = encoded(event_type)

    assert is_valid(whole)
    assert not is_valid({**whole, **change})


def test_a_job_holds_what_it_must() -> None:
    validator = Draft202012Validator(schema.load("job"))
    whole: Document = json.loads(encode_job(job(), "abc"))
    assert validator.is_valid(whole)
    for key in whole:
        assert not validator.is_valid({name: value for name, value in whole.items() if name != key}), key
        assert not validator.is_valid({**whole, key: ["unexpected", 1]}), key


@pytest.mark.parametrize(
    "change",
    [
        {"type": "media.scan"},
        {"queue": "a.b"},
        {"path": "relative"},
        {"trigger": "because"},
        {"events": {}},
        {"events": {"created": 0}},
        {"events": {"scanned": 1}},
        {"count": 0},
        {"source": "somebody"},
        {"dedupe_key": "x"},
    ],
)
def test_a_job_that_says_something_else_breaks_the_contract(change: Document) -> None:
    whole: Document = json.loads(encode_job(job(), "abc"))
    assert not Draft202012Validator(schema.load("job")).is_valid({**whole, **change})


def test_a_created_may_belong_to_a_snapshot_with_the_version_that_the_file_has() -> None:
    assert is_valid(encoded(EventType.CREATED, snapshot=uuid7(), version=7))


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        *[(kind, key) for kind in ("begin", "end") for key in ("snapshot", "scope", "library")],
        ("begin", "suspended"),
        ("begin", "reason"),
        ("end", "count"),
    ],
)
def test_the_notices_of_a_snapshot_say_what_it_is_of(kind: str, spoil: str) -> None:
    telling = Telling(LIBRARY, Scope(1, b"/m/a", 5), None, "abc", NOW_NS)
    told = telling.begin(None) if kind == "begin" else telling.end(3)
    notice: Document = json.loads(told.body)
    validator = Draft202012Validator(schema.load("notice"))
    assert validator.is_valid(notice)
    assert not validator.is_valid({key: value for key, value in notice.items() if key != spoil})
    for part in notice["scope"]:
        scope = {key: value for key, value in notice["scope"].items() if key != part}
        assert not validator.is_valid({**notice, "scope": scope}), part


@pytest.mark.parametrize(
    "spoil",
    [
        lambda notice: notice.pop("library"),
        lambda notice: notice.update(event_type="library.vanished"),
        lambda notice: notice.pop("reason"),
    ],
)
def test_a_notice_that_lacks_something_breaks_the_contract(spoil: Callable[[Document], object]) -> None:
    whole = encoded(EventType.CREATED)
    notice = {key: whole[key] for key in ("event_id", "timestamp", "instance_id", "library")}
    notice |= {"event_type": "library.suspended", "reason": "the root is missing"}
    validator = Draft202012Validator(schema.load("notice"))
    assert validator.is_valid(notice)

    spoil(notice)

    assert not validator.is_valid(notice)
