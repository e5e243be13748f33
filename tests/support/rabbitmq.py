"""A private RabbitMQ node: Debian's server, run by the tests themselves in a folder of its own.

Nothing of the machine's own RabbitMQ is touched: node name, ports, data, log, plugins, Erlang cookie
and port mapper (epmd) are private. User `guest` with password `guest` may do everything, as in a
fresh installation.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from tests.support.ports import accepts, free_port
from tests.support.processes import ServerFailed, ServerProcess, require
from tests.support.waiting import wait_for

_PROGRAMS = Path("/usr/lib/rabbitmq/bin")
_BOOT_SECONDS = 90.0
"""A node is up in 3–7 s on an idle machine; a busy one needs more."""
_VHOSTS_AT_ONCE = 12


class RabbitNode:
    """One node. `start` and `stop` may alternate: ports and data stay.

    `settings` are further lines of rabbitmq.conf, e.g. {"listeners.ssl.1": "127.0.0.1:5671"}.
    """

    host = "127.0.0.1"

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        self.folder = folder
        self._settings = dict(settings or {})
        self._dist_port = free_port()
        self._epmd_port = free_port()
        self._name = f"fw{self.port}@localhost"
        self._epmd: ServerProcess | None = None
        self._server: ServerProcess | None = None
        self._new_vhosts: list[str] = []

    @property
    def url(self) -> str:
        """The AMQP URL of the default vhost for user guest."""
        return self.url_of("/")

    def url_of(self, vhost: str) -> str:
        """The AMQP URL of a vhost for user guest."""
        return f"amqp://guest:guest@{self.host}:{self.port}/{quote(vhost, safe='')}"

    @property
    def pids(self) -> frozenset[int]:
        """The processes that belong to the node now; their descendants are not listed."""
        return frozenset(process.pid for process in (self._epmd, self._server) if process is not None)

    @property
    def log_text(self) -> str:
        """All that the node has logged so far."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.folder.glob("log/*.log")))

    def start(self) -> None:
        """Start the node and return when it answers the AMQP handshake. Blocks for seconds."""
        if self._server is not None:
            raise AssertionError("the node is running already")
        server = require(_PROGRAMS / "rabbitmq-server", "rabbitmq-server")
        self._prepare()
        atexit.register(self.kill9)
        self._start_epmd()
        self._server = self._spawn([server], "server.out")
        self._await_broker()

    def ensure_running(self) -> None:
        """Start the node, or wake it, where a test that failed half-way left it stopped or suspended."""
        if self._server is None or not self._server.running:
            self._forget()
            self.start()
        self._running().resume()
        if not _greets(self.port):
            self.start_app()

    def stop(self) -> None:
        """End the node in order: queues and messages are written out, clients get a close frame."""
        if self._server is not None:
            self._server.stop(signal.SIGTERM, timeout=30)
        self._forget()

    def kill9(self) -> None:
        """End the node with SIGKILL, as a crash or a power cut would."""
        if self._server is not None:
            self._server.kill9()
        self._forget()

    def write_down(self) -> None:
        """Have on disk what was declared so far. RabbitMQ 3.10 confirms a declaration before: killed within
        moments of it, a node can come back without the queue or the binding."""
        self.ctl("eval", "mnesia:sync_log().")

    def suspend(self) -> None:
        """Freeze the node: connections stay open and nothing answers any more."""
        self._running().suspend()

    def resume(self) -> None:
        """Let a suspended node go on."""
        self._running().resume()

    def ctl(self, *arguments: str) -> str:
        """Run rabbitmqctl and return what it printed. Takes about a second of one core.

        Raises ServerFailed with its message where it ends with an error.
        """
        command = [str(_PROGRAMS / "rabbitmqctl"), "--quiet", "--node", self._name, *arguments]
        done = subprocess.run(
            command,
            env=self._environment(),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def new_vhost(self) -> str:
        """The name of a vhost that nobody has used, in which guest may do everything; see `url_of`.

        They are made by the dozen, since the call takes a second, and stay until the node's folder goes.
        """
        if not self._new_vhosts:
            self._new_vhosts = [f"test-{uuid.uuid4().hex[:12]}" for _ in range(_VHOSTS_AT_ONCE)]
            everything = {"user": "guest", "configure": ".*", "write": ".*", "read": ".*"}
            definitions = {
                "vhosts": [{"name": name} for name in self._new_vhosts],
                "permissions": [{**everything, "vhost": name} for name in self._new_vhosts],
            }
            file = self.folder / "vhosts.json"
            file.write_text(json.dumps(definitions))
            self.ctl("import_definitions", str(file))
        return self._new_vhosts.pop()

    def stop_app(self) -> None:
        """Stop the broker inside the Erlang node: the port is closed, the node stays up."""
        self.ctl("stop_app")

    def start_app(self) -> None:
        """Start the broker again after `stop_app`; returns when it answers."""
        self.ctl("start_app")
        self._await_broker()

    def close_all_connections(self, reason: str = "asked by a test") -> None:
        """Close every client's connection from the broker's side."""
        self.ctl("close_all_connections", reason)

    def _prepare(self) -> None:
        for name in ("home", "data", "log"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "enabled_plugins").write_text("[].\n")
        settings = {
            "listeners.tcp.1": f"{self.host}:{self.port}",
            "disk_free_limit.absolute": "50MB",
            "log.file.level": "info",
            **self._settings,
        }
        lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
        (self.folder / "rabbitmq.conf").write_text(lines)

    def _start_epmd(self) -> None:
        """Erlang would start a port mapper that detaches itself; ours stays a child that we can end."""
        epmd = require("/usr/bin/epmd", "rabbitmq-server")
        self._epmd = self._spawn([epmd, "-port", str(self._epmd_port), "-address", self.host], "epmd.out")
        wait_for(lambda: accepts(self._epmd_port), "the Erlang port mapper")

    def _spawn(self, command: list[str | Path], log_name: str) -> ServerProcess:
        return ServerProcess(command, folder=self.folder, log=self.folder / log_name, env=self._environment())

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder / "home"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": self.host,
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": self.host,
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_SCHEMA_DIR": str(folder / "schema"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "schema"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "no-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            # The start script then becomes the Erlang VM instead of waiting for it in a shell.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def _running(self) -> ServerProcess:
        if self._server is None:
            raise AssertionError("the node is not running")
        return self._server

    def _await_broker(self) -> None:
        server = self._running()

        def answers() -> bool:
            server.require_running()
            return _greets(self.port)

        wait_for(answers, f"RabbitMQ on port {self.port} (log in {self.folder})", _BOOT_SECONDS, every=0.05)

    def _forget(self) -> None:
        self._server = None
        if self._epmd is not None:
            self._epmd.kill9()
        self._epmd = None
        atexit.unregister(self.kill9)


def _greets(port: int) -> bool:
    """Whether the broker answers the protocol header with a method frame (Connection.Start)."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"
    except OSError:
        return False
