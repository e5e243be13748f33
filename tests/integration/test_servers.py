"""The tests' own servers: they answer, survive what tests do to them, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pika
import psutil
import psycopg
import pytest

from tests.support.leaks import Belongings
from tests.support.ports import accepts
from tests.support.postgresql import PostgresCluster
from tests.support.processes import ServerFailed
from tests.support.rabbitmq import RabbitNode
from tests.support.tones import ENCODINGS, TAGS
from tests.support.waiting import wait_for


def _publish_and_get(url: str, queue: str) -> bytes:
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.basic_publish("", queue, b"hello")
        return bytes(wait_for(lambda: channel.basic_get(queue, auto_ack=True)[2], "the message"))
    finally:
        connection.close()


def test_a_message_goes_through_the_session_s_node(rabbit: RabbitNode) -> None:
    assert _publish_and_get(rabbit.url, "servers-check") == b"hello"


def test_a_vhost_is_fresh_and_belongs_to_guest(rabbit: RabbitNode, vhost: str, broker_url: str) -> None:
    assert vhost in rabbit.ctl("list_vhosts", "name").splitlines()
    assert rabbit.ctl("list_queues", "--vhost", vhost, "name").split() in ([], ["name"])
    assert _publish_and_get(broker_url, "work") == b"hello"


def test_a_node_keeps_ports_and_durable_messages_through_a_crash(private_rabbit: RabbitNode) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(private_rabbit.url))
    channel = connection.channel()
    channel.queue_declare("kept", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "kept", b"still here", pika.BasicProperties(delivery_mode=2))
    connection.close()
    private_rabbit.write_down()
    port = private_rabbit.port

    private_rabbit.kill9()

    assert not accepts(port)
    private_rabbit.start()
    assert private_rabbit.port == port
    again = pika.BlockingConnection(pika.URLParameters(private_rabbit.url))
    assert again.channel().basic_get("kept", auto_ack=True)[2] == b"still here"
    again.close()


def test_a_suspended_node_is_silent_until_it_is_resumed(rabbit: RabbitNode) -> None:
    rabbit.suspend()
    try:
        with socket.create_connection((rabbit.host, rabbit.port), timeout=0.5) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            with pytest.raises(TimeoutError):
                connection.recv(1)
    finally:
        rabbit.resume()
    assert _publish_and_get(rabbit.url, "servers-check") == b"hello"


def test_a_stopped_application_closes_the_port_until_it_is_started(rabbit: RabbitNode) -> None:
    rabbit.stop_app()
    try:
        assert not accepts(rabbit.port)
    finally:
        rabbit.start_app()
    assert accepts(rabbit.port)


def test_an_order_that_the_node_refuses_is_raised_with_its_words(rabbit: RabbitNode) -> None:
    with pytest.raises(ServerFailed, match="no_such_vhost"):
        rabbit.ctl("delete_vhost", "no_such_vhost")


def test_each_test_has_an_empty_database_of_its_own(postgres: PostgresCluster, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE mine (x int)")
    other = postgres.create_database("another_test")
    with psycopg.connect(other) as connection:
        assert connection.execute("SELECT to_regclass('mine')").fetchone() == (None,)
    postgres.drop_database("another_test")


def test_committed_rows_survive_the_crash_of_the_cluster(
    postgres: PostgresCluster, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS x")
    postgres.kill9()
    assert not accepts(postgres.port)
    postgres.start()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (7,)


def test_terminated_connections_notice_it_and_new_ones_are_accepted(
    postgres: PostgresCluster, postgres_url: str
) -> None:
    connection = psycopg.connect(postgres_url)
    postgres.terminate_connections()
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
    psycopg.connect(postgres_url).close()


def test_database_url_names_an_empty_database_of_either_kind(database_url: str) -> None:
    assert database_url.startswith(("sqlite:///", "postgresql://"))
    if database_url.startswith("postgresql"):
        with psycopg.connect(database_url) as connection:
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
            assert tables.fetchone() == (0,)
    else:
        assert not Path(database_url.removeprefix("sqlite:///")).exists()


def test_the_tagged_library_holds_a_distinct_real_file_of_every_extension(tagged_library: Path) -> None:
    files = sorted(path for path in tagged_library.iterdir() if path.is_file())
    assert {path.suffix for path in files} == {f".{extension}" for extension in ENCODINGS}
    assert len({path.read_bytes() for path in files}) == len(ENCODINGS)
    assert len(list((tagged_library / "sounds").glob("*.oga"))) == 5
    probe = [
        "ffprobe",
        "-v",
        "error",
        "-show_entries",
        "format_tags=artist:stream_tags=artist",
        "-of",
        "csv=p=0",
    ]
    for path in files:
        # Raw AAC has no room for tags but an ID3 header, which ffprobe reads like that of any other file.
        told = subprocess.run([*probe, path], capture_output=True, text=True, check=True, timeout=20).stdout
        assert TAGS["artist"] in told, path


def test_a_killed_test_run_leaves_no_server_behind(tmp_path: Path) -> None:
    program = (
        "import sys, threading; from pathlib import Path; from tests.support.rabbitmq import RabbitNode\n"
        "node = RabbitNode(Path(sys.argv[1])); node.start(); print(*node.pids, flush=True)\n"
        "threading.Event().wait()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "node")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        pids = [int(word) for word in run.stdout.readline().split()]
        assert len(pids) == 2
        assert all(psutil.pid_exists(pid) for pid in pids)
        os.kill(run.pid, signal.SIGKILL)
    wait_for(lambda: not any(_alive(pid) for pid in pids), "the end of broker and port mapper")


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_servers_of_the_session_do_not_count_as_leaks_but_others_do(rabbit: RabbitNode) -> None:
    assert not any("beam" in child for child in Belongings.now(rabbit.pids).children)
    assert any("beam" in child for child in Belongings.now().children)
