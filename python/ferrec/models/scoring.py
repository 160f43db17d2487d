"""Which items may be recommended to whom."""

from collections.abc import Mapping
from itertools import chain
from typing import (
    Any,
)

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import as_csr
from ferrec.models.lookup import listed, refuse_other_kind
from ferrec.models.state import State


def item_filter(
    state: State, queries: Queries, exclude_seen: bool, exclude_items: object, allow_items: object
) -> Filter:
    """Build the filter of one call of `recommend` from what its caller gave."""
    lists = [queries.history] if exclude_seen else []
    allow, mask = None, None
    if exclude_items is not None:
        if isinstance(exclude_items, Mapping):
            lists.append(_by_query(state.items, queries, exclude_items, "exclude_items"))
        else:
            mask = ~item_mask(state.items, exclude_items, "exclude_items")
    if allow_items is not None:
        if isinstance(allow_items, Mapping):
            missing = [key for key in queries.ids.tolist() if key not in allow_items]
            if missing:
                raise ValueError(
                    f"allow_items: no list for {len(missing)} of the users; the first is {missing[0]!r}"
                )
            allow = _by_query(state.items, queries, allow_items, "allow_items")
        else:
            allowed = item_mask(state.items, allow_items, "allow_items")
            mask = allowed if mask is None else mask & allowed
    return Filter(lists, allow, mask)


def item_mask(items: Ids, ids: object, name: str) -> NDArray[np.bool_]:
    """Mark the items that are named."""
    ids = listed(ids)
    codes = items.encode(ids, name=name, unknown="ignore")
    refuse_other_kind(items, ids, codes, name)
    mask = np.zeros(len(items), dtype=np.bool_)
    mask[codes[codes >= 0]] = True
    return mask


def _by_query(items: Ids, queries: Queries, lists: Mapping[Any, Any], name: str) -> _rust.Csr:
    """The lists of a mapping as a matrix with the queries' rows; items that the model does not know are none."""
    ids = queries.ids.tolist()
    per_query = [list(lists.get(key, ())) for key in ids]
    flat = list(chain.from_iterable(per_query))
    rows = np.repeat(np.arange(len(ids)), [len(one) for one in per_query])
    codes = items.encode(flat, name=name, unknown="ignore")
    refuse_other_kind(items, flat, codes, name)
    known = codes >= 0
    ones = np.ones(int(known.sum()), np.float32)
    found = scipy.sparse.coo_array((ones, (rows[known], codes[known])), shape=(len(ids), len(items)))
    return as_csr(found.tocsr(), name)
