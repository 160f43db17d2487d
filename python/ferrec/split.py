"""Splits of interactions into a part to learn from and a part to test on.

Every part keeps the labels of the whole: user and item codes mean the same in both, so that a model fitted on
one is tested on the other without a join. Splits are by event; where a user has several events with one item,
they may fall on both sides.
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _tables
from ferrec.errors import DataError
from ferrec.interactions import Interactions

__all__ = ["by_time", "k_fold", "leave_last_out", "random"]


def by_time(
    data: Interactions,
    *,
    cutoff: int | str | date | datetime | np.datetime64 | None = None,
    fraction: float | None = None,
) -> tuple[Interactions, Interactions]:
    """The events before a moment to learn from, and those from it on to test on: no look into the future.

    Parameters
    ----------
    data : Interactions
        With times.
    cutoff : int, str, date, datetime or datetime64, optional
        The first moment of the test part: unix seconds, ISO 8601 text, or a date; without a zone it is UTC.
    fraction : float in (0, 1), optional
        Instead of `cutoff`: the share of events, the latest ones, to test on. Events of the same second stay
        together, in the test part, so that it may be larger.

    Returns
    -------
    train, test : Interactions

    Raises
    ------
    ValueError
        Neither or both of `cutoff` and `fraction` are given, or one cannot be read.
    DataError
        The data has no times, or one part would be empty.

    Examples
    --------
    >>> data = Interactions.from_arrays([1, 2, 1, 2], [5, 5, 6, 7], times=[10, 20, 30, 40])
    >>> train, test = by_time(data, fraction=0.25)
    >>> train.events.times, test.events.times
    (array([10, 20, 30]), array([40]))
    >>> train, test = by_time(data, cutoff="1970-01-01T00:00:30")
    >>> test.events.times
    array([30, 40])
    """
    if (cutoff is None) == (fraction is None):
        raise ValueError("give cutoff or fraction, one of them")
    times = data.events.times
    if times is None:
        raise DataError("by_time needs times: name the column of times when reading the data")
    moment = _moment(cutoff) if fraction is None else _latest(times, fraction)
    test = times >= moment
    _refuse_empty(
        test, f"every time is {'at or after' if test.all() else 'before'} the cutoff, {_iso(moment)}"
    )
    return data.select(~test), data.select(test)


def leave_last_out(data: Interactions, n: int = 1) -> tuple[Interactions, Interactions]:
    """The last n events of each user to test on, and what came before to learn from.

    Users with n events or fewer stay whole in the training part, so that nobody is tested unknown.

    Parameters
    ----------
    data : Interactions
        The last events are the latest; of those at the same time, and where there are no times, the last in
        order.
    n : int, default 1
        How many events of each user.

    Returns
    -------
    train, test : Interactions

    Raises
    ------
    ValueError
        `n` is not a positive integer.

    Examples
    --------
    >>> data = Interactions.from_arrays([1, 1, 1, 2], [5, 6, 7, 5], times=[30, 10, 20, 10])
    >>> train, test = leave_last_out(data)
    >>> test.events.times
    array([30])
    """
    n = _integer(n, "n", 1)
    users, times = data.events.users, data.events.times
    # Both sorts are stable, so that equal times stay in the order given.
    order = np.argsort(users, kind="stable") if times is None else np.lexsort((times, users))
    counts = np.bincount(users, minlength=data.n_users)
    ends = np.cumsum(counts)
    left = np.repeat(ends, counts) - np.arange(len(users))  # 1 at the last event of a user, 2 before it, …
    chosen = (left <= n) & np.repeat(counts > n, counts)
    test = np.zeros(len(users), np.bool_)
    test[order[chosen]] = True
    return data.select(~test), data.select(test)


def random(data: Interactions, fraction: float = 0.2, *, seed: int = 0) -> tuple[Interactions, Interactions]:
    """A random share of the events to test on.

    Parameters
    ----------
    data : Interactions
        Any.
    fraction : float in (0, 1), default 0.2
        The share of events to test on, rounded to whole events.
    seed : int, default 0
        The same seed gives the same split.

    Returns
    -------
    train, test : Interactions

    Raises
    ------
    ValueError
        `fraction` is out of range.
    DataError
        One part would be empty.

    Examples
    --------
    >>> data = Interactions.from_arrays(range(10), range(10))
    >>> train, test = random(data, 0.3)
    >>> len(train), len(test)
    (7, 3)
    """
    size = round(len(data) * _share(fraction))
    test = np.zeros(len(data), np.bool_)
    test[np.random.default_rng(seed).permutation(len(data))[:size]] = True
    _refuse_empty(test, f"fraction={fraction} of {len(data)} events leaves a part empty")
    return data.select(~test), data.select(test)


def k_fold(data: Interactions, k: int = 5, *, seed: int = 0) -> Iterator[tuple[Interactions, Interactions]]:
    """K splits that test each event exactly once, made one at a time.

    Parameters
    ----------
    data : Interactions
        Any.
    k : int, default 5
        The number of folds, from 2 to the number of events. Their sizes differ by one event at most.
    seed : int, default 0
        The same seed gives the same folds.

    Returns
    -------
    iterator of (train, test)

    Raises
    ------
    ValueError
        `k` is less than 2.
    DataError
        There are fewer events than folds.

    Examples
    --------
    >>> data = Interactions.from_arrays(range(10), range(10))
    >>> [len(test) for train, test in k_fold(data, 3)]
    [4, 3, 3]
    """
    k = _integer(k, "k", 2)
    if len(data) < k:
        raise DataError(f"k={k} folds need at least {k} events, and there are {len(data)}")
    fold = np.empty(len(data), np.int64)
    fold[np.random.default_rng(seed).permutation(len(data))] = np.arange(len(data)) % k
    # Only the generator is lazy: wrong arguments are refused at the call.
    return ((data.select(fold != i), data.select(fold == i)) for i in range(k))


def _latest(times: NDArray[np.int64], fraction: float) -> int:
    """The time from which on the given share of events, or more where times are equal, lies."""
    if not len(times):
        raise DataError("there are no events to split")
    size = max(1, round(len(times) * _share(fraction)))
    return int(np.partition(times, len(times) - size)[len(times) - size])


def _moment(cutoff: Any) -> int:
    if isinstance(cutoff, str):
        try:
            cutoff = datetime.fromisoformat(cutoff)
        except ValueError as error:
            raise ValueError(f"cutoff={cutoff!r}: expected ISO 8601, such as '2024-01-31'") from error
    column: NDArray[Any] = np.fromiter([cutoff], object, 1)
    if isinstance(cutoff, np.datetime64 | np.integer):
        column = np.asarray([cutoff])
    try:
        return int(_tables.read_times(column, "cutoff")[0])
    except DataError as error:
        raise ValueError(f"cutoff={cutoff!r}: expected a time after 1970 ({error})") from error


def _iso(moment: int) -> str:
    return f"{np.datetime64(moment, 's')}Z"


def _share(fraction: float) -> float:
    if not 0 < fraction < 1:
        raise ValueError(f"fraction={fraction!r}: expected a number between 0 and 1, both excluded")
    return fraction


def _integer(value: int, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}={value!r}: expected an integer of {least} or more")
    return int(value)


def _refuse_empty(test: NDArray[np.bool_], problem: str) -> None:
    if test.all() or not test.any():
        raise DataError(f"a part of the split would be empty: {problem}")
