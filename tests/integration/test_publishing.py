"""Relay and publisher against a real RabbitMQ: order, confirms, and every way in which a broker fails."""

from __future__ import annotations

import itertools
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from file_watcher.lifecycle import Deadline
from file_watcher.model import OutboxMessage
from file_watcher.publishing.broker import BrokerConfig
from file_watcher.publishing.dispatch import RelayConfig
from tests.support.messages import recorded
from tests.support.outbox import MemoryOutbox
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitNode
from tests.support.subscriber import QUEUE, channel_to, received, subscribe, way
from tests.support.waiting import wait_for


def quick(url: str, **changes: Any) -> BrokerConfig:
    """Retries without long waits; the waits themselves are a matter of the unit tests."""
    return BrokerConfig(url=url, retry_first=0.02, retry_cap=0.2, **changes)


def backlog(count: int, paths: int | None = None) -> list[OutboxMessage]:
    """`count` messages; with `paths` they share that many paths."""
    return [recorded(number, b"/m/%d" % (number % paths) if paths else b"") for number in range(1, count + 1)]


def ids(messages: Iterable[OutboxMessage]) -> list[str]:
    return [message.event_id for message in messages]


def assert_in_order_per_path(arrived: list[str], messages: list[OutboxMessage]) -> None:
    """All arrived, and the first arrivals of each path are in the order of the outbox."""
    first = list(dict.fromkeys(arrived))
    assert sorted(first) == sorted(ids(messages))
    place = {event_id: position for position, event_id in enumerate(first)}
    by_path: dict[bytes, list[int]] = {}
    for message in messages:
        by_path.setdefault(message.path, []).append(place[message.event_id])
    assert all(places == sorted(places) for places in by_path.values())


def assert_connected_in_order(arrived: list[str], messages: list[OutboxMessage]) -> None:
    """All arrived; no message came, not even again, after a later one of the same path, or of one above or below."""
    numbers = {message.event_id: place for place, message in enumerate(messages)}
    assert set(arrived) == set(numbers)
    for early, late in itertools.combinations([numbers[event_id] for event_id in arrived], 2):
        assert early <= late or not _touch(messages[early], messages[late])


def _touch(one: OutboxMessage, other: OutboxMessage) -> bool:
    pairs = itertools.product((one.path, one.old_path), (other.path, other.old_path))
    folders = [(a + b"/", b + b"/") for a, b in pairs if a is not None and b is not None]
    return any(a.startswith(b) or b.startswith(a) for a, b in folders)


def all_of(messages: list[OutboxMessage]) -> set[str]:
    return set(ids(messages))


def test_recorded_messages_arrive_in_order_and_are_marked_after_their_confirm(broker_url: str) -> None:
    messages = backlog(300)
    outbox = MemoryOutbox(messages)
    subscribe(broker_url)

    with way(outbox, BrokerConfig(url=broker_url)) as running:
        assert running.relay.wait_until_published(300, 20)
        assert running.publisher.drain(Deadline(5))
        assert running.publisher.health().ok

    assert received(broker_url, lambda got: len(got) == 300) == ids(messages)
    assert sorted(outbox.published) == list(range(1, 301))


def test_a_message_has_its_properties_on_the_wire(broker_url: str) -> None:
    (message,) = backlog(1)
    subscribe(broker_url, key="file.created")

    with way(MemoryOutbox([message]), BrokerConfig(url=broker_url)) as running:
        assert running.relay.wait_until_published(1, 20)

    with channel_to(broker_url) as channel:
        _method, properties, body = channel.basic_get(QUEUE, auto_ack=True)
    assert body == message.body
    assert (properties.message_id, properties.type) == (message.event_id, "created")
    assert (properties.delivery_mode, properties.app_id) == (2, "file_watcher")
    assert properties.headers["library"] == "music"
    assert properties.headers["cloudEvents_id"] == message.event_id


def test_events_of_one_path_arrive_in_order_though_many_are_under_way(broker_url: str) -> None:
    messages = backlog(200, paths=7)
    subscribe(broker_url)

    with way(MemoryOutbox(messages), BrokerConfig(url=broker_url)) as running:
        assert running.relay.wait_until_published(200, 30)

    assert_in_order_per_path(received(broker_url, lambda got: len(got) == 200), messages)


def test_a_message_that_no_queue_wants_is_kept_as_unrouted(broker_url: str) -> None:
    outbox = MemoryOutbox([recorded(1), recorded(2, b"/m/b", b"/m/a"), recorded(3)])
    subscribe(broker_url, key="file.moved")

    with way(outbox, BrokerConfig(url=broker_url)) as running:
        assert running.relay.wait_until_published(3, 20)

    assert outbox.published == [2]
    assert sorted(outbox.unrouted) == [1, 3]


def test_an_alternate_exchange_takes_what_no_queue_wants(broker_url: str) -> None:
    outbox = MemoryOutbox([recorded(1)])
    with channel_to(broker_url) as channel:
        channel.exchange_declare("lost_and_found", exchange_type="fanout", durable=True)
        channel.queue_declare(QUEUE, durable=True)
        channel.queue_bind(QUEUE, "lost_and_found")

    config = BrokerConfig(url=broker_url, alternate_exchange="lost_and_found")
    with way(outbox, config) as running:
        assert running.relay.wait_until_published(1, 20)

    assert outbox.published == [1]
    assert len(received(broker_url, lambda got: len(got) == 1)) == 1


def test_what_a_full_queue_refuses_is_published_again_until_it_is_taken(broker_url: str) -> None:
    messages = backlog(40, paths=8)
    subscribe(broker_url, arguments={"x-max-length": 5, "x-overflow": "reject-publish"})

    with capture_logs() as logs, way(MemoryOutbox(messages), BrokerConfig(url=broker_url)) as running:
        wait_for(lambda: any(entry["event"] == "publish_refused" for entry in logs), "a refusal")
        arrived = received(broker_url, lambda got: all_of(messages) <= set(got), timeout=60)
        assert running.relay.wait_until_published(40, 20)

    assert_in_order_per_path(arrived, messages)


def test_single_refusals_change_no_order_on_any_queue(broker_url: str) -> None:
    """One queue is full and refuses now and then; the other one takes all, and so gets some of it twice."""
    history = 12 * [b"/m/a", b"/m/a/x", b"/m/b", b"/m/a/x/y", b"/m/c"]
    messages = [
        recorded(number, path, b"/m/c" if number % 7 == 0 and path != b"/m/c" else None)
        for number, path in enumerate(history, 1)
    ]
    subscribe(broker_url, queue="spacious")
    subscribe(broker_url, arguments={"x-max-length": 3, "x-overflow": "reject-publish"})

    with capture_logs() as logs, way(MemoryOutbox(messages), BrokerConfig(url=broker_url)) as running:
        wait_for(lambda: any(entry["event"] == "publish_refused" for entry in logs), "a refusal")
        narrow = received(broker_url, lambda got: all_of(messages) <= set(got), timeout=60)
        assert running.relay.wait_until_published(len(messages), 20)
    spacious = received(broker_url, lambda got: all_of(messages) <= set(got), queue="spacious")

    assert len(spacious) > len(messages), "what the one refused had reached the other one"
    for arrived in (narrow, spacious):
        assert_connected_in_order(arrived, messages)


def test_a_lost_connection_costs_nothing_and_is_told_once(
    rabbit: RabbitNode, vhost: str, broker_url: str
) -> None:
    messages = backlog(3000)
    outbox = MemoryOutbox(messages)
    subscribe(broker_url)

    with capture_logs() as logs:
        # Slowed down, so that the connection is cut in the middle of the work.
        config = quick(broker_url)
        with way(outbox, config, RelayConfig(rate_limit=100, poll_seconds=0.2)) as running:
            wait_for(lambda: outbox.published, "the first confirm")
            rabbit.ctl("close_all_connections", "--vhost", vhost, "asked by a test")
            assert len(outbox.published) < 3000, "the connection was lost too late to show anything"
            running.relay.set_rate(None)
            assert running.relay.wait_until_published(3000, 30)

    arrived = received(broker_url, lambda got: all_of(messages) <= set(got))
    assert list(dict.fromkeys(arrived)) == ids(messages)
    told = [entry["event"] for entry in logs if entry["event"].startswith("broker_")]
    assert told == ["broker_connected", "broker_unreachable", "broker_connected"]


def test_without_a_broker_events_are_kept_and_the_operator_is_told_where_it_looked() -> None:
    port = free_port()
    outbox = MemoryOutbox(backlog(3))

    config = quick(f"amqp://bob:s3cret@localhost:{port}")
    with capture_logs() as logs, way(outbox, config) as running:
        sentence = running.wait_for_health("refused")
        assert not running.relay.wait_until_published(1, 0.5)
        assert not running.publisher.drain(Deadline(0.1))

    assert f"localhost:{port}" in sentence
    assert "events are kept and will be delivered" in sentence
    told = [entry for entry in logs if entry["event"] == "broker_unreachable"]
    assert len(told) == 1, "a line for each attempt would be noise"
    assert f"localhost:{port}" in told[0]["reason"]
    assert "s3cret" not in repr(logs)
    assert outbox.published == []


def test_a_broker_that_is_stopped_killed_and_started_again_gets_everything_in_order(
    private_rabbit: RabbitNode,
) -> None:
    url = private_rabbit.url
    messages = backlog(60, paths=20)
    outbox = MemoryOutbox(messages[:20])
    subscribe(url)

    with way(outbox, quick(url)) as running:
        assert running.relay.wait_until_published(20, 20)
        private_rabbit.write_down()
        private_rabbit.kill9()
        running.wait_for_health("refused")
        outbox.add(*messages[20:40])
        private_rabbit.start()
        assert running.relay.wait_until_published(40, 40)
        private_rabbit.stop_app()
        running.wait_for_health("refused")
        outbox.add(*messages[40:])
        private_rabbit.start_app()
        assert running.relay.wait_until_published(60, 40)

    assert_in_order_per_path(received(url, lambda got: all_of(messages) <= set(got)), messages)


def test_a_broker_that_falls_silent_is_given_up_and_served_once_it_is_back(
    private_rabbit: RabbitNode,
) -> None:
    url = private_rabbit.url
    messages = backlog(2)
    outbox = MemoryOutbox(messages[:1])
    subscribe(url)

    config = quick(url, confirm_timeout=1.0, connect_timeout=1.0)
    with way(outbox, config) as running:
        assert running.relay.wait_until_published(1, 20)
        private_rabbit.suspend()
        outbox.add(messages[1])
        running.relay.wake()
        running.wait_for_health("silent", timeout=30)
        private_rabbit.resume()
        assert running.relay.wait_until_published(2, 40)

    assert set(received(url, lambda got: all_of(messages) <= set(got))) == all_of(messages)


def test_a_broker_short_of_memory_is_waited_for_and_does_not_hold_up_the_stop(
    private_rabbit: RabbitNode,
) -> None:
    url = private_rabbit.url
    messages = backlog(2)
    outbox = MemoryOutbox(messages[:1])
    subscribe(url)

    config = quick(url, confirm_timeout=2.0)
    with way(outbox, config) as running:
        assert running.relay.wait_until_published(1, 20)
        private_rabbit.ctl("set_vm_memory_high_watermark", "0.00000001")
        outbox.add(messages[1])
        sentence = running.wait_for_health("blocked")
        assert "takes no messages now" in sentence
        assert not running.relay.wait_until_published(2, 4), "longer than the confirm timeout"
        assert running.publisher.health().facts["reason"] == "blocked"
        private_rabbit.ctl("set_vm_memory_high_watermark", "0.4")
        assert running.relay.wait_until_published(2, 20)
        running.wait_for_health(None)

        private_rabbit.ctl("set_vm_memory_high_watermark", "0.00000001")
        outbox.add(recorded(3))
        running.wait_for_health("blocked")
        assert running.stop(5.0)


def test_each_lasting_refusal_is_told_in_its_own_words(rabbit: RabbitNode, vhost: str) -> None:
    url = rabbit.url_of(vhost)
    at = f"{rabbit.host}:{rabbit.port}"
    with channel_to(url) as channel:
        channel.exchange_declare("other_kind", exchange_type="fanout", durable=True)
    rabbit.ctl("add_user", f"reader-{vhost}", "secret")
    rabbit.ctl("set_permissions", "--vhost", vhost, f"reader-{vhost}", "^$", "^$", ".*")
    refused = {
        "auth": quick(f"amqp://guest:wrong@{at}/{vhost}"),
        "vhost": quick(f"amqp://guest:guest@{at}/nowhere"),
        "exchange": quick(url, exchange="missing", declare="passive"),
        "mismatch": quick(url, exchange="other_kind"),
        "permission": quick(f"amqp://reader-{vhost}:secret@{at}/{vhost}"),
    }
    try:
        for reason, config in refused.items():
            with capture_logs() as logs, way(MemoryOutbox(backlog(1)), config) as running:
                running.wait_for_health(reason)
            assert [entry["log_level"] for entry in logs if entry["event"] == "broker_unreachable"] == [
                "error"
            ]
    finally:
        rabbit.ctl("delete_user", f"reader-{vhost}")


def test_a_publisher_that_may_not_write_keeps_its_messages(rabbit: RabbitNode, vhost: str) -> None:
    user = f"narrow-{vhost}"
    rabbit.ctl("add_user", user, "secret")
    rabbit.ctl("set_permissions", "--vhost", vhost, user, ".*", "^$", ".*")
    outbox = MemoryOutbox(backlog(3))
    try:
        config = quick(f"amqp://{user}:secret@{rabbit.host}:{rabbit.port}/{vhost}")
        with way(outbox, config) as running:
            assert "grant" in running.wait_for_health("permission")
            subscribe(rabbit.url_of(vhost))
            rabbit.ctl("set_permissions", "--vhost", vhost, user, ".*", ".*", ".*")
            assert running.relay.wait_until_published(3, 20)
    finally:
        rabbit.ctl("delete_user", user)

    assert outbox.published == [1, 2, 3]


@pytest.mark.parametrize("declare", ["passive", "none"])
def test_an_exchange_that_others_make_is_used_as_soon_as_it_is_there(broker_url: str, declare: str) -> None:
    outbox = MemoryOutbox(backlog(1))
    config = quick(broker_url, declare=declare)

    with way(outbox, config) as running:
        running.wait_for_health("exchange")
        subscribe(broker_url)
        assert running.relay.wait_until_published(1, 20)

    assert outbox.published == [1]


def test_a_server_that_never_speaks_holds_up_neither_the_retries_nor_the_stop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = quick(f"amqp://127.0.0.1:{silent.getsockname()[1]}", connect_timeout=0.3)
        with way(MemoryOutbox(backlog(1)), config) as running:
            running.wait_for_health("silent")
            silent.accept()[0].close()
            silent.settimeout(10)
            second, _ = silent.accept()
            assert running.stop(3.0), "in the middle of a handshake"
            second.close()


def test_what_listens_but_speaks_something_else_is_named_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = threading.Thread(target=_hang_up_on_each, args=(server,))
        answering.start()
        try:
            config = quick(f"amqp://127.0.0.1:{server.getsockname()[1]}")
            with way(MemoryOutbox(backlog(1)), config) as running:
                assert "does not speak AMQP" in running.wait_for_health("protocol")
        finally:
            server.shutdown(socket.SHUT_RDWR)
            answering.join(5)


def _hang_up_on_each(server: socket.socket) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:
            return
        client.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A certificate authority, and a server's certificate for localhost that it signed."""
    openssl = shutil.which("openssl")
    assert openssl, "install openssl"
    authority = ["-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test authority"]
    server = ["-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost"]
    new = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for arguments in (authority, [*server, *names, "-CA", "ca.pem", "-CAkey", "ca.key"]):
        subprocess.run([*new, *arguments], cwd=tmp_path, check=True, capture_output=True)
    for path in tmp_path.glob("*.key"):
        path.chmod(0o644)
    return tmp_path


@pytest.fixture
def tls_rabbit(server_folder: Path, certificates: Path) -> Iterator[tuple[RabbitNode, int]]:
    """A node that speaks TLS on a second port and wants a client's certificate."""
    port = free_port()
    node = RabbitNode(
        server_folder / f"rabbitmq-tls-{port}",
        {
            "listeners.ssl.1": f"127.0.0.1:{port}",
            "ssl_options.cacertfile": str(certificates / "ca.pem"),
            "ssl_options.certfile": str(certificates / "server.pem"),
            "ssl_options.keyfile": str(certificates / "server.key"),
            "ssl_options.verify": "verify_peer",
            "ssl_options.fail_if_no_peer_cert": "true",
        },
    )
    try:
        node.start()
        yield node, port
    finally:
        node.kill9()


def test_tls_is_spoken_with_a_checked_server_and_a_client_certificate(
    tls_rabbit: tuple[RabbitNode, int], certificates: Path
) -> None:
    node, port = tls_rabbit
    subscribe(node.url)
    ca, certificate = str(certificates / "ca.pem"), str(certificates / "server.pem")
    key = str(certificates / "server.key")
    outbox = MemoryOutbox(backlog(5))

    def config(host: str = "localhost", **changes: str | None) -> BrokerConfig:
        files: dict[str, str | None] = {"ca_file": ca, "cert_file": certificate, "key_file": key}
        return quick(f"amqps://{host}:{port}", **(files | changes))

    with way(outbox, config()) as running:
        assert running.relay.wait_until_published(5, 20)
    for wrong in (
        config(ca_file=None),
        config(host="127.0.0.1"),
        config(ca_file=str(certificates / "gone.pem")),
    ):
        with way(MemoryOutbox(), wrong) as running:
            assert "RABBITMQ_CA_FILE" in running.wait_for_health("tls")

    assert len(received(node.url, lambda got: len(got) == 5)) == 5
