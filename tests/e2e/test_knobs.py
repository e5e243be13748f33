"""Limits and priorities that an operator turns while the service runs: nothing is lost, dropped or held up."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.consumer import Consumer
from tests.support.inside import InsideService, serving
from tests.support.operator import Operator
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, disk, running
from tests.support.waiting import wait_for


@pytest.fixture
def consumer(rabbit: RabbitNode, exchange: str) -> Consumer:
    consumer = Consumer(rabbit.url, exchange)
    consumer.subscribe()
    return consumer


def fill(folder: Path, count: int, size: int = 100, suffix: str = ".mp3") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:05}{suffix}").write_bytes(f"{folder.name} {number} ".encode() * (size // 8))


def threads(service: ServiceProcess) -> int:
    assert service.process is not None
    return len(list(Path(f"/proc/{service.process.pid}/task").iterdir()))


def test_limits_of_libraries_and_the_size_of_the_pool_change_while_files_come(
    tmp_path: Path, rabbit: RabbitNode, exchange: str, consumer: Consumer
) -> None:
    """One library's limit holds up nothing of the other, and ends when the operator says so; meanwhile there are
    more threads, smaller queues and smaller commits. All files are told, each once."""
    slow, quick = tmp_path / "slow", tmp_path / "quick"
    for folder in (slow, quick):
        folder.mkdir()
    url = f"sqlite:///{tmp_path}/catalog.sqlite3"
    with running(ServiceProcess(tmp_path, [slow, quick], rabbit.url, exchange, url)) as service:
        operator = Operator(url)
        ((number,),) = operator.ask("SELECT id FROM libraries WHERE name = ?", "slow")
        operator.rule(number, "rate_limit", "5")
        wait_for(lambda: "rules_changed" in service.log.read_text(), "the rule")
        fill(slow, 600)
        waiting = "SELECT count(*) FROM fw_events WHERE published_ns IS NULL"
        wait_for(lambda: operator.ask(waiting)[0][0] > 500, "the limited library's messages", 30)
        before = threads(service)
        operator.settings(scan_workers="9", buffer_size="3", batch_size="5")
        wait_for(lambda: threads(service) == before + 5, "more threads")
        fill(quick, 100)
        wait_for(lambda: told(consumer, quick) == 100, "the other library's messages", 30)
        assert told(consumer, slow) < 300, "it was at its limit all the while"
        operator.settings(scan_workers="1")
        operator.rule(number, "rate_limit", "off")
        wait_for(lambda: told(consumer, slow) == 600, "the rest", 30)
        wait_for(lambda: threads(service) == before - 3, "fewer threads")
        fill(quick / "more", 50)
        service.sync()
    consumer.drain()
    assert consumer.mirror.files == disk(slow, quick)
    assert consumer.mirror.problems == []
    assert consumer.mirror.duplicates == 0


def told(consumer: Consumer, folder: Path) -> int:
    consumer.drain()
    return sum(path.startswith(bytes(folder) + b"/") for path in consumer.mirror.files)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("count", "size", "megabytes"),
    [(300, 30_000, 3.0), pytest.param(10_000, 2_000, 1.0, marks=pytest.mark.soak)],
)
def test_a_file_that_goes_first_is_told_while_thousands_wait(
    tmp_path: Path,
    rabbit: RabbitNode,
    exchange: str,
    consumer: Consumer,
    count: int,
    size: int,
    megabytes: float,
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    urgent = bytes(library / "urgent.flac")
    service = InsideService(
        library,
        rabbit.url,
        exchange,
        f"sqlite:///{tmp_path}/catalog.sqlite3",
        patterns=["*.mp3", "*.flac"],
        priority_patterns=["*.flac"],
        read_rate_limit=megabytes,
        buffer_size=64,
    )
    with serving(service):
        fill(library / "many", count, size)
        wait_for(lambda: len(service.delivered) > count // 30, "the import to be under way", 30)
        (library / "urgent.flac").write_bytes(b"la")
        wait_for(lambda: any(each.path == urgent for each in service.delivered), "it", 60)
        paths = [each.path for each in service.delivered]
        assert paths.index(urgent) < count * 9 // 10, "the others still waited"
        service.sync()
    consumer.drain()
    assert consumer.mirror.files == disk(library)
    assert consumer.mirror.problems == []
