"""Says in plain words why the broker cannot be used, and how to mend it.

Pure: it only reads the exceptions that pika, the socket layer and TLS raise.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pika import exceptions
from pika.adapters.utils import connection_workflow

from file_watcher.errors import BrokerUnavailable
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.size import limit_in


@dataclass(frozen=True, slots=True)
class Outage:
    """Why messages cannot be published. `lasting` means that trying again soon is no use."""

    kind: str
    sentence: str
    lasting: bool = False


class ConfirmsOverdue(BrokerUnavailable):
    """The broker took messages but did not confirm them in time."""


def explain(error: BaseException, config: BrokerConfig) -> Outage:
    """The outage behind an exception of a connection attempt or of a lost connection."""
    causes = list(_causes(error))
    for cause in causes:
        for kind, explanation in _EXPLANATIONS:
            if isinstance(cause, kind):
                return explanation(cause, config)
    name = type(causes[-1]).__name__
    return Outage("other", f"the connection to RabbitMQ at {config.endpoint} failed: {name}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and what pika wrapped in it, outermost first."""
    while True:
        yield error
        inner: object = getattr(error, "exception", None)
        if isinstance(error, connection_workflow.AMQPConnectionWorkflowFailed):
            inner = error.exceptions[-1]
        elif inner is None and error.args:
            inner = error.args[0]
        if not isinstance(inner, BaseException):
            return
        error = inner


def _name(_cause: BaseException, config: BrokerConfig) -> Outage:
    host = config.endpoint.host
    return Outage("name", f"the host name {host} is not known here: check RABBITMQ_URL or the DNS")


def _refused(_cause: BaseException, config: BrokerConfig) -> Outage:
    at = config.endpoint
    return Outage("refused", f"nothing listens at {at}: start RabbitMQ there, or set RABBITMQ_URL")


def _tls(cause: BaseException, config: BrokerConfig) -> Outage:
    reason = getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or "handshake failed"
    sentence = f"TLS with RabbitMQ at {config.endpoint} failed ({reason}): check RABBITMQ_CA_FILE and the certificates"
    return Outage("tls", sentence, lasting=True)


def _silent(_cause: BaseException, config: BrokerConfig) -> Outage:
    return Outage(
        "silent", f"RabbitMQ at {config.endpoint} did not answer within {config.connect_timeout:g} s"
    )


def _unconfirmed(_cause: BaseException, config: BrokerConfig) -> Outage:
    sentence = f"RabbitMQ at {config.endpoint} confirmed nothing for {config.confirm_timeout:g} s"
    return Outage("unconfirmed", sentence)


def _file(cause: BaseException, config: BrokerConfig) -> Outage:
    reason = getattr(cause, "strerror", None)
    files = "RABBITMQ_CA_FILE, RABBITMQ_CERT_FILE and RABBITMQ_KEY_FILE"
    sentence = f"a file for TLS with RabbitMQ at {config.endpoint} cannot be read ({reason}): check {files}"
    return Outage("tls", sentence, lasting=True)


def _network(cause: BaseException, config: BrokerConfig) -> Outage:
    reason = getattr(cause, "strerror", None) or type(cause).__name__
    return Outage("network", f"RabbitMQ at {config.endpoint} cannot be reached: {reason}")


def _auth(cause: BaseException, config: BrokerConfig) -> Outage:
    at = config.endpoint
    if not _told_by_broker(cause):
        return _lost(cause, config)
    sentence = f"RabbitMQ at {at} refused user {at.user!r}: check the name and the password in RABBITMQ_URL"
    return Outage("auth", sentence, lasting=True)


def _access(cause: BaseException, config: BrokerConfig) -> Outage:
    at = config.endpoint
    if not _told_by_broker(cause):
        return _lost(cause, config)
    if "not found" in str(cause):
        sentence = (
            f"RabbitMQ at {at.host}:{at.port} has no vhost {at.vhost!r}: create it, or mend RABBITMQ_URL"
        )
        return Outage("vhost", sentence, lasting=True)
    sentence = f"RabbitMQ at {at} does not let user {at.user!r} into this vhost: grant the permissions"
    return Outage("permission", sentence, lasting=True)


def _protocol(_cause: BaseException, config: BrokerConfig) -> Outage:
    at = config.endpoint
    sentence = f"what listens at {at} does not speak AMQP 0-9-1 (is it a TLS port? then use amqps://)"
    return Outage("protocol", sentence, lasting=True)


def _closed(cause: BaseException, config: BrokerConfig) -> Outage:
    reason = getattr(cause, "reply_text", "")
    return Outage("closed", f"RabbitMQ at {config.endpoint} closed the connection: {reason}")


def _lost(_cause: BaseException, config: BrokerConfig) -> Outage:
    return Outage("lost", f"the connection to RabbitMQ at {config.endpoint} broke")


def _channel(cause: BaseException, config: BrokerConfig) -> Outage:
    at, exchange, variable = config.endpoint, config.exchange, "RABBITMQ_EXCHANGE"
    code, text = getattr(cause, "reply_code", 0), getattr(cause, "reply_text", "")
    if f"exchange '{config.jobs_exchange}'" in text:
        exchange, variable = config.jobs_exchange, "RABBITMQ_JOBS_EXCHANGE"
    if (limit := limit_in(cause)) is not None:
        return Outage("size", f"RabbitMQ at {at} takes no message over {limit} bytes: larger ones are cut")
    told = {
        403: f"{text.removeprefix('ACCESS_REFUSED - ')}: grant user {at.user!r} the permission (where others "
        "make the exchange, RABBITMQ_DECLARE=passive needs none to configure it)",
        404: f"there is no exchange {exchange!r}: create it, or set RABBITMQ_DECLARE=active",
        406: f"exchange {exchange!r} is another one than ours, or a message was refused ({text}): delete the "
        f"exchange, choose another {variable}, or set RABBITMQ_DECLARE=passive to use it as it is",
    }
    kinds = {403: "permission", 404: "exchange", 406: "mismatch"}
    words = told.get(code, f"the broker closed the channel ({code}: {text})")
    return Outage(kinds.get(code, "closed"), f"RabbitMQ at {at}: {words}", lasting=code in told)


_Explanation = Callable[[BaseException, BrokerConfig], Outage]
_EXPLANATIONS: Final[tuple[tuple[type[BaseException], _Explanation], ...]] = (
    (socket.gaierror, _name),
    (ConnectionRefusedError, _refused),
    (ssl.SSLError, _tls),
    (TimeoutError, _silent),
    (connection_workflow.AMQPConnectorStackTimeout, _silent),
    (FileNotFoundError, _file),
    (PermissionError, _file),
    (OSError, _network),
    (ConfirmsOverdue, _unconfirmed),
    (exceptions.AMQPHeartbeatTimeout, _silent),
    (exceptions.ChannelClosedByBroker, _channel),
    (exceptions.ProbableAuthenticationError, _auth),
    (exceptions.ProbableAccessDeniedError, _access),
    (exceptions.IncompatibleProtocolError, _protocol),
    (exceptions.ConnectionClosedByBroker, _closed),
    (exceptions.StreamLostError, _lost),
)
"""The first class that fits explains: subclasses stand before their bases."""


def _told_by_broker(cause: BaseException) -> bool:
    """pika guesses these classes from the moment of the loss: a mere EOF looks the same and means nothing."""
    return "ConnectionClosedByBroker" in str(cause)
