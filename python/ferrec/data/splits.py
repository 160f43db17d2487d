"""Splits of interactions into a part to learn from and a part to test on.

Every part keeps the ids of the whole: user and item codes mean the same in both, so that a model fitted on
one is tested on the other without a join. Splits are by event; where a user has several events with one item,
they may fall on both sides.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions, check_interactions
from ferrec.errors import DataError, ParameterError, checks_keywords, publish
from ferrec.io.columns import read_times
from ferrec.io.times import iso, ticks
from ferrec.kernels.arguments import Duration, as_float, as_int, as_seconds

__all__ = [
    "by_time",
    "cold_items",
    "cold_users",
    "k_fold",
    "leave_k_out",
    "leave_last_out",
    "random",
    "rolling",
]

publish(__name__, "ferrec.split")


@checks_keywords
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
        Instead of `cutoff`: the share of events, the latest ones, to test on. Events at the same time stay
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
    >>> len(train), test
    (3, Interactions(2 users × 3 items, 1 events, 1 pairs, 1970-01-01 to 1970-01-01))
    >>> train, test = by_time(data, cutoff="1970-01-01T00:00:30")
    >>> test.events.times.astype("datetime64[ns]").astype("datetime64[s]")
    array(['1970-01-01T00:00:30', '1970-01-01T00:00:40'],
          dtype='datetime64[s]')
    """
    check_interactions("data", data)
    if (cutoff is None) == (fraction is None):
        raise ParameterError("cutoff, fraction", "give one of them", (cutoff, fraction))
    times = data.events.times
    if times is None:
        raise DataError("data", "by_time needs times", advice="pass time= when reading the interactions")
    moment = _moment(cutoff) if fraction is None else _latest(times, fraction)
    test = times >= moment
    _refuse_empty(
        test, f"every time is {'at or after' if test.all() else 'before'} the cutoff, {iso(moment)}"
    )
    return data.select(~test), data.select(test)


@checks_keywords
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
    >>> test.items.decode(test.events.items)
    array([5])
    """
    check_interactions("data", data)
    n = _integer(n, "n", 1)
    test = _rust.latest(data.events.users, data.events.times, data.n_users, n)
    return data.select(~test), data.select(test)


@checks_keywords
def leave_k_out(data: Interactions, n: int = 1, *, seed: int = 0) -> tuple[Interactions, Interactions]:
    """K random events of each user to test on, and the others to learn from.

    Users with k events or fewer stay whole in the training part, so that nobody is tested unknown.

    Parameters
    ----------
    data : Interactions
        Any.
    n : int, default 1
        How many events of each user.
    seed : int, default 0
        The same seed gives the same split.

    Returns
    -------
    train, test : Interactions

    Raises
    ------
    ValueError
        `n` is not a positive integer.

    Examples
    --------
    >>> data = Interactions.from_arrays([1, 1, 1, 2], [5, 6, 7, 5])
    >>> train, test = leave_k_out(data, 2)
    >>> len(test), test.users.decode(test.events.users)
    (2, array([1, 1]))
    """
    check_interactions("data", data)
    n = _integer(n, "n", 1)
    keys = np.random.default_rng(as_int("seed", seed, minimum=0)).integers(0, 2**63 - 1, len(data))
    test = _rust.latest(data.events.users, keys, data.n_users, n)
    return data.select(~test), data.select(test)


@checks_keywords
def cold_users(
    data: Interactions, fraction: float = 0.2, *, seed: int = 0
) -> tuple[Interactions, Interactions]:
    """All events of a random share of the users to test on: people of whom a model knows nothing.

    Their histories are empty rows of the training part. A model that lives on histories recommends them nothing,
    unless it is given one (`recommend(history=…)`).

    Parameters
    ----------
    data : Interactions
        Any.
    fraction : float in (0, 1), default 0.2
        The share of the users that have an event, rounded to whole users.
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
    >>> data = Interactions.from_arrays([1, 1, 2, 3, 4], [5, 6, 5, 6, 7])
    >>> train, test = cold_users(data, 0.25)
    >>> len(np.unique(test.events.users)), np.intersect1d(train.events.users, test.events.users)
    (1, array([], dtype=int32))
    """
    check_interactions("data", data)
    test = _of_some(data.events.users, data.n_users, fraction, seed, "users")
    return data.select(~test), data.select(test)


@checks_keywords
def cold_items(
    data: Interactions, fraction: float = 0.2, *, seed: int = 0
) -> tuple[Interactions, Interactions]:
    """All events of a random share of the items to test on: items of which a model knows no behavior.

    Their columns are empty in the training part: only models that look at content can recommend them.

    Parameters
    ----------
    data : Interactions
        Any.
    fraction : float in (0, 1), default 0.2
        The share of the items that have an event, rounded to whole items.
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
    >>> data = Interactions.from_arrays([1, 1, 2, 3, 4], [5, 6, 5, 6, 7])
    >>> train, test = cold_items(data, 0.33)
    >>> len(np.unique(test.events.items)), np.intersect1d(train.events.items, test.events.items)
    (1, array([], dtype=int32))
    """
    check_interactions("data", data)
    test = _of_some(data.events.items, data.n_items, fraction, seed, "items")
    return data.select(~test), data.select(test)


@checks_keywords
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
    check_interactions("data", data)
    size = round(len(data) * _share(fraction))
    test = np.zeros(len(data), np.bool_)
    test[np.random.default_rng(as_int("seed", seed, minimum=0)).permutation(len(data))[:size]] = True
    _refuse_empty(test, f"fraction={fraction} of {len(data)} events leaves a part empty")
    return data.select(~test), data.select(test)


@checks_keywords
def k_fold(
    data: Interactions, n_folds: int = 5, *, seed: int = 0
) -> Iterator[tuple[Interactions, Interactions]]:
    """K splits that test each event exactly once, made one at a time.

    Parameters
    ----------
    data : Interactions
        Any.
    n_folds : int, default 5
        The number of folds, from 2 to the number of events. Their sizes differ by one event at most.
    seed : int, default 0
        The same seed gives the same folds.

    Returns
    -------
    iterator of (train, test)

    Raises
    ------
    ValueError
        `n_folds` is less than 2.
    DataError
        There are fewer events than folds.

    Examples
    --------
    >>> data = Interactions.from_arrays(range(10), range(10))
    >>> [len(test) for train, test in k_fold(data, 3)]
    [4, 3, 3]
    """
    check_interactions("data", data)
    n_folds = _integer(n_folds, "n_folds", 2)
    if len(data) < n_folds:
        raise DataError("n_folds", f"must be at most the number of events, {len(data)}", n_folds)
    fold = np.empty(len(data), np.int64)
    order = np.random.default_rng(as_int("seed", seed, minimum=0)).permutation(len(data))
    fold[order] = np.arange(len(data)) % n_folds
    # Only the generator is lazy: wrong arguments are refused at the call.
    return ((data.select(fold != i), data.select(fold == i)) for i in range(n_folds))


@checks_keywords
def rolling(
    data: Interactions,
    window: Duration,
    n_windows: int = 3,
    *,
    train_window: Duration | None = None,
) -> Iterator[tuple[Interactions, Interactions]]:
    """The last n windows of time to test on, one after the other, and what came before each to learn from.

    The last window ends with the last event; windows follow each other without a gap, the oldest first. It is what
    a system that is retrained regularly would have seen.

    Parameters
    ----------
    data : Interactions
        With times.
    window : duration
        The length of a test window; seconds, text such as "7d", or a timedelta.
    n_windows : int, default 3
        How many windows.
    train_window : duration, optional
        Learn from so long before a window only. By default from everything before it.

    Returns
    -------
    iterator of (train, test)
        Made one at a time.

    Raises
    ------
    ValueError
        `window`, `n_windows` or `train_window` is not positive.
    DataError
        The data has no times, or a part would be empty: says which window.

    Examples
    --------
    >>> from ferrec.io.times import in_seconds
    >>> data = Interactions.from_arrays([1, 2, 1, 2], [5, 5, 6, 7], times=[10, 20, 30, 40])
    >>> for train, test in rolling(data, window=10, n_windows=2):
    ...     print(in_seconds(train.events.times), in_seconds(test.events.times))
    [10. 20.] [30.]
    [10. 20. 30.] [40.]
    """
    check_interactions("data", data)
    length, n_windows = _ticks(window, "window"), _integer(n_windows, "n_windows", 1)
    kept = None if train_window is None else _ticks(train_window, "train_window")
    times = data.events.times
    if times is None:
        raise DataError("data", "rolling needs times", advice="pass time= when reading the interactions")
    if not len(times):
        raise DataError("data", "there are no events to split")
    end = int(times.max()) + 1
    spans = []
    for left in range(n_windows, 0, -1):
        start, stop = end - left * length, end - (left - 1) * length
        span = (-(2**63) if kept is None else start - kept, start, stop)
        spans.append(span)
        for name, low, high in (("test", start, stop), ("training", *span[:2])):
            if not ((times >= low) & (times < high)).any():
                since = "" if name == "training" and kept is None else f" from {iso(low)}"
                raise DataError(
                    "data",
                    f"window {n_windows - left + 1} of {n_windows} has an empty {name} part: "
                    f"no event{since} to {iso(high)}",
                )
    # Only the generator is lazy: wrong arguments are refused at the call.
    return (
        (data.select((times >= low) & (times < start)), data.select((times >= start) & (times < stop)))
        for low, start, stop in spans
    )


def _of_some(codes: NDArray[np.int32], n: int, fraction: float, seed: int, what: str) -> NDArray[np.bool_]:
    """Marks the events of a random share of those who have any."""
    there = np.flatnonzero(np.bincount(codes, minlength=n))
    size = round(len(there) * _share(fraction))
    chosen = np.zeros(n, np.bool_)
    chosen[np.random.default_rng(as_int("seed", seed, minimum=0)).permutation(there)[:size]] = True
    test: NDArray[np.bool_] = chosen[codes]
    _refuse_empty(test, f"fraction={fraction} of {len(there)} {what} leaves a part empty")
    return test


def _ticks(value: Duration, name: str) -> int:
    seconds = as_seconds(name, value)
    if not seconds.is_integer():
        raise ParameterError(name, "expected whole seconds", value)
    return ticks(seconds)


def _latest(times: NDArray[np.int64], fraction: float) -> int:
    """The time from which on the given share of events, or more where times are equal, lies."""
    if not len(times):
        raise DataError("data", "there are no events to split")
    size = max(1, round(len(times) * _share(fraction)))
    return int(np.partition(times, len(times) - size)[len(times) - size])


def _moment(cutoff: Any) -> int:
    nanoseconds = 0
    if isinstance(cutoff, str):
        try:
            parsed = datetime.fromisoformat(cutoff)
        except ValueError as error:
            raise ParameterError("cutoff", "expected ISO 8601, such as '2024-01-31'", cutoff) from error
        # Python's datetimes end with microseconds.
        digits = re.search(r"[.,]\d{6}(\d{1,3})", cutoff)
        nanoseconds = int(digits[1].ljust(3, "0")) if digits else 0
        cutoff = parsed
    column: NDArray[Any] = np.fromiter([cutoff], object, 1)
    if isinstance(cutoff, np.datetime64 | np.integer):
        column = np.asarray([cutoff])
    try:
        return int(read_times(column, "cutoff")[0]) + nanoseconds
    except DataError as error:
        raise ParameterError("cutoff", f"expected a time after 1970 ({error})", cutoff) from error


def _share(fraction: float) -> float:
    fraction = as_float("fraction", fraction)
    if not 0 < fraction < 1:
        raise ParameterError("fraction", "expected a number between 0 and 1, both excluded", fraction)
    return fraction


def _integer(value: int, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ParameterError(name, f"expected an integer of {least} or more", value)
    return int(value)


def _refuse_empty(test: NDArray[np.bool_], problem: str) -> None:
    if test.all() or not test.any():
        raise DataError("data", f"a part of the split would be empty: {problem}")
