"""The plan: what is to be watched, and how, out of the database's rows and the process's own settings.

Owns no thread. Level-triggered: equal rows give an equal plan, whatever happened in between. What was accepted
before stays where a row was spoilt since (`LastGood`); all that is refused is told in sentences. Looks at the disk
only where a library's folder is new or was missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from file_watcher.catalog.bookkeeping import root_of
from file_watcher.catalog.steering import LibraryRow, SteeringRows
from file_watcher.model import Library, display
from file_watcher.paths import native, real_path
from file_watcher.settings import FileWatchSettings, Layers, Settings, Settled, settle
from file_watcher.settings.checks import check_folder
from file_watcher.settings.rules import JobsCheck, LibraryRules, rules_of_library

_ENABLED: Final = "file_watch.enabled"


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """Who plans. `is_alone`: no other instance uses this catalog. `catalog_file` is None for a server."""

    instance_id: str
    layers: Layers
    is_alone: bool
    catalog_file: Path | None = None
    problems_of_jobs: JobsCheck | None = None


@dataclass(frozen=True, slots=True)
class LastGood:
    """What was accepted: what stays where a row is spoilt later."""

    settings: Mapping[str, str] = field(default_factory=dict)
    rules: Mapping[int, Mapping[str, str]] = field(default_factory=dict)
    places: Mapping[int, tuple[str, bytes]] = field(default_factory=dict)
    """Of each library that is watched: its path as it stood in its row, and the real one."""
    named: Mapping[Path, bytes] = field(default_factory=dict)
    """The folders that our own options, environment or file name, and the real ones."""
    watched: Mapping[int, Library] = field(default_factory=dict)
    """What was planned; with those whose rows vanished since, until somebody said so."""


@dataclass(frozen=True, slots=True)
class PlannedLibrary:
    """A library that this instance would watch."""

    library: Library
    watch: FileWatchSettings
    jobs: str | None
    """The text of its rule `jobs`; None where it has none."""
    instance: str | None
    """Its rule `instance`, which is our name then."""
    is_named: bool
    """Our own options, environment or file name its folder."""
    was_seen: bool
    """Its folder was there once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be."""

    settings: Settings
    libraries: tuple[PlannedLibrary, ...]
    unwatched: tuple[Library, ...]
    """Those that nobody watches any more, though somebody did and has not said so yet."""
    left_over: tuple[int, ...]
    """The numbers of those that nobody watches and that it was said of, or that have no row any more, with messages
    or jobs that are still to be sent."""
    named: tuple[bytes, ...]
    """Real paths of the folders that our own options, environment or file name: each needs a row."""
    problems: tuple[str, ...]
    waits: bool
    """A folder is missing: what its path leads to may be another one when it is there."""
    good: LastGood


def text_of(root: bytes) -> str:
    """The path as the table of libraries holds it; `catalog.bookkeeping.root_of` is its inverse."""
    return root.decode("utf-8", "backslashreplace")


def make_plan(config: PlanConfig, rows: SteeringRows, good: LastGood) -> Plan:
    """The plan for these rows. Never raises for a row's sake; blocks as long as the disk does."""
    settled = settle(config.layers, rows.settings, good.settings)
    problems = list(settled.problems)
    by_path = _named_roots(settled, rows, good, config)
    named = tuple(by_path.values())
    claims = {row.id: _claim(row, {text_of(root) for root in named}, config) for row in rows.libraries}
    rules = {
        row.id: _rules(row, settled, good, config)
        for row in rows.libraries
        if claims[row.id] in {"named", "watched"}
    }
    ours = [row for row in rows.libraries if row.id in rules and _is_ours(rules[row.id], config)]
    places = _Places(config, settled.settings, good)
    roots = places.accept(ours, {text_of(root): root for root in named})
    problems += [*(line for each in rules.values() for line in each.problems), *places.problems]
    vanished = _vanished(rows, good)
    libraries = tuple(
        _planned(row, roots[row.id], rules[row.id], is_named=claims[row.id] == "named")
        for row in ours
        if row.id in roots
    )
    nobodys = _nobodys(rows, claims, rules, settled, config)
    unwatched = (*_unwatched(nobodys), *vanished.values())
    return Plan(
        settled.settings,
        libraries,
        unwatched,
        _left_over(rows, nobodys, unwatched),
        named,
        tuple(problems),
        any(not os.path.isdir(native(root)) for root in roots.values()) or len(libraries) < len(ours),
        LastGood(
            settled.good,
            {number: each.good for number, each in rules.items()},
            places.taken,
            by_path,
            {each.library.id: each.library for each in libraries} | vanished,
        ),
    )


_Claim = Literal["named", "watched", "others", "nobody"]


def _claim(row: LibraryRow, named: set[str], config: PlanConfig) -> _Claim:
    """Who would watch the library: we, since our environment names it or its row says so, others, or nobody."""
    if row.path in named:
        return "named"
    if not row.is_watched:
        return "nobody"
    if not row.origins or any(row.origins.values()):
        return "watched"
    # It is watched for as long as an environment names it, and ours does not.
    return "others" if not config.is_alone and row.origins.keys() - {config.instance_id} else "nobody"


def _rules(row: LibraryRow, settled: Settled, good: LastGood, config: PlanConfig) -> LibraryRules:
    return rules_of_library(
        row.name or row.path,
        row.rules,
        settled.layers,
        good.rules.get(row.id, {}),
        config.problems_of_jobs,
        Path(row.path),
    )


def _is_ours(rules: LibraryRules, config: PlanConfig) -> bool:
    return rules.watch.enabled and rules.instance in {None, config.instance_id}


def _vanished(rows: SteeringRows, good: LastGood) -> dict[int, Library]:
    """What was watched, and has no row any more."""
    numbers = {row.id for row in rows.libraries}
    return {number: each for number, each in good.watched.items() if number not in numbers}


def _named_roots(
    settled: Settled, rows: SteeringRows, good: LastGood, config: PlanConfig
) -> dict[Path, bytes]:
    """What options, environment, file or the row `directories` name, and where it leads to.

    A link that is turned while its old end is still there is followed at the next start. The default folder,
    which nobody named, is left out where it was never there and the database names another one.
    """
    if not settled.settings.watch.enabled:
        return {}
    roots = {path: _led_to(path, good.named.get(path)) for path in settled.settings.roots}
    if settled.origins["data_dir"] != "default":
        return roots
    seen = {row.path for row in rows.libraries if row.was_seen}
    unknown = {
        path: text_of(roots[path])
        for path in settled.settings.data_dir
        if text_of(roots[path]) not in seen and not os.path.isdir(native(roots[path]))
    }
    others = any(
        row.path not in unknown.values() and _claim(row, set(), config) == "watched" for row in rows.libraries
    )
    return {path: root for path, root in roots.items() if not others or path not in unknown}


def _led_to(path: Path, before: bytes | None) -> bytes:
    return before if before is not None and os.path.isdir(native(before)) else real_path(path)


def _planned(row: LibraryRow, root: bytes, rules: LibraryRules, *, is_named: bool) -> PlannedLibrary:
    name = row.name or text_of(root).rstrip("/").rpartition("/")[2] or "root"
    library = Library(row.id, name, row.type or "production", root)
    return PlannedLibrary(library, rules.watch, rules.jobs, rules.instance, is_named, row.was_seen)


def _nobodys(
    rows: SteeringRows,
    claims: Mapping[int, _Claim],
    rules: Mapping[int, LibraryRules],
    settled: Settled,
    config: PlanConfig,
) -> list[LibraryRow]:
    """Libraries that nobody watches now: by their rows, or by a rule or row `enabled`."""
    by_all = config.is_alone or settled.origins[_ENABLED] == "database"

    def is_off(own: LibraryRules | None) -> bool:
        return own is not None and not own.watch.enabled and (by_all or "enabled" in own.good)

    return [row for row in rows.libraries if claims[row.id] == "nobody" or is_off(rules.get(row.id))]


def _unwatched(nobodys: Sequence[LibraryRow]) -> Iterator[Library]:
    """Those that were watched, which nobody has said yet."""
    for row in nobodys:
        if row.state not in {None, "unwatched"}:
            yield Library(row.id, row.name, row.type, real_path(root_of(row.path)))


def _left_over(
    rows: SteeringRows, nobodys: Sequence[LibraryRow], unwatched: Sequence[Library]
) -> tuple[int, ...]:
    """What is unsent of libraries that neither somebody watches nor somebody is about to say goodbye to."""
    watched = {row.id for row in rows.libraries} - {row.id for row in nobodys}
    return tuple(sorted(rows.unsent - watched - {library.id for library in unwatched}))


class _Places:
    """Which library gets which folder: none lies in another one's, and who had his keeps it."""

    def __init__(self, config: PlanConfig, settings: Settings, good: LastGood) -> None:
        self._config = config
        self._allowed = [real_path(place) for place in settings.watch.allowed_roots]
        self._good = good.places
        self.problems: list[str] = []
        self.taken: dict[int, tuple[str, bytes]] = {}
        self._names: dict[int, str] = {}

    def accept(self, rows: Sequence[LibraryRow], named: Mapping[str, bytes]) -> dict[int, bytes]:
        """The real root of each library that gets one: first of those that stay where they are, then of those
        that the environment names, then of the others, by number."""

        def rank(row: LibraryRow) -> tuple[int, int]:
            before = self._good.get(row.id)
            stays = before is not None and before[0] == row.path
            return (0 if stays else 1 if row.path in named else 2), row.id

        self._names = {row.id: row.name or row.path for row in rows}
        for row in sorted(rows, key=rank):
            self._accept(row, named.get(row.path))
        return {number: root for number, (_, root) in self.taken.items()}

    def _accept(self, row: LibraryRow, exact: bytes | None) -> None:
        where = f"The path {row.path!r} of the library {self._names[row.id]!r}"
        before = self._good.get(row.id)
        if before is not None and before[0] == row.path and os.path.isdir(native(before[1])):
            root, problem = before[1], None
        else:
            root, problem = self._look(where, row, exact)
        problem = problem or self._conflict(where, row.id, root)
        if problem is None:
            self.taken[row.id] = (row.path, root)
            return
        stays = before is not None and before[0] != row.path and self._conflict("", row.id, before[1]) is None
        self.problems.append(f"{problem} ({'its last path stays' if stays else 'it is not watched'})")
        if stays and before is not None:
            self.taken[row.id] = before

    def _look(self, where: str, row: LibraryRow, exact: bytes | None) -> tuple[bytes, str | None]:
        """The real root, and why it cannot be one by itself."""
        if exact is not None:
            return exact, None  # judged with the other settings, at the start or when they changed
        path = root_of(row.path)
        if not path or b"\0" in path or not os.path.isabs(native(path)):
            return b"", f"{where} is no absolute path; write one, such as /srv/music"
        root = real_path(path)
        before = self._good.get(row.id)
        if before is not None and before == (row.path, root):
            return root, None  # a folder that went is waited for, whatever is in its place
        return root, check_folder(f"The path of the library {self._names[row.id]!r}", Path(native(root)))

    def _conflict(self, where: str, number: int, root: bytes) -> str | None:
        """Why this root cannot be beside the others, or not at all, though it is a folder."""
        here = Library(number, "", "", root)
        if self._allowed and not any(Library(0, "", "", place).holds(root) for place in self._allowed):
            places = ", ".join(map(display, self._allowed))
            return f"{where} lies outside of file_watch.allowed_roots ({places}); name a folder in these"
        file = self._config.catalog_file
        if file is not None and here.holds(real_path(file)):
            return (
                f"{where} holds the catalog {str(file)!r}, which would be watched itself; name another folder"
            )
        for other, (_, taken) in self.taken.items():
            if here.holds(taken) or Library(other, "", "", taken).holds(root):
                theirs = f"the library {self._names[other]!r} ({display(taken)})"
                return f"{where} and {theirs} lie one in the other, or are the same; watch one of them only"
        return None
