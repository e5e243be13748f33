"""What a library's rule `jobs` says: read out of JSON, checked, with words for everything that cannot be used.

Pure. A rule is an object; all but its type have defaults:

    [{"type": "media:staging_scan", "queue": "maintenance", "on": ["created", "moved_in"], "window": "5s"}]

`jobs_of` gives the rules that hold for a library, also where it has none of its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from file_watcher.errors import UsageError
from file_watcher.jobs.declaring import Arguments, read_declare
from file_watcher.jobs.reading import Problems, one_of, read_rate, read_seconds, shown
from file_watcher.model import EventType
from file_watcher.patterns import PatternList, problems_of

MOVED_IN: Final = "moved_in"
MOVED_OUT: Final = "moved_out"
EVENTS: Final = (*(str(each) for each in EventType), MOVED_IN, MOVED_OUT)
"""What a rule may wait for. `moved_in` and `moved_out` are moves over the edge of what the rule is `per`."""

STAGING: Final = "staging"
"""Type of the libraries that have a rule without saying so."""
_STAGING_RULES: Final = (
    '[{"type": "media:staging_scan", "queue": "maintenance", "on": ["created", "moved_in"], "window": "5s"}]'
)

MOST_RULES: Final = 32
"""In one library: each event is held against all of them."""
_LONGEST_WINDOW: Final = 86_400.0
_KEY_BYTES: Final = 255
"""A routing key is a short string (AMQP 0-9-1, section 4.2.5.3)."""
_QUEUE: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_TYPE: Final = re.compile(r"[A-Za-z0-9_-]+(:[A-Za-z0-9_-]+)*", re.ASCII)


class Per(StrEnum):
    """What one job is about."""

    LIBRARY = "library"
    FOLDER = "folder"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class JobRule:
    """One rule, checked. `rate` is in jobs a second; `declare` are the queue's arguments where it is to be declared."""

    type: str
    queue: str
    on: frozenset[str]
    per: Per
    window_seconds: float
    rate: float | None = None
    patterns: tuple[str, ...] = ()
    declare: Arguments | None = None
    _wanted: PatternList | None = field(default=None, compare=False, repr=False)

    @property
    def routing_key(self) -> str:
        """`<queue>.<type>` with `:` as `.`."""
        return f"{self.queue}.{self.type.replace(':', '.')}"

    def wants(self, name: str, relative: str) -> bool:
        """Whether the patterns mean a file of this name, at this path below the root (see `patterns.text_of`)."""
        return self._wanted is None or self._wanted.match_file(name, relative)

    def key(self, library_id: int, path: bytes) -> str:
        """Names the window of this rule at this place of this library: 40 characters, always the same ones."""
        said = (self.type, self.queue, self.per, *sorted(self.on), *self.patterns)
        digest = hashlib.sha256(json.dumps([library_id, *said]).encode() + b"\0" + path)
        return digest.hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class _BuiltIn:
    """What a type means where the rule does not say otherwise."""

    on: tuple[str, ...]
    per: Per
    window: float
    queue: str


_BUILT_IN: Final[Mapping[str, _BuiltIn]] = {
    "file:created": _BuiltIn(("created", MOVED_IN), Per.FILE, 0.0, "files"),
    "file:modified": _BuiltIn(("modified",), Per.FILE, 0.0, "files"),
    "file:removed": _BuiltIn(("deleted", MOVED_OUT), Per.FILE, 0.0, "files"),
    "directory:changed": _BuiltIn(tuple(sorted(EVENTS)), Per.FOLDER, 1.0, "directories"),
}
_ORDINARY: Final = _BuiltIn(("created", MOVED_IN), Per.LIBRARY, 5.0, "maintenance")
_FIELDS: Final = ("type", "queue", "on", "per", "window", "rate_limit", "patterns", "declare")
_OFF: Final = frozenset({"", "off", "none", "no", "false"})


def jobs_of(library_type: str, text: str | None) -> tuple[JobRule, ...]:
    """The rules of a library of that type whose rule `jobs` is the text; None where it has none.

    Raises UsageError with one line for each problem.
    """
    if text is None:
        return read_rules(_STAGING_RULES) if library_type == STAGING else ()
    return read_rules(text)


def read_rules(text: str) -> tuple[JobRule, ...]:
    """The rules in a JSON list or object; `off` and `[]` mean none. Raises UsageError, one line a problem."""
    if text.strip().casefold() in _OFF:
        return ()
    problems = Problems()
    rules = [_rule(given, problems.within(f"rule {number}")) for number, given in _listed(text, problems)]
    usable = [rule for rule in rules if rule is not None]
    if not problems.found:
        _compare(usable, problems)
    if problems.found:
        raise UsageError(*problems.found)
    return tuple(usable)


def problems_of_jobs(text: str) -> tuple[str, ...]:
    """What is wrong with the text of a rule `jobs`, one line each; empty where it can be used."""
    try:
        read_rules(text)
    except UsageError as exc:
        return exc.problems
    return ()


def _listed(text: str, problems: Problems) -> list[tuple[int, Mapping[str, Any]]]:
    """The objects in the text, numbered from 1."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        problems.add(f"it is no JSON ({exc}); accepted is a list of rules, or off")
        return []
    listed: list[Any] = document if isinstance(document, list) else [document]
    if len(listed) > MOST_RULES:
        problems.add(f"there are {len(listed)} rules; accepted are at most {MOST_RULES}")
        return []
    for number, each in enumerate(listed, 1):
        if not isinstance(each, dict):
            problems.add(
                f'rule {number} is {shown(each)}; accepted is an object such as {{"type": "media:scan"}}'
            )
    return [(number, each) for number, each in enumerate(listed, 1) if isinstance(each, dict)]


def _rule(given: Mapping[str, Any], problems: Problems) -> JobRule | None:
    """One rule; None where it cannot be used, which was noted."""
    for name in given.keys() - set(_FIELDS):
        problems.add(f"there is no {shown(name)}; accepted are {', '.join(_FIELDS)}")
    type_ = _name(given.get("type"), "type", _TYPE, "media:staging_scan", problems)
    built_in = _BUILT_IN.get(type_, _ORDINARY)
    queue = _name(given.get("queue", built_in.queue), "queue", _QUEUE, "maintenance", problems)
    patterns = _patterns(given.get("patterns", ()), problems)
    on = _events(given.get("on", built_in.on), problems)
    per = one_of(given.get("per", built_in.per), "per", tuple(Per), problems)
    window = read_seconds(given.get("window", built_in.window), "window", _LONGEST_WINDOW, problems)
    rate = read_rate(given.get("rate_limit"), problems)
    declare = read_declare(given.get("declare"), problems)
    if len(queue) + 1 + len(type_) > _KEY_BYTES:
        problems.add(f"queue and type are too long together; accepted are {_KEY_BYTES - 1} characters")
    if problems.found:
        return None
    wanted = PatternList(patterns, folders_cover=True) if patterns else None
    return JobRule(type_, queue, frozenset(on), Per(per), window, rate, patterns, declare, wanted)


def _compare(rules: Sequence[JobRule], problems: Problems) -> None:
    """Two rules must not say different things of one queue, nor the same thing twice."""
    keys: set[str] = set()
    queues: dict[str, Arguments] = {}
    for number, rule in enumerate(rules, 1):
        if rule.key(0, b"") in keys:
            problems.add(f"rule {number} says the same as an earlier one; leave one of them out")
        keys.add(rule.key(0, b""))
        if rule.declare is not None and queues.setdefault(rule.queue, rule.declare) != rule.declare:
            problems.add(
                f"rule {number} declares queue {rule.queue} in another way than an earlier one; say it once"
            )


def _name(value: Any, which: str, form: re.Pattern[str], example: str, problems: Problems) -> str:
    if isinstance(value, str) and form.fullmatch(value):
        return value
    colons = ", with : between its words" if form is _TYPE else ""
    problems.add(
        f"{which} is {shown(value)}; accepted are letters, digits, _ and -{colons}, such as {example}"
    )
    return example


def _events(value: Any, problems: Problems) -> tuple[str, ...]:
    listed = (value,) if isinstance(value, str) else value
    if isinstance(listed, list | tuple) and listed and all(each in EVENTS for each in listed):
        return tuple(listed)
    problems.add(f"on is {shown(value)}; accepted are some of {', '.join(EVENTS)}")
    return ()


def _patterns(value: Any, problems: Problems) -> tuple[str, ...]:
    listed = (value,) if isinstance(value, str) else value
    if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
        problems.add(f'patterns is {shown(value)}; accepted is a list such as ["*.mp3"]')
        return ()
    for problem in problems_of(listed):
        problems.add(f"patterns: {problem}")
    return tuple(listed)
