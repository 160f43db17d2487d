"""Rating metrics of a model on held-out ratings."""

from typing import Any

import numpy as np

from ferrec.data.interactions import Interactions
from ferrec.errors import DataError, ParameterTypeError, checks_keywords
from ferrec.evaluation._align import align, check_model
from ferrec.io.progress import bar
from ferrec.kernels.arguments import Progress
from ferrec.models.base import Recommender

__all__ = ["evaluate_ratings"]

_PAIRS = 1 << 20
"""Pairs scored at once, roughly: what bounds the memory."""


@checks_keywords
def evaluate_ratings(
    model: Recommender[Any], test: Interactions, *, progress: Progress = False
) -> dict[str, float]:
    """How far a model's predicted ratings are from the real ones.

    Pairs whose user or item the model does not know are left out and counted.

    Parameters
    ----------
    model : Recommender
        Fitted; one that predicts ratings, such as `Bias` or `ItemKNNRegressor`. Of any other the scores are
        taken for ratings, in whatever unit they are.
    test : Interactions
        The real ratings, as weights. Repeated pairs are merged as its `duplicates` says.
    progress : bool or callable
        True draws a bar (extra ``progress``); a callable gets ``(done, total)`` in pairs.

    Returns
    -------
    dict
        ``rmse``: the root of the mean squared error; ``mae``: the mean absolute error; ``mse``: the mean squared
        error; ``pairs``: how many were compared; ``skipped_pairs``: how many were left out.

    Raises
    ------
    DataError
        The model knows none of the pairs.
    TypeError
        `test` is no `Interactions`.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.evaluation import evaluate_ratings
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "jam", "tea"], [4, 2, 4])
    >>> test = ferrec.Interactions.from_arrays([2, 9], ["jam", "jam"], [2, 5])
    >>> result = evaluate_ratings(ferrec.Bias(reg_users=0, reg_items=0).fit(train), test)
    >>> round(result["rmse"], 3), result["pairs"], result["skipped_pairs"]
    (0.0, 1, 1)
    """
    check_model(model)
    if not isinstance(test, Interactions):
        raise ParameterTypeError("test", "expected Interactions", type(test))
    aligned = align(model, test)
    truth = aligned.truth
    if not truth.nnz:
        raise DataError("test", f"the model knows none of the {test.nnz:,} pairs of a user and an item")
    squared = absolute = 0.0
    start = 0
    with bar(progress, "evaluate") as callback:
        while start < len(aligned.users):
            # As many whole users as fit, and at least one.
            stop = int(np.searchsorted(truth.indptr, truth.indptr[start] + _PAIRS, side="right")) - 1
            stop = max(stop, start + 1)
            own = slice(truth.indptr[start], truth.indptr[stop])
            codes = np.repeat(aligned.users[start:stop], np.diff(truth.indptr[start : stop + 1]))
            predicted = model.score(model.users.decode(codes), model.items.decode(truth.indices[own]))
            errors = predicted.astype(np.float64) - truth.data[own]
            squared += float(errors @ errors)
            absolute += float(np.abs(errors).sum())
            start = stop
            if callback is not None:
                callback(int(truth.indptr[stop]), truth.nnz)
    n = truth.nnz
    return {
        "rmse": float(np.sqrt(squared / n)),
        "mae": absolute / n,
        "mse": squared / n,
        "pairs": n,
        "skipped_pairs": aligned.skipped_pairs,
    }
