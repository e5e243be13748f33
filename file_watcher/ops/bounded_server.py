"""A small HTTP server that hostile or broken clients cannot occupy.

Threads: whoever calls `handle_request` accepts; each request gets a short-lived thread
`fw-http-request`, at most MAX_CONNECTIONS of them.
"""

from __future__ import annotations

import contextlib
import errno
import io
import socket
import sys
import threading
import time
from socketserver import TCPServer
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer
from wsgiref.types import WSGIApplication

import structlog

log = structlog.get_logger(__name__)

Address = tuple[str, int]
"""Host and port; port 0 lets the system choose a free one."""

MAX_CONNECTIONS: Final = 16
"""A scraper or two, an orchestrator's probes, a person; the rest is abuse."""

READ_SECONDS: Final = 5.0
"""How long a client may say nothing in the middle of its request."""

REQUEST_SECONDS: Final = 10.0
"""How long a request may take as a whole; Prometheus gives a scrape as long by default."""

_POLL_SECONDS: Final = 0.5

_NO_DESCRIPTOR: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class _RequestHandler(WSGIRequestHandler):
    """One request a connection, with a time limit on silence and without a word on standard error."""

    timeout = READ_SECONDS
    server_version = "file_watcher"
    sys_version = ""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            # The client went away or never finished its request; nobody waits for an answer.
            super().handle()

    def get_stderr(self) -> io.StringIO:
        """Where wsgiref tells what failed while it wrote; what failed before, Pages has logged."""
        return io.StringIO()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is inherited
        """No access log: probes come every few seconds."""


class BoundedServer(WSGIServer):
    """A thread for each request, in a bounded number; the oldest connection gives way to a new one."""

    timeout = _POLL_SECONDS
    request_queue_size = 64

    def __init__(
        self,
        address: Address,
        family: socket.AddressFamily,
        application: WSGIApplication,
        closing: threading.Event,
    ) -> None:
        self.address_family = family
        self.request_threads: list[threading.Thread] = []
        self._closing = closing
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._open: dict[socket.socket, float] = {}
        super().__init__(address, _RequestHandler)
        self.set_app(application)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's full name, which can take many seconds.
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError as exc:
            if exc.errno in _NO_DESCRIPTOR:
                # The client still waits in the queue, so the next poll would return at once, for ever.
                log.warning("http_accept_failed", error=str(exc))
                self._closing.wait(_POLL_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._slots.acquire(blocking=False):
            self._cut_oldest()
            if not self._slots.acquire(timeout=_POLL_SECONDS):
                self.shutdown_request(request)
                return
        with self._lock:
            self._open[request] = time.monotonic()
        thread = threading.Thread(
            target=self._answer, args=(request, client_address), name="fw-http-request", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # the system gives no more threads
            self._forget(request)
            raise
        self.request_threads = [*(known for known in self.request_threads if known.is_alive()), thread]

    def _answer(self, request: socket.socket, client_address: Any) -> None:
        try:
            self.finish_request(request, client_address)
        except Exception:
            log.exception("http_connection_failed", client=client_address)
        finally:
            self._forget(request)
            self.shutdown_request(request)

    def _forget(self, request: socket.socket) -> None:
        """Before it is closed: nobody may cut a descriptor that is in use again elsewhere."""
        with self._lock:
            del self._open[request]
        self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # inherited
        """Called by the base class while it handles what process_request raised."""
        log.error("http_connection_failed", client=client_address, exc_info=sys.exception())

    def wake(self) -> None:
        """End the wait for a connection. Where the system does not support it, the poll's end does."""
        _shut(self.socket, socket.SHUT_RDWR)

    def cut_overdue(self) -> None:
        """Cut the connections that are older than a request may take."""
        limit = time.monotonic() - REQUEST_SECONDS
        with self._lock:
            for connection in [known for known, since in self._open.items() if since < limit]:
                _shut(connection, socket.SHUT_RDWR)

    def end_reading(self) -> None:
        """Let no client finish a request any more; answers that are being made still go out."""
        with self._lock:
            for connection in self._open:
                _shut(connection, socket.SHUT_RD)

    def _cut_oldest(self) -> None:
        with self._lock:
            if self._open:
                _shut(next(iter(self._open)), socket.SHUT_RDWR)


def _shut(connection: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # it was closed before
        connection.shutdown(how)
