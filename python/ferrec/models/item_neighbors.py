"""Models that score with a sparse item × item matrix: `history @ similarity`."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.io.progress import Callback
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, to_scipy
from ferrec.models.base import ExplanationParts, Recommender
from ferrec.models.lookup import top_of_rows
from ferrec.models.state import ItemItem, State


@dataclass(frozen=True, eq=False)
class ItemNeighborsState(State):
    """Row j holds the items that j speaks for."""

    similarity: ItemItem


ItemNeighborsStateT = TypeVar("ItemNeighborsStateT", bound=ItemNeighborsState)


class NeighborScores(Recommender[ItemNeighborsStateT]):
    """Ranking, scoring and explaining with an item × item matrix, however it came about."""

    def rank(
        self, state: ItemNeighborsStateT, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        names = ("history", "similarity")
        threads = self._threads()
        return _rust.top_k_product(queries.history, state.similarity, n, chosen, names, threads, callback)

    def score_pairs(
        self, state: ItemNeighborsStateT, queries: Queries, pairs: _rust.Csr
    ) -> NDArray[np.float32]:
        return _rust.score_product(queries.history, state.similarity, pairs, self._threads())

    def explain_parts(self, state: ItemNeighborsStateT, queries: Queries, item: int) -> ExplanationParts:
        _, seen, weights = queries.history.parts()
        column: Any = to_scipy(state.similarity)[seen][:, [item]].toarray().ravel()
        parts = weights.astype(np.float64) * column.astype(np.float64)
        counts = parts != 0.0
        return 0.0, seen[counts], parts[counts]


class ItemNeighbors(NeighborScores[ItemNeighborsState]):
    """What a model of events has to say is only how the matrix is made."""

    state_type = ItemNeighborsState

    @abstractmethod
    def _similarity(self, x: _rust.Csr, callback: Callback | None) -> CsrParts:
        """The rows of the matrix."""

    def learn(self, data: Interactions, callback: Callback | None) -> ItemNeighborsState:
        indptr, indices, values = self._similarity(data.csr, callback)
        similarity = _rust.Csr(indptr, indices, values, data.n_items, name="similarity")
        return ItemNeighborsState(data.users, data.items, data.csr, similarity)

    def rank_similar_items(self, state: ItemNeighborsState, codes: NDArray[np.int32], n: int) -> CsrParts:
        return top_of_rows("items", state.similarity, codes, n, self._threads())
