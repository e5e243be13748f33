"""Every way in which a broker cannot be used has a sentence that says where, what and how to mend it."""

from __future__ import annotations

import socket
import ssl

import pytest
from pika import exceptions
from pika.adapters.utils import connection_workflow

from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.outage import ConfirmsOverdue, explain

CONFIG = BrokerConfig(url="amqps://bob:s3cret@broker.example/v")


def wrapped(cause: BaseException) -> BaseException:
    """As pika hands it over when the connection could not be made."""
    phase = connection_workflow.AMQPConnectorSocketConnectError(cause)
    error: BaseException = exceptions.AMQPConnectionError(
        connection_workflow.AMQPConnectionWorkflowFailed([phase])
    )
    return error


CLOSED = "ConnectionClosedByBroker: (403) 'ACCESS_REFUSED'"


@pytest.mark.parametrize(
    ("error", "kind", "words", "lasting"),
    [
        (wrapped(ConnectionRefusedError(111, "refused")), "refused", "start RabbitMQ there", False),
        (wrapped(TimeoutError()), "silent", "did not answer within 10 s", False),
        (wrapped(connection_workflow.AMQPConnectorStackTimeout()), "silent", "within 10 s", False),
        (wrapped(OSError(113, "No route to host")), "network", "No route to host", False),
        (socket.gaierror(-2, "x"), "name", "broker.example is not known", False),
        (wrapped(ssl.SSLError(1, "x")), "tls", "RABBITMQ_CA_FILE", True),
        (FileNotFoundError(2, "No such file"), "tls", "RABBITMQ_CERT_FILE", True),
        (exceptions.ProbableAuthenticationError(CLOSED), "auth", "refused user 'bob'", True),
        (exceptions.ProbableAuthenticationError("StreamLostError: EOF"), "lost", "broke", False),
        (
            exceptions.ProbableAccessDeniedError("ConnectionClosedByBroker: (530) vhost v not found"),
            "vhost",
            "no vhost 'v'",
            True,
        ),
        (
            exceptions.ProbableAccessDeniedError("ConnectionClosedByBroker: (530) refused for user"),
            "permission",
            "does not let user 'bob'",
            True,
        ),
        (exceptions.ProbableAccessDeniedError("StreamLostError: EOF"), "lost", "broke", False),
        (exceptions.IncompatibleProtocolError("x"), "protocol", "amqps://", True),
        (
            exceptions.ChannelClosedByBroker(403, "ACCESS_REFUSED - access to x refused"),
            "permission",
            "v: access to x refused: grant user 'bob'",
            True,
        ),
        (exceptions.ChannelClosedByBroker(404, "NOT_FOUND"), "exchange", "RABBITMQ_DECLARE=active", True),
        (
            exceptions.ChannelClosedByBroker(406, "inequivalent arg 'type' for exchange"),
            "mismatch",
            "inequivalent arg 'type'",
            True,
        ),
        (exceptions.ChannelClosedByBroker(541, "INTERNAL_ERROR"), "closed", "541: INTERNAL_ERROR", False),
        (exceptions.ConnectionClosedByBroker(320, "shutdown"), "closed", "shutdown", False),
        (exceptions.StreamLostError("EOF"), "lost", "broke", False),
        (exceptions.AMQPHeartbeatTimeout("x"), "silent", "did not answer", False),
        (ConfirmsOverdue("x"), "unconfirmed", "confirmed nothing for 30 s", False),
        (RuntimeError("s3cret"), "other", "RuntimeError", False),
    ],
)
def test_each_failure_is_told_in_words(error: BaseException, kind: str, words: str, lasting: bool) -> None:
    outage = explain(error, CONFIG)

    assert (outage.kind, outage.lasting) == (kind, lasting)
    assert words in outage.sentence
    assert "broker.example" in outage.sentence
    assert "s3cret" not in outage.sentence
