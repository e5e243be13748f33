"""The house keeps what it says: locks, configuration files, make targets, directions, nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from file_watcher.settings import load
from file_watcher.settings.variables import BY_TOML
from tests.support import debian, leaks
from tests.support.leaks import Belongings, leaked_since
from tests.support.waiting import wait_for

HOUSE = Path(__file__).parents[2]
EXAMPLE = HOUSE / "config" / "file_watcher.toml"
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
_SETTING = re.compile(r"^#(?=[a-z_]+ = )", re.MULTILINE)


def project() -> dict[str, Any]:
    return tomllib.loads((HOUSE / "pyproject.toml").read_text())


def pins(lock: str) -> dict[str, str]:
    """Package → version of a lock file."""
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", (HOUSE / lock).read_text(), re.MULTILINE))


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower() for requirement in requirements}


# the lock files


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_hashes_for_every_pin_and_names_no_place(lock: str) -> None:
    text = (HOUSE / lock).read_text()
    # One package may have a version for each of several Pythons, told apart by a marker.
    pinned = re.findall(r"^[a-z0-9._-]+==", text, re.MULTILINE)
    hashed = re.findall(r"^\S+==.*?\\\n\s+--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(hashed) == len(pinned)
    assert "://" not in text
    assert not re.search(r"(^|\s)(-e|file:|/)", text)


def test_every_dependency_is_locked_and_nothing_is_locked_twice_in_different_versions() -> None:
    runtime, development, build = map(pins, LOCKS)
    assert names(project()["project"]["dependencies"]) <= runtime.keys()
    assert names(project()["project"]["optional-dependencies"]["dev"]) <= development.keys()
    assert names(project()["build-system"]["requires"]) <= build.keys()
    assert runtime.items() <= development.items()
    assert build.items() <= development.items()


def test_what_only_development_needs_is_not_in_the_runtime_lock() -> None:
    assert not {"pytest", "ruff", "mypy", "hatchling", "hypothesis", "psutil", "uv"} & pins(LOCKS[0]).keys()


# the configuration file


def test_the_annotated_file_names_every_setting_and_no_other() -> None:
    told = tomllib.loads(_SETTING.sub("", EXAMPLE.read_text()))
    watch = told.pop("file_watch")
    assert {*told, *(f"file_watch.{key}" for key in watch)} == set(BY_TOML)


def test_the_annotated_file_shows_the_defaults() -> None:
    told = tomllib.loads(_SETTING.sub("", EXAMPLE.read_text()))
    told.update({f"file_watch.{key}": value for key, value in told.pop("file_watch").items()})
    wrong = {}
    for key, shown in told.items():
        variable = BY_TOML[key]
        default = variable.model.model_fields[variable.field].default
        if default is not None and variable.read(shown) != default:
            wrong[key] = shown
    assert wrong == {}


def test_the_annotated_file_loads_as_it_is_and_changes_nothing(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    loaded = load({}, environment, config_file=EXAMPLE)
    assert loaded.settings == load({}, environment).settings
    assert loaded.config_file == EXAMPLE


# make


def test_make_help_lists_every_target_that_a_person_may_call() -> None:
    makefile = (HOUSE / "Makefile").read_text()
    told = subprocess.run(["make", "help"], cwd=HOUSE, capture_output=True, text=True, check=True).stdout
    listed = re.findall(r"^  make ([a-z-]+) +\S", told, re.MULTILINE)
    assert listed == re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert {"run", "install", "test", "lint", "format", "lock", "bench", "clean", "help"} <= set(listed)


def fake(folder: Path, program: str, script: str) -> Path:
    """A program of that name that does what the shell script says."""
    path = folder / program
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def make_install(folder: Path, python: Path) -> subprocess.CompletedProcess[str]:
    """`make install` in a folder of its own, with programs of that folder before all others."""
    shutil.copy(HOUSE / "Makefile", folder)
    for name in ("pyproject.toml", *LOCKS):
        (folder / name).touch()
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["make", "install", f"PYTHON={python}"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_python_that_is_too_old_is_refused_in_plain_words(tmp_path: Path) -> None:
    old = fake(tmp_path, "old-python", '[ "$1" = --version ] && echo Python 3.9.2\nexit 1')
    done = make_install(tmp_path, old)
    assert done.returncode == 2
    assert f"file_watcher needs Python 3.11 or newer, and {old} is not: Python 3.9.2." in done.stderr
    assert not (tmp_path / ".venv").exists()


_PYTHON_WITHOUT_ENSUREPIP = """
case "$*" in *ensurepip*) [ -e "$(dirname "$0")/installed" ] ;; *) echo "python $*" ;; esac
"""


def test_who_may_not_install_python3_venv_is_told_to(tmp_path: Path) -> None:
    bare = fake(tmp_path, "bare-python", _PYTHON_WITHOUT_ENSUREPIP)
    fake(tmp_path, "id", "echo 1000")
    fake(tmp_path, "sudo", "exit 1")
    fake(tmp_path, "apt-get", "touch installed")
    done = make_install(tmp_path, bare)
    assert done.returncode == 2
    assert "As root: apt-get install -q -y python3-venv" in done.stderr
    assert not (tmp_path / "installed").exists()


def test_python3_venv_is_installed_by_sudo_where_no_password_is_asked(tmp_path: Path) -> None:
    bare = fake(tmp_path, "bare-python", _PYTHON_WITHOUT_ENSUREPIP)
    fake(tmp_path, "id", "echo 1000")
    fake(tmp_path, "sudo", '[ "$1" = -n ] && shift && "$@"')
    fake(tmp_path, "apt-get", 'echo "apt-get $*, $DEBIAN_FRONTEND" >&2; [ "$1" = update ] || touch installed')
    done = make_install(tmp_path, bare)
    assert re.search(r"^apt-get update -q", done.stderr, re.MULTILINE)
    assert "\napt-get install -q -y python3-venv, noninteractive\n" in done.stderr
    assert "python -m venv .venv" in done.stdout


def test_the_build_server_runs_the_command_of_the_readme_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(HOUSE / ".ci" / "run", tmp_path / ".ci")
    fake(tmp_path, "make", 'echo "$PWD: make $*"; exit 7')
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "CI": "true"}
    command = ["bash", str(tmp_path / ".ci" / "run")]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, f"{tmp_path}: make test\n")


# directions between the folders


def test_every_contract_of_the_folders_notices_when_it_is_broken(tmp_path: Path) -> None:
    contracts = [contract["name"] for contract in project()["tool"]["importlinter"]["contracts"]]
    shutil.copy(HOUSE / "pyproject.toml", tmp_path)
    shutil.copytree(HOUSE / "file_watcher", tmp_path / "file_watcher")
    libraries = ["watchdog", "pika", "mutagen", "sqlalchemy", "prometheus_client", "typer", "pathspec"]
    lines = "".join(f"import {library}\n" for library in ("file_watcher.settings", *libraries))
    (tmp_path / "file_watcher" / "model.py").write_text(lines)
    told = _lint_imports(tmp_path)
    assert re.findall(r"^(.*) BROKEN$", told, re.MULTILINE) == contracts


def test_the_parts_do_not_know_one_another() -> None:
    told = _lint_imports(HOUSE)
    assert "0 broken." in told, told


def _lint_imports(folder: Path) -> str:
    program = Path(sys.executable).parent / "lint-imports"
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    command = [str(program), "--no-cache"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    ).stdout


# nothing is left behind


def nobody() -> frozenset[int]:
    return frozenset()


@pytest.fixture
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "_GRACE_SECONDS", 0.1)


@contextmanager
def a_thread() -> Iterator[str]:
    end = threading.Event()
    thread = threading.Thread(target=end.wait, name="left-over")
    thread.start()
    yield "left-over"
    end.set()
    thread.join()


@contextmanager
def a_process() -> Iterator[str]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        yield f"{process.pid} cat"


@contextmanager
def a_grandchild() -> Iterator[str]:
    with subprocess.Popen(["sh", "-c", "cat; true"], stdin=subprocess.PIPE):
        wait_for(lambda: any(" cat" in name for name in Belongings.now().children), "the grandchild")
        yield " cat"


@contextmanager
def a_descriptor() -> Iterator[str]:
    reader, writer = os.pipe()
    yield f"{writer} → pipe:"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("leak", [a_thread, a_process, a_grandchild, a_descriptor])
@pytest.mark.usefixtures("short_grace")
def test_what_a_test_leaves_behind_is_named(leak: Any) -> None:
    before = Belongings.now()
    with leak() as description:
        assert description in "\n".join(leaked_since(before, nobody))
    assert leaked_since(before, nobody) == []


def test_what_ends_by_itself_within_the_grace_is_no_leak() -> None:
    before = Belongings.now()
    thread = threading.Timer(0.1, lambda: None)
    thread.start()
    assert leaked_since(before, nobody) == []
    thread.join()


def test_a_test_that_leaks_fails(tmp_path: Path) -> None:
    (tmp_path / "test_leak.py").write_text(
        "import os\n"
        "from tests.conftest import nothing_left_behind\n"
        "from tests.support import leaks\n"
        "leaks._GRACE_SECONDS = 0.1\n"
        "def test_that_leaks(): os.pipe()\n"
        "def test_that_does_not(): pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    environment = {**os.environ, "PYTHONPATH": str(HOUSE)}
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "the test left behind:\n  descriptor" in done.stdout.replace("E  ", ""), done.stdout
    assert "2 passed, 1 error" in done.stdout


# installing the servers


def test_nothing_is_installed_where_nothing_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(debian, "NEEDED", {"a-package": lambda: True})
    monkeypatch.setattr(debian, "_apt_get", lambda *_: pytest.fail("apt-get was called"))
    assert debian.main() == 0


def test_who_may_not_install_is_told_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(debian, "NEEDED", {"one": lambda: False, "two": lambda: True, "three": lambda: False})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(debian, "_may_sudo", lambda: False)
    assert debian.main() == 2
    assert capsys.readouterr().err == "the tests need one, three; as root: apt-get install one three\n"


def test_services_stay_off_while_they_are_installed_and_only_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    policy = tmp_path / "policy-rc.d"
    installed: list[tuple[str, ...]] = []

    def apt_get(*arguments: str) -> None:
        installed.append(arguments)
        assert subprocess.run([str(policy)], check=False).returncode == 101

    monkeypatch.setattr(debian, "_POLICY", policy)
    monkeypatch.setattr(debian, "NEEDED", {"one": lambda: len(installed) == 2})
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(debian, "_apt_get", apt_get)
    assert debian.main() == 0
    assert installed == [("update", "-q"), ("install", "-q", "-y", "--no-install-recommends", "one")]
    assert not policy.exists()


def test_a_policy_of_the_machine_s_own_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 0\n")
    monkeypatch.setattr(debian, "_POLICY", policy)
    with debian._services_stay_off():
        assert policy.read_text() == "#!/bin/sh\nexit 0\n"
    assert policy.exists()
