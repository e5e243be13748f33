"""What the database's rows mean: what is watched and how, and what is refused; equal rows, equal plans."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from file_watcher.catalog.steering import LibraryRow, SteeringRows
from file_watcher.planning import LastGood, Plan, PlanConfig, make_plan
from file_watcher.settings import load

ME = "me"


class Desk:
    """Plans for one instance, and remembers what was good. `environ` is what it was started with."""

    def __init__(
        self, tmp_path: Path, *, is_alone: bool = True, catalog_file: Path | None = None, **environ: str
    ) -> None:
        environ = {"XDG_STATE_HOME": str(tmp_path / "state"), **environ}
        self.config = PlanConfig(ME, load({}, environ).layers, is_alone=is_alone, catalog_file=catalog_file)
        self.good = LastGood()

    def plan(self, *libraries: LibraryRow, **settings: str) -> Plan:
        rows = SteeringRows({f"file_watch.{key}": value for key, value in settings.items()}, libraries)
        plan = make_plan(self.config, rows, self.good)
        self.good = plan.good
        assert make_plan(self.config, rows, self.good) == plan, "equal rows give an equal plan"
        return plan


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """The folder that the environment names."""
    folder = tmp_path / "named"
    folder.mkdir()
    return folder


@pytest.fixture
def desk(tmp_path: Path, named: Path) -> Desk:
    return Desk(tmp_path, DATA_DIR=str(named))


def row(number: int, path: Path | str, *, is_watched: bool = True, **more: object) -> LibraryRow:
    return LibraryRow(number, f"l{number}", str(path), "production", is_watched, **more)  # type: ignore[arg-type]


def folder(parent: Path, name: str) -> Path:
    path = parent / name
    path.mkdir(parents=True)
    return path


def roots(plan: Plan) -> dict[int, bytes]:
    return {each.library.id: each.library.root for each in plan.libraries}


def ids(plan: Plan) -> list[int]:
    return sorted(roots(plan))


# who watches what


def test_what_the_environment_names_is_watched_whatever_its_row_says(desk: Desk, named: Path) -> None:
    plan = desk.plan(row(1, named, is_watched=False), row(2, "/elsewhere", is_watched=False))
    assert roots(plan) == {1: os.fsencode(named)}
    assert plan.libraries[0].is_named
    assert plan.named == (os.fsencode(named),)


def test_a_row_that_is_watched_is_and_one_that_waits_for_its_folder_too(desk: Desk, tmp_path: Path) -> None:
    plan = desk.plan(row(2, folder(tmp_path, "b")), row(3, tmp_path / "later"))
    assert ids(plan) == [2, 3]
    assert plan.waits
    assert plan.problems == ()


def test_a_library_that_only_another_environment_names_is_that_one_s(tmp_path: Path, named: Path) -> None:
    shared = Desk(tmp_path, is_alone=False, DATA_DIR=str(named))
    theirs = row(2, folder(tmp_path, "b"), origins={"other": False}, state="active")
    assert ids(shared.plan(theirs)) == []
    assert shared.plan(theirs).unwatched == ()
    assert ids(shared.plan(replace(theirs, origins={"other": True}))) == [2]
    alone = Desk(tmp_path, DATA_DIR=str(named))
    assert [library.id for library in alone.plan(theirs).unwatched] == [2]


def test_a_library_reserved_for_another_instance_is_left_to_it(desk: Desk, tmp_path: Path) -> None:
    path = folder(tmp_path, "b")
    assert ids(desk.plan(row(2, path, rules={"instance": "other"}))) == []
    assert ids(desk.plan(row(2, path, rules={"instance": ME}))) == [2]


def test_a_library_may_be_switched_off_by_a_rule_and_all_by_a_row(desk: Desk, named: Path) -> None:
    off = row(1, named, rules={"enabled": "false"}, state="active")
    assert ids(desk.plan(off)) == []
    assert [library.id for library in desk.plan(off).unwatched] == [1]
    on = row(1, named, state="active")
    assert ids(desk.plan(on, enabled="false")) == []
    assert desk.plan(on, enabled="false").named == ()
    assert ids(desk.plan(on)) == [1]


def test_what_is_unwatched_is_said_once_and_only_of_what_was_watched(desk: Desk, tmp_path: Path) -> None:
    path = folder(tmp_path, "b")
    for state, told in ((None, []), ("active", [2]), ("suspended", [2]), ("unwatched", [])):
        plan = desk.plan(row(2, path, is_watched=False, state=state))
        assert [library.id for library in plan.unwatched] == told


def test_what_is_unsent_of_libraries_that_nobody_watches_is_left_over_once_that_was_said(
    desk: Desk, tmp_path: Path
) -> None:
    watched, off = row(2, folder(tmp_path, "b")), row(3, folder(tmp_path, "c"), rules={"enabled": "false"})
    untold = row(4, "/d", is_watched=False, state="active")
    told = row(5, "/e", is_watched=False, state="unwatched")
    told_off = replace(off, id=6, path="/f", state="unwatched")
    rows = (watched, off, untold, told, told_off)

    def left_over(*unsent: int) -> tuple[int, ...]:
        return make_plan(desk.config, SteeringRows({}, rows, frozenset(unsent)), LastGood()).left_over

    assert left_over() == ()
    assert left_over(2, 4, 5) == (5,), (
        "2 has an owner, and whoever says goodbye to 4 sends what is left of it"
    )
    assert left_over(3, 6) == (3, 6), "switched off for all"
    assert left_over(99) == (99,), "one whose row is gone"


def test_what_others_watch_is_theirs_to_send(tmp_path: Path, named: Path) -> None:
    desk = Desk(tmp_path, is_alone=False, DATA_DIR=str(named))
    theirs = row(2, "/theirs", origins={"other": False}, state="active")
    reserved = row(3, "/reserved", rules={"instance": "other"}, state="active")
    plan = make_plan(desk.config, SteeringRows({}, (theirs, reserved), frozenset({2, 3})), LastGood())
    assert plan.left_over == ()


def test_a_library_whose_row_vanished_is_unwatched(desk: Desk, tmp_path: Path) -> None:
    path = folder(tmp_path, "b")
    desk.plan(row(2, path))
    assert [library.root for library in desk.plan().unwatched] == [os.fsencode(path)]
    assert desk.plan(row(2, path)).unwatched == ()


def test_the_default_folder_is_left_out_where_it_never_was_and_the_database_names_another(
    tmp_path: Path,
) -> None:
    nowhere = Path("/data/music")
    assert not nowhere.exists()
    desk = Desk(tmp_path)
    assert desk.plan().named == (os.fsencode(nowhere),)
    other = row(2, folder(tmp_path, "b"))
    assert desk.plan(other).named == ()
    assert desk.plan(row(1, nowhere, was_seen=True), other).named == (os.fsencode(nowhere),)
    insistent = Desk(tmp_path, DATA_DIR=str(nowhere))
    assert insistent.plan(other).named == (os.fsencode(nowhere),)


# rules


def test_each_library_has_settings_of_its_own_and_problems_name_it(desk: Desk, tmp_path: Path) -> None:
    plan = desk.plan(
        row(2, folder(tmp_path, "b"), rules={"debounce_time": "9s", "max_wait": "never"}),
        row(3, folder(tmp_path, "c"), rules={"jobs": "[]"}),
        debounce_time="4s",
    )
    assert [each.watch.debounce_time for each in plan.libraries] == [9.0, 4.0]
    assert plan.settings.watch.debounce_time == 4.0
    assert plan.libraries[1].jobs == "[]"
    (problem,) = plan.problems
    assert "'l2': max_wait: 'never'" in problem


def test_a_spoilt_row_leaves_what_held_and_the_same_rows_at_a_start_the_next_layer(
    desk: Desk, tmp_path: Path, named: Path
) -> None:
    desk.plan(scan_workers="7")
    assert desk.plan(scan_workers="many").settings.watch.scan_workers == 7
    started = Desk(tmp_path, DATA_DIR=str(named)).plan(scan_workers="many")
    assert started.settings.watch.scan_workers == 4
    assert len(started.problems) == 1


def test_a_row_about_folders_that_does_not_go_with_the_others_leaves_what_held(
    desk: Desk, tmp_path: Path, named: Path
) -> None:
    further = folder(tmp_path, "further")
    plan = desk.plan(directories=str(further))
    assert plan.named == (os.fsencode(named), os.fsencode(further))
    refused = desk.plan(directories=str(folder(further.parent, "named/inside")))
    assert refused.settings.watch.directories == (further,)
    assert "what held before stays" in refused.problems[0]
    fresh = Desk(tmp_path, DATA_DIR=str(named)).plan(allowed_roots="/nowhere")
    assert fresh.settings.watch.allowed_roots == ()
    assert "the next layer's values hold" in fresh.problems[0]


def test_what_the_environment_gave_is_no_row_s_fault_whatever_becomes_of_it(desk: Desk, named: Path) -> None:
    desk.plan()
    named.rmdir()
    named.touch()
    plan = desk.plan(row(1, named), idle_timeout="9s")
    assert plan.problems == ()
    assert plan.settings.watch.idle_timeout == 9.0
    assert ids(plan) == [1]


# folders


@pytest.mark.parametrize("path", ["", "music", "~/music", "/srv/a\0b"])
def test_a_path_that_is_not_absolute_is_refused(desk: Desk, path: str) -> None:
    plan = desk.plan(row(2, path))
    assert ids(plan) == []
    assert "is no absolute path; write one, such as /srv/music (it is not watched)" in plan.problems[0]


def test_a_path_to_a_file_is_refused_until_it_is_a_folder(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "song"
    file.touch()
    plan = desk.plan(row(2, file))
    assert "is not a folder" in plan.problems[0]
    assert plan.waits
    file.unlink()
    file.mkdir()
    assert ids(desk.plan(row(2, file))) == [2]


def test_a_folder_that_was_watched_and_went_is_waited_for_whatever_is_in_its_place(
    desk: Desk, tmp_path: Path
) -> None:
    path = folder(tmp_path, "b")
    desk.plan(row(2, path))
    path.rmdir()
    path.touch()
    assert ids(desk.plan(row(2, path))) == [2]


def test_no_library_lies_in_another_and_who_was_there_stays(desk: Desk, tmp_path: Path) -> None:
    outer, inner = tmp_path / "b", folder(tmp_path, "b/inner")
    assert ids(desk.plan(row(3, inner))) == [3]
    plan = desk.plan(row(2, outer), row(3, inner))
    assert ids(plan) == [3]
    (problem,) = plan.problems
    assert (
        f"{str(outer)!r} of the library 'l2' and the library 'l3' ({inner}) lie one in the other" in problem
    )
    assert ids(Desk(tmp_path).plan(row(2, outer), row(3, inner))) == [2], "at a start the first one stays"


def test_the_environment_s_folder_comes_before_a_row_s(tmp_path: Path, named: Path) -> None:
    desk = Desk(tmp_path, DATA_DIR=str(named))
    assert ids(desk.plan(row(1, folder(named, "inner")), row(2, named))) == [2]


def test_names_that_begin_alike_are_no_reason(desk: Desk, tmp_path: Path) -> None:
    rows = [row(n, folder(tmp_path, name)) for n, name in enumerate(("lib", "lib2", "li_", "li%"), 2)]
    plan = desk.plan(*rows)
    assert ids(plan) == [2, 3, 4, 5]
    assert plan.problems == ()


def test_a_link_is_followed_and_may_not_lead_into_another_library(desk: Desk, tmp_path: Path) -> None:
    real = folder(tmp_path, "real")
    (tmp_path / "link").symlink_to(real)
    assert roots(desk.plan(row(2, tmp_path / "link"))) == {2: os.fsencode(real)}
    both = desk.plan(row(2, tmp_path / "link"), row(3, real))
    assert ids(both) == [2]
    assert "or are the same" in both.problems[0]


def test_a_link_that_is_turned_is_followed_once_its_old_end_is_gone(tmp_path: Path) -> None:
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    link = tmp_path / "link"
    link.symlink_to(first)
    desk = Desk(tmp_path, DATA_DIR=str(link))
    assert desk.plan().named == (os.fsencode(first),)
    link.unlink()
    link.symlink_to(second)
    assert desk.plan().named == (os.fsencode(first),)
    first.rmdir()
    assert desk.plan().named == (os.fsencode(second),)


def test_a_new_path_that_cannot_be_leaves_the_last_one(desk: Desk, tmp_path: Path, named: Path) -> None:
    path = folder(tmp_path, "b")
    desk.plan(row(1, named), row(2, path))
    plan = desk.plan(row(1, named), row(2, folder(named, "inside")))
    assert roots(plan)[2] == os.fsencode(path)
    assert "(its last path stays)" in plan.problems[0]
    assert roots(desk.plan(row(1, named), row(2, path)))[2] == os.fsencode(path)


def test_two_libraries_may_change_places(desk: Desk, tmp_path: Path) -> None:
    a, b = folder(tmp_path, "a"), folder(tmp_path, "b")
    desk.plan(row(2, a), row(3, b))
    plan = desk.plan(row(2, b), row(3, a))
    assert roots(plan) == {2: os.fsencode(b), 3: os.fsencode(a)}
    assert plan.problems == ()


def test_a_library_outside_of_the_allowed_roots_is_not_watched_even_where_it_was(
    desk: Desk, tmp_path: Path, named: Path
) -> None:
    a, b = folder(tmp_path, "allowed/a"), folder(tmp_path, "allowed2")
    rows = row(1, named), row(2, a), row(3, b)
    assert ids(desk.plan(*rows)) == [1, 2, 3]
    plan = desk.plan(*rows, allowed_roots=f"{named},{a.parent}")
    assert ids(plan) == [1, 2]
    assert "lies outside of file_watch.allowed_roots" in plan.problems[0]


def test_the_folder_of_the_catalog_is_not_watched(tmp_path: Path, named: Path) -> None:
    desk = Desk(tmp_path, DATA_DIR=str(named), catalog_file=tmp_path / "state" / "c.sqlite3")
    plan = desk.plan(row(2, folder(tmp_path, "state")))
    assert ids(plan) == []
    assert "which would be watched itself" in plan.problems[0]


def test_a_name_that_is_no_text_is_found_again(desk: Desk, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(path)
    plan = desk.plan(row(2, path.decode("utf-8", "backslashreplace")))
    assert roots(plan) == {2: path}


def test_a_row_without_a_name_or_type_is_called_after_its_folder(desk: Desk, tmp_path: Path) -> None:
    plan = desk.plan(replace(row(2, folder(tmp_path, "b")), name="", type=""))
    assert (plan.libraries[0].library.name, plan.libraries[0].library.type) == ("b", "production")
