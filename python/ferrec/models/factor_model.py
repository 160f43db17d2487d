"""What the models share whose scores are inner products of a user's and an item's vector."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.queries import Queries
from ferrec.errors import ShapeError
from ferrec.io.arrays import unit_vectors
from ferrec.io.progress import Callback
from ferrec.kernels.factors import require_lists
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, DenseParts
from ferrec.models.base import Recommender
from ferrec.models.lookup import unit_rows
from ferrec.models.state import ItemRows, State, UserRows


@dataclass(frozen=True, eq=False)
class FactorState(State):
    """The vectors of the items, item after item."""

    factors: ItemRows

    @property
    def table(self) -> NDArray[np.float32]:
        """Items × factors."""
        rank = len(self.factors) // max(len(self.items), 1)
        return self.factors.reshape(len(self.items), rank)

    @property
    def dense(self) -> DenseParts:
        """For the kernels."""
        return (self.factors, *self.table.shape)


@dataclass(frozen=True, eq=False)
class UserFactorState(FactorState):
    """Those of the users, user after user, beside them."""

    user_factors: UserRows

    def __post_init__(self) -> None:
        """Check that there are as many factors for each user as for each item."""
        super().__post_init__()
        rank = self.shape_of("factors")[0] // max(self.shape_of("items")[0], 1)
        got, expected = self.shape_of("user_factors")[0], self.shape_of("users")[0] * rank
        if got != expected:
            raise ShapeError("user_factors", f"must have {expected} values, those of the users", got)

    def of_users(self, codes: NDArray[np.int32]) -> DenseParts:
        """The vectors of some users."""
        rank = self.table.shape[1]
        rows = self.user_factors.reshape(len(self.users), rank)[codes]
        return rows.reshape(-1), len(codes), rank


FactorStateT = TypeVar("FactorStateT", bound=FactorState)


class FactorModel(Recommender[FactorStateT]):
    """Ranking, scoring and similarity; a model says what its queries' vectors are."""

    @abstractmethod
    def _vectors(self, state: FactorStateT, queries: Queries) -> DenseParts:
        """The vectors of the queries."""

    def _directions(self, state: FactorStateT) -> NDArray[np.float32]:
        """Items × what their similarity is taken over."""
        return state.table

    def rank(
        self, state: FactorStateT, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        require_lists(len(queries), n, len(state.items))
        vectors = self._vectors(state, queries)
        return _rust.top_k_factors(vectors, state.dense, n, chosen, self._threads(), callback)

    def score_pairs(self, state: FactorStateT, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        return _rust.score_factors(self._vectors(state, queries), state.dense, pairs, self._threads())

    def rank_similar_items(self, state: FactorStateT, codes: NDArray[np.int32], n: int) -> CsrParts:
        """By the cosine of their vectors."""
        table = unit_vectors(self._directions(state))
        queries = (table[codes].reshape(-1), len(codes), table.shape[1])
        itself = Filter([unit_rows(codes, len(state.items))])
        return _rust.top_k_factors(
            queries, (table.reshape(-1), *table.shape), n, itself, self._threads(), None
        )
