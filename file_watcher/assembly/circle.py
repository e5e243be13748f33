"""The whole circle: builds the parts of the service out of the settings and joins them. Starts nothing.

The modules beside this one build the parts of one concern each; here stands who knows whom.
"""

from __future__ import annotations

from dataclasses import replace

from file_watcher.assembly.attending import desk_on, house_on, show
from file_watcher.assembly.chosen import Chosen
from file_watcher.assembly.deciding import deciding_on
from file_watcher.assembly.examining import Sink, examining_on, sight_on
from file_watcher.assembly.noticing import keeper_on, memory_on, scans_on, scheduler_on
from file_watcher.assembly.parts import Parts
from file_watcher.assembly.sending import expecting, jobs_on, publisher_on, sending_on, serve_for
from file_watcher.assembly.steered import (
    adjusting,
    follow,
    owner_of,
    planner_of,
    steering_by,
    watched_first,
)
from file_watcher.assembly.surroundings import Ground, Surroundings
from file_watcher.barrier import Barrier
from file_watcher.catalog.store import CatalogStore
from file_watcher.fleet import Fleet
from file_watcher.outlet import Backlog
from file_watcher.part_configs import kept_as, longest_wait
from file_watcher.roster import Roster
from file_watcher.tenure import tenure_over


def assemble(at: Surroundings) -> Parts:
    """Build and join all parts. Reads and writes the catalog's libraries; raises CatalogUnavailable."""
    planner = planner_of(at)
    plan = None if planner is None else planner.plan()
    if plan is not None:
        at = replace(at, settings=plan.settings)

    # What is ours decides what is watched, sent and closed; all of that may change while it runs.
    roster = Roster()
    tenure, leases = tenure_over(
        at.database,
        at.instance_id,
        in_use=lambda number: roster.get(number) is not None,
        on_held=lambda held: serve_for(held, sending, jobs),
        on_changed=lambda: follow(steering, chosen),
        on_failure=at.on_failure,
    )
    ground = Ground(at, roster, tenure, leases, CatalogStore(at.database, leases=leases))
    sending = sending_on(ground)
    jobs = jobs_on(ground, sending)
    chosen = Chosen(at, tenure, lambda wanted: fleet.apply(wanted), expecting(ground, sending))  # noqa: PLW0108
    watched = watched_first(planner, plan, chosen, tenure)
    for each in watched:
        roster.put(each)
    own = owner_of(ground, sending, jobs)
    own(watched)
    publisher = publisher_on(ground, sending)

    # The pipeline is a circle: what the decider wants to have looked at goes back to the scheduler.
    sight = sight_on(ground)
    scheduler = scheduler_on(
        ground,
        lambda ticket, timeout: examining.pool.put(ticket, timeout),  # noqa: PLW0108 - built below
        lambda ticket: scans.request_folder(ticket),  # noqa: PLW0108 - built below
    )
    deciding = deciding_on(ground, sight.eye, scheduler, sending, jobs)
    sink = Sink(deciding, scheduler, Backlog.of(at.outlet, sending.fresh()))
    examining = examining_on(ground, sight, sink)
    memory = memory_on(ground, sight, sending, deciding)
    keeper = keeper_on(ground, watched, sight, scheduler, memory)
    barrier = Barrier(
        keeper,
        scheduler,
        deciding,
        sending.outbox,
        sending.relay,
        lambda: longest_wait(roster),
        lambda: steering,
    )
    scans = scans_on(ground, sight, scheduler, barrier, keeper)

    # Around the circle: who asks it, and who changes what it works on.
    desk, instances = desk_on(ground, sending, keeper, barrier)
    house = house_on(ground, sending)
    show(at.metrics, sending, examining.pool, deciding, scheduler, scans, keeper)
    fleet = Fleet(roster, keeper, kept_as, deciding.finish_round, own, memory.say_goodbye)
    adjust = adjusting(examining, deciding, scheduler, scans, sending)
    steering = steering_by(planner, ground, fleet, adjust)
    return Parts(
        fleet=fleet,
        chosen=chosen,
        pool=examining.pool,
        tags=examining.tags,
        deciding=deciding,
        scheduler=scheduler,
        scans=scans,
        keeper=keeper,
        relay=sending.relay,
        publisher=publisher,
        desk=desk,
        house=house,
        instances=instances,
        jobs=jobs,
        steering=steering,
        tenure=tenure,
    )
