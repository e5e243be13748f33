"""A connection of pika's that hands the frames of many messages to the socket at once.

pika 1.4 sends each frame on its own: three system calls and three packets a message. Each call gives the
interpreter's lock away and asks for it again, and each packet wakes the broker. Owns no thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import pika

_CHUNK_BYTES: Final = 1 << 18
"""256 KiB: what was gathered is passed on from here on; what the socket does not take at once is copied."""


class BurstConnection(pika.SelectConnection):  # type: ignore[misc]  # pika's types are not read
    """`pika.SelectConnection`, whose frames can be gathered. For the thread of its loop only."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._gathered: list[bytes] | None = None
        self._gathered_bytes = 0
        super().__init__(*args, **kwargs)

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Gather all frames that are sent within, and pass them on in their order at the end, whatever happens."""
        self._gathered = []
        try:
            yield
        finally:
            self._pass_on()
            self._gathered = None

    def _adapter_emit_data(self, data: bytes) -> None:
        """What pika has each of its adapters implement: send a frame as soon as possible."""
        if self._gathered is None:
            super()._adapter_emit_data(data)
            return
        self._gathered.append(data)
        self._gathered_bytes += len(data)
        if self._gathered_bytes >= _CHUNK_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        if self._gathered:
            super()._adapter_emit_data(b"".join(self._gathered))
            self._gathered.clear()
            self._gathered_bytes = 0
