"""Every fault of the broker that the contract names, against the real service: nothing lost, nothing invented."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.consumer import Consumer
from tests.support.crafted_media import id3, mpeg_frames, text_frame
from tests.support.rabbitmq import RabbitNode
from tests.support.service import disk
from tests.support.subscriber import channel_to
from tests.support.trial import FILES, Trial, trial
from tests.support.waiting import wait_for

OVERSIZE = 64 * 1024
"""Bytes that a broker may be told to take at most; far below what we send by ourselves."""


class At(NamedTuple):
    """Where a fault strikes."""

    node: RabbitNode
    user: str
    exchange: str
    queue: str


class Fault(NamedTuple):
    """What an operator or a machine does to the broker, what we must say meanwhile, and the mend."""

    strike: Callable[[At], object]
    words: str
    mend: Callable[[At], object]


def _kill(at: At) -> None:
    at.node.write_down()
    at.node.kill9()


def _remake_exchange(at: At, kind: str) -> None:
    """Delete the exchange and make it anew, bound to the consumer's queue as before."""
    with channel_to(at.node.url) as channel:
        channel.exchange_delete(at.exchange)
        channel.exchange_declare(at.exchange, exchange_type=kind, durable=True)
        channel.queue_bind(at.queue, at.exchange, "#")


def _take_for_fanout(at: At) -> None:
    _remake_exchange(at, "fanout")
    at.node.close_all_connections()


def _allow(at: At, pattern: str) -> None:
    """Permit that. A channel that is open keeps what it was permitted, so connections are closed too."""
    at.node.ctl("set_permissions", at.user, pattern, pattern, ".*")
    at.node.close_all_connections()


def _change_password(at: At, password: str) -> None:
    at.node.ctl("change_password", at.user, password)
    at.node.close_all_connections()


FAULTS = {
    "the application is stopped": Fault(
        lambda at: at.node.stop_app(), "nothing listens", lambda at: at.node.start_app()
    ),
    "killed": Fault(_kill, "nothing listens", lambda at: at.node.start()),
    "frozen": Fault(lambda at: at.node.suspend(), "did not answer", lambda at: at.node.resume()),
    "short of memory": Fault(
        lambda at: at.node.ctl("set_vm_memory_high_watermark", "0.00000001"),
        "takes no messages now",
        lambda at: at.node.ctl("set_vm_memory_high_watermark", "0.4"),
    ),
    "short of disk": Fault(
        lambda at: at.node.ctl("set_disk_free_limit", "1000000GB"),
        "takes no messages now",
        lambda at: at.node.ctl("set_disk_free_limit", "50MB"),
    ),
    "permission taken away": Fault(lambda at: _allow(at, "^$"), "grant user", lambda at: _allow(at, ".*")),
    "password changed": Fault(
        lambda at: _change_password(at, "another"),
        "check the name and the password",
        lambda at: _change_password(at, "right"),
    ),
    "exchange of another type": Fault(
        _take_for_fanout, "is another one than ours", lambda at: _remake_exchange(at, "topic")
    ),
}
TELLING = ("killed", "frozen", "short of memory", "exchange of another type")
"""One of each kind: gone, silent, blocked, refused. `make soak` goes through all of them."""


@pytest.fixture
def at(rabbit: RabbitNode, exchange: str) -> Iterator[At]:
    """The session's node, with a user of this test's own who may do everything in the default vhost."""
    rabbit.ensure_running()
    user = f"user_{exchange}"
    rabbit.ctl("add_user", user, "right")
    rabbit.ctl("set_permissions", user, ".*", ".*", ".*")
    yield At(rabbit, user, exchange, f"{exchange}.mirror")
    rabbit.ensure_running()
    rabbit.ctl("set_vm_memory_high_watermark", "0.4")
    rabbit.ctl("set_disk_free_limit", "50MB")
    rabbit.ctl("delete_user", user)


@pytest.fixture
def setting(tmp_path: Path, at: At) -> Trial:
    """A service that connects as that user, with short heartbeats; its consumer is guest."""
    url = f"amqp://{at.user}:right@{at.node.host}:{at.node.port}/%2F?heartbeat=2"
    setting = Trial(tmp_path, url, at.exchange)
    setting.consumer = Consumer(at.node.url, at.exchange)
    setting.consumer.subscribe()
    return setting


@contextmanager
def stopped(setting: Trial) -> Iterator[None]:
    """Hold the service still, so that it does not see a mend half done (an exchange that nobody is bound to)."""
    setting.service.suspend()
    try:
        yield
    finally:
        setting.service.resume()


def assert_told_once(setting: Trial, event: str) -> None:
    """The fault was told, and was no flood: at most its beginning and one change of its cause."""
    complaints = setting.complaints()
    assert 1 <= complaints[event] <= 3, complaints
    assert sum(complaints.values()) <= 6, complaints


@pytest.mark.parametrize(
    "name", [name if name in TELLING else pytest.param(name, marks=pytest.mark.soak) for name in FAULTS]
)
def test_a_fault_of_the_broker_costs_the_consumer_nothing(setting: Trial, at: At, name: str) -> None:
    fault = FAULTS[name]
    with trial(setting) as running:
        running.converge()
        running.change()
        fault.strike(at)
        running.change()
        told = running.wait_for_complaint("broker", fault.words)
        assert f"{at.node.host}:{at.node.port}" in told
        assert "events are kept and will be delivered" in told
        running.change()
        with stopped(running):
            fault.mend(at)
            running.consumer.subscribe()  # as consumers do that were cut off
        running.change()
        running.converge()
        assert_told_once(running, "broker_blocked" if "short" in name else "broker_unreachable")


@pytest.mark.parametrize(
    "name",
    [
        "killed",
        *(
            pytest.param(name, marks=pytest.mark.soak)
            for name in ("short of memory", "password changed", "exchange of another type")
        ),
    ],
)
def test_a_fault_that_is_there_at_the_start_and_outlives_a_kill_of_the_service_costs_nothing(
    setting: Trial, at: At, name: str
) -> None:
    fault = FAULTS[name]
    fault.strike(at)
    with trial(setting) as running:
        running.wait_for_complaint("broker", fault.words)
        running.change()
        wait_for(lambda: running.service.metric("watcher_outbox_messages") >= 30, "the outbox to fill", 30)
        running.service.kill()
        running.change()
        running.service.start()
        running.wait_for_complaint("broker", fault.words)
        with stopped(running):
            fault.mend(at)
            running.consumer.subscribe()  # as consumers do that were cut off
        running.change()
        running.converge()


def test_an_exchange_that_is_deleted_while_it_runs_is_missed_until_it_is_back(tmp_path: Path, at: At) -> None:
    setting = Trial(tmp_path, at.node.url, at.exchange, RABBITMQ_DECLARE="passive")
    setting.consumer.subscribe()
    with trial(setting) as running:
        running.converge()
        with channel_to(at.node.url) as channel:
            channel.exchange_delete(at.exchange)
        running.change()
        running.wait_for_complaint("broker", "there is no exchange")
        with stopped(running):
            _remake_exchange(at, "topic")
        running.change()
        running.converge()
        assert_told_once(running, "broker_unreachable")


@contextmanager
def largest_message(node: RabbitNode, size: int) -> Iterator[None]:
    """Let the node take no larger message on the channels that are opened from now on."""
    node.ctl("eval", f"application:set_env(rabbit, max_message_size, {size}).")
    node.close_all_connections()
    try:
        yield
    finally:
        node.ctl("eval", "application:set_env(rabbit, max_message_size, 134217728).")


def _heavily_tagged(path: Path) -> None:
    """A real file whose tags make a message of more than 64 KiB."""
    frames = ("TIT2", "TPE1", "TALB", "TPE2", "TCON", "TCOM", "TPUB")
    path.write_bytes(id3(*(text_frame(name, "音" * 4000) for name in frames)) + mpeg_frames())


def test_a_message_that_is_too_large_for_the_broker_is_cut_and_one_that_cannot_be_is_set_aside(
    setting: Trial, at: At
) -> None:
    heavy = setting.library / "heavy.mp3"
    _heavily_tagged(heavy)
    with largest_message(at.node, OVERSIZE), trial(setting) as running:
        running.converge()
        running.change()
        _heavily_tagged(setting.library / "another.mp3")
        running.converge()
        told = {message.body["file_path"]: message.body for message in running.consumer.events("created")}
        metadata = told[str(heavy)]["metadata"]
        assert (metadata["truncated"], metadata["tags"]) == (True, {})
        assert metadata["format"] == "audio/mpeg"
        assert running.complaints() == {"broker_limits_size": 1}

        with largest_message(at.node, 1500):
            endless = setting.library / ("x" * 250) / ("y" * 250) / ("z" * 250) / ("é" * 120) / ("u" * 250)
            endless.mkdir(parents=True)
            (endless / f"{'w' * 240}.mp3").write_bytes(b"nobody will hear of this")
            (endless / f"{'v' * 240}.mp3").write_bytes(b"nor of this")
            running.change()
            running.service.sync()
            shutil.rmtree(endless)
            running.converge()
            facts = running.service.ask("/readyz")[1]["components"]["broker"]
            assert facts["set_aside"] == 4, "two that are created, two that are deleted"
        complaints = running.complaints()
        assert complaints["event_too_large"] == 2, "one for each routing key"
        assert complaints["broker_limits_size"] <= 3
    assert all(len(message.body) <= OVERSIZE for message in running.consumer.messages)


def test_what_a_full_queue_refuses_is_published_until_it_is_taken(tmp_path: Path, at: At) -> None:
    setting = Trial(tmp_path, at.node.url, at.exchange)
    with channel_to(at.node.url) as channel:
        channel.exchange_declare(at.exchange, exchange_type="topic", durable=True)
        full = {"x-max-length": 10, "x-overflow": "reject-publish"}
        channel.queue_declare(at.queue, durable=True, arguments=full)
        channel.queue_bind(at.queue, at.exchange, "#")
    with trial(setting) as running:
        running.wait_for_complaint("broker", "refuses messages of file.created")
        running.change()
        running.service.kill()
        running.change()
        running.service.start()
        running.wait_for_complaint("broker", "refuses messages of file.created")

        def told_all() -> bool:
            running.consumer.drain()
            return running.consumer.mirror.files == disk(running.library)

        wait_for(told_all, "all messages to be taken", 60, every=0.2)
        running.converge()
        assert running.complaints()["publish_refused"] == 2, "once for each run"


def test_what_no_queue_wants_is_counted_told_once_and_holds_up_nothing(tmp_path: Path, at: At) -> None:
    setting = Trial(tmp_path, at.node.url, at.exchange)
    with trial(setting) as running:
        running.service.wait_until_ready()
        running.service.sync()
        assert running.service.metric("watcher_unrouted_total") >= FILES
        assert running.service.metric("watcher_errors_total", stage="enqueue") == 0
        assert running.complaints()["event_unroutable"] == len({"file.created", "library.scanned"})
        assert len(_unrouted(tmp_path)) >= FILES

        running.consumer.subscribe()
        running.add(5)
        running.service.sync()
        running.consumer.drain()
        assert len(running.consumer.events("created")) == 5
        assert running.complaints()["event_unroutable"] == 2


def _unrouted(folder: Path) -> list[str]:
    """The ids of the events that the catalog keeps as unrouted."""
    catalog = folder / "state" / "file_watcher" / "catalog.sqlite3"
    with closing(sqlite3.connect(f"file:{catalog}?mode=ro", uri=True)) as connection:
        return [row[0] for row in connection.execute("SELECT event_id FROM fw_events WHERE unrouted")]
