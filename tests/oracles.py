"""Naive dense answers, in float64, to what the kernels compute; and what it means that an answer agrees.

Everything here is written for the reader, not for speed: dense arrays, the formula of the definition, no
sharing with the library.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

MEASURES = {
    "cosine": (),
    "dot": (),
    "cocount": (),
    "jaccard": (),
    "dice": (),
    "tversky": ("alpha", "beta"),
    "asymmetric_cosine": ("alpha",),
    "adjusted_cosine": (),
    "pearson": (),
    "conditional_probability": ("alpha",),
    "lift": (),
    "p3alpha": ("alpha",),
    "rp3beta": ("alpha", "beta"),
}
"""Every measure and the parameters it has."""

DEFAULTS = {
    "tversky": (1.0, 1.0),
    "asymmetric_cosine": (0.5, None),
    "conditional_probability": (0.0, None),
    "p3alpha": (1.0, None),
    "rp3beta": (1.0, 0.5),
}
WALKS = ("p3alpha", "rp3beta")
"""The measures that take no negative values."""
WITHOUT_DENOMINATOR = ("dot", "cocount", "p3alpha")
"""The measures that cannot be shrunk."""


@dataclass
class Dense:
    """A matrix with every cell written out, and which cells are stored (a stored zero is a rating)."""

    values: np.ndarray
    stored: np.ndarray

    @property
    def T(self) -> "Dense":  # noqa: N802 (NumPy's name)
        return Dense(self.values.T, self.stored.T)


def dense(x: sp.sparray | sp.spmatrix) -> Dense:
    """Cell by cell, duplicates added; values as float32 holds them."""
    coo = sp.coo_array(x)
    values, stored = np.zeros(x.shape), np.zeros(x.shape, dtype=bool)
    for row, col, value in zip(*coo.coords, coo.data, strict=True):
        values[row, col] += float(np.float32(value))
        stored[row, col] = True
    return Dense(values.astype(np.float32).astype(np.float64), stored)


@dataclass
class Scores:
    """What a kernel should say for each cell, and how far float32 may be from it.

    `slack` is 0 exactly where nothing was added up: such a cell is no candidate, whatever the rounding.
    """

    values: np.ndarray
    slack: np.ndarray


RELATIVE = 1e-5
"""Rounding allowed, relative to the sum of the magnitudes that were added up."""


def product(a: np.ndarray, b: np.ndarray) -> Scores:
    """`a @ b`."""
    return Scores(a @ b, RELATIVE * (np.abs(a) @ np.abs(b)))


def similarity(
    x: Dense,
    measure: str,
    axis: str = "items",
    *,
    shrink: float = 0.0,
    alpha: float | None = None,
    beta: float | None = None,
    queries: Dense | None = None,
) -> Scores:
    """Every measure by its definition, entities (or queries) × entities, an entity with itself too."""
    default = DEFAULTS.get(measure, (None, None))
    alpha, beta = (d if given is None else given for given, d in zip((alpha, beta), default, strict=True))
    if axis == "items":
        x = x.T
    q = x if queries is None else queries
    others = x.values.shape[1]
    mine, theirs = q.values, x.values

    if measure == "adjusted_cosine":
        count = np.maximum(x.stored.sum(axis=0), 1)
        mean = x.values.sum(axis=0) / count
        mine, theirs = np.where(q.stored, mine - mean, 0.0), np.where(x.stored, theirs - mean, 0.0)
    if measure == "pearson":
        mine, theirs = _centered(q), _centered(x)
    if measure in WALKS:
        with np.errstate(divide="ignore", invalid="ignore"):
            leave = mine / mine.sum(axis=1, keepdims=True)
            arrive = theirs / theirs.sum(axis=0, keepdims=True)
        mine = np.where(mine > 0, np.nan_to_num(leave) ** alpha, 0.0)
        theirs = np.where(theirs > 0, np.nan_to_num(arrive) ** alpha, 0.0)

    s = mine @ theirs.T
    magnitude = np.abs(mine) @ np.abs(theirs).T
    has, have = (q.values != 0).astype(float), (x.values != 0).astype(float)
    both = has @ have.T
    n, m = has.sum(axis=1)[:, None], have.sum(axis=1)[None, :]
    norm, norms = np.sqrt((mine**2).sum(axis=1))[:, None], np.sqrt((theirs**2).sum(axis=1))[None, :]
    numerator, denominator = {
        "cosine": lambda: (s, norm * norms),
        "adjusted_cosine": lambda: (s, norm * norms),
        "pearson": lambda: (s, norm * norms),
        "asymmetric_cosine": lambda: (s, norm ** (2 * alpha) * norms ** (2 * (1 - alpha))),
        "dot": lambda: (s, 1.0),
        "cocount": lambda: (both, 1.0),
        "jaccard": lambda: (both, n + m - both),
        "dice": lambda: (2 * both, n + m),
        "tversky": lambda: (both, both + alpha * (n - both) + beta * (m - both)),
        "conditional_probability": lambda: (both, n * m**alpha),
        "lift": lambda: (others * both, n * m),
        "p3alpha": lambda: (s, 1.0),
        "rp3beta": lambda: (s, m**beta),
    }[measure]()
    weight = magnitude if numerator is s else numerator
    with np.errstate(divide="ignore", invalid="ignore"):
        values = np.where(weight == 0, 0.0, numerator / (denominator + shrink))
        slack = np.where(weight == 0, 0.0, RELATIVE * weight / (denominator + shrink))
    return Scores(values, slack)


def _centered(x: Dense) -> np.ndarray:
    mean = x.values.sum(axis=1) / np.maximum(x.stored.sum(axis=1), 1)
    return np.where(x.stored, x.values - mean[:, None], 0.0)


def assert_ranked(
    got: sp.csr_array,
    wanted: Scores,
    k: int,
    *,
    threshold: float | None = None,
    permitted: np.ndarray | None = None,
) -> None:
    """Every row of `got` is a best-first list of at most k of the wanted scores, as the contract says.

    Holds exactly: the shape, order (score descending, then column ascending), no duplicates, nothing that is
    not `permitted` (a mask of cells), no NaN, nothing that is 0 or not above the threshold, at most k. Fewer
    than k only where there are fewer candidates. Two scores that differ by less than their rounding may be
    exchanged, and a score within rounding of 0 or of the threshold may be there or not.
    """
    shape = wanted.values.shape
    assert got.shape == shape, f"shape {got.shape}, expected {shape}"
    assert got.dtype == np.float32
    assert got.indptr[0] == 0 and got.indptr[-1] == len(got.indices) == len(got.data)
    floor = -math.inf if threshold is None else float(np.float32(threshold))
    for row in range(shape[0]):
        lo, hi = got.indptr[row], got.indptr[row + 1]
        cols, data = got.indices[lo:hi], got.data[lo:hi].astype(np.float64)
        values, slack = wanted.values[row], wanted.slack[row]
        may = np.ones(shape[1], dtype=bool) if permitted is None else permitted[row]

        def story(row=row, cols=cols, data=data, values=values):
            return f"row {row}: columns {cols.tolist()}, scores {data.tolist()}, wanted {values.tolist()}"

        assert np.isfinite(data).all() and (data != 0).all() and (data > floor).all(), story()
        assert len(set(cols.tolist())) == len(cols), story()
        assert may[cols].all(), story()
        falls, tied = data[:-1] > data[1:], data[:-1] == data[1:]
        assert (falls | (tied & (cols[:-1] < cols[1:]))).all(), story()
        assert (np.abs(data - values[cols]) <= slack[cols]).all(), story()
        possible = may & (slack > 0) & (values + slack > floor)
        certain = possible & (values - slack > floor) & (np.abs(values) > slack)
        assert min(k, certain.sum()) <= len(cols) <= min(k, possible.sum()), story()
        if len(cols):
            certain[cols] = False
            assert not (certain & (values - slack > data[-1])).any(), story()


def weighting(
    x: Dense,
    kind: str,
    axis: str = "users",
    *,
    k1: float = 1.2,
    b: float = 0.75,
    delta: float = 1.0,
    reference: Dense | None = None,
) -> np.ndarray:
    """Every weighting, documents × terms, in the orientation of `x`."""
    if axis == "items":
        return weighting(x.T, kind, k1=k1, b=b, delta=delta).T
    v, base = x.values, x if reference is None else reference
    n, df = np.float64(base.values.shape[0]), base.stored.sum(axis=0)
    total, euclid = np.abs(v).sum(axis=1, keepdims=True), np.sqrt((v**2).sum(axis=1, keepdims=True))
    peak = np.abs(v).max(axis=1, keepdims=True, initial=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind in ("bm25", "bm25+"):
            idf = np.log(1 + (n - df + 0.5) / (df + 0.5))
            length = v.sum(axis=1, keepdims=True) / (base.values.sum() / n)
            out = idf * (v * (k1 + 1) / (v + k1 * (1 - b + b * length)) + (delta if kind == "bm25+" else 0.0))
            out = np.where(v == 0, 0.0, out)
        else:
            out = {
                "tfidf": lambda: v * (np.log((1 + n) / (1 + df)) + 1),
                "log": lambda: np.log(1 + v),
                "sqrt": lambda: np.sqrt(v),
                "binary": lambda: np.ones_like(v),
                "l1": lambda: np.where(total == 0, 0.0, v / total),
                "l2": lambda: np.where(euclid == 0, 0.0, v / euclid),
                "max": lambda: np.where(peak == 0, 0.0, v / peak),
            }[kind]()
    return np.where(x.stored, out, 0.0)


def metrics(recommended: list[int], gains: dict[int, float], k: int, n_items: int) -> dict[str, float]:
    """One list against the true items and their gains, position by position."""
    head = recommended[:k]
    hits = [item in gains for item in head]
    precision, recall = sum(hits) / k, sum(hits) / len(gains)

    def dcg(worth: list[float]) -> float:
        return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(worth, 1))

    positive = {item: max(gain, 0.0) for item, gain in gains.items()}
    ideal = dcg(sorted(positive.values(), reverse=True)[:k])
    precisions = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit]
    misses = min(k - sum(hits), n_items - len(gains))
    return {
        "precision": precision,
        "recall": recall,
        "f1": 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall),
        "hit_rate": float(any(hits)),
        "accuracy": (n_items - misses - (len(gains) - sum(hits))) / n_items,
        "ndcg": dcg([float(hit) for hit in hits]) / dcg([1.0] * min(k, len(gains))),
        "graded_ndcg": dcg([positive.get(item, 0.0) for item in head]) / ideal if ideal else 0.0,
        "map": sum(precisions) / len(gains),
        "mrr": 1 / (1 + hits.index(True)) if any(hits) else 0.0,
    }


def cooccurrence(
    users: list[int],
    items: list[int],
    times: list[int] | None,
    n_items: int,
    *,
    window_size: int | None = None,
    max_gap: int | None = None,
) -> np.ndarray:
    """Pairs of near events of one user, items × items: every pair of events is looked at."""
    counts = np.zeros((n_items, n_items))
    when = times or [0] * len(users)
    for user in set(users):
        own = sorted((event for event in range(len(users)) if users[event] == user), key=lambda e: when[e])
        for a in range(len(own)):
            for b in range(a + 1, len(own)):
                pauses = [when[own[at + 1]] - when[own[at]] for at in range(a, b)]
                i, j = items[own[a]], items[own[b]]
                near = window_size is None or b - a <= window_size
                if near and i != j and (max_gap is None or max(pauses) <= max_gap):
                    counts[i, j] += 1
                    counts[j, i] += 1
    return counts


def shifted_ppmi(counts: np.ndarray, shift: float, smoothing: float) -> np.ndarray:
    """Levy, Goldberg & Dagan (2015), equations 1 to 3, cell by cell."""
    out = np.zeros(counts.shape)
    columns = np.array([n**smoothing if n > 0 else 0 for n in counts.sum(axis=0)])
    for i, j in zip(*np.nonzero(counts), strict=True):
        joint, own = counts[i, j] / counts.sum(), counts[i].sum() / counts.sum()
        out[i, j] = max(0, math.log(joint / (own * columns[j] / columns.sum())) - math.log(shift))
    return out


def slim_objective(x: np.ndarray, weights: np.ndarray, l1: float, l2: float) -> np.ndarray:
    """½‖x_j − Xw‖² + ½ l2 ‖w‖² + l1 ‖w‖₁ for every item j, w being column j."""
    off = 0.5 * ((x - x @ weights) ** 2).sum(axis=0)
    return off + 0.5 * l2 * (weights**2).sum(axis=0) + l1 * np.abs(weights).sum(axis=0)


def slim(x: np.ndarray, l1: float, l2: float, *, positive: bool = True, passes: int = 300) -> np.ndarray:
    """Coordinate descent one weight after the other, items × items; column j predicts item j."""
    gram, n = x.T @ x, x.shape[1]
    weights = np.zeros((n, n))
    for j in range(n):
        w = weights[:, j]
        for _ in range(passes):
            for i in range(n):
                if i != j and gram[i, i] > 0:
                    free = gram[i, j] - gram[i] @ w + gram[i, i] * w[i]
                    step = np.sign(free) * max(abs(free) - l1, 0) / (gram[i, i] + l2)
                    w[i] = max(step, 0) if positive else step
    return weights


@dataclass(frozen=True)
class Alternating:
    """Implicit-feedback ALS by its definition; `x` dense, users × items."""

    alpha: float = 1.0
    alpha0: float = 1.0
    reg: float = 0.01
    nu: float = 0.0

    def penalties(self, x: np.ndarray) -> np.ndarray:
        """Of the rows."""
        return self.reg * ((x != 0).sum(axis=1) + self.alpha0 * x.shape[1]) ** self.nu

    def loss(self, x: np.ndarray, users: np.ndarray, items: np.ndarray) -> float:
        users, items = users.astype(np.float64), items.astype(np.float64)
        weights = self.alpha0 + self.alpha * x
        errors = weights * ((x != 0) - users @ items.T) ** 2
        own = self.penalties(x) @ (users**2).sum(axis=1) + self.penalties(x.T) @ (items**2).sum(axis=1)
        return float(errors.sum() + own)

    def solve(self, x: np.ndarray, items: np.ndarray) -> np.ndarray:
        """The best users for these items."""
        items = items.astype(np.float64)
        users = np.zeros((len(x), items.shape[1]))
        for user, (row, penalty) in enumerate(zip(x, self.penalties(x), strict=True)):
            weights = self.alpha0 + self.alpha * row
            matrix = (items.T * weights) @ items + penalty * np.eye(items.shape[1])
            users[user] = np.linalg.solve(matrix, items.T @ (weights * (row != 0)))
        return users

    def fit(self, x: np.ndarray, k: int, epochs: int) -> tuple[np.ndarray, np.ndarray]:
        users = np.random.default_rng(0).standard_normal((len(x), k))
        for _ in range(epochs):
            items = self.solve(x.T, users)
            users = self.solve(x, items)
        return users, items
