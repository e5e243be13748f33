"""Holds rules against names and paths: plain comparisons where they do, else RE2.

Pure, no thread of its own, safe to use from several.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from file_watcher.patterns.rules import NO_SLASH, STAND_INS, Rule, problems_of, read_rule

_MATCHER_MEMORY: Final = 64 << 20
"""Bytes that RE2 may use for one list. It takes what the patterns need, a few kB for those that people write."""


class PatternList:
    """Patterns as one question about files and one about folders.

    `folders_cover`: a pattern for folders (`ast/`) holds for every file below them, so that files can be
    asked about alone. Without it the asker goes down from the root and stops where a folder matches.
    Raises ValueError, with the reason in words, where a pattern cannot be used.
    """

    def __init__(self, patterns: Iterable[str], *, folders_cover: bool = False) -> None:
        some = tuple(patterns)
        if problems := problems_of(some):
            raise ValueError("; ".join(problems))
        rules = [read_rule(pattern) for pattern in some]
        if folders_cover:
            rules = [rule.covering() for rule in rules]
        self._files = _Rules([rule for rule in rules if not rule.folders_only])
        self._folders = _Rules(rules)

    @property
    def asks_for_paths(self) -> bool:
        """Whether a file's name alone does not tell: `match_file` needs its path, too."""
        return self._files.asks_for_paths

    def match_file(self, name: str, path: str) -> bool:
        """Whether a file of this name, at this path below the root, is meant; both as by `text_of`."""
        return self._files.match(name, path)

    def match_folder(self, name: str, path: str) -> bool:
        """Whether this very folder is meant; what lies above it is not looked at."""
        return self._folders.match(name, path)


def text_of(name: bytes) -> str:
    """A name or path as patterns are held against it: any bytes, in lower case."""
    try:
        return name.decode().lower()
    except UnicodeDecodeError:
        return name.decode("utf-8", "surrogateescape").translate(STAND_INS).lower()


class _Rules:
    """Rules as one question. Which of them were simple costs nothing more than a comparison."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        # Where one rule takes another back, their order counts: then all of them go one way.
        in_order = any(rule.negated for rule in rules)
        simple = [] if in_order else [rule.text for rule in rules if rule.is_simple]
        self._suffixes = tuple({text[1:] for text in simple if text.startswith("*")})
        self._prefixes = tuple({text[:-1] for text in simple if text.endswith("*") and text != "*"})
        self._names = frozenset(
            text for text in simple if not text.startswith("*") and not text.endswith("*")
        )
        others = rules if in_order else [rule for rule in rules if not rule.is_simple]
        self._others = _Expressions(others) if others else None

    @property
    def asks_for_paths(self) -> bool:
        return self._others is not None

    def match(self, name: str, path: str) -> bool:
        return (
            name.endswith(self._suffixes)
            or name.startswith(self._prefixes)
            or name in self._names
            or (self._others is not None and self._others.match(path))
        )


class _Expressions:
    """Rules as one automaton of RE2's; the last rule that holds decides."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        import re2  # about 20 ms, which most lists can do without

        self._negated = [False, *(rule.negated for rule in rules)]
        self._sources = [f"(?:{_regex(rule.text)})$" for rule in rules]
        self._options: Any = re2.Options()
        self._options.never_capture = True
        self._options.log_errors = False
        self._options.dot_nl = True
        self._options.max_mem = _MATCHER_MEMORY
        self._set: Any = re2.Set.SearchSet(self._options)
        # The first one always holds: that none does is how RE2 says that its memory did not suffice.
        for source in ("", *self._sources):
            self._set.Add(source)
        self._set.Compile()

    def match(self, path: str) -> bool:
        held = self._set.Match(path) or self._match_each(path)
        last: int = max(held)
        return last > 0 and not self._negated[last]

    def _match_each(self, path: str) -> list[int]:
        """The same answer, slower, with no memory to speak of."""
        import re2

        compiled = (re2.compile(source, self._options) for source in self._sources)
        return [0, *(index for index, one in enumerate(compiled, 1) if one.search(path))]


def _regex(text: str) -> str:
    """The rule's regex, by pathspec, for the path of exactly what it means (see `_Expressions`)."""
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    if text[0] in "#!":
        text = f"\\{text}"
    if text[-1].isspace():  # would be cut off
        text = f"{text[:-1]}[{text[-1]}]"
    if text.endswith("/**"):
        text += "/*"
    expression, _ = GitIgnoreSpecPattern.pattern_to_regex(text)
    assert expression is not None, text  # what it gives up on (open brackets) was refused
    regex: str = expression.replace(NO_SLASH, "/")
    return regex
