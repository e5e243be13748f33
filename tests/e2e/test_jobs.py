"""Jobs out of a real copy into a staging library: few messages, each event in exactly one of them, through kill -9."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from file_watcher.catalog.libraries import Libraries
from tests.support.catalog import opened
from tests.support.consumer import Consumer
from tests.support.jobs import Worker
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, running
from tests.support.waiting import wait_for


@pytest.fixture
def broker_url(rabbit: RabbitNode) -> str:
    """The session's node: all exchanges and queues have names of their own."""
    return rabbit.url


def staging(tmp_path: Path, library: Path, database_url: str) -> None:
    """The library's row as another application made it."""
    (tmp_path / "state").mkdir(exist_ok=True)
    with opened(database_url) as database:
        row = Libraries(database).ensure_library(str(library).encode(), library_type="staging")
    assert row.type == "staging"


def copy(library: Path, first: int, count: int) -> None:
    """Small files, a hundred in each folder."""
    for number in range(first, first + count):
        folder = library / f"album-{number // 100}"
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.mp3").write_bytes(b"x%d" % number)


def told_by_then(url: str, exchange: str, jobs_exchange: str) -> Worker:
    """A queue that gets the jobs and the events, in the order in which the broker took them."""
    both = Worker(url, jobs_exchange, f"{exchange}.both")
    both.bind()
    Worker(url, exchange, f"{exchange}.both").bind("file.created")
    return both


def check_order(both: Worker) -> None:
    """No job comes before an event that it stands for."""
    created = counted = 0
    for document in both.taken:
        created += document.get("event_type") == "created"
        counted += document.get("count", 0)
        assert counted <= created


def copy_with_a_kill_in_between(
    count: int, tmp_path: Path, library: Path, broker_url: str, exchange: str
) -> tuple[Consumer, Worker]:
    """Copy, kill -9 with a window open, copy more; returns once every file is in a job."""
    database_url = f"sqlite:///{tmp_path}/state/catalog.db"
    staging(tmp_path, library, database_url)
    jobs_exchange = f"{exchange}.jobs"
    consumer, worker = Consumer(broker_url, exchange), Worker(broker_url, jobs_exchange, f"{exchange}.work")
    consumer.subscribe()
    worker.bind("maintenance.#")
    both = told_by_then(broker_url, exchange, jobs_exchange)
    service = ServiceProcess(
        tmp_path, library, broker_url, exchange, database_url, RABBITMQ_JOBS_EXCHANGE=jobs_exchange
    )
    service.start()
    try:
        service.wait_until_ready()
        copy(library, 0, count // 2)
        wait_for(lambda: consumer.drain() is None or len(consumer.events()) >= count // 4, "the first events")
    finally:
        service.kill()
    with running(service):
        copy(library, count // 2, count - count // 2)
        service.sync()
        wait_for(lambda: worker.counted() >= count, "jobs that stand for all files", 60)
        consumer.drain()
        assert service.metric("watcher_enqueue_total", queue="file_jobs") >= 1
    both.take()
    check_order(both)
    return consumer, worker


def test_each_of_200_new_files_is_in_exactly_one_job_although_the_service_is_killed(
    tmp_path: Path, library: Path, broker_url: str, exchange: str
) -> None:
    consumer, worker = copy_with_a_kill_in_between(200, tmp_path, library, broker_url, exchange)

    assert len(consumer.mirror.files) == 200
    assert worker.counted() == 200
    assert 1 <= len(worker.jobs) <= 5
    for job in worker.jobs:
        assert (job["type"], job["queue"], job["trigger"]) == (
            "media:staging_scan",
            "maintenance",
            "new_file_added",
        )
        assert (job["path"], job["library"]["type"]) == (str(library), "staging")
        assert job["events"] == {"created": job["count"]}
        assert job["window_start"] < job["window_end"]
    assert len({job["job_id"] for job in worker.jobs}) == len(worker.jobs)
    assert len({job["dedupe_key"] for job in worker.jobs}) == len(worker.jobs)


def test_a_rule_that_is_given_while_the_service_runs_holds_and_declares_its_queue(
    tmp_path: Path, library: Path, broker_url: str, exchange: str
) -> None:
    jobs_exchange, queue = f"{exchange}_jobs", f"{exchange}_work"
    rule = {"type": "directory:changed", "queue": queue, "window": "200ms", "declare": True}
    service = ServiceProcess(tmp_path, library, broker_url, exchange, RABBITMQ_JOBS_EXCHANGE=jobs_exchange)
    with running(service):
        given = service.command("library", "set", "library", f"jobs={json.dumps(rule)}")
        assert given.returncode == 0, given.stderr
        worker = Worker(broker_url, jobs_exchange, queue)
        wait_for(worker.exists, "the queue that the rule wants", 20)
        for folder in ("a", "b"):
            (library / folder).mkdir()
            (library / folder / "1.mp3").write_bytes(b"x" + folder.encode())
        wait_for(lambda: worker.counted() >= 2, "a job for each folder", 20)
        assert {job["path"] for job in worker.jobs} == {str(library / "a"), str(library / "b")}
        (library / "a" / "1.mp3").rename(library / "b" / "2.mp3")
        wait_for(lambda: worker.counted() >= 4, "a job for both ends of the move", 20)
        last = {(job["path"], job["trigger"]) for job in worker.jobs if job["events"] == {"moved": 1}}
        assert last == {(str(library / "a"), "file_removed"), (str(library / "b"), "new_file_added")}
        assert worker.counted() == 4


@pytest.mark.soak
def test_5000_files_become_5000_events_and_a_handful_of_jobs(
    tmp_path: Path, library: Path, broker_url: str, exchange: str
) -> None:
    consumer, worker = copy_with_a_kill_in_between(5000, tmp_path, library, broker_url, exchange)

    assert len(consumer.mirror.files) == 5000
    assert worker.counted() == 5000
    print(f"files 5000, events {len(consumer.events())}, jobs {len(worker.jobs)}")
    assert len(worker.jobs) <= 20
