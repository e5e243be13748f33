"""`python -m tests.support.debian`: installs the servers and programs that the tests use.

Uses the standard library alone, because it may run as root through sudo. Debian would start a server as
soon as it is installed; the tests start their own, so that is refused for the time of the installation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLICY = Path("/usr/sbin/policy-rc.d")
"""Debian asks this program before a service is started; 101 means "forbidden" (invoke-rc.d(8))."""

NEEDED: dict[str, Callable[[], bool]] = {
    "rabbitmq-server": lambda: os.access("/usr/lib/rabbitmq/bin/rabbitmq-server", os.X_OK),
    "postgresql": lambda: any(Path("/usr/lib/postgresql").glob("*/bin/postgres")),
    "ffmpeg": lambda: shutil.which("ffmpeg") is not None,
    "sound-theme-freedesktop": lambda: Path("/usr/share/sounds/freedesktop/stereo").is_dir(),
}
"""Debian package → whether what the tests use of it is there, wherever it came from."""


def missing() -> list[str]:
    """The packages that still have to be installed."""
    return [package for package, is_there in NEEDED.items() if not is_there()]


def main() -> int:
    """Install what is missing; 0 when all is there, 2 (and a line that says what to do) when not."""
    packages = missing()
    if not packages:
        return 0
    if shutil.which("apt-get") is None:
        return _refuse(packages, "this is no Debian: install them in this system's own way")
    if os.geteuid() != 0:
        if not _may_sudo():
            return _refuse(packages, f"as root: apt-get install {' '.join(packages)}")
        again = ["sudo", "-n", sys.executable, "-B", "-m", "tests.support.debian"]
        return subprocess.run(again, check=False).returncode
    print(f"installing {', '.join(packages)} (Debian packages, for the tests)", flush=True)
    with _services_stay_off():
        _apt_get("update", "-q")
        _apt_get("install", "-q", "-y", "--no-install-recommends", *packages)
    still = missing()
    return _refuse(still, f"apt-get install {' '.join(still)} did not help") if still else 0


@contextmanager
def _services_stay_off() -> Iterator[None]:
    """Forbid the start of services, unless the machine has a policy of its own, which then rules."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


def _apt_get(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", *arguments], check=True, stdin=subprocess.DEVNULL, env=environment)


def _may_sudo() -> bool:
    if shutil.which("sudo") is None:
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def _refuse(packages: list[str], mend: str) -> int:
    print(f"the tests need {', '.join(packages)}; {mend}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as failed:
        sys.exit(f"{' '.join(failed.cmd)} failed with exit code {failed.returncode}; see above")
