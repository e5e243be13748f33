"""What the stages report, as Prometheus reads it."""

from __future__ import annotations

import math
import threading
import time
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from file_watcher.errors import CatalogUnavailable
from file_watcher.model import Library
from file_watcher.ops.metrics import STAGES, Metrics
from file_watcher.telemetry import Telemetry

MUSIC = Library(1, "music", "production", b"/data/music")


def scrape(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and sorted labels, read by the client library's own parser."""
    answered: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        answered.append(status)

    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "PATH_INFO": "/metrics", "QUERY_STRING": ""}
    text = b"".join(metrics.app()(environ, start_response)).decode()
    assert answered == ["200 OK"]
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scrape(metrics).get((name, tuple(sorted(labels.items()))))


def test_every_stage_has_its_error_counter_from_the_start() -> None:
    metrics = Metrics()
    assert STAGES == ("watch", "debounce", "hash", "tags", "db", "enqueue")
    assert [value(metrics, "watcher_errors_total", stage=stage) for stage in STAGES] == [0.0] * 6
    metrics.error("tags")
    assert value(metrics, "watcher_errors_total", stage="tags") == 1.0


def test_a_hint_is_counted_by_kind_library_type_and_library() -> None:
    metrics = Metrics()
    metrics.hint_seen("created", MUSIC)
    metrics.hint_seen("created", MUSIC)
    labels = {"event": "created", "type": "production", "library": "music"}
    assert value(metrics, "watcher_events_total", **labels) == 2.0


def test_recorded_messages_are_counted_by_queue_and_type() -> None:
    metrics = Metrics()
    metrics.recorded("file_events", "moved", 3)
    assert value(metrics, "watcher_enqueue_total", queue="file_events", type="moved") == 3.0


def test_plain_counters_follow_their_reports() -> None:
    metrics = Metrics()
    metrics.debounced(4)
    metrics.unchanged(2)
    metrics.merged(3)
    metrics.missed()
    metrics.unrouted()
    metrics.hashed(1_000, 0.5)
    metrics.committed(7, 0.02)
    found = scrape(metrics)
    assert {
        name: found[f"watcher_{name}_total", ()]
        for name in (
            "debounce_suppressed",
            "unchanged",
            "outbox_merged",
            "missed",
            "unrouted",
            "hashed_bytes",
            "hash_seconds",
            "committed_rows",
        )
    } == {
        "debounce_suppressed": 4.0,
        "unchanged": 2.0,
        "outbox_merged": 3.0,
        "missed": 1.0,
        "unrouted": 1.0,
        "hashed_bytes": 1_000.0,
        "hash_seconds": 0.5,
        "committed_rows": 7.0,
    }
    assert found["watcher_commit_seconds_count", ()] == 1.0


def test_a_scan_leaves_its_duration_and_its_count() -> None:
    metrics = Metrics()
    metrics.scanned(MUSIC, 2.0, 500)
    metrics.scanned(MUSIC, 1.5, 501)
    assert value(metrics, "watcher_scan_seconds", library="music") == 1.5
    assert value(metrics, "watcher_scan_files", library="music") == 501.0
    assert value(metrics, "watcher_scans_total", library="music") == 2.0


def test_latencies_fall_into_buckets_from_five_milliseconds_to_ten_minutes() -> None:
    metrics = Metrics()
    metrics.delivered(0.004)
    metrics.delivered(599.0)
    metrics.delivered(3_600.0)
    name = "watcher_event_latency_seconds_bucket"
    bounds = ("0.005", "300.0", "600.0", "+Inf")
    assert [value(metrics, name, le=bound) for bound in bounds] == [1.0, 1.0, 2.0, 3.0]
    metrics.published(0.002)
    assert value(metrics, "watcher_publish_seconds_count") == 1.0


@pytest.mark.parametrize("odd", [-5.0, math.nan])
def test_a_clock_that_stepped_back_neither_raises_nor_spoils_a_counter(odd: float) -> None:
    metrics = Metrics()
    metrics.hashed(-1, odd)
    metrics.delivered(odd)
    metrics.published(odd)
    metrics.committed(-1, odd)
    assert value(metrics, "watcher_hash_seconds_total") == 0.0
    assert value(metrics, "watcher_event_latency_seconds_sum") == 0.0


def test_a_library_with_a_name_that_utf8_cannot_write_does_not_break_the_scrape() -> None:
    metrics = Metrics()
    odd = Library(2, 'm\udcff"\n', "production", b"/data/m\xff")
    metrics.hint_seen("created", odd)
    labels = {"event": "created", "type": "production", "library": 'm?"\n'}
    assert value(metrics, "watcher_events_total", **labels) == 1.0


def test_no_series_tells_when_it_was_created() -> None:
    assert not [name for name, _ in scrape(Metrics()) if name.endswith("_created")]


def test_two_services_in_one_process_do_not_share_their_counts() -> None:
    first, second = Metrics(), Metrics()
    first.debounced()
    assert value(second, "watcher_debounce_suppressed_total") == 0.0


def test_every_report_of_the_stages_is_turned_into_a_metric() -> None:
    reports = {name for name in vars(Telemetry) if not name.startswith("_")}
    assert reports <= set(vars(Metrics))


def test_the_outbox_is_asked_at_every_scrape() -> None:
    metrics = Metrics()
    answers = iter([(3, 1.5), (0, None), (2, None)])
    metrics.set_outbox_source(lambda: next(answers))
    names = [("watcher_outbox_messages", ()), ("watcher_outbox_oldest_seconds", ())]
    found = [scrape(metrics) for _ in range(3)]
    assert [tuple(each.get(name) for name in names) for each in found] == [
        (3.0, 1.5),
        (0.0, 0.0),  # nothing waits
        (2.0, None),  # an unknown age is no number
    ]


def test_queues_and_watches_are_asked_at_the_scrape() -> None:
    metrics = Metrics()
    metrics.set_queue_source("work", lambda: 5)
    metrics.set_queue_source("decide", lambda: 0)
    metrics.set_watches_source(lambda: {"active": 17, "polled": 2})
    assert value(metrics, "watcher_queue_depth", queue="work") == 5.0
    assert value(metrics, "watcher_queue_depth", queue="decide") == 0.0
    states = ("active", "added", "removed", "polled")
    assert [value(metrics, "watcher_watches", state=state) for state in states] == [17.0, 0.0, 0.0, 2.0]


def test_a_circuit_is_in_one_of_its_states() -> None:
    metrics = Metrics()
    metrics.set_circuit_source(lambda: {"broker": "half_open"})
    states = ("closed", "half_open", "open")
    found = [value(metrics, "watcher_circuit_state", dependency="broker", state=state) for state in states]
    assert found == [0.0, 1.0, 0.0]


def test_a_database_that_is_away_costs_the_outbox_its_samples_without_a_traceback() -> None:
    def away() -> tuple[int, float | None]:
        raise CatalogUnavailable("the database is away")

    metrics = Metrics()
    metrics.set_outbox_source(away)
    with capture_logs() as logs:
        assert value(metrics, "watcher_scrape_errors_total", source="outbox") == 1.0
    assert [each["log_level"] for each in logs] == ["debug"]


def test_a_source_that_raises_costs_only_its_own_samples_and_is_counted() -> None:
    metrics = Metrics()

    def fail() -> Any:
        raise RuntimeError("database is away")

    metrics.set_outbox_source(fail)
    metrics.set_watches_source(lambda: {"active": "many"})  # type: ignore[dict-item]
    metrics.set_queue_source("work", fail)
    metrics.set_queue_source("decide", lambda: 1)
    with capture_logs() as logs:
        found = scrape(metrics)
    assert ("watcher_outbox_messages", ()) not in found
    assert found["watcher_queue_depth", (("queue", "decide"),)] == 1.0
    for source in ("outbox", "watches", "work"):
        assert found["watcher_scrape_errors_total", (("source", source),)] == 1.0
    assert [line["source"] for line in logs if line["event"] == "metrics_source_failed"] == [
        "outbox",
        "watches",
        "work",
    ]


def test_a_source_may_be_set_while_others_are_being_asked() -> None:
    metrics = Metrics()

    def add_another() -> int:
        adding = threading.Thread(target=metrics.set_queue_source, args=("late", lambda: 1))
        adding.start()
        adding.join(5)
        assert not adding.is_alive(), "a source was asked under the lock"
        return 1

    metrics.set_queue_source("work", add_another)
    assert value(metrics, "watcher_queue_depth", queue="work") == 1.0
    assert value(metrics, "watcher_queue_depth", queue="late") == 1.0


def test_the_totals_are_sums_over_all_labels() -> None:
    metrics = Metrics()
    assert set(metrics.totals().values()) == {0}
    assert not metrics.last_recorded_ns
    before = time.time_ns()
    metrics.hint_seen("created", MUSIC)
    metrics.hint_seen("deleted", MUSIC)
    metrics.recorded("file_events", "created", 3)
    metrics.recorded("file_events", "deleted")
    metrics.error("tags")
    metrics.hashed(1_000, 0.1)
    metrics.published(0.1)
    metrics.published(0.2)
    told = {name: total for name, total in metrics.totals().items() if total}
    assert told == {"hints": 2, "recorded": 4, "errors": 1, "hashed_bytes": 1_000, "published": 2}
    assert before <= (metrics.last_recorded_ns or 0) <= time.time_ns()
