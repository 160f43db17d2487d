"""Metrics of your own: a function of what some users were recommended and what came true."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec.errors import ParameterError, ShapeError, checks_keywords
from ferrec.evaluation.metrics import HITS, LOWER_IS_BETTER, PER_LIST, RATINGS, WHOLE, About, QueryBlock
from ferrec.io.arrays import offsets_of
from ferrec.kernels.handles import Csr, to_scipy
from ferrec.models.base import Recommender

__all__ = ["Judged", "add_metric"]

_own: set[str] = set()


@dataclass(frozen=True, eq=False)
class Judged:
    """What some users were recommended, at most k items each, and what came true.

    Attributes
    ----------
    model : Recommender
        Fitted: ``model.items`` says what codes stand for, ``model.state`` what it knows.
    k : int
        The cut-off asked for; lists are shorter where there was no more to recommend.
    users : ndarray of int32, shape (n_users,)
        Codes. Each has at least one true item.
    indptr : ndarray of int64, shape (n_users + 1,)
        Where the list of each user begins and ends.
    items : ndarray of int32
        Codes of what was recommended, best first.
    hits : ndarray of bool
        Beside the items: did it come true?
    truth : csr_array of float32, shape (n_users, n_items)
        What came true, with the weights of the test data.
    history : csr_array of float32, shape (n_users, n_items)
        What the users had in training.

    See Also
    --------
    add_metric : where a function of this is given a name.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.evaluation import add_metric, evaluate
    >>> add_metric("length", lambda judged: np.diff(judged.indptr))
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "jam", "tea", "jam", "tea"])
    >>> test = ferrec.Interactions.from_arrays([3], ["jam"])
    >>> evaluate(ferrec.ItemKNN(k=5).fit(train), test, ["length@10"])["length@10"]
    1.0
    """

    model: Recommender[Any]
    k: int
    users: NDArray[np.int32]
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    hits: NDArray[np.bool_]
    truth: Csr
    history: Csr

    @property
    def rows(self) -> NDArray[np.int64]:
        """The place of the user of each item recommended, shape (len(items),)."""
        return np.repeat(np.arange(len(self.users)), np.diff(self.indptr))

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Sum values of the items recommended by user.

        Parameters
        ----------
        values : ndarray, shape (len(items),)
            One for each.

        Returns
        -------
        ndarray of float64, shape (n_users,)
        """
        return np.bincount(self.rows, values, len(self.users)).astype(np.float64)


Formula: TypeAlias = Callable[[Judged], NDArray[Any]]


@checks_keywords
def add_metric(name: str, function: Formula, *, lower_is_better: bool = False) -> None:
    """Give a metric of your own a name: from then on ``name@k`` is measured wherever metrics are named.

    `evaluate`, `compare`, `cross_validate`, `tune`, `report`. One that you added before is replaced.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and underscores.
    function : callable
        Gets a `Judged`, a block of users whose lists are cut off at k; returns an array with a number for each
        of them. The metric is their mean; NaN stands for users of whom nothing can be said.
    lower_is_better : bool, default False
        What `tune` minimizes.

    Raises
    ------
    ValueError
        The name is none, or one of ferrec's.

    See Also
    --------
    Judged : what the function gets.
    evaluate : measures it.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.evaluation import add_metric, evaluate
    >>> price = {"tea": 3.0, "jam": 5.0}
    >>> def revenue(judged):
    ...     prices = np.array([price[item] for item in judged.model.items.values])
    ...     return judged.sums(prices[judged.items] * judged.hits)
    >>> add_metric("revenue", revenue)
    >>> train = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "jam", "tea", "jam", "tea"])
    >>> test = ferrec.Interactions.from_arrays([3], ["jam"])
    >>> evaluate(ferrec.ItemKNN(k=5).fit(train), test, ["revenue@10"])["revenue@10"]
    5.0
    """
    if not isinstance(name, str) or re.fullmatch(r"[a-z0-9_]+", name) is None:
        raise ParameterError("name", "expected lower-case letters, digits and underscores", name)
    if name in (*HITS, *WHOLE, *RATINGS, "auc", "sampled_auc") or (name in PER_LIST and name not in _own):
        raise ParameterError("name", f"{name!r} is a metric of ferrec's", advice="choose another")

    def measured(block: QueryBlock, cuts: list[int], given: About) -> NDArray[np.float64]:
        return np.stack([_values(name, function(_judged(block, k, given)), block) for k in cuts], axis=1)

    _own.add(name)
    PER_LIST[name] = measured
    (LOWER_IS_BETTER.add if lower_is_better else LOWER_IS_BETTER.discard)(name)


def _judged(block: QueryBlock, k: int, given: About) -> Judged:
    indptr, items, n_items = block.lists
    lengths = np.diff(indptr)
    kept = np.arange(len(items)) - np.repeat(indptr[:-1], lengths) < k
    cut = offsets_of(np.minimum(lengths, k))
    truth = to_scipy(block.truth)
    rows = np.repeat(np.arange(len(lengths)), np.diff(cut))
    true = np.repeat(np.arange(len(lengths)), np.diff(truth.indptr)) * n_items + truth.indices
    hits = np.isin(rows * n_items + items[kept], true)
    return Judged(given.model, k, block.codes, cut, items[kept], hits, truth, to_scipy(block.seen))


def _values(name: str, found: object, block: QueryBlock) -> NDArray[np.float64]:
    values = np.asarray(found)
    if values.shape != block.codes.shape or values.dtype.kind not in "fiub":
        raise ShapeError(name, f"must return a number for each of {len(block.codes)} users", values)
    return values.astype(np.float64)
