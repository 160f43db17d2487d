"""What an evaluation found, user by user, and how to look at parts of it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.errors import DataError, ParameterError, ParameterTypeError, UnknownIdError, checks_keywords
from ferrec.evaluation._segments import by_count, by_id
from ferrec.evaluation._significance import Difference, Significance
from ferrec.evaluation._statistics import Test, holm, intervals, mean, p_value
from ferrec.evaluation.metrics import HITS, cuts_of, named_hits, parse_metrics
from ferrec.io.arrays import offsets_of
from ferrec.io.text import aligned, table
from ferrec.kernels.arguments import threads

__all__ = ["Comparison", "Evaluation", "Hits"]


@dataclass(frozen=True, eq=False, repr=False)
class Hits:
    """Where each true item stood in its user's list: what the ranking metrics follow from.

    Attributes
    ----------
    items : Ids
        The model's items, which `codes` points into.
    popularity : ndarray of int64, shape (len(items),)
        How many users had each item in training.
    indptr : ndarray of int64, shape (n_users + 1,)
        The true items of user i are the entries ``indptr[i]`` to ``indptr[i + 1]``.
    codes : ndarray of int32, shape (n_pairs,)
        The true items, ascending within a user.
    gains : ndarray of float32, shape (n_pairs,)
        Their weights in the test data.
    ranks : ndarray of int32, shape (n_pairs,)
        Their ranks, from 1; 0 where the list, as long as the largest cut-off, does not hold the item.
    """

    items: Ids
    popularity: NDArray[np.int64]
    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    gains: NDArray[np.float32]
    ranks: NDArray[np.int32]

    @property
    def rows(self) -> NDArray[np.int64]:
        """The user of each true item, as a position among the evaluation's users."""
        return np.repeat(np.arange(len(self.indptr) - 1), np.diff(self.indptr))

    def select(self, mask: NDArray[np.bool_]) -> "Hits":
        """Some of the true items; users may be left without any."""
        counts = np.bincount(self.rows[mask], minlength=len(self.indptr) - 1)
        return replace(
            self,
            indptr=offsets_of(counts),
            codes=self.codes[mask],
            gains=self.gains[mask],
            ranks=self.ranks[mask],
        )

    def of_users(self, rows: NDArray[np.int64]) -> "Hits":
        """The true items of some users, whose positions ascend."""
        chosen = np.zeros(len(self.indptr) - 1, np.bool_)
        chosen[rows] = True
        some = self.select(np.repeat(chosen, np.diff(self.indptr)))
        return replace(some, indptr=np.concatenate([[0], some.indptr[1:][chosen]]).astype(np.int64))


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The metrics of one model, and what of the test data did not count.

    Attributes
    ----------
    metrics : dict of str to float
        The mean over the `n_users`; coverage and Gini are one number each of all their lists together.
    per_user : dict of str to ndarray of float64, shape (n_users,)
        The values behind the means, aligned with `users`. Coverage and Gini have none. NaN where a metric is not
        defined, such as the novelty of an empty list; the mean leaves it out.
    users : ndarray of ids, shape (n_users,)
        The users that had a true item, ascending.
    activity : ndarray of int64, shape (n_users,)
        How many items each of them had in training.
    hits : Hits
        Where their true items stood.
    n_users : int
        How many they are.
    skipped_users : int
        Test users that the model does not know.
    skipped_items : int
        Test items that the model does not know.
    skipped_pairs : int
        Pairs of a test user and an item that fell out with those.
    seen_pairs : int
        Pairs that the user had in training already, which do not count with ``exclude_seen=True``: they
        cannot be recommended.
    empty_users : int
        Known test users who were left without a true item, and so do not count.

    Examples
    --------
    >>> import ferrec
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> test = ferrec.Interactions.from_arrays([2, 3], ["milk", "milk"])
    >>> result = ferrec.evaluate(ferrec.Popularity().fit(train), test, ["recall@1", "coverage@1"])
    >>> result
    Evaluation(1 user)
      recall@1    1.0000
      coverage@1  0.5000
      not counted: 1 user and 0 items that the model does not know (1 pair)
    >>> result["recall@1"], result.users
    (1.0, array([2]))
    """

    metrics: dict[str, float]
    per_user: dict[str, NDArray[np.float64]]
    users: NDArray[Any]
    activity: NDArray[np.int64]
    hits: Hits
    skipped_users: int = 0
    skipped_items: int = 0
    skipped_pairs: int = 0
    seen_pairs: int = 0
    empty_users: int = 0

    @property
    def n_users(self) -> int:
        """The number of users behind the means."""
        return len(self.users)

    def __getitem__(self, metric: str) -> float:
        """One metric by its name; `KeyError` lists those there are."""
        if metric not in self.metrics:
            there = ", ".join(self.metrics)
            raise UnknownIdError("metric", "was not asked for", metric, advice=f"there are {there}")
        return self.metrics[metric]

    @checks_keywords
    def intervals(
        self,
        *,
        level: float = 0.95,
        n_resamples: int = 2000,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> dict[str, tuple[float, float]]:
        """Confidence intervals of the means, by bootstrap over users.

        Bias-corrected and accelerated (Efron, JASA 1987). It speaks of other users like these, with this model
        and this split.

        Parameters
        ----------
        level : float in (0, 1), default 0.95
            The share of such intervals that hold the true mean.
        n_resamples : int, default 2000
            Samples of the users, with replacement.
        seed : int, default 0
            The same seed gives the same intervals, whatever the number of threads.
        n_threads : int, optional
            By default what CPU affinity and cgroup quota allow.

        Returns
        -------
        dict of str to (float, float)
            Low and high of every metric that has values per user; NaN where fewer than two users have one.

        Raises
        ------
        ValueError, TypeError
            An argument makes no sense.

        Examples
        --------
        >>> import ferrec
        >>> train = ferrec.Interactions.from_arrays([1, 1, 2, 3, 4], ["tea", "milk", "tea", "tea", "milk"])
        >>> test = ferrec.Interactions.from_arrays([2, 3, 4], ["milk", "milk", "milk"])
        >>> result = ferrec.evaluate(ferrec.Popularity().fit(train), test, ["mrr@2"], exclude_seen=False)
        >>> result["mrr@2"], result.intervals()["mrr@2"]
        (0.5, (0.5, 0.5))
        """
        return intervals(self.per_user, level, n_resamples, seed, n_threads)

    @checks_keywords
    def by_user(
        self, groups: str | Mapping[Any, Any] | Sequence[Any] | NDArray[Any] = "activity", *, bins: Any = 4
    ) -> "Comparison":
        """The metrics of groups of users.

        Parameters
        ----------
        groups : "activity", array-like of shape (n_users,), or mapping of user to name
            How many items a user had in training, in ranges; or a name for each of `users`; or a mapping, which
            may leave users out.
        bins : int or sequence of int, default 4
            Into how many ranges of about equally many users activity is cut, or where the ranges begin. Users
            without any training event are always apart: the cold ones.

        Returns
        -------
        Comparison
            An `Evaluation` for each group that has a user, without coverage and Gini, which belong to all lists
            together.

        Raises
        ------
        ValueError
            The groups do not fit the users.

        Examples
        --------
        >>> import ferrec
        >>> train = ferrec.Interactions.from_arrays([1, 1, 1, 2], ["tea", "milk", "jam", "tea"])
        >>> test = ferrec.Interactions.from_arrays([1, 2], ["tea", "milk"])
        >>> result = ferrec.evaluate(ferrec.Popularity().fit(train), test, ["mrr@3"], exclude_seen=False)
        >>> result.by_user(bins=[1, 3])
              mrr@3  users
        1–2  0.3333      1
        3+   1.0000      1
        """
        if isinstance(groups, str) and groups == "activity":
            codes, names = by_count(self.activity, bins, np.ones(self.n_users, np.int64))
        else:
            codes, names = by_id(groups, self.users, "users")
        found = {name: np.flatnonzero(codes == at) for at, name in enumerate(names)}
        parts = {name: self._of_users(rows) for name, rows in found.items() if len(rows)}
        if not parts:
            raise ParameterError("groups", "names none of the users")
        return Comparison(parts)

    @checks_keywords
    def by_item(
        self, groups: str | Mapping[Any, Any] | Sequence[Any] | NDArray[Any] = "popularity", *, bins: Any = 4
    ) -> "Comparison":
        """The ranking metrics where only the items of a group count as true: how well each kind is found.

        The lists stay the same. Each user who has a true item of the group counts in it.

        Parameters
        ----------
        groups : "popularity", array-like of shape (n_items,), or mapping of item to name
            How many users had an item in training, in ranges; or a name for each of the model's items; or a
            mapping, which may leave items out.
        bins : int or sequence of int, default 4
            Into how many ranges of about equally many true pairs popularity is cut, or where the ranges begin.
            Items without any training event are always apart: the cold ones.

        Returns
        -------
        Comparison
            An `Evaluation` for each group that has a true item, with the metrics that follow from the true
            items' ranks (precision to MRR) and were asked for.

        Raises
        ------
        ValueError
            The groups do not fit the items.
        DataError
            None of these metrics was asked for.

        Examples
        --------
        >>> import ferrec
        >>> train = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "jam", "tea", "jam", "tea"])
        >>> test = ferrec.Interactions.from_arrays([3, 3], ["jam", "tea"])
        >>> result = ferrec.evaluate(ferrec.Popularity().fit(train), test, ["recall@1"], exclude_seen=False)
        >>> result.by_item({"jam": "sweet", "tea": "drink"})
               recall@1  users
        drink    1.0000      1
        sweet    0.0000      1
        """
        wanted = {name: kind for name, kind in self._kinds().items() if kind[0] in HITS}
        if not wanted:
            raise DataError("metrics", "none of ranks was asked for", advice=f"name one of {', '.join(HITS)}")
        hits = self.hits
        if isinstance(groups, str) and groups == "popularity":
            pairs = np.bincount(hits.codes, minlength=len(hits.items))
            codes, names = by_count(hits.popularity, bins, pairs)
        else:
            codes, names = by_id(groups, hits.items.values, "items")
        of_pairs = codes[hits.codes]
        cuts = cuts_of(wanted, HITS)
        parts = {}
        for at, name in enumerate(names):
            some = hits.select(of_pairs == at)
            if not len(some.codes):
                continue
            table, rows = _rust.rank_metrics(
                some.indptr, some.ranks, some.gains, len(hits.items), cuts, threads(None)
            )
            values = named_hits(table, cuts)
            per_user = {metric: values[metric] for metric in wanted}
            parts[name] = Evaluation(
                {metric: mean(column) for metric, column in per_user.items()},
                per_user,
                self.users[rows],
                self.activity[rows],
                some.of_users(rows),
            )
        if not parts:
            raise ParameterError("groups", "names none of the true items")
        return Comparison(parts)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values per user, in plain Python values that go into JSON.

        Returns
        -------
        dict
            ``metrics`` (None where one is not defined) and the counts, by the names of the attributes.
        """
        counts = ("n_users", "skipped_users", "skipped_items", "skipped_pairs", "seen_pairs", "empty_users")
        metrics = {name: None if math.isnan(value) else value for name, value in self.metrics.items()}
        return {"metrics": metrics, **{name: getattr(self, name) for name in counts}}

    def __repr__(self) -> str:
        """A table of the metrics, and a line about what was not counted."""
        lines = [f"Evaluation({_count(self.n_users, 'user')})"]
        lines += aligned(((name, f"{value:.4f}") for name, value in self.metrics.items()), "  ")
        lines += [f"  not counted: {line}" for line in self.not_counted]
        return "\n".join(lines)

    @property
    def not_counted(self) -> list[str]:
        """What of the test data did not count, if anything, in sentences."""
        lines = []
        if self.skipped_pairs:
            unknown = f"{_count(self.skipped_users, 'user')} and {_count(self.skipped_items, 'item')}"
            lines.append(f"{unknown} that the model does not know ({_count(self.skipped_pairs, 'pair')})")
        if self.seen_pairs:
            lines.append(f"{_count(self.seen_pairs, 'pair')} already seen in training")
        if self.empty_users:
            lines.append(f"{_count(self.empty_users, 'user')} left without a true item")
        return lines

    def _kinds(self) -> dict[str, tuple[str, int]]:
        return parse_metrics(list(self.metrics))

    def _of_users(self, rows: NDArray[np.int64]) -> "Evaluation":
        per_user = {name: values[rows] for name, values in self.per_user.items()}
        return Evaluation(
            {name: mean(values) for name, values in per_user.items()},
            per_user,
            self.users[rows],
            self.activity[rows],
            self.hits.of_users(rows),
        )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


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

    evaluations: dict[str, Evaluation]

    def __getitem__(self, name: str) -> Evaluation:
        """The evaluation of one model by its name; `KeyError` lists those there are."""
        if not isinstance(name, str) or name not in self.evaluations:
            there = ", ".join(map(str, self.evaluations))
            raise UnknownIdError("name", "is none of the evaluations", name, advice=f"there are {there}")
        return self.evaluations[name]

    @checks_keywords
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
            The randomization test, which flips the signs of the users' differences at random (Fisher 1935; the one
            that Smucker, Allan & Carterette, CIKM 2007, recommend), the paired t-test, or Wilcoxon's signed-rank
            test.
        level : float in (0, 1), default 0.95
            Of the bootstrap intervals.
        n_resamples : int, default 10000
            Samples of the bootstrap, and of the randomization test, whose least p-value is 1 / (n_resamples + 1).
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
        if not isinstance(metric, str):
            raise ParameterTypeError("metric", "expected the name of one", metric)
        names = list(self.evaluations)
        if baseline is not None:
            self[baseline]
            pairs = [(name, baseline) for name in names if name != baseline]
        else:
            pairs = list(combinations(names, 2))
        if not pairs:
            raise ParameterError("models", "a test needs two", 1)
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
                raise ParameterError(
                    "metric", f"{name!r} has no values per user of {metric!r}", advice=f"there are {there}"
                )
        left, right = a.per_user[metric], b.per_user[metric]
        if not np.array_equal(a.users, b.users):
            _, at_a, at_b = np.intersect1d(a.users, b.users, assume_unique=True, return_indices=True)
            left, right = left[at_a], right[at_b]
        differences: NDArray[np.float64] = left - right
        differences = differences[~np.isnan(differences)]
        if not len(differences):
            raise DataError(
                "models", f"{first!r} and {second!r} have no user in common with a value of {metric!r}"
            )
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
