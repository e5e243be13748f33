"""Signals are heard whatever the main thread does, and the second one is not to be argued with."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from file_watcher.cli.signals import Signals

HUNG = """
import ctypes, os, sys
sys.path.insert(0, os.getcwd())
from file_watcher.cli.signals import Signals
with Signals(lambda: os.write(1, b"stopping\\n")):
    os.write(1, b"ready\\n")
    libc = ctypes.CDLL(None)
    while True:
        libc.pause()  # a system call that Python does not get back from, as a read on a dead disk
"""


def tell(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_the_end_on_a_thread_of_its_own(number: int) -> None:
    heard = threading.Event()
    names: list[str] = []

    def on_stop() -> None:
        names.append(threading.current_thread().name)
        heard.set()

    with Signals(on_stop):
        tell(number)
        assert heard.wait(5)
    assert names == ["fw-signals"]


def test_a_hangup_is_passed_on_as_often_as_it_comes() -> None:
    heard = threading.Semaphore(0)
    with Signals(lambda: None, heard.release):
        for _ in range(3):
            tell(signal.SIGHUP)
            assert heard.acquire(timeout=5)


def test_a_call_that_fails_does_not_make_us_deaf() -> None:
    heard = threading.Event()

    def fail() -> None:
        raise RuntimeError("no scan now")

    with Signals(heard.set, fail):
        tell(signal.SIGHUP)
        tell(signal.SIGTERM)
        assert heard.wait(5)


def test_afterwards_the_handlers_are_the_old_ones() -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    before = handlers()
    with Signals(lambda: None, lambda: None):
        assert before[0] not in handlers()
    assert handlers() == before
    assert signal.set_wakeup_fd(-1) == -1


def test_without_interest_in_hangups_they_keep_their_meaning() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with Signals(lambda: None):
        assert signal.getsignal(signal.SIGHUP) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_the_process_even_while_the_main_thread_hangs(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", HUNG], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line: Callable[[], str] = process.stdout.readline
        assert line() == "ready\n"
        process.send_signal(number)
        assert line() == "stopping\n"
        process.send_signal(number)
        assert process.wait(10) == 128 + number
