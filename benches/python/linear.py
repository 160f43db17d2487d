"""The rows of linear item-item models: EASE and SLIM.

How good an answer is: for EASE the greatest difference to ferrec's weights beside the greatest weight, at most 1e-3
(ferrec inverts in float32 here, as irspack does; its default is float64, an engine of its own); for SLIM the
objective of all items, computed in NumPy from the weights, for ferrec at most a ten-thousandth above the peer's.
"""

import numpy as np
import scipy.sparse as sp
from engines import Engine, Inputs, Result, Row, Run
from numpy.typing import NDArray
from shapes import matrix

REG = 500.0
L1, L2 = 3.0, 300.0  # about irspack's defaults at the 1m shape
SAME_WEIGHTS = 1e-3
SAME_OBJECTIVE = 1e-4


def binary(shape: str) -> Inputs:
    return Inputs(matrix(shape, ratings=False))


def ferrec_ease(dtype: str) -> Engine:
    def engine(inputs: Inputs, threads: int) -> Run:
        import ferrec

        data, n = ferrec.Interactions.from_csr(inputs.x), inputs.x.shape[1]
        model = ferrec.EASE(reg=REG, dtype=dtype, n_threads=threads)
        return lambda: model.fit(data).state.similarity.parts()[2].reshape(n, n)

    return engine


def irspack_ease(inputs: Inputs, threads: int) -> Run:
    from irspack import DenseSLIMRecommender

    x = sp.csr_matrix(inputs.x)
    return lambda: np.asarray(DenseSLIMRecommender(x, reg=REG).learn().W)


def judge_ease(shape: str, ours: Result, answer: Result) -> tuple[str, bool]:
    off = float(np.abs(ours - answer).max() / np.abs(ours).max())
    return f"weights off by {off:.0e}", off > SAME_WEIGHTS


def ferrec_slim(inputs: Inputs, threads: int) -> Run:
    import ferrec
    from ferrec.kernels.handles import to_scipy

    data = ferrec.Interactions.from_csr(inputs.x)
    model = ferrec.SLIM(l1=L1, l2=L2, n_threads=threads)
    return lambda: to_scipy(model.fit(data).state.similarity)


def irspack_slim(inputs: Inputs, threads: int) -> Run:
    from irspack import SLIMRecommender

    x = sp.csr_matrix(inputs.x)
    alpha, ratio = (L1 + L2) / x.shape[0], L1 / (L1 + L2)
    return lambda: SLIMRecommender(x, alpha=alpha, l1_ratio=ratio, n_threads=threads).learn().W


def objective(x: sp.csr_array, weights: sp.sparray) -> float:
    """½‖X − XW‖² + ½ l2 ‖W‖² + l1 ‖W‖₁, from its definition, in float64; W has no diagonal and nothing below 0."""
    dense: NDArray[np.float64] = weights.toarray().astype(np.float64)
    if dense.diagonal().any() or dense.min(initial=0.0) < 0.0:
        return np.inf
    total = 0.5 * L2 * (dense**2).sum() + L1 * dense.sum()
    for start in range(0, x.shape[0], 1024):
        some = x[start : start + 1024].astype(np.float64)
        total += 0.5 * ((some.toarray() - some @ dense) ** 2).sum()
    return float(total)


def judge_slim(shape: str, ours: Result, answer: Result) -> tuple[str, bool]:
    mine, theirs = (objective(matrix(shape, ratings=False), weights) for weights in (ours, answer))
    return f"objective {theirs / mine - 1.0:+.4%}", not mine <= theirs * (1.0 + SAME_OBJECTIVE)


ROWS = {
    "ease": Row(
        "EASE",
        0,
        False,
        {"ferrec": ferrec_ease("float32"), "irspack": irspack_ease, "ferrec-float64": ferrec_ease("float64")},
        shapes=("1m",),
        group="models",
        compared=False,
        inputs=binary,
        judge=judge_ease,
    ),
    "slim": Row(
        "SLIM",
        0,
        False,
        {"ferrec": ferrec_slim, "irspack": irspack_slim},
        shapes=("1m",),
        group="models",
        compared=False,
        inputs=binary,
        judge=judge_slim,
    ),
}
