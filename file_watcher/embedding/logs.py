"""Where the log goes inside another program: to the standard library's logger `file_watcher`, and no further.

Owns no thread. The rooms log through structlog, which prints to standard output as long as nobody configures it; and
to configure it is the program's business, not ours. So while a watcher runs, our modules (and nobody else's)
log to `logging.getLogger("file_watcher")`. That one has a handler that does nothing, as libraries should: a program
sees what it asks for, with `logging.basicConfig()` for instance.
"""

from __future__ import annotations

import logging
import sys
import threading
from types import ModuleType
from typing import Any, Final

import structlog
from structlog.typing import EventDict, WrappedLogger

_PACKAGE: Final = "file_watcher"
_NAME: Final = "log"
"""The name that every module of ours gives its logger."""


class _Loan:
    """The loggers of our modules, while they are replaced."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers = 0
        self._before: dict[ModuleType, Any] = {}

    def begin(self) -> None:
        """One watcher more."""
        with self._lock:
            self._watchers += 1
            if self._watchers == 1:
                self._replace()

    def end(self) -> None:
        """One watcher less; after the last one everything is as it was."""
        with self._lock:
            self._watchers -= 1
            if not self._watchers:
                for module, logger in self._before.items():
                    setattr(module, _NAME, logger)
                self._before.clear()

    def _replace(self) -> None:
        parent = logging.getLogger(_PACKAGE)
        if not any(isinstance(handler, logging.NullHandler) for handler in parent.handlers):
            parent.addHandler(logging.NullHandler())
        for name, module in list(sys.modules.items()):
            logger = vars(module).get(_NAME) if name.startswith(f"{_PACKAGE}.") else None
            if logger is not None and not isinstance(logger, ModuleType):
                self._before[module] = logger
                setattr(module, _NAME, _standard_logger(name))


def _standard_logger(name: str) -> Any:
    return structlog.wrap_logger(
        logging.getLogger(name),
        processors=[structlog.stdlib.filter_by_level, _plainly],
        wrapper_class=structlog.stdlib.BoundLogger,
    )


def _plainly(
    _logger: WrappedLogger, _method: str, event: EventDict
) -> tuple[tuple[str, str], dict[str, Any]]:
    """`name_of_event key=value …`; a traceback is left to the standard library."""
    passed = {key: event.pop(key) for key in ("exc_info", "stack_info") if key in event}
    words = [str(event.pop("event")), *(f"{key}={value!r}" for key, value in event.items())]
    # As an argument: a percent sign in a path is no place for one.
    return ("%s", " ".join(words)), passed


loan: Final = _Loan()
"""The one of this process."""
