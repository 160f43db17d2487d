"""Columns of the item and user tables as features."""

import zlib
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.attributes import Categories, Columns, Numbers
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError
from ferrec.features.base import ItemFeature, UserFeature
from ferrec.kernels.arguments import as_int, one_of

Scale: TypeAlias = Literal["standard", "log", "quantile"]
SCALES = ("standard", "log", "quantile")
MOST_CATEGORIES = 2**24 - 1
"""Whole numbers above it are not exact in float32."""


class ItemNumber(ItemFeature):
    """A number of the item table: ``item_<column>``, and ``item_<column>_missing``, 1 where there is none.

    Parameters
    ----------
    column : str
        A column of numbers of `Interactions.item_table`.
    scale : {"standard", "log", "quantile"}
        How the number is scaled over all items that have one. ``"standard"``: mean 0 and standard deviation 1.
        ``"log"``: the same of sign(x) · ln(1 + |x|), for prices and counts. ``"quantile"``: the share of items
        with a smaller number, half of those with an equal one added; in (0, 1), whatever the distribution. A
        missing number becomes 0 (the mean), or 0.5.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "jam"])
    >>> data = data.with_items({"item_id": ["tea", "milk"], "price": [3.0, 1.0]})
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(1, exclude_seen=False)
    >>> ItemNumber(column="price").fit(data).columns(pairs)
    {'item_price': array([ 0., -1.,  1.], dtype=float32), 'item_price_missing': array([1., 0., 0.], dtype=float32)}
    """

    def __init__(self, *, column: str, scale: Scale = "standard") -> None:
        self.column = column
        self.scale = scale

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [f"item_{self.column}", f"item_{self.column}_missing"]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _scaled(data.item_table, self.column, self.scale)


class UserNumber(UserFeature):
    """A number of the user table: ``user_<column>``, and ``user_<column>_missing``; as `ItemNumber`.

    Nothing is known of new users.

    Parameters
    ----------
    column, scale
        As in `ItemNumber`.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 2], ["tea", "milk"])
    >>> data = data.with_users({"user_id": [1, 2], "age": [20, 40]})
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates()
    >>> UserNumber(column="age", scale="quantile").fit(data).columns(pairs)["user_age"]
    array([0.25, 0.75], dtype=float32)
    """

    def __init__(self, *, column: str, scale: Scale = "standard") -> None:
        self.column = column
        self.scale = scale

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return [f"user_{self.column}", f"user_{self.column}_missing"]

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _scaled(data.user_table, self.column, self.scale)

    def new_users(self, history: _rust.Csr) -> list[NDArray[Any] | float]:
        return [0.5 if self.scale == "quantile" else 0.0, 1.0]


class ItemCategory(ItemFeature):
    """A category of the item table as a whole number: ``item_<column>``, 0 where there is none.

    Parameters
    ----------
    column : str
        A column of categories of `Interactions.item_table`.
    buckets : int, optional
        By default the values are numbered 1, 2, … in their order, so that the numbers hold for this table only.
        With `buckets` a value is hashed (CRC-32) into 1 … `buckets`: the same number whatever other values there
        are, in this table or in next month's, though some values share one.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "jam"])
    >>> data = data.with_items({"item_id": ["tea", "milk"], "aisle": ["hot", "cold"]})
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates(1, exclude_seen=False)
    >>> ItemCategory(column="aisle").fit(data).columns(pairs)
    {'item_aisle': array([0., 1., 2.], dtype=float32)}
    """

    def __init__(self, *, column: str, buckets: int | None = None) -> None:
        self.column = column
        self.buckets = buckets

    @property
    def names(self) -> list[str]:
        """The name of its column."""
        return [f"item_{self.column}"]

    @property
    def categories(self) -> list[str]:
        """The same."""
        return self.names

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _numbered(data.item_table, self.column, self.buckets)


class UserCategory(UserFeature):
    """A category of the user table as a whole number: ``user_<column>``, 0 where there is none and for new users.

    Parameters
    ----------
    column, buckets
        As in `ItemCategory`.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 2], ["tea", "milk"])
    >>> data = data.with_users({"user_id": [1, 2], "country": ["FR", "DE"]})
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates()
    >>> UserCategory(column="country").fit(data).columns(pairs)
    {'user_country': array([2., 1.], dtype=float32)}
    """

    def __init__(self, *, column: str, buckets: int | None = None) -> None:
        self.column = column
        self.buckets = buckets

    @property
    def names(self) -> list[str]:
        """The name of its column."""
        return [f"user_{self.column}"]

    @property
    def categories(self) -> list[str]:
        """The same."""
        return self.names

    def values(self, data: Interactions) -> list[NDArray[Any]]:
        return _numbered(data.user_table, self.column, self.buckets)

    def new_users(self, history: _rust.Csr) -> list[NDArray[Any] | float]:
        return [0.0]


def numbers_of(table: Columns, name: str) -> Numbers:
    """A column of numbers, or an error that says what it is instead."""
    column = table[name]
    if not isinstance(column, Numbers):
        raise DataError(f"column {name!r}", f"expected numbers, it holds {type(column).__name__.lower()}")
    return column


def _scaled(table: Columns, name: str, scale: str) -> list[NDArray[Any]]:
    one_of("scale", scale, SCALES)
    values = numbers_of(table, name).values.astype(np.float64)
    known = ~np.isnan(values)
    if scale == "quantile":
        ordered = np.sort(values[known])
        below, upto = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
        scaled = np.where(known, (below + upto) / max(2 * len(ordered), 1), 0.5)
    else:
        scaled = standardized(np.sign(values) * np.log1p(np.abs(values)) if scale == "log" else values)
    return [scaled, ~known]


def standardized(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """With mean 0 and standard deviation 1 over what is known, and 0 for what is not."""
    known = ~np.isnan(values)
    deviation = values[known].std() if known.any() else 0.0
    scaled: NDArray[np.float64] = np.zeros(len(values))
    if deviation > 0:
        scaled[known] = (values[known] - values[known].mean()) / deviation
    return scaled


def _numbered(table: Columns, name: str, buckets: int | None) -> list[NDArray[Any]]:
    column = table[name]
    if not isinstance(column, Categories):
        hint = "; CategoryAffinity reads lists" if type(column).__name__ == "Lists" else ""
        raise DataError(
            f"column {name!r}", f"expected categories, it holds {type(column).__name__.lower()}{hint}"
        )
    if buckets is None:
        if len(column.ids) > MOST_CATEGORIES:
            raise DataError(
                f"column {name!r}", f"has {len(column.ids)} values", advice="hash them with buckets="
            )
        return [column.codes + 1]
    size = as_int("buckets", buckets, minimum=1, maximum=MOST_CATEGORIES)
    hashed = [zlib.crc32(str(value).encode()) % size + 1 for value in column.ids.values.tolist()]
    return [np.array([*hashed, 0])[column.codes]]  # the last place is what -1 reads
