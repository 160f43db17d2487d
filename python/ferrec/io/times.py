"""Times: whole nanoseconds since 1970 in UTC inside, seconds in every argument and every result."""

from typing import Any

import numpy as np

__all__ = ["PER_SECOND", "in_seconds", "iso", "ticks"]

PER_SECOND = 10**9
"""Ticks of `Events.times`, and of every time inside, in a second."""

_LAST = 2**63 - 1

# Spans that are converted at once: they stay in a near cache.
_PIECE = 1 << 15


def in_seconds(elapsed: Any) -> Any:
    """Spans of ticks as seconds, a number or a flat array; whole seconds are exact, however many.

    Examples
    --------
    >>> in_seconds(np.array([1_500_000_000])), in_seconds(2_000_000_000)
    (array([1.5]), 2.0)
    """
    if not isinstance(elapsed, np.ndarray):
        return int(elapsed) // PER_SECOND + int(elapsed) % PER_SECOND / PER_SECOND
    seconds = np.empty(len(elapsed))
    for start in range(0, len(elapsed), _PIECE):
        some, out = elapsed[start : start + _PIECE], seconds[start : start + _PIECE]
        whole = some // PER_SECOND
        out[:] = whole
        whole *= PER_SECOND
        rest = np.subtract(some, whole, out=whole)
        if rest.any():
            out += rest / PER_SECOND
    return seconds


def ticks(duration: float) -> int:
    """A span of seconds in ticks, rounded down; one that is longer than any two times are apart is the longest.

    Examples
    --------
    >>> ticks(1.5), ticks(1e30)
    (1500000000, 9223372036854775807)
    """
    if duration >= _LAST // PER_SECOND:
        return _LAST
    whole = int(duration // 1)
    return whole * PER_SECOND + int((duration - whole) * PER_SECOND)


def iso(moment: int) -> str:
    """A time in ISO 8601, with as many digits of the second as it has.

    Examples
    --------
    >>> iso(0), iso(1_500_000_000)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.5Z')
    """
    text = str(np.datetime64(min(max(moment, -_LAST), _LAST), "ns"))
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}Z"
