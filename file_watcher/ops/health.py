"""The HTTP server behind WATCHER_HTTP_ADDR, and the client that asks it.

Thread: `fw-http` accepts; for the threads that answer see `bounded_server`.
"""

from __future__ import annotations

import errno
import http.client
import json
import socket
import threading
from typing import Any, Final
from wsgiref.types import WSGIApplication

import structlog

from file_watcher.errors import PermanentError, RetryableError, UsageError
from file_watcher.lifecycle import Deadline, FailureReport, join_all, spawn
from file_watcher.ops.bounded_server import Address, BoundedServer
from file_watcher.ops.pages import HealthReport, Pages

log = structlog.get_logger(__name__)

_ANSWER_LIMIT_BYTES: Final = 4 << 20

_BIND_PROBLEMS: Final = {
    errno.EADDRINUSE: "the address is taken by another program, perhaps a second file_watcher",
    errno.EACCES: "this user may not use this port (ports below 1024 need extra rights)",
    errno.EADDRNOTAVAIL: "this machine has no such address",
}


class HealthServer:
    """Serves /healthz, /readyz and /metrics.

    `start` binds and raises UsageError where the address cannot be had. A client that sends its request
    slowly or never, or many of them, hold up nobody else: the oldest connection is cut for a new one.
    """

    def __init__(
        self,
        address: Address,
        report: HealthReport,
        metrics_app: WSGIApplication,
        on_failure: FailureReport,
    ) -> None:
        self._address = address
        self._pages = Pages(report, metrics_app)
        self._on_failure = on_failure
        self._closing = threading.Event()
        self._server: BoundedServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def address(self) -> Address:
        """Where it listens; before `start`, where it was told to."""
        return self._address

    def start(self) -> None:
        """Bind and begin to answer. Blocks only for the look-up of a host that is given by name."""
        server = _bind(self._address, self._pages, self._closing)
        self._address = (self._address[0], server.server_address[1])
        self._server = server
        self._thread = spawn("fw-http", lambda: self._serve(server), self._on_failure)
        log.debug("http_listening", host=self._address[0], port=self._address[1])

    def close(self) -> None:
        """Ask for the end: no new requests, those that were read are still answered."""
        self._closing.set()
        if self._server is not None:
            self._server.wake()

    def join(self, deadline: Deadline) -> bool:
        """Wait for the end; False where a thread was still running at the deadline."""
        if self._thread is None or self._server is None:
            return True
        return join_all([self._thread], deadline) and join_all(self._server.request_threads, deadline)

    def _serve(self, server: BoundedServer) -> None:
        try:
            while not self._closing.is_set():
                server.handle_request()
                server.cut_overdue()
        finally:
            server.server_close()
            server.end_reading()


def _bind(address: Address, pages: Pages, closing: threading.Event) -> BoundedServer:
    host, port = address
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return BoundedServer(address, found[0][0], pages, closing)
    except (OSError, OverflowError, UnicodeError) as exc:
        number = exc.errno if isinstance(exc, OSError) else None
        reason = _BIND_PROBLEMS.get(number or 0, str(exc))
        raise UsageError(
            f"WATCHER_HTTP_ADDR: cannot listen on {_shown(address)}: {reason}. "
            f"Choose another address, for example WATCHER_HTTP_ADDR=127.0.0.1:8086."
        ) from exc


def _shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ask(address: Address, path: str, timeout_seconds: float = 5.0) -> tuple[int, dict[str, Any]]:
    """Ask a running service for one of its JSON pages; gives the HTTP status and the document.

    Blocks for at most `timeout_seconds` at each step of the connection. Raises RetryableError where
    nothing answers there, PermanentError where something else does.
    """
    host, port = address
    reachable = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    connection = http.client.HTTPConnection(reachable, port, timeout=timeout_seconds)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        document = json.loads(response.read(_ANSWER_LIMIT_BYTES))
    except OSError as exc:
        raise RetryableError(
            f"no running service answers at {_shown(address)} ({exc}); start it, or say with "
            f"WATCHER_HTTP_ADDR where it listens"
        ) from exc
    except (http.client.HTTPException, ValueError) as exc:
        raise PermanentError(
            f"what answers at {_shown(address)} is not this service; say with WATCHER_HTTP_ADDR where it listens"
        ) from exc
    finally:
        connection.close()
    if not isinstance(document, dict):
        raise PermanentError(f"what answers at {_shown(address)} is not this service")
    return response.status, document
