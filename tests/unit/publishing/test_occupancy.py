"""Which paths are connected: equal ones, and a folder with what lies below it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from file_watcher.publishing.occupancy import Occupancy


def occupied(*paths: bytes) -> Occupancy:
    occupancy = Occupancy()
    for path in paths:
        occupancy.add(path)
    return occupancy


@pytest.mark.parametrize(
    ("inside", "asked", "connected"),
    [
        (b"/m/a", b"/m/a", True),
        (b"/m/a", b"/m/a/x", True),
        (b"/m/a", b"/m/a/x/y.mp3", True),
        (b"/m/a/x/y.mp3", b"/m/a", True),
        (b"/m/a.mp3", b"/m/b.mp3", False),
        (b"/m/a", b"/m/ab", False),
        (b"/m/a/x", b"/m/b/x", False),
        (b"/", b"/m/a", True),
        (b"/m/a", b"/", True),
    ],
)
def test_a_folder_is_connected_with_what_lies_below_it_and_files_beside_one_another_are_not(
    inside: bytes, asked: bytes, *, connected: bool
) -> None:
    assert occupied(inside).touches(asked) is connected


def test_nothing_is_connected_with_nothing() -> None:
    emptied = occupied(b"/m/a", b"/m/b")
    emptied.clear()
    assert not Occupancy().touches(b"/m/a")
    assert not emptied.touches(b"/m/a")
    assert not emptied.touches(b"/m")
    assert len(emptied) == 0


def test_taking_out_what_is_not_inside_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        occupied(b"/m/a").remove(b"/m/b")


NAMES = st.lists(st.sampled_from([b"a", b"b", b"ab"]), min_size=1, max_size=4)
PATHS = NAMES.map(lambda names: b"/" + b"/".join(names))


@given(st.lists(st.tuples(st.booleans(), PATHS), max_size=40))
def test_it_answers_as_a_comparison_with_each_path_would(steps: list[tuple[bool, bytes]]) -> None:
    occupancy, inside = Occupancy(), list[bytes]()
    for adds, path in steps:
        if adds:
            occupancy.add(path)
            inside.append(path)
        elif path in inside:
            occupancy.remove(path)
            inside.remove(path)
        for _, asked in steps:
            expected = any(
                asked == one or asked.startswith(one + b"/") or one.startswith(asked + b"/") for one in inside
            )
            assert occupancy.touches(asked) is expected
    for path in inside:
        occupancy.remove(path)
    assert vars(occupancy) == vars(Occupancy())
