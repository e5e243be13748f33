"""Whatever happens to a disk, in whatever order it is noticed: the consumer ends with the disk."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from file_watcher.model import Hint
from tests.support.pipeline import Pipeline
from tests.support.world import World

NAMES = [b"/lib/a", b"/lib/b", b"/lib/c", b"/lib/a/x", b"/lib/a/y", b"/lib/d/x", b"/lib/d/y", b"/lib/d/e/z"]
FOLDERS = [b"/lib/a", b"/lib/d", b"/lib/d/e", b"/lib/f"]
CONTENTS = [b"", b"one", b"two", b"other"]

OPERATIONS = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(NAMES), st.sampled_from(CONTENTS)),
    st.tuples(st.just("replace"), st.sampled_from(NAMES), st.sampled_from(CONTENTS)),
    st.tuples(st.just("delete"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("touch"), st.sampled_from(NAMES), st.none()),
    st.tuples(st.just("rename"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("link"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("rename_folder"), st.sampled_from(FOLDERS), st.sampled_from(FOLDERS)),
    st.tuples(st.just("swap"), st.sampled_from(NAMES), st.sampled_from(NAMES)),
    st.tuples(st.just("examine"), st.integers(1, 3), st.none()),
    st.tuples(st.just("decide"), st.integers(1, 3), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.3, 1.1, 2.5]), st.none()),
    st.tuples(st.just("lose_hints"), st.none(), st.none()),
)


def is_possible(world: World, name: str, first: bytes, second: object) -> bool:
    """Whether a filesystem would allow the operation."""
    if name in ("write", "replace"):
        return world.fits(first)
    if name in ("delete", "touch"):
        return first in world.files
    assert isinstance(second, bytes)
    if name == "rename_folder":
        below = any(path.startswith(first + b"/") for path in world.files)
        taken = second in world.files or any(path.startswith(second + b"/") for path in world.files)
        nested = (second + b"/").startswith(first + b"/") or (first + b"/").startswith(second + b"/")
        return below and not taken and not nested and world.fits(second)
    if first not in world.files or first == second:
        return False
    if name == "swap":
        return second in world.files
    without = World(files={path: inode for path, inode in world.files.items() if path != first})
    return (without if name == "rename" else world).fits(second) and not (
        name == "link" and second in world.files
    )


def perform(world: World, name: str, first: bytes, second: object) -> list[Hint]:
    """Do it and return the kernel's hints."""
    if name == "swap":
        assert isinstance(second, bytes)
        spare = b"/lib/.spare"
        hints = world.rename(first, spare) + world.rename(second, first) + world.rename(spare, second)
        return hints
    method = getattr(world, name)
    result: list[Hint] = method(first) if second is None else method(first, second)
    return result


@settings(max_examples=400)
@given(st.lists(OPERATIONS, max_size=40))
def test_a_consumer_that_applies_every_event_in_order_ends_with_the_disk(
    steps: list[tuple[str, object, object]],
) -> None:
    world = World()
    pipeline = Pipeline(world)
    hints_are_lost = False
    for name, first, second in steps:
        if name == "examine":
            assert isinstance(first, int)
            pipeline.examine(first)
        elif name == "decide":
            assert isinstance(first, int)
            pipeline.decide(first)
        elif name == "wait":
            assert isinstance(first, float)
            pipeline.now += first
        elif name == "lose_hints":
            hints_are_lost = not hints_are_lost
        else:
            assert isinstance(first, bytes)
            if is_possible(world, name, first, second):
                hints = perform(world, name, first, second)
                if not hints_are_lost:
                    pipeline.hint(hints)
    pipeline.settle()
    pipeline.hint_everything()
    pipeline.settle()
    assert pipeline.mirror.files == world.contents()
    assert {path: row.fingerprint for path, row in pipeline.ledger.rows.items()} == world.contents()
    told = len(pipeline.ledger.events)
    pipeline.hint_everything()
    pipeline.settle()
    assert len(pipeline.ledger.events) == told, "a scan of what did not change tells nothing"
