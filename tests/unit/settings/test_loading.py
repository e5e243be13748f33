"""Layers: which one holds, what each refuses, and all problems at once."""

from __future__ import annotations

import itertools
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.errors import UsageError
from file_watcher.settings import Loaded, load

SECRET = "Geh3im"
LAYERS = ("option", "environment", "database", "file")


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "settings.toml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def problems_of(*args: object, **kwargs: object) -> tuple[str, ...]:
    with pytest.raises(UsageError) as refused:
        load(*args, **kwargs)  # type: ignore[arg-type]
    assert "Traceback" not in str(refused.value)
    return refused.value.problems


def load_layers(file: Path, values: dict[str, str]) -> Loaded:
    """Load max_wait out of those layers that give it a value."""
    file.write_text(
        f'[file_watch]\nmax_wait = "{values["file"]}"\n' if "file" in values else "", encoding="utf-8"
    )
    return load(
        {"max_wait": values.get("option")},
        {"FILE_WATCH_MAX_WAIT": values.get("environment", "")},
        {"file_watch.max_wait": values["database"]} if "database" in values else {},
        file,
    )


def test_without_anything_the_defaults_hold() -> None:
    loaded = load({}, {})
    assert loaded.settings.watch.max_wait == 30
    assert set(loaded.origins.values()) == {"default"}
    assert (loaded.warnings, loaded.config_file) == ((), None)


@pytest.mark.parametrize(("higher", "lower"), [*itertools.combinations(LAYERS, 2)])
def test_the_higher_of_two_layers_holds(tmp_path: Path, higher: str, lower: str) -> None:
    loaded = load_layers(tmp_path / "x.toml", {higher: "7s", lower: "8s"})
    assert loaded.settings.watch.max_wait == 7
    assert loaded.origins["file_watch.max_wait"] == higher


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_holds_over_the_default(tmp_path: Path, layer: str) -> None:
    assert load_layers(tmp_path / "x.toml", {layer: "7s"}).settings.watch.max_wait == 7


@pytest.mark.parametrize("layer", ["option", "environment", "file"])
def test_an_unusable_value_is_a_problem_even_where_another_layer_holds(tmp_path: Path, layer: str) -> None:
    values = dict.fromkeys(LAYERS, "1s") | {layer: "soon"}
    with pytest.raises(UsageError, match=r"'soon' cannot be used; write a duration such as 500ms"):
        load_layers(tmp_path / "x.toml", values)


def test_all_problems_are_told_at_once_each_with_its_name_and_value(toml: Callable[[str], Path]) -> None:
    file = toml('log_level = "loud"\n[file_watch]\nnice = 20\nnicer = 1\n')
    problems = problems_of(
        {"max_wait": "soon", "no-such": "1"},
        {
            "RABBITMQ_PORT": "0",
            "FILE_WATCH_DEBOUNCE_TIME": "2h",
            "FILE_WATCH_DEBOUNCE": "1",
            "DATA_DIR": str(file),
        },
        {"file_watch.nice": "x"},
        file,
    )
    beginnings = [
        "--max-wait: 'soon' ",
        "--no-such is no known option",
        "RABBITMQ_PORT: '0' cannot be used; write a port from 1 to 65535",
        "FILE_WATCH_DEBOUNCE_TIME: '2h' ",
        "FILE_WATCH_DEBOUNCE is no known variable; did you mean FILE_WATCH_DEBOUNCE_TIME?",
        f"log_level in '{file}': 'loud' cannot be used; write DEBUG, INFO",
        f"file_watch.nice in '{file}': 20 cannot be used; write a whole number from 0 to 19",
        f"file_watch.nicer in '{file}' is no known setting; did you mean file_watch.nice?",
        f"DATA_DIR='{file}' is not a folder",
    ]
    assert len(problems) == len(beginnings)
    for problem, beginning in zip(problems, beginnings, strict=True):
        assert problem.startswith(beginning), problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATA_DIR", ":"),
        ("DATA_DIR", "/a:/a/b"),
        ("INSTANCE_ID", "a b"),
        ("INSTANCE_ID", "x" * 65),
        ("MAX_CONCURRENT_FILES", "0"),
        ("RABBITMQ_URL", "http://broker"),
        ("RABBITMQ_URL", "amqp://"),
        ("RABBITMQ_HOST", "broker:5672"),
        ("RABBITMQ_PORT", "65536"),
        ("RABBITMQ_EXCHANGE", "x" * 256),
        ("RABBITMQ_DECLARE", "maybe"),
        ("RABBITMQ_CA_FILE", "/no/such/file"),
        ("DATABASE_URL", "mysql://host/db"),
        ("WATCHER_HTTP_ADDR", "8085"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("FILE_WATCH_ENABLED", "maybe"),
        ("FILE_WATCH_DIRECTORIES", "a\0b"),
        ("FILE_WATCH_PATTERNS", "[a"),
        ("FILE_WATCH_PATTERNS", "[]"),
        ("FILE_WATCH_IGNORE_PATTERNS", "../x"),
        ("FILE_WATCH_PATTERNS", "!x"),
        ("FILE_WATCH_PRESET", "vidoe"),
        ("FILE_WATCH_PRESET", "music,video"),
        ("FILE_WATCH_DEBOUNCE_TIME", "0"),
        ("FILE_WATCH_MAX_WAIT", "nan"),
        ("FILE_WATCH_MAX_WAIT", "3653d"),
        ("STREAM_TIMEOUT", "-1"),
        ("FILE_WATCH_SCAN_WORKERS", "1025"),
        ("FILE_WATCH_OBSERVER", "fast"),
        ("FILE_WATCH_RATE_LIMIT", "-1"),
        ("FILE_WATCH_READ_RATE_LIMIT", "10MB"),
        ("FILE_WATCH_NICE", "-1"),
        ("FILE_WATCH_TAG_MEMORY_LIMIT", "1MB"),
        ("FILE_WATCH_LOSS_GUARD", "150%"),
        ("FILE_WATCH_LOSS_GUARD", "0%"),
        ("FILE_WATCH_RETENTION", "0s"),
        ("FILE_WATCH_OUTBOX_LIMIT", "many"),
    ],
)
def test_an_unusable_variable_is_one_problem_that_names_it(name: str, value: str) -> None:
    (problem,) = problems_of({}, {name: value})
    assert problem.startswith(name)
    assert "\n" not in problem


@given(
    st.sampled_from(["RABBITMQ_URL", "DATABASE_URL", "FILE_WATCH_RETENTION", "WATCHER_HTTP_ADDR"]), st.text()
)
def test_any_text_in_a_variable_is_usable_or_one_readable_problem(name: str, value: str) -> None:
    try:
        load({}, {name: value})
    except UsageError as refused:
        (problem,) = refused.problems
        assert problem.startswith(name)


def test_an_empty_variable_is_not_set() -> None:
    assert load({}, {"DATA_DIR": "", "FILE_WATCH_NICE": ""}) == load({}, {})


def test_variables_of_every_kind_arrive(tmp_path: Path) -> None:
    loaded = load(
        {},
        {
            "DATA_DIR": f"{tmp_path}/a:{tmp_path}/b",
            "FILE_WATCH_DIRECTORIES": f'["{tmp_path}/c"]',
            "STREAM_TIMEOUT": "90",
            "FILE_WATCH_LOSS_GUARD": "off",
            "FILE_WATCH_RETENTION": "1d,5",
            "WATCHER_HTTP_ADDR": "off",
            "LOG_LEVEL": "warn",
            "FILE_WATCH_READ_RATE_LIMIT": "12.5",
            "RABBITMQ_PASS": "12 ",
        },
    )
    settings = loaded.settings
    assert settings.roots == (tmp_path / "a", tmp_path / "b", tmp_path / "c")
    assert (settings.watch.idle_timeout, settings.watch.loss_guard) == (90, None)
    assert (settings.watch.retention, settings.watch.read_rate_limit) == ((86_400, 5), 12.5)
    assert (settings.http_addr, settings.log_level) == (None, "WARNING")
    assert settings.rabbitmq.password.get_secret_value() == "12 "


def test_the_deprecated_alias_works_and_warns(tmp_path: Path) -> None:
    loaded = load({}, {"FILE_WATCHER_SCAN_PATH": str(tmp_path)})
    assert loaded.settings.data_dir == (tmp_path,)
    (warning,) = loaded.warnings
    assert "FILE_WATCHER_SCAN_PATH is deprecated" in warning
    assert "DATA_DIR" in warning


def test_aliases_may_agree_but_not_differ(tmp_path: Path) -> None:
    agreeing = load({}, {"DATA_DIR": str(tmp_path), "WATCH_DIR": f"{tmp_path}/"})
    assert agreeing.settings.data_dir == (tmp_path,)
    assert (
        load({}, {"STREAM_TIMEOUT": "60", "FILE_WATCH_IDLE_TIMEOUT": "1m"}).settings.watch.idle_timeout == 60
    )
    (problem,) = problems_of({}, {"DATA_DIR": "/a", "WATCH_DIR": "/b"})
    assert problem.startswith("DATA_DIR='/a', WATCH_DIR='/b': these mean the same setting but differ")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("FILE_WATCH_DEBOUNCE_TIMES", "FILE_WATCH_DEBOUNCE_TIME"), ("FILE_WATCH_LOG_LEVEL", "LOG_LEVEL")],
)
def test_an_unknown_variable_of_ours_names_the_nearest_and_hides_its_value(name: str, meant: str) -> None:
    assert problems_of({}, {name: SECRET}) == (f"{name} is no known variable; did you mean {meant}?",)


def test_what_all_names_begin_with_makes_none_of_them_alike(tmp_path: Path) -> None:
    assert problems_of({}, {"FILE_WATCH_FOO": "1"}) == ("FILE_WATCH_FOO is no known variable; remove it",)
    file = tmp_path / "f.toml"
    file.write_text("[file_watch]\nfoo = 1\n")
    (problem,) = problems_of({}, {}, {}, file)
    assert problem == f"file_watch.foo in '{file}' is no known setting; remove it"


def test_a_variable_that_resembles_none_is_to_be_removed() -> None:
    assert problems_of({}, {"FILE_WATCH_": "x"})[0].startswith("FILE_WATCH_ is no known variable")


@pytest.mark.parametrize(
    "name",
    [
        "RABBITMQ_HOTS",
        "RABBITMQ_HOSTNAME",
        "RABBITMQ_PASSWORD",
        "WATCHER_HTTP_ADR",
        "FILE_WATCHER_SCAN_PATHS",
        "LOG_LEVL",
        "LOG_FROMAT",
    ],
)
def test_a_shared_name_that_is_nearly_ours_is_a_warning(name: str) -> None:
    (warning,) = load({}, {name: SECRET}).warnings
    assert name in warning
    assert SECRET not in warning


@pytest.mark.parametrize("name", ["LOG_FILE", "LOG_LEVEL_ROOT", "LOG_DIR"])
def test_other_programs_variables_about_logs_are_left_alone(name: str) -> None:
    assert load({}, {name: SECRET}).warnings == ()


def test_the_brokers_own_variables_are_left_alone() -> None:
    names = [
        "NODENAME",
        "NODE_PORT",
        "CONFIG_FILE",
        "LOGS",
        "MNESIA_BASE",
        "DEFAULT_USER",
        "DEFAULT_PASS",
        "DIST_PORT",
        "PID_FILE",
    ]
    assert load({}, {f"RABBITMQ_{name}": "x" for name in names} | {"WATCHER_COLOUR": "x"}).warnings == ()


def test_a_url_wins_over_its_parts_and_says_so() -> None:
    loaded = load({}, {"RABBITMQ_URL": "amqp://one", "RABBITMQ_HOST": "two", "RABBITMQ_PASS": SECRET})
    assert loaded.settings.rabbitmq.shown() == "amqp://guest:***@one:5672/%2F"
    assert loaded.warnings == (
        "RABBITMQ_HOST, RABBITMQ_PASS: not used, since RABBITMQ_URL gives the whole address",
    )


def test_options_go_by_key_or_by_spelling() -> None:
    for name in ("debounce_time", "debounce-time", "--debounce-time"):
        assert load({name: "2s"}, {}).settings.watch.debounce_time == 2
    assert problems_of({"debounce_tim": "2s"}, {}) == (
        "--debounce-tim is no known option; did you mean --debounce-time?",
    )


# The database


def test_an_unusable_row_falls_to_the_next_layer_and_is_reported(toml: Callable[[str], Path]) -> None:
    file = toml('[file_watch]\nmax_wait = "9s"\n')
    loaded = load({}, {}, {"file_watch.max_wait": "soon", "file_watch.nice": "3"}, file)
    assert (loaded.settings.watch.max_wait, loaded.settings.watch.nice) == (9, 3)
    (warning,) = loaded.warnings
    assert warning.startswith("file_watch.max_wait in the database: 'soon' cannot be used")
    assert loaded.origins["file_watch.max_wait"] == "file"


def test_rows_of_other_applications_are_left_alone_and_unknown_ones_of_ours_reported() -> None:
    loaded = load({}, {}, {"theme": "dark", "log_level": "loud", "file_watch.debouce_time": "1s"})
    (warning,) = loaded.warnings
    assert warning.startswith("file_watch.debouce_time in the database is no known setting")
    assert "did you mean file_watch.debounce_time?" in warning


def test_rows_that_name_an_unusable_folder_are_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "song.mp3"
    file.touch()
    loaded = load({}, {"DATA_DIR": str(tmp_path / "music")}, {"file_watch.directories": str(file)})
    assert loaded.settings.roots == (tmp_path / "music",)
    (warning,) = loaded.warnings
    assert warning.startswith("file_watch.directories in the database cannot be used: ")
    assert loaded.origins["file_watch.directories"] == "default"


def test_good_rows_do_not_suffer_for_a_bad_variable(tmp_path: Path) -> None:
    file = tmp_path / "song.mp3"
    file.touch()
    rows = {"file_watch.directories": str(tmp_path / "more")}
    assert problems_of({}, {"DATA_DIR": str(file)}, rows) == (
        f"DATA_DIR='{file}' is not a folder; name a folder",
    )


def test_a_row_that_cannot_be_read_hides_no_other_problem(tmp_path: Path) -> None:
    file = tmp_path / "song.mp3"
    file.touch()
    rows = {"file_watch.directories": "a\0b"}
    assert problems_of({}, {"DATA_DIR": str(file)}, rows) == (
        f"DATA_DIR='{file}' is not a folder; name a folder",
    )


# The file


def test_a_file_speaks_tomls_own_types(toml: Callable[[str], Path], tmp_path: Path) -> None:
    file = toml(
        f"""
        data_dir = ["{tmp_path}/a", "{tmp_path}/b"]
        rabbitmq_port = 5673
        [file_watch]
        debounce_time = 0.5
        max_wait = "1m"
        recursive = false
        patterns = ["*.mp3"]
        idle_timeout = false
        loss_guard = 0.25
        retention = ["1d", 10]
        """
    )
    loaded = load({}, {}, {}, file)
    watch = loaded.settings.watch
    assert loaded.settings.roots == (tmp_path / "a", tmp_path / "b")
    assert (loaded.settings.rabbitmq.port, watch.debounce_time, watch.max_wait) == (5673, 0.5, 60)
    assert (watch.recursive, watch.patterns, watch.idle_timeout) == (False, ("*.mp3",), None)
    assert (watch.loss_guard, watch.retention) == ((0.25, 100), (86_400, 10))
    assert (loaded.config_file, loaded.origins["data_dir"]) == (file, "file")


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        (
            "debounce_time = 1",
            "debounce_time in {} is no known setting; did you mean file_watch.debounce_time?",
        ),
        ("[rabbitmq]\nhost = 'x'", "rabbitmq.host in {} is no known setting; did you mean rabbitmq_host?"),
        (
            "[file_watch]\nlog_level = 1",
            "file_watch.log_level in {} is no known setting; did you mean log_level?",
        ),
        ("file_watch_nice = 1", "file_watch_nice in {} is no known setting; did you mean file_watch.nice?"),
        ("[other]", "other in {} is no known setting"),
        ("file_watch = 3", "file_watch in {} is no known setting"),
        ("max_concurrent_files = true", "max_concurrent_files in {}: True cannot be used"),
        ("log_level = 1979-05-27", "log_level in {}: datetime.date(1979, 5, 27) cannot be used"),
        ("[file_watch]\nmax_wait = inf", "file_watch.max_wait in {}: inf cannot be used"),
        ("[file_watch]\nmax_wait = {{a = 1}}", "file_watch.max_wait in {}: {{'a': 1}} cannot be used"),
        (f"rabbitmq_pass = ['{SECRET}']", "rabbitmq_pass in {}: *** cannot be used"),
        ("\n\nx = = 1", "The configuration file {} is no TOML: Invalid value (at line 3, column 5)"),
        ("x = " + "[" * 5_000, "The configuration file {} is no TOML that can be read"),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_place(
    toml: Callable[[str], Path], text: str, beginning: str
) -> None:
    file = toml(text.replace("{{", "{").replace("}}", "}"))
    (problem,) = problems_of({}, {}, {}, file)
    assert problem.startswith(beginning.format(repr(str(file)))), problem
    assert SECRET not in problem


def test_a_file_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"# one\n# t\xff\n")
    assert "not UTF-8 at line 2" in problems_of({}, {}, {}, file)[0]


def test_a_file_that_was_named_must_be_there_and_be_a_file(tmp_path: Path) -> None:
    assert "does not exist" in problems_of({}, {}, {}, tmp_path / "none.toml")[0]
    assert "cannot be read (Is a directory)" in problems_of({}, {}, {}, tmp_path)[0]


def test_the_users_own_file_is_read_where_none_is_named(tmp_path: Path) -> None:
    environ = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert load({}, environ).config_file is None
    own = tmp_path / "file_watcher" / "file_watcher.toml"
    own.parent.mkdir()
    own.write_text("log_level = 'debug'\n", encoding="utf-8")
    loaded = load({}, environ)
    assert (loaded.settings.log_level, loaded.config_file) == ("DEBUG", own)


def test_a_folder_of_somebody_else_is_no_reason_not_to_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, **_: object) -> os.stat_result:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr("file_watcher.settings.sources.Path.stat", refuse)
    monkeypatch.setattr("file_watcher.settings.loading.check_roots", lambda settings: [])
    (warning,) = load({}, {"XDG_CONFIG_HOME": "/closed"}).warnings
    assert "may not enter" in warning


def test_the_users_own_file_must_be_readable_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "file_watcher" / "file_watcher.toml").mkdir(parents=True)
    assert "cannot be read (Is a directory)" in problems_of({}, {"XDG_CONFIG_HOME": str(tmp_path)})[0]


def test_a_key_with_a_line_end_in_it_is_still_one_line(toml: Callable[[str], Path]) -> None:
    (problem,) = problems_of({}, {}, {}, toml('"a\\nb" = 1'))
    assert "\n" not in problem


# Settings together


def test_a_catalog_in_the_library_is_refused_until_the_database_is_elsewhere(tmp_path: Path) -> None:
    environ = {"XDG_STATE_HOME": str(tmp_path / "state"), "DATA_DIR": str(tmp_path)}
    assert "set DATABASE_URL" in problems_of({}, environ)[0]
    assert load({}, environ | {"DATABASE_URL": "postgresql://h/db"}).settings.roots == (tmp_path,)


def test_a_user_without_a_home_needs_a_database_and_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platformdirs.user_state_path", lambda name: Path("~") / name)
    assert "No home folder" in problems_of({}, {})[0]
    assert load({}, {"DATABASE_URL": "postgresql://h/db", "INSTANCE_ID": "x"}).settings.instance_id == "x"


def test_an_unusable_folder_list_raises_no_second_problem_by_its_default() -> None:
    problems = problems_of({}, {"DATA_DIR": "\0", "FILE_WATCH_DIRECTORIES": "/data"})
    assert len(problems) == 1


@pytest.mark.parametrize(
    "environ",
    [
        {"RABBITMQ_URL": f"http://u:{SECRET}@h"},
        {"RABBITMQ_URL": f"amqp://u:{SECRET}#@h"},
        {"RABBITMQ_HOST": f"amqp://u:{SECRET}@h"},
        {"RABBITMQ_HOST": f"u:{SECRET}@h"},
        {"RABBITMQ_DECLARE": f"amqp://u:{SECRET}@h"},
        {"DATABASE_URL": f"mysql://u:{SECRET}@h/db"},
        {"DATABASE_URL": f"postgresql://u:{SECRET}@@h/db"},
        {"DATABASE_URL": f"{SECRET}"},
        {"WATCHER_HTTP_ADDR": f"u:{SECRET}@h"},
    ],
)
def test_no_problem_shows_a_secret_not_even_by_its_traceback(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError) as refused:
        load({}, environ)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_what_was_loaded_shows_no_secret() -> None:
    loaded = load({"rabbitmq_pass": SECRET}, {"DATABASE_URL": f"postgresql://u:{SECRET}@h/db"})
    assert SECRET not in repr(loaded)


@pytest.mark.parametrize("name", ["LOG_LEVEL", "FILE_WATCH_PATTERNS"])
def test_a_very_long_value_is_cut_in_the_message(name: str) -> None:
    assert len(problems_of({}, {name: "/" * 10_000})[0]) < 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FILE_WATCH_IDLE_TIMEOUT", "0"),
        ("STREAM_TIMEOUT", "0s"),
        ("FILE_WATCH_DEBOUNCE_TIME", "0"),
        ("FILE_WATCH_DEBOUNCE_TIME", "365d"),
    ],
)
def test_a_time_that_can_be_no_time_is_refused_with_what_is_accepted(name: str, value: str) -> None:
    (problem,) = problems_of({}, {name: value})
    assert problem.startswith(f"{name}: {value!r} cannot be used; write ")


def test_an_idle_timeout_may_be_off_but_not_shorter_than_the_debounce() -> None:
    assert load({}, {"STREAM_TIMEOUT": "off"}).settings.watch.idle_timeout is None
    (problem,) = problems_of({}, {"STREAM_TIMEOUT": "500ms", "FILE_WATCH_DEBOUNCE_TIME": "2s"})
    assert problem.startswith("FILE_WATCH_IDLE_TIMEOUT=0.5s is shorter than FILE_WATCH_DEBOUNCE_TIME=2s")


def test_a_row_that_makes_the_idle_timeout_too_short_is_passed_over() -> None:
    loaded = load({}, {"STREAM_TIMEOUT": "3s"}, {"file_watch.debounce_time": "10s"})
    assert (loaded.settings.watch.idle_timeout, loaded.settings.watch.debounce_time) == (3.0, 1.0)
    assert any("file_watch.debounce_time in the database cannot be used" in line for line in loaded.warnings)
