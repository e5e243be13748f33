"""What is said here of a service that was started with other settings. The service is a heartbeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from file_watcher.catalog.library_admin import LibraryAdmin, NewLibrary
from file_watcher.catalog.owner import OwnerLock
from file_watcher.catalog.requests import Instances, Vitals
from file_watcher.cli.in_use import Target
from file_watcher.model import Health
from tests.support.catalog import opened
from tests.support.ports import free_port
from tests.unit.cli.conftest import Invoke
from tests.unit.cli.test_pages import AWAY, WELL, serving, shown

ELSEWHERE = {"where": "broker.example:5672, vhost /", "exchange": "file_events"}


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "file_watcher.publishing.consume.probe", lambda _config: Health("broker", ok=False, detail="nobody")
    )


@pytest.fixture(autouse=True)
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another terminal than that of the service: nothing is set in it but where the catalog is."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("WATCHER_HTTP_ADDR", f"127.0.0.1:{free_port()}")
    for name in ("DATA_DIR", "RABBITMQ_URL", "RABBITMQ_HOST", "RABBITMQ_PORT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    (tmp_path / "tones").mkdir()
    return tmp_path / "tones"


@contextmanager
def service(tmp_path: Path, folder: Path, **detail: Any) -> Iterator[None]:
    """A service that watches the folder owns the catalog; `detail` is what its heartbeat tells besides."""
    file = tmp_path / "file_watcher" / "catalog.sqlite3"
    file.parent.mkdir()
    with opened(f"sqlite:///{file}") as database:
        lock = OwnerLock(file)
        lock.acquire()
        LibraryAdmin(database).add(NewLibrary("tones", str(folder), "production", is_watched=True, rules={}))
        vitals = Vitals(({"name": "tones", "state": "active"},))
        told = {"http": None, "roots": [str(folder)], "broker": ELSEWHERE} | detail
        Instances(database, "1.0").beat("me", told, vitals)
        try:
            yield
        finally:
            lock.release()


def checked(invoke: Invoke, **environment: str) -> dict[str, dict[str, Any]]:
    """The last finding about each subject."""
    result = invoke("check", "--json", **environment)
    return {finding["subject"]: finding for finding in json.loads(result.stdout)}


def test_check_looks_at_the_folders_of_the_service_where_none_is_set_here(
    invoke: Invoke, tmp_path: Path, tones: Path
) -> None:
    with service(tmp_path, tones):
        found = checked(invoke)
    assert found["folders"]["mark"] == "ok"
    assert str(tones) in found["folders"]["detail"]
    assert f"folder {tones}" in found
    assert "folder /data/music" not in found


def test_a_folder_that_is_set_here_is_looked_at_and_what_the_service_watches_is_said(
    invoke: Invoke, tmp_path: Path, tones: Path
) -> None:
    with service(tmp_path, tones):
        found = checked(invoke, DATA_DIR=str(tmp_path / "later"))
    assert found["folders"]["mark"] == "warning"
    assert "set the same DATA_DIR here" in found["folders"]["mend"]
    assert "is not there" in found[f"folder {tmp_path / 'later'}"]["detail"]


def test_nothing_is_said_of_a_service_that_has_the_same_settings(
    invoke: Invoke, tmp_path: Path, tones: Path
) -> None:
    with service(tmp_path, tones, broker={"where": "127.0.0.1:5672, vhost /", "exchange": "file_events"}):
        found = checked(invoke, DATA_DIR=str(tones))
    assert "folders" not in found
    assert found["broker"]["detail"] == "nobody", "which localhost is, by any name"


def test_a_service_that_does_not_tell_its_broker_is_not_compared(
    invoke: Invoke, tmp_path: Path, tones: Path
) -> None:
    with service(tmp_path, tones, broker=None):
        assert checked(invoke)["broker"]["detail"] == "nobody"


def test_the_broker_of_the_service_counts_where_none_is_set_here(
    invoke: Invoke, tmp_path: Path, tones: Path
) -> None:
    with serving(WELL) as address, service(tmp_path, tones, http=shown(address)):
        found = checked(invoke)["broker"]
    assert found["mark"] == "warning"
    assert "(me, process " in found["detail"]
    assert "uses exchange file_events at broker.example:5672, vhost / and is connected" in found["detail"]
    assert found["mend"].startswith("set the same RABBITMQ_URL here")


def test_what_is_wrong_with_the_broker_of_the_service_is_the_problem(
    invoke: Invoke, tmp_path: Path, tones: Path
) -> None:
    with serving(AWAY) as address, service(tmp_path, tones, http=shown(address)):
        found = checked(invoke)["broker"]
    assert found["mark"] == "problem"
    assert found["detail"].endswith(
        "cannot publish to exchange file_events at broker.example:5672, vhost /: nobody answers"
    )


def test_a_broker_that_is_set_here_is_asked_all_the_same(invoke: Invoke, tmp_path: Path, tones: Path) -> None:
    with service(tmp_path, tones):
        result = invoke("check", "--json", RABBITMQ_URL="amqp://here.example", RABBITMQ_EXCHANGE="mine")
    found = [each for each in json.loads(result.stdout) if each["subject"] == "broker"]
    assert [each["mark"] for each in found] == ["warning", "problem"]
    assert "what is set here leads to exchange mine at here.example:5672, vhost /" in found[0]["detail"]
    assert found[0]["mend"].startswith("set the same RABBITMQ_URL and RABBITMQ_EXCHANGE here")


def test_consume_says_that_the_service_uses_another_broker(
    invoke: Invoke, tmp_path: Path, tones: Path
) -> None:
    port = str(free_port())
    before = invoke("consume", RABBITMQ_PORT=port).stderr
    assert "nothing listens at localhost" in before
    assert "the running service" not in before
    with service(tmp_path, tones):
        result = invoke("consume", RABBITMQ_PORT=port, COLUMNS="1000")
    assert result.exit_code == 1
    assert "nothing listens at localhost" in result.stderr
    assert (
        "uses exchange file_events at broker.example:5672, vhost /: set the same RABBITMQ_URL here"
        in " ".join(result.stderr.split())
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("localhost:5672, vhost /", "[::1]:5672, vhost /", True),
        ("localhost:5672, vhost /", "127.0.0.1:5673, vhost /", False),
        ("a:5672, vhost /", "b:5672, vhost /", False),
        ("127.0.0.1:5672, vhost a:b", "localhost:5672, vhost a:b", True),
    ],
)
def test_this_machine_is_one_broker_by_all_its_names(one: str, other: str, same: bool) -> None:
    assert Target(one, "e").is_at(Target(other, "e")) is same
