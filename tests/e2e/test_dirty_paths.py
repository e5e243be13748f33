"""More changes than may be kept in mind while the database is away: folders stand for them, and nothing is lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.consumer import Consumer
from tests.support.inside import InsideService, serving
from tests.support.postgresql import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.service import disk
from tests.support.waiting import wait_for

FOLDERS = 60
MOST_WAITING = 500


def fill(library: Path, part: str, count: int) -> list[Path]:
    """Small files, the same number in each folder."""
    paths = [library / f"album-{number % FOLDERS:02}" / f"{part}-{number:05}.mp3" for number in range(count)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{part} {path.name}")
    return paths


def change(library: Path, known: list[Path], count: int) -> int:
    """Change, delete, move and create `count` files and more; returns how many paths were touched."""
    for path in known[:100]:
        before = path.stat()
        path.write_text(path.read_text().swapcase())
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for path in known[100:200]:
        path.unlink()
    for path in known[200:250]:
        path.rename(path.with_name(f"renamed {path.name}"))
    created = fill(library, "new", count)
    for path in created[::10]:
        path.unlink()
    for path in created[1::10]:
        path.write_text("changed at once")
    (library / "album-07").rename(library / "moved away")
    return 250 + count


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [3000, pytest.param(30_000, marks=pytest.mark.soak)])
def test_an_outage_with_more_changes_than_may_be_kept_loses_nothing(
    tmp_path: Path,
    rabbit: RabbitNode,
    exchange: str,
    postgres: PostgresCluster,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    monkeypatch.setattr("file_watcher.watching.dirty._MOST_WAITING", MOST_WAITING)
    # What a move carries along is read once more in the background, which would make up for what is wrong.
    monkeypatch.setattr("file_watcher.processing.deciding._SURE_AFTER", 600.0)
    library = tmp_path / "library"
    library.mkdir()
    known = fill(library, "old", 300)
    consumer = Consumer(rabbit.url, exchange)
    consumer.subscribe()
    service = InsideService(
        library, rabbit.url, exchange, postgres_url, buffer_size=32, loss_guard="off", move_window="200ms"
    )
    with serving(service):
        service.sync()
        postgres.stop()
        try:
            touched = change(library, known, count)
            debouncer = service.parts.scheduler._debouncer
            wait_for(lambda: debouncer.folded > count // 2, "folders to stand for their files")
            assert service.parts.scheduler.depth() <= 1.5 * MOST_WAITING + 700 < touched, (
                "what is in flight on top"
            )
        finally:
            postgres.start()
        service.wait_until_ready()
        service.sync()
    consumer.drain()
    assert consumer.mirror.files == disk(library)
    assert consumer.mirror.problems == []
