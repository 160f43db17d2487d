"""The models of the accuracy table, ferrec's and its peers', each with the grid that it is tuned over.

A contestant is `(x, params, users, threads) -> lists`: fitted on users × items `x`, it gives for each of the users
the `TOP` best items that he has not, best first, by the library's own means. Grids of models that minimize the same
have as many points, and the same ones where the libraries write the objective in the same way.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

import ferrec

TOP = 20
BLOCK = 1024
MANY = 20_000
"""Items, above which EASE is computed in float32, keeps its `KEPT` largest weights, and has a coarse grid."""
KEPT = 1000
PATIENCE = 8
"""Minutes that a point may take on two cores."""

Json = dict[str, Any]
Params = Mapping[str, Any]
Lists = sp.csr_array
Recommend = Callable[[sp.csr_array, Params, NDArray[np.int64], int], Lists]


@dataclass(frozen=True)
class Contestant:
    """A model and what is tried with it."""

    package: str
    recommend: Recommend
    grid: tuple[Json, ...]
    bytes_per_pair: int = 0
    """Memory for every pair of items, where that is what limits it."""
    most: int | None = None
    """Items, above which one point takes longer than `PATIENCE` minutes."""
    coarse: tuple[Json, ...] = ()
    """What is tried with more than `MANY` items, where a point of the whole grid takes too long."""

    def points(self, n_items: int) -> tuple[Json, ...]:
        return self.coarse if self.coarse and n_items > MANY else self.grid


def grid(**values: tuple[Any, ...]) -> tuple[Json, ...]:
    """Every combination."""
    return tuple(dict(zip(values, point, strict=True)) for point in product(*values.values()))


# --- ferrec ---------------------------------------------------------------------------------------------------


def ours(model: type[Any], **fixed: Any) -> Recommend:
    def recommend(x: sp.csr_array, params: Params, users: NDArray[np.int64], threads: int) -> Lists:
        fitted = model(**fixed, **params)
        if "n_threads" in fitted.get_params():
            fitted.set_params(n_threads=threads)
        fitted.fit(ferrec.Interactions.from_csr(x))
        return fitted.recommend(users, TOP).to_csr()

    return recommend


def ease(x: sp.csr_array, params: Params, users: NDArray[np.int64], threads: int) -> Lists:
    """With every weight where there is room for them."""
    fixed = {} if x.shape[1] <= MANY else {"dtype": "float32", "k": KEPT}
    return ours(ferrec.EASE, **fixed)(x, params, users, threads)


# --- implicit ---------------------------------------------------------------------------------------------------


def implicit_als(x: sp.csr_array, params: Params, users: NDArray[np.int64], threads: int) -> Lists:
    from implicit.cpu.als import AlternatingLeastSquares

    seen = sp.csr_matrix(x)
    with threadpool_limits(1, "blas"):  # as implicit asks for
        model = AlternatingLeastSquares(**params, iterations=EPOCHS, num_threads=threads, random_state=0)
        model.fit(seen, show_progress=False)
        items, scores = model.recommend(users, seen[users], TOP)
    return ranked(
        items, scores > np.finfo(np.float32).min, x.shape[1]
    )  # what is left out comes last, with −max


# --- irspack ----------------------------------------------------------------------------------------------------


def irspack(name: str, **fixed: Any) -> Recommend:
    def recommend(x: sp.csr_array, params: Params, users: NDArray[np.int64], threads: int) -> Lists:
        import irspack

        kind = getattr(irspack, name)
        options = {**fixed, **params}
        if "n_threads" in kind.__init__.__annotations__:
            options["n_threads"] = threads
        model = kind(sp.csr_matrix(x), **options).learn()
        rows = [
            best(np.asarray(model.get_score_remove_seen(users[start : start + BLOCK])))
            for start in range(0, len(users), BLOCK)
        ]
        items, scores = (np.concatenate(parts) for parts in zip(*rows, strict=True))
        return ranked(items, np.isfinite(scores), x.shape[1])

    return recommend


def irspack_slim(x: sp.csr_array, params: Params, users: NDArray[np.int64], threads: int) -> Lists:
    """With the weights of the objective as ferrec writes it."""
    l1, l2 = params["l1"], params["l2"]
    same = {"alpha": (l1 + l2) / x.shape[0], "l1_ratio": l1 / (l1 + l2)}
    return irspack("SLIMRecommender")(x, same, users, threads)


def best(scores: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """The columns of the largest values of each row, best first, and these; the smaller column where equal."""
    most = min(TOP, scores.shape[1])
    at = np.sort(np.argpartition(-scores, most - 1, axis=1)[:, :most], axis=1)
    found = np.take_along_axis(scores, at, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(at, order, axis=1), np.take_along_axis(found, order, axis=1)


def ranked(items: NDArray[Any], valid: NDArray[np.bool_], n_items: int) -> Lists:
    """Lists of one length, of which some places may not count, as ferrec's kernels give theirs."""
    indptr = np.concatenate([[0], np.cumsum(valid.sum(axis=1))])
    indices = items[valid].astype(np.int32)
    return sp.csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=(len(items), n_items))


# --- The grids ----------------------------------------------------------------------------------------------------

EPOCHS = 16
"""Of every ALS."""

NEIGHBORS = grid(k=(50, 100, 200, 400), weighting=(None, "tfidf", "bm25"))
L1_L2 = grid(l1=(0.5, 1.0), l2=(20.0, 50.0, 100.0, 200.0))
SIZES = (64, 256)
UNOBSERVED = (0.01, 0.03, 0.1)
"""Weight of a pair that is not in the data; implicit has its inverse, and its regularization grows with that."""
REGS = grid(reg=(50.0, 100.0, 200.0, 400.0, 800.0))

CONTESTANTS: dict[str, Contestant] = {
    "Popularity": Contestant("ferrec", ours(ferrec.Popularity), ({},)),
    "ItemKNN": Contestant("ferrec", ours(ferrec.ItemKNN), NEIGHBORS),
    "UserKNN": Contestant("ferrec", ours(ferrec.UserKNN), NEIGHBORS),
    "RP3Beta": Contestant(
        "ferrec",
        ours(ferrec.RP3Beta),
        grid(k=(200, 500), alpha=(0.6, 0.8, 1.0), beta=(0.2, 0.4)),
    ),
    "RP3beta (irspack)": Contestant(
        "irspack",
        irspack("RP3betaRecommender"),
        grid(top_k=(200, 1000), beta=(0.1, 0.2, 0.4), normalize_weight=(False, True)),
    ),
    "EASE": Contestant("ferrec", ease, REGS, bytes_per_pair=4, coarse=grid(reg=(50.0, 200.0, 800.0))),
    "DenseSLIM (irspack)": Contestant("irspack", irspack("DenseSLIMRecommender"), REGS, bytes_per_pair=8),
    "SLIM": Contestant("ferrec", ours(ferrec.SLIM), L1_L2),
    "SLIM (irspack)": Contestant("irspack", irspack_slim, L1_L2, most=10_000),
    "PureSVD": Contestant(
        "ferrec",
        ours(ferrec.PureSVD),
        grid(n_factors=(64, 128, 256, 512), weighting=(None, "tfidf", "bm25")),
    ),
    "ItemEmbeddings": Contestant(
        "ferrec",
        ours(ferrec.ItemEmbeddings),
        grid(n_factors=SIZES, shift=(1, 5), context_smoothing=(0.3, 0.5, 0.75)),
    ),
    "ALS": Contestant(
        "ferrec",
        ours(ferrec.ALS, epochs=EPOCHS),
        grid(n_factors=SIZES, alpha0=UNOBSERVED, reg=(0.003, 0.01)),
    ),
    "IALS (irspack)": Contestant(
        "irspack",
        irspack("IALSRecommender", train_epochs=EPOCHS),
        grid(n_components=SIZES, alpha0=UNOBSERVED, reg=(0.003, 0.01)),
    ),
    "ALS (implicit)": Contestant(
        "implicit",
        implicit_als,
        grid(factors=SIZES, alpha=(100.0, 33.0, 10.0), regularization=(20.0, 100.0)),
    ),
}
