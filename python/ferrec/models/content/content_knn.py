"""Neighborhood model over what is known about the items, not over who had them."""

import os
import warnings
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError, ParameterError, ParameterTypeError, ShapeError, unknown_name
from ferrec.io.arrays import offsets_of
from ferrec.io.progress import Callback
from ferrec.io.times import in_seconds
from ferrec.kernels.arguments import Duration, as_int, as_seconds
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, as_csr, as_dense, rows_of, to_scipy
from ferrec.kernels.weights import weight
from ferrec.models.base import ExplanationParts
from ferrec.models.content.encoder import Encoder, check_weights, features
from ferrec.models.estimator import clone
from ferrec.models.explanation import Explanation, exact
from ferrec.models.item_neighbors import ItemNeighborsState, NeighborScores
from ferrec.models.lookup import unit_rows
from ferrec.models.search_space import Int, SearchSpace
from ferrec.models.state import UserItem


@dataclass(frozen=True, eq=False)
class ContentState(ItemNeighborsState):
    """Row j of `similarity` holds the items that hear j: those of whose nearest j is one."""

    profiles: UserItem
    """What each user goes by: the history with decay, or for want of one that of users alike."""
    features: _rust.Csr
    names: Ids

    def __post_init__(self) -> None:
        """Check that there is a row of features for each item, and a name for each feature."""
        super().__post_init__()
        expected = (len(self.items), len(self.names))
        if self.features.shape != expected:
            raise ShapeError("features", f"must have shape {expected}, items × names", self.features.shape)

    @cached_property
    def by_feature(self) -> _rust.Csr:
        """Features × items."""
        return self.features.transpose()


class ContentKNN(NeighborScores[ContentState]):
    """Recommends what is like the items of the user's history, by their attributes: new items too.

    The score of item i is the sum over the user's items j of weight(j) · similarity(j, i), where every i hears its
    k most similar items that have events, and the k most similar that have none (Lops, de Gemmis & Semeraro,
    Recommender Systems Handbook, 2011). The similarity is the weighted mean of the cosines of the columns, 0 where
    one is missing: lists by TF-IDF, categories by being the same, numbers by being near (each lies between two of
    ten quantiles), texts by the TF-IDF of their words or by an encoder.

    A user without events goes by the history of the users alike in the columns of the user table, of which the k
    strongest items count. Needs a table: [`Interactions.with_items`][ferrec.Interactions.with_items].

    Parameters
    ----------
    k : int, default 100
        Neighbors that an item hears.
    columns : mapping of str to float, optional
        Columns of the item table and their weights, positive. By default all, equally.
    text : list of str, optional
        Columns of strings that are texts. The others of strings are categories.
    encoder : callable, optional
        Makes a matrix, sparse or dense, of a list of texts, a row for each; called once for each column, with its
        distinct texts. By default scikit-learn's `TfidfVectorizer` over words (extra ``text``).
    user_columns : mapping of str to float, optional
        Columns of the user table and their weights. By default all, equally.
    half_life : duration, optional
        An event counts half for every so many seconds before the user's last. Needs times.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "honey"])
    >>> tags = {"item_id": ["tea", "milk", "honey", "coffee"], "tags": ["hot|leaf", "cold", "sweet", "hot|bean"]}
    >>> model = ferrec.ContentKNN().fit(data.with_items(tags, separators={"tags": "|"}))
    >>> [item for item, _ in model.recommend(1)[1]]
    ['coffee']
    >>> model.explain_features(1, "coffee").items.tolist()
    ['tags=hot']
    """

    state_type = ContentState

    search_space: ClassVar[SearchSpace] = {"k": Int(20, 500, log=True)}

    def __init__(
        self,
        *,
        k: int = 100,
        columns: Mapping[str, float] | None = None,
        text: Sequence[str] | None = None,
        encoder: Encoder | None = None,
        user_columns: Mapping[str, float] | None = None,
        half_life: Duration | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.k = k
        self.columns = columns
        self.text = text
        self.encoder = encoder
        self.user_columns = user_columns
        self.half_life = half_life
        self.n_threads = n_threads

    def learn(self, data: Interactions, callback: Callback | None) -> ContentState:
        k = as_int("k", self.k, minimum=1)
        if not isinstance(self.text, Sequence | None) or isinstance(self.text, str):
            raise ParameterTypeError("text", "expected a list of columns", self.text)
        table, text = data.item_table, list(self.text or ())
        if not table:
            raise DataError(
                "data",
                "ContentKNN needs attributes of the items, and these have none",
                advice="add them by data.with_items(table)",
            )
        weights = check_weights(self.columns, table, "columns")
        if self.encoder is not None and not text:
            raise ParameterError("text", "must name what the encoder is to read", self.text)
        for name in text:
            if name not in weights:
                raise unknown_name("text", name, weights)
        content, names = features(table, weights, text, self.encoder)
        heard = self._heard(
            content, np.bincount(data.csr.parts()[1], minlength=data.n_items) > 0, k, callback
        )
        profiles = self._alike(data, self._decayed(data), k)
        return ContentState(data.users, data.items, data.csr, heard, profiles, content, names)

    def _heard(
        self, content: _rust.Csr, has_events: NDArray[np.bool_], k: int, callback: Callback | None
    ) -> _rust.Csr:
        """Items × the items that hear them."""
        n = len(has_events)
        nearest: Any = scipy.sparse.csr_array((n, n), dtype=np.float32)
        for speaks in (has_events, ~has_events):
            speakers = np.flatnonzero(speaks).astype(np.int32)
            ends = offsets_of(speaks)
            ones = np.ones(len(speakers), np.float32)
            itself = _rust.Csr(ends, np.arange(len(speakers), dtype=np.int32), ones, len(speakers))
            by_feature = content.rows(speakers).transpose()
            chosen = Filter([itself], threshold=0.0)
            indptr, places, values = _nearest(content, by_feature, k, chosen, self._threads(), callback)
            nearest = nearest + to_scipy((indptr, speakers[places], values), (n, n))
        return as_csr(nearest.T.tocsr())

    def _decayed(self, data: Interactions) -> _rust.Csr:
        if self.half_life is None:
            return data.csr
        half_life = as_seconds("half_life", self.half_life)
        if data.times is None:
            raise DataError("half_life", "needs times", advice="pass time= when reading the interactions")
        indptr, items, values = data.csr.parts()
        rows = np.repeat(np.arange(data.n_users), np.diff(indptr))
        last = np.zeros(data.n_users, np.int64)
        np.maximum.at(last, rows, data.times)
        decay = np.exp2(-in_seconds(last[rows] - data.times) / half_life)
        return _rust.Csr(indptr, items, (values * decay).astype(np.float32), data.n_items)

    def _alike(self, data: Interactions, history: _rust.Csr, k: int) -> _rust.Csr:
        """The histories, and in place of those that are empty the mean of users alike."""
        new = np.flatnonzero(np.diff(history.parts()[0]) == 0).astype(np.int32)
        if not data.user_table:
            return history
        weights = check_weights(self.user_columns, data.user_table, "user_columns")
        users, _ = features(data.user_table, weights, (), None)
        traits: Any = to_scipy(users)
        # Both sides of a mean over all users, each weighed by its likeness: traits[new] @ traits.T is never held.
        shares: Any = weight(history, "l1", axis="users")
        sums = as_csr((traits.T @ shares).tocsr(), "user_table")
        names = ("users", "user_table")
        found = _rust.top_k_product(users.rows(new), sums, k, Filter(), names, self._threads(), None)
        placed: Any = to_scipy(found, (len(new), data.n_items)).tocoo()
        known = np.ones(data.n_users)
        known[new] = 0.0
        likeness = traits @ (traits.T @ known)
        rows = new[placed.row]
        means = (placed.data / likeness[rows]).astype(np.float32)
        extra: Any = scipy.sparse.coo_array((means, (rows, placed.col)), shape=history.shape)
        return as_csr(to_scipy(history) + extra.tocsr())

    def _query(self, state: ContentState, queries: Queries) -> Queries:
        """With what each goes by in place of what each has seen."""
        if queries.codes is None:
            return queries
        everybody = queries.history is state.seen
        profiles = state.profiles if everybody else rows_of(state.profiles, queries.codes)
        return queries.with_history(profiles)

    def rank(
        self, state: ContentState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        return super().rank(state, self._query(state, queries), n, chosen, callback)

    def score_pairs(self, state: ContentState, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        return super().score_pairs(state, self._query(state, queries), pairs)

    def explain_parts(self, state: ContentState, queries: Queries, item: int) -> ExplanationParts:
        return super().explain_parts(state, self._query(state, queries), item)

    def rank_similar_items(self, state: ContentState, codes: NDArray[np.int32], n: int) -> CsrParts:
        itself = Filter([unit_rows(codes, len(state.items))])
        asked = state.features.rows(codes)
        return _nearest(asked, state.by_feature, n, itself, self._threads(), None)

    def explain_features(self, user: object, item: object, *, history: object = None) -> Explanation:
        """What a score is made of, feature by feature.

        Parameters
        ----------
        user, item, history
            As in `explain`.

        Returns
        -------
        Explanation
            Its `items` are the names of the features that the item shares with what the user goes by, as
            ``"tags=hot"``; its parts sum to the score exactly.

        Raises
        ------
        UnknownIdError
            The user or the item is not in the fitted data.
        """
        state = self.state
        whole = self.explain(user, item, history=history)
        codes = state.items.encode(whole.items, name="items")
        code = state.items.encode([item], name="item")
        # A part of `explain` is weight · similarity: given back its weight, it spreads over the features.
        rows: Any = to_scipy(state.features.rows(np.append(codes, code)))
        own, shared = rows[[-1]].toarray().ravel().astype(np.float64), rows[:-1].astype(np.float64)
        similarity = shared @ own
        weights = np.divide(whole.parts, similarity, out=np.zeros(len(codes)), where=similarity != 0.0)
        parts = (shared.T @ weights) * own
        at = np.flatnonzero(parts)
        base, exactly = exact(whole.score, 0.0, parts[at])
        order = np.lexsort((at, -exactly))
        return Explanation(user, item, whole.score, base, state.names.decode(at[order]), exactly[order])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model to a folder as `Recommender.save` does; an encoder, which is code, stays behind.

        A warning says so. The loaded model recommends as this one does; to fit it anew, set its `encoder` again.
        """
        model, frozen = self, self.frozen
        if frozen.encoder is not None:
            text = "encoder: a function is not saved; set it again before fitting the loaded model"
            warnings.warn(text, UserWarning, stacklevel=2)
            model = copy(self)
            model.adopt(self.state, clone(frozen).set_params(encoder=None))
        super(ContentKNN, model).save(path)


def _nearest(
    asked: _rust.Csr, by_feature: _rust.Csr, k: int, chosen: Filter, threads: int, callback: Callback | None
) -> CsrParts:
    """The k columns of `by_feature` that are most like each row that is asked for."""
    if 2 * by_feature.nnz <= by_feature.shape[0] * by_feature.shape[1]:
        return _rust.top_k_product(asked, by_feature, k, chosen, ("items", "features"), threads, callback)
    # Vectors of an encoder, which are quicker as what they are.
    queries, items = (
        as_dense(rows.toarray(), "features") for rows in (to_scipy(asked), to_scipy(by_feature).T)
    )
    return _rust.top_k_factors(queries, items, k, chosen, threads, callback)
