"""Whether models differ by more than chance: the answer of a paired test, and tables as text."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ferrec.io.text import table

__all__ = ["Difference", "Significance"]


@dataclass(frozen=True)
class Difference:
    """One model against another, over the users that both have.

    Attributes
    ----------
    first, second : str
        Their names.
    difference : float
        The mean of the first's values less the second's.
    low, high : float
        Bootstrap interval of the difference.
    p_value : float
        How likely chance alone makes a difference as large, on either side.
    corrected : float
        The same, corrected for the number of differences by Holm's method.
    n_users : int
        How many users both have.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    p_value: float
    corrected: float
    n_users: int


@dataclass(frozen=True, repr=False)
class Significance:
    """Which models differ in one metric; its `repr` is a table.

    Attributes
    ----------
    metric : str
        Of which the differences are.
    method : {"permutation", "t", "wilcoxon"}
        The test.
    level : float
        Of the intervals.
    differences : tuple of Difference
        In the order of the models.
    """

    metric: str
    method: str
    level: float
    differences: tuple[Difference, ...]

    def __iter__(self) -> Iterator[Difference]:
        """The differences."""
        return iter(self.differences)

    def to_dict(self) -> dict[str, Any]:
        """Everything in plain Python values that go into JSON."""
        return asdict(self)

    def __repr__(self) -> str:
        """One line for each pair of models."""
        head = [self.metric, "difference", f"{self.level:.0%} interval", "p", "p (Holm)", "users"]
        rows = [
            [
                f"{one.first} − {one.second}",
                f"{one.difference:+.4f}",
                f"{one.low:+.4f} … {one.high:+.4f}",
                shown_p(one.p_value),
                shown_p(one.corrected),
                f"{one.n_users:,}",
            ]
            for one in self.differences
        ]
        return table([head, *rows])


def shown_p(value: float) -> str:
    """A p-value as text."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
