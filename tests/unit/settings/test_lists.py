"""Lists, patterns and paths, out of text, JSON and arrays."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from file_watcher.settings.lists import (
    read_list,
    read_path,
    read_paths,
    read_patterns,
    read_roots,
    read_wanted_patterns,
)

words = st.text(st.characters(exclude_characters=",\0", exclude_categories=["Cs"]), min_size=1).map(str.strip)


@given(st.lists(words.filter(bool), min_size=1))
def test_a_list_is_the_same_as_json_with_commas_and_as_an_array(items: list[str]) -> None:
    assume(not items[0].startswith("["))
    assert read_list(",".join(items)) == tuple(items)
    assert read_list(json.dumps(items)) == tuple(items)
    assert read_list(items) == tuple(items)


@given(st.text())
@example('["a"')
@example("[]")
def test_any_text_is_a_list_or_refused(text: str) -> None:
    try:
        items = read_list(text)
    except ValueError:
        assert text.lstrip().startswith("[")
    else:
        assert all(isinstance(item, str) for item in items)


def test_a_pattern_that_begins_with_a_bracket_is_not_taken_for_json() -> None:
    assert read_patterns("[ab]*.mp3,*.ogg") == ("[ab]*.mp3", "*.ogg")


def test_an_empty_json_array_is_an_empty_list() -> None:
    assert read_patterns(" [ ] ") == ()


@pytest.mark.parametrize(
    "value", ['["*.mp3"', '["*.mp3", 5]', ["*.mp3", 5], 5, None, {"a": 1}, '["' + "[" * 9]
)
def test_what_is_no_list_of_texts_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_list(value)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "is empty"),
        ("a\0b", "NUL"),
        ("[a-z.mp3", "bracket"),
        ("x[!]", "bracket"),
        ("../x", "below the library"),
        ("x" * 10_000, "10000 characters"),
    ],
)
def test_a_pattern_that_cannot_match_is_refused_with_the_reason(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_patterns([pattern])


def test_of_several_patterns_that_cannot_be_used_the_first_is_named() -> None:
    with pytest.raises(ValueError, match=r"'\[a' has .*, and 1 more"):
        read_patterns(["[a", "*.mp3", "[b"])


@pytest.mark.parametrize(
    "pattern",
    ["*.mp3", "[]]x", "[!]a]x", "a]b", "~$*", "**/ast/*.json", "[a-z][0-9]*", "/build/", "dist/", "!x", "#x"],
)
def test_a_pattern_that_can_match_is_taken(pattern: str) -> None:
    assert read_patterns([pattern]) == (pattern,)


def test_wanted_patterns_must_name_something() -> None:
    assert read_wanted_patterns("*,!*.tmp") == ("*", "!*.tmp")
    with pytest.raises(ValueError, match="name first what is wanted"):
        read_wanted_patterns("!*.tmp,!x")


def test_an_empty_item_between_commas_is_an_empty_pattern() -> None:
    with pytest.raises(ValueError, match="empty"):
        read_patterns("*.mp3,,*.ogg")


def test_roots_are_separated_like_a_search_path() -> None:
    assert read_roots(f"/a{os.pathsep}/b c,d{os.pathsep}") == (Path("/a"), Path("/b c,d"))


def test_roots_may_be_a_json_array_or_an_array() -> None:
    assert read_roots('["/a:b", "/c"]') == (Path("/a:b"), Path("/c"))
    assert read_roots(["/a:b"]) == (Path("/a:b"),)


@pytest.mark.parametrize("value", ["", ":", " : ", "[]", [], None, 5, [5], ["/a", ""], "/a\0b"])
def test_what_names_no_root_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_roots(value)


def test_a_relative_path_is_completed_with_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_paths("music, /other") == (tmp_path / "music", Path("/other"))


def test_a_tilde_is_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_path("~/Music") == tmp_path / "Music"


def test_a_path_that_is_not_utf8_keeps_its_bytes() -> None:
    assert os.fsencode(read_path(os.fsdecode(b"/m\xff"))) == b"/m\xff"


def test_a_relative_path_in_a_folder_that_is_gone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(ValueError, match="in full"):
        read_path("music")
