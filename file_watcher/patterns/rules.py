"""Reads patterns into rules that mean the same to pathspec and RE2, or says why one cannot be used.

Pure, no thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

LONGEST_PATTERN: Final = 1_000
"""Characters. Names have 255 bytes at most and paths 4,096 (limits.h); a longer pattern is a slip."""
MOST_PATTERNS: Final = 1_000
MOST_CHARACTERS: Final = 50_000
"""In one list: up to here RE2 builds its automaton in well under a second (measured), whatever they say."""

_LONGEST_SHOWN: Final = 60
_MAGIC: Final = re.compile(r"[*?\[\\]")
_SPECIAL: Final = frozenset("*?[]\\!#")
NO_SLASH: Final = "\U0010ffff"
"""Stands for the slash in a set that excludes it, which pathspec would take for the end of a component."""
STAND_INS: Final = {0xDC00 + byte: 0x10FE00 + byte for byte in range(0x80, 0x100)}
"""RE2 wants UTF-8: a byte of a name that is none becomes a character for private use."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One pattern, read: in lower case, without `!` and without the slash at its end."""

    text: str
    negated: bool
    folders_only: bool

    @property
    def is_simple(self) -> bool:
        """Whether it is `name`, `*end` or `begin*`."""
        at_an_end = self.text[1:] if self.text.startswith("*") else self.text.removesuffix("*")
        return "/" not in self.text and not _MAGIC.search(at_an_end)

    def covering(self) -> Rule:
        """The rule as one about files: what means a folder means all that lies below it."""
        if not self.folders_only:
            return self
        anywhere = "" if "/" in self.text else "**/"
        return Rule(f"{anywhere}{self.text}/**/*", self.negated, folders_only=False)


def problems_of(patterns: Sequence[str]) -> list[str]:
    """Why the patterns cannot be used together, a line for each that is to blame; empty where they can."""
    if len(patterns) > MOST_PATTERNS:
        return [f"{len(patterns)} patterns are too many: {MOST_PATTERNS} may stand in one list"]
    if (characters := sum(map(len, patterns))) > MOST_CHARACTERS:
        return [f"{characters} characters of patterns are too many: {MOST_CHARACTERS} may stand in one list"]
    problems = []
    for pattern in patterns:
        try:
            read_rule(pattern)
        except ValueError as exc:
            problems.append(str(exc))
    return problems


def only_takes_back(patterns: Sequence[str]) -> bool:
    """Whether such a list can match nothing, since every pattern in it begins with `!`."""
    return bool(patterns) and all(pattern.startswith("!") for pattern in patterns)


def read_rule(pattern: str) -> Rule:
    """The rule. Raises ValueError with a sentence that names the pattern."""
    shown = repr(pattern if len(pattern) <= _LONGEST_SHOWN else f"{pattern[:_LONGEST_SHOWN]}…")
    try:
        return _parse(pattern)
    except ValueError as exc:
        raise ValueError(f"the pattern {shown} {exc}") from None


def _parse(pattern: str) -> Rule:
    """The rule. Raises ValueError with the end of a sentence that begins with the pattern."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"has {len(pattern)} characters, of which {LONGEST_PATTERN} are allowed")
    if "\0" in pattern:
        raise ValueError("holds a NUL character")
    body = _encodable(pattern).lower()
    negated, body = body.startswith("!"), body.removeprefix("!")
    folders_only, body = body.endswith("/"), body.removesuffix("/")
    if not body.strip("/"):
        raise ValueError("is empty")
    components = body.removeprefix("/").split("/")
    if "" in components:
        raise ValueError("has two slashes in a row")
    if {".", ".."} & set(components):
        raise ValueError("holds . or .., but patterns hold for paths below the library")
    rooted = "/" if body.startswith("/") else ""
    text = rooted + "/".join(map(_canonical, components))
    # Says no more than the name alone, and that is quicker.
    if text.startswith("**/") and "/" not in text[3:] and text != "**/**":
        text = text[3:]
    return Rule("*" if text == "**" else text, negated, folders_only)


def _encodable(pattern: str) -> str:
    text = pattern.translate(STAND_INS)
    if NO_SLASH in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("holds what is no character")
    return text


def _canonical(component: str) -> str:
    """The component in the words that pathspec and RE2 read alike. Raises ValueError as `_parse` does."""
    if component == "**":
        return component
    return re.sub(r"(?<!\\)\*{2,}", "*", "".join(_pieces(component)))


def _pieces(component: str) -> Iterator[str]:
    at = 0
    while at < len(component):
        letter, rest = component[at], component[at + 1 :]
        piece, length = letter, 1
        if letter == "\\":
            if not rest:
                raise ValueError("has a backslash with nothing behind it; write two for a backslash")
            piece, length = letter * (rest[0] in _SPECIAL) + rest[0], 2
        elif letter == "[":
            negation = "!" if rest[:1] in {"!", "^"} else ""
            # A "]" that comes first is a member of the set, as in a shell.
            end = rest.find("]", len(negation) + 1)
            if end < 0:
                raise ValueError("has a bracket that is not closed")
            piece, length = f"[{negation}{_set(rest[len(negation) : end], negation)}]", end + 2
        yield piece
        at += length


def _set(members: str, negation: str) -> str:
    """What stands between brackets, so that it never holds for a slash."""
    if "\\" in members or "[:" in members:
        raise ValueError("has a backslash or a class such as [:alpha:] in brackets, which is not understood")
    items = list(_items(members))
    if negation:
        # Not behind a "-" at the end, which would make a range of the two.
        items.insert(len(items) - (items[-1] == "-"), NO_SLASH)
    return "".join(items)


def _items(members: str) -> Iterator[str]:
    """The members one by one, with a range that includes the slash in two parts around it."""
    at = 0
    while at < len(members):
        if at + 2 < len(members) and members[at + 1] == "-":
            low, high = members[at], members[at + 2]
            if low > high:
                raise ValueError(f"has a range that runs backwards: {low}-{high}")
            yield f"{low}-." if low < "/" < high else f"{low}-{high}"
            if low < "/" < high:
                yield f"0-{high}"
            at += 3
        else:
            yield members[at]
            at += 1
