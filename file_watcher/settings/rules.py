"""Settings of single libraries, and rows that are changed while the service runs. Pure; owns no thread.

A library's own rule is the most specific word on it, so it holds over every layer of the process:
rule > option > environment > database > file > preset > default. A rule's key is the name of a `file_watch.*`
setting without that prefix; besides there are `instance` (only the instance of this name may watch the library)
and `jobs` (JSON, judged by whoever makes jobs). A rule or row that cannot be used is refused and told: what was
good before stays; where nothing was, the next layer's value holds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from file_watcher.settings.checks import check_times, patterns_naming
from file_watcher.settings.lists import read_patterns
from file_watcher.settings.schema import FileWatchSettings, Settings
from file_watcher.settings.sources import Given, Layer, unusable_line, with_preset
from file_watcher.settings.variables import BY_TOML, WATCH_TABLE, nearest

PER_LIBRARY: Final = frozenset(
    {
        *("enabled", "preset", "patterns", "ignore_patterns", "priority_patterns", "recursive"),
        *("debounce_time", "max_wait", "idle_timeout", "rescan_interval", "poll_interval", "observer"),
        *("follow_symlinks", "emit_chmod", "create_missing", "loss_guard", "rate_limit", "hashing"),
    }
)
"""Settings that a library may have its own value of. All others hold for the process as a whole."""

AT_ONCE: Final = PER_LIBRARY | {
    *("directories", "allowed_roots", "scan_workers", "buffer_size", "batch_size", "read_rate_limit"),
    "log_to_database",
}
"""Settings whose rows take effect while the service runs; all others do at its next start."""

INSTANCE: Final = "instance"
JOBS: Final = "jobs"
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TIMES: Final = ("idle_timeout", "debounce_time", "preset")
"""What together decides whether a file is looked at before it is told as idle."""

_PATTERNS: Final = frozenset({"patterns", "ignore_patterns", "priority_patterns"})

JobsCheck = Callable[[str], Sequence[str]]
"""What is wrong with the text of the rule `jobs`, in sentences; empty where it can be used."""


@dataclass(frozen=True, slots=True)
class LibraryRules:
    """What holds for one library."""

    watch: FileWatchSettings
    """Only what is `PER_LIBRARY` holds; all else stands at its default."""
    instance: str | None = None
    """Only this instance may watch it; None where any may."""
    jobs: str | None = None
    """The text of its rule; None where it has none."""
    problems: tuple[str, ...] = ()
    good: Mapping[str, str] = field(default_factory=dict)
    """The rules that hold, as they were written: what stays where one is spoilt later."""


def problems_of_rule(key: str, value: str, problems_of_jobs: JobsCheck | None = None) -> list[str]:
    """Why a library cannot have this rule, in sentences that say what could be; empty where it can."""
    if key == INSTANCE:
        accepted = (
            "write the INSTANCE_ID of the one that may: 1 to 64 letters, digits, dots, dashes or underscores"
        )
        return [] if _NAME.fullmatch(value) else [f"{key}: {value!r} is no instance's name; {accepted}"]
    if key == JOBS:
        return [] if problems_of_jobs is None else [f"{key}: {line}" for line in problems_of_jobs(value)]
    variable = BY_TOML.get(f"{WATCH_TABLE}.{key}")
    if key in PER_LIBRARY and variable is not None:
        try:
            variable.read(value)
        except ValueError as exc:
            return [unusable_line(variable, Given(key, value), str(exc))]
        return []
    if variable is not None:
        return [f"{key} holds for the whole process, not for one library; set {WATCH_TABLE}.{key} instead"]
    meant = nearest(key, sorted(PER_LIBRARY | {INSTANCE, JOBS}))
    shown = key if key.isprintable() else repr(key)
    return [f"{shown} is no known rule; " + (f"did you mean {meant}?" if meant else "remove it")]


def rules_of_library(
    name: str,
    rules: Mapping[str, str],
    layers: Sequence[Layer],
    good: Mapping[str, str],
    problems_of_jobs: JobsCheck | None = None,
    root: Path | None = None,
) -> LibraryRules:
    """What holds for the library of this name at this root. `layers` are the process's, highest first, its preset
    last; `good` are the rules that held until now.
    """

    def problems_of(key: str, value: str) -> list[str]:
        lines = problems_of_rule(key, value, problems_of_jobs)
        if not lines and key in _PATTERNS and root is not None:
            lines = patterns_naming(key, read_patterns(value), [root])
        return lines

    where = f"the rules of the library {name!r}"
    usable, found = keep_good(rules, good, problems_of)
    problems = [f"{where}: {line}" for line in found]
    watch = _resolved(usable, layers)
    if (lines := check_times(Settings(watch=watch))) and any(key in usable for key in _TIMES):
        before = {key: value for key, value in usable.items() if key not in _TIMES}
        before |= {key: good[key] for key in _TIMES if key in good and key in rules}
        again = _resolved(before, layers)
        if check_times(Settings(watch=again)):
            before = {key: value for key, value in usable.items() if key not in _TIMES}
            again = _resolved(before, layers)
        problems += [f"{where}: {line} (what held before stays)" for line in lines]
        usable, watch = before, again
    return LibraryRules(watch, usable.get(INSTANCE), usable.get(JOBS), tuple(problems), usable)


def keep_good(
    rows: Mapping[str, str],
    good: Mapping[str, str],
    problems_of: Callable[[str, str], Sequence[str]],
) -> tuple[dict[str, str], list[str]]:
    """The rows that can be used, the last good value in the place of one that cannot; and what is wrong."""
    usable: dict[str, str] = {}
    problems: list[str] = []
    for key, value in sorted(rows.items()):
        if not (lines := problems_of(key, value)):
            usable[key] = value
            continue
        effect = "the next layer's value holds"
        if key in good:
            usable[key] = good[key]
            effect = f"{good[key]!r} stays, as before"
        problems += [f"{line} ({effect})" for line in lines]
    return usable, problems


def _resolved(rules: Mapping[str, str], layers: Sequence[Layer]) -> FileWatchSettings:
    """The settings out of usable rules and the layers below them."""
    own = Layer("rule")
    for key, value in rules.items():
        if (variable := BY_TOML.get(f"{WATCH_TABLE}.{key}")) is not None:
            own.add(variable, Given(key, value))
    stack = [own, *layers]
    if f"{WATCH_TABLE}.preset" in own.values:
        # Its own preset comes in the place of the process's, and above what is said of all libraries.
        *_, preset = with_preset([own])
        of_libraries = Layer(preset.name, {k: v for k, v in preset.values.items() if _bare(k) in PER_LIBRARY})
        stack = [own, of_libraries, *(layer for layer in layers if layer.name != preset.name)]
    values = {}
    # What holds for the process is left out: a change of it is none of the library's.
    for field_name in sorted(PER_LIBRARY & FileWatchSettings.model_fields.keys()):
        key = f"{WATCH_TABLE}.{field_name}"
        found = next((layer.values[key] for layer in stack if key in layer.values), None)
        if found is not None:
            values[field_name] = found.raw
    return FileWatchSettings(**values)  # type: ignore[arg-type]


def _bare(key: str) -> str:
    return key.removeprefix(f"{WATCH_TABLE}.")
