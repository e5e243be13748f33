"""Fixtures for all tests: private servers, real files, and the rule that a test leaves nothing behind.

Servers start with the first test that asks for one and end with the session, so `pytest tests/unit`
starts none. A server that is not installed fails the tests that need it; it is never skipped.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from tests.support.leaks import Belongings, leaked_since
from tests.support.postgresql import PostgresCluster
from tests.support.rabbitmq import RabbitNode
from tests.support.tones import make_tones, real_sounds

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("default", max_examples=100, **_COMMON)  # type: ignore[arg-type]
settings.register_profile("ci", max_examples=100, derandomize=True, database=None, **_COMMON)  # type: ignore[arg-type]
settings.register_profile("thorough", max_examples=5_000, **_COMMON)  # type: ignore[arg-type]
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "default"))

_OWN_VARIABLES = frozenset(
    {
        "DATABASE_URL",
        "DATA_DIR",
        "INSTANCE_ID",
        "LOG_FORMAT",
        "LOG_LEVEL",
        "MAX_CONCURRENT_FILES",
        "STREAM_TIMEOUT",
        "WATCH_DIR",
    }
)
"""Our variables that do not begin with a prefix of ours."""

_session_servers: list[RabbitNode | PostgresCluster] = []


def pytest_sessionstart() -> None:
    """End in order on SIGTERM too, as on Ctrl-C: a build server that loses patience leaves no folders."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _pids_of_session_servers() -> frozenset[int]:
    return frozenset(pid for server in _session_servers for pid in server.pids)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """Fail a test that leaves a thread, a child process or a file descriptor behind.

    The servers of the session are not counted, even where a test restarts them.
    """
    before = Belongings.now(_pids_of_session_servers())
    yield
    if leaks := leaked_since(before, _pids_of_session_servers):
        pytest.fail("the test left behind:\n  " + "\n  ".join(leaks), pytrace=False)


@pytest.fixture(autouse=True)
def fresh_structlog() -> Iterator[None]:
    """Undo what a test configured in structlog, and forget the bound context."""
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the developer's own settings and state from the tests, and the tests' state from them."""
    for name in list(os.environ):
        if name.startswith(("FILE_WATCH", "RABBITMQ_", "WATCHER_", "OTEL_")) or name in _OWN_VARIABLES:
            monkeypatch.delenv(name)
    home = tmp_path_factory.getbasetemp() / "home"
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder for servers' data. Others may enter it: PostgreSQL does not run as root."""
    folder = Path(tempfile.mkdtemp(prefix="file-watcher-servers-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def rabbit(server_folder: Path) -> Iterator[RabbitNode]:
    """The session's RabbitMQ node. A test that stops it starts it again (see `private_rabbit`)."""
    node = RabbitNode(server_folder / "rabbitmq")
    _session_servers.append(node)
    try:
        node.start()
        yield node
    finally:
        node.kill9()
        _session_servers.remove(node)


@pytest.fixture
def private_rabbit(server_folder: Path) -> Iterator[RabbitNode]:
    """A node of this test's own, started; about 4 s. For tests that stop, kill or exhaust a broker."""
    node = RabbitNode(server_folder / f"rabbitmq-{uuid.uuid4().hex[:8]}")
    try:
        node.start()
        yield node
    finally:
        node.kill9()


@pytest.fixture
def vhost(rabbit: RabbitNode) -> str:
    """A fresh vhost on the session's node, for user guest. See `broker_url`."""
    rabbit.ensure_running()
    return rabbit.new_vhost()


@pytest.fixture
def broker_url(rabbit: RabbitNode, vhost: str) -> str:
    """The AMQP URL of a vhost of this test's own."""
    return rabbit.url_of(vhost)


@pytest.fixture
def exchange(rabbit: RabbitNode) -> str:
    """A name for an exchange that no other test uses, on the session's node (cheaper than `vhost`)."""
    rabbit.ensure_running()
    return f"file_events_{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def postgres(server_folder: Path) -> Iterator[PostgresCluster]:
    """The session's PostgreSQL cluster. A test that stops it starts it again."""
    cluster = PostgresCluster(server_folder / "postgresql")
    _session_servers.append(cluster)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.kill9()
        _session_servers.remove(cluster)


@pytest.fixture
def postgres_url(postgres: PostgresCluster) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    postgres.ensure_running()
    name = f"test_{uuid.uuid4().hex[:12]}"
    yield postgres.create_database(name)
    postgres.ensure_running()
    postgres.drop_database(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database; a test that asks for it runs once on each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'catalog.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture(scope="session")
def encoded_tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One real, tagged file per watched extension, made once. Read only: see `tagged_library`."""
    folder = tmp_path_factory.mktemp("tones")
    make_tones(folder)
    return folder


@pytest.fixture
def tagged_library(encoded_tones: Path, tmp_path: Path) -> Path:
    """A library of this test's own: `tone.<extension>` for every extension, and real `sounds/*.oga`."""
    library = tmp_path / "library"
    shutil.copytree(encoded_tones, library)
    (library / "sounds").mkdir()
    for sound in real_sounds():
        shutil.copyfile(sound, library / "sounds" / sound.name)
    return library
