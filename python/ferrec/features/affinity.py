"""The user's history, compared with the candidate by the columns of the item table."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.attributes import Numbers, shares
from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError, ShapeError
from ferrec.features.attributes import numbers_of, standardized
from ferrec.features.base import Column, Feature, FeatureState
from ferrec.models.state import PerItem


@dataclass(frozen=True, eq=False)
class CategoryState(FeatureState):
    """The categories of each item; those of one item sum to 1."""

    categories: _rust.Csr

    def __post_init__(self) -> None:
        """Check that there is a row for each item."""
        super().__post_init__()
        if self.categories.shape[0] != self.n_items:
            raise ShapeError(
                "categories", f"must have {self.n_items} rows, one for each item", self.categories.shape[0]
            )


class CategoryAffinity(Feature[CategoryState]):
    """How much of the user's history has the candidate's category.

    ``<column>_affinity`` is the share of the items in the user's history, each counted once,
    ``<column>_affinity_count`` is ln(1 + n) of their number, and ``<column>_affinity_missing`` is 1 where the item
    has no category or no item of the history has one. An item with several categories (tags) counts for each in
    equal parts.

    Parameters
    ----------
    column : str
        A column of categories or of lists of `Interactions.item_table`.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "cocoa"])
    >>> data = data.with_items({"item_id": ["cocoa", "milk", "tea"], "aisle": ["hot", "cold", "hot"]})
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(1)
    >>> CategoryAffinity(column="aisle").fit(data).columns(pairs)["aisle_affinity"]
    array([0.5], dtype=float32)
    """

    state_type = CategoryState

    def __init__(self, *, column: str) -> None:
        self.column = column

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [f"{self.column}_affinity{end}" for end in ("", "_count", "_missing")]

    def learn(self, data: Interactions) -> CategoryState:
        column = data.item_table[self.column]
        if isinstance(column, Numbers):
            raise DataError(f"column {self.column!r}", "expected categories or lists, it holds numbers")
        return CategoryState(data.n_users, data.n_items, shares(column, data.n_items))

    def compute(self, state: CategoryState, candidates: Candidates, n_threads: int) -> list[Column]:
        history = candidates.queries.history
        return _rust.category_affinity(candidates.pairs, history, state.categories, n_threads)


@dataclass(frozen=True, eq=False)
class NumberState(FeatureState):
    """A number of each item."""

    scaled: PerItem
    unknown: PerItem

    @cached_property
    def numbers(self) -> NDArray[np.float32]:
        """The numbers, NaN where there is none: files hold finite ones only."""
        return np.where(self.unknown != 0, np.float32(np.nan), self.scaled)


class NumberAffinity(Feature[NumberState]):
    """How far the candidate's number (its price) lies from what the user is used to.

    ``<column>_difference`` is the candidate's number less the mean of the user's history, in standard deviations
    over all items; ``<column>_distance`` its absolute value; ``<column>_difference_missing`` is 1 where the item
    has no number or no item of the history has one.

    Parameters
    ----------
    column : str
        A column of numbers of `Interactions.item_table`.
    log : bool
        Compare sign(x) · ln(1 + |x|): prices differ by factors rather than by amounts.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "jam"])
    >>> data = data.with_items({"item_id": ["jam", "milk", "tea"], "price": [4.0, 1.0, 3.0]})
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(1)
    >>> NumberAffinity(column="price").fit(data).columns(pairs)["price_difference"].round(3)
    array([1.604], dtype=float32)
    """

    state_type = NumberState

    def __init__(self, *, column: str, log: bool = False) -> None:
        self.column = column
        self.log = log

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [f"{self.column}_{end}" for end in ("difference", "distance", "difference_missing")]

    def learn(self, data: Interactions) -> NumberState:
        values = numbers_of(data.item_table, self.column).values.astype(np.float64)
        scaled = standardized(np.sign(values) * np.log1p(np.abs(values)) if self.log else values)
        unknown = np.isnan(values).astype(np.float32)
        return NumberState(data.n_users, data.n_items, scaled.astype(np.float32), unknown)

    def compute(self, state: NumberState, candidates: Candidates, n_threads: int) -> list[Column]:
        return _rust.number_affinity(candidates.pairs, candidates.queries.history, state.numbers, n_threads)
