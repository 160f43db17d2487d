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
from ferrec.errors import UnknownIdError
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts


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


def read_history(items: Ids, history: object) -> tuple[NDArray[Any], Any]:
    """The names of the queries, and their histories over the model's items."""
    if isinstance(history, Interactions):
        if history.items == items:
            return history.users.values, history.csr
        entries = history.matrix.tocoo()
        names = history.items.decode(entries.col)
        columns = known_items(items, names, "history")
        rows, values, ids = entries.row, entries.data, history.users.values
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
        columns = known_items(items, flat, "history")
        values, ids = np.ones(len(rows), np.float32), np.arange(len(lists))
    known = columns >= 0
    matrix = scipy.sparse.coo_array(
        (values[known], (rows[known], columns[known])), shape=(len(ids), len(items))
    )
    return ids, matrix.tocsr()


def known_items(items: Ids, ids: object, name: str) -> NDArray[np.int32]:
    """Return the codes of some items, -1 where the model does not know one, with a warning that counts them."""
    codes = items.encode(ids, name=name, unknown="ignore")
    unknown = int((codes < 0).sum())
    if unknown:
        refuse_other_kind(items, ids, codes, name)
        text = f"{name}: {unknown} of {len(codes)} entries name items that the model does not know; left out"
        warnings.warn(text, UserWarning, stacklevel=5)
    return codes


def refuse_other_kind(items: Ids, ids: object, codes: NDArray[np.int32], name: str) -> None:
    """Strings where the ids are integers, or the reverse, would otherwise filter nothing without a word."""
    if len(codes) and (codes < 0).all() and len(items):
        given = "integers" if np.asarray(ids).dtype.kind in "iu" else "strings"
        if items.kind != given:
            raise UnknownIdError(f"{name}: the model's items are {items.kind}, these are {given}")
