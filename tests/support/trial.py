"""A service, a consumer and a small library that go through a fault of a server together.

What counts in the end is the same for every fault: the consumer's mirror is the disk, hash by hash, each
version chain is unbroken, the operator was told in plain words, once, and readiness said so meanwhile.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.consumer import Consumer
from tests.support.service import ServiceProcess, disk
from tests.support.waiting import wait_for

FILES = 30


class Trial:
    """Files change, a server fails, and what the service makes of it is held against the disk."""

    def __init__(
        self, folder: Path, broker_url: str, exchange: str, database_url: str | None = None, **settings: str
    ) -> None:
        self.library = folder / "library"
        self.library.mkdir()
        self.consumer = Consumer(broker_url.partition("?")[0], exchange)
        self.service = ServiceProcess(
            folder, self.library, broker_url, exchange, database_url, FILE_WATCH_LOSS_GUARD="off", **settings
        )
        self._numbers = itertools.count()
        self.recovery_seconds = 0.0

    def add(self, count: int = FILES) -> None:
        """Write new files, five to a folder."""
        for number in itertools.islice(self._numbers, count):
            path = self.library / f"album {number // 5}" / f"{number}.mp3"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(os.urandom(2000) + b"%d" % number)

    def change(self) -> None:
        """Add, overwrite, append to, rename, move and delete some files."""
        self.add(6)
        files = sorted(self.library.rglob("*.mp3"))
        number = next(self._numbers)
        files[0].write_bytes(b"new %d" % number * 100)
        with files[1].open("ab") as file:
            file.write(b"more")
        files[2].rename(files[2].with_name(f"renamed {number}.mp3"))
        files[3].rename(self.library / f"moved {number}.mp3")
        files[4].unlink()

    def wait_for_complaint(self, component: str, *words: str, timeout: float = 60) -> str:
        """Wait until /readyz answers 503 and the component says these words; returns its sentence."""

        def sentence() -> str:
            status, document = self.service.ask("/readyz")
            told = str(document.get("components", {}).get(component, {}).get("detail", ""))
            return told if status == 503 and all(word in told for word in words) else ""

        try:
            return wait_for(sentence, f"{component} to say {words}", timeout, every=0.1)
        except AssertionError:
            print(self.service.ask("/readyz"))
            raise

    def converge(self, timeout: float = 90) -> None:
        """Wait until it is ready again and all is confirmed; then the mirror must be the disk."""
        began = time.monotonic()
        self.service.wait_until_ready(timeout)
        self.service.sync(timeout)
        self.recovery_seconds = time.monotonic() - began
        self.consumer.drain()
        self.compare()

    def compare(self) -> None:
        """The mirror is the disk, and nothing that was told contradicts itself."""
        mirror, expected = self.consumer.mirror, disk(self.library)
        wrong = {
            path: (mirror.files.get(path), expected.get(path))
            for path in mirror.files.keys() | expected.keys()
            if mirror.files.get(path) != expected.get(path)
        }
        assert wrong == {}
        assert mirror.problems == []

    def log(self) -> list[dict[str, Any]]:
        """What the service has logged, oldest first."""
        lines = self.service.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def complaints(self) -> Counter[str]:
        """How often each warning or error was logged."""
        return Counter(
            entry["event"] for entry in self.log() if entry["level"] in ("warning", "error", "critical")
        )


@contextmanager
def trial(setting: Trial) -> Iterator[Trial]:
    """Fill the library, run the service, and stop it in the end with exit code 0. Subscribe before."""
    setting.add()
    setting.service.start()
    try:
        yield setting
    except BaseException:
        print(setting.service.tail(60))
        setting.service.kill()
        raise
    assert setting.service.stop() == 0, setting.service.tail()
    if os.environ.get("TRIAL_REPORT"):
        _report(setting)


def _report(setting: Trial) -> None:
    """One line on what was seen, for whoever asks what a fault costs (`pytest -s`, TRIAL_REPORT=1)."""
    setting.consumer.drain()
    told, mirror = setting.consumer.messages, setting.consumer.mirror
    print(
        f"\n    messages {len(told)}, redelivered {mirror.duplicates}, ready and confirmed "
        f"{setting.recovery_seconds:.1f} s after the mend, complaints {dict(setting.complaints())}"
    )
