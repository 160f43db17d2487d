"""What every recommender has in common: the estimator's contract, and one way from labels to labels.

A model is one file: a frozen `State` with what `fit` learned, and a `Recommender` with four hooks that see
integers only (`_fit`, `_rank`, `_pairs`, `_parts`). Everything about ids, histories, exclusions, and files is
here or in `ferrec.storage`.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Protocol,
    Self,
    TypeAlias,
    TypeVar,
    cast,
    get_type_hints,
)

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec._estimator import Estimator
from ferrec._progress import Callback, bar
from ferrec.errors import DataError, UnknownIdError, UnsupportedError
from ferrec.explanation import Explanation, exact
from ferrec.interactions import Interactions
from ferrec.kernels import CsrParts, Filter, Progress, as_csr, as_int, threads
from ferrec.labels import Labels
from ferrec.queries import Queries, rows_of
from ferrec.recommendations import Recommendations
from ferrec.search_space import SearchSpace

Parts: TypeAlias = tuple[float, NDArray[np.int32], NDArray[np.float64]]
"""`(base, items, contributions)` of an explanation."""


class Sides(tuple[str, ...]):
    """Marks a field of a state with what its dimensions are: "users" or "items" each."""

    __slots__ = ()


class Rows(str):
    """Marks a flat field that has as many values for each of the "users" or "items"."""

    __slots__ = ()


UserItem: TypeAlias = Annotated[_rust.Csr, Sides(("users", "items"))]
UserUser: TypeAlias = Annotated[_rust.Csr, Sides(("users", "users"))]
ItemItem: TypeAlias = Annotated[_rust.Csr, Sides(("items", "items"))]
PerUser: TypeAlias = Annotated[NDArray[np.float32], Sides(("users",))]
PerItem: TypeAlias = Annotated[NDArray[np.float32], Sides(("items",))]
UserRows: TypeAlias = Annotated[NDArray[np.float32], Rows("users")]
ItemRows: TypeAlias = Annotated[NDArray[np.float32], Rows("items")]


class Stored(Protocol):
    """A field of a state that still lies in its file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Known without reading it."""

    def read(self) -> Any:
        """The value, checked."""

    def rows(self, codes: NDArray[np.int32]) -> _rust.Csr:
        """Some rows of a matrix, checked; the others are not read."""

    def row_lengths(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many entries they have, if the file is right."""


@dataclass(frozen=True, eq=False)
class State:
    """What `fit` learned; every model adds its own fields. Saved and loaded field by field."""

    users: Labels
    items: Labels
    seen: UserItem

    def __post_init__(self) -> None:
        """Check that the fields fit together: a loaded file may say anything."""
        sizes = {side: self.shape_of(side)[0] for side in ("users", "items")}
        for name, mark in self._marks():
            got = self.shape_of(name)
            if isinstance(mark, Rows):
                if got[0] % max(sizes[mark], 1):
                    raise DataError(f"{name}: {got[0]} values cannot belong to {sizes[mark]} {mark}")
                continue
            expected = tuple(sizes[side] for side in mark)
            if got != expected:
                raise DataError(f"{name} has shape {got}, but its {' × '.join(mark)} are {expected}")

    @classmethod
    def _marks(cls) -> Iterator[tuple[str, Sides | Rows]]:
        for name, hint in get_type_hints(cls, include_extras=True).items():
            for mark in getattr(hint, "__metadata__", ()):
                if isinstance(mark, Sides | Rows):
                    yield name, mark

    @classmethod
    def sides_of(cls, name: str) -> tuple[str, ...]:
        """What the dimensions of a field are, as far as it is marked."""
        marks = dict(cls._marks()) | {"users": Rows("users"), "items": Rows("items")}
        mark = marks.get(name, ())
        return (str(mark),) if isinstance(mark, Rows) else tuple(mark)

    @classmethod
    def stored(cls, fields: Mapping[str, Stored], scalars: Mapping[str, Any]) -> Self:
        """A state whose fields are read from their files when they are first used."""
        state = cls.__new__(cls)
        state.__dict__.update(scalars, _stored=dict(fields))
        state.__post_init__()
        return state

    if not TYPE_CHECKING:  # else any name would do

        def __getattr__(self, name: str) -> Any:
            """A field that is asked for the first time, from its file."""
            stored = self.__dict__.get("_stored", {})
            if name not in stored:
                raise AttributeError(f"{type(self).__name__} has no field {name!r}")
            value = self.__dict__[name] = stored[name].read()
            return value

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a field, or the length of labels; the field is not read for it."""
        if name not in self.__dict__:
            shape: tuple[int, ...] = self.__dict__["_stored"][name].shape
            return shape
        value = getattr(self, name)
        return (len(value),) if isinstance(value, Labels) else tuple(value.shape)

    def history_lengths(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many items some users have seen."""
        if "seen" not in self.__dict__:
            lengths: NDArray[np.int64] = self.__dict__["_stored"]["seen"].row_lengths(codes)
            return lengths
        indptr, _, _ = self.seen.parts()
        return indptr[codes + 1] - indptr[codes]

    def histories(self, codes: NDArray[np.int32]) -> _rust.Csr:
        """What some users have seen, in that order; of a loaded model the others' rows are not read."""
        if "seen" in self.__dict__:
            return rows_of(self.seen, codes)
        rows: _rust.Csr = self.__dict__["_stored"]["seen"].rows(np.ascontiguousarray(codes, dtype=np.int32))
        return rows


StateT = TypeVar("StateT", bound=State)


def unit_rows(codes: NDArray[np.int32], n: int) -> _rust.Csr:
    """Rows with a single 1: multiplied with a matrix they pick its rows."""
    count = len(codes)
    return _rust.Csr(np.arange(count + 1), np.ascontiguousarray(codes), np.ones(count, np.float32), n)


class Recommender(Estimator[StateT], ABC):
    """A model that is fitted on interactions and recommends items.

    The constructor stores keyword parameters and nothing else; `fit` checks them and returns the model. Users
    and items are named by the caller's ids throughout.
    """

    _fit_call = "fit(interactions)"

    search_space: ClassVar[SearchSpace] = {}
    """Parameters worth tuning and the values worth trying; `ferrec.tune` draws from it."""

    n_threads: int | None

    # -- the four hooks of a model, and two that it may have ------------------------------------------------

    @abstractmethod
    def _fit(self, data: Interactions, callback: Callback | None) -> StateT:
        """Learn from the data, after checking the parameters."""

    @abstractmethod
    def _rank(
        self, state: StateT, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        """The best n items for each query."""

    @abstractmethod
    def _pairs(self, state: StateT, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        """The score at each entry of `pairs` (queries × items)."""

    @abstractmethod
    def _parts(self, state: StateT, queries: Queries, item: int) -> Parts:
        """What the score of the one query for the item is made of."""

    def _similar_items(self, state: StateT, codes: NDArray[np.int32], n: int) -> CsrParts:
        raise UnsupportedError(f"{type(self).__name__} knows no similarity of items; ItemKNN does")

    def _similar_users(self, state: StateT, codes: NDArray[np.int32], n: int) -> CsrParts:
        raise UnsupportedError(f"{type(self).__name__} knows no similarity of users; UserKNN does")

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
            raise TypeError(f"data: expected Interactions, got {type(data).__name__}; {hint}")
        with bar(progress, f"fit {type(self).__name__}") as callback:
            try:
                self._state = self._fit(data, callback)
            except ValueError as error:
                # Of what is `data` here; some kernels call it x.
                name, _, what = str(error).partition(": ")
                if name in ("x", "data") and not isinstance(error, DataError):
                    raise DataError(f"data: {what}") from error
                raise
        return self

    @property
    def users(self) -> Labels:
        """The ids of the users it was fitted on."""
        return self._fitted().users

    @property
    def items(self) -> Labels:
        """The ids of the items it can recommend."""
        return self._fitted().items

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
            What new users have touched, instead of `users`. A matrix has a row for each and the model's items
            as columns; answers are then named 0, 1, … by row, or by the users of the `Interactions`. Items
            that the model does not know are left out with a warning.
        exclude_seen : bool
            Leave out what the user has already touched.
        exclude_items : array-like of ids, or mapping of user to ids, optional
            Items to leave out for everybody, or by user.
        allow_items : array-like of ids, or mapping of user to ids, optional
            The only items to recommend. A mapping must have an entry for every user who asks.
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
        state = self._fitted()
        n = as_int("n", n, minimum=1)
        queries = self._queries(state, users, history)
        chosen = _item_filter(state, queries, exclude_seen, exclude_items, allow_items)
        with bar(progress, "recommend") as callback:
            indptr, items, scores = self._rank(state, queries, n, chosen, callback)
        return Recommendations(queries.labels, state.items, indptr, items, scores)

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
        state = self._fitted()
        n, size = as_int("n", n, minimum=1), as_int("block_size", block_size, minimum=1)
        codes = _encode(state.users, users, "users")

        def blocks() -> Iterator[Recommendations]:
            for start in range(0, len(codes), size):
                some = codes[start : start + size]
                queries = Queries(state.users.decode(some), state.histories(some), some)
                chosen = _item_filter(state, queries, exclude_seen, exclude_items, allow_items)
                yield Recommendations(
                    queries.labels, state.items, *self._rank(state, queries, n, chosen, None)
                )

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
        state = self._fitted()
        item_codes = state.items.encode(_listed(items), name="items")
        if history is None:
            user_codes = state.users.encode(_listed(users), name="users")
            distinct, rows = np.unique(user_codes, return_inverse=True)
            queries = Queries(state.users.decode(distinct), state.histories(distinct), distinct)
        else:
            queries = self._queries(state, None, history)
            named = Labels.from_values(queries.labels)
            rows = named.encode(_listed(users), name="users").astype(np.int64)
        if len(rows) != len(item_codes):
            raise ValueError(f"users and items differ in length: {len(rows)} and {len(item_codes)}")
        n_items = max(len(state.items), 1)
        keys, where = np.unique(rows.astype(np.int64) * n_items + item_codes, return_inverse=True)
        counts = np.bincount(keys // n_items, minlength=len(queries))
        indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        columns = (keys % n_items).astype(np.int32)
        pairs = _rust.Csr(indptr, columns, np.ones(len(keys), np.float32), len(state.items), name="pairs")
        return self._pairs(state, queries, pairs)[where]

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
        """
        state = self._fitted()
        code = int(state.items.encode(_listed([item]), name="item")[0])
        queries = self._queries(state, None if history is not None else [user], history)
        if len(queries) != 1:
            raise ValueError(f"history: explain takes one user, got {len(queries)}")
        pair = unit_rows(np.array([code], dtype=np.int32), len(state.items))
        score = float(self._pairs(state, queries, pair)[0])
        base, items, parts = self._parts(state, queries, code)
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
        state = self._fitted()
        n = as_int("n", n, minimum=1)
        codes = _encode(state.items, items, "items")
        return Recommendations(state.items.decode(codes), state.items, *self._similar_items(state, codes, n))

    def similar_users(self, users: object = None, n: int = 10) -> Recommendations:
        """The n most similar users of each user, itself left out; as `similar_items`."""
        state = self._fitted()
        n = as_int("n", n, minimum=1)
        codes = _encode(state.users, users, "users")
        return Recommendations(state.users.decode(codes), state.users, *self._similar_users(state, codes, n))

    # -- from labels to integers ----------------------------------------------------------------------------

    def _queries(self, state: StateT, users: object, history: object) -> Queries:
        if history is None:
            codes = _encode(state.users, users, "users")
            everybody = users is None
            seen = state.seen if everybody else state.histories(codes)
            return Queries(state.users.values if everybody else state.users.decode(codes), seen, codes)
        if users is not None:
            raise ValueError("users and history: give one; history is for users who are not in the data")
        labels, matrix = _read_history(state.items, history)
        return Queries(labels, as_csr(matrix, "history"), None)

    def _threads(self) -> int:
        return threads(self.n_threads)


def _listed(values: object) -> object:
    """A single id as a list of one."""
    scalar = isinstance(values, str | int | np.generic) or (
        isinstance(values, np.ndarray) and values.ndim == 0
    )
    return [values] if scalar else values


def _encode(labels: Labels, ids: object, name: str) -> NDArray[np.int32]:
    if ids is None:
        return np.arange(len(labels), dtype=np.int32)
    return labels.encode(_listed(ids), name=name)


def _read_history(items: Labels, history: object) -> tuple[NDArray[Any], Any]:
    """The names of the queries, and their histories over the model's items."""
    if isinstance(history, Interactions):
        if history.items == items:
            return history.users.values, history.csr
        entries = history.matrix.tocoo()
        names = history.items.decode(entries.col)
        columns = _known(items, names, "history")
        rows, values, labels = entries.row, entries.data, history.users.values
    elif scipy.sparse.issparse(history):
        shape = cast(Any, history).shape
        if shape[1] != len(items):
            raise ValueError(f"history: has {shape[1]} columns, but the model has {len(items)} items")
        return np.arange(shape[0]), history
    else:
        if isinstance(history, str | Mapping) or not isinstance(history, Sequence | np.ndarray):
            raise TypeError(
                f"history: expected Interactions, a sparse matrix or lists of items, got {history!r}"
            )
        for at, one in enumerate(history):
            if isinstance(one, str) or not isinstance(one, Iterable):
                raise TypeError(
                    f"history: expected a list of items for each user, got {one!r} at position {at}"
                )
        lists = [list(one) for one in history]
        rows = np.repeat(np.arange(len(lists)), [len(one) for one in lists])
        flat = list(chain.from_iterable(lists))
        columns = _known(items, flat, "history")
        values, labels = np.ones(len(rows), np.float32), np.arange(len(lists))
    known = columns >= 0
    matrix = scipy.sparse.coo_array(
        (values[known], (rows[known], columns[known])), shape=(len(labels), len(items))
    )
    return labels, matrix.tocsr()


def _known(items: Labels, ids: object, name: str) -> NDArray[np.int32]:
    codes = items.encode(ids, name=name, missing="ignore")
    unknown = int((codes < 0).sum())
    if unknown:
        _refuse_other_kind(items, ids, codes, name)
        text = f"{name}: {unknown} of {len(codes)} entries name items that the model does not know; left out"
        warnings.warn(text, UserWarning, stacklevel=5)
    return codes


def _refuse_other_kind(items: Labels, ids: object, codes: NDArray[np.int32], name: str) -> None:
    """Strings where the ids are integers, or the reverse, would otherwise filter nothing without a word."""
    if len(codes) and (codes < 0).all() and len(items):
        given = "integers" if np.asarray(ids).dtype.kind in "iu" else "strings"
        if items.kind != given:
            raise UnknownIdError(f"{name}: the model's items are {items.kind}, these are {given}")


def _item_filter(
    state: State, queries: Queries, exclude_seen: bool, exclude_items: object, allow_items: object
) -> Filter:
    lists = [queries.history] if exclude_seen else []
    allow, mask = None, None
    if exclude_items is not None:
        if isinstance(exclude_items, Mapping):
            lists.append(_by_query(state.items, queries, exclude_items, "exclude_items"))
        else:
            mask = ~_item_mask(state.items, exclude_items, "exclude_items")
    if allow_items is not None:
        if isinstance(allow_items, Mapping):
            missing = [label for label in queries.labels.tolist() if label not in allow_items]
            if missing:
                raise ValueError(
                    f"allow_items: no list for {len(missing)} of the users; the first is {missing[0]!r}"
                )
            allow = _by_query(state.items, queries, allow_items, "allow_items")
        else:
            allowed = _item_mask(state.items, allow_items, "allow_items")
            mask = allowed if mask is None else mask & allowed
    return Filter(lists, allow, mask)


def _item_mask(items: Labels, ids: object, name: str) -> NDArray[np.bool_]:
    ids = _listed(ids)
    codes = items.encode(ids, name=name, missing="ignore")
    _refuse_other_kind(items, ids, codes, name)
    mask = np.zeros(len(items), dtype=np.bool_)
    mask[codes[codes >= 0]] = True
    return mask


def _by_query(items: Labels, queries: Queries, lists: Mapping[Any, Any], name: str) -> _rust.Csr:
    """The lists of a mapping as a matrix with the queries' rows; items that the model does not know are none."""
    labels = queries.labels.tolist()
    per_query = [list(lists.get(label, ())) for label in labels]
    flat = list(chain.from_iterable(per_query))
    rows = np.repeat(np.arange(len(labels)), [len(one) for one in per_query])
    codes = items.encode(flat, name=name, missing="ignore")
    _refuse_other_kind(items, flat, codes, name)
    known = codes >= 0
    ones = np.ones(int(known.sum()), np.float32)
    found = scipy.sparse.coo_array((ones, (rows[known], codes[known])), shape=(len(labels), len(items)))
    return as_csr(found.tocsr(), name)
