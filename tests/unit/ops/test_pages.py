"""The answers of /healthz, /readyz and /metrics, without a server."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from structlog.testing import capture_logs

from file_watcher.model import Health
from file_watcher.ops.pages import HealthReport, Pages


def well(component: str, **facts: Any) -> Any:
    return lambda: Health(component, ok=True, detail="works", facts=facts)


def ill(component: str, detail: str = "broken; mend it") -> Any:
    return lambda: Health(component, ok=False, detail=detail)


def broken_source() -> Health:
    raise RuntimeError("no idea amqp://guest:hunter2@localhost")


def count_requests(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['REQUEST_METHOD']} {environ['QUERY_STRING']}".encode()]


class Answer:
    """Calls the application as a server would."""

    def __init__(self, pages: Pages, path: str, method: str = "GET", query: str = "") -> None:
        heads: list[tuple[str, dict[str, str]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            heads.append((status, dict(headers)))

        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}
        self.body = b"".join(pages(environ, start_response))
        [(self.status, self.headers)] = heads

    @property
    def document(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)


def pages(liveness: Iterable[Any] = (), readiness: Iterable[Any] = ()) -> Pages:
    return Pages(HealthReport("abc12345", "1.2.3", tuple(liveness), tuple(readiness)), count_requests)


def test_a_well_service_is_alive_and_ready_and_shows_every_component() -> None:
    site = pages([well("pool", threads=4, root=b"/m\xff")], [well("broker")])
    alive = Answer(site, "/healthz")
    assert alive.status == "200 OK"
    assert alive.document == {
        "status": "ok",
        "instance_id": "abc12345",
        "version": "1.2.3",
        "components": {
            "pool": {"ok": True, "detail": "works", "threads": 4, "root": "/m\ufffd"},
            "broker": {"ok": True, "detail": "works"},
        },
    }
    ready = Answer(site, "/readyz")
    assert ready.status == "200 OK"
    assert (ready.document["status"], ready.document["reasons"]) == ("ready", [])


def test_a_broker_that_is_away_makes_the_service_not_ready_but_leaves_it_alive() -> None:
    site = pages([well("pool")], [ill("broker", "no answer at localhost:5672"), well("database")])
    alive = Answer(site, "/healthz")
    assert alive.status == "200 OK"
    assert alive.document["components"]["broker"]["ok"] is False
    ready = Answer(site, "/readyz")
    assert ready.status == "503 Service Unavailable"
    assert ready.document["reasons"] == ["broker: no answer at localhost:5672"]


def test_a_dead_stage_makes_the_service_neither_alive_nor_ready() -> None:
    site = pages([ill("pool")], [well("broker")])
    alive = Answer(site, "/healthz")
    assert alive.status == "503 Service Unavailable"
    assert alive.document["status"] == "failing"
    assert Answer(site, "/readyz").status == "503 Service Unavailable"


def test_the_state_is_asked_at_every_request() -> None:
    answers = iter([Health("pool", ok=True, detail=""), Health("pool", ok=False, detail="")])
    site = pages([lambda: next(answers)])
    assert [Answer(site, "/healthz").status[:3] for _ in range(2)] == ["200", "503"]


def test_a_component_that_cannot_say_how_it_is_counts_as_failing_and_the_others_are_shown() -> None:
    with capture_logs() as logs:
        answer = Answer(pages([broken_source, well("pool")]), "/healthz")
    assert answer.status == "503 Service Unavailable"
    assert answer.document["components"]["pool"]["ok"] is True
    assert answer.document["components"]["broken_source"]["detail"].startswith(
        "could not say how it is: RuntimeError: no idea"
    )
    assert logs[0]["event"] == "health_source_failed"


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_no_password_is_shown(path: str) -> None:
    site = pages([broken_source], [ill("broker", "refused by amqp://guest:hunter2@localhost")])
    assert b"hunter2" not in Answer(site, path).body


def test_facts_cannot_hide_whether_a_component_is_well() -> None:
    answer = Answer(
        pages([lambda: Health("pool", ok=False, detail="dead", facts={"ok": True, "detail": "fine"})]),
        "/healthz",
    )
    assert answer.document["components"]["pool"] == {"ok": False, "detail": "dead"}


def test_metrics_are_handed_to_their_application_with_the_query() -> None:
    answer = Answer(pages(), "/metrics", query="name[]=up")
    assert (answer.status, answer.body) == ("200 OK", b"GET name[]=up")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/nothing"])
def test_head_has_the_headers_of_get_and_no_body(path: str) -> None:
    site = pages([well("pool")])
    get, head = Answer(site, path), Answer(site, path, "HEAD")
    assert (head.status, head.headers) == (get.status, get.headers)
    assert head.headers["Content-Length"] == str(len(get.body))
    assert head.body == b""


@pytest.mark.parametrize("path", ["/", "/healthz/", "/favicon.ico", "/../etc/passwd"])
def test_an_unknown_path_is_told_which_there_are(path: str) -> None:
    answer = Answer(pages(), path)
    assert answer.status == "404 Not Found"
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert b"/healthz, /readyz, /metrics" in answer.body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_nothing_but_get_and_head_is_answered(method: str, path: str) -> None:
    answer = Answer(pages(), path, method)
    assert answer.status == "405 Method Not Allowed"
    assert answer.headers["Allow"] == "GET, HEAD"
    assert b"/healthz, /readyz, /metrics" in answer.body


def test_a_failure_inside_is_answered_with_500_and_told_in_the_log() -> None:
    def broken_app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        raise RuntimeError("secret detail")

    site = Pages(HealthReport("abc", "1"), broken_app)
    with capture_logs() as logs:
        answer = Answer(site, "/metrics")
    assert answer.status == "500 Internal Server Error"
    assert b"secret detail" not in answer.body
    assert logs[0]["event"] == "http_request_failed"


def test_no_answer_may_be_kept_by_a_cache() -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/nothing"):
        assert Answer(pages(), path).headers["Cache-Control"] == "no-store"
