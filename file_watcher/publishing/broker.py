"""Where the broker is and how to talk to it: configuration, addresses and connection parameters.

Nothing here owns a thread. Passwords stay inside the URL and are neither shown nor logged.
"""

from __future__ import annotations

import logging
import socket
import ssl
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import pika

from file_watcher.errors import UsageError

Declare = Literal["active", "passive", "none"]

_URL_ADVICE: Final = (
    "accepted is amqp://user:password@host:port/vhost (amqps:// for TLS), "
    "with special characters percent-encoded (%2F for a slash)"
)


@dataclass(frozen=True, slots=True)
class BrokerConfig:
    """One broker, one exchange for events and one for jobs. Raises UsageError for a URL that cannot be used; does no I/O.

    Times are seconds. `heartbeat` and `confirm_timeout` bound how long a dead connection goes
    unnoticed; `retry_first` and `retry_cap` bound the jittered wait between two attempts.
    """

    url: str = field(default="amqp://guest:guest@localhost:5672/%2F", repr=False)
    exchange: str = "file_events"
    jobs_exchange: str = "file_jobs"
    declare: Declare = "active"
    alternate_exchange: str | None = None
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    heartbeat: int = 15
    connect_timeout: float = 10.0
    confirm_timeout: float = 30.0
    retry_first: float = 0.2
    retry_cap: float = 30.0

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise UsageError(problem)

    @property
    def endpoint(self) -> Endpoint:
        """Who is meant by the URL, without the password."""
        return _endpoint(self.url)

    def _problem(self) -> str | None:
        try:
            endpoint = _endpoint(self.url)
        except ValueError:
            return (
                f"RABBITMQ_URL cannot be used (its value may hold a password and is not shown): {_URL_ADVICE}"
            )
        if not endpoint.tls and (self.ca_file or self.cert_file):
            return "RABBITMQ_CA_FILE and RABBITMQ_CERT_FILE need TLS: begin RABBITMQ_URL with amqps://"
        if self.key_file and not self.cert_file:
            return "RABBITMQ_KEY_FILE is set without RABBITMQ_CERT_FILE: set both or neither"
        if self.declare not in ("active", "passive", "none"):
            return f"RABBITMQ_DECLARE is {self.declare!r}: accepted are active, passive and none"
        return self._problem_of_exchanges()

    def _problem_of_exchanges(self) -> str | None:
        for variable, name in (
            ("RABBITMQ_EXCHANGE", self.exchange),
            ("RABBITMQ_JOBS_EXCHANGE", self.jobs_exchange),
        ):
            if not 0 < len(name.encode()) < 256:
                return f"{variable} must be a name of 1 to 255 bytes"
        if self.jobs_exchange == self.exchange:
            return "RABBITMQ_JOBS_EXCHANGE must be another exchange than RABBITMQ_EXCHANGE"
        return None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of a broker's URL that may be shown."""

    host: str
    port: int
    vhost: str
    user: str
    tls: bool

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}, vhost {self.vhost}"


def resolve(endpoint: Endpoint) -> list[str]:
    """Every numeric address of the broker's host, in the resolver's order. Blocks on DNS; raises OSError.

    Done here and not by pika, which would look the name up on a thread that is no daemon: a resolver
    that hangs could then keep the process from ending.
    """
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except UnicodeError as exc:
        raise socket.gaierror(socket.EAI_NONAME, "not a host name") from exc
    return list(dict.fromkeys(str(record[4][0]) for record in found))


def connection_parameters(config: BrokerConfig, address: str, name: str) -> Any:
    """pika's parameters for one attempt at one numeric address. Reads the TLS files; raises OSError.

    `name` is what the broker's own tools list the connection as. TCP_USER_TIMEOUT makes the kernel give
    up on a peer that acknowledges nothing, also while data is in flight and heartbeats cannot tell.
    """
    endpoint = config.endpoint
    parameters: Any = pika.URLParameters(config.url)
    parameters.host = address
    parameters.connection_attempts = 1
    parameters.socket_timeout = config.connect_timeout
    parameters.stack_timeout = config.connect_timeout
    parameters.blocked_connection_timeout = None
    parameters.tcp_options = {"TCP_USER_TIMEOUT": int(config.confirm_timeout * 1000)}
    parameters.client_properties = {"connection_name": name, "product": "file_watcher"}
    if "heartbeat" not in parse_qs(urlsplit(config.url).query):
        parameters.heartbeat = config.heartbeat
    if endpoint.tls:
        parameters.ssl_options = pika.SSLOptions(_tls_context(config), server_hostname=endpoint.host)
    return parameters


def declaration(config: BrokerConfig) -> dict[str, Any]:
    """The arguments of exchange_declare: what the exchange must be like, or (passive) only that it is."""
    alternate = config.alternate_exchange
    return {
        "exchange": config.exchange,
        "exchange_type": "topic",
        "durable": True,
        "passive": config.declare == "passive",
        "arguments": {"alternate-exchange": alternate} if alternate else None,
    }


def declaration_of_jobs(config: BrokerConfig) -> dict[str, Any]:
    """The same for the exchange of jobs; what no queue is bound for goes nowhere else."""
    return {**declaration(config), "exchange": config.jobs_exchange, "arguments": None}


def quiet_pika() -> None:
    """Silence pika's own logging, which tells each failure several times: ours tells it once, in words."""
    logging.getLogger("pika").setLevel(logging.CRITICAL + 1)


def _tls_context(config: BrokerConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=config.ca_file)
    if config.cert_file:
        context.load_cert_chain(config.cert_file, config.key_file)
    return context


def _endpoint(url: str) -> Endpoint:
    """Raises ValueError, whose text may hold a part of the password: it must not be shown."""
    parts = urlsplit(url)
    if parts.scheme not in ("amqp", "amqps") or not parts.hostname or parts.fragment:
        raise ValueError("not an AMQP URL")
    if parts.username is not None and parts.password is None:
        raise ValueError("a user without a password")
    if parts.path.count("/") > 1:
        raise ValueError("a slash in the vhost")
    _refuse_unknown_options(url)
    tls = parts.scheme == "amqps"
    return Endpoint(
        host=parts.hostname,
        port=parts.port or (5671 if tls else 5672),
        vhost=unquote(parts.path[1:]) or "/",
        user=unquote(parts.username or "guest"),
        tls=tls,
    )


def _refuse_unknown_options(url: str) -> None:
    """TLS files and timeouts are settings of their own; of pika's URL options only the heartbeat is left."""
    options = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=bool(urlsplit(url).query))
    if set(options) - {"heartbeat"}:
        raise ValueError("an unknown option")
    for value in options.get("heartbeat", []):
        int(value)
