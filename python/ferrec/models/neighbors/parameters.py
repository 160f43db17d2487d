"""The parameters that item-based and user-based neighborhoods share."""

from typing import Any, ClassVar

from ferrec.models.search_space import Choice, Float, Int, SearchSpace


class NeighborParameters:
    """What makes a similarity, with weights; `ItemKNN` says what each means."""

    search_space: ClassVar[SearchSpace] = {
        "k": Int(10, 1000, log=True),
        "measure": Choice("cosine", "jaccard", "dice"),
        "shrink": Float(0.0, 100.0),
        "weighting": Choice(None, "tfidf", "bm25"),
    }

    def __init__(
        self,
        *,
        k: int = 100,
        measure: str = "cosine",
        shrink: float = 0.0,
        alpha: float | None = None,
        beta: float | None = None,
        weighting: str | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.k = k
        self.measure = measure
        self.shrink = shrink
        self.alpha = alpha
        self.beta = beta
        self.weighting = weighting
        self.n_threads = n_threads

    def _numbers(self) -> dict[str, Any]:
        """The parameters of the measure."""
        return {"shrink": self.shrink, "alpha": self.alpha, "beta": self.beta}
