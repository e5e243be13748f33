"""Subscribing to the events from the command line, and asking whether the broker can be used at all.

Everything here runs and blocks on the caller's thread, with pika's blocking connection.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import pika
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.exceptions import AMQPError, ChannelClosedByBroker

from file_watcher.errors import BrokerUnavailable, PermanentError
from file_watcher.model import Health
from file_watcher.publishing.broker import (
    BrokerConfig,
    connection_parameters,
    declaration,
    declaration_of_jobs,
    quiet_pika,
    resolve,
)
from file_watcher.publishing.outage import Outage, explain

Properties = Mapping[str, Any]
"""message_id, type, timestamp (s), app_id, content_type, redelivered, and the headers as a mapping."""

OnMessage = Callable[[str, bytes, Properties], None]
"""Called with routing key, body and properties; the message is acknowledged once it has returned."""

_LOOK_SECONDS: Final = 0.2
"""How soon a set stop event is noticed while no message comes."""
_PREFETCH: Final = 100
_NOT_FOUND, _LOCKED = 404, 405
"""Reply codes of AMQP 0-9-1 (section 1.2): there is no such thing; another connection keeps it for itself."""
_NOT_RUN_YET: Final = "file_watcher has not run against this broker yet (start it once), or RABBITMQ_EXCHANGE or the vhost is another one"
_NOT_MADE_HERE: Final = (
    "make it (type topic, durable), since RABBITMQ_DECLARE says that file_watcher must not, or "
    "RABBITMQ_JOBS_EXCHANGE or the vhost is another one"
)
_CONNECT_ERRORS: Final = (AMQPError, AMQPConnectorException, OSError)


def consume(
    config: BrokerConfig,
    routing_keys: Sequence[str],
    queue: str | None,
    on_message: OnMessage,
    stop: threading.Event,
    count: int | None = None,
    *,
    jobs: bool = False,
    on_subscribed: Callable[[], None] | None = None,
) -> int:
    """Hand over messages until `stop` is set or `count` were handled; returns how many.

    Without a `queue` an exclusive one is made, bound to the exchange (of events; or of `jobs`) by `routing_keys`
    (topic patterns) and gone afterwards: only what is published from then on is seen. A named queue must exist
    and is read as it is bound. `on_subscribed` is called once messages can no longer be missed. Blocks.

    Raises PermanentError where the exchange or queue is missing or not allowed, BrokerUnavailable where
    the broker is away or goes away. What `on_message` raises is passed on; its message is delivered again.
    """
    with _channel(config) as channel:
        if queue is not None:
            source = _known(channel, config, queue)
        elif jobs:
            source = _queue_of_jobs(channel, config, routing_keys)
        else:
            source = _private_queue(channel, config, config.exchange, routing_keys, _NOT_RUN_YET)
        channel.basic_qos(prefetch_count=_PREFETCH)
        if on_subscribed is not None:
            on_subscribed()
        return _deliver(channel, source, on_message, stop, count)


def has_queue(config: BrokerConfig, queue: str) -> bool:
    """Whether the broker has a queue of that name, also one that only another connection may read. Blocks.

    Raises BrokerUnavailable where the broker is away, PermanentError where it does not tell us.
    """
    with _channel(config) as channel:
        try:
            channel.queue_declare(queue, passive=True)
        except ChannelClosedByBroker as exc:
            if exc.reply_code == _NOT_FOUND:
                return False
            if exc.reply_code != _LOCKED:
                raise _translated(explain(exc, config)) from exc
    return True


def probe(config: BrokerConfig) -> Health:
    """Whether the broker lets us in and has the exchange as we need it (a missing one is not made here).

    Blocks. Does not raise for what is wrong with the broker: the sentence says what it is and how to mend it. The
    fact `answers` tells whether it let us in.
    """
    return _probe(config, declaration(config))


def probe_jobs(config: BrokerConfig) -> Health:
    """The same for the exchange of jobs, which is of use where a library has rules for jobs."""
    return _probe(config, declaration_of_jobs(config))


def _probe(config: BrokerConfig, wanted: Mapping[str, Any]) -> Health:
    at, exchange = config.endpoint, wanted["exchange"]
    facts = {"where": str(at), "exchange": exchange, "answers": False}
    try:
        with _channel(config) as channel:
            facts["answers"] = True
            try:
                channel.exchange_declare(exchange, passive=True)
                if config.declare == "active":
                    channel.exchange_declare(**wanted)
            except ChannelClosedByBroker as exc:
                return _probed(exc, config, facts)
    except (BrokerUnavailable, PermanentError) as exc:
        return Health("broker", ok=False, detail=str(exc), facts=facts)
    return Health("broker", ok=True, detail=f"RabbitMQ answers at {at} and has {exchange!r}", facts=facts)


def _probed(error: ChannelClosedByBroker, config: BrokerConfig, facts: dict[str, Any]) -> Health:
    if error.reply_code == _NOT_FOUND and config.declare == "active":
        detail = (
            f"RabbitMQ answers at {config.endpoint}; exchange {facts['exchange']!r} "
            "will be made at the first run"
        )
        return Health("broker", ok=True, detail=detail, facts=facts)
    return Health("broker", ok=False, detail=explain(error, config).sentence, facts=facts)


@contextmanager
def _channel(config: BrokerConfig) -> Iterator[Any]:
    """A channel on a connection of its own, closed in the end; pika's errors become ours."""
    quiet_pika()
    try:
        connection = _connect(config)
    except _CONNECT_ERRORS as exc:
        raise _translated(explain(exc, config)) from exc
    try:  # an OSError in here is the caller's own: a closed pipe behind the command, for instance
        yield connection.channel()
    except AMQPError as exc:
        raise _translated(explain(exc, config)) from exc
    finally:
        if connection.is_open:
            connection.close()


def _connect(config: BrokerConfig) -> Any:
    """Try each address of the host; the last one's error is raised."""
    *others, last = resolve(config.endpoint)
    for address in others:
        try:
            return pika.BlockingConnection(connection_parameters(config, address, "file_watcher command"))
        except _CONNECT_ERRORS:
            continue
    return pika.BlockingConnection(connection_parameters(config, last, "file_watcher command"))


def _translated(outage: Outage) -> BrokerUnavailable | PermanentError:
    return PermanentError(outage.sentence) if outage.lasting else BrokerUnavailable(outage.sentence)


def _queue_of_jobs(channel: Any, config: BrokerConfig, routing_keys: Sequence[str]) -> str:
    """The service makes this exchange with its first job, which would be missed if nobody else could."""
    if config.declare == "active":
        channel.exchange_declare(**declaration_of_jobs(config))
    return _private_queue(channel, config, config.jobs_exchange, routing_keys, _NOT_MADE_HERE)


def _private_queue(
    channel: Any, config: BrokerConfig, exchange: str, routing_keys: Sequence[str], missing: str
) -> str:
    """An exclusive queue; `missing` says why there may be no such exchange, and what to do."""
    name = str(channel.queue_declare("", exclusive=True, auto_delete=True).method.queue)
    try:
        for key in routing_keys or ("#",):
            channel.queue_bind(name, exchange, key)
    except ChannelClosedByBroker as exc:
        if exc.reply_code != _NOT_FOUND:
            raise
        raise PermanentError(
            f"RabbitMQ at {config.endpoint} has no exchange {exchange!r}: {missing}"
        ) from exc
    return name


def _known(channel: Any, config: BrokerConfig, queue: str) -> str:
    try:
        channel.queue_declare(queue, passive=True)
    except ChannelClosedByBroker as exc:
        if exc.reply_code == _NOT_FOUND:
            words = f"has no queue {queue!r}: create and bind it first, or name none to get one of your own"
        elif exc.reply_code == _LOCKED:
            words = f"keeps queue {queue!r} for another connection: it is exclusive"
        else:
            words = f"refused queue {queue!r}: {exc.reply_text}"
        raise PermanentError(f"RabbitMQ at {config.endpoint} {words}") from exc
    return queue


def _deliver(
    channel: Any, queue: str, on_message: OnMessage, stop: threading.Event, count: int | None
) -> int:
    handled = 0
    for method, properties, body in channel.consume(queue, inactivity_timeout=_LOOK_SECONDS):
        if method is not None:
            on_message(method.routing_key, body, _as_mapping(method, properties))
            channel.basic_ack(method.delivery_tag)
            handled += 1
        if stop.is_set() or handled == count:
            return handled
    raise PermanentError(f"queue {queue!r} was deleted while it was read")


def _as_mapping(method: Any, properties: Any) -> Properties:
    return {
        "message_id": properties.message_id,
        "type": properties.type,
        "timestamp": properties.timestamp,
        "app_id": properties.app_id,
        "content_type": properties.content_type,
        "redelivered": method.redelivered,
        "headers": dict(properties.headers or {}),
    }
