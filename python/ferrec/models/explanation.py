"""Why a model gave a score: the parts that it is the sum of."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Explanation", "HybridExplanation"]


@dataclass(frozen=True, eq=False)
class Explanation:
    """A score and the items of the history that it came from, greatest contribution first.

    Attributes
    ----------
    user, item
        Whose score, for what.
    score : float
        What `score` and `recommend` give.
    base : float
        What the model would say without the history: 0 for neighborhood models, the baseline for rating
        models, everything for models that look at no history.
    items : ndarray of ids, shape (m,)
        The items of the history that contributed.
    parts : ndarray of float64, shape (m,)
        Their contributions: ``math.fsum([base, *parts]) == score``, exactly.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 2], ["a", "b", "a", "b", "c"])
    >>> why = ferrec.ItemKNN(k=2).fit(data).explain(1, "c")
    >>> why.items.tolist(), math.fsum([why.base, *why.parts]) == why.score
    (['a', 'b'], True)
    """

    user: Any
    item: Any
    score: float
    base: float
    items: NDArray[Any]
    parts: NDArray[np.float64]

    def __repr__(self) -> str:
        """The score, and the five greatest parts."""
        lines = [f"Explanation(user={self.user!r}, item={self.item!r}, score={self.score:.6g})"]
        if self.base:
            lines.append(f"  {self.base:+.6g}  base")
        lines += [
            f"  {part:+.6g}  because of {item!r}"
            for item, part in zip(self.items[:5].tolist(), self.parts[:5], strict=True)
        ]
        if len(self.parts) > 5:
            lines.append(f"  {math.fsum(self.parts[5:]):+.6g}  because of {len(self.parts) - 5} more items")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False, repr=False)
class HybridExplanation(Explanation):
    """An explanation through both stages of a `Hybrid`.

    The ranker's score is the average score of the user's other candidates (`average`) and what each column adds
    to it (`columns`). What the columns of a retriever add goes on to the items of the history, in the proportions
    of the retriever's own explanation (`retrievers`); the rest stays in `base`.

    Attributes
    ----------
    average : float
        The ranker's mean score over other candidates of the user.
    columns : dict of str to float
        The contribution of each column, greatest first: Shapley values, estimated. With `average` they sum to the
        score, but for rounding.
    retrievers : dict of str to Explanation
        Why each retriever scores the item as it does, in its own unit; those that explain nothing are left out.
    """

    average: float
    columns: dict[str, float]
    retrievers: dict[str, Explanation]

    def __repr__(self) -> str:
        """The score, the five columns that move it most, and the five items of the history that do."""
        lines = [super().__repr__(), f"  the ranker: {self.average:+.6g} on average"]
        greatest = sorted(self.columns.items(), key=lambda entry: -abs(entry[1]))
        lines += [f"    {part:+.6g}  {name}" for name, part in greatest[:5]]
        if len(greatest) > 5:
            lines.append(
                f"    {sum(part for _, part in greatest[5:]):+.6g}  {len(greatest) - 5} more columns"
            )
        return "\n".join(lines)


COMMON_ONLY = ("cocount", "jaccard", "dice", "tversky", "conditional_probability", "lift")
"""Measures that look at which entries two rows have in common, not at their values."""


def by_items_in_common(
    votes: NDArray[np.float64], terms: NDArray[np.float64]
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The votes of similar users, given on to the items that made them similar.

    Row v of `terms` (users × items) holds what each item adds to the similarity of user v.
    """
    totals = terms.sum(axis=1, keepdims=True)
    shares = np.divide(terms, totals, out=terms, where=totals != 0.0)
    parts = votes @ shares
    items = np.flatnonzero(parts).astype(np.int32)
    return items, parts[items]


def exact(score: float, base: float, parts: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """`base` and `parts` with the rounding of the float32 score put into the largest, so that they sum to it.

    Where there are no parts all of the score is base.
    """
    if not len(parts):
        return score, parts
    parts = parts.astype(np.float64)
    sizes = np.abs(parts)
    largest, smallest = int(np.argmax(sizes)), int(np.argmin(sizes))
    # A few rounds: taking the difference may itself round. What is finer than the last bit of the largest part,
    # where that exceeds the score, goes into the smallest.
    for at in (largest, largest, largest, smallest, smallest):
        rest = score - math.fsum([base, *parts])
        if rest == 0.0:
            break
        parts[at] += rest
    return base, parts
