"""Connections to PostgreSQL that do not wait for ever: a server that was stopped, or that a firewall cut
off, says nothing, and neither its own time-outs nor TCP's notice a server that still acknowledges.

Owns no thread: every wait of a query happens in the thread that asked it, and looks up ten times a second
(psycopg's own interval) whether it is still worth while.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, Final

import psycopg

STATEMENT_SECONDS: Final = 65.0
"""For one answer of a server that seems well: its own `statement_timeout` (60 s) comes first."""
ANSWER_SECONDS: Final = 5.0
"""For one answer to a question that costs nothing, and for any question by which the server is tried out."""
LOCK_SECONDS: Final = 15.0
"""For one answer to a write by which the server is tried out: its `lock_timeout` (10 s) comes first."""


class ServerSilent(psycopg.OperationalError):
    """The server gave no answer in time, or was found to give none to anybody."""


HowLong = Callable[[], float]
"""Tells how many seconds an answer may take, as of now: 0 where no more is to be waited for."""


class PatientConnection(psycopg.Connection[Any]):
    """Gives up an answer that takes longer than `how_long` says; the connection is closed then.

    Closed, because what the server may still send would be taken for the answer to the next question.
    """

    how_long: HowLong = staticmethod(lambda: STATEMENT_SECONDS)

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        """See psycopg.Connection; raises ServerSilent."""
        try:
            return super().wait(_bounded(gen, self.how_long), *args, **kwargs)
        except ServerSilent:
            self.close()
            raise


def _bounded(gen: Generator[Any, Any, Any], how_long: HowLong) -> Generator[Any, Any, Any]:
    """Pass everything between psycopg's loop and its generator, and end it when the time is over.

    The loop sends a false value whenever its interval passed without anything to read or to write.
    """
    try:
        wanted = next(gen)
        since = time.monotonic()
        while True:
            ready = yield wanted
            if ready:
                since = time.monotonic()
            elif time.monotonic() - since >= how_long():
                raise ServerSilent(f"no answer within {time.monotonic() - since:.0f} s")
            wanted = gen.send(ready)
    except StopIteration as stop:
        return stop.value
