from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from file_watcher.embedding.options import Options, options_of, settings_of
from file_watcher.embedding.place import PRIVATE_FOLDERS

DEFAULTS: dict[str, Any] = {
    "preset": None,
    "patterns": None,
    "ignore": None,
    "debounce": None,
    "idle_timeout": None,
    "recursive": True,
    "follow_symlinks": False,
    "existing": True,
    "buffer": 1024,
    "catalog": None,
    "settings": {},
}


def options(**given: Any) -> Options:
    return options_of(**{**DEFAULTS, **given})


def test_a_program_gets_all_files_after_a_tenth_of_a_second() -> None:
    watch = options().watch
    assert watch.patterns == ("*",)
    assert watch.ignore_patterns == (PRIVATE_FOLDERS,)
    assert watch.debounce_time == 0.1
    assert watch.loss_guard is None


@pytest.mark.parametrize("debounce", ["250ms", 0.25, timedelta(milliseconds=250)])
def test_a_duration_is_text_seconds_or_a_timedelta(debounce: object) -> None:
    assert options(debounce=debounce).watch.debounce_time == 0.25


def test_other_settings_go_by_their_names_and_arguments_win() -> None:
    watch = options(patterns="*.a", settings={"max_wait": "5s", "loss_guard": "50%", "patterns": "*.b"}).watch
    assert (watch.max_wait, watch.patterns) == (5.0, ("*.a",))
    assert watch.loss_guard == (0.5, 100)


@pytest.mark.parametrize("given", [{"preset": "documents"}, {"settings": {"preset": "documents"}}])
def test_a_preset_holds_where_nothing_else_is_said(given: dict[str, Any]) -> None:
    watch = options(patterns="*.x", **given).watch
    assert (watch.preset, watch.patterns, watch.debounce_time, watch.move_window) == (
        "documents",
        ("*.x",),
        2.0,
        5.0,
    )
    assert "*.bak" in watch.ignore_patterns
    assert watch.loss_guard is None


@pytest.mark.parametrize("ignore", ["*.tmp,*.part", ["*.tmp", "*.part"], ("*.tmp", "*.part")])
def test_private_catalogs_are_ignored_besides_what_is_given(ignore: object) -> None:
    assert options(ignore=ignore).watch.ignore_patterns == ("*.tmp", "*.part", PRIVATE_FOLDERS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"preset": "musik"}, "preset='musik' cannot be used (there is no such preset)"),
        ({"debounce": "0"}, "debounce='0' cannot be used: write a duration"),
        ({"debounce": "1y"}, "its unit is none of"),
        ({"debounce": "365d"}, "debounce='365d'"),
        ({"patterns": ["[a"]}, "has a bracket that is not closed"),
        ({"patterns": []}, "patterns=[]"),
        ({"ignore": 5}, "ignore=5"),
        ({"buffer": 0}, "buffer=0 cannot be used: write a number of events"),
        ({"buffer": True}, "buffer=True"),
        ({"settings": {"nothing": 1}}, "there is no setting 'nothing'"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be used|no setting") as caught:
        options(**given)
    assert words in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ValueError, match="debounce") as caught:
        options(debounce="x", buffer=0, patterns=5)
    assert len(str(caught.value).splitlines()) == 3


def test_the_settings_of_the_service_need_no_broker_and_no_http() -> None:
    catalog = Path("/state/a 100%?.db")
    settings = settings_of(options(), [Path("/a:b"), Path("/c")], catalog)
    assert settings.roots == (Path("/a:b"), Path("/c"))
    assert settings.http_addr is None
    assert settings.catalog_file(Path("/")) == catalog
