"""Rankers without training, or nearly: the scores or the ranks of the retrievers, added up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.candidates import Candidates
from ferrec.errors import DataError, ParameterError, ShapeError
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_float, threads
from ferrec.rankers.base import LabeledPairs, Ranker, RankerState


@dataclass(frozen=True, eq=False)
class BlendState(RankerState):
    """Which columns are added up, and with what weights."""

    used: tuple[str, ...]
    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that there is a weight for each of them."""
        if self.weights.shape != (len(self.used),):
            raise ShapeError(
                "weights",
                f"must have length {len(self.used)}, one for each column that is used",
                self.weights.shape,
            )


class WeightedBlend(Ranker[BlendState]):
    """The weighted sum of columns, each brought to 0 … 1 within the query (Fox & Shaw, TREC-2 1994).

    Parameters
    ----------
    weights : mapping of str to float, optional
        The weight of each column that counts. By default `fit` learns them: those of a logistic regression of what
        came true on the scaled columns, by L-BFGS.
    columns : sequence of str, optional
        Without `weights`: the columns to learn of. By default those whose names end in ``_score``: what the models
        of a `Retrieval` say.
    l2 : float
        How much weights are held back, at least 0: ``l2 / 2 · Σ w²`` beside the mean loss.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.rankers import WeightedBlend
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.ItemKNN(), ferrec.Popularity()]).fit(data).candidates([1, 3])
    >>> blend = WeightedBlend(weights={"item_knn_score": 0.7, "popularity_score": 0.3})
    >>> blend.fit(pairs, [1, 0, 1]).score(pairs)
    array([0., 0., 0.], dtype=float32)
    """

    state_type = BlendState

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | None = None,
        columns: Sequence[str] | None = None,
        l2: float = 1e-6,
        n_threads: int | None = None,
    ) -> None:
        self.weights = weights
        self.columns = columns
        self.l2 = l2
        self.n_threads = n_threads

    def learn(
        self, train: LabeledPairs, validation: LabeledPairs | None, callback: Callback | None
    ) -> BlendState:
        every = tuple(train.candidates.columns)
        l2 = as_float("l2", self.l2)
        if not (np.isfinite(l2) and l2 >= 0):
            raise ParameterError("l2", "must be at least 0 and finite", l2)
        if self.weights is not None and self.columns is not None:
            raise ParameterError("weights, columns", "give one of them; weights name their columns")
        named = self.columns if self.weights is None else tuple(self.weights)
        used = _used(train.candidates, named, "_score")
        if self.weights is None:
            return BlendState(every, used, _logistic(self._scaled(train.candidates, used), train, l2))
        weights = np.array([as_float(f"weights[{name!r}]", self.weights[name]) for name in used])
        if not np.isfinite(weights).all():
            raise ParameterError("weights", "must be finite", dict(self.weights))
        return BlendState(every, used, weights.astype(np.float32))

    def _scaled(self, candidates: Candidates, used: tuple[str, ...]) -> list[NDArray[np.float32]]:
        n_threads = threads(self.n_threads)
        return [_rust.min_max(candidates.indptr, candidates.columns[name], n_threads) for name in used]

    def score_pairs(self, state: BlendState, candidates: Candidates) -> NDArray[np.float32]:
        score = np.zeros(len(candidates), np.float32)
        for weight, column in zip(state.weights, self._scaled(candidates, state.used), strict=True):
            score += weight * column
        return score


def _logistic(columns: Sequence[NDArray[np.float32]], train: LabeledPairs, l2: float) -> NDArray[np.float32]:
    """The weights of a logistic regression with an intercept, which is left out: it moves no order."""
    heavy = np.ones(len(train)) if train.weights is None else train.weights.astype(np.float64)
    heavy /= heavy.sum()

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        margin = np.full(len(train), weights[-1])
        for weight, column in zip(weights, columns, strict=False):
            margin += weight * column
        error = heavy * (scipy.special.expit(margin) - train.labels)
        gradient = np.array([*(error @ column for column in columns), error.sum()])
        gradient[:-1] += l2 * weights[:-1]
        value = heavy @ (np.logaddexp(0.0, margin) - train.labels * margin)
        return float(value + l2 / 2 * weights[:-1] @ weights[:-1]), gradient

    found = scipy.optimize.minimize(loss, np.zeros(len(columns) + 1), jac=True, method="L-BFGS-B")
    learned: NDArray[np.float32] = found.x[:-1].astype(np.float32)
    return learned


@dataclass(frozen=True, eq=False)
class FusionState(RankerState):
    """Which columns are fused."""

    used: tuple[str, ...]


class ReciprocalRankFusion(Ranker[FusionState]):
    """The sum of 1 / (rank_constant + rank) over the retrievers (Cormack, Clarke & Büttcher, SIGIR 2009).

    Parameters
    ----------
    rank_constant : float
        How little the first ranks stand out, above 0; 60 in the paper.
    columns : sequence of str, optional
        The columns of ranks, from 1. By default those whose names end in ``_rank``: what the models of a
        `Retrieval` say.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.rankers import ReciprocalRankFusion
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.ItemKNN(), ferrec.Popularity()]).fit(data).candidates([1, 3])
    >>> ReciprocalRankFusion().fit(pairs, [1, 0, 1]).score(pairs).round(4)
    array([0.0328, 0.0328, 0.0328], dtype=float32)
    """

    state_type = FusionState

    def __init__(self, *, rank_constant: float = 60.0, columns: Sequence[str] | None = None) -> None:
        self.rank_constant = rank_constant
        self.columns = columns

    def learn(
        self, train: LabeledPairs, validation: LabeledPairs | None, callback: Callback | None
    ) -> FusionState:
        if not (np.isfinite(as_float("rank_constant", self.rank_constant)) and self.rank_constant > 0):
            raise ParameterError("rank_constant", "must be above 0 and finite", self.rank_constant)
        return FusionState(tuple(train.candidates.columns), _used(train.candidates, self.columns, "_rank"))

    def score_pairs(self, state: FusionState, candidates: Candidates) -> NDArray[np.float32]:
        score = np.zeros(len(candidates), np.float32)
        for name in state.used:
            score += 1 / (np.float32(self.rank_constant) + candidates.columns[name])
        return score


def _used(candidates: Candidates, named: Sequence[str] | None, end: str) -> tuple[str, ...]:
    """The columns that count."""
    if named is None:
        used = tuple(name for name in candidates.columns if name.endswith(end))
        if not used:
            raise DataError(
                "candidates", f"have no column that ends in {end!r}", advice="name the columns that count"
            )
        return used
    missing = [name for name in named if name not in candidates.columns]
    if missing or not named:
        wrong = f"no column {missing[0]!r}" if missing else "no column named"
        raise DataError("candidates", wrong, advice=f"there are {', '.join(candidates.columns)}")
    return tuple(named)
