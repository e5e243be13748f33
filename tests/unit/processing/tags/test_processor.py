"""What /proc says of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from file_watcher.processing.tags.processor import processor_use
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_the_processor_time_of_a_process_is_what_the_process_itself_would_say() -> None:
    before = time.process_time()
    use = processor_use(os.getpid())
    after = time.process_time()
    assert use is not None
    assert before - 0.05 <= use.seconds <= after + 0.05
    assert not use.is_stopped


def test_a_stopped_process_is_known_by_its_state_and_one_that_is_gone_by_nothing() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        child.send_signal(signal.SIGSTOP)
        wait_for(lambda: (use := processor_use(child.pid)) and use.is_stopped, "the stop")
        child.kill()
        child.wait()
        assert processor_use(child.pid) is None
