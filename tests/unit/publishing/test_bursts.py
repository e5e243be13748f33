"""Frames of many messages reach the socket together, whole and in their order."""

from __future__ import annotations

import pika
import pytest

from file_watcher.publishing.bursts import BurstConnection


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What was passed on to pika's transport, a call each."""
    calls: list[bytes] = []
    monkeypatch.setattr(pika.SelectConnection, "_adapter_emit_data", lambda _self, data: calls.append(data))
    monkeypatch.setattr(pika.SelectConnection, "__init__", lambda _self: None)
    return calls


def test_outside_a_burst_each_frame_goes_at_once(emitted: list[bytes]) -> None:
    connection = BurstConnection()
    connection._adapter_emit_data(b"one")
    connection._adapter_emit_data(b"two")
    assert emitted == [b"one", b"two"]


def test_the_frames_of_a_burst_go_together_at_its_end(emitted: list[bytes]) -> None:
    connection = BurstConnection()
    with connection.burst():
        connection._adapter_emit_data(b"method ")
        connection._adapter_emit_data(b"header ")
        connection._adapter_emit_data(b"body")
        assert emitted == []
    assert emitted == [b"method header body"]
    connection._adapter_emit_data(b"heartbeat")
    assert emitted[1:] == [b"heartbeat"]


def test_a_burst_without_frames_sends_nothing(emitted: list[bytes]) -> None:
    with BurstConnection().burst():
        pass
    assert emitted == []


def test_much_is_passed_on_in_between(emitted: list[bytes]) -> None:
    connection, frames = BurstConnection(), [bytes([number]) * 100_000 for number in range(10)]
    with connection.burst():
        for frame in frames:
            connection._adapter_emit_data(frame)
    assert [len(call) for call in emitted] == [300_000, 300_000, 300_000, 100_000]
    assert b"".join(emitted) == b"".join(frames)


def test_what_was_framed_before_a_failure_is_sent(emitted: list[bytes]) -> None:
    """It may be a whole message: what pika has counted as sent must arrive."""
    connection = BurstConnection()

    def fail_half_way() -> None:
        with connection.burst():
            connection._adapter_emit_data(b"the first message")
            raise ValueError("the second one")

    with pytest.raises(ValueError, match="the second one"):
        fail_half_way()
    assert emitted == [b"the first message"]
