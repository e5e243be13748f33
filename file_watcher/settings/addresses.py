"""Reads where the servers are: broker and database URLs, host and port; and shows them without secrets.

A URL may hold a password in several places, and a mistyped one in any; so nothing here puts a part of a
URL into an error. `scrub` is the only way by which a URL that was not understood gets into a message.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

AMQP_PORT: Final = 5672
AMQPS_PORT: Final = 5671
"""Both as registered with IANA, and RabbitMQ's defaults."""

_BROKER_QUERY: Final = {"heartbeat": (0, 65_535)}
"""The query parameters of a broker URL that have an effect, with limits. The client library knows more of
them, for timeouts and attempts; those are taken care of here, so an operator's value would do nothing."""
_POSTGRESQL: Final = frozenset({"postgresql", "postgres", "postgresql+psycopg", "postgresql+psycopg2"})
_SQLITE: Final = frozenset({"sqlite", "sqlite+pysqlite"})
_UNPRINTABLE: Final = re.compile(r"[\x00-\x20\x7f]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_HOST: Final = re.compile(r"[^\s/@:?#\[\]\\]+")


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where RabbitMQ is and who we are there. `port` None means the scheme's own."""

    tls: bool
    host: str
    port: int | None
    user: str
    password: str
    vhost: str
    query: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"BrokerAddress({self.url(with_password=False)!r})"

    def url(self, *, with_password: bool) -> str:
        """The address as a percent-encoded URL; `***` stands for a password that is not to be shown."""
        scheme, port = ("amqps", AMQPS_PORT) if self.tls else ("amqp", AMQP_PORT)
        secret = quote(self.password, safe="") if with_password else "***"
        host = f"[{self.host}]" if ":" in self.host else self.host
        query = f"?{urlencode(self.query)}" if self.query else ""
        vhost = quote(self.vhost, safe="")
        return f"{scheme}://{quote(self.user, safe='')}:{secret}@{host}:{self.port or port}/{vhost}{query}"


def parse_broker_url(text: str) -> BrokerAddress:
    """Take an amqp:// or amqps:// URL apart. What it leaves out is RabbitMQ's default (guest, `/`)."""
    parts = _split(text)
    if parts.scheme not in {"amqp", "amqps"}:
        raise ValueError("it does not begin with amqp:// or amqps://")
    if not parts.hostname:
        raise ValueError("it names no host")
    if parts.fragment or "/" in parts.path[1:].removeprefix("/"):
        raise ValueError("a / or # in a name or password must be written as %2F or %23")
    named = parts.username is not None
    return BrokerAddress(
        tls=parts.scheme == "amqps",
        host=parts.hostname,
        port=parts.port,
        user=unquote(parts.username or "") if named else "guest",
        password=unquote(parts.password or "") if named else "guest",
        vhost=unquote(parts.path[1:]) or "/",
        query=_broker_query(parts.query),
    )


def read_broker_url(value: object) -> str:
    """The URL as it was given, once it is known to be usable."""
    text = _text(value)
    parse_broker_url(text)
    return text


def read_database_url(value: object) -> str:
    """The URL of a SQLite file or of PostgreSQL, in the spelling that names the driver."""
    text = _text(value)
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise ValueError("it is no URL")
    if scheme.casefold() in _SQLITE:
        return sqlite_url(_sqlite_file(rest))
    if scheme.casefold() not in _POSTGRESQL:
        raise ValueError("only SQLite and PostgreSQL are supported")
    parts = _split(text)
    if not parts.hostname and "host=" not in parts.query and not parts.path.strip("/"):
        raise ValueError("it names neither a host nor a database")
    return f"postgresql+psycopg://{rest}"


def sqlite_url(file: Path) -> str:
    """The URL of a SQLite file, with what would end its name in a URL percent-encoded."""
    return "sqlite:///" + str(file).replace("%", "%25").replace("?", "%3F")


def sqlite_file(url: str) -> Path | None:
    """The file of a URL that `sqlite_url` made; None for any other database."""
    return Path(unquote(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:///") else None


def read_host(value: object) -> str:
    """A host name, an IPv4 or a bare IPv6 address."""
    text = _text(value)
    if _HOST.fullmatch(text) or (text.count(":") > 1 and re.fullmatch(r"[0-9A-Fa-f:.]+(%\w+)?", text)):
        return text
    raise ValueError("it holds more than a host")


def read_listen_address(value: object) -> tuple[str, int]:
    """(host, port) out of `host:port`, `[v6]:port` or `:port`, which listens on every IPv4 address."""
    if isinstance(value, list | tuple) and len(value) == 2:
        value = f"[{value[0]}]:{value[1]}" if ":" in str(value[0]) else f"{value[0]}:{value[1]}"
    host, separator, port = _text(value).rpartition(":")
    if not separator or not re.fullmatch(r"\d{1,5}", port, re.ASCII) or not 1 <= int(port) <= 65_535:
        raise ValueError("it does not end in a colon and a port from 1 to 65535")
    if host.startswith("[") and host.endswith("]"):
        return read_host(host[1:-1]), int(port)
    if ":" in host:
        raise ValueError("an IPv6 address stands in brackets: [::1]:8085")
    # Listening everywhere is what `:port` asks for, in words that the operator chose.
    return read_host(host) if host else "0.0.0.0", int(port)  # noqa: S104


def scrub(text: str) -> str:
    """The text with every place hidden in which it could hold a password.

    Where it is not certain which part is the password, all but the scheme is hidden.
    """
    scheme = _SCHEME.match(text)
    hidden = f"{scheme[0] if scheme else ''}***"
    if scheme is None or _UNPRINTABLE.search(text):
        return hidden
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return hidden
    if parts.fragment or text.count("@") != parts.netloc.count("@") or parts.netloc.count("@") > 1:
        return hidden
    user = f"{parts.username}:***@" if parts.username is not None else ""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    query = "?***" if parts.query else ""
    return f"{scheme[0]}{user}{host}{f':{port}' if port else ''}{parts.path}{query}"


def _split(text: str) -> SplitResult:
    """urlsplit without its leniency, and without the parts of the URL that its errors quote."""
    if _UNPRINTABLE.search(text):
        raise ValueError("it holds a blank or a control character; percent-encode it")
    problem: Literal["", "port", "form"] = ""
    try:
        parts = urlsplit(text)
        try:
            problem = "port" if parts.port == 0 else ""
        except ValueError:
            problem = "port"
    except ValueError:
        problem = "form"
    # Raised outside of the except clauses: the original quotes the URL, and would be its context.
    if problem == "port":
        raise ValueError("its port is no number from 1 to 65535, or a character needs percent-encoding")
    if problem == "form" or parts.netloc.count("@") > 1 or re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("a special character in it must be percent-encoded: @ is %40, % is %25")
    return parts


def _broker_query(query: str) -> tuple[tuple[str, str], ...]:
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    for name, value in pairs:
        low, high = _BROKER_QUERY.get(name, (1, 0))
        if not re.fullmatch(r"\d{1,6}", value, re.ASCII) or not low <= int(value) <= high:
            raise ValueError(
                "after the ? only heartbeat=SECONDS may stand; time-outs and attempts need no setting"
            )
    return pairs


def _sqlite_file(rest: str) -> Path:
    name = unquote(rest[1:]) if rest.startswith("/") else ""
    if not name or name.startswith((":memory:", "file:")) or "?" in rest or "\0" in name:
        raise ValueError("it must name a file, and nothing else: sqlite:////folder/catalog.sqlite3")
    # Normalised because SQLite is told the very name that later is looked for below the roots.
    return Path(os.path.abspath(Path(name).expanduser()))


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()
