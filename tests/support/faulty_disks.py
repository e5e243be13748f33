"""The real service in namespaces of its own, where disks come and go and the kernel's limits are low.

Nothing of the machine is changed: mounts and limits are seen by the service alone and end with it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.service import ServiceProcess
from tests.support.waiting import wait_for

_ENTER_AND_RUN = 'while [ "$1" != -- ]; do eval "$1" || exit 9; shift; done; shift; exec "$@"'
"""For sh -c: shell commands first, then the program behind `--`, in the same process."""


class HousedService(ServiceProcess):
    """`run` behind a wrapper that ends in an exec, so that the process is still the service itself."""

    wrapper: Sequence[str] = ()

    def start(self) -> None:
        """Start it; returns at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, sys.executable, "-m", "file_watcher", "run"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def with_mounts(self, *commands: str) -> None:
        """Give it a mount namespace of its own, in which these shell commands are run first."""
        self.wrapper = ("unshare", "--mount", "--propagation", "private", *_shell(commands))

    def with_limits(self, **limits: int) -> None:
        """Give it a user namespace of its own with these limits, e.g. `max_inotify_watches`."""
        commands = [f"echo {value} > /proc/sys/user/{name}" for name, value in limits.items()]
        self.wrapper = ("unshare", "--user", "--map-root-user", *_shell(commands))

    def inside(self, command: str) -> None:
        """Run a shell command in the running service's namespaces."""
        assert self.process is not None
        subprocess.run(
            ["nsenter", f"--target={self.process.pid}", "--mount", "sh", "-ec", command],
            check=True,
            timeout=30,
        )

    def set_limit(self, name: str, value: int) -> None:
        """Change a limit of the running service's user namespace."""
        assert self.process is not None
        target = f"--target={self.process.pid}"
        command = f"echo {value} > /proc/sys/user/{name}"
        subprocess.run(
            ["nsenter", target, "--user", "--preserve-credentials", "sh", "-ec", command],
            check=True,
            timeout=30,
        )

    def path(self, path: Path) -> Path:
        """The path as the running service sees it, for us outside."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{path}")

    def libraries(self) -> str:
        """What the health page tells about the libraries, in words."""
        return str(self.ask("/readyz")[1].get("components", {}).get("libraries"))

    def wait_until_told(self, words: str, timeout: float = 60) -> None:
        """Wait until the health page says these words about the libraries."""
        wait_for(lambda: words in self.libraries() or self._fail_if_dead(), f"{words!r} to be told", timeout)

    def approve(self, library: str) -> None:
        """Say that the library is meant to be as it is."""
        result = self.command("approve", library)
        assert result.returncode == 0, f"{result.stdout}{result.stderr}"


def _shell(commands: Sequence[str]) -> tuple[str, ...]:
    return ("sh", "-c", _ENTER_AND_RUN, "sh", *commands, "--")
