"""What every ranker has in common: it learns which of the proposed pairs were right, and scores pairs.

A ranker is one file: a frozen `RankerState` with what `fit` learned, and a `Ranker` with two hooks, `learn` and
`score_pairs`, that see candidates with their columns and never a matrix of interactions.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec.data.candidates import Candidates
from ferrec.errors import DataError, ParameterTypeError, ShapeError
from ferrec.io.progress import Callback, bar
from ferrec.kernels.arguments import Progress
from ferrec.models.estimator import Estimator, clone


@dataclass(frozen=True, eq=False)
class RankerState:
    """What `fit` learned; every ranker adds its own fields. Saved and loaded field by field.

    Attributes
    ----------
    columns : tuple of str
        The columns it was fitted on, in the order in which the ranker reads them.

    See Also
    --------
    Ranker : what learns it.

    Examples
    --------
    >>> @dataclass(frozen=True, eq=False)
    ... class Weights(RankerState):
    ...     weights: NDArray[np.float32]
    >>> Weights(("item_knn_score",), np.ones(1, np.float32)).columns
    ('item_knn_score',)
    """

    columns: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class LabeledPairs:
    """Pairs whose outcome is known: what `Ranker.learn` gets.

    Attributes
    ----------
    candidates : Candidates
        The pairs with their columns.
    labels : ndarray of float32, shape (len(candidates),)
        1 for a pair that came true, 0 for one that did not.
    weights : ndarray of float32, shape (len(candidates),), or None
        How much each pair counts; None for all the same.
    categories : tuple of str
        The columns that are names, not quantities.

    See Also
    --------
    ferrec.two_stage.training_pairs : makes such pairs of a past and a future.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates()
    >>> len(LabeledPairs(pairs, np.ones(len(pairs), np.float32), None))
    1
    """

    candidates: Candidates
    labels: NDArray[np.float32]
    weights: NDArray[np.float32] | None
    categories: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)


StateT = TypeVar("StateT", bound=RankerState)


class Ranker(Estimator[StateT], ABC):
    """A model of which candidates come true.

    The constructor stores keyword parameters and nothing else; `fit` checks them and returns the ranker. It
    reads the columns of the candidates, all of them, and at scoring wants the same ones.
    """

    _fit_call = "fit(candidates, labels)"

    @abstractmethod
    def learn(
        self, train: LabeledPairs, validation: LabeledPairs | None, callback: Callback | None
    ) -> StateT:
        """Learn, after checking the parameters."""

    @abstractmethod
    def score_pairs(self, state: StateT, candidates: Candidates) -> NDArray[np.float32]:
        """A score for each pair; the columns are there."""

    def fit(
        self,
        candidates: Candidates,
        labels: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        categories: Sequence[str] = (),
        validation: tuple[Candidates, ArrayLike] | None = None,
        progress: Progress = False,
    ) -> Self:
        """Learn from pairs whose outcome is known.

        Parameters
        ----------
        candidates : Candidates
            The pairs with their columns: what was proposed, as it was known before the outcome.
        labels : array-like, shape (len(candidates),)
            1 where the pair came true, 0 where it did not.
        sample_weight : array-like, shape (len(candidates),), optional
            How much each pair counts, not negative: the watch time of what was watched, for example
            (Covington et al., RecSys 2016). By default all the same.
        categories : sequence of str
            The columns of whole numbers that are names, not quantities: `FeatureSet.categories`, for example.
        validation : (Candidates, array-like), optional
            Later pairs of the same columns with their labels, to stop in time.
        progress : bool or callable
            True draws a bar (extra ``progress``); a callable gets ``(done, total)``.

        Returns
        -------
        self

        Raises
        ------
        DataError
            There are no pairs; labels other than 0 and 1, or only one of them; weights that are not finite or
            negative; infinite columns; a category that is no column or no whole number; columns of the validation
            part that differ. Says which.
        TypeError, ValueError
            A parameter makes no sense.
        """
        train = _with_labels("", candidates, labels, sample_weight, categories)
        later = None
        if validation is not None:
            if not isinstance(validation, Iterable) or len(both := tuple(validation)) != 2:
                raise ParameterTypeError("validation", "expected (candidates, labels)")
            later = _with_labels("validation: ", both[0], cast("ArrayLike", both[1]), None, categories)
            check_columns(tuple(candidates.columns), later.candidates, "validation")
        learner = clone(self)
        with bar(progress, f"fit {type(self).__name__}") as callback:
            self.adopt(learner.learn(train, later, callback), learner)
        return self

    def score(self, candidates: Candidates) -> NDArray[np.float32]:
        """How likely each pair is to come true; higher is better.

        Parameters
        ----------
        candidates : Candidates
            With the columns that the ranker was fitted on, in any order. There may be no pairs.

        Returns
        -------
        ndarray of float32, shape (len(candidates),)

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            The columns differ from those of `fit`; says which are missing and which are new.
        """
        frozen, state = self.settled
        if not isinstance(candidates, Candidates):
            raise ParameterTypeError("candidates", "expected Candidates", type(candidates))
        check_columns(state.columns, candidates, type(self).__name__)
        return frozen.score_pairs(state, candidates)


def _with_labels(
    where: str, candidates: object, labels: ArrayLike, weights: ArrayLike | None, categories: Sequence[str]
) -> LabeledPairs:
    if not isinstance(candidates, Candidates):
        raise ParameterTypeError(f"{where}candidates", "expected Candidates", type(candidates))
    if not len(candidates):
        raise DataError(f"{where}candidates", "there are no pairs to learn from")
    if isinstance(categories, str) or not isinstance(categories, Sequence):
        raise ParameterTypeError("categories", "expected names of columns", categories)
    for name in categories:
        if name not in candidates.columns:
            there = ", ".join(map(repr, candidates.columns)) or "none"
            raise DataError(
                "categories", f"{name!r} is no column of the candidates", advice=f"there are {there}"
            )
    for name, column in candidates.columns.items():
        if np.isinf(column).any():
            at = int(np.flatnonzero(np.isinf(column))[0])
            raise DataError(
                f"{where}column {name!r}",
                "must be finite",
                column[at],
                place={"pair": at},
                advice="use NaN for what is missing",
            )
    truth = _per_pair(f"{where}labels", labels, len(candidates))
    positive = truth == 1
    if not (positive | (truth == 0)).all():
        wrong = truth[~(positive | (truth == 0))][0]
        raise DataError(f"{where}labels", "expected 0 and 1", wrong)
    if positive.all() or not positive.any():
        hint = "widen the candidates, or the time that the labels come from"
        raise DataError(f"{where}labels", f"all {len(truth)} are {truth[0]:g}", advice=hint)
    if weights is None:
        return LabeledPairs(candidates, truth, None, tuple(categories))
    heavy = _per_pair(f"{where}sample_weight", weights, len(candidates))
    if not (np.isfinite(heavy) & (heavy >= 0)).all() or not heavy.any():
        raise DataError(f"{where}sample_weight", "must be finite, not negative, and not all 0")
    return LabeledPairs(candidates, truth, heavy, tuple(categories))


def _per_pair(name: str, values: ArrayLike, n: int) -> NDArray[np.float32]:
    try:
        array = np.ascontiguousarray(values, np.float32)
    except (TypeError, ValueError):
        raise DataError(name, "expected numbers", values) from None
    if array.shape != (n,):
        raise ShapeError(name, f"must have length {n}, one for each pair", array.shape)
    return array


def check_columns(fitted: tuple[str, ...], candidates: Candidates, who: str) -> None:
    """Refuse candidates whose columns are not those of `fit`, naming the difference."""
    missing = [name for name in fitted if name not in candidates.columns]
    new = [name for name in candidates.columns if name not in fitted]
    if not missing and not new:
        return
    parts = [
        f"{what} {', '.join(map(repr, names))}" for what, names in (("lack", missing), ("add", new)) if names
    ]
    raise DataError(
        who,
        f"the columns of the candidates are not those of fit: they {' and '.join(parts)}",
        advice="compute the same features for both",
    )
