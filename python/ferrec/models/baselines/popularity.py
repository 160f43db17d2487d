"""The same list for everybody: what most users have in their histories."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError
from ferrec.io.progress import Callback
from ferrec.io.times import in_seconds
from ferrec.kernels.arguments import Duration, as_seconds
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts
from ferrec.models.base import ExplanationParts, Recommender
from ferrec.models.search_space import Float, SearchSpace
from ferrec.models.state import PerItem, State


@dataclass(frozen=True, eq=False)
class PopularityState(State):
    """How popular each item is."""

    popularity: PerItem


class Popularity(Recommender[PopularityState]):
    """Recommends the items with the most users: the baseline that every model has to beat.

    Parameters
    ----------
    window : duration, optional
        Count only users whose latest event with the item lies within so many seconds before the latest event
        of all. Needs times.
    half_life : duration, optional
        A user counts half for every so many seconds since the latest event with the item. Needs times.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    Random : The other baseline of item ranking.
    Bias : The baseline of rating prediction.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.Popularity().fit(data).recommend(3, exclude_seen=False)[3]
    [('tea', 3.0), ('milk', 2.0)]
    """

    state_type = PopularityState
    personalized = False

    search_space: ClassVar[SearchSpace] = {"half_life": Float(86_400.0, 365 * 86_400.0, log=True)}

    def __init__(
        self,
        *,
        window: Duration | None = None,
        half_life: Duration | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.window = window
        self.half_life = half_life
        self.n_threads = n_threads

    def learn(self, data: Interactions, callback: Callback | None) -> PopularityState:
        seconds: dict[str, float] = {}
        for name, value in (("window", self.window), ("half_life", self.half_life)):
            if value is None:
                continue
            seconds[name] = as_seconds(name, value)
            if data.times is None:
                raise DataError(name, "needs times", advice="pass time= when reading the interactions")
        _, items, _ = data.csr.parts()
        weights = np.ones(len(items))
        if data.times is not None and len(data.times) and seconds:
            age: NDArray[np.float64] = in_seconds(data.times.max() - data.times)
            if "half_life" in seconds:
                weights = np.exp2(-age / seconds["half_life"])
            if "window" in seconds:
                weights[age > seconds["window"]] = 0.0
        popularity = np.bincount(items, weights, minlength=data.n_items).astype(np.float32)
        return PopularityState(data.users, data.items, data.csr, popularity)

    def rank(
        self, state: PopularityState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        return _rust.top_k_common(state.popularity, len(queries), n, chosen, self._threads(), callback)

    def score_pairs(self, state: PopularityState, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        _, items, _ = pairs.parts()
        return state.popularity[items]

    def explain_parts(self, state: PopularityState, queries: Queries, item: int) -> ExplanationParts:
        return float(state.popularity[item]), np.empty(0, np.int32), np.empty(0)
