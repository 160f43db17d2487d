"""Metrics of a model's lists on held-out interactions, over all items."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError, ParameterError, ParameterTypeError, checks_keywords
from ferrec.evaluation._align import align, check_model, without
from ferrec.evaluation._results import Comparison, Evaluation, Hits
from ferrec.evaluation._statistics import mean
from ferrec.evaluation.metrics import (
    HITS,
    METRICS,
    PER_LIST,
    WHOLE,
    About,
    QueryBlock,
    Wanted,
    about,
    cuts_of,
    measure,
    parse_metrics,
)
from ferrec.io.arrays import joined, offsets_of
from ferrec.io.progress import bar
from ferrec.kernels.arguments import Progress, as_int
from ferrec.kernels.handles import ListParts, as_csr, rows_of, to_scipy
from ferrec.kernels.metrics import gini
from ferrec.models.base import Recommender

__all__ = ["compare", "evaluate"]

Model: TypeAlias = Recommender[Any]

_BLOCK = 8192
"""Users evaluated at once: what bounds the memory."""


@checks_keywords
def evaluate(
    model: Model,
    test: Interactions,
    metrics: Sequence[str] = METRICS,
    *,
    exclude_seen: bool = True,
    item_features: Any = None,
    seed: int = 0,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Evaluation:
    """How well a model's recommendations meet what its users did next.

    Every pair of a user and an item in the test data is a true one, whatever it weighs (so select the events
    that count first). Each user's list is ranked from all items of the model, none sampled. The test data
    meets the model by ids: it need not share codes with the training data. Users and items that the model
    does not know cannot be right or wrong; they are left out and counted.

    Parameters
    ----------
    model : Recommender
        Fitted, on data without the test events.
    test : Interactions
        What should have been recommended.
    metrics : sequence of str
        A name and a cut-off each, such as ``"ndcg@10"``; docs/evaluation.md has the formulas and sources.

        Of the true items' ranks, defined in [`ranking_metrics`][ferrec.kernels.ranking_metrics]: ``precision``,
        ``recall``, ``f1``, ``hit_rate``, ``accuracy``, ``ndcg``, ``graded_ndcg`` (gains are the weights of the
        test data), ``map``, ``mrr``.

        Of the lists: ``novelty``, mean −log2 of the share of users who have an item; ``diversity``, one less the
        mean cosine of all pairs of items, by `item_features`; ``serendipity``, the share of true items that the
        most popular items would not have held; ``popularity``, how many users have an item, on average;
        ``popularity_lift``, that against the items the user had, less 1; ``coverage``, the share of the model's
        items in the lists of all users counted; ``gini``, how unevenly these lists use them.

        Your own: whatever `add_metric` has given a name.

        Of all scores: ``auc`` (no cut-off), the share of other items that score below a true one;
        ``sampled_auc@n``, the same against n others drawn at random.
    exclude_seen : bool
        Do not recommend what the user had in training. True items that the user had in training then do not
        count as true either: nobody could find them. Use False where things are bought again.
    item_features : array or sparse matrix, shape (n_items, n_features), optional
        For ``diversity``: what tells items apart, in the order of ``model.items``: categories, TF-IDF,
        embeddings.
    seed : int, default 0
        Of ``sampled_auc``.
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
        An unknown metric; the text lists those there are. Features that are missing or do not fit.
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
    ferrec.errors.ParameterError: metrics: must be one of ..., got 'ndgc@10'; did you mean 'ndcg'?
    """
    wanted = parse_metrics(metrics)
    check_model(model)
    if not isinstance(test, Interactions):
        raise ParameterTypeError("test", "expected Interactions", type(test))
    seen = model.state.seen
    if n_threads is not None and "n_threads" in model.get_params():
        # A shallow copy shares what was learned; the caller's model stays as it is.
        model = copy.copy(model).set_params(n_threads=n_threads)
    given = about(model, wanted, item_features, exclude_seen, as_int("seed", seed, minimum=0), n_threads)
    aligned = align(model, test)
    cuts = cuts_of(wanted, (*HITS, *PER_LIST, *WHOLE))
    whole_cuts = cuts_of(wanted, WHOLE)

    parts: list[_Part] = []
    exposure = np.zeros((len(whole_cuts), given.n_items), np.int64)
    seen_pairs = 0
    with bar(progress, "evaluate") as callback:
        for start in range(0, len(aligned.users), _BLOCK):
            truth, codes = aligned.truth[start : start + _BLOCK], aligned.users[start : start + _BLOCK]
            if exclude_seen:
                truth, left_out = without(truth, to_scipy(seen)[codes])
                seen_pairs += left_out
            some = np.flatnonzero(np.diff(truth.indptr))
            if len(some):
                block = _block(given, codes[some], truth[some], cuts)
                parts.append(_Part(measure(block, wanted, given), block))
                if whole_cuts:
                    counts = _rust.exposure(block.lists, whole_cuts, given.n_threads)
                    exposure += counts.reshape(exposure.shape)
            if callback is not None:
                callback(min(start + _BLOCK, len(aligned.users)), len(aligned.users))

    counted = joined([part.codes for part in parts], np.int32)
    per_user = {name: joined([part.values[name] for part in parts], np.float64) for name in _per_user(wanted)}
    result = Evaluation(
        metrics=_means(wanted, per_user, dict(zip(whole_cuts, exposure, strict=True))),
        per_user=per_user,
        users=model.users.decode(counted),
        activity=joined([part.activity for part in parts], np.int64),
        hits=Hits(
            model.items,
            given.popularity,
            offsets_of(joined([part.n_true for part in parts], np.int64)),
            joined([part.items for part in parts], np.int32),
            joined([part.gains for part in parts], np.float32),
            joined([part.ranks for part in parts], np.int32),
        ),
        skipped_users=aligned.skipped_users,
        skipped_items=aligned.skipped_items,
        skipped_pairs=aligned.skipped_pairs,
        seen_pairs=seen_pairs,
        empty_users=aligned.known_users - len(counted),
    )
    if not result.n_users:
        reasons = "; ".join(result.not_counted) or "it has no events"
        raise DataError("test", f"no user has a true item that the model could recommend: {reasons}")
    return result


@checks_keywords
def compare(
    models: Mapping[str, Model],
    test: Interactions,
    metrics: Sequence[str] = METRICS,
    *,
    exclude_seen: bool = True,
    item_features: Any = None,
    seed: int = 0,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Comparison:
    """Evaluate several models on the same test data.

    Parameters
    ----------
    models : mapping of str to Recommender
        Fitted models by the names that the table shows.
    test, metrics, exclude_seen, item_features, seed, n_threads, progress
        As in `evaluate`.

    Returns
    -------
    Comparison
        Its `repr` is a table of models × metrics; its `significance` says which differ by more than chance.

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
    if not isinstance(models, Mapping):
        raise ParameterTypeError("models", "expected fitted models by their names", models)
    if not models:
        raise ParameterError("models", "expected at least one")
    for name, model in models.items():
        check_model(model, f"models[{name!r}]")
    parse_metrics(metrics)
    return Comparison(
        {
            name: evaluate(
                model,
                test,
                metrics,
                exclude_seen=exclude_seen,
                item_features=item_features,
                seed=seed,
                n_threads=n_threads,
                progress=progress,
            )
            for name, model in models.items()
        }
    )


def _block(given: About, codes: NDArray[np.int32], truth: Any, cuts: list[int]) -> QueryBlock:
    """The lists of some users, and where their true items stand; no lists where no metric looks at them."""
    model, true_items = given.model, as_csr(truth)
    lists: ListParts = (np.zeros(len(codes) + 1, np.int64), np.empty(0, np.int32), given.n_items)
    if cuts:
        recs = model.recommend(model.users.decode(codes), cuts[-1], exclude_seen=given.exclude_seen)
        lists = (recs.indptr, recs.codes, given.n_items)
    ranks = _rust.hit_ranks(lists, true_items, given.n_threads)
    return QueryBlock(codes, rows_of(model.state.seen, codes), true_items, lists, ranks)


class _Part:
    """What is kept of a block: everything but the lists and the histories."""

    def __init__(self, values: dict[str, NDArray[np.float64]], block: QueryBlock) -> None:
        indptr, self.items, self.gains = block.truth.parts()
        self.values, self.codes, self.ranks = values, block.codes, block.ranks
        self.n_true = np.diff(indptr)
        self.activity = np.diff(block.seen.parts()[0])


def _per_user(wanted: Wanted) -> list[str]:
    return [name for name, (kind, _) in wanted.items() if kind not in WHOLE]


def _means(
    wanted: Wanted, per_user: dict[str, NDArray[np.float64]], exposure: dict[int, NDArray[np.int64]]
) -> dict[str, float]:
    """Every metric in the order asked for: means over users, and what is said of all lists together."""
    means = {}
    for name, (kind, k) in wanted.items():
        if kind == "coverage":
            means[name] = float((exposure[k] > 0).mean()) if exposure[k].size else 0.0
        elif kind == "gini":
            means[name] = gini(exposure[k])
        else:
            means[name] = mean(per_user[name])
    return means
