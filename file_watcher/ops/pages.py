"""What /healthz, /readyz and /metrics answer, without a server around it.

Both JSON pages hold `status`, `instance_id`, `version` and `components`, by name; /readyz also `reasons`. A
component has `ok`, `detail` (one sentence for people) and what it alone knows:

- `threads`, `stages`: alive or not; `stages.stuck_seconds` has an entry for each stage that is stuck.
- `database`: `where`, and the circuits `reads` and `writes`.
- `broker`: `where`, `exchange`, its `circuit`, `reason` (why not), `unconfirmed`.
- `libraries`: the state of each by its name.
- `steering`: `refused` and `from_next_start`; `journal`: `level` and `waiting`. Neither ever fails.

A circuit: `state` (closed, open, half_open), `since`, `failures` (in a row), `last_error` (kept after the
recovery), and while it is open `next_attempt_seconds`.

Two questions are kept apart. Alive (`/healthz`): would a restart mend it? Only dead or stuck stages say
so; a broker that is away does not. Ready (`/readyz`): does everything that the service needs work right
now? Called on the threads of the HTTP server; owns none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import structlog

from file_watcher.model import Health
from file_watcher.ops.sanitize import plain, redact

log = structlog.get_logger(__name__)

HealthSource = Callable[[], Health]
"""Says how a component is, at once and without waiting for a server or a disk."""

PATHS: Final = ("/healthz", "/readyz", "/metrics")

_USAGE: Final = f"This service answers GET and HEAD of {', '.join(PATHS)}.\n"

_COMMON_HEADERS: Final = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Server", "file_watcher"),
]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Asks the components how they are.

    `liveness` holds those that only a restart can mend, `readiness` those that may recover by
    themselves (broker, database, watches, first scan). A source that raises counts as failing.
    """

    instance_id: str
    version: str
    liveness: Sequence[HealthSource] = ()
    readiness: Sequence[HealthSource] = ()

    def alive(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """200 unless a liveness component fails; shows all components either way."""
        vital = [_ask(source) for source in self.liveness]
        others = [_ask(source) for source in self.readiness]
        ok = all(health.ok for health in vital)
        return _status(ok), self._document("ok" if ok else "failing", [*vital, *others])

    def ready(self) -> tuple[HTTPStatus, dict[str, Any]]:
        """200 only while every component is well; `reasons` says what stands against it."""
        components = [_ask(source) for source in (*self.liveness, *self.readiness)]
        reasons = [f"{health.component}: {health.detail}" for health in components if not health.ok]
        document = self._document("not ready" if reasons else "ready", components)
        return _status(not reasons), document | {"reasons": [redact(plain(reason)) for reason in reasons]}

    def _document(self, status: str, components: Sequence[Health]) -> dict[str, Any]:
        return {
            "status": status,
            "instance_id": self.instance_id,
            "version": self.version,
            "components": {health.component: _shown(health) for health in components},
        }


class Pages:
    """The WSGI application behind the service's address."""

    def __init__(self, report: HealthReport, metrics_app: WSGIApplication) -> None:
        self._report = report
        self._metrics_app = metrics_app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request. What goes wrong inside is logged and answered with 500."""
        try:
            body = self._answer(environ, start_response)
        except Exception:
            log.exception("http_request_failed", path=environ.get("PATH_INFO"))
            text = "The answer could not be made; the log says why.\n"
            body = _send_text(start_response, HTTPStatus.INTERNAL_SERVER_ERROR, text)
        # The server leaves it to the application to send no body for HEAD.
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in PATHS:
            return _send_text(start_response, HTTPStatus.NOT_FOUND, _USAGE)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _send_text(start_response, HTTPStatus.METHOD_NOT_ALLOWED, _USAGE, ("Allow", "GET, HEAD"))
        return self._get(path, {**environ, "REQUEST_METHOD": "GET"}, start_response)

    def _get(self, path: str, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if path == "/metrics":
            return self._scrape(environ, start_response)
        status, document = self._report.alive() if path == "/healthz" else self._report.ready()
        body = json.dumps(document, indent=2).encode() + b"\n"
        return _send(start_response, status, "application/json", body)

    def _scrape(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Hold the answer until it is complete: its length is told to HEAD too."""
        heads: list[tuple[str, list[tuple[str, str]]]] = []

        def hold(
            status: str, headers: list[tuple[str, str]], *_exc_info: object
        ) -> Callable[[bytes], object]:
            heads.append((status, headers))
            return body.extend

        body = bytearray()
        body.extend(b"".join(self._metrics_app(environ, hold)))
        status, headers = heads[-1]
        start_response(status, [*headers, ("Content-Length", str(len(body))), *_COMMON_HEADERS])
        return [bytes(body)]


def _ask(source: HealthSource) -> Health:
    try:
        return source()
    except Exception as exc:
        name = getattr(source, "__qualname__", type(source).__name__)
        log.exception("health_source_failed", source=name)
        return Health(name, ok=False, detail=f"could not say how it is: {type(exc).__name__}: {exc}")


def _shown(health: Health) -> Mapping[str, Any]:
    facts = redact(plain(health.facts))
    detail = redact(plain(health.detail))
    return (facts if isinstance(facts, dict) else {}) | {"ok": health.ok, "detail": detail}


def _status(ok: bool) -> HTTPStatus:
    return HTTPStatus.OK if ok else HTTPStatus.SERVICE_UNAVAILABLE


def _send_text(
    start_response: StartResponse, status: HTTPStatus, text: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    return _send(start_response, status, "text/plain; charset=utf-8", text.encode(), *headers)


def _send(
    start_response: StartResponse,
    status: HTTPStatus,
    content_type: str,
    body: bytes,
    *headers: tuple[str, str],
) -> Iterable[bytes]:
    own = [("Content-Type", content_type), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", [*own, *_COMMON_HEADERS, *headers])
    return [body]
