"""The parameters under which a model does best on held-out data, found by Optuna."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from ferrec.data.interactions import Interactions
from ferrec.data.splits import leave_last_out
from ferrec.errors import (
    DataError,
    ParameterError,
    ParameterTypeError,
    checks_keywords,
    did_you_mean,
    require,
)
from ferrec.evaluation._align import check_model
from ferrec.evaluation._cross_validation import Pair, Splits, check_metrics, each_split, measure
from ferrec.evaluation.metrics import LOWER_IS_BETTER
from ferrec.io.atomic import replacing
from ferrec.io.progress import bar
from ferrec.io.tables import PathLike, as_path
from ferrec.kernels.arguments import Duration, Progress, as_int, as_seconds
from ferrec.models.base import Recommender
from ferrec.models.estimator import clone
from ferrec.models.search_space import Scalar, SearchSpace

__all__ = ["Trial", "Tuning", "tune"]

_FAILURES = (ValueError, TypeError, MemoryError)
"""What ends a trial and not the search."""

Key: TypeAlias = tuple[tuple[str, Scalar], ...]


@dataclass(eq=False)
class Trial:
    """One set of parameters, and how it did.

    Attributes
    ----------
    number : int
        From 0, in the order tried.
    params : dict
        The parameters drawn; the others are the model's.
    state : {"complete", "pruned", "failed"}
        Pruned: stopped after a fold because it was worse than half of those before it.
    folds : list of float
        The metric on each split; fewer where it was pruned.
    seconds : float
        Wall time.
    error : str or None
        Why it failed.
    """

    number: int
    params: dict[str, Scalar]
    state: Literal["complete", "pruned", "failed"] = "failed"
    folds: list[float] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None

    @property
    def value(self) -> float | None:
        """The mean of the folds; None where there are none."""
        return float(np.mean(self.folds)) if self.folds else None


@dataclass(frozen=True, eq=False, repr=False)
class Tuning:
    """What was tried, and the best of it.

    Attributes
    ----------
    model : Recommender
        With the best parameters, fitted on all the data.
    metric : str
        What was maximized, or minimized where less is better.
    best : Trial
        The best that was completed.
    trials : tuple of Trial
        All, in the order tried.
    """

    model: Recommender[Any]
    metric: str
    best: Trial
    trials: tuple[Trial, ...]

    @property
    def best_params(self) -> dict[str, Scalar]:
        """The parameters of the best trial."""
        return dict(self.best.params)

    @property
    def best_value(self) -> float:
        """The metric of the best trial."""
        return float(np.mean(self.best.folds))

    def to_dicts(self) -> list[dict[str, Any]]:
        """The trials as rows: number, state, value, each fold, seconds, the parameters, the error."""
        return _rows(self.trials, self.metric)

    def to_arrow(self) -> Any:
        """The rows of `to_dicts` as a pyarrow table (extra ``parquet``); values of mixed types become text."""
        return _table(self.to_dicts())

    def to_pandas(self) -> Any:
        """The rows of `to_dicts` as a pandas DataFrame."""
        return require("pandas", "pandas").DataFrame(self.to_dicts())

    def save(self, path: PathLike) -> None:
        """Write the trials to a ``.parquet``, ``.csv`` or ``.json`` file.

        Parameters
        ----------
        path : str or path
            The file; its ending says how.

        Raises
        ------
        ValueError
            Another ending.
        MissingExtraError
            Parquet and CSV need pyarrow (extra ``parquet``).
        OSError
            It cannot be written.
        """
        _write(self.to_dicts(), as_path("path", path))

    def __repr__(self) -> str:
        """The best, and how many were tried."""
        count = {state: sum(trial.state == state for trial in self.trials) for state in ("pruned", "failed")}
        also = "".join(f", {n} {state}" for state, n in count.items() if n)
        params = ", ".join(f"{name}={value!r}" for name, value in self.best.params.items())
        return f"Tuning({self.metric} {self.best_value:.4f} of {len(self.trials)} trials{also}: {params})"


@checks_keywords
def tune(
    model: Recommender[Any] | type[Recommender[Any]],
    data: Interactions,
    splits: Splits = leave_last_out,
    metric: str = "ndcg@10",
    *,
    n_trials: int = 50,
    space: SearchSpace | None = None,
    patience: int | None = None,
    timeout: Duration | None = None,
    exclude_seen: bool = True,
    item_features: Any = None,
    seed: int = 0,
    path: PathLike | None = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Tuning:
    """Find the parameters under which a model does best, and fit it with them.

    The data are split once; all trials share the parts. The first trial has the model's own parameters, as far as
    they lie in the search space, so that the best is not worse than they are. The others are drawn by Optuna's
    tree-structured Parzen estimator (Bergstra et al., NIPS 2011). With several splits, a trial whose mean so far is
    worse than the median of the earlier ones at that split is given up. Judge the result on data that are not in
    `data`: its own value is the best of many, and so too good.

    Parameters
    ----------
    model : Recommender, or its class
        Parameters outside the space stay as they are.
    data : Interactions
        What may be used for learning and validation.
    splits
        As in [`cross_validate`][ferrec.cross_validate].
    metric : str, default "ndcg@10"
        One of `evaluate`, or ``"rmse"``, ``"mae"``, ``"mse"``. Maximized; errors, Gini and popularity minimized.
    n_trials : int, default 50
        At most.
    space : mapping of str to Int, Float or Choice, optional
        What to try, from `ferrec.models`; by default what the model declares as its ``search_space``.
    patience : int, optional
        Stop after so many trials without a better one.
    timeout : duration, optional
        Start no trial later than this.
    exclude_seen, item_features
        As in `evaluate`.
    seed : int, default 0
        The same seed gives the same trials.
    path : str or path, optional
        A ``.parquet``, ``.csv`` or ``.json`` file, written anew after every trial: a search that is stopped
        (Ctrl-C, a crash) leaves what it has found.
    n_threads : int, optional
        By default the model's own.
    progress : bool or callable
        True draws a bar; a callable gets ``(done, total)`` in trials.

    Returns
    -------
    Tuning
        The fitted model, its parameters, and all trials as a table.

    Raises
    ------
    ValueError
        An unknown metric, an empty space, a parameter that the model does not have, no split, a table with
        another ending.
    TypeError
        `data` is no `Interactions`, or the splits are no pairs of them.
    DataError
        No trial was completed: says why the first failed.
    MissingExtraError
        Optuna is not installed (extra ``tune``); for a table in Parquet or CSV pyarrow (extra ``parquet``).
    OSError
        The table cannot be written.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.models import Choice
    >>> from ferrec.testing import checkerboard
    >>> found = ferrec.tune(
    ...     ferrec.ItemKNN, checkerboard(), 3, "hit_rate@3", n_trials=2, space={"k": Choice(1, 5)}
    ... )
    >>> found.model.users == found.model.items, len(found.trials) <= 2
    (True, True)
    """
    optuna = require("optuna", "tune")
    if not isinstance(model, type) or not issubclass(model, Recommender):
        check_model(model)
    base = model() if isinstance(model, type) else clone(model)
    if n_threads is not None:
        base.set_params(n_threads=n_threads)
    space = base.search_space if space is None else space
    if not isinstance(space, Mapping):
        raise ParameterTypeError("space", "expected what to try by the names of parameters", space)
    if not space:
        raise ParameterError(
            "space", f"{type(base).__name__} has nothing to tune", advice="give the parameters to try"
        )
    for name in space:
        if name not in base.get_params():
            advice = did_you_mean(name, base.get_params())
            raise ParameterError(
                "space", f"must name parameters of {type(base).__name__}", name, advice=advice
            )
    if not isinstance(metric, str):
        raise ParameterError("metric", "expected the name of one", metric)
    try:
        check_metrics(metric)
    except ParameterError as error:
        raise error.renamed("metric") from None
    n_trials, seed = as_int("n_trials", n_trials, minimum=1), as_int("seed", seed, minimum=0)
    allowed = None if patience is None else as_int("patience", patience, minimum=1)
    seconds = None if timeout is None else as_seconds("timeout", timeout)
    kept = None if path is None else as_path("path", path)
    if kept is not None:
        check_ending(kept)
    parts = list(each_split(data, splits))
    if not parts:
        raise ParameterError("splits", "there are none")

    def score(candidate: Recommender[Any], pair: Pair) -> float:
        candidate.fit(pair[0])
        options = {"exclude_seen": exclude_seen, "item_features": item_features, "n_threads": n_threads}
        return measure(candidate, pair[1], metric, **options)[0][metric]

    lower = metric.partition("@")[0] in LOWER_IS_BETTER
    search = _Search(base, space, parts, score, lower)
    with bar(progress, "tune") as callback, _quiet(optuna):
        study = optuna.create_study(
            direction="minimize" if lower else "maximize",
            sampler=optuna.samplers.TPESampler(seed=seed % 2**32),
            pruner=optuna.pruners.MedianPruner(),
        )
        own = {name: value for name, value in base.get_params().items() if name in space}
        study.enqueue_trial({name: value for name, value in own.items() if value in space[name]})

        def after(study: Any, _: Any) -> None:
            if kept is not None:
                _write(_rows(search.trials, metric), kept)
            if callback is not None:
                callback(len(search.trials), n_trials)
            if allowed is not None and search.since_best >= allowed:
                study.stop()

        study.optimize(search, n_trials=n_trials, timeout=seconds, catch=_FAILURES, callbacks=[after])
    if search.best is None:
        reason = next((trial.error for trial in search.trials if trial.error), "the time was up")
        raise DataError("trials", f"none of {len(search.trials)} was completed; the first says: {reason}")
    best = clone(base).set_params(**search.best.params).fit(data)
    return Tuning(best, metric, search.best, tuple(search.trials))


class _Search:
    """Optuna's objective, and what it has seen."""

    def __init__(
        self,
        base: Recommender[Any],
        space: SearchSpace,
        parts: list[Pair],
        score: Callable[[Recommender[Any], Pair], float],
        lower: bool,
    ) -> None:
        self._base, self._space, self._parts = base, space, parts
        self._score, self._lower = score, lower
        self._known: dict[Key, Trial] = {}
        self._best_mean = float("nan")
        self.trials: list[Trial] = []
        self.best: Trial | None = None

    @property
    def since_best(self) -> int:
        """Trials since the best one; 0 where there is none yet."""
        return 0 if self.best is None else len(self.trials) - 1 - self.best.number

    def __call__(self, asked: Any) -> float:
        params = {name: one.suggest(asked, name) for name, one in self._space.items()}
        trial = Trial(len(self.trials), params)
        self.trials.append(trial)
        start = time.perf_counter()
        try:
            return self._run(asked, trial)
        except _FAILURES as error:
            trial.error = f"{type(error).__name__}: {error}"
            raise
        finally:
            trial.seconds = time.perf_counter() - start

    def _run(self, asked: Any, trial: Trial) -> float:
        """The mean over the splits, unless it is given up before; what was computed before is not again."""
        key = tuple(trial.params.items())
        before = self._known.setdefault(key, trial)
        candidate = clone(self._base).set_params(**trial.params)
        for step, pair in enumerate(self._parts):
            known = before is not trial and step < len(before.folds)
            trial.folds.append(before.folds[step] if known else self._score(candidate, pair))
            mean = float(np.mean(trial.folds))
            if np.isnan(mean):
                raise ParameterError("metric", f"is not defined on split {step + 1}")
            asked.report(mean, step)
            if step + 1 < len(self._parts) and asked.should_prune():
                trial.state = "pruned"
                raise require("optuna", "tune").TrialPruned
        trial.state = "complete"
        if self.best is None or (mean < self._best_mean if self._lower else mean > self._best_mean):
            self.best, self._best_mean = trial, mean
        return mean


def _rows(trials: Sequence[Trial], metric: str) -> list[dict[str, Any]]:
    names = list(trials[0].params)
    n_folds = max(len(trial.folds) for trial in trials)
    return [
        {
            "number": trial.number,
            "state": trial.state,
            metric: trial.value,
            **{f"fold_{at + 1}": trial.folds[at] if at < len(trial.folds) else None for at in range(n_folds)},
            "seconds": round(trial.seconds, 3),
            **{f"param_{name}": trial.params.get(name) for name in names},
            "error": trial.error,
        }
        for trial in trials
    ]


def _table(rows: list[dict[str, Any]]) -> Any:
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    one_type = {name: _one_type(values) for name, values in columns.items()}
    return require("pyarrow", "parquet").table(one_type)


def _write(rows: list[dict[str, Any]], target: Path) -> None:
    """All at once: who is stopped while writing leaves the table of the trial before."""
    check_ending(target)
    with replacing(target) as file:
        if target.suffix == ".json":
            file.write((json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode())
        elif target.suffix == ".csv":
            require("pyarrow.csv", "parquet").write_csv(_table(rows), file)
        else:
            require("pyarrow.parquet", "parquet").write_table(_table(rows), file)


@contextmanager
def _quiet(optuna: Any) -> Iterator[None]:
    """Trials are reported by the progress bar and the table, not by Optuna's log."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _one_type(values: list[Any]) -> list[Any]:
    kinds = {type(value) for value in values if value is not None}
    return values if len(kinds) < 2 else [None if value is None else str(value) for value in values]


def check_ending(path: Path) -> None:
    """Refuse a name that does not say how trials are written, before any work."""
    if path.suffix not in (".parquet", ".csv", ".json"):
        raise ParameterError(str(path), "expected a name that ends in .parquet, .csv or .json")
