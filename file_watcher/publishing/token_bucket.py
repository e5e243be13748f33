"""Limits a rate. Pure: the time is an argument."""

from __future__ import annotations


class TokenBucket:
    """Lets `rate` messages a second through, with bursts of up to a tenth of a second's worth."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._size = _size(rate)
        self._tokens = self._size
        self._filled_at: float | None = None

    def set_rate(self, rate: float) -> None:
        """Let so many through from now on, beginning with the next time that it is asked."""
        if rate != self._rate:
            self._rate, self._size = rate, _size(rate)

    def has_token(self, now: float) -> bool:
        """Fill up to `now` (monotonic seconds) and say whether one may pass."""
        since = 0.0 if self._filled_at is None else now - self._filled_at
        self._tokens = min(self._size, self._tokens + since * self._rate)
        self._filled_at = now
        return self._tokens >= 1.0

    def take(self) -> None:
        """Let one pass; to be asked for with `has_token` first."""
        self._tokens -= 1.0

    def wait_seconds(self, now: float) -> float:
        """Seconds until the next one may pass."""
        return 0.0 if self.has_token(now) else (1.0 - self._tokens) / self._rate


def _size(rate: float) -> float:
    return max(1.0, rate / 10)
