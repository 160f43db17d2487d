"""How long ago: an item's events, a user's, and those of the two with each other. In ln(1 + days), counted back
from the latest event of the data.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Interactions
from ferrec.features.base import Column, Feature, FeatureState, ItemFeature, UserFeature, times_of
from ferrec.io.times import in_seconds
from ferrec.models.state import UserItem

_DAY = 86400.0


class ItemRecency(ItemFeature):
    """``item_first_seen`` and ``item_recency``: since the item's first and last event; ``item_recency_missing``.

    In ln(1 + days). An item without events has 0 in both and 1 in the third. Needs times.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 2], ["tea", "jam"], times=[0, 86400])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(1, exclude_seen=False)
    >>> ItemRecency().fit(data).columns(pairs)["item_recency"].round(3)
    array([0.   , 0.693], dtype=float32)
    """

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return ["item_first_seen", "item_recency", "item_recency_missing"]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _ages(data, data.events.items, data.n_items, "ItemRecency")


class UserRecency(UserFeature):
    """``user_first_seen`` and ``user_recency``: since the user's first and last event; ``user_recency_missing``.

    In ln(1 + days). A user without events, and a new user, has 0 in both and 1 in the third. Needs times.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 2], ["tea", "jam"], times=[0, 86400])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates([1, 2])
    >>> UserRecency().fit(data).columns(pairs)["user_recency"].round(3)
    array([0.693, 0.   ], dtype=float32)
    """

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return ["user_first_seen", "user_recency", "user_recency_missing"]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _ages(data, data.events.users, data.n_users, "UserRecency")

    def new_users(self, history: _rust.Csr) -> list[NDArray[Any] | float]:
        return [0.0, 0.0, 1.0]


def _ages(data: Interactions, who: NDArray[np.int32], n: int, name: str) -> list[NDArray[Any]]:
    """Since the first event, since the last one, and whether there is none."""
    times_of(data, name)
    times: Any = data.events.times
    latest = times.max(initial=0)
    first, last = np.full(n, latest), np.zeros(n, np.int64)
    np.minimum.at(first, who, times)
    np.maximum.at(last, who, times)
    missing = np.bincount(who, minlength=n) == 0
    last[missing] = latest
    return [np.log1p(in_seconds(latest - first) / _DAY), np.log1p(in_seconds(latest - last) / _DAY), missing]


@dataclass(frozen=True, eq=False)
class HistoryState(FeatureState):
    """When each user last had each item."""

    recency: UserItem


class PairHistory(Feature[HistoryState]):
    """What the user has done with this very item: for shops and players where people come back to the same.

    ``pair_weight`` is what the pair weighs in the user's history, ``pair_recency`` the time since its last event in
    ln(1 + days), and ``pair_recency_missing`` is 1 where there is none, or, for new users, no time. Needs times.
    Without seen items among the candidates it says the same of all pairs.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "tea", "jam"], times=[0, 0, 86400])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(1, exclude_seen=False)
    >>> {name: column.round(3).tolist()[1] for name, column in PairHistory().fit(data).columns(pairs).items()}
    {'pair_weight': 2.0, 'pair_recency': 0.6930000185966492, 'pair_recency_missing': 0.0}
    """

    state_type = HistoryState

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return ["pair_weight", "pair_recency", "pair_recency_missing"]

    def learn(self, data: Interactions) -> HistoryState:
        times = times_of(data, "PairHistory")
        indptr, codes, _ = data.csr.parts()
        recency = np.log1p(in_seconds(times.max(initial=0) - times) / _DAY).astype(np.float32)
        histories = _rust.Csr(indptr, codes, recency, data.n_items, name="recency")
        return HistoryState(data.n_users, data.n_items, histories)

    def compute(self, state: HistoryState, candidates: Candidates, n_threads: int) -> list[Column]:
        queries, pairs = candidates.queries, candidates.pairs
        own = np.arange(len(queries), dtype=np.int32)
        rows = np.full(len(queries), -1, np.int32) if queries.codes is None else queries.codes
        weight = _rust.values_at(pairs, queries.history, own, 0.0, n_threads)
        recency = _rust.values_at(pairs, state.recency, rows, -1.0, n_threads)
        return [weight, np.maximum(recency, np.float32(0.0)), (recency < 0).astype(np.float32)]
