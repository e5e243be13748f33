"""`events`, `verify` and `duplicates` as processes: beside a running service, on terminals, stopped and killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import cli, on_terminal, refused, started
from tests.support.messages import validated
from tests.support.service import ServiceProcess, running
from tests.support.waiting import wait_for

MEGABYTE = 1_000_000


@pytest.fixture
def service(home: Path, broker_url: str, exchange: str) -> ServiceProcess:
    return ServiceProcess(home, home / "library", broker_url, exchange, FILE_WATCH_PATTERNS="*.txt")


def documents(told: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in told.splitlines()]


def test_what_a_service_tells_can_be_read_followed_and_verified(service: ServiceProcess, home: Path) -> None:
    library = home / "library"
    (library / "a.txt").write_bytes(b"the same")
    with (
        running(service),
        on_terminal("events", "-f", "-n", "0", **service.environment) as (follower, screen),
    ):
        wait_for(lambda: "STATE" in screen(), "the heading", 20)
        (library / "b.txt").write_bytes(b"the same")
        service.sync()
        (library / "b.txt").rename(library / "c.txt")
        service.sync()
        told = documents(service.command("events", "--json", "--last", "0").stdout)
        assert {each["state"] for each in told} <= {"sent", "unrouted"}
        files = [each for each in told if each["routing_key"].startswith("file.")]
        assert [each["event_type"] for each in files] == ["created", "created", "renamed"]
        for each in files:
            validated(json.dumps(each["message"]).encode(), each["routing_key"])
        (renamed,) = documents(
            service.command("events", "--json", "--type", "renamed", "--path", str(library / "b.txt")).stdout
        )
        assert renamed["old_path"] == renamed["message"]["old_path"] == str(library / "b.txt")
        wait_for(lambda: "b.txt → c.txt" in screen(), "the event to be shown", 20)
        follower.send_signal(signal.SIGINT)
        assert follower.wait(10) == 0

        with started("events", "--json", "--last", "0", **service.environment) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline()
            process.stdout.close()  # as `| head -1` does
            assert process.wait(20) == 0
            assert process.stderr.read() == ""

        alike, total = documents(service.command("duplicates", "--json").stdout)
        assert {each["path"] for each in alike["files"]} == {f"{library}/a.txt", f"{library}/c.txt"}
        assert total["total"] == {"groups": 1, "files": 2, "wasted_bytes": 8, "unhashed": 0}
        intact = service.command("verify")
        assert (intact.returncode, intact.stderr) == (0, "")
        assert intact.stdout.startswith("2 of 2 files are intact (16 B in ")
    flip_a_bit(library / "a.txt")
    damaged = service.command("verify", "--json")
    assert damaged.returncode == 1
    finding, summary = documents(damaged.stdout)
    assert (finding["verdict"], finding["path"]) == ("altered", f"{library}/a.txt")
    assert (summary["summary"]["intact"], summary["summary"]["altered"]) == (1, 1)


def flip_a_bit(file: Path) -> None:
    """While no service runs, and with the mtime put back."""
    before, content = file.stat(), bytearray(file.read_bytes())
    content[0] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture
def catalogued(home: Path) -> Path:
    """Twenty files of a megabyte, told to a broker that is away. The service has ended."""
    library = home / "library"
    for number in range(20):
        (library / f"{number:02d}.txt").write_bytes(b"%02d" % number * (MEGABYTE // 2))
    with started("run", FILE_WATCH_PATTERNS="*.txt", FILE_WATCH_DEBOUNCE_TIME="50ms") as service:
        wait_for(lambda: recorded_files(home) == 20, "all files to be told", 30, every=0.1)
        service.send_signal(signal.SIGTERM)
        assert service.wait(15) == 0
    return library


def recorded_files(home: Path) -> int:
    """Asked without a process for each look."""
    catalog = home / "state" / "file_watcher" / "catalog.sqlite3"
    if not catalog.exists():
        return 0
    with closing(sqlite3.connect(catalog)) as connection:
        try:
            count: int = connection.execute("SELECT count(*) FROM fw_files").fetchone()[0]
        except sqlite3.OperationalError:  # the tables are being made
            return 0
    return count


def test_a_verification_goes_on_after_ctrl_c_and_after_a_kill(home: Path, catalogued: Path) -> None:
    flip_a_bit(catalogued / "00.txt")
    with on_terminal("verify", "--limit-rate", "10MB", NO_COLOR="1") as (process, screen):
        wait_for(lambda: "10%" in screen(), "the bar to move", 20)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        wait_for(lambda: "the same command goes on there" in screen(), "the last word")
    bar = screen()
    assert "MB/s" in bar
    assert "left" in bar
    assert f"ALTERED     {catalogued}/00.txt" in bar
    assert "\x1b[3" not in bar  # no colour, though the bar is drawn
    with started("verify", "--limit-rate", "4MB") as killed:
        state = next((home / "state" / "file_watcher").glob("verify-*.json"))
        before = state.read_bytes()
        wait_for(lambda: state.read_bytes() != before, "the place to be kept", 20, every=0.05)
        killed.kill()
        killed.wait()
    at = json.loads(state.read_bytes())
    assert 1 < sum(at["counts"].values()) < 20
    last = cli("verify", "--json")
    assert last.returncode == 1
    finding, summary = documents(last.stdout)
    assert finding["verdict"] == "altered"
    assert (summary["summary"]["files"], summary["summary"]["intact"]) == (20, 19)
    assert not state.exists()


def test_without_a_catalog_a_command_that_reads_it_says_so(home: Path) -> None:
    assert "no service has run with it yet" in refused(cli("verify"))
    assert not (home / "state").exists()
