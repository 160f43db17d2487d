"""How much happens: with an item, and around a user."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.features.base import ItemFeature, UserFeature, duration_name, times_of
from ferrec.io.times import in_seconds
from ferrec.kernels.arguments import Duration, as_seconds


class ItemPopularity(ItemFeature):
    """How many users have had the item, as ln(1 + n): ``item_popularity``.

    Parameters
    ----------
    window : duration, optional
        Count only users whose latest event with the item lies within so many seconds before the latest event of
        all. Needs times. The column is then named after it: ``item_popularity_7d``.
    half_life : duration, optional
        A user counts half for every so many seconds since the latest event with the item. Needs times. The
        column: ``item_popularity_half_30d``.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(2, exclude_seen=False)
    >>> ItemPopularity().fit(data).columns(pairs)["item_popularity"].round(3)
    array([0.693, 1.099], dtype=float32)
    """

    def __init__(self, *, window: Duration | None = None, half_life: Duration | None = None) -> None:
        self.window = window
        self.half_life = half_life

    @property
    def names(self) -> list[str]:
        """The name of its column."""
        return [_count_name("item_popularity", self.window, self.half_life)]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        weights = _weights(data, self.window, self.half_life, type(self).__name__)
        return [np.log1p(np.bincount(data.csr.parts()[1], weights, minlength=data.n_items))]


class UserActivity(UserFeature):
    """How many items the user has had, as ln(1 + n): ``user_activity``.

    For new users the length of the history that they bring, all of which counts as recent.

    Parameters
    ----------
    window, half_life : duration, optional
        As in `ItemPopularity`.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(2)
    >>> UserActivity().fit(data).columns(pairs)["user_activity"].round(3)
    array([0.693], dtype=float32)
    """

    def __init__(self, *, window: Duration | None = None, half_life: Duration | None = None) -> None:
        self.window = window
        self.half_life = half_life

    @property
    def names(self) -> list[str]:
        """The name of its column."""
        return [_count_name("user_activity", self.window, self.half_life)]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        weights = _weights(data, self.window, self.half_life, type(self).__name__)
        return [np.log1p(np.bincount(_rows(data.csr), weights, minlength=data.n_users))]

    def new_users(self, history: _rust.Csr) -> list[NDArray[Any] | float]:
        return [np.log1p(np.diff(history.parts()[0]))]


class ItemStatistics(ItemFeature):
    """What the events of an item are like: ``item_weight``, ``item_repeats``, ``item_unseen``.

    The mean weight of its events (its mean rating, where the weights are ratings), ln of the events for each user
    who has any, and 1 for an item without events, where the others are 0.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"], ratings=[4, 2, 5])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(2, exclude_seen=False)
    >>> ItemStatistics().fit(data).columns(pairs)["item_weight"]
    array([2. , 4.5], dtype=float32)
    """

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return ["item_weight", "item_repeats", "item_unseen"]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _statistics(data, data.events.items, data.csr.parts()[1], data.n_items)


class UserStatistics(UserFeature):
    """What the events of a user are like: ``user_weight``, ``user_repeats``, ``user_unseen``.

    As in `ItemStatistics`: the mean weight, ln of the events for each item of the user's history, and 1 for a
    user without events. Of new users one knows no repeats.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"], ratings=[4, 2, 5])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates([1, 2], exclude_seen=False)
    >>> UserStatistics().fit(data).columns(pairs)["user_weight"]
    array([3., 3., 5., 5.], dtype=float32)
    """

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return ["user_weight", "user_repeats", "user_unseen"]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _statistics(data, data.events.users, _rows(data.csr), data.n_users)

    def new_users(self, history: _rust.Csr) -> list[NDArray[Any] | float]:
        counts = np.diff(history.parts()[0])
        sums = np.bincount(_rows(history), history.parts()[2], minlength=len(counts))
        return [sums / np.maximum(counts, 1), 0.0, counts == 0]


def _count_name(name: str, window: Duration | None, half_life: Duration | None) -> str:
    name += f"_{duration_name(as_seconds('window', window))}" if window is not None else ""
    half = "" if half_life is None else duration_name(as_seconds("half_life", half_life))
    return name + (f"_half_{half}" if half else "")


def _rows(csr: _rust.Csr) -> NDArray[np.int32]:
    """The row of each entry."""
    return np.repeat(np.arange(csr.shape[0], dtype=np.int32), np.diff(csr.parts()[0]))


def _weights(
    data: Interactions, window: Duration | None, half_life: Duration | None, who: str
) -> NDArray[np.float64] | None:
    """How much each pair counts by its age; None for all the same."""
    if window is None and half_life is None:
        return None
    seconds = None if window is None else as_seconds("window", window)
    half = None if half_life is None else as_seconds("half_life", half_life)
    times = times_of(data, who)
    age: NDArray[np.float64] = in_seconds(times.max(initial=0) - times)
    weights: NDArray[np.float64] = np.ones(len(age)) if half is None else np.exp2(-age / half)
    if seconds is not None:
        weights[age > seconds] = 0.0
    return weights


def _statistics(
    data: Interactions, of_event: NDArray[np.int32], of_pair: NDArray[np.int32], n: int
) -> list[NDArray[Any]]:
    events, pairs = np.bincount(of_event, minlength=n), np.bincount(of_pair, minlength=n)
    weights = data.events.weights
    sums = events if weights is None else np.bincount(of_event, weights, minlength=n)
    known = np.maximum(events, 1)
    return [sums / known, np.log(known / np.maximum(pairs, 1)), events == 0]
