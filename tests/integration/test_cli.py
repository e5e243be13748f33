"""The commands as processes: what they print, complain about and end with, beside real servers."""

from __future__ import annotations

import json
import signal
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from file_watcher.publishing.message import encode_job, routing_key
from tests.support.commands import cli, on_terminal, powerless, refused, started
from tests.support.databases import MOSTLY_POSTGRESQL
from tests.support.jobs import job
from tests.support.messages import recorded, validated
from tests.support.ports import free_port
from tests.support.rabbitmq import RabbitNode
from tests.support.service import ServiceProcess, running
from tests.support.subscriber import QUEUE, channel_to, subscribe
from tests.support.waiting import wait_for

# bad input: one clear line, exit code 2, no traceback


def test_a_file_instead_of_a_folder_is_refused(home: Path) -> None:
    (home / "file").write_bytes(b"")
    assert "is not a folder; name a folder" in refused(cli("run", DATA_DIR=str(home / "file")))


def test_a_folder_that_may_not_be_read_is_refused(home: Path) -> None:
    (home / "library").chmod(0)
    try:
        assert "may not be listed" in refused(powerless("run"))
    finally:
        (home / "library").chmod(0o755)


def test_two_roots_inside_one_another_are_refused(home: Path) -> None:
    (home / "library" / "sub").mkdir()
    both = f"{home}/library:{home}/library/sub"
    assert "lies in" in refused(cli(DATA_DIR=both))


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("FILE_WATCH_PATTERNS", "[ab", "bracket that is not closed"),
        ("FILE_WATCH_PATERNS", "*.mp3", "did you mean FILE_WATCH_PATTERNS?"),
        ("RABBITMQ_URL", "http://me:hush@host", "write amqp://"),
        ("DATABASE_URL", "mysql://me:hush@host/x", "only SQLite and PostgreSQL"),
        ("FILE_WATCH_DEBOUNCE_TIME", "soon", "write a duration such as"),
        ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING"),
    ],
)
def test_a_setting_that_cannot_be_used_is_refused(home: Path, variable: str, value: str, words: str) -> None:
    result = cli("run", **{variable: value})
    assert words in refused(result)
    assert "hush" not in result.stderr


def test_all_that_is_wrong_is_told_at_once(home: Path) -> None:
    result = cli("run", "--max-wait", "later", LOG_FORMAT="pretty", RABBITMQ_PORT="none")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 3


def test_an_occupied_port_is_refused(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        line = refused(cli("run", WATCHER_HTTP_ADDR=f"127.0.0.1:{other.getsockname()[1]}"))
    assert "the address is taken by another program" in line


def test_a_state_folder_that_is_read_only_is_refused(home: Path) -> None:
    (home / "state" / "file_watcher").mkdir(parents=True)
    (home / "state" / "file_watcher").chmod(0o555)
    line = refused(powerless("run"))
    assert "cannot be written to (Permission denied)" in line
    assert "XDG_STATE_HOME or DATABASE_URL" in line


def test_a_catalog_of_a_newer_version_is_refused(home: Path) -> None:
    assert cli("migrate").returncode == 0
    with closing(sqlite3.connect(home / "state" / "file_watcher" / "catalog.sqlite3")) as connection:
        connection.execute("UPDATE fw_alembic_version SET version_num = '9999'")
        connection.commit()
    assert "whose schema this version does not know" in refused(cli("run", LOG_LEVEL="CRITICAL"))


def test_a_user_that_the_database_does_not_know_is_refused(home: Path, postgres_url: str) -> None:
    url = postgres_url.replace("//watcher@", "//nobody:hush@")
    result = cli("run", DATABASE_URL=url, LOG_LEVEL="CRITICAL")
    assert "check user, password and database in DATABASE_URL" in refused(result)
    assert "hush" not in result.stderr


# migrate


def test_migrate_makes_the_schema_and_says_how_it_stands(home: Path, database_url: str) -> None:
    def migrate(*arguments: str) -> tuple[int, str]:
        result = cli("migrate", *arguments, DATABASE_URL=database_url)
        assert "Traceback" not in result.stderr
        return result.returncode, result.stdout + result.stderr

    code, told = migrate("--check")
    assert (code, "is not made yet" in told) == (1, True)
    code, told = migrate()
    assert (code, "is made" in told) == (0, True)
    code, told = migrate("--check")
    assert (code, "is current" in told) == (0, True)
    code, told = migrate()
    assert (code, "was current already" in told) == (0, True)


# check


def test_check_finds_the_broker_or_not(home: Path, broker_url: str, exchange: str) -> None:
    up = cli("check", RABBITMQ_URL=broker_url, RABBITMQ_EXCHANGE=exchange)
    assert up.returncode == 0, up.stdout
    assert "will be made at the first run" in up.stdout
    down = cli("check")
    assert down.returncode == 1
    assert "PROBLEM  broker: nothing listens at localhost:" in down.stdout
    assert "Traceback" not in up.stderr + down.stderr


def test_check_looks_at_the_exchange_of_jobs_where_a_library_has_rules_for_them(
    home: Path, broker_url: str, exchange: str
) -> None:
    def checked(**environment: str) -> dict[str, tuple[str, str, str | None]]:
        with_broker = {"RABBITMQ_URL": broker_url, "RABBITMQ_EXCHANGE": exchange} | environment
        document = json.loads(cli("check", "--json", **with_broker).stdout)
        return {each["subject"]: (each["mark"], each["detail"], each["mend"]) for each in document}

    (home / "incoming").mkdir()
    assert "broker, jobs" not in checked()
    assert cli("migrate").returncode == 0
    assert cli("library", "add", str(home / "incoming"), "--type", "staging").returncode == 0
    mark, detail, _ = checked()["broker, jobs"]
    assert (mark, "exchange 'file_jobs' will be made at the first run" in detail) == ("ok", True)

    with channel_to(broker_url) as channel:
        channel.exchange_declare("file_jobs", exchange_type="fanout")
    found = checked(RABBITMQ_DECLARE="passive", RABBITMQ_JOBS_EXCHANGE="nowhere")
    assert "there is no exchange 'nowhere': create it" in found["broker, jobs"][1]
    assert found["broker"][0] == "problem", "that one is not there either, and both are told at once"
    mark, detail, mend = checked()["broker, jobs"]
    assert (mark, "choose another RABBITMQ_JOBS_EXCHANGE" in detail) == ("problem", True)
    assert mend is not None
    assert "jobs and the events behind them are kept" in mend
    assert cli("library", "set", "incoming", "jobs=off").returncode == 0
    assert "broker, jobs" not in checked()


def test_check_tells_a_password_that_the_broker_refuses(home: Path, rabbit: RabbitNode) -> None:
    result = cli("check", "--json", RABBITMQ_URL=rabbit.url.replace("guest:guest", "guest:hush"))
    findings = {finding["subject"]: finding for finding in json.loads(result.stdout)}
    assert result.returncode == 1
    assert "refused user 'guest'" in findings["broker"]["detail"]
    assert "hush" not in result.stdout


def test_check_looks_at_postgresql(home: Path, postgres_url: str) -> None:
    told = cli("check", DATABASE_URL=postgres_url).stdout
    assert "its schema will be made" in told


# consume


def publish(url: str, *numbers: int) -> list[object]:
    """Publish messages as the service does; returns what they say."""
    messages = [recorded(number) for number in numbers]
    with channel_to(url) as channel:
        for one in messages:
            channel.basic_publish("file_events", one.routing_key, one.body)
    return [json.loads(one.body) for one in messages]


def test_consume_prints_one_line_of_json_for_each_message(home: Path, broker_url: str) -> None:
    subscribe(broker_url)
    published = publish(broker_url, 1, 2, 3)
    result = cli("consume", "--queue", QUEUE, "--count", "2", "--json", RABBITMQ_URL=broker_url)
    assert result.returncode == 0
    assert [json.loads(line) for line in result.stdout.splitlines()] == published[:2]
    assert result.stderr == ""


def test_consume_subscribes_to_what_its_routing_keys_ask_for(home: Path, broker_url: str) -> None:
    subscribe(broker_url)
    with started("consume", "file.created", "--count", "1", RABBITMQ_URL=broker_url) as process:

        def told() -> bool:
            publish(broker_url, 1)
            return process.poll() is not None

        wait_for(told, "the consumer to have had its message", 20, every=0.1)
        assert process.stdout is not None
        assert " created " in process.stdout.read()
        assert process.returncode == 0


def test_consume_binds_to_the_jobs_before_there_ever_was_one(home: Path, broker_url: str) -> None:
    about = job(path=b"/m/Album")
    line = [encode_job(about, "abc12345")]
    with (
        on_terminal("consume", "--jobs", "maintenance.#", "--count", "1", RABBITMQ_URL=broker_url) as (
            one,
            screen,
        ),
        on_terminal("consume", "--jobs", "--json", "--count", "2", RABBITMQ_URL=broker_url) as (two, text),
    ):
        wait_for(lambda: "Waiting for jobs maintenance.# at" in screen(), "the first subscription", 20)
        wait_for(lambda: "Waiting for jobs # at" in text(), "the second one", 20)
        with channel_to(broker_url) as channel:
            for key in ("staging.media.scan", routing_key(about)):
                channel.basic_publish("file_jobs", key, line[0])
        assert (one.wait(20), two.wait(20)) == (0, 0)
        wait_for(lambda: "for maintenance" in screen(), "the line of the job", 20)
        assert " media:scan music  /m/Album  for maintenance  2 created, 1 moved" in screen()
        wait_for(lambda: text().count("job_id") == 2, "both jobs", 20)
    documents = [
        validated(each.encode(), routing_key(about)) for each in text().splitlines() if "job_id" in each
    ]
    assert [each["type"] for each in documents] == ["media:scan"] * 2


def test_consume_says_who_makes_the_exchange_of_jobs_where_it_must_not(home: Path, broker_url: str) -> None:
    told = refused(cli("consume", "--jobs", RABBITMQ_URL=broker_url, RABBITMQ_DECLARE="passive"))
    assert "has no exchange 'file_jobs': make it (type topic, durable)" in told
    with channel_to(broker_url) as channel:
        channel.exchange_declare("file_jobs", "fanout")
    told = refused(cli("consume", "--jobs", RABBITMQ_URL=broker_url))
    assert "'file_jobs'" in told
    assert "RABBITMQ_JOBS_EXCHANGE" in told


def test_ctrl_c_ends_consume_with_0(home: Path, broker_url: str) -> None:
    subscribe(broker_url)
    with on_terminal("consume", RABBITMQ_URL=broker_url) as (process, screen):
        wait_for(lambda: "Waiting for events #" in screen(), "the subscription", 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_consume_ends_quietly_when_its_reader_is_gone(home: Path, broker_url: str) -> None:
    subscribe(broker_url)
    publish(broker_url, 1)
    with started("consume", "--queue", QUEUE, "--json", RABBITMQ_URL=broker_url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        publish(broker_url, 2)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_consume_says_what_is_wrong_in_one_line(home: Path, broker_url: str) -> None:
    assert "has no exchange 'file_events'" in refused(cli("consume", RABBITMQ_URL=broker_url))
    assert "has no queue 'nope'" in refused(cli("consume", "--queue", "nope", RABBITMQ_URL=broker_url))
    wrong = cli("consume", RABBITMQ_URL=broker_url.replace("guest:guest", "guest:hush"))
    assert "check the name and the password" in refused(wrong)
    assert "hush" not in wrong.stderr
    assert "start RabbitMQ there" in refused(cli("consume"), code=1)


# beside a running service


@pytest.fixture
def service(home: Path, broker_url: str, exchange: str, database_url: str) -> ServiceProcess:
    (home / "library" / "a.txt").write_bytes(b"some bytes")
    patterns = {"FILE_WATCH_PATTERNS": "*.txt"}
    return ServiceProcess(home, home / "library", broker_url, exchange, database_url, **patterns)


@MOSTLY_POSTGRESQL
def test_a_running_service_answers_every_command(service: ServiceProcess, home: Path) -> None:
    with running(service):
        sync = service.command("sync", "--json")
        assert (sync.returncode, json.loads(sync.stdout)["confirmed"]) == (0, True)
        (home / "library" / "b.txt").write_bytes(b"more bytes")
        scan = service.command("scan")
        assert (scan.returncode, scan.stderr) == (0, "")
        assert scan.stdout.startswith("2 files in 1 library: ")
        service.sync()
        status = service.command("status", "--json")
        document = json.loads(status.stdout)
        assert status.returncode == 0, document
        assert document["instances"][0]["ready"] is True
        assert document["instances"][0]["pid"] == service.process.pid  # type: ignore[union-attr]
        assert [library["files"] for library in document["libraries"]] == [2]
        assert document["outbox"]["waiting"] == 0
        with on_terminal("scan", **service.environment) as (process, screen):
            wait_for(lambda: "files in 1 library" in screen(), "the result of the scan", 20)
            assert process.wait(10) == 0
        assert " is ready: process " in service.command("status").stdout
        assert service.command("status", "--healthy").returncode == 0
        assert refused(service.command("approve", "nothing"))
        checked = service.command("check")
        assert checked.returncode == 0, checked.stdout
        assert "is served by file_watcher" in checked.stdout


def test_a_terminal_without_its_settings_hears_what_a_running_service_uses(
    home: Path, broker_url: str, exchange: str
) -> None:
    service = ServiceProcess(home, home / "library", broker_url, exchange)
    bare = {"DATA_DIR": "", "RABBITMQ_EXCHANGE": ""}
    with running(service):
        port = broker_url.rpartition(":")[2].partition("/")[0]
        wait_for(lambda: "is ready: process " in cli("status").stdout, "the heartbeat", 20)
        checked = cli("check", WATCHER_HTTP_ADDR=f"127.0.0.1:{service.port}", **bare)
        assert checked.returncode == 1, "RABBITMQ_PORT is set here, and nobody listens there"
        words = " ".join(checked.stdout.split())
        assert f"uses exchange {exchange} at 127.0.0.1:{port}, vhost" in words
        assert "and is connected" in words
        assert f"watches {home}/library" in words
        assert "/data/music" not in words
        without_broker = cli("check", RABBITMQ_PORT="", WATCHER_HTTP_ADDR=f"127.0.0.1:{service.port}", **bare)
        assert without_broker.returncode == 0, without_broker.stdout
        line = refused(cli("consume", **bare), code=1)
        assert "set the same RABBITMQ_URL and RABBITMQ_EXCHANGE here" in line


def test_a_service_that_was_killed_is_not_waited_for(home: Path, broker_url: str, exchange: str) -> None:
    service = ServiceProcess(home, home / "library", broker_url, exchange)
    with running(service):
        service.kill()
        assert "No service runs with the catalog" in refused(service.command("sync"), code=1)
        assert service.command("status", "--healthy").returncode == 1
        assert service.command("status").returncode == 1


def test_a_second_service_with_the_same_catalog_is_refused(
    home: Path, broker_url: str, exchange: str
) -> None:
    service = ServiceProcess(home, home / "library", broker_url, exchange)
    with running(service):
        line = refused(service.command("run", "--watcher-http-addr", "off", "--log-level", "CRITICAL"))
        assert "set INSTANCE_ID or DATABASE_URL" in line


def test_a_second_service_by_the_same_settings_hears_of_the_catalog_and_not_of_the_address(
    service: ServiceProcess,
) -> None:
    with running(service):
        line = refused(service.command("run", "--log-level", "CRITICAL"))
        assert "Another file_watcher" in line
        assert "INSTANCE_ID" in line
        line = refused(service.command("run", "--log-level", "CRITICAL", "--instance-id", "another"))
        assert ("the address is taken" in line) is ("postgresql" in service.environment["DATABASE_URL"])


def test_a_sync_without_a_broker_says_what_it_waits_for(home: Path) -> None:
    (home / "library" / "a.mp3").write_bytes(b"no music")
    with on_terminal("run", LOG_LEVEL="INFO") as (process, screen):
        wait_for(lambda: "library_scanned" in screen(), "the scan", 20)
        told = refused(cli("sync", "--timeout", "1"), code=1)
        assert "messages wait to be confirmed; broker: nothing listens at localhost:" in told
        with on_terminal("sync", "--timeout", "30") as (_waiting, wait):
            wait_for(lambda: "sync waits: broker: nothing listens" in wait(), "the reason above the bar", 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_person_on_a_terminal_sees_what_is_watched_what_happens_and_that_it_stops(
    home: Path, broker_url: str, exchange: str
) -> None:
    settings = {"RABBITMQ_URL": broker_url, "RABBITMQ_EXCHANGE": exchange, "NO_COLOR": "1"}
    with on_terminal("--patterns", "*.txt", **settings) as (process, screen):
        wait_for(lambda: "service_started" in screen(), "the start", 20)
        assert f"Watching {home}/library" in screen()
        assert f"exchange {exchange} at 127.0.0.1:" in screen()
        (home / "library" / "song.txt").write_bytes(b"la")
        wait_for(lambda: "song.txt" in screen(), "the line of the event", 20)
        (home / "other").mkdir()
        (home / "other" / "added.txt").write_bytes(b"la")
        assert cli("library", "add", str(home / "other")).returncode == 0
        wait_for(lambda: "  added.txt" in screen(), "the line of an event in a library that was added", 20)
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: screen().count("library_scanned") >= 2, "another scan", 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        wait_for(lambda: "Stopping …" in screen(), "the last word")
        assert "\x1b[" not in screen()


def test_a_missing_folder_is_waited_for_and_that_is_said(home: Path) -> None:
    with on_terminal("run", DATA_DIR=str(home / "later")) as (process, screen):
        wait_for(lambda: "not there yet: it is waited for" in " ".join(screen().split()), "the word", 20)
        assert process.poll() is None
        wait_for(lambda: "library_not_watched" in screen() or "suspended" in screen(), "the suspension", 20)
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_the_health_of_nobody_is_1_with_a_reason(home: Path) -> None:
    told = cli("status", "--healthy", "--watcher-http-addr", f"127.0.0.1:{free_port()}")
    assert "no running service answers" in refused(told, code=1)
