"""The candidate compared with the user's last items, and the scores of models that do not retrieve."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError, ParameterTypeError
from ferrec.features.base import Column, Feature, FeatureState, StateT
from ferrec.io.arrays import unit_vectors
from ferrec.kernels.arguments import as_int
from ferrec.models import ItemKNN, Recommender
from ferrec.models.estimator import clone, snake_name
from ferrec.models.factor_model import FactorModel
from ferrec.models.item_neighbors import ItemNeighbors
from ferrec.models.state import ItemItem, UserItem

_STATISTICS = ("max", "mean", "sum", "last")


class _ToLastItems(Feature[StateT]):
    """What both say of a candidate and the user's last items."""

    name: str

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [f"{self.name}_{statistic}" for statistic in _STATISTICS]


@dataclass(frozen=True, eq=False)
class SimilarityState(FeatureState):
    """The last items of each user, with their order as values, and what is near each item."""

    recent: UserItem
    similarity: ItemItem


class ItemSimilarity(_ToLastItems[SimilarityState]):
    """How similar the candidate is to the last items of the user: ``<name>_max``, ``_mean``, ``_sum``, ``_last``.

    The similarities are those of a neighborhood model; items that are no neighbors have 0. ``_max`` is at least
    0. An item is not compared with itself. A new user's history has no order: all of it counts, and ``_last`` is
    the mean.

    Parameters
    ----------
    model : ItemKNN, SLIM, P3Alpha or RP3Beta, optional
        Any model with an item × item matrix; a fresh one with its parameters is fitted on the past. By default
        ``ItemKNN()``. With ``ItemKNN(measure="cocount")`` the statistics are of co-occurrence.
    last : int, optional
        How many items: of the latest, or where there are no times, of those last in order. By default 20; None
        takes all.
    name : str
        The beginning of the columns' names.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(3)
    >>> ItemSimilarity().fit(data).columns(pairs)["item_similarity_max"].round(3)
    array([0.577, 0.577], dtype=float32)
    """

    state_type = SimilarityState

    def __init__(
        self,
        *,
        model: Recommender[Any] | None = None,
        last: int | None = 20,
        name: str = "item_similarity",
    ) -> None:
        self.model = model
        self.last = last
        self.name = name

    def learn(self, data: Interactions) -> SimilarityState:
        model = ItemKNN() if self.model is None else self.model
        if not isinstance(model, ItemNeighbors):
            raise ParameterTypeError(
                "model", "expected one with an item × item matrix, such as ItemKNN", model
            )
        recent = _recent(data, self.last)
        similarity = clone(model).fit(data).state.similarity
        return SimilarityState(data.n_users, data.n_items, recent, similarity)

    def compute(self, state: SimilarityState, candidates: Candidates, n_threads: int) -> list[Column]:
        recent = _of_queries(state.recent, candidates.queries)
        return _rust.similarity_features(candidates.pairs, recent, state.similarity, n_threads)


@dataclass(frozen=True, eq=False)
class EmbeddingState(FeatureState):
    """The last items of each user, and a vector of length 1 for each item, item after item."""

    recent: UserItem
    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that there are as many numbers for each item."""
        super().__post_init__()
        if len(self.vectors) % max(self.n_items, 1):
            raise DataError("vectors", f"{len(self.vectors)} values cannot belong to {self.n_items} items")


class EmbeddingSimilarity(_ToLastItems[EmbeddingState]):
    """The cosine of the candidate's vector with those of the user's last items; columns as of `ItemSimilarity`.

    Parameters
    ----------
    model : ALS, PureSVD, BiasedMF or another model of vectors
        A fresh one with its parameters is fitted on the past. The inner product of the user's vector with the
        candidate's is what the model itself gives as a retriever, or as a `ModelScore`.
    last, name
        As in `ItemSimilarity`.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(3)
    >>> list(EmbeddingSimilarity(model=ferrec.PureSVD(n_factors=2)).fit(data).columns(pairs))
    ['embedding_max', 'embedding_mean', 'embedding_sum', 'embedding_last']
    """

    state_type = EmbeddingState

    def __init__(self, *, model: Recommender[Any], last: int | None = 20, name: str = "embedding") -> None:
        self.model = model
        self.last = last
        self.name = name

    def learn(self, data: Interactions) -> EmbeddingState:
        if not isinstance(self.model, FactorModel):
            raise ParameterTypeError(
                "model", "expected one with a vector for each item, such as ALS", self.model
            )
        recent, model = _recent(data, self.last), clone(self.model).fit(data)
        table = unit_vectors(model._directions(model.state))
        return EmbeddingState(data.n_users, data.n_items, recent, table.reshape(-1))

    def compute(self, state: EmbeddingState, candidates: Candidates, n_threads: int) -> list[Column]:
        recent = _of_queries(state.recent, candidates.queries)
        vectors = (state.vectors, state.n_items, len(state.vectors) // max(state.n_items, 1))
        return _rust.embedding_features(candidates.pairs, recent, vectors, n_threads)


def _recent(data: Interactions, last: int | None) -> _rust.Csr:
    """The last items of each user; the values are 1 for the latest, 2 for the one before, …."""
    n = data.n_items if last is None else as_int("last", last, minimum=1)
    times = data.times
    if times is None:
        # The place in the order given stands for the time, as in the splits.
        events, order = data.events, np.arange(len(data))
        shape = (data.n_users, data.n_items)
        times = _rust.build_csr(events.users, events.items, None, order, *shape, "last")[3]
        assert times is not None
    return _rust.latest_items(data.csr, times, n, 0)


def _of_queries(recent: _rust.Csr, queries: Queries) -> tuple[_rust.Csr, NDArray[np.int32], bool]:
    """What the kernels take: the items, which of its rows each query has, and whether their order is known."""
    if queries.codes is None:
        return queries.history, np.arange(len(queries), dtype=np.int32), False
    return recent, queries.codes, True


@dataclass(frozen=True, eq=False)
class ScoreState(FeatureState):
    """A fitted model."""

    model: Recommender[Any]

    def __post_init__(self) -> None:
        """Check that it knows as many users and items."""
        super().__post_init__()
        known = (len(self.model.users), len(self.model.items))
        if known != (self.n_users, self.n_items):
            raise DataError(
                "model", f"knows {known} users and items, expected {(self.n_users, self.n_items)}"
            )


class ModelScore(Feature[ScoreState]):
    """The score that a model gives the pair: ``<name>_score``. Retrievers' scores are columns already.

    Parameters
    ----------
    model : Recommender
        A fresh one with its parameters is fitted on the past. The score of a model of vectors is the inner product
        of the user's and the item's.
    name : str, optional
        By default the model's class: ``"als"``.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(3)
    >>> list(ModelScore(model=ferrec.PureSVD(n_factors=2)).fit(data).columns(pairs))
    ['pure_svd_score']
    """

    state_type = ScoreState

    def __init__(self, *, model: Recommender[Any], name: str | None = None) -> None:
        self.model = model
        self.name = name

    @property
    def names(self) -> list[str]:
        """The name of its column."""
        return [f"{snake_name(self.model) if self.name is None else self.name}_score"]

    def learn(self, data: Interactions) -> ScoreState:
        if not isinstance(self.model, Recommender):
            raise ParameterTypeError("model", "expected a Recommender", self.model)
        return ScoreState(data.n_users, data.n_items, clone(self.model).fit(data))

    def compute(self, state: ScoreState, candidates: Candidates, n_threads: int) -> list[Column]:
        fitted = state.model.state
        return [state.model.score_pairs(fitted, candidates.queries, candidates.pairs)]
