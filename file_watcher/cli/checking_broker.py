"""The part of `check` that asks the broker: the one that is set here, or that of the service that runs already."""

from __future__ import annotations

from collections.abc import Iterator

from file_watcher.cli.findings import Finding, ok, problem, warning
from file_watcher.cli.in_use import InUse, is_broker_given, target_here
from file_watcher.cli.places import catalog_url
from file_watcher.errors import FileWatcherError
from file_watcher.settings import Loaded

_KEPT = "until then events are kept in the catalog, and delivered later"


def check_broker(loaded: Loaded, running: InUse | None) -> Iterator[Finding]:
    """The findings about the broker and, where libraries have rules for them, about its exchange of jobs.

    Where the running service uses another one, that is told; the broker that is set here is then asked only
    if somebody has set one.
    """
    differing = [] if running is None else running.differing(target_here(loaded.settings))
    if running is not None and differing:
        yield _about_the_other(loaded, running, differing)
        if not is_broker_given(loaded):
            return
    yield from _ask(loaded)


def _about_the_other(loaded: Loaded, running: InUse, differing: list[str]) -> Finding:
    trouble = running.broker_trouble()
    who, here = f"the running service ({running.name})", target_here(loaded.settings)
    if trouble:
        return problem("broker", f"{who} cannot publish to {running.target}: {trouble}")
    state = "" if trouble is None else " and is connected"
    set_here = (
        f"what is set here leads to {here}" if is_broker_given(loaded) else f"no broker is set here ({here})"
    )
    mend = (
        f"set the same {' and '.join(differing)} here, for `consume` and `replay`; the service needs nothing"
    )
    return warning("broker", f"{who} uses {running.target}{state}; {set_here}", mend)


def _ask(loaded: Loaded) -> Iterator[Finding]:
    from file_watcher.part_configs import broker_config
    from file_watcher.publishing.consume import probe, probe_jobs

    try:
        config = broker_config(loaded.settings)
        events = probe(config)
        # Asked twice in vain, a broker that is away would take twice as long to say nothing new.
        jobs = probe_jobs(config) if events.facts.get("answers") and _has_jobs(loaded) else None
    except FileWatcherError as exc:
        yield problem("broker", str(exc))
        return
    yield ok("broker", events.detail) if events.ok else problem("broker", events.detail, _KEPT)
    if jobs is None:
        return
    if jobs.ok:
        yield ok("broker, jobs", jobs.detail)
    else:
        mend = "until then jobs and the events behind them are kept in the catalog, and delivered later"
        yield problem("broker, jobs", jobs.detail, mend)


def _has_jobs(loaded: Loaded) -> bool:
    """Whether a library that would be watched has rules for jobs; not known where the catalog cannot be read."""
    from file_watcher.catalog.database import Database
    from file_watcher.catalog.schema import report
    from file_watcher.catalog.steering import read_steering
    from file_watcher.jobs.rules import jobs_of, problems_of_jobs
    from file_watcher.planning import LastGood, PlanConfig, make_plan

    database = Database(catalog_url(loaded.settings))
    if database.path is not None and not database.path.exists():
        return False  # what the environment names is of a type that has none by default
    try:
        database.open()
        if report(database).state != "current":
            return False
        rows = read_steering(database)
    except FileWatcherError:  # told by the catalog's own check
        return False
    finally:
        database.close()
    config = PlanConfig(
        loaded.settings.instance_id or "",
        loaded.layers,
        is_alone=database.is_sqlite,
        problems_of_jobs=problems_of_jobs,
    )
    plan = make_plan(config, rows, LastGood())
    return any(jobs_of(each.library.type, each.jobs) for each in plan.libraries)
