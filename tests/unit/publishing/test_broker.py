"""Where the broker is: URLs, what is shown of them, and pika's parameters."""

from __future__ import annotations

import socket

import pytest

from file_watcher.errors import UsageError
from file_watcher.publishing.broker import BrokerConfig, connection_parameters, resolve


def test_a_url_is_shown_without_its_password() -> None:
    config = BrokerConfig(url="amqps://bob:s3cr%2Ft@broker.example:5999/my%2Fhost")

    assert str(config.endpoint) == "broker.example:5999, vhost my/host"
    assert config.endpoint.user == "bob"
    assert "s3cr" not in repr(config) + repr(config.endpoint)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://localhost", "localhost:5672, vhost /"),
        ("amqps://localhost/", "localhost:5671, vhost /"),
        ("amqp://u:p@[::1]:1234/v?heartbeat=5", "[::1]:1234, vhost v"),
    ],
)
def test_what_a_url_leaves_out_has_the_usual_value(url: str, shown: str) -> None:
    assert str(BrokerConfig(url=url).endpoint) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:5672",
        "http://guest:hunter2@localhost/",
        "amqp://guest:hunter2",
        "amqp://guest:hun/ter2@localhost:5672/",
        "amqp://guest:hun#ter2@localhost:5672/",
        "amqp://guest:hunter2@localhost:port/",
        "amqp://guest@localhost/",
        "amqp://localhost/a/b",
        "amqp://localhost/?heartbeet=2",
        "amqp://localhost/?heartbeat=often",
        "amqp://localhost/?nonsense",
        "amqp://[::1/",
    ],
)
def test_an_unusable_url_is_refused_without_showing_any_of_it(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        BrokerConfig(url=url)

    (problem,) = caught.value.problems
    assert problem.startswith("RABBITMQ_URL cannot be used")
    assert "amqp://user:password@host:port/vhost" in problem
    assert "hun" not in problem
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"ca_file": "ca.pem"}, "amqps://"),
        ({"url": "amqps://localhost", "key_file": "key.pem"}, "RABBITMQ_CERT_FILE"),
        ({"exchange": ""}, "RABBITMQ_EXCHANGE"),
        ({"exchange": "ä" * 128}, "RABBITMQ_EXCHANGE"),
        ({"declare": "maybe"}, "passive"),
    ],
)
def test_settings_that_do_not_fit_together_say_what_would(changes: dict[str, str], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        BrokerConfig(**changes)  # type: ignore[arg-type]


def test_pika_is_told_to_give_up_by_itself_neither_too_soon_nor_never() -> None:
    config = BrokerConfig(url="amqp://bob:s3cret@broker.example/v", connect_timeout=3, confirm_timeout=7)

    parameters = connection_parameters(config, "192.0.2.1", "file_watcher abc")

    assert (parameters.host, parameters.port, parameters.virtual_host) == ("192.0.2.1", 5672, "v")
    assert (parameters.credentials.username, parameters.credentials.password) == ("bob", "s3cret")
    assert (parameters.socket_timeout, parameters.stack_timeout, parameters.heartbeat) == (3, 3, 15)
    assert parameters.connection_attempts == 1
    assert parameters.tcp_options == {"TCP_USER_TIMEOUT": 7000}
    assert parameters.client_properties["connection_name"] == "file_watcher abc"
    assert parameters.ssl_options is None


def test_a_heartbeat_in_the_url_wins() -> None:
    config = BrokerConfig(url="amqp://localhost?heartbeat=42")

    assert connection_parameters(config, "127.0.0.1", "x").heartbeat == 42


def test_tls_checks_the_name_in_the_url_though_the_connection_goes_to_its_address() -> None:
    config = BrokerConfig(url="amqps://broker.example")

    options = connection_parameters(config, "192.0.2.1", "x").ssl_options

    assert options.server_hostname == "broker.example"
    assert options.context.check_hostname


def test_a_numeric_host_needs_no_resolver() -> None:
    assert resolve(BrokerConfig(url="amqp://127.0.0.1:1").endpoint) == ["127.0.0.1"]


@pytest.mark.parametrize("host", ["broker.invalid", "x" * 70 + ".example"])
def test_an_impossible_host_name_is_a_resolver_error(host: str) -> None:
    with pytest.raises(socket.gaierror):
        resolve(BrokerConfig(url=f"amqp://{host}").endpoint)
