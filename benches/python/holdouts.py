"""Real data for the accuracy table, cut into what is learned, what is tuned on, and what is reported on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

import ferrec

SHARE = 0.1
"""Of each user's items that are held out."""


@dataclass(frozen=True)
class Holdout:
    """Users × items, every value 1; no pair is in two of them."""

    learn: sp.csr_array  # while tuning
    tune: sp.csr_array  # what the parameters are chosen by
    report: sp.csr_array  # looked at once, after refitting on `learned`

    @property
    def learned(self) -> sp.csr_array:
        """What is known when the reported part is not: `learn` and `tune`."""
        return sp.csr_array(self.learn + self.tune)


def gowalla(folder: Path, seed: int) -> Holdout:
    """Check-ins; the report is on the published validation part, which the published training part includes."""
    train, valid = pairs(folder / "train.csv.gz"), pairs(folder / "valid.csv.gz")
    shape = (train[:, 0].max() + 1, train[:, 1].max() + 1)
    report = ones(valid, shape)
    return two_parts(sp.csr_array(ones(train, shape) - report), report, seed)


def movielens(folder: Path, seed: int) -> Holdout:
    """Who rated what with 4 stars or more; random parts."""
    table = read(folder / "interactions.csv.gz", (0, 1, 2))
    return three_parts(compact(table[table[:, 2] >= 4.0, :2]), seed)


def lastfm(folder: Path, seed: int) -> Holdout:
    """Who listened to whom; random parts."""
    return three_parts(compact(pairs(folder / "interactions.csv.gz")), seed)


SETS: dict[str, Callable[[Path, int], Holdout]] = {
    "gowalla": gowalla,
    "ml-latest-small": movielens,
    "lastfm-hetrec": lastfm,
}


RATINGS = "ml-100k"
"""The set whose ratings are predicted."""


def ratings(folder: Path) -> ferrec.Interactions:
    """MovieLens-100K as `get-ml-100k.sh` writes it: users, items, ratings."""
    users, items, values = read(folder / "interactions.csv", (0, 1, 2)).T
    return ferrec.Interactions.from_arrays(users.astype(int), items.astype(int), values)


def read(path: Path, columns: tuple[int, ...]) -> NDArray[np.float64]:
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=columns)


def pairs(path: Path) -> NDArray[np.int64]:
    return read(path, (0, 1)).astype(np.int64)


def compact(table: NDArray[np.float64] | NDArray[np.int64]) -> sp.csr_array:
    """Pairs of any ids as a matrix."""
    codes = [np.unique(column, return_inverse=True)[1] for column in table.T]
    return ones(np.stack(codes, axis=1), (codes[0].max() + 1, codes[1].max() + 1))


def ones(entries: NDArray[np.int64], shape: tuple[int, int]) -> sp.csr_array:
    x = sp.coo_array((np.ones(len(entries), np.float32), tuple(entries.T)), shape=shape).tocsr()
    x.data[:] = 1.0
    return x


def three_parts(x: sp.csr_array, seed: int) -> Holdout:
    return two_parts(*split(x, seed + 1), seed)


def two_parts(learned: sp.csr_array, report: sp.csr_array, seed: int) -> Holdout:
    learned.eliminate_zeros()
    return Holdout(*split(learned, seed), report)


def split(x: sp.csr_array, seed: int) -> tuple[sp.csr_array, sp.csr_array]:
    """Of each user with two items or more a random tenth, at least one, goes to the second part."""
    counts = np.diff(x.indptr)
    rows = np.repeat(np.arange(x.shape[0]), counts)
    order = np.lexsort((np.random.default_rng(seed).random(x.nnz), rows))
    place = np.empty(x.nnz, np.int64)
    place[order] = np.arange(x.nnz) - x.indptr[rows]
    size = np.where(counts > 1, np.maximum(np.rint(counts * SHARE), 1), 0)
    held = place < size[rows]
    entries = np.stack([rows, x.indices], axis=1)
    return ones(entries[~held], x.shape), ones(entries[held], x.shape)
