"""Random recommendations: the floor of every comparison."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import ParameterError
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_int
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts
from ferrec.models.base import ExplanationParts, Recommender
from ferrec.models.state import State


@dataclass(frozen=True, eq=False)
class RandomState(State):
    """Nothing is learned."""


class Random(Recommender[RandomState]):
    """Recommends at random, the same items for the same user and seed.

    The score is a hash of seed, user and item, uniform in (0, 1]; new users are told apart by their histories.

    Parameters
    ----------
    seed : int, default 0
        At least 0.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> model = ferrec.Random(seed=1).fit(data)
    >>> model.recommend(2)[2] == model.recommend()[2]
    True
    """

    state_type = RandomState
    personalized = False

    def __init__(self, *, seed: int = 0, n_threads: int | None = None) -> None:
        self.seed = seed
        self.n_threads = n_threads

    def learn(self, data: Interactions, callback: Callback | None) -> RandomState:
        if as_int("seed", self.seed, minimum=0) >= 2**64:
            raise ParameterError("seed", "must be below 2**64", self.seed)
        return RandomState(data.users, data.items, data.csr)

    @staticmethod
    def _keys(queries: Queries) -> NDArray[np.uint64]:
        if queries.codes is not None:
            return queries.codes.astype(np.uint64)
        indptr, items, _ = queries.history.parts()
        # The sum of the items' hashes, on the side of the key space that no user's code is in.
        hashes = (items.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)])
        keys: NDArray[np.uint64] = (sums[indptr[1:]] - sums[indptr[:-1]]) | np.uint64(1 << 63)
        return keys

    def rank(
        self, state: RandomState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        keys = self._keys(queries)
        return _rust.top_k_random(self.seed, keys, len(state.items), n, chosen, self._threads(), callback)

    def score_pairs(self, state: RandomState, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        return _rust.score_random(self.seed, self._keys(queries), pairs, self._threads())

    def explain_parts(self, state: RandomState, queries: Queries, item: int) -> ExplanationParts:
        return 0.0, np.empty(0, np.int32), np.empty(0)
