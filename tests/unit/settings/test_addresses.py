"""Broker and database URLs, host and port; and what of them may be shown."""

from __future__ import annotations

import traceback
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import URLParameters

from file_watcher.publishing.broker import BrokerConfig, connection_parameters
from file_watcher.settings.addresses import (
    BrokerAddress,
    parse_broker_url,
    read_broker_url,
    read_database_url,
    read_host,
    read_listen_address,
    scrub,
    sqlite_file,
    sqlite_url,
)

GUEST = BrokerAddress(tls=False, host="broker", port=None, user="guest", password="guest", vhost="/")
text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(user=text, password=text, vhost=text, tls=st.booleans(), port=st.none() | st.integers(1, 65_535))
def test_an_address_survives_its_url_whatever_characters_it_holds(
    user: str, password: str, vhost: str, tls: bool, port: int | None
) -> None:
    address = BrokerAddress(tls, "broker", port, user, password, vhost, (("heartbeat", "10"),))
    told = replace(address, port=port or (5671 if tls else 5672))
    assert parse_broker_url(address.url(with_password=True)) == told


@given(user=text, password=text, vhost=text)
def test_the_client_library_reads_the_url_as_it_was_meant(user: str, password: str, vhost: str) -> None:
    url = BrokerAddress(tls=False, host="::1", port=None, user=user, password=password, vhost=vhost).url(
        with_password=True
    )
    parameters = URLParameters(url)
    assert (parameters.host, parameters.port, parameters.virtual_host) == ("::1", 5672, vhost)
    assert (parameters.credentials.username, parameters.credentials.password) == (user, password)


@pytest.mark.parametrize("url", ["amqp://broker", "amqp://broker/", "amqp://broker//", "amqp://broker/%2F"])
def test_what_a_url_leaves_out_is_the_brokers_default(url: str) -> None:
    assert parse_broker_url(url) == GUEST


def test_a_user_without_a_password_has_an_empty_one() -> None:
    assert parse_broker_url("amqps://me@broker/v").url(with_password=True) == "amqps://me:@broker:5671/v"


@pytest.mark.parametrize(
    "option", ["connection_attempts=3", "socket_timeout=5", "heartbeat=often", "nonsense"]
)
def test_what_has_no_effect_in_a_broker_url_is_refused_with_what_has(option: str) -> None:
    with pytest.raises(ValueError, match="only heartbeat=SECONDS"):
        parse_broker_url(f"amqp://broker/?{option}")


@pytest.mark.parametrize("seconds", [0, 5, 65_535])
def test_what_is_accepted_in_a_broker_url_is_usable_for_the_publisher(seconds: int) -> None:
    url = parse_broker_url(f"amqp://broker/?heartbeat={seconds}").url(with_password=True)

    parameters = connection_parameters(BrokerConfig(url=url), "127.0.0.1", "x")

    assert parameters.heartbeat == seconds


SECRET = "Geh3im"


@pytest.mark.parametrize(
    "url",
    [
        f"http://u:{SECRET}@host",
        f"amqp://u:{SECRET}@",
        f"amqp://u:{SECRET}@host:0",
        f"amqp://u:{SECRET}@host:99999",
        f"amqp://u:{SECRET}@host:port",
        f"amqp://u:{SECRET}",
        f"amqp://u:{SECRET}#x@host",
        f"amqp://u:{SECRET}/x@host",
        f"amqp://u:{SECRET}?x@host",
        f"amqp://u:x@{SECRET}@host",
        f"amqp://u:%{SECRET}%@host",
        f"amqp://u:{SECRET}@[host",
        f"amqp://u:{SECRET}@[host]",
        f"amqp://u: {SECRET}@host",
        f"amqp://u:{SECRET}@host/a/b",
        f"amqp://u:{SECRET}@host?password={SECRET}",
        f"amqp://u:{SECRET}@host?heartbeat={SECRET}",
        f"u:{SECRET}@host",
        SECRET,
    ],
)
def test_a_bad_url_never_shows_its_password(url: str) -> None:
    with pytest.raises(ValueError, match=r".*") as refused:
        read_broker_url(url)
    told = "".join(traceback.format_exception_only(refused.value)) + scrub(url)
    assert SECRET not in told
    assert refused.value.__context__ is None or SECRET not in str(refused.value.__context__)


@given(user=text, password=text, junk=st.text(max_size=10))
def test_scrubbing_hides_any_password_before_the_host(user: str, password: str, junk: str) -> None:
    secret = f"s3cr3t{quote(password, safe='')}"
    assert "s3cr3t" not in scrub(f"amqp://{user}:{secret}@host{junk}")


def test_what_may_be_the_beginning_of_a_password_is_hidden_too() -> None:
    assert scrub("amqp://user:12#rest") == "amqp://***"
    assert scrub("amqp://user:12?rest@host") == "amqp://***"


def test_a_url_without_secrets_is_shown_whole() -> None:
    assert scrub("http://broker.example:5672/v") == "http://broker.example:5672/v"
    assert scrub("sqlite:////var/lib/x.db") == "sqlite:////var/lib/x.db"
    assert (
        scrub("postgresql://me:pw@[::1]:5432/db?sslmode=require") == "postgresql://me:***@[::1]:5432/db?***"
    )


def test_the_repr_of_an_address_hides_the_password() -> None:
    assert SECRET not in repr(parse_broker_url(f"amqp://u:{SECRET}@host"))


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("postgresql://u:p@h:5432/db", "postgresql+psycopg://u:p@h:5432/db"),
        ("postgres://h/db", "postgresql+psycopg://h/db"),
        ("postgresql+psycopg://h/db?sslmode=require", "postgresql+psycopg://h/db?sslmode=require"),
        ("postgresql:///db?host=/run/postgresql", "postgresql+psycopg:///db?host=/run/postgresql"),
        ("sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        ("sqlite:////var/../lib/x.db", "sqlite:////lib/x.db"),
    ],
)
def test_a_database_url_is_brought_to_the_drivers_spelling(url: str, meant: str) -> None:
    assert read_database_url(url) == meant
    assert read_database_url(meant) == meant


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x.db",
        "mysql://h/db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:x?uri=true",
        "sqlite:////a.db?mode=ro",
        "postgresql://",
        "postgresql://h:0/db",
        "postgresql://u:p@q@h/db",
        "sqlite://x/y",
    ],
)
def test_a_database_that_cannot_hold_a_catalog_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_database_url(url)


def test_a_relative_sqlite_file_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_database_url("sqlite:///x.db") == f"sqlite:///{tmp_path}/x.db"


@given(st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1))
def test_a_sqlite_file_survives_its_url(name: str) -> None:
    file = Path("/folder") / name
    assert sqlite_file(sqlite_url(file)) == file


def test_a_server_has_no_file() -> None:
    assert sqlite_file("postgresql+psycopg://h/db") is None


@pytest.mark.parametrize("host", ["localhost", "10.0.0.1", "::1", "fe80::1%eth0", "rabbit_mq.svc"])
def test_a_host_is_taken(host: str) -> None:
    assert read_host(host) == host


@pytest.mark.parametrize("host", ["", "host:5672", "amqp://host", "u@host", "a b", "host/v", "[::1]", 5])
def test_what_is_more_than_a_host_is_refused(host: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_host(host)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("127.0.0.1:8085", ("127.0.0.1", 8085)),
        ("[::1]:80", ("::1", 80)),
        (":9", ("0.0.0.0", 9)),
        (("::1", 80), ("::1", 80)),
        (["localhost", 1], ("localhost", 1)),
    ],
)
def test_an_address_to_listen_on_is_read(value: object, address: tuple[str, int]) -> None:
    assert read_listen_address(value) == address


@pytest.mark.parametrize(
    "value", ["", "8085", "h:", "h:0", "h:65536", "h:x", "::1:80", "[::1]", "h:٣", 8085, "a b:1"]
)
def test_what_is_no_address_to_listen_on_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_listen_address(value)
