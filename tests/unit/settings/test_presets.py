"""Presets: sets of settings below all that is given, and above the defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from file_watcher.errors import UsageError
from file_watcher.patterns import PatternList
from file_watcher.settings import FileWatchSettings, Settings, load, preset_table
from file_watcher.settings.presets import PRESETS
from file_watcher.settings.sources import from_database, with_preset
from file_watcher.settings.variables import BY_KEY


def test_music_is_the_preset_that_holds_where_none_is_named() -> None:
    assert load({}, {}).settings.watch.preset == "music"
    assert load({"preset": "music"}, {}).settings == load({}, {}).settings == Settings()


@pytest.mark.parametrize("name", PRESETS)
def test_all_that_a_preset_says_holds_over_the_defaults(name: str) -> None:
    loaded = load({"preset": name.upper()}, {})
    for key, value in PRESETS[name].values.items():
        assert getattr(loaded.settings.watch, key) == value
        assert loaded.origins[f"file_watch.{key}"] == "preset"
    untouched = FileWatchSettings.model_fields.keys() - PRESETS[name].values.keys() - {"preset"}
    assert all(loaded.origins[f"file_watch.{key}"] == "default" for key in untouched)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_holds_values_as_they_are_used_and_something_to_watch(name: str) -> None:
    for key, value in PRESETS[name].values.items():
        assert BY_KEY[key].read(value) == value
    assert PRESETS[name].about


@pytest.mark.parametrize("layer", ["option", "environment", "database", "file"])
def test_what_is_given_by_itself_holds_over_the_preset_wherever_that_is_named(
    tmp_path: Path, layer: str
) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[file_watch]\ndebounce_time = "7s"\n' if layer == "file" else "", encoding="utf-8")
    loaded = load(
        {"preset": "code", "debounce_time": "7s" if layer == "option" else None},
        {"FILE_WATCH_DEBOUNCE_TIME": "7s"} if layer == "environment" else {},
        {"file_watch.debounce_time": "7s"} if layer == "database" else {},
        file,
    )
    assert loaded.settings.watch.debounce_time == 7
    assert loaded.settings.watch.patterns == PRESETS["code"].values["patterns"]


def test_the_highest_layer_that_names_a_preset_decides_which(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text('[file_watch]\npreset = "all"\n', encoding="utf-8")
    assert load({}, {}, {}, file).settings.watch.patterns == ("*",)
    loaded = load({}, {"FILE_WATCH_PRESET": "code"}, {"file_watch.preset": "video"}, file)
    assert (loaded.settings.watch.preset, loaded.settings.watch.debounce_time) == ("code", 0.1)
    loaded = load({}, {}, {"file_watch.preset": "video"}, file)
    assert loaded.settings.watch.buffer_size == 256


def test_a_preset_in_the_database_that_there_is_not_falls_to_the_next_layer() -> None:
    loaded = load({}, {}, {"file_watch.preset": "opera"})
    assert loaded.settings.watch == FileWatchSettings()
    assert "music, video, documents, code or all" in loaded.warnings[0]


@pytest.mark.parametrize("given", ["music,video", ["music", "video"], '["code", "all"]'])
def test_two_presets_are_refused_with_the_way_out(given: object) -> None:
    with pytest.raises(UsageError, match="only one preset can be the base"):
        load({"preset": given}, {})


@pytest.mark.parametrize("given", ["vidoe", "", [], 5, ["music", 5]])
def test_what_is_no_preset_is_refused_with_those_that_are(given: object) -> None:
    with pytest.raises(UsageError, match="write music, video, documents, code or all"):
        load({"preset": given}, {})


def test_the_same_preset_twice_is_no_conflict() -> None:
    assert load({"preset": ["code", "CODE"]}, {}).settings.watch.preset == "code"


def test_one_librarys_preset_holds_over_what_is_said_of_all() -> None:
    everywhere = with_preset([from_database({"file_watch.debounce_time": "9s", "file_watch.nice": "5"})])
    rules = from_database({"file_watch.preset": "code", "file_watch.batch_size": "10"})
    layers = [*with_preset([rules]), *everywhere]
    found = {}
    for key in ("batch_size", "debounce_time", "nice"):
        dotted = f"file_watch.{key}"
        found[key] = next(layer.values[dotted].raw for layer in layers if dotted in layer.values)
    assert found == {"batch_size": "10", "debounce_time": 0.1, "nice": "5"}


@pytest.mark.parametrize(
    ("name", "wanted", "left_out"),
    [
        ("video", ["Film.MKV", "a/b.mp4"], ["a.mp3", "x.mkv.part"]),
        ("documents", ["a.pdf", "b.ODT"], [".~lock.b.odt#", "a.bak", "~$b.docx"]),
        ("code", ["a.json", "ast/b.json", "src/x.ast.json", "package.metadata.json"], ["a.py", "ast/b.txt"]),
        ("all", ["a", ".hidden", "x.tmp", "~$y"], []),
    ],
)
def test_each_preset_wants_what_it_is_for(name: str, wanted: list[str], left_out: list[str]) -> None:
    watch = load({"preset": name}, {}).settings.watch
    patterns, ignored = PatternList(watch.patterns, folders_cover=True), PatternList(watch.ignore_patterns)

    def is_wanted(path: str) -> bool:
        file, text = path.rpartition("/")[2].lower(), path.lower()
        return patterns.match_file(file, text) and not ignored.match_file(file, text)

    assert [path for path in wanted + left_out if is_wanted(path)] == wanted


def test_what_builds_leave_behind_is_no_code() -> None:
    ignored = PatternList(load({"preset": "code"}, {}).settings.watch.ignore_patterns)
    for folder in (".git", "node_modules", "build", "dist", "__pycache__"):
        assert ignored.match_folder(folder, f"a/{folder}")


def test_the_table_of_presets_names_each_with_its_figures() -> None:
    lines = preset_table().splitlines()
    assert len(lines) == 2 + len(PRESETS)
    assert {line.count("|") for line in lines} == {6}
    assert "`debounce_time` 0.1s, `buffer_size` 8192" in preset_table()


def test_a_pattern_that_repeats_the_watched_folder_is_refused_with_the_one_that_is_meant() -> None:
    with pytest.raises(UsageError) as refused:
        load({"data_dir": "/srv/x", "patterns": "*.a,/srv/x/*.b", "ignore_patterns": "!/srv/x/y"}, {})
    assert [line.split(": ")[0] for line in refused.value.problems] == [
        "FILE_WATCH_PATTERNS",
        "FILE_WATCH_IGNORE_PATTERNS",
    ]
    assert "write '/*.b'" in refused.value.problems[0]
    load({"data_dir": "/srv/x", "patterns": "/srv/*.b"}, {})
