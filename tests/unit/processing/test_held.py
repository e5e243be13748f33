"""What is held: in the order in which it came, whatever is put, replaced and forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from file_watcher.model import GONE, FileStat, Observation
from file_watcher.processing.decision import Pending
from file_watcher.processing.held import HeldObservations
from tests.support.world import LIBRARY

STAT = FileStat(3, 1, 2, 7, 100)
PATHS = [b"/lib/a", b"/lib/b", b"/lib/c", b"/lib/d"]

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["put", "keep", "forget"]),
        st.sampled_from(PATHS),
        st.booleans(),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_question_is_answered_as_by_going_through_all(
    steps: list[tuple[str, bytes, bool, int]],
) -> None:
    held = HeldObservations()
    model: dict[bytes, Pending] = {}
    for now, (what, path, is_now_gone, noticed) in enumerate(steps):
        if what == "forget":
            held.forget(path)
            model.pop(path, None)
        else:
            before = model.get(path) if what == "keep" else None
            since = before.since if before else float(now)
            is_gone = before.observation.sight is GONE if before else is_now_gone
            seen = Observation(path, LIBRARY, GONE if is_gone else STAT, noticed=float(noticed))
            model[path] = Pending(seen, since)
            held.put(model[path])
        everything = list(model.values())
        gone = [each for each in everything if each.observation.sight is GONE]
        assert len(held) == len(model)
        assert [held.get(each) for each in PATHS] == [model.get(each) for each in PATHS]
        assert held.oldest_since() == min((each.since for each in everything), default=None)
        assert held.oldest_noticed() == min((each.observation.noticed for each in everything), default=None)
        for since in (0.0, now / 2, float(now)):
            found = list(held.gone_since(since))
            assert found == sorted(
                (each for each in gone if each.since <= since), key=lambda each: each.since
            )
        assert {each.observation.path for each in held.there()} == model.keys() - {
            each.observation.path for each in gone
        }
