"""The same model on several splits of the data."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from ferrec.data.interactions import Interactions
from ferrec.data.splits import k_fold
from ferrec.errors import ParameterError, ParameterTypeError, UnknownIdError, checks_keywords
from ferrec.evaluation._align import check_model
from ferrec.evaluation._ranking import evaluate
from ferrec.evaluation._ratings import evaluate_ratings
from ferrec.evaluation._results import Evaluation
from ferrec.evaluation.metrics import METRICS, RATINGS, parse_metrics
from ferrec.io.text import table
from ferrec.kernels.arguments import Progress
from ferrec.models.base import Recommender
from ferrec.models.estimator import clone

__all__ = ["CrossValidation", "Fold", "Splits", "cross_validate"]

Pair: TypeAlias = tuple[Interactions, Interactions]
Splits: TypeAlias = int | Pair | Iterable[Pair] | Callable[[Interactions], Pair | Iterable[Pair]]
"""How the data are split: into so many folds, as given, or by a function of the data such as those of
`ferrec.split`."""


@dataclass(frozen=True, eq=False)
class Fold:
    """One split: what was measured, and how long it took.

    Attributes
    ----------
    metrics : dict of str to float
        As asked for.
    evaluation : Evaluation or None
        Behind the ranking metrics; None where only errors of ratings were asked for.
    train_events, test_events : int
        The sizes of the parts.
    fit_seconds, evaluate_seconds : float
        Wall time.
    """

    metrics: dict[str, float]
    evaluation: Evaluation | None
    train_events: int
    test_events: int
    fit_seconds: float
    evaluate_seconds: float


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """The metrics of a model on several splits; its `repr` is a table.

    Attributes
    ----------
    folds : tuple of Fold
        In the order of the splits.
    """

    folds: tuple[Fold, ...]

    @property
    def metrics(self) -> dict[str, float]:
        """The mean of each metric over the folds."""
        return {name: float(np.mean(self._column(name))) for name in self.folds[0].metrics}

    @property
    def deviations(self) -> dict[str, float]:
        """The standard deviation of each metric between folds (n − 1 in the denominator); NaN of a single one."""
        if len(self.folds) < 2:
            return dict.fromkeys(self.folds[0].metrics, float("nan"))
        return {name: float(np.std(self._column(name), ddof=1)) for name in self.folds[0].metrics}

    def _column(self, name: str) -> list[float]:
        return [fold.metrics[name] for fold in self.folds]

    def __getitem__(self, metric: str) -> float:
        """The mean of one metric; `KeyError` lists those there are."""
        if metric not in self.folds[0].metrics:
            there = ", ".join(self.folds[0].metrics)
            raise UnknownIdError("metric", "was not asked for", metric, advice=f"there are {there}")
        return self.metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values per user, in plain Python values that go into JSON."""

        def plain(metrics: dict[str, float]) -> dict[str, float | None]:
            return {name: None if np.isnan(value) else value for name, value in metrics.items()}

        folds = [
            {
                "metrics": plain(fold.metrics),
                "train_events": fold.train_events,
                "test_events": fold.test_events,
                "fit_seconds": round(fold.fit_seconds, 3),
                "evaluate_seconds": round(fold.evaluate_seconds, 3),
            }
            for fold in self.folds
        ]
        return {"metrics": plain(self.metrics), "deviations": plain(self.deviations), "folds": folds}

    def __repr__(self) -> str:
        """One line for each fold, one for the mean, one for the deviation."""
        names = list(self.folds[0].metrics)
        rows = [["", *names, "train", "test", "fit s"]]
        for number, fold in enumerate(self.folds, 1):
            values = [f"{value:.4f}" for value in fold.metrics.values()]
            sizes = [f"{fold.train_events:,}", f"{fold.test_events:,}", f"{fold.fit_seconds:.1f}"]
            rows.append([f"fold {number}", *values, *sizes])
        for label, means in (("mean", self.metrics), ("deviation", self.deviations)):
            rows.append([label, *(f"{value:.4f}" for value in means.values()), "", "", ""])
        return table(rows)


@checks_keywords
def cross_validate(
    model: Recommender[Any],
    data: Interactions,
    splits: Splits = 5,
    metrics: Sequence[str] = METRICS,
    *,
    exclude_seen: bool = True,
    item_features: Any = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> CrossValidation:
    """Fit and evaluate a model on each of several splits.

    Parameters
    ----------
    model : Recommender
        With the parameters to judge. It is not changed: each fold fits a new one.
    data : Interactions
        Everything there is.
    splits : int, pair, iterable of pairs, or callable
        How to split the data into (train, test): random folds, so many; one pair or several made before; or a
        function of the data that returns either, such as ``ferrec.split.leave_last_out`` or
        ``lambda data: ferrec.split.rolling(data, 7 * 86400)``. Pairs that are made one at a time are used one at a
        time.
    metrics : sequence of str
        Those of [`evaluate`][ferrec.evaluate], and of ratings ``"rmse"``, ``"mae"``, ``"mse"``.
    exclude_seen, item_features
        As in `evaluate`.
    n_threads : int, optional
        By default the model's own.
    progress : bool or callable
        True draws bars of each fold's fit and evaluation; a callable gets ``(done, total)`` of each.

    Returns
    -------
    CrossValidation

    Raises
    ------
    ValueError
        An unknown metric, or no split.
    TypeError
        `data` is no `Interactions`, or the splits are no pairs of them.
    DataError
        As `evaluate`, or as the split.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.testing import checkerboard
    >>> result = ferrec.cross_validate(ferrec.ItemKNN(k=5), checkerboard(), 3, ["hit_rate@6"])
    >>> result["hit_rate@6"], len(result.folds)
    (1.0, 3)
    """
    check_model(model)
    check_metrics(metrics)
    if n_threads is not None:
        model = clone(model).set_params(n_threads=n_threads)
    folds = []
    for train, test in each_split(data, splits):
        start = time.perf_counter()
        fitted = clone(model).fit(train, progress=progress)
        between = time.perf_counter()
        found, evaluation = measure(
            fitted,
            test,
            metrics,
            exclude_seen=exclude_seen,
            item_features=item_features,
            n_threads=n_threads,
            progress=progress,
        )
        seconds = between - start, time.perf_counter() - between
        folds.append(Fold(found, evaluation, len(train), len(test), *seconds))
    if not folds:
        raise ParameterError("splits", "there are none")
    return CrossValidation(tuple(folds))


def each_split(data: Interactions, splits: Splits) -> Iterator[Pair]:
    """The pairs that `splits` stands for, as they are made."""
    if not isinstance(data, Interactions):
        raise ParameterTypeError("data", "expected Interactions", type(data))
    if isinstance(splits, int | np.integer):
        pairs: Any = k_fold(data, int(splits))
    else:
        pairs = splits(data) if callable(splits) else splits
    if _is_pair(pairs):
        pairs = [pairs]
    if not isinstance(pairs, Iterable):
        raise ParameterTypeError("splits", "expected pairs (train, test) of Interactions", type(pairs))
    for pair in pairs:
        if not _is_pair(pair):
            raise ParameterTypeError("splits", "expected pairs (train, test) of Interactions", pair)
        yield cast(Pair, pair)


def _is_pair(value: object) -> bool:
    return (
        isinstance(value, tuple) and len(value) == 2 and all(isinstance(one, Interactions) for one in value)
    )


def check_metrics(metrics: Sequence[str]) -> None:
    """Refuse unknown names before any work."""
    if not isinstance(metrics, str | Sequence):
        raise ParameterTypeError("metrics", "expected names", metrics)
    listed = [metrics] if isinstance(metrics, str) else list(metrics)
    ranking = [metric for metric in listed if metric not in RATINGS]
    if ranking or not listed:
        parse_metrics(ranking)


def measure(
    model: Recommender[Any],
    test: Interactions,
    metrics: Sequence[str],
    *,
    exclude_seen: bool,
    item_features: Any,
    n_threads: int | None,
    progress: Progress = False,
) -> tuple[dict[str, float], Evaluation | None]:
    """Metrics of lists and of ratings, in the order asked for."""
    listed = [metrics] if isinstance(metrics, str) else list(metrics)
    ranking = [metric for metric in listed if metric not in RATINGS]
    found: dict[str, float] = {}
    evaluation = None
    if ranking:
        evaluation = evaluate(
            model,
            test,
            ranking,
            exclude_seen=exclude_seen,
            item_features=item_features,
            n_threads=n_threads,
            progress=progress,
        )
        found |= evaluation.metrics
    if len(ranking) < len(listed):
        found |= evaluate_ratings(model, test, progress=progress)
    return {metric: found[metric] for metric in listed}, evaluation
