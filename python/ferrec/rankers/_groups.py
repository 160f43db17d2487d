"""What a ranker learns from in one pass: each pair that came true beside some of its query that did not."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferrec.errors import DataError
from ferrec.rankers.base import LabeledPairs


@dataclass(frozen=True, eq=False)
class Groups:
    """Draws negatives for positives, uniformly and with replacement among the candidates of the same query.

    The retrievers proposed them: they are the hard ones.
    """

    positives: NDArray[np.int64]
    """The pairs that came true, of queries that have others too."""
    negatives: NDArray[np.int64]
    """All that did not, query after query."""
    starts: NDArray[np.int64]
    """Where the negatives of each positive's query begin in `negatives`."""
    counts: NDArray[np.int64]
    """How many these are."""
    size: int | None
    """Negatives for each positive; None for every pair as it comes."""

    @classmethod
    def of(cls, pairs: LabeledPairs, size: int | None) -> "Groups":
        """Of these pairs.

        Raises
        ------
        DataError
            No query has both a pair that came true and one that did not.
        """
        positives, negatives = np.flatnonzero(pairs.labels == 1), np.flatnonzero(pairs.labels == 0)
        bounds = np.searchsorted(negatives, pairs.candidates.indptr)
        rows = pairs.candidates.rows[positives]
        starts, counts = bounds[rows], bounds[rows + 1] - bounds[rows]
        kept = np.ones(len(rows), np.bool_) if size is None else counts > 0
        if not kept.any():
            raise DataError(
                "labels",
                "no query has both a 1 and a 0",
                advice="widen the candidates, or set negatives=None",
            )
        return cls(positives[kept], negatives, starts[kept], counts[kept], size)

    def __len__(self) -> int:
        """How many groups a pass has."""
        return len(self.positives) + (len(self.negatives) if self.size is None else 0)

    def draw(self, seed: tuple[int, ...]) -> NDArray[np.int64]:
        """The pairs of one pass in random order, the same for the same seed.

        Returns
        -------
        ndarray of int64, shape (n_groups, 1 + size)
            The positive first. With `size` None each pair is a group of its own.
        """
        rng = np.random.default_rng(seed)
        if self.size is None:
            every = np.concatenate([self.positives, self.negatives])
            return rng.permutation(every)[:, None]
        order = rng.permutation(len(self.positives))
        starts, counts = self.starts[order, None], self.counts[order, None]
        drawn = starts + (rng.random((len(order), self.size)) * counts).astype(np.int64)
        return np.concatenate([self.positives[order, None], self.negatives[drawn]], axis=1)
