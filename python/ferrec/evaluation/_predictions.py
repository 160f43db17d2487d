"""How far predictions are from what happened: ratings, and probabilities of yes and no."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec.errors import DataError, ShapeError, checks_keywords
from ferrec.kernels.arguments import as_float, as_int

__all__ = ["Calibration", "probability_metrics", "rating_metrics"]


@checks_keywords
def rating_metrics(truth: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Errors of predicted ratings.

    Parameters
    ----------
    truth, predicted : array-like of number, shape (n,)
        Real ratings, and those predicted of the same pairs.

    Returns
    -------
    dict
        ``rmse``, ``mae``, ``mse``: root mean squared, mean absolute and mean squared error.

    Raises
    ------
    DataError
        There are none, they differ in number, or one is not finite.

    Examples
    --------
    >>> rating_metrics([4, 2], [3, 2])
    {'rmse': 0.7071067811865476, 'mae': 0.5, 'mse': 0.5}
    """
    real, guessed = _numbers("truth", truth), _numbers("predicted", predicted)
    _same_length(real, guessed, "predicted")
    errors = guessed - real
    mse = float((errors**2).mean())
    return {"rmse": mse**0.5, "mae": float(np.abs(errors).mean()), "mse": mse}


@dataclass(frozen=True, eq=False)
class Calibration:
    """Whether what is predicted with probability p happens in a share p of the cases: the reliability diagram.

    Attributes
    ----------
    edges : ndarray of float64, shape (n_bins + 1,)
        Bins of equal width from 0 to 1; a bin holds its right edge, the first one both.
    counts : ndarray of int64, shape (n_bins,)
        Predictions in each bin.
    predicted : ndarray of float64, shape (n_bins,)
        Their mean; NaN in an empty bin.
    observed : ndarray of float64, shape (n_bins,)
        The share of them that came true; NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    counts: NDArray[np.int64]
    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]

    @classmethod
    def of(cls, labels: ArrayLike, probabilities: ArrayLike, *, bins: int = 10) -> "Calibration":
        """Count predictions by bin.

        Parameters
        ----------
        labels : array-like of bool or of 0 and 1, shape (n,)
            What happened.
        probabilities : array-like of float, shape (n,)
            What was predicted, from 0 to 1.
        bins : int, default 10
            How many.

        Returns
        -------
        Calibration

        Raises
        ------
        DataError
            As `probability_metrics`.

        Examples
        --------
        >>> found = Calibration.of([0, 1, 1, 1], [0.1, 0.8, 0.9, 0.9], bins=2)
        >>> found.counts, found.observed, round(found.error, 3)
        (array([1, 3]), array([0., 1.]), 0.125)
        """
        true, p = _checked(labels, probabilities)
        n = as_int("bins", bins, minimum=1)
        edges = np.linspace(0.0, 1.0, n + 1)
        at = np.searchsorted(edges[1:-1], p)
        counts = np.bincount(at, minlength=n)
        with np.errstate(invalid="ignore"):
            predicted, observed = (np.bincount(at, values, n) / counts for values in (p, true))
        return cls(edges, counts, predicted, observed)

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of predicted and observed, by count (Naeini et al.,
        AAAI 2015; Guo et al., ICML 2017).
        """
        used = self.counts > 0
        gaps = np.abs(self.predicted[used] - self.observed[used])
        return float(gaps @ self.counts[used] / self.counts.sum())


@checks_keywords
def probability_metrics(
    labels: ArrayLike, probabilities: ArrayLike, *, threshold: float = 0.5, bins: int = 10
) -> dict[str, float]:
    """How good predicted probabilities of yes and no are: the classification view of a ranker.

    Parameters
    ----------
    labels, probabilities : array-like, shape (n,)
        What happened and what was predicted, as in `Calibration.of`.
    threshold : float, default 0.5
        From which probability on it counts as a yes.
    bins : int, default 10
        Of the calibration error.

    Returns
    -------
    dict
        ``accuracy``, ``precision`` (0 without a predicted yes), ``recall`` and ``f1`` (0 without a yes) at the
        threshold; ``auc`` (NaN where all labels are the same); ``log_loss``, the mean of −ln of what was predicted
        for what happened, probabilities being kept off 0 and 1 by the float64 epsilon; ``brier``, the mean squared
        error; ``calibration_error`` of `Calibration`.

    Raises
    ------
    DataError
        There are none, they differ in number, a label is neither 0 nor 1, or a probability not between them.

    Examples
    --------
    >>> found = probability_metrics([0, 1, 1, 1], [0.1, 0.8, 0.4, 0.9])
    >>> found["accuracy"], found["recall"], found["auc"], round(found["log_loss"], 4)
    (0.75, 0.6666666666666666, 1.0, 0.3375)
    """
    true, p = _checked(labels, probabilities)
    yes = p >= as_float("threshold", threshold)
    hits, n_yes, n_true = float(true @ yes), float(yes.sum()), float(true.sum())
    # scikit-learn clips by the epsilon of the probabilities' dtype.
    dtype = np.asarray(probabilities).dtype
    tiny = np.finfo(dtype if dtype.kind == "f" else np.float64).eps
    inside = np.clip(p, tiny, 1.0 - tiny)
    return {
        "accuracy": float((yes == (true > 0.0)).mean()),
        "precision": hits / n_yes if n_yes else 0.0,
        "recall": hits / n_true if n_true else 0.0,
        "f1": 2.0 * hits / (n_yes + n_true) if n_yes + n_true else 0.0,
        "auc": _auc(true > 0.0, p),
        "log_loss": float(-(true * np.log(inside) + (1.0 - true) * np.log1p(-inside)).mean()),
        "brier": float(((p - true) ** 2).mean()),
        "calibration_error": Calibration.of(true, p, bins=bins).error,
    }


def _auc(true: NDArray[np.bool_], scores: NDArray[np.float64]) -> float:
    """The share of pairs in which the yes scores above the no, ties counting half."""
    others, own = np.sort(scores[~true]), scores[true]
    if not len(own) or not len(others):
        return float("nan")
    below, not_above = (np.searchsorted(others, own, side).sum() for side in ("left", "right"))
    return float(below + not_above) / (2.0 * len(own) * len(others))


def _checked(labels: Any, probabilities: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    true, p = _numbers("labels", labels), _numbers("probabilities", probabilities)
    _same_length(true, p, "probabilities")
    if ((true != 0.0) & (true != 1.0)).any():
        odd = true[(true != 0.0) & (true != 1.0)][0]
        raise DataError("labels", "expected 0 and 1", odd)
    if p.min() < 0.0 or p.max() > 1.0:
        raise DataError("probabilities", f"expected numbers from 0 to 1, got {p.min():g} to {p.max():g}")
    return true, p


def _numbers(name: str, values: Any) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise DataError(name, f"expected numbers in one dimension, got {array.ndim}-d {array.dtype}")
    if not len(array):
        raise DataError(name, "expected at least one")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        at = int(np.flatnonzero(~np.isfinite(array))[0])
        raise DataError(name, "must be finite", array[at], place={"position": at})
    return array


def _same_length(truth: NDArray[Any], other: NDArray[Any], name: str) -> None:
    if len(truth) != len(other):
        raise ShapeError(name, f"must have length {len(truth)}", len(other))
