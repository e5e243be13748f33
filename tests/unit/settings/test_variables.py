"""The table that the command's options and the documentation are made of."""

from __future__ import annotations

import re

from file_watcher.settings import Settings, load, markdown_table, option_table
from file_watcher.settings.variables import BY_KEY, VARIABLES, nearest


def test_no_two_settings_share_a_name() -> None:
    table = option_table()
    names = [name for info in table for name in info.environment]
    for column in ([info.key for info in table], [info.option for info in table], names):
        assert len(column) == len(set(column))


def test_names_follow_from_one_another() -> None:
    info = BY_KEY["debounce_time"].info
    assert (info.option, info.environment, info.toml, info.default, info.kind) == (
        "--debounce-time",
        ("FILE_WATCH_DEBOUNCE_TIME",),
        "file_watch.debounce_time",
        "1s",
        "duration",
    )
    assert BY_KEY["rabbitmq_pass"].info.environment == ("RABBITMQ_PASS",)
    assert BY_KEY["watcher_http_addr"].info.option == "--watcher-http-addr"
    assert BY_KEY["data_dir"].info.environment == ("DATA_DIR", "WATCH_DIR", "FILE_WATCHER_SCAN_PATH")
    assert BY_KEY["idle_timeout"].info.environment == ("FILE_WATCH_IDLE_TIMEOUT", "STREAM_TIMEOUT")


def test_every_setting_has_one_line_of_help_and_says_what_it_accepts() -> None:
    for info in option_table():
        assert info.help
        assert "\n" not in info.help
        assert info.accepts


def test_a_default_that_is_shown_as_a_value_means_the_default_when_it_is_given() -> None:
    shown = {info.key: info.default for info in option_table() if info.default and " " not in info.default}
    for variable in VARIABLES:
        if variable.info.key in {"max_watches", "allowed_roots"} or variable.info.key not in shown:
            continue
        default = variable.model.model_fields[variable.field].default
        assert variable.read(shown[variable.info.key]) == default, variable.info.key
    assert load(shown | {"allowed_roots": None}, {}).settings == Settings()


def test_the_markdown_table_names_every_variable_once() -> None:
    lines = markdown_table().splitlines()
    assert len(lines) == 2 + len(option_table())
    assert {line.count("|") for line in lines} == {6}
    named = re.findall(r"`([A-Z_]+)`(?=[,( |])", markdown_table())
    assert {name for info in option_table() for name in info.environment} <= set(named)
    assert "`FILE_WATCHER_SCAN_PATH` (deprecated)" in markdown_table()


def test_the_nearest_name_is_found_or_none() -> None:
    assert nearest("debouce", ("debounce", "patterns")) == "debounce"
    assert nearest("zzz", ("debounce", "patterns")) is None
