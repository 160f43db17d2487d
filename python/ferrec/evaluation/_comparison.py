"""Several evaluations side by side, and whether they differ by more than chance."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ferrec.errors import DataError
from ferrec.evaluation._statistics import Test, holm, intervals, p_value

if TYPE_CHECKING:
    from ferrec.evaluation._evaluation import Evaluation

__all__ = ["Comparison", "Difference", "Significance"]


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


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several evaluations by name: of models on the same test data, or of parts of it; its `repr` is a table.

    Attributes
    ----------
    evaluations : dict of str to Evaluation
        By the names that were given.

    Examples
    --------
    >>> import ferrec
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> test = ferrec.Interactions.from_arrays([2], ["milk"])
    >>> ferrec.compare({"popular": ferrec.Popularity().fit(train)}, test, ["recall@1"])
             recall@1  users
    popular    1.0000      1
    """

    evaluations: "dict[str, Evaluation]"

    def __getitem__(self, name: str) -> "Evaluation":
        """The evaluation of one model by its name; `KeyError` lists those there are."""
        if name not in self.evaluations:
            raise KeyError(f"no model {name!r}; there are {', '.join(self.evaluations)}")
        return self.evaluations[name]

    def significance(
        self,
        metric: str,
        *,
        baseline: str | None = None,
        method: Test = "permutation",
        level: float = 0.95,
        n_resamples: int = 10_000,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> Significance:
        """Whether models differ in a metric by more than chance: paired tests over the users that both have.

        Parameters
        ----------
        metric : str
            One that has values per user.
        baseline : str, optional
            Compare every other model with this one only. By default each with each.
        method : {"permutation", "t", "wilcoxon"}
            The randomisation test, which flips the signs of the users' differences at random (Fisher 1935; the one
            that Smucker, Allan & Carterette, CIKM 2007, recommend), the paired t-test, or Wilcoxon's signed-rank
            test.
        level : float in (0, 1), default 0.95
            Of the bootstrap intervals.
        n_resamples : int, default 10000
            Samples of the bootstrap, and of the randomisation test, whose least p-value is 1 / (n_resamples + 1).
        seed : int, default 0
            The same seed gives the same answer, whatever the number of threads.
        n_threads : int, optional
            By default what CPU affinity and cgroup quota allow.

        Returns
        -------
        Significance
            With p-values as they are and corrected for their number (Holm 1979).

        Raises
        ------
        KeyError
            There is no such model.
        ValueError
            The metric has no values per user, an argument makes no sense, or there is only one model.
        DataError
            Two models have no user in common.

        Examples
        --------
        >>> import ferrec
        >>> train = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3, 4], ["tea", "jam", "tea", "jam", "tea", "tea"])
        >>> test = ferrec.Interactions.from_arrays([3, 4], ["jam", "jam"])
        >>> models = {"item-knn": ferrec.ItemKNN().fit(train), "popular": ferrec.Popularity().fit(train)}
        >>> ferrec.compare(models, test, ["mrr@1"]).significance("mrr@1", method="t")
        mrr@1               difference       95% interval      p  p (Holm)  users
        item-knn − popular     +0.0000  +0.0000 … +0.0000  1.000     1.000      2
        """
        names = list(self.evaluations)
        if baseline is not None:
            self[baseline]
            pairs = [(name, baseline) for name in names if name != baseline]
        else:
            pairs = list(combinations(names, 2))
        if not pairs:
            raise ValueError("a test needs two models, and there is one")
        columns = [self._paired(first, second, metric) for first, second in pairs]
        arguments = (n_resamples, seed, n_threads)
        p_values = np.array([p_value(values, method, *arguments) for values in columns])
        differences = []
        for at, (first, second) in enumerate(pairs):
            low, high = intervals({metric: columns[at]}, level, *arguments)[metric]
            mean, n = float(columns[at].mean()), len(columns[at])
            p, corrected = float(p_values[at]), float(holm(p_values)[at])
            differences.append(Difference(first, second, mean, low, high, p, corrected, n))
        return Significance(metric, method, level, tuple(differences))

    def _paired(self, first: str, second: str, metric: str) -> NDArray[np.float64]:
        """The differences of two models, of the users that have a value with both."""
        a, b = self[first], self[second]
        for name, one in ((first, a), (second, b)):
            if metric not in one.per_user:
                there = ", ".join(one.per_user)
                raise ValueError(f"metric: {name!r} has no values per user of {metric!r}; there are {there}")
        left, right = a.per_user[metric], b.per_user[metric]
        if not np.array_equal(a.users, b.users):
            _, at_a, at_b = np.intersect1d(a.users, b.users, assume_unique=True, return_indices=True)
            left, right = left[at_a], right[at_b]
        differences: NDArray[np.float64] = left - right
        differences = differences[~np.isnan(differences)]
        if not len(differences):
            raise DataError(f"{first!r} and {second!r} have no user in common with a value of {metric!r}")
        return differences

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Every evaluation's `to_dict`, by name."""
        return {name: evaluation.to_dict() for name, evaluation in self.evaluations.items()}

    def __repr__(self) -> str:
        """One line for each model, one column for each metric."""
        metrics = list(next(iter(self.evaluations.values())).metrics)
        rows = [["", *metrics, "users"]]
        for name, result in self.evaluations.items():
            values = [f"{result.metrics[metric]:.4f}" for metric in metrics]
            rows.append([name, *values, f"{result.n_users:,}"])
        return table(rows)


def table(rows: list[list[str]]) -> str:
    """Columns side by side, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def shown_p(value: float) -> str:
    """A p-value as text."""
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"
