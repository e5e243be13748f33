"""No thread dies in silence: an error that nobody expected ends the service with exit code 1 and a last word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from file_watcher.catalog.owner import OwnerLock
from file_watcher.catalog.requests import Requests
from file_watcher.desk import Desk
from file_watcher.errors import CatalogError
from file_watcher.housekeeping import Housekeeping
from file_watcher.ops.bounded_server import BoundedServer
from file_watcher.ops.watchdog import Vigil
from file_watcher.processing.deciding import DecidingStage
from file_watcher.processing.pool import WorkerPool
from file_watcher.processing.tags.crew import Crew
from file_watcher.publishing.dispatch import Dispatch
from file_watcher.publishing.rabbitmq import Publisher
from file_watcher.watching.debounce import Debouncer
from file_watcher.watching.folders import FolderScans
from file_watcher.watching.post import Post
from file_watcher.watching.scanning import ScanStage
from tests.support.inside import InsideService
from tests.support.ports import free_port


@pytest.mark.parametrize(
    ("owner", "method", "thread"),
    [
        (Dispatch, "fill", "fw-relay"),
        (Publisher, "_attempt", "fw-publish"),
        (DecidingStage, "_gather", "fw-decide"),
        (WorkerPool, "_run", "fw-hash-"),
        (Crew, "step", "fw-tags"),
        (Debouncer, "due", "fw-debounce"),
        (ScanStage, "_scan_library", "fw-scan"),
        (FolderScans, "_run", "fw-folders"),
        (Post, "step", "fw-keeper"),
        (Requests, "take", "fw-desk"),
        (Desk, "_work_off", "fw-answer-"),
        (Housekeeping, "_go_round", "fw-house"),
        (Vigil, "look", "fw-watchdog"),
        (BoundedServer, "handle_request", "fw-http"),
    ],
)
def test_an_error_that_escapes_a_thread_ends_the_service_with_exit_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, method: str, thread: str
) -> None:
    def break_down(*_arguments: Any, **_options: Any) -> None:
        raise ValueError("nobody expected this")

    monkeypatch.setattr(owner, method, break_down)
    monkeypatch.setattr("file_watcher.service.STUCK_SECONDS", 2.4)
    library = tmp_path / "library"
    library.mkdir()
    nowhere = f"amqp://127.0.0.1:{free_port()}"
    service = InsideService(library, nowhere, "file_events", f"sqlite:///{tmp_path}/state/catalog.db")

    with capture_logs() as logs:
        service.start()
        service.wait_for_end()

    assert service.outcome == 1
    died = [each["thread"] for each in logs if each["event"] == "thread_died"]
    assert all(each.startswith(thread) for each in died), died
    assert logs[-1]["event"] == "service_ended_early"
    assert logs[-1]["thread"] in died
    assert "nobody expected" in logs[-1]["reason"]
    assert "start the service again" in logs[-1]["advice"]


def test_the_last_word_names_a_reason_that_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: Any) -> None:
        raise CatalogError("The catalog was removed or replaced while it was in use. Put it back.")

    monkeypatch.setattr(OwnerLock, "keep", refuse)
    library = tmp_path / "library"
    library.mkdir()
    nowhere = f"amqp://127.0.0.1:{free_port()}"
    service = InsideService(library, nowhere, "file_events", f"sqlite:///{tmp_path}/state/catalog.db")

    with capture_logs() as logs:
        service.start()
        service.wait_for_end()

    assert service.outcome == 1
    assert (logs[-1]["event"], logs[-1]["thread"]) == ("service_ended_early", "fw-desk")
    assert logs[-1]["reason"].endswith("Put it back.")
