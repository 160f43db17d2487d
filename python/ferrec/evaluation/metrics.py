"""The metrics by name: what there is, and how each is computed for a block of users."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import ParameterError, ParameterTypeError, ShapeError, did_you_mean
from ferrec.kernels.arguments import threads
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import ListParts, as_csr, rows_of
from ferrec.models.base import Recommender

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
"""What is measured unless told otherwise."""

HITS = tuple(_rust.metrics)
"""Those that follow from where the true items stand."""
WHOLE = ("coverage", "gini")
"""One number of all lists together."""
RATINGS = ("rmse", "mae", "mse")
"""Errors of predicted ratings; `evaluate_ratings` computes them."""
LOWER_IS_BETTER = {*RATINGS, "gini", "popularity", "popularity_lift"}
"""What `tune` minimizes; `add_metric` adds to it."""

_PAIRS = 1 << 22
"""Pairs scored at once for AUC, roughly: what bounds the memory."""

Wanted: TypeAlias = Mapping[str, tuple[str, int]]
"""Kind and cut-off of each metric; the cut-off of ``"auc"`` is 0."""


def parse_metrics(metrics: Sequence[str]) -> dict[str, tuple[str, int]]:
    """The kind and the cut-off of each metric; repetitions count once."""
    if not isinstance(metrics, str | Sequence):
        raise ParameterTypeError("metrics", "expected names", metrics)
    listed = [metrics] if isinstance(metrics, str) else list(metrics)
    names = (*HITS, *PER_LIST, *WHOLE, "sampled_auc")
    exist = f"must be one of {', '.join(f'{name}@k' for name in names)} with k from 1, or auc"
    if not listed:
        raise ParameterError("metrics", "name at least one", advice=f"each {exist}")
    parsed = {}
    for metric in listed:
        found = re.fullmatch(r"([a-z0-9_]+)@([1-9][0-9]{0,8})", metric) if isinstance(metric, str) else None
        if metric == "auc":
            parsed[metric] = (metric, 0)
        elif found is not None and found[1] in names:
            parsed[str(metric)] = (found[1], int(found[2]))
        else:
            kind = str(metric).split("@")[0]
            if kind in names:
                advice = f"give the length of the list, as in '{kind}@10'"
            else:
                advice = did_you_mean(kind, [*names, "auc"])
            raise ParameterError("metrics", exist, metric, advice=advice)
    return parsed


def cuts_of(wanted: Wanted, kinds: Iterable[str]) -> list[int]:
    """The distinct cut-offs of some kinds, ascending."""
    return sorted({k for kind, k in wanted.values() if kind in kinds})


@dataclass(frozen=True, eq=False)
class About:
    """What all blocks share."""

    model: Recommender[Any]
    popularity: NDArray[np.int64]
    """How many users of the training data have each item."""
    n_users: int
    """How many of them have any item."""
    item_features: _rust.Csr | None
    exclude_seen: bool
    seed: int
    n_threads: int

    @property
    def n_items(self) -> int:
        """Items of the model."""
        return len(self.popularity)


@dataclass(frozen=True, eq=False)
class QueryBlock:
    """Some users: their codes, what they had, what is true, their lists, and where the true items stand."""

    codes: NDArray[np.int32]
    seen: _rust.Csr
    truth: _rust.Csr
    lists: ListParts
    ranks: NDArray[np.int32]


def about(
    model: Recommender[Any],
    wanted: Wanted,
    item_features: Any,
    exclude_seen: bool,
    seed: int,
    n_threads: int | None,
) -> About:
    """Count popularity in the model's training data, and check the features."""
    if item_features is None and cuts_of(wanted, ["diversity"]):
        raise ParameterError(
            "item_features", "diversity needs a matrix with a row for each of the model's items"
        )
    seen = model.state.seen
    indptr, items, _ = seen.parts()
    n_items = seen.shape[1]
    checked = None
    if item_features is not None:
        is_sparse = scipy.sparse.issparse(item_features)
        checked = as_csr(item_features if is_sparse else _dense(item_features), "item_features")
        if checked.shape[0] != n_items:
            raise ShapeError(
                "item_features", f"must have {n_items} rows, one for each item of the model", checked.shape[0]
            )
    return About(
        model,
        np.bincount(items, minlength=n_items).astype(np.int64),
        int(np.count_nonzero(np.diff(indptr))),
        checked,
        exclude_seen,
        seed,
        threads(n_threads),
    )


def _dense(item_features: Any) -> Any:
    table = np.asarray(item_features)
    if table.ndim != 2 or table.dtype.kind not in "fiub":
        raise ParameterError("item_features", "expected numbers in 2 dimensions", table)
    return scipy.sparse.csr_array(table)


def measure(block: QueryBlock, wanted: Wanted, given: About) -> dict[str, NDArray[np.float64]]:
    """The values of each user, for every metric that has them."""
    values: dict[str, NDArray[np.float64]] = {}
    cuts = cuts_of(wanted, HITS)
    if cuts:
        indptr, _, gains = block.truth.parts()
        table, _ = _rust.rank_metrics(indptr, block.ranks, gains, given.n_items, cuts, given.n_threads)
        values |= named_hits(table, cuts)
    for kind, function in (*PER_LIST.items(), *_OF_SCORES.items()):
        cuts = cuts_of(wanted, [kind])
        if cuts:
            columns = function(block, cuts, given).reshape(-1, len(cuts))
            values |= {f"{kind}@{k}" if k else kind: columns[:, at] for at, k in enumerate(cuts)}
    return {name: np.ascontiguousarray(values[name]) for name in wanted if name in values}


def named_hits(table: NDArray[np.float64], cuts: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """The flat answer of `_rust.rank_metrics` by name."""
    table = table.reshape(-1, len(cuts), len(HITS))
    return {f"{kind}@{k}": table[:, at, of] for at, k in enumerate(cuts) for of, kind in enumerate(HITS)}


# -- of lists -------------------------------------------------------------------------------------------------


def _popularity(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
    return _rust.list_means(block.lists, given.popularity.astype(np.float64), cuts, given.n_threads)


def _popularity_lift(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
    counts = given.popularity.astype(np.float64)
    indptr, items, _ = block.seen.parts()
    whole = [max(given.n_items, 1)]
    own = _rust.list_means((indptr, items, given.n_items), counts, whole, given.n_threads)
    listed = _rust.list_means(block.lists, counts, cuts, given.n_threads).reshape(-1, len(cuts))
    return listed / own[:, None] - 1.0


def _novelty(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
    information = -np.log2(np.maximum(given.popularity, 1) / max(given.n_users, 1))
    return _rust.list_means(block.lists, information, cuts, given.n_threads)


def _diversity(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
    assert given.item_features is not None  # seen to by `about`
    return _rust.list_diversity(block.lists, given.item_features, cuts, given.n_threads)


def _serendipity(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
    chosen = Filter([block.seen] if given.exclude_seen else [])
    popularity = given.popularity.astype(np.float32)
    indptr, items, _ = _rust.top_k_common(
        popularity, len(block.codes), cuts[-1], chosen, given.n_threads, None
    )
    expected = (indptr, items, given.n_items)
    return _rust.serendipity(block.truth, block.ranks, expected, cuts, given.n_threads)


# -- of the scores of all items ---------------------------------------------------------------------------------


def _auc(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
    return _sampled_auc(block, [given.n_items], given)


def _sampled_auc(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
    users = max(1, _PAIRS // max(1, min(cuts[-1], given.n_items)))
    parts = [_auc_of(block, slice(at, at + users), cuts, given) for at in range(0, len(block.codes), users)]
    return np.concatenate(parts)


def _auc_of(block: QueryBlock, some: slice, cuts: list[int], given: About) -> NDArray[np.float64]:
    """Scores of the true items of some users against those of n others, for each n of `cuts`."""
    codes = block.codes[some]
    rows = np.arange(len(block.codes), dtype=np.int32)[some]
    seen, truth = rows_of(block.seen, rows), rows_of(block.truth, rows)
    exclude = truth
    if given.exclude_seen:
        exclude = as_csr((_pattern(truth) + _pattern(seen)).tocsr())
    model, state = given.model.settled
    queries = state.queries(codes)
    positives = (truth.parts()[0], model.score_pairs(state, queries, truth))
    columns = []
    for n in cuts:
        keys = codes.astype(np.uint64)
        indptr, items = _rust.sample_others(exclude, n, given.seed, keys, given.n_threads)
        pairs = _rust.Csr(indptr, items, np.ones(len(items), np.float32), given.n_items)
        negatives = (indptr, model.score_pairs(state, queries, pairs))
        columns.append(_rust.auc(positives, negatives, given.n_threads))
    return np.stack(columns, axis=1)


def _pattern(handle: _rust.Csr) -> Any:
    """Ones wherever something is stored, zeros too."""
    indptr, items, _ = handle.parts()
    return scipy.sparse.csr_array((np.ones(len(items), np.float32), items, indptr), shape=handle.shape)


Function: TypeAlias = Callable[[QueryBlock, list[int], About], NDArray[np.float64]]

PER_LIST: dict[str, Function] = {
    "novelty": _novelty,
    "diversity": _diversity,
    "serendipity": _serendipity,
    "popularity": _popularity,
    "popularity_lift": _popularity_lift,
}
"""Those of each list, by its items; `add_metric` adds to them."""

_OF_SCORES: dict[str, Function] = {"auc": _auc, "sampled_auc": _sampled_auc}
