"""The server behind WATCHER_HTTP_ADDR with real connections, good and bad."""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import pytest
from structlog.testing import capture_logs

from file_watcher.errors import PermanentError, RetryableError, UsageError
from file_watcher.lifecycle import Deadline
from file_watcher.model import Health, Library
from file_watcher.ops import bounded_server
from file_watcher.ops.bounded_server import MAX_CONNECTIONS, READ_SECONDS, BoundedServer
from file_watcher.ops.health import HealthServer, ask
from file_watcher.ops.metrics import Metrics
from file_watcher.ops.pages import HealthReport
from tests.support.waiting import wait_for

LOCAL = "127.0.0.1"


def well() -> Health:
    return Health("pool", ok=True, detail="works")


def away() -> Health:
    return Health("broker", ok=False, detail="no answer")


def graver_than_info(logs: Iterable[Any]) -> list[Any]:
    return [line for line in logs if line["log_level"] not in ("debug", "info")]


def request_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "fw-http-request"]


class Served:
    """A running server with its own metrics, that fails the test if one of its threads dies."""

    def __init__(
        self,
        host: str = LOCAL,
        port: int = 0,
        liveness: Callable[[], Health] = well,
        metrics_app: WSGIApplication | None = None,
    ) -> None:
        self.metrics = Metrics()
        self.failures: list[str] = []
        report = HealthReport("abc12345", "1.2.3", [liveness], [away])
        self.server = HealthServer(
            (host, port),
            report,
            metrics_app or self.metrics.app(),
            lambda name, _exc: self.failures.append(name),
        )

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()
        # Less than READ_SECONDS: the end must not have to wait for a silent client.
        assert self.server.join(Deadline(3))
        assert self.failures == []

    def connect(self) -> socket.socket:
        return socket.create_connection(self.server.address, timeout=10)

    def send(self, request: bytes) -> bytes:
        """Send bytes as they are and read until the server closes."""
        with self.connect() as client:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))

    def get(self, path: str, method: str = "GET") -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection(*self.server.address, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path)
            response = connection.getresponse()
            response.body = response.read()  # type: ignore[attr-defined]
            return response


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as running:
        yield running


def test_the_three_pages_answer_over_http(served: Served) -> None:
    served.metrics.hint_seen("created", Library(1, "music", "production", b"/m"))
    alive, ready, metrics = (served.get(path) for path in ("/healthz", "/readyz", "/metrics"))
    assert (alive.status, ready.status, metrics.status) == (200, 503, 200)
    assert json.loads(alive.body)["instance_id"] == "abc12345"  # type: ignore[attr-defined]
    assert b'watcher_events_total{event="created"' in metrics.body  # type: ignore[attr-defined]
    assert metrics.headers["Content-Type"].startswith("text/plain; version=")
    assert metrics.headers["Server"] == "file_watcher"


@pytest.mark.parametrize(
    ("path", "status"), [("/healthz", 200), ("/readyz", 503), ("/metrics", 200), ("/x", 404)]
)
def test_head_sends_the_length_and_no_body(served: Served, path: str, status: int) -> None:
    answer = served.send(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.0 {status} ".encode())
    assert body == b""
    length = next(line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: "))
    assert int(length.split()[1]) > 0


def test_a_wrong_method_is_refused(served: Served) -> None:
    response = served.get("/healthz", "DELETE")
    assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"\x16\x03\x01\x00 not http\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/9.9\r\n\r\n", b"505"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.0\r\n\r\n", b"414"),
        (b"GET /healthz HTTP/1.0\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", b"431"),
        (b"", b""),
        (b"GET", b"400"),
    ],
)
def test_a_request_that_is_none_is_refused_and_the_next_is_answered(
    served: Served, request_bytes: bytes, answer: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with contextlib.suppress(ConnectionError), served.connect() as client:
        client.sendall(request_bytes)
        client.shutdown(socket.SHUT_WR)
        received = client.recv(65536)
        assert answer in received
        assert b"Python" not in received
    assert served.get("/healthz").status == 200
    assert capfd.readouterr() == ("", "")


def test_many_scrapes_at_once_are_all_answered(served: Served) -> None:
    served.metrics.set_queue_source("work", lambda: 1)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: served.get("/metrics"), range(40)))
    assert [response.status for response in responses] == [200] * 40
    assert all(b"watcher_queue_depth" in response.body for response in responses)  # type: ignore[attr-defined]


def test_clients_that_never_finish_their_request_hold_up_nobody(served: Served) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(2 * MAX_CONNECTIONS + 3):
            client = stack.enter_context(served.connect())
            client.sendall(b"GET /healthz HTTP/1.0\r\nX-Slow: ")
        for _ in range(3):
            assert ask(served.server.address, "/healthz", 5)[0] == 200
        assert len(request_threads()) <= MAX_CONNECTIONS


def test_a_silent_client_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bounded_server._RequestHandler.timeout == READ_SECONDS == 5
    monkeypatch.setattr(bounded_server._RequestHandler, "timeout", 0.1)
    with capture_logs() as logs, Served() as served, served.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n")
        assert client.recv(100) == b""
    assert graver_than_info(logs) == []


def test_a_client_that_drips_is_cut_off_however_steadily_it_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_server, "REQUEST_SECONDS", 0.2)
    with Served() as served, served.connect() as client:
        client.settimeout(0.05)
        client.sendall(b"GET /healthz HTTP/1.0\r\nX-Slow: ")

        def is_cut() -> bool:
            try:
                client.sendall(b"x")
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_for(is_cut, "the connection's end", timeout=5)


@pytest.mark.parametrize("request_bytes", [b"GET /metrics HT", b"GET /metrics HTTP/1.0\r\n\r\n"])
def test_a_client_that_leaves_in_the_middle_is_no_error(
    request_bytes: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with capture_logs() as logs, Served() as served:
        for _ in range(5):
            with served.connect() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # close resets
                client.sendall(request_bytes)
        assert served.get("/healthz").status == 200
    assert graver_than_info(logs) == []
    assert capfd.readouterr() == ("", "")


def test_a_client_that_does_not_read_its_answer_is_cut_off_without_a_word(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def endless(_environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"x" * (32 << 20)]  # more than the buffers of both sockets take

    monkeypatch.setattr(bounded_server._RequestHandler, "timeout", 0.1)
    with capture_logs() as logs, Served(metrics_app=endless) as served, served.connect() as client:
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        assert client.recv(8) == b"HTTP/1.0"
        wait_for(lambda: not request_threads(), "the end of the request")
    assert graver_than_info(logs) == []
    assert capfd.readouterr() == ("", "")


def test_a_hanging_component_holds_up_neither_other_requests_nor_the_close() -> None:
    hanging, free = threading.Event(), threading.Event()

    def hang() -> Health:
        if not hanging.is_set():
            hanging.set()
            free.wait(10)
        return well()

    served = Served(liveness=hang)
    served.server.start()
    with served.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert hanging.wait(5)
        assert served.get("/healthz").status == 200
        served.server.close()
        assert not served.server.join(Deadline(0.1))
        free.set()
        assert served.server.join(Deadline(5))
        assert client.recv(100).startswith(b"HTTP/1.0 200")  # what was read is still answered


def test_a_connection_that_fails_inside_is_told_and_the_next_is_answered(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(bounded_server._RequestHandler, "get_environ", lambda _self: 1 / 0)
        assert served.send(b"GET /healthz HTTP/1.0\r\n\r\n") == b""
    assert [line["event"] for line in logs] == ["http_connection_failed"]
    assert served.get("/healthz").status == 200


def test_a_system_without_threads_to_give_loses_the_request_and_no_slot(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        for _ in range(MAX_CONNECTIONS + 1):
            assert served.send(b"GET /healthz HTTP/1.0\r\n\r\n") == b""
    assert {line["event"] for line in logs} == {"http_connection_failed"}
    assert served.get("/healthz").status == 200


def test_a_system_without_descriptors_to_give_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    refusals: list[int] = []
    accept = socket.socket.accept

    def refuse_twice(listening: socket.socket) -> Any:
        if len(refusals) < 2:
            refusals.append(1)
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(listening)

    monkeypatch.setattr(bounded_server, "_POLL_SECONDS", 0.01)
    with capture_logs() as logs, Served() as served, monkeypatch.context() as patch:
        patch.setattr(socket.socket, "accept", refuse_twice)
        assert served.get("/healthz").status == 200
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["http_accept_failed"] * 2


def test_closing_cuts_the_clients_that_never_finish() -> None:
    # Leaving Served joins its threads, while the clients are still connected.
    with contextlib.ExitStack() as clients, Served() as served:
        for _ in range(3):
            clients.enter_context(served.connect()).sendall(b"GET /")
        assert served.get("/healthz").status == 200  # the others were accepted before it


def test_closing_ends_the_wait_for_a_connection_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BoundedServer, "timeout", 60.0)
    with Served() as served:
        assert served.get("/healthz").status == 200


def test_an_occupied_port_says_which_and_how_to_choose_another() -> None:
    with socket.create_server((LOCAL, 0)) as occupant:
        port = occupant.getsockname()[1]
        with pytest.raises(UsageError) as raised:
            Served(port=port).server.start()
    assert f"cannot listen on {LOCAL}:{port}: the address is taken by another program" in str(raised.value)
    assert "WATCHER_HTTP_ADDR=127.0.0.1:8086" in str(raised.value)


@pytest.mark.parametrize(
    ("host", "port", "reason"),
    [
        ("192.0.2.1", 0, "this machine has no such address"),  # RFC 5737: never assigned
        (LOCAL, 70_000, "port must be 0-65535"),
        ("a" * 70, 0, "label"),
    ],
)
def test_an_address_that_cannot_be_had_says_why(host: str, port: int, reason: str) -> None:
    with pytest.raises(UsageError, match=rf"WATCHER_HTTP_ADDR: cannot listen on {host}:{port}: .*{reason}"):
        Served(host, port).server.start()


def test_nothing_is_open_before_the_start_and_after_the_close(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr("file_watcher.ops.health.BoundedServer", lambda *args: opened.append(args))
    served = Served()
    assert opened == []
    assert served.server.address == (LOCAL, 0)
    monkeypatch.undo()
    with served:
        address = served.server.address
        assert address[1] != 0
    with pytest.raises(RetryableError):
        ask(address, "/healthz")


def test_a_server_that_was_never_started_closes_and_joins_at_once() -> None:
    served = Served()
    served.server.close()
    assert served.server.join(Deadline(0))


def test_closing_twice_does_nothing_more() -> None:
    with Served() as served:
        served.server.close()


def test_the_port_can_be_taken_again_at_once() -> None:
    with Served() as first:
        first.get("/healthz")
        port = first.server.address[1]
    with Served(port=port) as second:
        assert second.get("/healthz").status == 200


def test_every_address_of_the_machine_means_the_local_one_to_who_asks() -> None:
    with Served(host="0.0.0.0") as served:
        assert ask(("0.0.0.0", served.server.address[1]), "/healthz")[0] == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="the platform has no IPv6")
def test_an_ipv6_address_is_served() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("the machine has no ::1")
    with Served(host="::1") as six:
        assert ask(six.server.address, "/healthz")[0] == 200


def test_asking_gives_status_and_document(served: Served) -> None:
    status, document = ask(served.server.address, "/readyz")
    assert status == 503
    assert document["reasons"] == ["broker: no answer"]


def test_asking_where_nothing_listens_says_what_to_do() -> None:
    with socket.create_server((LOCAL, 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(
        RetryableError, match=f"no running service answers at {LOCAL}:{port}.*WATCHER_HTTP_ADDR"
    ):
        ask((LOCAL, port), "/healthz")


def test_asking_a_service_that_does_not_answer_ends_in_time() -> None:
    with (
        socket.create_server((LOCAL, 0)) as silent,
        pytest.raises(RetryableError, match="no running service"),
    ):
        ask(silent.getsockname()[:2], "/healthz", timeout_seconds=0.1)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n<html>",
        b"HTTP/1.0 200 OK\r\n\r\n[1]",
    ],
)
def test_asking_another_program_says_that_it_is_another(answer: bytes) -> None:
    with socket.create_server((LOCAL, 0)) as other:

        def respond() -> None:
            client, _ = other.accept()
            with client:
                client.recv(65536)
                client.sendall(answer)

        thread = threading.Thread(target=respond)
        thread.start()
        with pytest.raises(PermanentError, match="is not this service"):
            ask(other.getsockname()[:2], "/healthz")
        thread.join(5)


def test_the_thread_that_accepts_reports_its_death(monkeypatch: pytest.MonkeyPatch) -> None:
    def die(_server: BoundedServer) -> None:
        raise MemoryError

    monkeypatch.setattr(BoundedServer, "handle_request", die)
    served = Served()
    served.server.start()
    assert served.server.join(Deadline(5))
    assert served.failures == ["fw-http"]
