"""Patterns for names and paths, with the meaning that they have in a `.gitignore`.

Pure, no thread of its own, safe to use from several. How a pattern is read is pathspec's business, matching
is RE2's, whose time is linear in the path whatever the pattern is; plain names and `*.json` or `~$*`, as
nearly all patterns are, need neither.

- `*`, `?` and `[a-z]` or `[!a-z]` hold for characters other than a slash; case never counts; `\\` takes the
  meaning away from what follows.
- Without a slash at its beginning or in its middle a pattern is held against each name; else against the
  path below the library's root, where `**` stands for any number of folders: `**/ast/*.json`, `/build`.
- With a slash at its end it means folders, and so all that they hold.
- `!` at its beginning takes back what the patterns before it in the same list said: the last one counts.

Unlike in a `.gitignore` `#` begins no comment, since names begin so.

`rules` reads them, `matching` holds them against names and paths.
"""

from file_watcher.patterns.matching import PatternList, text_of
from file_watcher.patterns.rules import (
    LONGEST_PATTERN,
    MOST_CHARACTERS,
    MOST_PATTERNS,
    only_takes_back,
    problems_of,
)

__all__ = [
    "LONGEST_PATTERN",
    "MOST_CHARACTERS",
    "MOST_PATTERNS",
    "PatternList",
    "only_takes_back",
    "problems_of",
    "text_of",
]
