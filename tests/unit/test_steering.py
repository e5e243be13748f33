"""Steering: rows are read when they may have changed, planned, and done; what fails is tried again."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from file_watcher.catalog.steering import LibraryRow, SteeringRows
from file_watcher.errors import CatalogError, CatalogUnavailable, UsageError
from file_watcher.jobs.rules import problems_of_jobs
from file_watcher.lease_claims import Candidate
from file_watcher.lifecycle import Deadline
from file_watcher.model import Library
from file_watcher.planning import PlanConfig
from file_watcher.roster import Watched
from file_watcher.settings import Settings, load
from file_watcher.steering import Planner, Steering, SteeringConfig, candidates_of
from file_watcher.tenure import SoleTenure
from tests.support.waiting import wait_for

CONFIG = SteeringConfig(seldom=60.0, missing=50.0, unfinished=0.01, outage=0.01)


class Bell:
    """A feed that says what it is told to."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.timeouts: list[float] = []
        self.is_closed = False

    def wait(self, timeout: float) -> bool:
        self.timeouts.append(timeout)
        rang = self._event.wait(timeout)
        self._event.clear()
        return rang

    def wake(self) -> None:
        self._event.set()

    def close(self) -> None:
        self.is_closed = True


class World:
    """A database, and a core that does what it is told; either may fail."""

    def __init__(self, tmp_path: Path, *roots: Path) -> None:
        environ = {"XDG_STATE_HOME": str(tmp_path / "state"), "DATA_DIR": os.pathsep.join(map(str, roots))}
        loaded = load({}, environ)
        self.rows = SteeringRows()
        self.ensured: list[list[bytes]] = []
        self.made: list[bytes] = []
        self.applied: list[tuple[list[str], list[str]]] = []
        self.adjusted: list[Settings] = []
        self.failures: list[BaseException] = []
        self.errors: list[Exception] = []
        self.unfinished = 0
        self.refusal: Exception | None = None
        self.planner = Planner(
            PlanConfig("me", loaded.layers, is_alone=True, problems_of_jobs=problems_of_jobs),
            self.read,
            self.ensure,
            make=self.make,
        )
        self.bell = Bell()
        self.steering = Steering(
            self.planner,
            loaded.settings,
            self.bell,
            SoleTenure(),
            self.apply,
            self.adjusted.append,
            lambda _, error: self.failures.append(error),
            CONFIG,
        )

    def read(self) -> SteeringRows:
        if self.errors:
            raise self.errors.pop()
        return self.rows

    def ensure(self, roots: Sequence[bytes]) -> None:
        self.ensured.append(list(roots))
        if self.refusal is not None:
            raise self.refusal
        others = [
            replace(row, origins={}) for row in self.rows.libraries if os.fsencode(row.path) not in roots
        ]
        ours = [
            LibraryRow(
                10 + n, f"n{n}", os.fsdecode(root), "production", is_watched=True, origins={"me": False}
            )
            for n, root in enumerate(roots)
        ]
        self.rows = replace(self.rows, libraries=(*others, *ours))

    def make(self, root: bytes, *, was_watched: bool) -> None:
        self.made.append(root)
        if self.refusal is not None:
            raise self.refusal

    def apply(self, wanted: Sequence[Watched], unwatched: Collection[Library] = ()) -> bool:
        self.applied.append(([each.library.name for each in wanted], [each.name for each in unwatched]))
        self.unfinished -= 1
        return self.unfinished < 0

    def change(self, *libraries: LibraryRow, **settings: str) -> None:
        before = len(self.applied)
        self.rows = SteeringRows({f"file_watch.{key}": value for key, value in settings.items()}, libraries)
        self.bell.wake()
        wait_for(lambda: len(self.applied) > before, "a round")

    def facts(self, name: str) -> list[str]:
        found: list[str] = self.steering.health().facts[name]
        return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    named = tmp_path / "named"
    named.mkdir()
    return World(tmp_path, named)


@pytest.fixture
def running(world: World) -> Iterator[World]:
    world.planner.plan()
    world.steering.start()
    wait_for(lambda: world.applied, "the first round")
    yield world
    world.steering.close()
    world.steering.close()
    assert world.steering.join(Deadline(10))
    assert world.bell.is_closed
    assert world.failures == []


def row(number: int, path: Path, *, is_watched: bool = True, **rules: str) -> LibraryRow:
    return LibraryRow(number, f"l{number}", str(path), "production", is_watched=is_watched, rules=rules)


def named_row(world: World) -> LibraryRow:
    return next(row for row in world.rows.libraries if row.origins)


# the first plan


def test_what_the_environment_names_gets_its_row_first(world: World, tmp_path: Path) -> None:
    plan = world.planner.plan()
    assert world.ensured == [[os.fsencode(tmp_path / "named")]]
    assert [each.library.id for each in plan.libraries] == [10]
    world.planner.plan()
    assert len(world.ensured) == 1, "only once"


def test_what_an_environment_named_before_is_given_back(tmp_path: Path, world: World) -> None:
    stale = LibraryRow(3, "old", "/old", "production", is_watched=True, origins={"me": False})
    world.planner.plan()
    world.rows = replace(world.rows, libraries=(stale, *world.rows.libraries))
    world.planner.plan()
    assert len(world.ensured) == 2


def test_a_row_that_cannot_be_made_stops_a_start_but_not_a_service(world: World, tmp_path: Path) -> None:
    world.refusal = CatalogError("their table takes no row")
    with pytest.raises(CatalogError, match="takes no row"):
        world.planner.plan()
    world.refusal = None
    world.planner.plan()
    world.refusal = CatalogError("their table takes no row")
    (tmp_path / "further").mkdir()
    world.rows = replace(world.rows, settings={"file_watch.directories": str(tmp_path / "further")})
    assert world.planner.plan().problems == ("their table takes no row",)


def test_a_missing_folder_is_made_once_where_that_is_wished(world: World, tmp_path: Path) -> None:
    missing = row(2, tmp_path / "later", create_missing="true")
    world.planner.plan()
    world.rows = replace(world.rows, libraries=(named_row(world), missing, row(3, tmp_path / "never")))
    for _ in range(2):
        world.planner.watched(plan := world.planner.plan(), {each.library.id for each in plan.libraries})
    assert world.made == [os.fsencode(tmp_path / "later")]


def test_a_named_folder_that_cannot_be_made_stops_a_start_and_another_is_waited_for(tmp_path: Path) -> None:
    world = World(tmp_path, tmp_path / "named")
    world.rows = SteeringRows({"file_watch.create_missing": "true"})
    plan = world.planner.plan()
    world.refusal = UsageError("read-only")
    with pytest.raises(UsageError):
        world.planner.watched(plan, {10})
    (tmp_path / "named").mkdir()
    world.planner.watched(plan, {10})
    world.rows = replace(world.rows, libraries=(named_row(world), row(2, tmp_path / "other")))
    with capture_logs() as logs:
        assert len(world.planner.watched(world.planner.plan(), {2, 10})) == 2
    assert [entry["event"] for entry in logs] == ["missing_folder_not_made"]


def test_only_what_is_ours_is_watched_and_candidates_say_who_wants_it(world: World, tmp_path: Path) -> None:
    world.planner.plan()
    gone = replace(row(4, tmp_path, is_watched=False), state="active")
    reserved = row(2, tmp_path / "b", instance="me")
    world.rows = replace(world.rows, libraries=(named_row(world), reserved, gone))
    plan = world.planner.plan()
    assert [
        (each.library_id, each.instance, each.is_named)
        for each in sorted(candidates_of(plan), key=lambda each: each.library_id)
    ] == [(2, "me", False), (4, None, False), (10, None, True)]
    assert [each.library.id for each in world.planner.watched(plan, {2})] == [2]


def test_what_is_left_to_be_sent_is_wanted_wherever_its_folder_is(world: World) -> None:
    world.planner.plan()
    world.rows = replace(world.rows, libraries=(named_row(world),), unsent=frozenset({10, 77}))
    plan = world.planner.plan()
    assert [each for each in candidates_of(plan) if each.library_id == 77] == [Candidate(77, b"/")]
    assert [each.library.id for each in world.planner.watched(plan, {10, 77})] == [10]


# while it runs


def test_changes_are_applied_and_the_same_rows_again_change_nothing(running: World, tmp_path: Path) -> None:
    other = row(2, tmp_path / "b", debounce_time="9s")
    running.change(named_row(running), other)
    assert running.applied[-1] == (["l2", "n0"], []) or running.applied[-1] == (["n0", "l2"], [])
    assert running.adjusted == [], "nothing of the process changed"
    running.change(*running.rows.libraries)
    assert sorted(running.applied[-1][0]) == ["l2", "n0"]


def test_settings_of_the_process_are_passed_on_and_those_for_the_next_start_are_told(running: World) -> None:
    with capture_logs() as logs:
        running.change(named_row(running), scan_workers="7", nice="5")
        wait_for(lambda: running.adjusted, "the settings")
        wait_for(lambda: running.facts("from_next_start"), "what waits")
        running.change(named_row(running), scan_workers="8", nice="5")
        wait_for(lambda: len(running.adjusted) == 2, "the settings again")
    assert [settings.watch.scan_workers for settings in running.adjusted] == [7, 8]
    assert running.facts("from_next_start") == ["nice"]
    told = [entry["setting"] for entry in logs if entry["event"] == "setting_waits_for_restart"]
    assert told == ["file_watch.nice"], "once"
    running.change(named_row(running))
    wait_for(lambda: running.facts("from_next_start") == [], "nothing to wait")


def test_what_is_refused_is_logged_once_and_shown_until_it_is_mended(running: World) -> None:
    with capture_logs() as logs:
        for _ in range(2):
            running.change(named_row(running), scan_workers="many")
        assert "'many'" in running.facts("refused")[0]
        assert "Refused: 1" in running.steering.health().detail
        running.change(named_row(running))
    assert running.steering.health().ok
    assert running.facts("refused") == []
    assert [entry["event"] for entry in logs] == ["setting_refused", "settings_accepted"]


def test_rules_for_jobs_that_cannot_be_used_are_refused(running: World, tmp_path: Path) -> None:
    running.change(
        named_row(running), row(2, tmp_path / "b", jobs="{not json"), row(3, tmp_path / "c", jobs="off")
    )
    (problem,) = running.facts("refused")
    assert "the rules of the library 'l2': jobs: " in problem


def test_what_could_not_be_done_is_done_soon(running: World, tmp_path: Path) -> None:
    running.unfinished = 2
    before = len(running.applied)
    running.change(named_row(running))
    wait_for(lambda: len(running.applied) >= before + 3, "two more tries")
    wait_for(lambda: running.bell.timeouts[-1] == CONFIG.seldom, "rest")


def test_whoever_asks_waits_for_a_round_that_began_afterwards_and_is_done(
    running: World, tmp_path: Path
) -> None:
    running.unfinished = 2
    running.rows = SteeringRows({}, (named_row(running), row(2, tmp_path / "b")))
    number = running.steering.ask()
    assert running.steering.wait_until_applied(number, 10)
    assert running.unfinished < 0, "the rounds that left something undone do not count"
    assert "l2" in running.applied[-1][0]


def test_nobody_is_told_that_all_holds_while_the_rows_cannot_be_read(running: World) -> None:
    running.errors = [CatalogUnavailable("away")] * 1_000
    assert not running.steering.wait_until_applied(running.steering.ask(), 0.3)
    running.errors.clear()
    assert running.steering.wait_until_applied(running.steering.ask(), 10)


@pytest.mark.parametrize("error", [CatalogUnavailable("away"), CatalogError("no right to read settings")])
def test_a_database_that_cannot_be_read_is_asked_again_and_all_stays(
    running: World, error: Exception
) -> None:
    before = len(running.applied)
    with capture_logs() as logs:
        running.errors = [error, error]
        running.bell.wake()
        wait_for(lambda: len(running.applied) > before, "the round after the outage")
    told = [entry["reason"] for entry in logs if entry["event"] == "steering_waits_for_database"]
    assert told == [str(error)], "once"


def test_trouble_is_shown_in_the_health(world: World) -> None:
    world.errors = [CatalogUnavailable("away")] * 1_000
    world.steering.start()
    wait_for(lambda: "away" in world.steering.health().detail, "the trouble")
    world.steering.close()
    assert world.steering.join(Deadline(10))


def test_that_a_library_is_unwatched_is_said_until_it_is_noted_and_then_no_more(
    running: World, tmp_path: Path
) -> None:
    unwatched = replace(row(2, tmp_path, is_watched=False), state="active")
    running.change(named_row(running), unwatched)
    wait_for(
        lambda: sum(gone == ["l2"] for _, gone in running.applied) == 2,
        "the round that sees whether it was noted",
    )
    wait_for(lambda: running.bell.timeouts[-1] == CONFIG.seldom, "rest, even where nobody noted it")


def test_a_library_whose_row_was_deleted_is_unwatched_and_then_forgotten(
    running: World, tmp_path: Path
) -> None:
    (tmp_path / "b").mkdir()
    kept = named_row(running)
    running.change(kept, row(2, tmp_path / "b"))
    running.change(kept)
    assert any(gone == ["l2"] for _, gone in running.applied)
    running.change(kept)
    assert running.applied[-1][1] == []


def test_the_stage_shows_what_it_is_at(running: World) -> None:
    wait_for(lambda: running.steering.progress().doing is None, "rest")
    assert running.steering.progress().stage == "fw-steer"
    steps = running.steering.progress().steps
    running.steering.wake()
    wait_for(lambda: running.steering.progress().steps > steps, "another round")


def test_while_something_is_left_to_be_sent_it_is_looked_at_again_soon(running: World) -> None:
    running.rows = replace(running.rows, unsent=frozenset({77}))
    running.bell.wake()
    wait_for(lambda: running.bell.timeouts[-1] == CONFIG.missing, "a sooner look")
    running.rows = replace(running.rows, unsent=frozenset())
    running.bell.wake()
    wait_for(lambda: running.bell.timeouts[-1] == CONFIG.seldom, "rest")
