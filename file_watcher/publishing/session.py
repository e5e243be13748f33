"""One connection to the broker, from the handshake to its loss, on the thread that calls `run`.

Everything but `submit`, `finish` and `abort` happens on that thread, inside pika's loop. Nothing may
escape a callback there: an exception in one of pika's callbacks would look like a lost connection, one
in a timer would leave the loop with its sockets open.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

import structlog
from pika.adapters.select_connection import IOLoop

from file_watcher.model import OutboxMessage
from file_watcher.publishing.broker import BrokerConfig, declaration
from file_watcher.publishing.bursts import BurstConnection
from file_watcher.publishing.job_routes import JobRoutes, WantedQueues, no_queues
from file_watcher.publishing.lane import Listener
from file_watcher.publishing.message import properties, queue_of_job
from file_watcher.publishing.outage import ConfirmsOverdue
from file_watcher.publishing.refusals import Refusals
from file_watcher.publishing.size import SizeLimit
from file_watcher.publishing.window import Window

log = structlog.get_logger(__name__)

_BURST: Final = 100
"""Publishes between two looks at the socket (about 6 ms), so that confirms and heartbeats are not kept waiting."""
_CLOSE_SECONDS: Final = 1.0
"""How long an orderly close may take before the transport is cut; a blocked broker never answers it."""
_REMIND_SECONDS: Final = 60.0
"""Between two lines about refused messages: a queue that stays full refuses some all the time."""
_CHECK_SECONDS: Final = 1.0

P = ParamSpec("P")


def _guarded(method: Callable[Concatenate[Session, P], None]) -> Callable[Concatenate[Session, P], None]:
    """Let a failure inside a callback end the session, not pika's loop."""

    @wraps(method)
    def call(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(session, *args, **kwargs)
        except Exception as exc:
            log.exception("broker_callback_failed")
            session.cut(exc)

    return call


class Session:
    """One attempt at one address: connects, declares, publishes, and says how it ended."""

    def __init__(
        self,
        config: BrokerConfig,
        instance_id: str,
        listener: Listener,
        parameters: Any,
        sizes: SizeLimit,
        beat: Callable[[], None] = lambda: None,
        job_queues: WantedQueues = no_queues,
    ) -> None:
        """`beat` is called once the connection is usable, and each second as long as it is."""
        self._job_queues = job_queues
        self._routes: JobRoutes | None = None
        self._held: list[OutboxMessage] = []
        self._beat = beat
        self._config = config
        self._sizes = sizes
        self._instance_id = instance_id
        self._listener = listener
        self._parameters = parameters
        self._inbox: deque[OutboxMessage] = deque()
        self._refusals = Refusals()
        self._refusal_told_at = float("-inf")
        self._pump_is_due = False
        self._window = Window()
        self._loop: Any = None
        self._connection: Any = None
        self._channel: Any = None
        self._error: BaseException | None = None
        self._patient_since = 0.0
        self._finish_is_asked = False
        self._finishing = False
        self.ready = False
        self.confirmed = 0
        self.blocked_reason: str | None = None

    # -- any thread ------------------------------------------------------------------------------

    @property
    def where(self) -> str:
        """Host, port and vhost, for people."""
        return str(self._config.endpoint)

    @property
    def unconfirmed(self) -> int:
        """How many messages were submitted and are neither confirmed nor returned."""
        return len(self._inbox) + len(self._held) + len(self._refusals) + len(self._window)

    @property
    def refused_key(self) -> str | None:
        """The routing key of what the broker keeps refusing (a queue rejects what it cannot hold)."""
        return self._refusals.lasting_key(time.monotonic())

    def submit(self, messages: Sequence[OutboxMessage]) -> None:
        """See `Lane.submit`. Wakes the loop once for a burst of calls."""
        self._inbox.extend(messages)
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.add_callback_threadsafe(self._pump)

    def finish(self) -> None:
        """Ask for an orderly close; an answer that does not come is not waited for. Never blocks."""
        self._finish_is_asked = True
        if self._loop is not None:  # else `run` has yet to make it, and looks at the flag afterwards
            self._loop.add_callback_threadsafe(self._finish)

    # -- the publisher's thread ------------------------------------------------------------------

    def run(self) -> BaseException | None:
        """Connect and publish until the connection ends. Blocks; returns why it ended (None: as asked)."""
        self._loop = IOLoop()
        self._parameters.stack_timeout = None  # see _give_up_connecting
        try:
            self._connection = BurstConnection(
                self._parameters,
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_closed,
                on_close_callback=self._on_closed,
                custom_ioloop=self._loop,
            )
            self._loop.call_later(self._config.connect_timeout, self._give_up_connecting)
            if self._finish_is_asked:
                self._finish()
            self._loop.start()
        except Exception as exc:  # pika's own callbacks are not guarded
            self._error = self._error or exc
            log.exception("broker_loop_failed")
        finally:
            self._release()
        return None if self._finishing else self._error

    def _release(self) -> None:
        """Give the socket and the loop's two descriptors back, whatever state pika is in."""
        try:
            if self._connection is not None and not self._connection.is_closed:
                self.cut(self._error or ConfirmsOverdue("released"))
                self._loop.call_later(_CLOSE_SECONDS, self._loop.stop)
                self._loop.start()
        except Exception:
            log.exception("broker_release_failed")
        finally:
            self._loop.close()

    def cut(self, error: BaseException) -> None:
        """End the connection at once, without a word to the broker."""
        self._error = self._error or error
        if self._connection is not None and not self._connection.is_closed:
            # pika has no public way to abort: close() waits for an answer that a blocked broker never gives
            self._connection._terminate_stream(error)  # noqa: SLF001

    def _leave(self, error: BaseException | None = None) -> None:
        """Close in order, and cut where the broker does not answer."""
        self._error = self._error or error
        if self._connection.is_closed:
            return
        if not self._connection.is_closing:
            self._connection.close()
        self._loop.call_later(_CLOSE_SECONDS, lambda: self.cut(ConfirmsOverdue("no answer to the close")))

    @_guarded
    def _finish(self) -> None:
        if self._connection is None or self._finishing:
            return
        self._finishing = True
        if self.blocked_reason is not None or not self._connection.is_open:
            self.cut(ConfirmsOverdue("closed"))  # the broker would not answer a close
        else:
            self._leave()

    def _on_closed(self, _connection: Any, error: BaseException) -> None:
        self._error = self._error or error
        self._loop.stop()

    @_guarded
    def _give_up_connecting(self) -> None:
        """Bound the whole way from TCP to confirm mode: pika's own timer stumbles over itself in the handshake."""
        if not self.ready:
            self.cut(TimeoutError("not ready in time"))

    @_guarded
    def _on_open(self, connection: Any) -> None:
        connection.add_on_connection_blocked_callback(self._on_blocked)
        connection.add_on_connection_unblocked_callback(self._on_unblocked)
        connection.channel(on_open_callback=self._on_channel)

    @_guarded
    def _on_channel(self, channel: Any) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        channel.add_on_return_callback(self._on_returned)
        if self._config.declare == "none":
            self._select_confirms(None)
            return
        channel.exchange_declare(**declaration(self._config), callback=self._select_confirms)

    @_guarded
    def _select_confirms(self, _declared: Any) -> None:
        self._channel.confirm_delivery(self._on_confirm, callback=self._on_ready)

    @_guarded
    def _on_ready(self, _selected: Any) -> None:
        self.ready = True
        self._patient_since = time.monotonic()
        self._loop.call_later(_CHECK_SECONDS, self._check_age)
        self._beat()
        self._routes = JobRoutes(
            self._config, self._job_queues, self._connection, self._publish_held, self._leave
        )
        self._routes.look()
        self._listener.on_ready(self)

    @_guarded
    def _on_channel_closed(self, _channel: Any, reason: BaseException) -> None:
        self._leave(reason)

    @_guarded
    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked_reason = str(frame.method.reason)
        log.warning("broker_blocked", where=self.where, reason=self.blocked_reason)

    @_guarded
    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked_reason = None
        self._patient_since = time.monotonic()
        log.info("broker_unblocked", where=self.where)

    @_guarded
    def _pump(self) -> None:
        """Publish what was submitted, a burst at a time."""
        self._pump_is_due = False
        if not self._channel.is_open:
            return
        with self._connection.burst():
            for _ in range(min(_BURST, len(self._inbox))):
                self._publish(self._inbox[0])
                self._inbox.popleft()
        if self._inbox and not self._pump_is_due:
            self._pump_is_due = True
            self._loop.add_callback_threadsafe(self._pump)

    def _publish(self, message: OutboxMessage) -> None:
        body = self._sizes.fit(message)
        if body is None:
            self._listener.on_set_aside([message])  # it would close the channel again, and hold up all others
            return
        exchange, key = self._config.exchange, message.routing_key
        if message.exchange is not None:
            if not self._routes_jobs(key):
                self._held.append(message)
                return
            exchange = self._config.jobs_exchange  # what is set now: the one of back then may be gone
        if message.queue is not None:
            exchange, key = "", message.queue  # the default exchange routes by the queue's name
        self._channel.basic_publish(
            exchange,
            key,
            body,
            properties(message, self._instance_id),
            mandatory=True,
        )
        self._window.add(message, time.monotonic())

    def _routes_jobs(self, key: str) -> bool:
        return self._routes is not None and self._routes.is_open(queue_of_job(key))

    @_guarded
    def _publish_held(self) -> None:
        held, self._held = self._held, []
        if held:
            self.submit(held)

    @_guarded
    def _on_returned(self, _channel: Any, _method: Any, returned: Any, _body: bytes) -> None:
        self._window.returned(returned.message_id)

    @_guarded
    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        if method.NAME == "Basic.Nack":
            self._retry_refused(method.delivery_tag, multiple=method.multiple)
            return
        routed, unrouted = self._window.acknowledge(method.delivery_tag, multiple=method.multiple)
        self.confirmed += len(routed) + len(unrouted)
        if self._refusals.is_active:
            self._try_again_in(self._refusals.taken([*routed, *unrouted]))
        if routed:
            self._listener.on_confirmed(routed)
        if unrouted:
            self._listener.on_unrouted(unrouted)

    def _retry_refused(self, tag: int, *, multiple: bool) -> None:
        """Publish again later. Two events of one path are never in flight together, so order is kept."""
        refused = self._window.refuse(tag, multiple=multiple)
        if refused:
            self._try_again_in(self._refusals.refused(refused, time.monotonic()))
            self._tell_refused(len(refused))

    def _try_again_in(self, seconds: float | None) -> None:
        if seconds is not None:
            self._loop.call_later(seconds, self._publish_refused)

    def _tell_refused(self, count: int) -> None:
        now = time.monotonic()
        if now - self._refusal_told_at >= _REMIND_SECONDS:
            self._refusal_told_at = now
            note = "they are published again until it takes them; a queue that is full must be drained"
            log.warning("publish_refused", where=self.where, count=count, note=note)

    @_guarded
    def _publish_refused(self) -> None:
        self.submit(self._refusals.take())

    @_guarded
    def _check_age(self) -> None:
        """Give up a connection that takes messages and confirms none, unless the broker said why."""
        self._beat()
        if self._routes is not None:
            self._routes.look()
        oldest = self._window.oldest()
        if oldest is not None and self.blocked_reason is None:
            waited = time.monotonic() - max(oldest, self._patient_since)
            if waited > self._config.confirm_timeout:
                self.cut(ConfirmsOverdue("no confirm in time"))
                return
        self._loop.call_later(_CHECK_SECONDS, self._check_age)
