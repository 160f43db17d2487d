"""The question put to a model: how many items, and which of them to whom."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.errors import ParameterError, ParameterTypeError
from ferrec.kernels.arguments import as_int, one_of
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import as_csr
from ferrec.models.lookup import listed, refuse_other_kind

__all__ = ["ScoringOptions", "Unknown"]


Unknown: TypeAlias = Literal["error", "skip"]


@dataclass(frozen=True, slots=True, eq=False)
class ScoringOptions:
    """The question that is put to a model, checked once: how many items, which ones, and of whom.

    `Recommender.recommend` and `ferrec.score_table` say what each means. The names of columns matter only where
    the users come as a table.

    Parameters
    ----------
    n : int
        Items for each, at least 1.
    user, item : str
        Columns of the users, and of the items in the answer.
    history, rating : str, optional
        Columns of lists: the histories of new users, and their weights.
    exclude_seen : bool
        Leave out the items of the user's history.
    exclude_items, allow_items : array-like of ids, or mapping of user to ids, optional
        Items to leave out; the only ones to recommend.
    unknown_users : {"error", "skip"}
        What to do where the model does not know a user.
    n_threads : int, optional
        By default the model's own.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense.
    """

    n: int = 10
    user: str = "user_id"
    item: str = "item_id"
    history: str | None = None
    rating: str | None = None
    exclude_seen: bool = True
    exclude_items: object = None
    allow_items: object = None
    unknown_users: Unknown = "error"
    n_threads: int | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a model."""
        object.__setattr__(self, "n", as_int("n", self.n, minimum=1))
        one_of("unknown_users", self.unknown_users, ("error", "skip"))
        for name in ("user", "item", "history", "rating"):
            column = getattr(self, name)
            if column is not None and not isinstance(column, str):
                raise ParameterTypeError(name, "expected the name of a column", column)
        if self.history is None:
            if self.rating is not None:
                raise ParameterError(
                    "rating", "weighs the items of a history, so name that column too", self.rating
                )
        elif len(set(self.columns)) < len(self.columns):
            raise ParameterError("user, history, rating", "must be different columns", self.columns)

    @property
    def columns(self) -> list[str]:
        """The columns of a table that are read."""
        return [name for name in (self.user, self.history, self.rating) if name is not None]

    def filters(self, items: Ids) -> Callable[[Queries], Filter]:
        """What makes the filter of some queries; what is the same for all is looked up once."""
        mask = self.allowed(items)
        exclude = self.exclude_items if isinstance(self.exclude_items, Mapping) else None
        allow = self.allow_items if isinstance(self.allow_items, Mapping) else None

        def build(queries: Queries) -> Filter:
            lists = [queries.history] if self.exclude_seen else []
            if exclude is not None:
                lists.append(_by_query(items, queries, exclude, "exclude_items"))
            only = None
            if allow is not None:
                missing = [key for key in queries.ids.tolist() if key not in allow]
                if missing:
                    raise ParameterError(
                        "allow_items",
                        f"must have a list for each user, {len(missing)} have none, the first is {missing[0]!r}",
                    )
                only = _by_query(items, queries, allow, "allow_items")
            return Filter(lists, only, mask)

        return build

    def allowed(self, items: Ids) -> NDArray[np.bool_] | None:
        """The items that anybody may get; None for all."""
        mask = None
        if self.exclude_items is not None and not isinstance(self.exclude_items, Mapping):
            mask = ~_mask(items, self.exclude_items, "exclude_items")
        if self.allow_items is not None and not isinstance(self.allow_items, Mapping):
            only = _mask(items, self.allow_items, "allow_items")
            mask = only if mask is None else mask & only
        return mask


def _mask(items: Ids, ids: object, name: str) -> NDArray[np.bool_]:
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
