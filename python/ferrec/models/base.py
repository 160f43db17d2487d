"""What every recommender has in common: the estimator's contract, and one way from ids to ids."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import (
    ClassVar,
    Self,
    TypeAlias,
    TypeVar,
)

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.data.recommendations import Recommendations
from ferrec.errors import DataError, ParameterError, ParameterTypeError, ShapeError, UnsupportedError
from ferrec.io.arrays import offsets_of
from ferrec.io.progress import Callback, bar
from ferrec.kernels.arguments import Progress, as_int, threads
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts
from ferrec.models.estimator import Estimator, clone
from ferrec.models.explanation import Explanation, exact
from ferrec.models.lookup import encode_ids, listed, read_queries, unit_rows
from ferrec.models.scoring import ScoringOptions
from ferrec.models.search_space import SearchSpace
from ferrec.models.state import State

ExplanationParts: TypeAlias = tuple[float, NDArray[np.int32], NDArray[np.float64]]
"""`(base, items, contributions)` of an explanation."""


StateT = TypeVar("StateT", bound=State)


class Recommender(Estimator[StateT], ABC):
    """A model that is fitted on interactions and recommends items.

    The constructor stores keyword parameters and nothing else; `fit` checks them and returns the model. Users
    and items are named by the caller's ids throughout.
    """

    _fit_call = "fit(interactions)"

    search_space: ClassVar[SearchSpace] = {}
    """Parameters worth tuning and the values worth trying; `ferrec.tune` draws from it."""

    personalized: ClassVar[bool] = True
    """Whether a user's history decides what is recommended. Baselines say False: the accuracy check of
    `ferrec.testing` leaves them out."""

    @property
    def uses_order(self) -> bool:
        """Whether the order of a user's events can change what the model learns or recommends.

        A model that looks at `Interactions.sequences` or `Queries.sequence` says True, as a class attribute or by
        its parameters. `ferrec.testing` holds every other model to what it says here.

        Examples
        --------
        >>> import ferrec
        >>> ferrec.ItemKNN().uses_order, ferrec.ItemEmbeddings(window_size=3).uses_order
        (False, True)
        """
        return False

    # -- the hooks: what a model writes ---------------------------------------------------------------------
    # Each runs on a copy that has the parameters of the fit (`frozen`), whatever the caller's model has now.

    @abstractmethod
    def learn(self, data: Interactions, callback: Callback | None) -> StateT:
        """Learn from the data, after checking the parameters.

        Parameters
        ----------
        data : Interactions
            Not to be changed. ``data.matrix`` is a SciPy view of users × items.
        callback : callable or None
            Told ``(done, total)`` as the work goes on; what it raises must end the fit.

        Returns
        -------
        State
            Of the class `state_type`: everything that the other hooks need.

        Raises
        ------
        ValueError, TypeError
            A parameter makes no sense.
        DataError
            The model cannot learn from these data.
        """

    @abstractmethod
    def rank(
        self, state: StateT, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        """Rank the best n items for each query.

        May run in several threads at once.

        Parameters
        ----------
        state : State
            What `learn` returned.
        queries : Queries
            Users of the fitted data, or new users.
        n : int
            At least 1.
        chosen : Filter
            What may not, or only may, be recommended. Histories are excluded only where it says so.
        callback : callable or None
            As in `learn`, in queries.

        Returns
        -------
        indptr : ndarray of int64, shape (len(queries) + 1,)
            Where the list of each query begins and ends.
        items : ndarray of int32
            Codes: score descending, then code ascending; at most n for each query, none twice.
        scores : ndarray of float32
            Finite, and for a query the same in whatever block it comes.
        """

    @abstractmethod
    def score_pairs(self, state: StateT, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        """Score given pairs: what `rank` gives them, to the last bit.

        May run in several threads at once.

        Parameters
        ----------
        state, queries
            As in `rank`.
        pairs : Csr, queries × items
            The pairs to score: its entries, row after row, whatever their values.

        Returns
        -------
        ndarray of float32, shape (pairs.nnz,)
            Finite; 0 where the model has nothing to go by.
        """

    def explain_parts(self, state: StateT, queries: Queries, item: int) -> ExplanationParts:
        """Decompose a score into contributions of the history. A model need not have this.

        Parameters
        ----------
        state : State
            What `learn` returned.
        queries : Queries
            One query.
        item : int
            A code.

        Returns
        -------
        base : float
            What does not come from the history.
        items : ndarray of int32
            Codes of items of the history.
        contributions : ndarray of float64
            Of each; with `base` they sum to the score but for rounding.

        Raises
        ------
        UnsupportedError
            The model cannot, as by default.
        """
        raise UnsupportedError(
            "explain", f"{type(self).__name__} does not explain its scores", advice="ItemKNN does"
        )

    def rank_similar_items(self, state: StateT, codes: NDArray[np.int32], n: int) -> CsrParts:
        """Rank the n items most similar to each of some items. A model need not have this.

        Parameters
        ----------
        state : State
            What `learn` returned.
        codes : ndarray of int32
            The items asked about.
        n : int
            At least 1.

        Returns
        -------
        indptr, items, scores
            As `rank` returns; an item is not in its own list.

        Raises
        ------
        UnsupportedError
            The model knows no similarity of items, as by default.
        """
        raise UnsupportedError(
            "similar_items", f"{type(self).__name__} knows no similarity of items", advice="ItemKNN does"
        )

    def rank_similar_users(self, state: StateT, codes: NDArray[np.int32], n: int) -> CsrParts:
        """Rank the n users most similar to each of some users. A model need not have this.

        Parameters
        ----------
        state : State
            What `learn` returned.
        codes : ndarray of int32
            The users asked about.
        n : int
            At least 1.

        Returns
        -------
        indptr, users, scores
            As `rank` returns; a user is not in the own list.

        Raises
        ------
        UnsupportedError
            The model knows no similarity of users, as by default.
        """
        raise UnsupportedError(
            "similar_users", f"{type(self).__name__} knows no similarity of users", advice="UserKNN does"
        )

    # -- the estimator's contract ---------------------------------------------------------------------------

    def fit(self, data: Interactions, *, progress: Progress = False) -> Self:
        """Learn from interactions.

        Parameters
        ----------
        data : Interactions
            Users × items.
        progress : bool or callable
            True draws a bar (extra ``progress``); a callable gets ``(done, total)`` of each part of the work.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter makes no sense, or `data` is no `Interactions`.
        DataError
            The values of `data` are not what the model can learn from.
        """
        if not isinstance(data, Interactions):
            hint = "build one with Interactions.from_table, from_parquet, from_arrays or from_csr"
            raise ParameterTypeError("data", "expected Interactions", type(data), advice=hint)
        learner = clone(self)
        with bar(progress, f"fit {type(self).__name__}") as callback:
            try:
                self.adopt(learner.learn(data, callback), learner)
            except DataError as error:
                if error.argument == "x":  # as kernels call what is `data` here
                    raise error.renamed("data") from error
                raise
        return self

    @property
    def users(self) -> Ids:
        """The ids of the users it was fitted on."""
        return self.state.users

    @property
    def items(self) -> Ids:
        """The ids of the items it can recommend."""
        return self.state.items

    # -- what people ask ------------------------------------------------------------------------------------

    def recommend(
        self,
        users: object = None,
        n: int = 10,
        *,
        history: object = None,
        exclude_seen: bool = True,
        exclude_items: object = None,
        allow_items: object = None,
        progress: Progress = False,
    ) -> Recommendations:
        """The best n items for each user.

        Parameters
        ----------
        users : id or array-like of ids, optional
            Whose recommendations; by default every user's.
        n : int
            Items for each, at least 1. Fewer are given where fewer exist: never padding.
        history : Interactions, sparse matrix, or sequence of lists of item ids, optional
            The histories of new users, instead of `users`. A matrix has a row for each and the model's items
            as columns; answers are then named 0, 1, … by row, or by the users of the `Interactions`. Items
            that the model does not know are left out with a warning.
        exclude_seen : bool
            Leave out the items of the user's history.
        exclude_items : array-like of ids, or mapping of user to ids, optional
            Items to leave out for everybody, or by user.
        allow_items : array-like of ids, or mapping of user to ids, optional
            The only items to recommend. A mapping must have an entry for every query.
        progress : bool or callable
            As in `fit`.

        Returns
        -------
        Recommendations
            Best first; equal scores in the order of the item ids.

        Raises
        ------
        UnknownIdError
            A user is not in the fitted data.
        NotFittedError
            Before `fit`.
        ValueError, TypeError
            An argument makes no sense.
        MemoryError
            There is no room for so many lists of `n`.
        """
        frozen, state = self.settled
        options = ScoringOptions(
            n, exclude_seen=exclude_seen, exclude_items=exclude_items, allow_items=allow_items
        )
        queries = read_queries(state, users, history)
        chosen = options.filters(state.items)(queries)
        with bar(progress, "recommend") as callback:
            indptr, items, scores = frozen.rank(state, queries, options.n, chosen, callback)
        return Recommendations(queries.ids, state.items, indptr, items, scores)

    def iter_recommend(
        self,
        users: object = None,
        n: int = 10,
        *,
        block_size: int = 8192,
        exclude_seen: bool = True,
        exclude_items: object = None,
        allow_items: object = None,
    ) -> Iterator[Recommendations]:
        """`recommend` in blocks of users, so that memory does not grow with their number.

        Parameters
        ----------
        users, n, exclude_seen, exclude_items, allow_items
            As in `recommend`.
        block_size : int
            Users in a block, at least 1.

        Yields
        ------
        Recommendations
            Of the next users, in the order asked for; together the same as one `recommend`.

        Raises
        ------
        UnknownIdError, NotFittedError, ValueError, TypeError
            As `recommend`, before the first block.

        Examples
        --------
        >>> import ferrec
        >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
        >>> model = ferrec.ItemKNN().fit(data)
        >>> sum(len(block) for block in model.iter_recommend(block_size=2))
        3
        """
        frozen, state = self.settled
        options = ScoringOptions(
            n, exclude_seen=exclude_seen, exclude_items=exclude_items, allow_items=allow_items
        )
        size, chosen = as_int("block_size", block_size, minimum=1), options.filters(state.items)
        codes = encode_ids(state.users, users, "users")

        def blocks() -> Iterator[Recommendations]:
            for start in range(0, len(codes), size):
                some = codes[start : start + size]
                queries = state.queries(some)
                answers = frozen.rank(state, queries, options.n, chosen(queries), None)
                yield Recommendations(queries.ids, state.items, *answers)

        return blocks()

    def score(self, users: object, items: object, *, history: object = None) -> NDArray[np.float32]:
        """The score of each pair of a user and an item.

        Parameters
        ----------
        users, items : array-like of ids, shape (n,)
            Aligned. With `history`, a user is the name of its row, as in `recommend`.
        history
            As in `recommend`.

        Returns
        -------
        ndarray of float32, shape (n,)
            What `recommend` shows for the item; 0 where the model has nothing to go by.

        Raises
        ------
        UnknownIdError
            A user or an item is not in the fitted data.
        ValueError
            `users` and `items` differ in length.
        """
        frozen, state = self.settled
        item_codes = state.items.encode(listed(items), name="items")
        if history is None:
            user_codes = state.users.encode(listed(users), name="users")
            distinct, rows = np.unique(user_codes, return_inverse=True)
            queries = state.queries(distinct)
        else:
            queries = read_queries(state, None, history)
            named = Ids.from_values(queries.ids)
            rows = named.encode(listed(users), name="users").astype(np.int64)
        if len(rows) != len(item_codes):
            raise ShapeError("items", f"must have length {len(rows)} like users", len(item_codes))
        n_items = max(len(state.items), 1)
        keys, where = np.unique(rows.astype(np.int64) * n_items + item_codes, return_inverse=True)
        counts = np.bincount(keys // n_items, minlength=len(queries))
        indptr = offsets_of(counts)
        columns = (keys % n_items).astype(np.int32)
        pairs = _rust.Csr(indptr, columns, np.ones(len(keys), np.float32), len(state.items), name="pairs")
        return frozen.score_pairs(state, queries, pairs)[where]

    def explain(self, user: object, item: object, *, history: object = None) -> Explanation:
        """What a score is made of.

        Parameters
        ----------
        user, item : id
            Whose score, for which item. With `history` (of one new user), `user` only names the answer.
        history
            As in `recommend`.

        Returns
        -------
        Explanation
            Its parts sum to the score exactly.

        Raises
        ------
        UnknownIdError
            The user or the item is not in the fitted data.
        UnsupportedError
            The model does not explain its scores.
        """
        frozen, state = self.settled
        code = int(state.items.encode(listed([item]), name="item")[0])
        queries = read_queries(state, None if history is not None else [user], history)
        if len(queries) != 1:
            raise ParameterError("history", "explain takes one user", len(queries))
        pair = unit_rows(np.array([code], dtype=np.int32), len(state.items))
        score = float(frozen.score_pairs(state, queries, pair)[0])
        base, items, parts = frozen.explain_parts(state, queries, code)
        base, parts = exact(score, base, parts)
        order = np.lexsort((items, -parts))
        return Explanation(user, item, score, base, state.items.decode(items[order]), parts[order])

    def similar_items(self, items: object = None, n: int = 10) -> Recommendations:
        """The n most similar items of each item, itself left out.

        Parameters
        ----------
        items : id or array-like of ids, optional
            By default every item.
        n : int
            At least 1; no more are given than the model keeps (its `k`).

        Returns
        -------
        Recommendations
            Queries and answers are items; scores are similarities.

        Raises
        ------
        UnsupportedError
            The model knows no similarity of items.
        UnknownIdError
            An item is not in the fitted data.
        """
        frozen, state = self.settled
        n = as_int("n", n, minimum=1)
        codes = encode_ids(state.items, items, "items")
        return Recommendations(
            state.items.decode(codes), state.items, *frozen.rank_similar_items(state, codes, n)
        )

    def similar_users(self, users: object = None, n: int = 10) -> Recommendations:
        """The n most similar users of each user, itself left out; as `similar_items`."""
        frozen, state = self.settled
        n = as_int("n", n, minimum=1)
        codes = encode_ids(state.users, users, "users")
        return Recommendations(
            state.users.decode(codes), state.users, *frozen.rank_similar_users(state, codes, n)
        )

    # -- from ids to integers ----------------------------------------------------------------------------

    def _threads(self) -> int:
        return threads(self.n_threads)
