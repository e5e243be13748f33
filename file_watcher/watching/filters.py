"""Which paths count: the patterns and ignore patterns of one library as one verdict per path.

Pure: no disk, no thread of its own; safe to use from several threads. Names are bytes, of any kind. What a
pattern may say stands in `patterns`.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import accumulate
from typing import Final

from file_watcher.errors import UsageError
from file_watcher.patterns import PatternList, only_takes_back, problems_of, text_of

_REMEMBERED_FOLDERS: Final = 2_048
"""Verdicts kept; beyond it the least used are worked out again (a few microseconds each)."""


class PathFilter:
    """Judges absolute paths of one library.

    `root` is the library's real path. Ignore patterns hold for every component below it, so that an
    ignored folder hides all that it contains, whatever is taken back below it; `patterns` say which files
    are wanted. Raises UsageError, with one line for each, where patterns cannot be used.
    """

    def __init__(
        self,
        root: bytes,
        patterns: Iterable[str],
        ignore_patterns: Iterable[str],
        *,
        recursive: bool = True,
    ) -> None:
        wanted, ignored = tuple(patterns), tuple(ignore_patterns)
        if problems := _problems(wanted, ignored):
            raise UsageError(*problems)
        self._root = root
        self._prefix = root.rstrip(b"/") + b"/"
        self._wanted = PatternList(wanted, folders_cover=True)
        self._ignored = PatternList(ignored)
        self._asks_for_paths = self._wanted.asks_for_paths or self._ignored.asks_for_paths
        self._recursive = recursive
        self._holds_folder = lru_cache(maxsize=_REMEMBERED_FOLDERS)(self._judge_folder)

    def wants_file(self, path: bytes) -> bool:
        """Whether a file at this path belongs to the library. The root itself and paths outside do not."""
        folder, _, last = path.rpartition(b"/")
        if not last or not self._holds_folder(folder):
            return False
        name = text_of(last)
        relative = text_of(path[len(self._prefix) :]) if self._asks_for_paths else name
        return self._wanted.match_file(name, relative) and not self._ignored.match_file(name, relative)

    def wants_folder(self, path: bytes) -> bool:
        """Whether to descend into this folder. The root: always; without `recursive`: nothing else."""
        return path == self._root or self._holds_folder(path)

    def _judge_folder(self, folder: bytes) -> bool:
        """Whether files may lie directly in it: it is the root, or below it and neither it nor one above is ignored."""
        if folder == self._prefix[:-1]:
            return True
        if not self._recursive or not folder.startswith(self._prefix):
            return False
        names = text_of(folder[len(self._prefix) :]).split("/")
        paths = accumulate(names, "{}/{}".format)
        return not any(map(self._ignored.match_folder, names, paths))


def _problems(wanted: tuple[str, ...], ignored: tuple[str, ...]) -> list[str]:
    problems = problems_of(wanted) + problems_of(ignored)
    if not problems and only_takes_back(wanted):
        problems.append("all patterns begin with !, which takes back: name first what is wanted, such as *")
    return problems
