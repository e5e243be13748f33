"""Server processes that tests start: they never outlive the test run, and never leave descendants."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from tests.support.waiting import wait_for


class ServerMissing(Exception):
    """A program that the tests need is not installed; the text says how to mend that."""


class ServerFailed(Exception):
    """A server ended or did not answer; the text holds the end of its log."""


def require(program: str | Path, package: str) -> Path:
    """The program's path; raises ServerMissing where Debian's `package` is not installed."""
    path = Path(program)
    if not os.access(path, os.X_OK):
        raise ServerMissing(f"{path} is missing: run `make test-servers`, or apt-get install {package}")
    return path


class ServerProcess:
    """One process of a server, with everything that it starts.

    The kernel kills it when the thread that called the constructor ends (PR_SET_PDEATHSIG), so that
    even a test run that was killed with SIGKILL leaves no server behind. Start it on the main thread.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        folder: Path,
        log: Path,
        env: Mapping[str, str],
        user: str | None = None,
    ) -> None:
        self._log = log
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                ["setpriv", "--pdeathsig=KILL", "--", *map(str, command)],
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )

    @property
    def pid(self) -> int:
        """The process id of the server itself."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether the process is there, suspended or not."""
        return self._popen.poll() is None

    def require_running(self) -> None:
        """Raise ServerFailed with the end of the log where the process has ended."""
        if not self.running:
            lines = self._log.read_text(errors="replace").splitlines()[-30:]
            raise ServerFailed(f"exit code {self._popen.returncode}, log {self._log}:\n" + "\n".join(lines))

    def stop(self, signal_number: int, timeout: float) -> None:
        """Ask for the end, wait for it, and kill what has not ended after `timeout` seconds."""
        family = self._family()
        if self.running:
            self._popen.send_signal(signal.SIGCONT)
            self._popen.send_signal(signal_number)
        try:
            self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        _kill(family)

    def kill9(self) -> None:
        """End the server and all that it started at once, as a power cut would."""
        family = self._family()
        self._popen.kill()
        self._popen.wait()
        _kill(family)

    def suspend(self) -> None:
        """Stop the server's own process; when this returns, none of its threads runs any more."""
        suspend(self.pid)

    def resume(self) -> None:
        """Let a suspended server go on."""
        self._popen.send_signal(signal.SIGCONT)

    def _family(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def suspend(pid: int) -> None:
    """Stop a process with SIGSTOP and wait until each of its threads stands still: kill() returns before.

    On a busy machine a thread that runs on another core can answer a client after kill() has returned.
    """
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: _stands_still(pid), f"process {pid} to stand still", every=0.002)


def _stands_still(pid: int) -> bool:
    """Whether all threads of a process are stopped ("T" in proc_pid_stat(5)) or have ended."""
    states = set()
    for thread in Path("/proc", str(pid), "task").iterdir():
        with contextlib.suppress(OSError):  # a thread that ended in between
            states.add((thread / "stat").read_text().rpartition(")")[2].split()[0])
    return states <= {"T", "Z", "X"}


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    wait_for(lambda: not any(_is_alive(process) for process in processes), "the end of a server's children")


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
