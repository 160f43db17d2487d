"""Groups of users and of items, by what is known of them or as the caller names them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec.errors import ParameterError, ShapeError

Groups: TypeAlias = tuple[NDArray[np.int64], list[str]]
"""The group of each, -1 for none; and the names of the groups."""


def by_count(counts: NDArray[np.int64], bins: int | Sequence[int], weights: NDArray[np.int64]) -> Groups:
    """Ranges of counts. Those of 0 have a range of their own: what a model has never seen is another matter.

    `bins` ranges hold about the same weight each, fewer where many counts are equal; or it says where they begin.
    """
    if isinstance(bins, int | np.integer):
        if isinstance(bins, bool) or bins < 1:
            raise ParameterError("bins", "expected a number of at least 1, or where ranges begin", bins)
        starts = np.unique(_quantiles(counts, weights, int(bins)))
    elif isinstance(bins, str) or not isinstance(bins, Iterable):
        raise ParameterError("bins", "expected a number of at least 1, or where ranges begin", bins)
    else:
        starts = np.unique(np.asarray(list(bins)))
        if len(starts) == 0 or starts.dtype.kind not in "iu" or starts[0] < 0:
            raise ParameterError("bins", "expected whole numbers of at least 0", bins)
    starts = np.unique(np.concatenate([[0, 1], starts]))
    groups = np.searchsorted(starts, counts, side="right") - 1
    ends = [*(starts[1:] - 1).tolist(), None]
    names = [_range(start, end) for start, end in zip(starts.tolist(), ends, strict=True)]
    return groups, names


def _quantiles(counts: NDArray[np.int64], weights: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    """Where ranges of equal weight begin, among the counts above 0."""
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    before = np.cumsum(weights[order]) - weights[order]
    total = int(weights[order].sum())
    if not total:
        return np.empty(0, np.int64)
    shares = np.arange(1, bins) * (total / bins)
    at = np.minimum(np.searchsorted(before, shares), len(order) - 1)
    starts: NDArray[np.int64] = counts[order[at]]
    return starts


def _range(start: int, end: int | None) -> str:
    if end is None:
        return f"{start:,}+"
    return f"{start:,}" if start == end else f"{start:,}–{end:,}"


def by_id(given: Any, ids: NDArray[Any], what: str) -> Groups:
    """Groups as the caller names them: one name for each id, in order, or a mapping that may leave some out."""
    if isinstance(given, Mapping):
        names = [given.get(key) for key in ids.tolist()]
    elif isinstance(given, str) or not isinstance(given, Sequence | np.ndarray):
        raise ParameterError("groups", f"expected a name for each of the {what}, or a mapping", given)
    else:
        names = given.tolist() if isinstance(given, np.ndarray) else list(given)
        if len(names) != len(ids):
            raise ShapeError("groups", f"must have {len(ids)} names, one for each of the {what}", len(names))
    known = {str(name) for name in names if name is not None}
    distinct = sorted(known)
    place = {name: at for at, name in enumerate(distinct)}
    codes = np.fromiter((-1 if name is None else place[str(name)] for name in names), np.int64, len(names))
    return codes, distinct
