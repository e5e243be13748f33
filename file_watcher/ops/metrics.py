"""The service's Prometheus metrics: what the stages report, and what is asked of them at scrape time.

Every metric lives in one registry of its own, so that several services in one process (tests) do not
meet. The stages' threads count; the threads of the HTTP server scrape; this module owns none.
"""

from __future__ import annotations

import time
from typing import Final
from wsgiref.types import WSGIApplication

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    make_wsgi_app,
)

from file_watcher.model import Library
from file_watcher.ops.gauges import CircuitSource, OutboxSource, QueueSource, ScrapedGauges, WatchesSource
from file_watcher.ops.process_usage import ProcessTreeCollector
from file_watcher.telemetry import Telemetry

STAGES: Final = ("watch", "debounce", "hash", "tags", "db", "enqueue")
"""The stages that count errors; each is there from the start, so that a rate can be taken of its first."""

_LATENCY_BUCKETS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0),
    *(3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
"""From what a confirm takes to ten minutes of outage; dense about the debounce window of 1 s."""

_CONFIRM_BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_COMMIT_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics(Telemetry):
    """Counts what the stages report and serves it in Prometheus' text format.

    The reports take about a microsecond each and never raise. `set_…_source` registers what is asked at
    scrape time; a source must answer at once, and one that raises costs only its own samples.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self._gauges = ScrapedGauges()
        self._count_pipeline()
        self._measure_pipeline()
        self.registry.register(self._gauges)
        self.registry.register(ProcessTreeCollector())

    def app(self) -> WSGIApplication:
        """The WSGI application that answers a scrape."""
        # Doubles every series otherwise, for a start time that process_start_time_seconds tells. It holds for
        # the whole process, so a program that only has a watcher inside itself keeps what it had.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        application: WSGIApplication = make_wsgi_app(self.registry)
        return application

    def set_outbox_source(self, source: OutboxSource) -> None:
        """Ask this for watcher_outbox_messages and watcher_outbox_oldest_seconds."""
        self._gauges.set_outbox_source(source)

    def set_queue_source(self, name: str, source: QueueSource) -> None:
        """Ask this for watcher_queue_depth{queue=name}."""
        self._gauges.set_queue_source(name, source)

    def set_circuit_source(self, source: CircuitSource) -> None:
        """Ask this for watcher_circuit_state."""
        self._gauges.set_circuit_source(source)

    def set_watches_source(self, source: WatchesSource) -> None:
        """Ask this for watcher_watches."""
        self._gauges.set_watches_source(source)

    def totals(self) -> dict[str, int]:
        """What was counted since the start, over all labels; takes some ten microseconds for each label."""
        counters = {
            "hints": self._events,
            "recorded": self._recorded,
            "unchanged": self._unchanged,
            "missed": self._missed,
            "merged": self._merged,
            "unrouted": self._unrouted,
            "hashed_bytes": self._hashed_bytes,
            "scans": self._scans,
            "errors": self._errors,
        }
        totals = {name: _sum_of(counter, "_total") for name, counter in counters.items()}
        return totals | {"published": _sum_of(self._confirms, "_count")}

    @property
    def last_recorded_ns(self) -> int | None:
        """When a message was last recorded; None where none has been."""
        return self._last_recorded_ns

    def _count_pipeline(self) -> None:
        self._last_recorded_ns: int | None = None
        self._events = self._counter(
            "watcher_events", "Hints that passed the filters.", "event", "type", "library"
        )
        self._recorded = self._counter(
            "watcher_enqueue", "Messages and jobs recorded in the outbox.", "queue", "type"
        )
        self._merged = self._counter(
            "watcher_outbox_merged", "Unsent messages merged into later ones during an outage."
        )
        self._unrouted = self._counter(
            "watcher_unrouted", "Messages kept as unrouted: no queue wanted them, or they were too large."
        )
        self._errors = self._counter("watcher_errors", "Errors by stage.", "stage")
        for stage in STAGES:
            self._errors.labels(stage)
        self._stuck = self._counter(
            "watcher_stage_stuck", "Stages that were found to make no progress.", "stage"
        )
        self._debounced = self._counter(
            "watcher_debounce_suppressed", "Hints that fell into an open debounce window."
        )
        self._unchanged = self._counter("watcher_unchanged", "Files whose content was the same after all.")
        self._missed = self._counter("watcher_missed", "Changes that only a periodic rescan found.")
        self._hashed_bytes = self._counter("watcher_hashed_bytes", "Bytes read and hashed.")
        self._hash_seconds = self._counter("watcher_hash_seconds", "Time spent on it, over all workers.")
        self._scans = self._counter("watcher_scans", "Scans that ended.", "library")
        self._rows = self._counter("watcher_committed_rows", "Rows and messages committed.")

    def _measure_pipeline(self) -> None:
        registry = self.registry
        self._scan_seconds = Gauge(
            "watcher_scan_seconds", "How long the last scan took.", ["library"], registry=registry
        )
        self._scan_files = Gauge(
            "watcher_scan_files", "Files that the last scan saw.", ["library"], registry=registry
        )
        self._commits = Histogram(
            "watcher_commit_seconds", "Time of a commit.", buckets=_COMMIT_BUCKETS, registry=registry
        )
        self._confirms = Histogram(
            "watcher_publish_seconds",
            "From hand-over to confirm.",
            buckets=_CONFIRM_BUCKETS,
            registry=registry,
        )
        self._latency = Histogram(
            "watcher_event_latency_seconds",
            "From the change to the confirm of its message.",
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def hint_seen(self, kind: str, library: Library) -> None:
        """See Telemetry."""
        self._events.labels(kind, _label(library.type), _label(library.name)).inc()

    def debounced(self, count: int = 1) -> None:
        """See Telemetry."""
        self._debounced.inc(_amount(count))

    def recorded(self, queue: str, message_type: str, count: int = 1) -> None:
        """See Telemetry."""
        self._recorded.labels(_label(queue), message_type).inc(_amount(count))
        self._last_recorded_ns = time.time_ns()

    def merged(self, count: int = 1) -> None:
        """See Telemetry."""
        self._merged.inc(_amount(count))

    def unchanged(self, count: int = 1) -> None:
        """See Telemetry."""
        self._unchanged.inc(_amount(count))

    def error(self, stage: str) -> None:
        """See Telemetry."""
        self._errors.labels(stage).inc()

    def hashed(self, size: int, seconds: float) -> None:
        """See Telemetry."""
        self._hashed_bytes.inc(_amount(size))
        self._hash_seconds.inc(_amount(seconds))

    def missed(self, count: int = 1) -> None:
        """See Telemetry."""
        self._missed.inc(_amount(count))

    def scanned(self, library: Library, seconds: float, files: int) -> None:
        """See Telemetry."""
        name = _label(library.name)
        self._scans.labels(name).inc()
        self._scan_seconds.labels(name).set(_amount(seconds))
        self._scan_files.labels(name).set(_amount(files))

    def committed(self, rows: int, seconds: float) -> None:
        """See Telemetry."""
        self._rows.inc(_amount(rows))
        self._commits.observe(_amount(seconds))

    def stage_stuck(self, stage: str) -> None:
        """See Telemetry."""
        self._stuck.labels(stage).inc()

    def published(self, seconds: float) -> None:
        """See Telemetry."""
        self._confirms.observe(_amount(seconds))

    def unrouted(self) -> None:
        """See Telemetry."""
        self._unrouted.inc()

    def delivered(self, seconds: float) -> None:
        """See Telemetry."""
        self._latency.observe(_amount(seconds))


def _sum_of(metric: Counter | Histogram, suffix: str) -> int:
    """Of all labels together."""
    samples = [sample for family in metric.collect() for sample in family.samples]
    return int(sum(sample.value for sample in samples if sample.name.endswith(suffix)))


def _label(text: str) -> str:
    """A label that UTF-8 can write: one bad name must not break the whole scrape."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _amount(value: float) -> float:
    """Never negative: clocks step back, and a counter raises where it should fall. NaN counts as 0."""
    return max(0.0, value)
