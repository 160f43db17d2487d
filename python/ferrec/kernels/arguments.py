"""Checks of plain arguments: each error names the argument and the value."""

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec.errors import ParameterError, ParameterTypeError, unknown_name
from ferrec.io.progress import Callback

Progress: TypeAlias = bool | Callback

Duration: TypeAlias = float | str | timedelta
"""A length of time: seconds, text such as "30d", or a timedelta."""


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
"""Seconds in each unit of a duration given as text."""
_MOST_THREADS = 4096  # each has a stack and a row of scores; more is a slip, not a machine


def as_int(name: str, value: object, *, minimum: int, maximum: int = 2**63 - 1) -> int:
    """The value as an int in the range; TypeError or ValueError names the argument and the value."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ParameterTypeError(name, "expected an integer", value)
    if value < minimum:
        raise ParameterError(name, f"must be at least {minimum}", value)
    if value > maximum:
        raise ParameterError(name, f"must be at most {maximum}", value)
    return int(value)


def as_float(name: str, value: Any) -> float:
    """The value as a float; TypeError or ValueError names the argument and the value."""
    try:
        if isinstance(value, str | bytes | bool):  # float would take them
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ParameterTypeError(name, "expected a number", value) from None
    except OverflowError:
        raise ParameterError(name, "exceeds float64", value) from None


def as_number(name: str, value: Any) -> float:
    """The value as a float that is not NaN; TypeError or ValueError names the argument and the value."""
    number = as_float(name, value)
    if number != number:
        raise ParameterError(name, "must be a number", value)
    return number


def as_seconds(name: str, value: Duration, *, zero: bool = False) -> float:
    """Seconds of a duration: a number is seconds, text has a unit (s, m, h, d or w), as "90s", "36h" or "30d".

    Above 0, or with `zero` at least 0; ValueError names the argument and the value.
    """
    seconds: object = value
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", value.strip())
        seconds = float(found[1]) * _UNITS[found[2]] if found else None
    elif isinstance(value, timedelta):
        seconds = value.total_seconds()
    if isinstance(seconds, bool) or not isinstance(seconds, int | float | np.number):
        seconds = np.nan
    if not (0 < seconds < np.inf or (zero and seconds == 0)):
        least = "of at least 0" if zero else "above 0"
        raise ParameterError(name, f"expected seconds {least}, or text such as '30m', '12h' or '7d'", value)
    return float(seconds)


def as_bool(name: str, value: Any) -> bool:
    """The value if it is True or False; TypeError names the argument and the value otherwise."""
    if not isinstance(value, bool | np.bool_):
        raise ParameterTypeError(name, "expected True or False", value)
    return bool(value)


def threads(n_threads: int | None) -> int:
    """The number for the compiled side: 0 stands for what CPU affinity and cgroup quota allow."""
    return 0 if n_threads is None else as_int("n_threads", n_threads, minimum=1, maximum=_MOST_THREADS)


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """The value if it is one of the allowed strings; ValueError names them otherwise."""
    if not isinstance(value, str) or value not in allowed:
        raise unknown_name(name, value, allowed)
    return value


def optional_float(name: str, value: float | None) -> float | None:
    """Check a number that may be left out."""
    return None if value is None else as_float(name, value)


def as_integers(name: str, values: "ArrayLike") -> NDArray[np.int64]:
    """Check a flat array of integers that fit int64."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise ParameterTypeError(name, "expected integers in one dimension", array)
    if array.dtype == np.uint64 and array.size and array.max() >= 2**63:
        raise ParameterError(name, "must be below 2**63", int(array.max()))
    return np.ascontiguousarray(array, dtype=np.int64)
