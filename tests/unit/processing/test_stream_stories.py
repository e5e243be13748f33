"""Random histories of a stream library, through the real debouncer, examiner and decider."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from file_watcher.model import EventType
from file_watcher.processing.idle import StreamConfig
from tests.support.pipeline import Pipeline
from tests.support.world import World

STREAM = StreamConfig(idle=20.0, quiet=1.0, max_wait=30.0)
PATHS = (b"/lib/a.mp4", b"/lib/b.mp4", b"/lib/c/d.mp4")


def act(world: World, pipeline: Pipeline, random: Random) -> None:
    """One step of people and cameras, or of time."""
    path, other = random.choice(PATHS), random.choice(PATHS)
    inode = world.files.get(path)
    what = random.choice(
        ("open", "append", "append", "close", "write", "rename", "delete", "wait", "restart")
    )
    if what == "open":
        pipeline.hint(world.open(path))
    elif what == "write" and not (inode and inode.is_open):
        pipeline.hint(world.write(path, b"%d" % random.randrange(100)))
    elif what == "wait":
        pipeline.run(random.choice((1.0, 5.0, 25.0, 60.0)))
    elif what == "restart" and random.random() < 0.3:
        pipeline.restart()
    elif inode is None:
        return
    elif what == "append" and inode.is_open:
        pipeline.hint(world.append(path, b"more"))
    elif what == "close" and inode.is_open:
        pipeline.hint(world.close(path))
    elif what == "rename" and other != path:
        pipeline.hint(world.rename(path, other))
    elif what == "delete":
        pipeline.hint(world.delete(path))


@pytest.mark.parametrize("seed", range(60))
def test_every_content_ends_idle_and_is_told_so_once(seed: int) -> None:
    random, world = Random(seed), World(children_read=seed % 2 == 1)
    pipeline = Pipeline(world, stream=STREAM)
    for _ in range(60):
        act(world, pipeline, random)
        if random.random() < 0.5:
            pipeline.run(0.5)
    for path, inode in world.files.items():
        if inode.is_open:  # what was opened when it was there already gives no hint before it is closed
            pipeline.hint(world.close(path))
    pipeline.run(120.0)
    assert pipeline.mirror.files == world.contents()
    rows = pipeline.ledger.rows.values()
    assert not any(row.growing or row.awaits_idle for row in rows)

    told: Counter[str] = Counter()
    for event in pipeline.ledger.events:
        if event.event_type is EventType.IDLE:
            told[event.file_id] -= 1
            assert event.fingerprint is not None
            assert told[event.file_id] >= 0, "idle without anything new"
        elif event.event_type is EventType.CREATED or event.changed == ("content",):
            told[event.file_id] = 1
    assert all(told[row.file_id] == 0 for row in rows), "what is there was told as idle last"

    pipeline.restart()
    before = len(pipeline.ledger.events), world.reads
    pipeline.run(60.0)
    assert (len(pipeline.ledger.events), world.reads) == before, "a restart is silent and reads nothing"
