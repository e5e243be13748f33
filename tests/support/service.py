"""The real service as a process of its own, started and ended as an operator would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from file_watcher.cli.asking import ask
from file_watcher.errors import FileWatcherError
from file_watcher.processing.fingerprint import Fingerprinter
from file_watcher.settings import load, state_folder
from tests.support.ports import free_port
from tests.support.processes import suspend
from tests.support.waiting import wait_for

QUICK: Mapping[str, str] = {
    "FILE_WATCH_DEBOUNCE_TIME": "200ms",
    "FILE_WATCH_MOVE_WINDOW": "600ms",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
}
"""Short windows, so that tests need not wait for what operators never notice."""


class ServiceProcess:
    """`python -m file_watcher run` with an environment of its own."""

    def __init__(
        self,
        folder: Path,
        roots: Path | list[Path],
        broker_url: str,
        exchange: str,
        database_url: str | None = None,
        **settings: str,
    ) -> None:
        self.folder = folder
        self.log = folder / "service.log"
        self.port = free_port()
        roots = roots if isinstance(roots, list) else [roots]
        self.environment = {
            **os.environ,
            **QUICK,
            "HOME": str(folder),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "DATA_DIR": os.pathsep.join(map(str, roots)),
            "RABBITMQ_URL": broker_url,
            "RABBITMQ_EXCHANGE": exchange,
            "WATCHER_HTTP_ADDR": f"127.0.0.1:{self.port}",
            **({"DATABASE_URL": database_url} if database_url else {}),
            **settings,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def command_line(self) -> list[str]:
        """The command that is started."""
        return [sys.executable, "-m", "file_watcher", "run"]

    def start(self) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command_line(),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait_until_ready(self, timeout: float = 60) -> None:
        """Wait for /readyz to say 200."""
        wait_for(
            lambda: self.ask("/readyz")[0] == 200 or self._fail_if_dead(), "the service to be ready", timeout
        )

    def stop(self, number: int = signal.SIGTERM, timeout: float = 15) -> int:
        """Send the signal and wait; returns the exit code (negative: ended by a signal)."""
        if self.process is None:
            return 0
        process, self.process = self.process, None
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the service did not stop:\n{self.tail()}") from None

    def suspend(self) -> None:
        """SIGSTOP; when this returns, none of its threads runs any more."""
        assert self.process is not None
        suspend(self.process.pid)

    def resume(self) -> None:
        """Let a suspended service go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        self.stop(signal.SIGKILL)

    def command(self, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run one of our commands with the service's environment."""
        return subprocess.run(
            [sys.executable, "-m", "file_watcher", *arguments],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def sync(self, timeout: float = 60) -> None:
        """Wait until all that happened so far is confirmed: what `sync` does, without the start of a process.

        Not where the catalog lies on a disk that only the service sees.
        """
        settings = load({}, self.environment).settings
        url = settings.catalog_url(state_folder(self.environment))
        settings = settings.model_copy(update={"database_url": SecretStr(url)})
        try:
            ask(settings, "sync", {}, timeout, "waiting until everything is confirmed")
        except FileWatcherError as exc:
            raise AssertionError(f"{exc}\n{self.tail()}") from exc

    def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """GET one of the JSON pages; (0, {}) where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, {}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of all samples of a metric that carry these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            lines = answer.read().decode().splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            float(line.rsplit(" ", 1)[1])
            for line in lines
            if line.split("{")[0].split(" ")[0] == name and all(label in line for label in wanted)
        )

    def tail(self, lines: int = 40) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _fail_if_dead(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (
            f"the service ended with {self.process.returncode}:\n{self.tail()}"
        )
        return False


@contextmanager
def running(service: ServiceProcess) -> Iterator[ServiceProcess]:
    """Start, wait until ready, and stop afterwards with SIGTERM and exit code 0."""
    service.start()
    try:
        service.wait_until_ready()
        yield service
    except BaseException:
        print(service.tail(80))
        service.kill()
        raise
    assert service.stop() == 0, service.tail()


def disk(*roots: Path, suffixes: tuple[str, ...] = ()) -> dict[bytes, tuple[str | None, str | None]]:
    """What is on the disk: both hashes by path, of files with these suffixes (all where none is given)."""
    hasher = Fingerprinter(lambda: False)
    found: dict[bytes, tuple[str | None, str | None]] = {}
    for root in roots:
        for path in root.rglob("*"):
            if path.is_file() and not path.is_symlink() and (not suffixes or path.suffix.lower() in suffixes):
                fingerprint = hasher.read(os.fsencode(path)).fingerprint
                found[os.fsencode(path)] = (fingerprint.sha256.hex(), fingerprint.xxh128.hex())
    return found
