"""ferrec and its peers, each doing the same work on the same input.

A row of the table is a task. An engine is a function `(inputs, threads) -> run`; what it does before it
returns `run` is preparation that a user does once (imports, building a model) and is not timed. Conversions
that the engine needs (transposing, normalising, its own sparse type) are part of the work and timed, as
ferrec's are.

Cosine: the peers count an item as its own neighbour, so they are asked for one more. Recommending: every
engine gets the same similarity matrix, so that only recommending is timed and the answers are comparable.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

Result = Any
"""A sparse matrix, or (ids, scores), two dense arrays with padding."""
Run = Callable[[], Result]


@dataclass(frozen=True)
class Inputs:
    """What every engine of a row gets; nothing may change it."""

    x: sp.csr_array  # users × items
    similarity: sp.csr_array | None = None
    """Recommending: items × items, rows best first. Strings: 3-grams × names."""


Engine = Callable[[Inputs, int], Run]


@dataclass(frozen=True)
class Row:
    """A task: its engines (ferrec first), and what the answers mean."""

    title: str
    k: int
    ratings: bool
    engines: dict[str, Engine]
    shapes: tuple[str, ...] = ("1m", "20m", "long")
    square: bool = True  # entities × entities: an entity may be its own neighbour in a peer's answer


NEIGHBORS = 100
RECOMMENDED = 10
ALIKE = 0.6


# --- The k most similar -----------------------------------------------------------------------------------


def ferrec_items(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_similar

    return lambda: top_k_similar(inputs.x, NEIGHBORS, measure="cosine", axis="items", n_threads=threads)


def ferrec_users(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_similar

    return lambda: top_k_similar(inputs.x, NEIGHBORS, measure="cosine", axis="users", n_threads=threads)


def similaripy_items(inputs: Inputs, threads: int) -> Run:
    import similaripy

    return lambda: similaripy.cosine(
        inputs.x.T.tocsr(), k=NEIGHBORS + 1, verbose=False, format_output="csr", num_threads=threads
    )


def similaripy_users(inputs: Inputs, threads: int) -> Run:
    import similaripy

    return lambda: similaripy.cosine(
        inputs.x, k=NEIGHBORS + 1, verbose=False, format_output="csr", num_threads=threads
    )


def sparse_dot_topn_items(inputs: Inputs, threads: int) -> Run:
    import sparse_dot_topn

    def run() -> Result:
        x = inputs.x
        norms = np.sqrt(np.bincount(x.indices, x.data * x.data, minlength=x.shape[1]))
        inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0).astype(np.float32)
        normal = sp.csr_matrix((x.data * inverse[x.indices], x.indices, x.indptr), shape=x.shape)
        return sparse_dot_topn.sp_matmul_topn(
            normal.T.tocsr(), normal, top_n=NEIGHBORS + 1, sort=True, n_threads=threads
        )

    return run


def sparse_dot_topn_users(inputs: Inputs, threads: int) -> Run:
    import sparse_dot_topn

    def run() -> Result:
        x = inputs.x
        users = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
        norms = np.sqrt(np.bincount(users, x.data * x.data, minlength=x.shape[0]))
        inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0).astype(np.float32)
        normal = sp.csr_matrix((x.data * inverse[users], x.indices, x.indptr), shape=x.shape)
        return sparse_dot_topn.sp_matmul_topn(
            normal, normal.T.tocsr(), top_n=NEIGHBORS + 1, sort=True, n_threads=threads
        )

    return run


def implicit_items(inputs: Inputs, threads: int) -> Run:
    from implicit.nearest_neighbours import CosineRecommender

    def run() -> Result:
        model = CosineRecommender(K=NEIGHBORS + 1, num_threads=threads)
        model.fit(sp.csr_matrix(inputs.x), show_progress=False)
        return model.similarity

    return run


# --- Top 10 for every user, seen left out -----------------------------------------------------------------


def ferrec_recommend(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_neighbors

    x, similarity = inputs.x, inputs.similarity
    return lambda: top_k_neighbors(x, similarity, RECOMMENDED, exclude=x, n_threads=threads)


def similaripy_recommend(inputs: Inputs, threads: int) -> Run:
    import similaripy

    x, similarity = inputs.x, inputs.similarity
    return lambda: similaripy.dot_product(
        x,
        similarity,
        k=RECOMMENDED,
        filter_cols=x,
        verbose=False,
        format_output="csr",
        num_threads=threads,
    )


def implicit_recommend(inputs: Inputs, threads: int) -> Run:
    from implicit.nearest_neighbours import CosineRecommender, NearestNeighboursScorer

    x = sp.csr_matrix(inputs.x)
    users = np.arange(x.shape[0])
    model = CosineRecommender(K=NEIGHBORS, num_threads=threads)
    model.similarity = sp.csr_matrix(inputs.similarity, dtype=np.float64)  # the type its fit leaves
    model.scorer = NearestNeighboursScorer(model.similarity)
    return lambda: model.recommend(users, x, N=RECOMMENDED, filter_already_liked_items=True)


# --- One user after the other, everything warm ------------------------------------------------------------

ONE_BY_ONE = 1000


def _some_users(x: sp.csr_array) -> list[int]:
    return np.linspace(0, x.shape[0] - 1, ONE_BY_ONE, dtype=np.int64).tolist()


def ferrec_one(inputs: Inputs, threads: int) -> Run:
    import ferrec
    from ferrec.kernels import as_csr
    from ferrec.models._item_neighbors import ItemNeighborsState

    data = ferrec.Interactions.from_csr(inputs.x)
    model = ferrec.ItemKNN(k=NEIGHBORS, n_threads=threads)
    model._state = ItemNeighborsState(data.users, data.items, data.csr, as_csr(inputs.similarity))
    users = _some_users(inputs.x)

    def run() -> Result:
        answers = [model.recommend(users=[user], n=RECOMMENDED) for user in users]
        parts = [np.concatenate([getattr(one, part) for one in answers]) for part in ("scores", "codes")]
        indptr = np.cumsum([0, *(len(one.codes) for one in answers)])
        return sp.csr_array((*parts, indptr), shape=(len(users), inputs.x.shape[1]))

    return run


def implicit_one(inputs: Inputs, threads: int) -> Run:
    from implicit.nearest_neighbours import CosineRecommender, NearestNeighboursScorer

    x = sp.csr_matrix(inputs.x)
    model = CosineRecommender(K=NEIGHBORS, num_threads=threads)
    model.similarity = sp.csr_matrix(inputs.similarity, dtype=np.float64)
    model.scorer = NearestNeighboursScorer(model.similarity)
    users = [(user, x[user]) for user in _some_users(inputs.x)]

    def run() -> Result:
        answers = [model.recommend(user, row, N=RECOMMENDED) for user, row in users]
        return tuple(np.stack(part) for part in zip(*answers, strict=True))

    return run


# --- String matching --------------------------------------------------------------------------------------


def ferrec_strings(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_product

    return lambda: top_k_product(inputs.x, inputs.similarity, RECOMMENDED, threshold=ALIKE, n_threads=threads)


def sparse_dot_topn_strings(inputs: Inputs, threads: int) -> Run:
    import sparse_dot_topn

    queries, names = sp.csr_matrix(inputs.x), sp.csr_matrix(inputs.similarity)
    return lambda: sparse_dot_topn.sp_matmul_topn(
        queries, names, top_n=RECOMMENDED, threshold=ALIKE, sort=True, n_threads=threads
    )


ITEMS = {
    "ferrec": ferrec_items,
    "similaripy": similaripy_items,
    "sparse_dot_topn": sparse_dot_topn_items,
    "implicit": implicit_items,
}

ROWS = {
    "items": Row("item-item cosine, top 100, ratings", NEIGHBORS, True, ITEMS),
    "items-binary": Row("item-item cosine, top 100, binary", NEIGHBORS, False, ITEMS),
    "users": Row(
        "user-user cosine, top 100, ratings",
        NEIGHBORS,
        True,
        {"ferrec": ferrec_users, "similaripy": similaripy_users, "sparse_dot_topn": sparse_dot_topn_users},
        shapes=("1m",),
    ),
    "recommend": Row(
        "item-kNN, top 10 for every user, seen left out",
        RECOMMENDED,
        True,
        {"ferrec": ferrec_recommend, "similaripy": similaripy_recommend, "implicit": implicit_recommend},
        square=False,
    ),
    "latency": Row(
        f"{ONE_BY_ONE} users one by one, item-kNN, top 10, warm",
        RECOMMENDED,
        True,
        {"ferrec": ferrec_one, "implicit": implicit_one},
        shapes=("1m",),
        square=False,
    ),
    "strings": Row(
        "names by TF-IDF of 3-grams, top 10 above 0.6",
        RECOMMENDED,
        True,
        {"ferrec": ferrec_strings, "sparse_dot_topn": sparse_dot_topn_strings},
        shapes=("strings",),
        square=False,
    ),
}
