"""Asking a service's pages: where, and what the answer is worth."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from file_watcher.catalog.requests import Instance
from file_watcher.cli.options import Given
from file_watcher.cli.pages import http_address, readiness, reasons_against
from file_watcher.errors import UsageError
from file_watcher.lifecycle import Deadline
from file_watcher.model import Health
from file_watcher.ops.health import HealthServer
from file_watcher.ops.metrics import Metrics
from file_watcher.ops.pages import HealthReport
from file_watcher.settings import Settings, instance_id, prepare_state_folder, state_folder
from tests.support.ports import free_port
from tests.unit.cli.conftest import Invoke

WELL, AWAY = Health("broker", ok=True, detail="well"), Health("broker", ok=False, detail="nobody answers")


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No service has left its name there yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def prepared(folder: Path) -> Path:
    prepare_state_folder(folder)
    return folder


def fail(_name: str, error: BaseException) -> None:
    raise error


@contextmanager
def serving(health: Health, *, vital: bool = False) -> Iterator[tuple[str, int]]:
    """The pages of a service `me` with one component."""
    sources: list[Callable[[], Health]] = [lambda: health]
    report = HealthReport("me", "1.0", sources if vital else [], [] if vital else sources)
    server = HealthServer(("127.0.0.1", free_port()), report, Metrics().app(), fail)
    server.start()
    try:
        yield server.address
    finally:
        server.close()
        assert server.join(Deadline(5))


def instance(http: object, host: str | None = None) -> Instance:
    return Instance("me", 1, host or socket.gethostname(), "1.0", 0, 0, {"http": http})


def shown(address: tuple[str, int]) -> str:
    return f"{address[0]}:{address[1]}"


# which address


def test_the_address_is_the_default_where_nothing_is_given() -> None:
    assert http_address(Given({}, None)) == ("127.0.0.1", 8085)


def test_the_address_comes_from_the_highest_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f.toml"
    file.write_text("watcher_http_addr = '127.0.0.1:1'\n")
    assert http_address(Given({}, file)) == ("127.0.0.1", 1)
    monkeypatch.setenv("WATCHER_HTTP_ADDR", "0.0.0.0:2")
    assert http_address(Given({}, file)) == ("0.0.0.0", 2)
    assert http_address(Given({"watcher_http_addr": ":3"}, file)) == ("0.0.0.0", 3)


def test_no_other_setting_is_judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATA_DIR", "/etc/passwd")
    monkeypatch.setenv("FILE_WATCH_NONSENSE", "x")
    file = tmp_path / "f.toml"
    file.write_text("nonsense = 1\nwatcher_http_addr = ':4'\n")
    assert http_address(Given({"debounce_time": "soon"}, file)) == ("0.0.0.0", 4)


@pytest.mark.parametrize("value", ["nonsense", "host:99999"])
def test_an_unusable_address_is_one_problem(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER_HTTP_ADDR", value)
    with pytest.raises(UsageError, match="WATCHER_HTTP_ADDR") as caught:
        http_address(Given({}, None))
    assert len(caught.value.problems) == 1


def test_without_an_address_there_is_nothing_to_ask() -> None:
    with pytest.raises(UsageError, match="is off"):
        http_address(Given({"watcher_http_addr": "off"}, None))


# status --healthy


def test_a_healthy_service_gives_0_and_says_nothing(invoke: Invoke) -> None:
    with serving(WELL) as address:
        result = invoke("status", "--healthy", "--watcher-http-addr", shown(address))
    assert (result.exit_code, result.output) == (0, "")


def test_the_answer_of_another_service_says_nothing_of_ours(invoke: Invoke) -> None:
    with serving(WELL) as address:
        at = {"WATCHER_HTTP_ADDR": shown(address)}
        assert invoke("status", "--healthy", INSTANCE_ID="me", **at).exit_code == 0
        named = invoke("status", "--healthy", "--instance-id", "you", **at)
        name = instance_id(Settings(), prepared(state_folder(os.environ)))
        kept = invoke("status", "--healthy", **at)
    assert (named.exit_code, kept.exit_code) == (1, 1)
    for told, ours in ((named, "you"), (kept, name)):
        assert f"another service (me) answers at {shown(address)}, not ours ({ours})" in told.stderr


def test_a_name_that_cannot_be_read_stops_no_probe(invoke: Invoke) -> None:
    folder = prepared(state_folder(os.environ))
    (folder / "instance_id").write_bytes(b"no name\n")
    with serving(WELL) as address:
        assert invoke("status", "--healthy", WATCHER_HTTP_ADDR=shown(address)).exit_code == 0


def test_everywhere_is_asked_here(invoke: Invoke) -> None:
    with serving(WELL) as (_, port):
        assert invoke("status", "--healthy", WATCHER_HTTP_ADDR=f"0.0.0.0:{port}").exit_code == 0


def test_a_broker_that_is_away_is_no_reason_to_restart_us(invoke: Invoke) -> None:
    with serving(AWAY) as address:
        assert invoke("status", "--healthy", "--watcher-http-addr", shown(address)).exit_code == 0


def test_a_service_that_only_a_restart_can_mend_gives_1_with_the_reason(invoke: Invoke) -> None:
    with serving(AWAY, vital=True) as address:
        result = invoke("status", "--healthy", "--watcher-http-addr", shown(address))
    assert (result.exit_code, result.stderr) == (1, "file_watcher: broker: nobody answers\n")


def test_where_nobody_answers_the_health_is_1(invoke: Invoke) -> None:
    result = invoke("status", "--healthy", "--watcher-http-addr", f"127.0.0.1:{free_port()}")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1


# readiness


def test_a_ready_instance_has_nothing_against_it() -> None:
    with serving(WELL) as address:
        assert readiness(instance(shown(address))) == (True, [])


def test_what_stands_against_an_instance_is_told() -> None:
    with serving(AWAY) as address:
        asked = instance(shown(address))
        assert readiness(asked) == (False, ["broker: nobody answers"])
        assert reasons_against(asked) == ["broker: nobody answers"]


def test_another_services_answer_is_not_taken_for_ours() -> None:
    with serving(WELL) as address:
        ready, reasons = readiness(replace(instance(shown(address)), instance_id="you")) or (True, [])
    assert not ready
    assert "another service (me)" in reasons[0]


def test_an_instance_that_does_not_answer_is_not_ready() -> None:
    answer = readiness(instance(f"127.0.0.1:{free_port()}"))
    assert answer is not None
    assert answer[0] is False


@pytest.mark.parametrize("http", [None, "", "nonsense", 7])
def test_an_instance_without_an_address_cannot_be_asked(http: object) -> None:
    assert readiness(instance(http)) is None
    assert reasons_against(instance(http)) == []


@pytest.mark.parametrize("http", ["127.0.0.1:80", "::1:80", "localhost:80"])
def test_the_loopback_of_another_host_is_not_asked_here(http: str) -> None:
    assert readiness(instance(http, host="elsewhere")) is None


def test_nothing_stands_against_an_instance_that_is_not_known() -> None:
    assert reasons_against(None) == []
