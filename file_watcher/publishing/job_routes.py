"""What jobs need at the broker: their exchange, and the queues that rules ask for. One session's, on its thread.

Everything happens on a channel of its own, since RabbitMQ closes the channel over a queue that is missing or another
one than ours, and events must not suffer for that. A queue that stands is taken as it is, and only bound; what the
broker refuses is told, and the jobs go to whatever is bound. Only an exchange that cannot be had ends the session,
as the one of events does: jobs are kept then, and the outage says why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

import structlog
from pika.exceptions import ChannelClosedByBroker

from file_watcher.publishing.broker import BrokerConfig, declaration_of_jobs

log = structlog.get_logger(__name__)

QueueArguments = Mapping[str, str | int | bool]
WantedQueues = Callable[[], Mapping[str, QueueArguments]]
"""The queues that rules want declared now, with their arguments. Called on the publisher's thread; must not block."""

_NOT_FOUND: Final = 404
_KIND: Final = "x-queue-type"
_ONLY_QUORUM: Final = (_KIND, "x-delivery-limit")
_REFUSED_KIND: Final = (406, 540)
"""Precondition failed, not implemented (AMQP 0-9-1, section 1.2): brokers without quorum queues."""

P = ParamSpec("P")


def no_queues() -> Mapping[str, QueueArguments]:
    """Nothing is to be declared."""
    return {}


def _guarded(method: Callable[Concatenate[JobRoutes, P], None]) -> Callable[Concatenate[JobRoutes, P], None]:
    """Let a failure inside a callback end the session, not pika's loop."""

    @wraps(method)
    def call(routes: JobRoutes, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(routes, *args, **kwargs)
        except Exception as exc:
            log.exception("job_routes_failed")
            routes.on_impossible(exc)

    return call


class JobRoutes:
    """Declares step by step; whoever publishes asks `is_open` and waits for `on_open`."""

    def __init__(
        self,
        config: BrokerConfig,
        wanted: WantedQueues,
        connection: Any,
        on_open: Callable[[], None],
        on_impossible: Callable[[BaseException], None],
    ) -> None:
        """`on_open()` after each queue that was settled; `on_impossible(reason)` where there is no exchange."""
        self._config = config
        self._wanted = wanted
        self._connection = connection
        self._on_open = on_open
        self.on_impossible = on_impossible
        self._has_exchange = config.declare == "none"
        self._settled: set[str] = set()
        self._asked: deque[str] = deque()
        self._channel: Any = None
        self._is_busy = False
        self._may_be_missing = False
        self._arguments: QueueArguments = {}

    def look(self) -> None:
        """Begin with what rules want and is not settled yet."""
        for queue in self._wanted():
            self.is_open(queue)

    def is_open(self, queue: str) -> bool:
        """Whether jobs for this queue may be published. Where not, it is seen to; `on_open` follows."""
        if queue in self._settled:
            return True
        if queue not in self._asked:
            self._asked.append(queue)
        if not self._is_busy:
            self._is_busy = True
            self._open_channel()
        return False

    def _open_channel(self) -> None:
        self._connection.channel(on_open_callback=self._on_channel)

    @_guarded
    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_closed)
        if self._has_exchange:
            self._next_queue()
        else:
            channel.exchange_declare(**declaration_of_jobs(self._config), callback=self._on_exchange)

    @_guarded
    def _on_exchange(self, _declared: Any) -> None:
        self._has_exchange = True
        self._next_queue()

    def _next_queue(self) -> None:
        """See whether the queue stands, where it is to be declared."""
        while self._asked:
            arguments = self._wanted().get(self._asked[0])
            if arguments is not None and self._config.declare == "active":
                self._arguments = arguments
                self._may_be_missing = True
                self._channel.queue_declare(self._asked[0], passive=True, callback=self._on_queue)
                return
            self._settle()
        self._is_busy = False
        channel, self._channel = self._channel, None
        channel.close()

    @_guarded
    def _on_queue(self, _declared: Any) -> None:
        self._may_be_missing = False
        queue = self._asked[0]
        self._channel.queue_bind(queue, self._config.jobs_exchange, f"{queue}.#", callback=self._on_bound)

    @_guarded
    def _on_bound(self, _bound: Any) -> None:
        log.info("job_queue_ready", queue=self._asked[0], exchange=self._config.jobs_exchange)
        self._settle()
        self._next_queue()

    @_guarded
    def _on_closed(self, channel: Any, reason: BaseException) -> None:
        if channel is not self._channel or not self._connection.is_open:
            return  # closed by ourselves, or with the whole connection
        if not self._has_exchange:
            self.on_impossible(reason)
            return
        code = reason.reply_code if isinstance(reason, ChannelClosedByBroker) else 0
        if self._may_be_missing and code == _NOT_FOUND:
            self._may_be_missing = False
            self._declare()
        elif code in _REFUSED_KIND and _KIND in str(reason) and _KIND in self._arguments:
            self._arguments = {key: each for key, each in self._arguments.items() if key not in _ONLY_QUORUM}
            self._declare()
        else:
            self._tell_refused(reason)
            self._settle()
            self._open_channel()

    def _declare(self) -> None:
        """Make the queue, on a new channel."""
        self._connection.channel(on_open_callback=self._on_channel_to_declare)

    @_guarded
    def _on_channel_to_declare(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_closed)
        arguments = dict(self._arguments)
        channel.queue_declare(self._asked[0], durable=True, arguments=arguments, callback=self._on_queue)

    def _settle(self) -> None:
        self._settled.add(self._asked.popleft())
        self._on_open()

    def _tell_refused(self, reason: BaseException) -> None:
        log.error(
            "job_queue_refused",
            queue=self._asked[0],
            exchange=self._config.jobs_exchange,
            reason=str(getattr(reason, "reply_text", reason)),
            effect="its jobs go to whatever is bound to the exchange; without a queue they are kept as unrouted",
            note="grant the right, mend the rule's declare, or make the queue yourself and bind it to the exchange",
        )
