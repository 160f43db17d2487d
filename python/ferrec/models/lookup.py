"""From the ids that callers give to codes: users, items and histories."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import (
    Any,
    cast,
)

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.data.sequences import Sequences
from ferrec.errors import ParameterError, ParameterTypeError, ShapeError, UnknownIdError
from ferrec.io.arrays import offsets_of
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, as_csr
from ferrec.models.state import State


def unit_rows(codes: NDArray[np.int32], n: int) -> _rust.Csr:
    """Rows with a single 1: multiplied with a matrix they pick its rows."""
    count = len(codes)
    return _rust.Csr(np.arange(count + 1), np.ascontiguousarray(codes), np.ones(count, np.float32), n)


def top_of_rows(
    side: str, similarity: _rust.Csr, codes: NDArray[np.int32], n: int, n_threads: int
) -> CsrParts:
    """The best n of some rows of a similarity."""
    picked = unit_rows(codes, similarity.shape[0])
    return _rust.top_k_product(picked, similarity, n, Filter(), (side, "similarity"), n_threads, None)


def listed(values: object) -> object:
    """A single id as a list of one."""
    scalar = isinstance(values, str | int | np.generic) or (
        isinstance(values, np.ndarray) and values.ndim == 0
    )
    return [values] if scalar else values


def encode_ids(known: Ids, ids: object, name: str) -> NDArray[np.int32]:
    """Return the codes of some ids, or of all where none are given."""
    if ids is None:
        return np.arange(len(known), dtype=np.int32)
    return known.encode(listed(ids), name=name)


def read_queries(state: State, users: object, history: object) -> Queries:
    """Return the users of the fitted data that are named, everybody, or new users with their histories."""
    if history is None:
        return state.queries(None if users is None else encode_ids(state.users, users, "users"))
    if users is not None:
        raise ParameterError(
            "users, history", "give one of them; history is for users who are not in the data"
        )
    return read_history(state.items, history)


def read_history(items: Ids, history: object) -> Queries:
    """Return new users with their histories over the model's items."""
    if isinstance(history, Interactions):
        return _of_interactions(items, history)
    if scipy.sparse.issparse(history):
        shape = cast(Any, history).shape
        if shape[1] != len(items):
            raise ShapeError(
                "history", f"must have {len(items)} columns, one for each item of the model", shape[1]
            )
        return Queries(np.arange(shape[0]), as_csr(history, "history"))
    if isinstance(history, str | Mapping) or not isinstance(history, Sequence | np.ndarray):
        raise ParameterTypeError(
            "history", "expected Interactions, a sparse matrix or lists of items", history
        )
    for at, one in enumerate(history):
        if isinstance(one, str) or not isinstance(one, Iterable):
            raise ParameterTypeError(
                "history", "expected a list of items for each user", one, place={"position": at}
            )
    lists = [list(one) for one in history]
    codes = known_items(items, list(chain.from_iterable(lists)), "history")
    sequence = known_rows(offsets_of([len(one) for one in lists]), codes, len(items))
    return Queries(np.arange(len(lists)), sequence.handle.counts, None, sequence)


def _of_interactions(items: Ids, data: Interactions) -> Queries:
    if data.items == items:
        return Queries(data.users.values, data.csr, None, lambda: data.sequences)
    entries = data.matrix.tocoo()
    columns = known_items(items, data.items.decode(entries.col), "history", depth=1)
    known = columns >= 0
    pairs = (entries.row[known], columns[known])
    matrix = scipy.sparse.coo_array((entries.data[known], pairs), shape=(data.n_users, len(items)))

    def sequence() -> Sequences:
        offsets, codes, times = data.sequences.handle.parts()
        theirs = items.encode(data.items.values, name="history", unknown="ignore")
        return known_rows(offsets, theirs[codes], len(items), times)

    return Queries(data.users.values, as_csr(matrix.tocsr(), "history"), None, sequence)


def known_rows(
    offsets: NDArray[np.int64],
    codes: NDArray[np.int32],
    n_items: int,
    times: NDArray[np.int64] | None = None,
) -> Sequences:
    """Return rows of items without those that the model does not know, whose code is negative."""
    known = codes >= 0
    return Sequences(
        offsets_of(known)[offsets],
        codes[known],
        None if times is None else times[known],
        n_items=n_items,
    )


def known_items(items: Ids, ids: object, name: str, depth: int = 0) -> NDArray[np.int32]:
    """Return the codes of some items, -1 where the model does not know one, with a warning that counts them.

    The warning points to the caller of the public method; `depth` counts the calls in between beyond the usual.
    """
    codes = items.encode(ids, name=name, unknown="ignore")
    unknown = int((codes < 0).sum())
    if unknown:
        refuse_other_kind(items, ids, codes, name)
        text = f"{name}: {unknown} of {len(codes)} entries name items that the model does not know; left out"
        warnings.warn(text, UserWarning, stacklevel=6 + depth)
    return codes


def refuse_other_kind(items: Ids, ids: object, codes: NDArray[np.int32], name: str) -> None:
    """Strings where the ids are integers, or the reverse, would otherwise filter nothing without a word."""
    if len(codes) and (codes < 0).all() and len(items):
        given = "integers" if np.asarray(ids).dtype.kind in "iu" else "strings"
        if items.kind != given:
            raise UnknownIdError(name, f"the model's items are {items.kind}, these are {given}")
