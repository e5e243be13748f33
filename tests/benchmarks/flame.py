"""`python -m tests.benchmarks.flame [--output FILE] [--gil]`: where the service spends its time in an import.

py-spy looks at the stacks of all threads and of the children that read tags, from outside and without
stopping them, and draws a flame graph (SVG, for a browser). With `--gil` only threads that hold the
interpreter's lock count: what they do is what the others wait for. Attaching to a process needs root, or
`kernel.yama.ptrace_scope` 0.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.benchmarks.bench import Bench, running_bench, settle_disk
from tests.benchmarks.corpus import media_library
from tests.benchmarks.subject import Subject, subject
from tests.benchmarks.trust import require, require_alive
from tests.support.processes import ServerMissing
from tests.support.waiting import wait_for

_FILES: Final = 2_000
_FILE_BYTES: Final = 700_000
_LOOKS_PER_SECOND: Final = 250
_PATIENCE_SECONDS: Final = 120.0
_LONGEST_SECONDS: Final = 3600


def main() -> int:
    """Record one import of 2,000 songs."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.flame", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/benchmarks/flame.svg"), metavar="FILE")
    parser.add_argument(
        "--gil", action="store_true", help="count only threads that hold the interpreter's lock"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the real size, for a trial")
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with running_bench(arguments.scale) as bench:
        record(bench, arguments.output, only_gil=arguments.gil)
    print(f"{arguments.output}: open it in a browser")
    return 0


def record(bench: Bench, output: Path, *, only_gil: bool) -> None:
    """Import songs under py-spy. Raises `Untrue` where the import or the recording fails."""
    files = bench.count(_FILES, least=100)
    with bench.folder("flame") as folder:
        prepared, root = folder / "prepared", folder / "library"
        media_library(prepared, files, _FILE_BYTES)
        root.mkdir()
        settle_disk()
        with subject(bench, root) as tried:
            tried.start_ready()
            spy = _spy(tried, output, only_gil=only_gil)
            prepared.rename(root / "filled")
            wait_for(
                lambda: require_alive(tried.service) and tried.confirmed() >= files,
                f"{files} confirms",
                _PATIENCE_SECONDS,
                0.2,
            )
            tried.require_imported(files, tagged=True)
        _finish(spy, output)


def _spy(tried: Subject, output: Path, *, only_gil: bool) -> subprocess.Popen[str]:
    """py-spy, attached; it ends when the service does."""
    program = Path(sys.executable).with_name("py-spy")
    if not program.exists() and shutil.which("py-spy") is None:
        raise ServerMissing("py-spy is missing: make install-dev")
    command = [str(program) if program.exists() else "py-spy", "record", "--pid", str(tried.pid)]
    command += ["--output", str(output), "--subprocesses", "--threads", "--nonblocking"]
    command += ["--rate", str(_LOOKS_PER_SECOND), "--duration", str(_LONGEST_SECONDS)]
    command += ["--gil"] if only_gil else []
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(spy: subprocess.Popen[str], output: Path) -> None:
    told, _ = spy.communicate(timeout=60)
    require(output.exists() and output.stat().st_size > 0, f"py-spy recorded nothing:\n{told}")


if __name__ == "__main__":
    sys.exit(main())
