"""Values on their way out: nothing forges a line, nothing shows a password, nothing raises."""

from __future__ import annotations

import datetime as dt
import json
import unicodedata
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import EventType
from file_watcher.ops.sanitize import (
    MAX_TEXT_CHARACTERS,
    escape_for_terminal,
    escape_in_json,
    plain,
    redact,
    scrub,
)

any_text = st.text(st.characters(exclude_categories=()), max_size=60)
REORDERING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Level(IntEnum):
    HIGH = 3


@given(any_text)
def test_no_control_or_reordering_character_survives_on_a_terminal(text: str) -> None:
    escaped = escape_for_terminal(text)
    assert not [c for c in escaped if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") or c in REORDERING]
    assert len(escaped.splitlines()) <= 1
    escaped.encode("utf-8")


@given(any_text)
def test_an_escaped_json_document_is_one_line_and_means_the_same(text: str) -> None:
    escaped = escape_in_json(json.dumps({"path": text}, ensure_ascii=False))
    assert not set(escaped) & set(REORDERING)
    assert len(escaped.splitlines()) == 1
    escaped.encode("utf-8")
    assert json.loads(escaped) == {"path": text}


@pytest.mark.parametrize("character", [*"\0\n\r\t\x1b\x7f\x85\x9b\u2028\u2029\ud800\udfff", *REORDERING])
def test_each_dangerous_character_is_replaced_in_both_forms(character: str) -> None:
    assert character not in escape_for_terminal(f"a{character}b")
    assert character not in escape_in_json(json.dumps(f"a{character}b", ensure_ascii=False))


def test_ordinary_names_in_any_alphabet_stay_readable() -> None:
    name = "Björk – Jóga, 坂本龍一, Аквариум, שלום.flac"
    assert escape_for_terminal(name) == name


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("amqp://user:pass@host:5672/v", "amqp://user:***@host:5672/v"),
        ("amqps://user:p/a@s:s@host", "amqps://user:***@host"),
        ("could not reach 'postgresql://a:b@db/x'.", "could not reach 'postgresql://a:***@db/x'."),
        (
            "postgresql://db/x?user=a&password=b&sslmode=require",
            "postgresql://db/x?user=a&password=***&sslmode=require",
        ),
        ("RABBITMQ_PASS=hunter2 was refused", "RABBITMQ_PASS=*** was refused"),
        ("host=db password=b", "host=db password=***"),
        ("http://localhost:8085/healthz", "http://localhost:8085/healthz"),
        ("/music/AC/DC - 10@home.mp3", "/music/AC/DC - 10@home.mp3"),
    ],
)
def test_passwords_are_scrubbed_and_the_rest_is_kept(text: str, shown: str) -> None:
    assert scrub(text) == shown


@given(st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=40))
def test_no_password_of_an_address_is_shown_whatever_it_holds(password: str) -> None:
    marked = f"SECRET{password}SECRET"
    assert "SECRET" not in scrub(f"cannot connect to amqp://guest:{marked}@broker:5672/")


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "RABBITMQ_PASS",
        "db_password",
        "client_secret",
        "api_key",
        "apikey",
        "token",
        "Authorization",
    ],
)
def test_a_value_whose_key_names_a_secret_is_hidden_at_any_depth(key: str) -> None:
    assert redact({"settings": [{key: ["hunter2"]}]}) == {"settings": [{key: "***"}]}


@pytest.mark.parametrize("key", ["path", "keyword", "key_file", "passed", "bypass", "monkey", "tokens_left"])
def test_a_key_that_only_resembles_a_secret_keeps_its_value(key: str) -> None:
    assert redact({key: "value"}) == {key: "value"}


def test_whether_a_secret_is_set_may_be_told() -> None:
    assert redact({"password": None, "passwords": True}) == {"password": None, "passwords": True}


def test_values_become_what_json_can_hold() -> None:
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    values: dict[Any, Any] = {
        "bytes": b"/a/\xff", "path": Path("/a/b"), "nan": float("nan"), "type": EventType.MOVED, "level": Level.HIGH,
        "set": {1}, "pair": (1, 2.5), "error": ValueError("bad"), "at": moment, 7: None, "yes": True,
    }  # fmt: skip
    assert plain(values) == {
        "bytes": "/a/\ufffd", "path": "/a/b", "nan": "nan", "type": "moved", "level": 3,
        "set": [1], "pair": [1, 2.5], "error": "ValueError: bad", "at": "2026-01-01T00:00:00+00:00", "7": None,
        "yes": True,
    }  # fmt: skip


def test_an_object_that_cannot_be_shown_costs_only_its_own_value() -> None:
    assert plain({"bad": Unshowable(), "good": 1}) == {
        "bad": "<Unshowable that cannot be shown: RuntimeError>",
        "good": 1,
    }


def test_a_structure_that_holds_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "…" in json.dumps(plain(endless), ensure_ascii=False)


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = plain("a" * 50_000 + "z")
    assert isinstance(text, str)
    assert len(text) < MAX_TEXT_CHARACTERS + 100
    assert text.startswith("aaa")
    assert text.endswith("z")
    assert "40001 characters left out" in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | any_text | st.binary(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(any_text | st.integers(), inner, max_size=4)
        ),
    )
)
def test_every_value_can_be_written_as_json(value: object) -> None:
    json.loads(json.dumps(redact(plain(value)), allow_nan=False))


def test_an_indented_document_keeps_its_lines_and_only_those() -> None:
    document = {"path": "a\nb\u202e\x9b", "list": [1, "\u2028"]}
    escaped = escape_in_json(json.dumps(document, ensure_ascii=False, indent=2))
    assert escaped.splitlines() == [
        "{",
        r'  "path": "a\nb\u202e\u009b",',
        '  "list": [',
        "    1,",
        r'    "\u2028"',
        "  ]",
        "}",
    ]
    assert json.loads(escaped) == document
