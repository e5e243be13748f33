"""Numbers that are asked for when somebody scrapes, instead of being kept up to date all the time.

The sources are set by the thread that builds the service and asked by the threads of the HTTP server;
this module owns none.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, TypeVar

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from file_watcher.errors import RetryableError

T = TypeVar("T")

log = structlog.get_logger(__name__)

WATCH_STATES: Final = ("active", "added", "removed", "polled")
CIRCUIT_STATES: Final = ("closed", "half_open", "open")

OutboxSource = Callable[[], tuple[int, float | None]]
"""Gives the number of unpublished messages and the age of the oldest in seconds (None: unknown)."""
QueueSource = Callable[[], int]
CircuitSource = Callable[[], Mapping[str, str]]
"""Gives the state of each dependency's circuit, of CIRCUIT_STATES, by the dependency's name."""
WatchesSource = Callable[[], Mapping[str, int]]
"""Gives numbers by state, of WATCH_STATES; a state that is left out is 0."""


class ScrapedGauges(Collector):
    """Asks its sources at every scrape. A source should answer at once: the scrape waits for it.

    A source that raises costs only its own samples, is logged and counted in watcher_scrape_errors_total.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._questions: dict[str, Callable[[], list[Metric]]] = {}
        self._queues: dict[str, QueueSource] = {}
        self._failures: Counter[str] = Counter()

    def set_outbox_source(self, source: OutboxSource) -> None:
        """Ask this for watcher_outbox_messages and watcher_outbox_oldest_seconds."""
        with self._lock:
            self._questions["outbox"] = lambda: _outbox_gauges(*source())

    def set_watches_source(self, source: WatchesSource) -> None:
        """Ask this for watcher_watches."""
        with self._lock:
            self._questions["watches"] = lambda: [_watches_gauge(source())]

    def set_circuit_source(self, source: CircuitSource) -> None:
        """Ask this for watcher_circuit_state."""
        with self._lock:
            self._questions["circuits"] = lambda: [_circuit_gauge(source())]

    def set_queue_source(self, name: str, source: QueueSource) -> None:
        """Ask this for watcher_queue_depth{queue=name}."""
        with self._lock:
            self._queues[name] = source

    def collect(self) -> Iterator[Metric]:
        """Ask all sources, none of them under the lock."""
        with self._lock:
            questions, queues = dict(self._questions), dict(self._queues)
        for name, question in questions.items():
            yield from self._answer(name, question)
        depths = GaugeMetricFamily("watcher_queue_depth", "Items waiting in a queue.", labels=["queue"])
        for name, depth in queues.items():
            for number in self._answer(name, partial(_one, depth)):
                depths.add_metric([name], float(number))
        yield depths
        # Last, so that a scrape shows the failures that it met itself.
        yield self._failure_counts()

    def _answer(self, name: str, question: Callable[[], list[T]]) -> list[T]:
        try:
            return question()
        except RetryableError as exc:
            log.debug("metrics_source_unavailable", source=name, reason=str(exc))
        except Exception:
            log.warning("metrics_source_failed", source=name, exc_info=True)
        with self._lock:
            self._failures[name] += 1
        return []

    def _failure_counts(self) -> Metric:
        counts = CounterMetricFamily(
            "watcher_scrape_errors", "Sources of gauges that could not be asked.", labels=["source"]
        )
        with self._lock:
            failures = dict(self._failures)
        for name, number in failures.items():
            counts.add_metric([name], float(number))
        return counts


def _one(source: QueueSource) -> list[int]:
    return [source()]


def _outbox_gauges(messages: int, oldest_seconds: float | None) -> list[Metric]:
    depth = GaugeMetricFamily(
        "watcher_outbox_messages", "Messages recorded and not yet confirmed.", float(messages)
    )
    age = 0.0 if messages == 0 else oldest_seconds
    if age is None:
        return [depth]
    oldest = GaugeMetricFamily("watcher_outbox_oldest_seconds", "Age of the oldest of them.", max(0.0, age))
    return [depth, oldest]


def _circuit_gauge(states: Mapping[str, str]) -> Metric:
    gauge = GaugeMetricFamily(
        "watcher_circuit_state", "1 for the state that a circuit is in.", labels=["dependency", "state"]
    )
    for dependency, state in states.items():
        for each in CIRCUIT_STATES:
            gauge.add_metric([dependency, each], float(each == state))
    return gauge


def _watches_gauge(numbers: Mapping[str, int]) -> Metric:
    gauge = GaugeMetricFamily("watcher_watches", "Watched folders by state.", labels=["state"])
    for state in WATCH_STATES:
        gauge.add_metric([state], float(numbers.get(state, 0)))
    return gauge
