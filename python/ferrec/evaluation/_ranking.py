"""Ranking metrics of a model on held-out interactions, over all items."""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec._progress import bar
from ferrec.errors import DataError
from ferrec.interactions import Interactions
from ferrec.kernels import Progress, ranking_metrics, to_scipy
from ferrec.labels import Labels
from ferrec.models._base import Recommender

__all__ = ["Comparison", "Evaluation", "compare", "evaluate"]

Model: TypeAlias = Recommender[Any]

METRICS = (
    "precision@10",
    "recall@10",
    "f1@10",
    "hit_rate@10",
    "ndcg@10",
    "map@10",
    "mrr@10",
    "coverage@10",
)
_NAMES = (*_rust.metrics, "coverage")
_BLOCK = 8192
"""Users evaluated at once: what bounds the memory."""


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The metrics of one model, and what of the test data did not count.

    Attributes
    ----------
    metrics : dict of str to float
        The mean over the `n_users`; coverage is one number of all their lists together.
    per_user : dict of str to ndarray of float64, shape (n_users,)
        The values behind the means, aligned with `users`. Coverage has none.
    users : ndarray of labels, shape (n_users,)
        The users that had a true item, ascending.
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
    >>> result = evaluate(ferrec.Popularity().fit(train), test, ["recall@1", "coverage@1"])
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
    skipped_users: int
    skipped_items: int
    skipped_pairs: int
    seen_pairs: int
    empty_users: int

    @property
    def n_users(self) -> int:
        """The number of users behind the means."""
        return len(self.users)

    def __getitem__(self, metric: str) -> float:
        """One metric by its name; `KeyError` lists those there are."""
        if metric not in self.metrics:
            raise KeyError(f"{metric!r} was not asked for; there are {', '.join(self.metrics)}")
        return self.metrics[metric]

    def to_dict(self) -> dict[str, Any]:
        """Everything but the values per user, in plain Python values that go into JSON.

        Returns
        -------
        dict
            ``metrics`` and the counts, by the names of the attributes.
        """
        counts = ("n_users", "skipped_users", "skipped_items", "skipped_pairs", "seen_pairs", "empty_users")
        return {"metrics": dict(self.metrics), **{name: getattr(self, name) for name in counts}}

    def __repr__(self) -> str:
        """A table of the metrics, and a line about what was not counted."""
        width = max(map(len, self.metrics))
        lines = [f"Evaluation({_count(self.n_users, 'user')})"]
        lines += [f"  {name:<{width}}  {value:.4f}" for name, value in self.metrics.items()]
        lines += [f"  not counted: {line}" for line in _not_counted(self)]
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """The evaluations of several models on the same test data; its `repr` is a table.

    Attributes
    ----------
    evaluations : dict of str to Evaluation
        By the names that were given.

    Examples
    --------
    >>> import ferrec
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> test = ferrec.Interactions.from_arrays([2], ["milk"])
    >>> compare({"popular": ferrec.Popularity().fit(train)}, test, ["recall@1"])
             recall@1  users
    popular    1.0000      1
    """

    evaluations: dict[str, Evaluation]

    def __getitem__(self, name: str) -> Evaluation:
        """The evaluation of one model by its name; `KeyError` lists those there are."""
        if name not in self.evaluations:
            raise KeyError(f"no model {name!r}; there are {', '.join(self.evaluations)}")
        return self.evaluations[name]

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
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
        )


def evaluate(
    model: Model,
    test: Interactions,
    metrics: Sequence[str] = METRICS,
    *,
    exclude_seen: bool = True,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Evaluation:
    """How well a model's recommendations meet what its users did next.

    Every pair of a user and an item in the test data is a true one, whatever it weighs (so select the events
    that count first). Each user's list is ranked from all items of the model, none sampled. The test data
    meets the model by labels: it need not share codes with the training data. Users and items that the model
    does not know cannot be right or wrong; they are left out and counted.

    Parameters
    ----------
    model : Recommender
        Fitted, on data without the test events.
    test : Interactions
        What should have been recommended.
    metrics : sequence of str
        A name and a cut-off each, such as ``"ndcg@10"``. There are ``precision``, ``recall``, ``f1``,
        ``hit_rate``, ``ndcg``, ``map``, ``mrr``, defined in
        [`ranking_metrics`][ferrec.kernels.ranking_metrics], and ``coverage``, the share of the model's items
        in the lists of the users counted.
    exclude_seen : bool
        Do not recommend what the user had in training. True items that the user had in training then do not
        count as true either: nobody could find them. Use False where things are bought again.
    n_threads : int, optional
        Threads; by default the model's own for its lists, and for the metrics what CPU affinity and cgroup
        quota allow.
    progress : bool or callable
        True draws a bar (extra ``progress``); a callable gets ``(done, total)`` in users.

    Returns
    -------
    Evaluation
        Means over the users that have a true item, the values of each user, and counts of what was left out.

    Raises
    ------
    ValueError
        An unknown metric; the text lists those there are.
    DataError
        No user is left that has a true item.
    TypeError
        `test` is no `Interactions`.
    NotFittedError
        The model is not fitted.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.evaluation import evaluate
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "jam", "tea", "jam", "tea"])
    >>> test = ferrec.Interactions.from_arrays([3], ["jam"])
    >>> evaluate(ferrec.ItemKNN(k=5).fit(train), test, ["ndcg@10", "hit_rate@1"]).metrics
    {'ndcg@10': 1.0, 'hit_rate@1': 1.0}
    >>> evaluate(ferrec.ItemKNN(k=5).fit(train), test, ["ndgc@10"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: metrics: 'ndgc@10' is unknown; there are precision@k, recall@k, ..., coverage@k with k from 1
    """
    wanted = parse_metrics(metrics)
    if not isinstance(test, Interactions):
        raise TypeError(f"test: expected Interactions, got {type(test).__name__}")
    seen = model._fitted().seen
    if n_threads is not None and "n_threads" in model.get_params():
        # A shallow copy shares what was learned; the caller's model stays as it is.
        model = copy.copy(model).set_params(n_threads=n_threads)
    aligned = align(model, test)
    ks = sorted({k for _, k in wanted.values()})
    n_items = len(model.items)

    rows: list[NDArray[Any]] = []
    parts: list[dict[str, NDArray[np.float64]]] = []
    recommended = {k: np.zeros(n_items, np.bool_) for k in ks}
    seen_pairs = 0
    with bar(progress, "evaluate") as callback:
        for start in range(0, len(aligned.users), _BLOCK):
            block = slice(start, start + _BLOCK)
            truth, codes = aligned.truth[block], aligned.users[block]
            if exclude_seen:
                truth, left_out = without(truth, to_scipy(seen)[codes])
                seen_pairs += left_out
            some = np.flatnonzero(np.diff(truth.indptr))
            if len(some):
                recs = model.recommend(model.users.decode(codes[some]), ks[-1], exclude_seen=exclude_seen)
                values = ranking_metrics(recs.to_csr(), truth[some], ks, n_threads=n_threads)
                parts.append({name: values[name] for name in wanted if not name.startswith("coverage")})
                rows.append(codes[some])
                for k in ks:
                    recommended[k][recs.codes[recs.ranks <= k]] = True
            if callback is not None:
                callback(min(start + _BLOCK, len(aligned.users)), len(aligned.users))

    counted = np.concatenate(rows) if rows else np.empty(0, np.int32)
    per_user = {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}
    means = {
        name: float(recommended[k].mean() if kind == "coverage" else per_user[name].mean())
        for name, (kind, k) in wanted.items()
        if len(counted)
    }
    result = Evaluation(
        metrics=means,
        per_user=per_user,
        users=model.users.decode(counted),
        skipped_users=aligned.skipped_users,
        skipped_items=aligned.skipped_items,
        skipped_pairs=aligned.skipped_pairs,
        seen_pairs=seen_pairs,
        empty_users=aligned.known_users - len(counted),
    )
    if not result.n_users:
        reasons = "; ".join(_not_counted(result)) or "it has no events"
        raise DataError(f"test: no user has a true item that the model could recommend: {reasons}")
    return result


def compare(
    models: Mapping[str, Model],
    test: Interactions,
    metrics: Sequence[str] = METRICS,
    *,
    exclude_seen: bool = True,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Comparison:
    """Evaluate several models on the same test data.

    Parameters
    ----------
    models : mapping of str to Recommender
        Fitted models by the names that the table shows.
    test, metrics, exclude_seen, n_threads, progress
        As in `evaluate`.

    Returns
    -------
    Comparison
        Its `repr` is a table of models × metrics.

    Raises
    ------
    ValueError
        No models, or as in `evaluate`.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.evaluation import compare
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "jam", "tea", "jam", "tea"])
    >>> test = ferrec.Interactions.from_arrays([3], ["jam"])
    >>> models = {"item-knn": ferrec.ItemKNN(k=5).fit(train), "random": ferrec.Random().fit(train)}
    >>> compare(models, test, ["hit_rate@1", "coverage@1"])
              hit_rate@1  coverage@1  users
    item-knn      1.0000      0.5000      1
    random        1.0000      0.5000      1
    """
    if not models:
        raise ValueError("models: expected at least one")
    parse_metrics(metrics)
    return Comparison(
        {
            name: evaluate(
                model, test, metrics, exclude_seen=exclude_seen, n_threads=n_threads, progress=progress
            )
            for name, model in models.items()
        }
    )


def parse_metrics(metrics: Sequence[str]) -> dict[str, tuple[str, int]]:
    """The kind and the cut-off of each metric, by its name."""
    listed = [metrics] if isinstance(metrics, str) else list(metrics)
    exist = f"there are {', '.join(f'{name}@k' for name in _NAMES)} with k from 1"
    if not listed:
        raise ValueError(f"metrics: name at least one; {exist}")
    parsed = {}
    for metric in listed:
        found = re.fullmatch(r"([a-z0-9_]+)@([1-9][0-9]{0,8})", metric) if isinstance(metric, str) else None
        if found is None or found[1] not in _NAMES:
            raise ValueError(f"metrics: {metric!r} is unknown; {exist}")
        parsed[metric] = (found[1], int(found[2]))
    return parsed


@dataclass(frozen=True, eq=False)
class Aligned:
    """Test interactions in the codes of a model."""

    users: NDArray[np.int32]
    """The known users that have a true item, ascending."""
    truth: Any
    """Their items: csr_array, users × the model's items."""
    known_users: int
    skipped_users: int
    skipped_items: int
    skipped_pairs: int


def align(model: Model, test: Interactions) -> Aligned:
    """The test pairs whose user and item the model knows, and counts of the others."""
    matrix = test.matrix
    user_codes = _codes(test.users, model.users, np.diff(matrix.indptr) > 0)
    touched = np.zeros(test.n_items, np.bool_)
    touched[matrix.indices] = True
    item_codes = _codes(test.items, model.items, touched)

    rows = np.repeat(user_codes, np.diff(matrix.indptr))
    columns = item_codes[matrix.indices]
    known = (rows >= 0) & (columns >= 0)
    shape = (len(model.users), len(model.items))
    truth = scipy.sparse.coo_array((matrix.data[known], (rows[known], columns[known])), shape=shape).tocsr()
    users = np.flatnonzero(np.diff(truth.indptr)).astype(np.int32)
    return Aligned(
        users=users,
        truth=truth[users],
        known_users=int((user_codes >= 0).sum()),
        skipped_users=int((user_codes == -1).sum()),
        skipped_items=int((item_codes == -1).sum()),
        skipped_pairs=int((~known).sum()),
    )


def _codes(labels: Labels, known: Labels, occurs: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The other side's code of each label that occurs; -1 where it is unknown, -2 where it does not occur."""
    codes = np.full(len(labels), -2, np.int32)
    if labels == known:  # parts of one split share their labels
        codes[occurs] = np.flatnonzero(occurs)
    else:
        codes[occurs] = known.encode(labels.decode(np.flatnonzero(occurs)), missing="ignore")
    return codes


def without(truth: Any, seen: Any) -> tuple[Any, int]:
    """The entries of `truth` that are not in `seen`, and how many were."""
    n_items = max(truth.shape[1], 1)
    rows = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))
    own = rows * n_items + truth.indices
    others = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)) * n_items + seen.indices
    kept = ~np.isin(own, others)
    entries = (truth.data[kept], (rows[kept], truth.indices[kept]))
    return scipy.sparse.coo_array(entries, shape=truth.shape).tocsr(), int((~kept).sum())


def _not_counted(result: Evaluation) -> list[str]:
    """What of the test data did not count, if anything."""
    lines = []
    if result.skipped_pairs:
        unknown = f"{_count(result.skipped_users, 'user')} and {_count(result.skipped_items, 'item')}"
        lines.append(f"{unknown} that the model does not know ({_count(result.skipped_pairs, 'pair')})")
    if result.seen_pairs:
        lines.append(f"{_count(result.seen_pairs, 'pair')} already seen in training")
    if result.empty_users:
        lines.append(f"{_count(result.empty_users, 'user')} left without a true item")
    return lines


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
