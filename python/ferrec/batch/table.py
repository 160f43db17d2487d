"""One table in, one table out: the core that every way of scoring many users calls, on one machine or a hundred."""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.data.recommendations import Recommendations
from ferrec.data.sequences import Sequences
from ferrec.errors import DataError, ParameterTypeError, checks_keywords, require
from ferrec.io.arrays import offsets_of
from ferrec.io.columns import read_ids, read_weights
from ferrec.io.strings import Coded
from ferrec.kernels.handles import CsrParts
from ferrec.models import Recommender
from ferrec.models.lookup import known_rows, refuse_other_kind
from ferrec.models.scoring import ScoringOptions, Unknown
from ferrec.storage.folders import load

__all__ = [
    "EXTRA",
    "ArrowTable",
    "Asked",
    "Model",
    "Scored",
    "Scorer",
    "UserBlock",
    "answer_table",
    "list_lengths",
    "score_table",
]

# pyarrow is optional, so its types cannot be named here.
ArrowTable: TypeAlias = Any
UserBlock: TypeAlias = "ArrowTable | NDArray[np.int32]"
"""Rows of a table, or codes of users."""
Model: TypeAlias = "Recommender[Any] | str | os.PathLike[str]"

EXTRA = "parquet"


@dataclass(frozen=True)
class Scored:
    """The answers for one table, and what had to be left out."""

    answers: Callable[[], ArrowTable]
    """Makes the table of answers: whoever writes it, meanwhile the next one is scored."""
    users: int
    """Rows that asked."""
    unknown_users: int
    unknown_items: int
    """Entries of histories that name items which the model does not know."""


@dataclass(frozen=True)
class Asked:
    """A block that is ready for the kernel."""

    ids: NDArray[Any]
    """Who gets answers."""
    queries: Iterable[Queries]
    """Their histories, piece by piece."""
    users: int
    unknown_users: int
    unknown_items: int


class Scorer:
    """A model and what is asked of it; scores one table after another."""

    entries = 1 << 24
    """Entries of the model's own histories in hand at once: a run of very active users must not take all memory."""

    def __init__(self, model: Model, options: ScoringOptions) -> None:
        model = model if isinstance(model, Recommender) else load(model)
        n_threads = options.n_threads
        self.model = model if n_threads is None else copy(model).set_params(n_threads=n_threads)
        self.options = options
        for name in ("exclude_items", "allow_items"):
            if isinstance(getattr(options, name), Mapping):
                raise ParameterTypeError(name, "expected ids, the same for everybody, got a mapping")
        self._filters = options.filters(self.model.items)

    def __call__(self, block: UserBlock) -> Scored:
        """The answers for the rows of a table, or for users by their codes, in that order."""
        return self.rank(self.read(block))

    def read(self, block: UserBlock) -> Asked:
        """What comes before the kernel, so that it can be done while another block is in there."""
        if isinstance(block, np.ndarray):
            return self._ask(block)
        for name in self.options.columns:
            if block.column_names.count(name) != 1:
                listed = ", ".join(map(repr, block.column_names)) or "none"
                raise DataError(
                    f"column {name!r}", "must be in the table once", advice=f"its columns are {listed}"
                )
        if self.options.history is not None:
            history, sequence, unknown = _read_histories(
                block, self.options.history, self.options.rating, self.model.items
            )
            ids = self._names(block)
            return Asked(ids, [Queries(ids, history, None, sequence)], len(ids), 0, unknown)
        missing: Literal["error", "ignore"] = "error" if self.options.unknown_users == "error" else "ignore"
        users = block.column(self.options.user)
        codes = self.model.users.encode(users, name=f"column {self.options.user!r}", unknown=missing)
        return self._ask(codes[codes >= 0], int((codes < 0).sum()))

    def rank(self, asked: Asked) -> Scored:
        """The kernel's part."""
        answers = _joined([self._answer(queries) for queries in asked.queries])
        table = partial(self._table, asked.ids, answers)
        return Scored(table, asked.users, asked.unknown_users, asked.unknown_items)

    def _ask(self, codes: NDArray[np.int32], unknown: int = 0) -> Asked:
        state = self.model.state
        ids = state.users.decode(codes)
        pieces = (
            self._read_ahead(state.queries(codes[piece]))
            for piece in _pieces(state.history_lengths(codes), self.entries)
        )
        # Of a block of very active users only the first piece is read ahead.
        first = [queries for queries in [next(pieces, None)] if queries is not None]
        return Asked(ids, chain(first, pieces), len(codes) + unknown, unknown, 0)

    def _read_ahead(self, queries: Queries) -> Queries:
        """The queries with all that the model will look at: another block is in the kernel meanwhile."""
        if self.model.uses_order and self.model.state.sequence_field():
            _ = queries.sequence
        _ = queries.history
        return queries

    def _names(self, table: ArrowTable) -> NDArray[Any]:
        """The ids of the queries, where the model need not know them."""
        ids = read_ids(table.column(self.options.user), f"column {self.options.user!r}")
        return ids.uniques.decode()[ids.codes] if isinstance(ids, Coded) else ids

    def schema(self, empty: UserBlock) -> Any:
        """That of the answers for such blocks."""
        by_code = isinstance(empty, np.ndarray) or self.options.history is None
        ids = self.model.users.decode([]) if by_code else self._names(empty)
        return self._table(ids, _joined([])).schema

    def _answer(self, queries: Queries) -> CsrParts:
        chosen = self._filters(queries)
        return self.model.frozen.rank(self.model.state, queries, self.options.n, chosen, None)

    def _table(self, ids: NDArray[Any], answers: CsrParts) -> ArrowTable:
        return Recommendations(ids, self.model.items, *answers).to_arrow(self.options.user, self.options.item)


@checks_keywords
def score_table(
    model: Model,
    source: ArrowTable,
    *,
    n: int = 10,
    user: str = "user_id",
    item: str = "item_id",
    history: str | None = None,
    rating: str | None = None,
    exclude_seen: bool = True,
    exclude_items: object = None,
    allow_items: object = None,
    unknown_users: Unknown = "error",
    n_threads: int | None = None,
) -> ArrowTable:
    """The best n items for each row of an Arrow table: what an engine calls for one partition.

    It knows no engine, writes nothing, and keeps nothing: the same table gives the same table, row for row, in any
    process. With `ferrec.distributed` it runs on Ray and Spark; `score_batch` runs it over files.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, or the folder of a saved one (opened in milliseconds).
    source : pyarrow.Table or RecordBatch
        One row for each query; other columns are left alone.
    n : int
        Items for each, at least 1. Fewer are given where fewer exist: never padding.
    user : str
        The column of ids: users that the model knows or, with `history`, any names.
    item : str
        The name of the column of items in the answer.
    history : str, optional
        A column of lists of item ids: what each has had, instead of what the model knows of its users. A
        null is an empty history. Items that the model does not know are left out with a warning.
    rating : str, optional
        A column of lists of numbers, the weights of those items; 1 each by default.
    exclude_seen : bool
        Leave out the items of the history.
    exclude_items, allow_items : array-like of ids, optional
        Items to leave out for everybody; the only ones to recommend.
    unknown_users : {"error", "skip"}
        Without `history`: what to do where the model does not know a user. "skip" leaves the row out with a
        warning.
    n_threads : int, optional
        By default the model's own.

    Returns
    -------
    pyarrow.Table
        One row for each answer, in the order of the rows, best first: the ids (the integer type they have, or
        large_string), ``score`` (float32), ``rank`` (int32, from 1). What `Recommender.recommend` gives.

    Raises
    ------
    UnknownIdError
        A user is unknown and `unknown_users` is "error".
    DataError
        A column is missing, of a type that cannot be read, or holds nulls.
    ModelFileError, FileNotFoundError
        The model cannot be read.
    ValueError, TypeError
        An argument makes no sense.

    Examples
    --------
    >>> import ferrec, pyarrow
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> model = ferrec.ItemKNN(k=10).fit(data)
    >>> ferrec.score_table(model, pyarrow.table({"user_id": [3, 1]})).to_pylist()
    [{'user_id': 3, 'item_id': 'milk', 'score': 0.8164966106414795, 'rank': 1}]
    >>> new_users = pyarrow.table({"user_id": ["eve"], "basket": [["milk"]]})
    >>> ferrec.score_table(model, new_users, history="basket")["item_id"].to_pylist()
    ['tea']
    """
    options = ScoringOptions(
        n, user, item, history, rating, exclude_seen, exclude_items, allow_items, unknown_users, n_threads
    )
    return answer_table(model, source, options)


def answer_table(model: Model, source: ArrowTable, options: ScoringOptions) -> ArrowTable:
    """What `score_table` does, its arguments in one."""
    pyarrow = require("pyarrow", EXTRA)
    if isinstance(source, pyarrow.RecordBatch):
        source = pyarrow.Table.from_batches([source])
    if not isinstance(source, pyarrow.Table):
        raise ParameterTypeError("source", "expected a pyarrow.Table", type(source))
    scored = Scorer(model, options)(source)
    if scored.unknown_users:
        _warn(f"{scored.unknown_users:,} of {scored.users:,} rows name users")
    if scored.unknown_items:
        _warn(f"{scored.unknown_items:,} entries of the histories name items")
    return scored.answers()


def _warn(what: str) -> None:
    warnings.warn(f"{what} that the model does not know; left out", UserWarning, stacklevel=5)


def _read_histories(
    table: ArrowTable, name: str, rating: str | None, items: Ids
) -> tuple[_rust.Csr, Callable[[], Sequences], int]:
    """The lists as rows over the model's items, in their order too, and how many entries it does not know."""
    values, lengths = _lists(table, name)
    codes = items.encode(values, name=f"column {name!r}", unknown="ignore")
    refuse_other_kind(items, values, codes, f"column {name!r}")
    weights = np.ones(len(codes), np.float32)
    if rating is not None:
        ratings, theirs = _lists(table, rating)
        if not np.array_equal(lengths, theirs):
            row = int(np.argmax(lengths != theirs))
            sizes = f"{theirs[row]} entries in row {row}, and column {name!r} has {lengths[row]}"
            raise DataError(f"column {rating!r}", f"has {sizes}")
        weights = read_weights(ratings, f"column {rating!r}")
    known = codes >= 0
    indptr = offsets_of(known)[offsets_of(lengths)]
    history = _rust.Csr(indptr, codes[known], weights[known], len(items), name=name)
    return history, lambda: known_rows(offsets_of(lengths), codes, len(items)), int((~known).sum())


def _lists(table: ArrowTable, name: str) -> tuple[Any, NDArray[np.int64]]:
    """The entries of a column of lists, one after another, and how many each row has."""
    column = table.column(name)
    lengths = list_lengths(column, name)
    return require("pyarrow.compute", EXTRA).list_flatten(column), lengths


def list_lengths(column: Any, name: str) -> NDArray[np.int64]:
    """The entries of each row of a column of lists; a null has none."""
    compute = require("pyarrow.compute", EXTRA)
    types, kind = require("pyarrow", EXTRA).types, column.type
    if not (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)):
        raise DataError(f"column {name!r}", "must hold lists", kind)
    lengths: NDArray[np.int64] = (
        compute.fill_null(compute.list_value_length(column), 0).to_numpy().astype(np.int64)
    )
    return lengths


def _pieces(lengths: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Runs of rows that have at most so many entries together, or are one row."""
    ends = offsets_of(lengths)
    start = 0
    while start < len(lengths):
        stop = int(np.searchsorted(ends, ends[start] + most, side="right")) - 1
        stop = min(max(stop, start + 1), len(lengths))
        yield slice(start, stop)
        start = stop


def _joined(answers: list[CsrParts]) -> CsrParts:
    if len(answers) == 1:
        return answers[0]
    lengths = [np.diff(indptr) for indptr, _, _ in answers] or [np.empty(0, np.int64)]
    codes = [items for _, items, _ in answers] or [np.empty(0, np.int32)]
    scores = [values for _, _, values in answers] or [np.empty(0, np.float32)]
    return offsets_of(np.concatenate(lengths)), np.concatenate(codes), np.concatenate(scores)
