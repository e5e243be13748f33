from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from file_watcher.processing import lease
from file_watcher.processing.lease import WriterProbe, are_lease_signals_ignored, ignore_lease_signals

ROOT = Path(__file__).parents[3]


@pytest.fixture
def probe() -> WriterProbe:
    return WriterProbe(lambda device: True)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(4096))
    return path


def test_a_file_that_nobody_writes_is_not_open_for_writing(probe: WriterProbe, path: Path) -> None:
    with path.open("rb"):
        assert probe.is_open_for_writing(bytes(path)) is False


@pytest.mark.parametrize("mode", ["r+b", "ab"])
def test_a_file_is_open_for_writing_until_its_writer_closes_it(
    probe: WriterProbe, path: Path, mode: str
) -> None:
    with path.open(mode):
        assert probe.is_open_for_writing(bytes(path)) is True
    assert probe.is_open_for_writing(bytes(path)) is False


def test_a_writer_in_another_process_is_seen(probe: WriterProbe, path: Path) -> None:
    program = "import sys; file = open(sys.argv[1], 'ab'); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        assert probe.is_open_for_writing(bytes(path)) is True
        writer.communicate(timeout=10)
    assert probe.is_open_for_writing(bytes(path)) is False


def test_a_writable_mapping_counts_after_its_file_was_closed(probe: WriterProbe, path: Path) -> None:
    with path.open("r+b") as file:
        mapping = mmap.mmap(file.fileno(), 4096)
    assert probe.is_open_for_writing(bytes(path)) is True
    mapping.close()
    assert probe.is_open_for_writing(bytes(path)) is False


def test_the_lease_is_given_back_at_once(probe: WriterProbe, path: Path) -> None:
    assert probe.is_open_for_writing(bytes(path)) is False
    # Under a lease that is still held this would fail with EAGAIN.
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


def test_a_file_under_anothers_write_lease_is_in_use(probe: WriterProbe, path: Path) -> None:
    previous = signal.getsignal(signal.SIGIO)
    ignore_lease_signals()
    descriptor = os.open(path, os.O_RDWR)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        assert probe.is_open_for_writing(bytes(path)) is True
    finally:
        os.close(descriptor)
        signal.signal(signal.SIGIO, previous)


def test_a_filesystem_that_is_not_trusted_is_not_even_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def distrust(device: int) -> bool:
        asked.append(device)
        return False

    def unexpected(*arguments: object) -> int:
        raise AssertionError("opened")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", unexpected)
        assert WriterProbe(distrust).is_open_for_writing(bytes(path)) is None
    assert asked == [path.stat().st_dev]


def test_what_is_no_regular_file_is_not_known(probe: WriterProbe, tmp_path: Path, path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(path)
    for name in ("missing", "fifo", "link", "."):
        assert probe.is_open_for_writing(bytes(tmp_path / name)) is None


def test_a_symbolic_link_is_followed_where_that_is_asked_for(
    probe: WriterProbe, tmp_path: Path, path: Path
) -> None:
    (tmp_path / "link").symlink_to(path)
    assert probe.is_open_for_writing(bytes(tmp_path / "link"), follow_symlinks=True) is False


_PROBE_AS_ANOTHER = """
import sys
from file_watcher.processing.lease import WriterProbe
print(WriterProbe(lambda device: True).is_open_for_writing(sys.argv[1].encode()))
"""


def test_another_users_file_is_not_known() -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0o644)
        setpriv = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all"]
        command = [*setpriv, sys.executable, "-c", _PROBE_AS_ANOTHER, file.name]
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    assert result.stdout.strip() == "None"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.ENOLCK])
def test_a_filesystem_that_grants_no_lease_is_not_known(
    probe: WriterProbe, path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int, command: int, argument: int) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    assert probe.is_open_for_writing(bytes(path)) is None


def test_a_system_without_leases_knows_nothing(
    probe: WriterProbe, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_SET_LEASE", None)
    assert probe.is_open_for_writing(bytes(path)) is None


_PROBE_WHILE_SOMEBODY_OPENS = """
import fcntl, os, signal, sys
from file_watcher.processing import lease

ask = fcntl.fcntl

def ask_and_open(descriptor, command, argument):
    answer = ask(descriptor, command, argument)
    if command == fcntl.F_SETLEASE and argument == fcntl.F_RDLCK:
        try:
            os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
        except BlockingIOError:
            print("the lease stood in the way", flush=True)
    return answer

lease.fcntl.fcntl = ask_and_open
assert signal.getsignal(signal.SIGIO) is signal.SIG_DFL
print(lease.WriterProbe(lambda device: True).is_open_for_writing(os.fsencode(sys.argv[1])))
"""


def test_a_program_that_does_nothing_about_signals_survives_a_writer_who_comes_during_the_probe(
    path: Path,
) -> None:
    command = [sys.executable, "-c", _PROBE_WHILE_SOMEBODY_OPENS, str(path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, "ended by signal"
    assert result.stdout.splitlines() == ["the lease stood in the way", "False"]


def test_where_it_is_ignored_no_signal_is_chosen_for_each_file(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[int] = []
    ask = fcntl.fcntl

    def note(descriptor: int, command: int, argument: int) -> int:
        commands.append(command)
        return ask(descriptor, command, argument)

    monkeypatch.setattr(fcntl, "fcntl", note)
    probe = WriterProbe(lambda device: True, is_signal_ignored=True)
    assert probe.is_open_for_writing(bytes(path)) is False
    assert commands == [fcntl.F_SETLEASE, fcntl.F_SETLEASE]
    with path.open("ab"):
        assert probe.is_open_for_writing(bytes(path)) is True
    WriterProbe(lambda device: True).is_open_for_writing(bytes(path))
    assert fcntl.F_SETSIG in commands


def test_the_signal_of_a_broken_lease_is_ignored() -> None:
    previous = signal.getsignal(signal.SIGIO)
    try:
        assert not are_lease_signals_ignored()
        ignore_lease_signals()
        os.kill(os.getpid(), signal.SIGIO)
        assert signal.getsignal(signal.SIGIO) is signal.SIG_IGN
        assert are_lease_signals_ignored()
    finally:
        signal.signal(signal.SIGIO, previous)
