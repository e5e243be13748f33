from __future__ import annotations

import threading

from file_watcher.pulse import Own, Pulse


def test_a_pulse_tells_what_the_thread_is_at_and_how_often_it_got_on() -> None:
    pulse = Pulse("fw-hash-1", patience=2)
    assert pulse.look().doing is None

    pulse.at("examines", b"/music/\xff.mp3")
    pulse.step()

    progress = pulse.look()
    assert (progress.stage, progress.steps, progress.patience) == ("fw-hash-1", 2, 2)
    assert progress.doing is not None
    assert progress.doing.startswith("examines /music/")


def test_a_thread_at_rest_keeps_its_steps() -> None:
    pulse = Pulse("fw-scan")
    pulse.at("scans")
    pulse.rest()

    assert (pulse.look().steps, pulse.look().doing) == (1, None)


def test_code_that_several_threads_share_counts_for_the_one_that_runs_it() -> None:
    own, pulse = Own(), Pulse("fw-folders")
    own.pulse = pulse

    def step() -> None:
        own.pulse.step()  # looked up by the thread that runs it

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()

    assert pulse.look().steps == 0
    own.pulse.step()
    assert pulse.look().steps == 1
