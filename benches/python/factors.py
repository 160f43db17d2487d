"""The factor kernels beside their peers: truncated SVD, alternating least squares, the best items of dense queries.

    python benches/python/factors.py                        # the 1m shape, every row
    python benches/python/factors.py --shapes 20m --rows svd
    python benches/python/factors.py --shapes 20m --rows factors --queries 30000
    python benches/python/factors.py --shapes 1m,20m --rows als

Every engine runs in a fresh process, `--rounds` times, the engines in turn. Printed are the median seconds, the
ratio to ferrec's, the peak memory above the loaded input, and how good the answer is: for the SVD the greatest
relative error of a singular value (the truth is ARPACK's in float64 with tolerance 0, computed once and kept), for
the ranking the share of rows that hold ferrec's items, for ALS the training loss, computed in NumPy from the
factors: the run fails where ferrec's is above a peer's. All minimise the same: weights of 1 + rating, 64 factors,
10 epochs.

An engine is `(inputs, threads) -> run` as in `engines.py`, whose `Row` the ranking fits as it is
(`square=False`); the answers of the SVD are no rankings, which is why these rows have a driver of their own.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp
from compare import peak_bytes, reset_peak, timed
from engines import Run
from shapes import SHAPES, cache, matrix, path_of

K_SVD = 128
DIMENSIONS = 128
K_ITEMS = 10
K_ALS = 64
REG = 10.0
EPOCHS = 10


@dataclass(frozen=True)
class Inputs:
    """What every engine gets; nothing may change it."""

    x: sp.csr_array  # users × items; what a user has seen
    queries: np.ndarray  # users × 128
    items: np.ndarray  # items × 128


Engine = Callable[[Inputs, int], Run]


# --- The 128 largest singular triplets ----------------------------------------------------------------------


def ferrec_svd(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import truncated_svd

    return lambda: truncated_svd(inputs.x, K_SVD, n_threads=threads).s


def arpack_svd(inputs: Inputs, threads: int) -> Run:
    from scipy.sparse.linalg import svds

    return lambda: np.sort(svds(inputs.x, K_SVD)[1])[::-1]


def sklearn_svd(inputs: Inputs, threads: int) -> Run:
    from sklearn.utils.extmath import randomized_svd

    return lambda: randomized_svd(inputs.x, K_SVD, n_iter=5, random_state=0)[1]


# --- The 10 best items of every query, what was seen left out -------------------------------------------------


def ferrec_factors(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_factors

    return lambda: top_k_factors(inputs.queries, inputs.items, K_ITEMS, n_threads=threads).indices


def ferrec_unseen(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_factors

    x = inputs.x
    return lambda: top_k_factors(inputs.queries, inputs.items, K_ITEMS, exclude=x, n_threads=threads).indices


def faiss_factors(inputs: Inputs, threads: int) -> Run:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(inputs.items)
    return lambda: index.search(inputs.queries, K_ITEMS)[1]


def implicit_unseen(inputs: Inputs, threads: int) -> Run:
    from implicit.cpu.topk import topk

    seen = sp.csr_matrix(inputs.x)
    return lambda: topk(inputs.items, inputs.queries, K_ITEMS, filter_query_items=seen, num_threads=threads)[
        0
    ]


# --- Factors of implicit feedback: users, then items ------------------------------------------------------------


def ferrec_als(inputs: Inputs, threads: int, solver: str = "cg") -> Run:
    from ferrec.kernels import als

    def run() -> np.ndarray:
        found = als(inputs.x, K_ALS, reg=REG, solver=solver, epochs=EPOCHS, n_threads=threads)
        return np.concatenate([found.users, found.items])

    return run


def ferrec_cholesky(inputs: Inputs, threads: int) -> Run:
    return ferrec_als(inputs, threads, "cholesky")


def ferrec_subspaces(inputs: Inputs, threads: int) -> Run:
    return ferrec_als(inputs, threads, "ials++")


def implicit_als(inputs: Inputs, threads: int) -> Run:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    confidences = sp.csr_matrix(inputs.x, copy=True)
    confidences.data += 1.0

    def run() -> np.ndarray:
        with threadpool_limits(1, "blas"):  # as implicit asks for
            model = AlternatingLeastSquares(
                factors=K_ALS, regularization=REG, iterations=EPOCHS, num_threads=threads, random_state=0
            )
            model.fit(confidences, show_progress=False)
        return np.concatenate([model.user_factors, model.item_factors])

    return run


def irspack_als(inputs: Inputs, threads: int) -> Run:
    from irspack.recommenders.ials import IALSTrainer, str_to_loss_type, str_to_solver_type

    x = sp.csr_matrix(inputs.x)
    solver, objective = str_to_solver_type("CG"), str_to_loss_type("ORIGINAL")

    def run() -> np.ndarray:
        # factors, alpha0, reg, nu, start, solver, steps, subspace, objective, seed, threads, two for predictions
        trainer = IALSTrainer(x, K_ALS, 1.0, REG, 0.0, 0.1, solver, 3, 64, objective, 0, threads, 5, 1)
        for _ in range(EPOCHS):
            trainer.run_epoch()
        return np.concatenate([trainer.core_trainer.user, trainer.core_trainer.item])

    return run


ROWS: dict[str, dict[str, Engine]] = {
    "svd": {"ferrec": ferrec_svd, "scipy": arpack_svd, "sklearn": sklearn_svd},
    "als": {
        "ferrec": ferrec_als,
        "implicit": implicit_als,
        "irspack": irspack_als,
        "ferrec-cholesky": ferrec_cholesky,
        "ferrec-ials++": ferrec_subspaces,
    },
    "factors": {"ferrec": ferrec_factors, "faiss": faiss_factors},
    "factors-unseen": {"ferrec": ferrec_unseen, "implicit": implicit_unseen},
}


WHOLE = ("svd", "als")
"""Rows whose work is the matrix itself, not its queries."""


# --- The driver -------------------------------------------------------------------------------------------


def load_inputs(shape: str, n_queries: int) -> Inputs:
    x = matrix(shape)
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((x.shape[0], DIMENSIONS), dtype=np.float32)
    items = rng.standard_normal((x.shape[1], DIMENSIONS), dtype=np.float32)
    if n_queries:
        x, queries = x[:n_queries], queries[:n_queries]
    return Inputs(x, queries, items)


def truth(shape: str) -> np.ndarray:
    """The singular values to hold the others against; minutes at the 20m shape, once."""
    path = cache() / f"{path_of(shape).stem}-sigma.npy"
    if not path.exists():
        from scipy.sparse.linalg import svds

        values = svds(matrix(shape).astype(np.float64), K_SVD, return_singular_vectors=False)
        np.save(path, np.sort(values)[::-1])
    return np.load(path)


def worker(job: dict[str, Any]) -> None:
    """One run of one engine; leaves the answer and prints the timing."""
    inputs = load_inputs(job["shape"], 0 if job["row"] in WHOLE else job["queries"])
    engine = ROWS[job["row"]][job["engine"]]
    small = Inputs(inputs.x[:300, :200].tocsr(), inputs.queries[:300], inputs.items[:200])
    if job["row"] != "svd":
        engine(small, job["threads"])()
    run = engine(inputs, job["threads"])
    before = reset_peak()
    answer, timing, _ = timed(run)
    timing["peak_mib"] = (peak_bytes() - before) / (1 << 20)
    np.save(job["out"], answer)
    print(json.dumps(timing))


def start(job: dict[str, Any]) -> dict[str, Any]:
    names = ("OMP", "RAYON", "OPENBLAS", "MKL")
    environment = os.environ | {f"{name}_NUM_THREADS": str(job["threads"]) for name in names}
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def loss(x: sp.csr_array, factors: np.ndarray) -> float:
    """The objective of ALS, from its definition, in float64."""
    users, items = np.split(factors.astype(np.float64), [x.shape[0]])
    entries, total = x.tocoo(), 0.0
    for start in range(0, entries.nnz, 1 << 20):
        some = slice(start, start + (1 << 20))
        score = np.einsum("nk,nk->n", users[entries.row[some]], items[entries.col[some]])
        total += float(((1.0 + entries.data[some]) * (1.0 - score) ** 2 - score**2).sum())
    everywhere = float(((users.T @ users) * (items.T @ items)).sum())
    return total + everywhere + REG * float((factors.astype(np.float64) ** 2).sum())


def quality(row: str, shape: str, engine: str, ours: np.ndarray, answer: np.ndarray) -> str:
    if row == "svd":
        values = truth(shape)
        return f"error of σ {np.abs(answer / values - 1).max():.1e}"
    if row == "als":
        x = matrix(shape)
        mine, theirs = loss(x, ours), loss(x, answer)
        if not engine.startswith("ferrec") and mine > theirs:
            raise AssertionError(f"{shape}: ferrec's loss is {mine:.6g}, that of {engine} {theirs:.6g}")
        return f"loss {theirs:.6g}, {theirs / mine - 1.0:+.2%} of ferrec's"
    same = (ours.reshape(-1, K_ITEMS) == answer.reshape(-1, K_ITEMS)).all(axis=1).mean()
    return f"{same:.1%} of the rows are ferrec's"


def measure(row: str, shape: str, options: argparse.Namespace) -> None:
    engines = [e for e in ROWS[row] if importlib.util.find_spec(e.partition("-")[0]) is not None]
    timings: dict[str, list[dict[str, Any]]] = {engine: [] for engine in engines}
    answers = {}
    with tempfile.TemporaryDirectory(prefix="ferrec-bench-") as folder:
        for _ in range(options.rounds):
            for engine in engines:
                out = str(Path(folder) / f"{engine}.npy")
                job = {"row": row, "shape": shape, "engine": engine, "out": out}
                timings[engine].append(start(job | {"threads": options.threads, "queries": options.queries}))
                answers[engine] = np.load(out)
    seconds = {engine: median(t["seconds"] for t in timings[engine]) for engine in engines}
    for engine in engines:
        peak = max(t["peak_mib"] for t in timings[engine])
        busy = max(t.get("others_busy", 0.0) for t in timings[engine])
        print(
            f"{shape:5} {row:15} {engine:15} {seconds[engine]:8.3f} s"
            f"  ratio {seconds[engine] / seconds['ferrec']:5.2f}  +{peak:.0f} MiB"
            f"  {quality(row, shape, engine, answers['ferrec'], answers[engine])}  (others use {busy:.1f} cores)",
            flush=True,
        )


def main() -> None:
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("--shapes", default="1m", help=f"of {','.join(SHAPES)}")
    parser.add_argument("--rows", default=",".join(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=0, help="rank for so many users only")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return
    for shape in options.shapes.split(","):
        path_of(shape)  # generated before anything is timed
        for row in options.rows.split(","):
            measure(row, shape, options)


if __name__ == "__main__":
    main()
