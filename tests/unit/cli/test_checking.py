"""What `check` finds, one trouble at a time. No server is needed: none answers."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from file_watcher.cli import checking
from file_watcher.cli.addresses import is_free, shown
from file_watcher.model import Health
from tests.support.catalog import opened
from tests.support.ports import free_port
from tests.unit.cli.conftest import Invoke
from tests.unit.cli.test_pages import AWAY, WELL, serving


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that answers; the real one is asked in the integration tests."""
    monkeypatch.setattr(
        "file_watcher.publishing.consume.probe", lambda _config: Health("broker", ok=True, detail="answers")
    )


class Checked:
    """The findings of one `check`."""

    def __init__(self, invoke: Invoke, folder: Path, *arguments: str, **environment: str) -> None:
        (folder / "library").mkdir(exist_ok=True)
        here = {
            "DATA_DIR": str(folder / "library"),
            "XDG_STATE_HOME": str(folder / "state"),
            "WATCHER_HTTP_ADDR": f"127.0.0.1:{free_port()}",
        }
        self.result = invoke("check", "--json", *arguments, **here | environment)
        self.findings = json.loads(self.result.stdout)

    def about(self, subject: str) -> list[tuple[str, str]]:
        return [(one["mark"], one["detail"]) for one in self.findings if one["subject"] == subject]

    def bad(self) -> dict[str, str]:
        return {one["subject"]: one["detail"] for one in self.findings if one["mark"] == "problem"}


def test_where_all_is_well_the_exit_code_is_0_and_nothing_is_made(invoke: Invoke, tmp_path: Path) -> None:
    checked = Checked(invoke, tmp_path)
    assert checked.bad() == {}
    assert checked.result.exit_code == 0
    assert sorted(os.listdir(tmp_path)) == ["library"]


def test_for_people_the_findings_are_lines_with_a_verdict(invoke: Invoke, tmp_path: Path) -> None:
    told = invoke(
        "check", DATA_DIR=str(tmp_path / "later"), XDG_STATE_HOME=str(tmp_path / "s"), WATCHER_HTTP_ADDR="off"
    )
    lines = told.stdout.splitlines()
    assert all(line.startswith(("ok  ", "warning  ", "PROBLEM  ", "       ")) for line in lines[:-1])
    assert lines[-1] == "no problems, 2 warnings."


def test_the_origin_of_each_setting_is_told_but_no_value(invoke: Invoke, tmp_path: Path) -> None:
    config = tmp_path / "f.toml"
    config.write_text("rabbitmq_pass = 'hush'\n[file_watch]\nmax_wait = '7s'\n")
    checked = Checked(invoke, tmp_path, "--config", str(config), "--nice", "3")
    assert checked.about("configuration, option") == [("ok", "--nice")]
    assert "DATA_DIR" in checked.about("configuration, environment")[0][1]
    assert checked.about("configuration, file") == [("ok", "rabbitmq_pass, file_watch.max_wait")]
    assert "hush" not in checked.result.output


def test_a_deprecated_variable_is_a_warning(invoke: Invoke, tmp_path: Path) -> None:
    checked = Checked(invoke, tmp_path, DATA_DIR="", FILE_WATCHER_SCAN_PATH=str(tmp_path / "library"))
    assert [mark for mark, _ in checked.about("configuration")] == ["ok", "warning"]
    assert checked.result.exit_code == 0


def test_a_configuration_that_cannot_be_used_ends_with_2(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("check", "--data-dir", "/etc/passwd", "--max-wait", "later")
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert result.stdout == ""


def test_a_state_folder_that_cannot_be_made_is_a_problem(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    checked = Checked(invoke, tmp_path, XDG_STATE_HOME=str(tmp_path / "file"))
    assert "cannot be made" in checked.bad()["state folder"]
    assert checked.result.exit_code == 1


def test_a_state_folder_that_cannot_be_written_to_is_a_problem(invoke: Invoke, tmp_path: Path) -> None:
    checked = Checked(invoke, tmp_path, DATABASE_URL="sqlite:////proc/catalog.sqlite3")
    assert "'/proc' cannot be written to" in checked.bad()["state folder"]


def test_a_catalog_that_stands_is_opened_and_judged(invoke: Invoke, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.sqlite3"
    with opened(url):
        pass
    checked = Checked(invoke, tmp_path, DATABASE_URL=url)
    assert checked.about("catalog") == [("ok", f"{tmp_path}/c.sqlite3 answers; its schema is current")]


def test_a_catalog_of_a_newer_version_is_a_problem(invoke: Invoke, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.sqlite3"
    with opened(url) as database, database.writing() as connection:
        connection.exec_driver_sql("UPDATE fw_alembic_version SET version_num = '9999'")
    assert "newer" in Checked(invoke, tmp_path, DATABASE_URL=url).bad()["catalog"]


def test_a_catalog_that_is_none_is_a_problem(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "c.sqlite3").write_bytes(b"no database at all, " * 100)
    checked = Checked(invoke, tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/c.sqlite3")
    assert "no SQLite database" in checked.bad()["catalog"]
    assert "Traceback" not in checked.result.output


def test_a_database_server_that_is_away_is_one_problem_with_its_mend(invoke: Invoke, tmp_path: Path) -> None:
    url = f"127.0.0.1:{free_port()}/x"
    checked = Checked(invoke, tmp_path, DATABASE_URL=f"postgresql://me:hush@{url}", INSTANCE_ID="me")
    assert checked.bad() == {
        "catalog": f"The catalog postgresql://me:***@{url} does not answer (connection refused); "
        "settings that it holds are not known here"
    }
    assert [one["mend"] for one in checked.findings if one["subject"] == "catalog"] == [
        "start PostgreSQL there, or mend DATABASE_URL"
    ]
    assert checked.result.output.count("does not answer") == 1
    assert "hush" not in checked.result.output


def test_rows_of_the_database_are_an_origin(invoke: Invoke, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/c.sqlite3"
    with opened(url) as database, database.writing() as connection:
        connection.exec_driver_sql("INSERT INTO settings (key, value) VALUES ('file_watch.max_wait', '9s')")
    checked = Checked(invoke, tmp_path, DATABASE_URL=url)
    assert checked.about("configuration, database") == [("ok", "file_watch.max_wait")]


def test_a_broker_that_is_away_is_a_problem_that_loses_nothing(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "file_watcher.publishing.consume.probe",
        lambda _config: Health("broker", ok=False, detail="nobody there"),
    )
    checked = Checked(invoke, tmp_path)
    assert checked.bad() == {"broker": "nobody there"}
    assert [one["mend"] for one in checked.findings if one["subject"] == "broker"] == [
        "until then events are kept in the catalog, and delivered later"
    ]


def test_an_address_of_our_own_service_is_fine(invoke: Invoke, tmp_path: Path) -> None:
    with serving(WELL) as address:
        checked = Checked(invoke, tmp_path, WATCHER_HTTP_ADDR=shown(address))
    assert checked.about("http") == [("ok", f"{shown(address)} is served by file_watcher me")]


def test_a_service_that_is_not_healthy_is_a_problem(invoke: Invoke, tmp_path: Path) -> None:
    with serving(AWAY, vital=True) as address:
        checked = Checked(invoke, tmp_path, WATCHER_HTTP_ADDR=shown(address))
    assert "not healthy" in checked.bad()["http"]


def test_an_address_that_another_program_has_is_a_problem(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(checking, "_ANSWER_SECONDS", 0.1)
        checked = Checked(invoke, tmp_path, WATCHER_HTTP_ADDR=shown(other.getsockname()))
    assert "cannot be used: Address already in use" in checked.bad()["http"]


def test_an_address_of_another_machine_is_not_free() -> None:
    assert is_free(("192.0.2.1", 8085)) == "Cannot assign requested address"
    assert is_free(("no-such-host.invalid", 8085)) is not None
    assert is_free(("127.0.0.1", free_port())) is None


def test_an_address_is_shown_as_it_is_written() -> None:
    assert (shown(("::1", 1)), shown(("host", 2))) == ("[::1]:1", "host:2")


def test_without_a_home_folder_that_is_told_where_one_is_needed(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("file_watcher.settings.state.platformdirs.user_state_path", lambda _name: Path("~/x"))
    url = f"postgresql://me@127.0.0.1:{free_port()}/x"
    refused = invoke("check", XDG_STATE_HOME="", DATABASE_URL=url)
    assert refused.exit_code == 2
    assert "No home folder is known" in refused.stderr
    checked = Checked(invoke, tmp_path, XDG_STATE_HOME="", DATABASE_URL=url, INSTANCE_ID="me")
    assert checked.about("state folder") == []


def test_an_option_in_the_brokers_url_that_has_no_effect_is_refused_without_its_password(
    invoke: Invoke,
) -> None:
    told = invoke("check", RABBITMQ_URL="amqp://me:hush@host/%2F?socket_timeout=5", WATCHER_HTTP_ADDR="off")
    assert told.exit_code == 2
    assert "only heartbeat=SECONDS may stand" in " ".join(told.output.split())
    assert "hush" not in told.output
