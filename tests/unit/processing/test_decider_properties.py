"""Whatever happens to a disk, in whatever order it is noticed: the consumer ends with the disk."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from file_watcher.watching.dirty import DebounceBounds
from tests.support.story import KINDS, Step, Story

STEPS: st.SearchStrategy[Step] = st.one_of(
    [
        st.tuples(st.just(what), st.sampled_from(kind.first), st.sampled_from(kind.second))
        for what, kind in KINDS.items()
    ]
)
LONGEST = 80
SEEDS = 500


def steps_from(seed: int) -> list[Step]:
    chance = random.Random(seed)
    names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
    chosen = chance.choices(names, weights, k=chance.randint(1, LONGEST))
    return [(what, chance.choice(KINDS[what].first), chance.choice(KINDS[what].second)) for what in chosen]


@settings(max_examples=400)
@given(st.lists(STEPS, max_size=40))
def test_a_consumer_that_applies_every_event_in_order_ends_with_the_disk(steps: list[Step]) -> None:
    story = Story()
    story.tell(steps)
    story.end()


@pytest.mark.parametrize("first_seed", range(0, 4 * SEEDS, SEEDS))
def test_long_stories_end_with_the_disk_too(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + SEEDS):
        story = Story()
        try:
            story.tell(steps_from(seed))
            story.end()
        except AssertionError as exc:
            exc.add_note(f"the story of seed {seed}")
            raise


def test_a_consumer_ends_with_the_disk_where_hardly_any_path_may_be_dirty() -> None:
    """Folders stand for what is dirty below them, and nothing is lost by that."""
    folded = 0
    for seed in range(SEEDS):
        story = Story(DebounceBounds(waiting=1 + seed % 4, folders=1))
        try:
            story.tell(steps_from(seed))
            story.end()
        except AssertionError as exc:
            exc.add_note(f"the story of seed {seed}")
            raise
        folded += story.pipeline.folded
    assert folded > SEEDS, "too little was folded to prove anything"
