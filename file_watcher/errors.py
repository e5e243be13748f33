"""The one root of every error that file_watcher raises on purpose.

Two questions decide what a caller does with an error: may the same call succeed later
(`RetryableError`), and whose mistake is it (`UsageError` is the operator's, and ends a command with
exit code 2 and one readable line)?
"""

from __future__ import annotations


class FileWatcherError(Exception):
    """Root of the package's errors; the text is written for the operator who reads it.

    `mend` is what to do about it, where that can be said apart from what is wrong (`problem`).
    """

    def __init__(self, problem: str = "", *, mend: str | None = None) -> None:
        super().__init__(problem if mend is None else f"{problem}: {mend}.")
        self.problem = problem
        self.mend = mend


class RetryableError(FileWatcherError):
    """The same call may succeed later: a server is away, a lock is held, a disk is full."""


class PermanentError(FileWatcherError):
    """The same call will fail again until somebody changes something."""


class UsageError(PermanentError):
    """Wrong use or configuration. `problems` holds one line each; all are shown at once."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class CatalogError(PermanentError):
    """The catalog cannot be used: wrong schema, not ours, unreadable."""


class CatalogUnavailable(RetryableError):
    """The database does not answer now, or ended the connection; what was under way is undone or unknown."""


class CatalogOccupied(CatalogUnavailable):
    """A long write of our own is under way (a snapshot): it has to be waited for, but nothing is wrong."""


class LeaseLost(CatalogUnavailable):
    """Another instance owns some of these libraries now: nothing was committed, and what is left of them here
    is to be dropped. Without them the same may be done again."""

    def __init__(self, library_ids: frozenset[int]) -> None:
        numbers = ", ".join(map(str, sorted(library_ids)))
        super().__init__(f"Another instance owns now what was ours: library {numbers}.")
        self.library_ids = library_ids


class CatalogBusy(UsageError):
    """Another process owns this catalog."""


class BrokerUnavailable(RetryableError):
    """RabbitMQ does not answer, refused us, or closed the connection."""
