"""A private PostgreSQL cluster: Debian's server, run by the tests themselves in a folder of its own.

PostgreSQL refuses to run as root, so root starts it as Debian's user `postgres`; anybody else runs it
as themselves. Authentication is `trust`: it listens on 127.0.0.1 only.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from tests.support.ports import free_port
from tests.support.processes import ServerMissing, ServerProcess, require, suspend
from tests.support.waiting import wait_for

_OWNER = "watcher"


class PostgresCluster:
    """One cluster. `start` and `stop` may alternate: port and data stay.

    With `durable` every commit reaches the disk (fsync), as in production; without it tests that make
    many databases are faster, and only a crash of the whole machine could tell the difference.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, *, durable: bool = False, connections: int = 100) -> None:
        self.folder = folder
        self.port = free_port()
        self._durable = durable
        self._connections = connections
        self._user = "postgres" if os.geteuid() == 0 else None
        self._server: ServerProcess | None = None

    @property
    def pids(self) -> frozenset[int]:
        """The processes that belong to the cluster now; their descendants are not listed."""
        return frozenset() if self._server is None else frozenset({self._server.pid})

    def url(self, database: str) -> str:
        """The URL of a database, as DATABASE_URL takes it."""
        return f"postgresql://{_OWNER}@{self.host}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, making the cluster at the first call; returns when it accepts queries."""
        if self._server is not None:
            raise AssertionError("the cluster is running already")
        programs = _programs()
        if not (self.folder / "data").exists():
            self._initialise(programs)
        atexit.register(self.kill9)
        # A crash leaves the lock file; a pid that was reused since would forbid the start.
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        self._server = ServerProcess(
            [programs / "postgres", "-D", self.folder / "data", *self._options()],
            folder=self.folder,
            log=self.folder / "server.log",
            env=_environment(),
            user=self._user,
        )
        wait_for(self._answers, f"PostgreSQL on port {self.port} (log in {self.folder})", 60)

    def ensure_running(self) -> None:
        """Start the server where a test that failed half-way left it stopped."""
        if self._server is None or not self._server.running:
            self._forget()
            self.start()
        else:
            self.resume()

    def stop(self) -> None:
        """End the server in order ("fast": connections are closed, open transactions undone)."""
        if self._server is not None:
            self._server.stop(signal.SIGINT, timeout=30)
        self._forget()

    def kill9(self) -> None:
        """End the server and all its backends with SIGKILL."""
        if self._server is not None:
            self._server.kill9()
        self._forget()

    def restart(self) -> None:
        """Stop and start again; every connection is lost, committed data are not."""
        self.stop()
        self.start()

    def suspend(self) -> None:
        """Stop the server and all its backends with SIGSTOP: connections stay, and nothing is answered.

        The server first: standing still, it starts no backends that would be left out.
        """
        server = self._process()
        suspend(server.pid)
        for backend in server.children(recursive=True):
            with contextlib.suppress(ProcessLookupError, FileNotFoundError):  # it has ended
                suspend(backend.pid)

    def resume(self) -> None:
        """Let a suspended server go on."""
        server = self._process()
        for process in [server, *server.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):  # a session that ended in between
                process.resume()

    def _process(self) -> psutil.Process:
        assert self._server is not None
        return psutil.Process(self._server.pid)

    def create_database(self, name: str) -> str:
        """Create an empty database and return its URL."""
        self._administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database, ending whoever is still connected to it."""
        self._administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def terminate_connections(self) -> None:
        """End every client's connection from the server's side, as an administrator would."""
        self._administer(
            sql.SQL(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
        )

    def dump(self, url: str, *options: str) -> list[str]:
        """What pg_dump tells of a database, definitions and rows; the lines that differ at each call left out."""
        program = _programs() / "pg_dump"
        done = subprocess.run([program, *options, url], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"pg_dump failed: {done.stderr}")
        return [
            line
            for line in done.stdout.splitlines()
            if not line.startswith(("--", "\\restrict", "\\unrestrict"))
        ]

    def _administer(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True, connect_timeout=5) as connection:
            connection.execute(statement)

    def _initialise(self, programs: Path) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(self.folder, self._user, self._user)
        command: list[str | Path] = [programs / "initdb", "-D", self.folder / "data", "-U", _OWNER]
        command += ["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=_environment(),
            user=self._user,
            group=self._user,
            extra_groups=None if self._user is None else [],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"initdb failed: {done.stdout}{done.stderr}")

    def _options(self) -> list[str]:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if self._durable else "off",
            "shared_buffers": "32MB",
            "max_connections": str(self._connections),
        }
        return [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]

    def _answers(self) -> bool:
        if self._server is not None:
            self._server.require_running()
        try:
            self._administer(sql.SQL("SELECT 1"))
        except psycopg.OperationalError:
            return False
        return True

    def _forget(self) -> None:
        self._server = None
        atexit.unregister(self.kill9)


def _programs() -> Path:
    """The folder of the newest server that Debian installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if not versions:
        raise ServerMissing("PostgreSQL is missing: run `make test-servers`, or apt-get install postgresql")
    return require(versions[-1], "postgresql").parent


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
