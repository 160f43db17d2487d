"""Why a model gave a score: the parts that it is the sum of."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Explanation"]


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
        What the model would say without the history: 0 for neighbourhood models, the baseline for rating
        models, everything for models that look at no history.
    items : ndarray of labels, shape (m,)
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
