"""The rows of factor models: truncated SVD, the best items of dense queries, ALS, vectors of items.

How good an answer is: for the SVD the greatest relative error of a singular value (the truth is ARPACK's in
float64 with tolerance 0, computed once and kept), at most 1e-4 for ferrec; for ALS the training loss, computed in
NumPy from the factors, for ferrec at most each peer's (all minimize the same: weights of 1 + rating, 64 factors;
the peers for 10 epochs, ferrec until it is below them); for vectors of items the share of nearest items that are
near in truth, for ferrec at least the peer's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from engines import Engine, Inputs, Judge, Result, Row, Run
from numpy.typing import NDArray
from shapes import SHAPES, cache, matrix, path_of

K_SVD = 128
SIGMA_ERROR = 1e-4
DIMENSIONS = 128
K_ITEMS = 10
K_ALS = 64
REG = 10.0
EPOCHS = 10
SOONER = {SHAPES["1m"][:2]: 9}
"""Shape → epochs after which ferrec's loss is below every peer's after `EPOCHS`, where it takes fewer."""
K_VECTORS = 64
WINDOW = 5
NEGATIVE = 5  # gensim's default; ferrec's is to keep all that is above chance, `shift=1`
NEAR = 25
"""Items so many places apart are near each other in truth."""


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


def sigma(shape: str) -> NDArray[np.float64]:
    """The singular values to hold the others against; minutes at the 20m shape, once."""
    path = cache() / f"{path_of(shape).stem}-sigma.npy"
    if not path.exists():
        from scipy.sparse.linalg import svds

        values = svds(matrix(shape).astype(np.float64), K_SVD, return_singular_vectors=False)
        np.save(path, np.sort(values)[::-1])
    return np.load(path)


def judge_svd(shape: str, ours: Result, answer: Result) -> tuple[str, bool]:
    truth = sigma(shape)
    mine, error = (np.abs(values / truth - 1).max() for values in (ours, answer))
    return f"σ off by {error:.0e}", bool(mine > SIGMA_ERROR)


# --- The 10 best items of every query, what was seen left out -------------------------------------------------


def ferrec_factors(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_factors

    return lambda: top_k_factors(inputs.queries, inputs.items, K_ITEMS, n_threads=threads)


def ferrec_unseen(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_factors

    x = inputs.x
    return lambda: top_k_factors(inputs.queries, inputs.items, K_ITEMS, exclude=x, n_threads=threads)


def faiss_factors(inputs: Inputs, threads: int) -> Run:
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(DIMENSIONS)
    index.add(inputs.items)
    return lambda: index.search(inputs.queries, K_ITEMS)[::-1]


def implicit_unseen(inputs: Inputs, threads: int) -> Run:
    from implicit.cpu.topk import topk

    seen = sp.csr_matrix(inputs.x)
    return lambda: topk(inputs.items, inputs.queries, K_ITEMS, filter_query_items=seen, num_threads=threads)


def random_inputs(shape: str) -> Inputs:
    x, rng = matrix(shape), np.random.default_rng(0)
    queries = rng.standard_normal((x.shape[0], DIMENSIONS), dtype=np.float32)
    return Inputs(x, queries=queries, items=rng.standard_normal((x.shape[1], DIMENSIONS), dtype=np.float32))


def svd_inputs(shape: str) -> Inputs:
    """Users and items in the space of the largest singular vectors; computed once and kept."""
    path, x = cache() / f"{path_of(shape).stem}-factors.npz", matrix(shape)
    if not path.exists():
        from ferrec.kernels import truncated_svd

        svd = truncated_svd(x, DIMENSIONS)
        np.savez(path, queries=svd.u * svd.s, items=np.ascontiguousarray(svd.vt.T))
    with np.load(path) as parts:
        return Inputs(x, queries=parts["queries"], items=parts["items"])


# --- Factors of implicit feedback: users, then items ------------------------------------------------------------


def whole(shape: str) -> Inputs:
    return Inputs(matrix(shape))


def ferrec_als(solver: str) -> Engine:
    def engine(inputs: Inputs, threads: int) -> Run:
        from ferrec.kernels import als

        epochs = SOONER.get(inputs.x.shape, EPOCHS)

        def run() -> Result:
            found = als(inputs.x, K_ALS, reg=REG, solver=solver, epochs=epochs, n_threads=threads)
            return np.concatenate([found.users, found.items])

        return run

    return engine


def implicit_als(inputs: Inputs, threads: int) -> Run:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    confidences = sp.csr_matrix(inputs.x, copy=True)
    confidences.data += 1.0

    def run() -> Result:
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

    def run() -> Result:
        # factors, alpha0, reg, nu, start, solver, steps, subspace, objective, seed, threads, two for predictions
        trainer = IALSTrainer(x, K_ALS, 1.0, REG, 0.0, 0.1, solver, 3, 64, objective, 0, threads, 5, 1)
        for _ in range(EPOCHS):
            trainer.run_epoch()
        return np.concatenate([trainer.core_trainer.user, trainer.core_trainer.item])

    return run


def loss(x: sp.csr_array, factors: NDArray[Any]) -> float:
    """The objective of ALS, from its definition, in float64."""
    users, items = np.split(factors.astype(np.float64), [x.shape[0]])
    entries, total = x.tocoo(), 0.0
    for start in range(0, entries.nnz, 1 << 20):
        some = slice(start, start + (1 << 20))
        score = np.einsum("nk,nk->n", users[entries.row[some]], items[entries.col[some]])
        total += float(((1.0 + entries.data[some]) * (1.0 - score) ** 2 - score**2).sum())
    everywhere = float(((users.T @ users) * (items.T @ items)).sum())
    return total + everywhere + REG * float((factors.astype(np.float64) ** 2).sum())


def judge_als(shape: str, ours: Result, answer: Result) -> tuple[str, bool]:
    mine, theirs = (loss(matrix(shape), factors) for factors in (ours, answer))
    return f"loss {theirs / mine - 1.0:+.2%}", mine > theirs


# --- Vectors of items from sequences ----------------------------------------------------------------------------


def walks(shape: str) -> Inputs:
    """Every user walks along the circle of all items; an event in ten is an item of no meaning, a popular one."""
    n_users, n_items, nnz = SHAPES[shape]
    rng, length = np.random.default_rng(0), nnz // n_users
    start = rng.uniform(0, n_items, (n_users, 1))
    walk = start + np.cumsum(rng.normal(0, 3, (n_users, length)), axis=1)
    anything = rng.zipf(1.5, (n_users, length))
    places = np.where(rng.random((n_users, length)) < 0.1, anything, np.rint(walk).astype(np.int64)) % n_items
    rows = np.repeat(np.arange(n_users), length)
    x = sp.csr_array((np.ones(places.size, np.float32), (rows, places.ravel())), shape=(n_users, n_items))
    return Inputs(x, places=places)


def ferrec_vectors(inputs: Inputs, threads: int) -> Run:
    import ferrec

    places, n_items = inputs.places, inputs.x.shape[1]
    assert places is not None
    users, times = np.repeat(np.arange(len(places)), places.shape[1]), np.arange(places.size)
    data = ferrec.Interactions.from_arrays(users, places.ravel(), times=times)
    model = ferrec.ItemEmbeddings(n_factors=K_VECTORS, window_size=WINDOW, n_threads=threads)

    def run() -> Result:
        return placed(model.fit(data).embeddings, data.items.values, n_items)

    return run


def gensim_vectors(inputs: Inputs, threads: int) -> Run:
    from gensim.models import Word2Vec

    places, n_items = inputs.places, inputs.x.shape[1]
    assert places is not None
    sentences = places.astype(str).tolist()

    def run() -> Result:
        vectors = Word2Vec(
            sentences,
            vector_size=K_VECTORS,
            window=WINDOW,
            shrink_windows=False,
            sg=1,
            negative=NEGATIVE,
            sample=0.0,
            min_count=1,
            workers=threads,
        ).wv
        return placed(vectors.vectors, np.array(vectors.index_to_key, np.int64), n_items)

    return run


def placed(vectors: NDArray[Any], ids: NDArray[Any], n_items: int) -> NDArray[np.float32]:
    """A row for every item, zeros for those that nobody met."""
    table = np.zeros((n_items, vectors.shape[1]), np.float32)
    table[ids] = vectors
    return table


def judge_vectors(shape: str, ours: Result, answer: Result) -> tuple[str, bool]:
    mine, theirs = right_neighbors(ours), right_neighbors(answer)
    return f"{theirs:.1%} of neighbors right", mine < theirs


def right_neighbors(vectors: NDArray[np.float32]) -> float:
    """Of the 10 items with the greatest cosine, the share that is near on the circle."""
    from ferrec.kernels import top_k_factors

    n = len(vectors)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    best = top_k_factors(unit, unit, K_ITEMS, exclude=sp.eye_array(n, dtype=np.float32, format="csr"))
    rows = np.repeat(np.arange(n), np.diff(best.indptr))
    off = np.abs(rows - best.indices)
    return float((np.minimum(off, n - off) <= NEAR).mean())


def lists(title: str, engines: dict[str, Engine], inputs: Callable[[str], Inputs]) -> Row:
    """A row about the best items of factors, which all engines should find."""
    title = f"top 10 of {DIMENSIONS} {title}"
    return Row(title, K_ITEMS, True, engines, ("1m", "20m"), False, "models", inputs=inputs)


def fits(
    title: str, k: int, engines: dict[str, Engine], inputs: Callable[[str], Inputs], judge: Judge
) -> Row:
    """A row about learning factors, which engines find differently and a judge compares."""
    where = ("1m", "20m"), True, "models", False
    return Row(title, k, True, engines, *where, inputs=inputs, judge=judge)


SVDS = {"ferrec": ferrec_svd, "scipy": arpack_svd, "sklearn": sklearn_svd}
TOP_TEN = {"ferrec": ferrec_factors, "faiss": faiss_factors}
UNSEEN = {"ferrec": ferrec_unseen, "implicit": implicit_unseen}
ALS = {
    "ferrec": ferrec_als("cg"),
    "implicit": implicit_als,
    "irspack": irspack_als,
    "ferrec-cholesky": ferrec_als("cholesky"),
    "ferrec-ials++": ferrec_als("ials++"),
}
VECTORS = {"ferrec": ferrec_vectors, "gensim": gensim_vectors}

ROWS = {
    "svd": fits(f"truncated SVD, k = {K_SVD}", K_SVD, SVDS, whole, judge_svd),
    "factors": lists("random factors for every user", TOP_TEN, random_inputs),
    "factors-unseen": lists("random factors for every user, seen left out", UNSEEN, random_inputs),
    "factors-svd": lists("factors of the SVD for every user", TOP_TEN, svd_inputs),
    "als": fits(f"ALS, {K_ALS} factors, to the loss of {EPOCHS} epochs", K_ALS, ALS, whole, judge_als),
    "embeddings": fits(
        f"vectors of items, k = {K_VECTORS}, window {WINDOW}", K_VECTORS, VECTORS, walks, judge_vectors
    ),
}
