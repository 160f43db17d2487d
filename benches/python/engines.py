"""ferrec and its peers, each doing the same work on the same input.

A row of the table is a task. An engine is a function `(inputs, threads) -> run`; what it does before it
returns `run` is preparation that a user does once (imports, building a model) and is not timed. Conversions
that the engine needs (transposing, normalizing, its own sparse type) are part of the work and timed, as
ferrec's are. Ids are not: lenskit's data set, which turns ids into numbers, is built before the timing.

Cosine: the peers count an item as its own neighbor, so they are asked for one more; lenskit does not.
Recommending: every engine gets the same similarity matrix, so that only recommending is timed and the
answers are comparable.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrec import _rust

Result = Any
"""A sparse matrix, or (ids, scores), two dense arrays with padding; where a row has a judge, also a dense array."""
Run = Callable[[], Result]
Judge = Callable[[str, Result, Result], tuple[str, bool]]
"""Of shape, ferrec's answer and an engine's: how good the engine's is, and whether ferrec's is not good enough."""


@dataclass(frozen=True)
class Inputs:
    """What every engine of a row gets; nothing may change it."""

    x: sp.csr_array  # users × items
    similarity: sp.csr_array | None = None
    """Recommending: items × items, rows best first. Strings: 3-grams × names."""
    queries: NDArray[np.float32] | None = None  # users × dimensions
    items: NDArray[np.float32] | None = None  # items × dimensions
    places: NDArray[np.int64] | None = None
    """Sequences: the items of every user, in order; as many for each."""

    def corner(self) -> "Inputs":
        """So little of it that an engine is done at once."""

        def head(rows: Any, n: int) -> Any:
            return None if rows is None else rows[:n]

        if self.places is not None:
            return Inputs(self.x[:30], places=self.places[:30])
        return Inputs(self.x[:300, :200].tocsr(), None, head(self.queries, 300), head(self.items, 200))


Engine = Callable[[Inputs, int], Run]


@dataclass(frozen=True)
class Row:
    """A task: its engines, and what the answers mean."""

    title: str
    k: int
    ratings: bool
    engines: dict[str, Engine]  # the first is the one that the others are compared with
    shapes: tuple[str, ...] = ("1m", "20m", "long")
    square: bool = True  # entities × entities: an entity may be its own neighbor in a peer's answer
    group: str = "peers"  # its table: "peers", "models"; in "measures" and "threads" every engine is ferrec
    compared: bool = True  # whether all engines should give the same answer
    work: Callable[[Inputs], int] | None = None  # multiply-adds of the naive algorithm, nothing halved
    inputs: Callable[[str], Inputs] | None = None  # of a shape, where it is not the matrix and a similarity
    judge: "Judge | None" = None  # where answers are no rankings

    @property
    def reference(self) -> str:
        return next(iter(self.engines))


NEIGHBORS = 100
RECOMMENDED = 10
ALIKE = 0.6
IRSPACK_SCORES = 1 << 22  # dense scores in a block of users, 32 MiB: irspack leaves the size to the caller


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


def irspack_items(inputs: Inputs, threads: int) -> Run:
    from irspack import CosineKNNRecommender

    def run() -> Result:
        x = sp.csr_matrix(inputs.x)
        model = CosineKNNRecommender(x, normalize=True, top_k=NEIGHBORS + 1, n_threads=threads)
        return model.learn().W

    return run


def lenskit_items(inputs: Inputs, threads: int) -> Run:
    os.environ["LK_NUM_THREADS"] = str(threads)  # read once, when the first model is trained
    from lenskit.data import DatasetBuilder
    from lenskit.knn import ItemKNNScorer

    class Uncentered(ItemKNNScorer):
        def _center_ratings(self, log: Any, timer: Any, rmat: Any) -> tuple[Any, None]:
            return rmat, None

    x = inputs.x
    ratings = bool((x.data != 1).any())
    builder = DatasetBuilder()
    builder.add_entities("user", np.arange(x.shape[0]))
    builder.add_entities("item", np.arange(x.shape[1]))
    builder.add_interactions("rating", pairs(x, ratings=ratings), entities=["user", "item"], default=True)
    data = builder.build()
    feedback = "explicit" if ratings else "implicit"

    def run() -> Result:
        model = Uncentered(save_nbrs=NEIGHBORS, min_sim=1e-30, feedback=feedback)
        model.train(data)
        return model.sim_matrix.to_scipy()

    return run


def pairs(x: sp.csr_array, *, ratings: bool) -> Any:
    """The entries as a table with user_id, item_id and rating."""
    import pandas as pd

    users = np.repeat(np.arange(x.shape[0], dtype=np.int32), np.diff(x.indptr))
    values = {"rating": x.data} if ratings else {}
    return pd.DataFrame({"user_id": users, "item_id": x.indices, **values})


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


def irspack_recommend(inputs: Inputs, threads: int) -> Run:
    from irspack import CosineKNNRecommender
    from irspack.utils.id_mapping import retrieve_recommend_from_score

    x = sp.csr_matrix(inputs.x)
    n_users, n_items = x.shape
    model = CosineKNNRecommender(x, n_threads=threads)
    model._W = sp.csc_matrix(inputs.similarity, dtype=np.float64)  # the type that learning leaves
    block = max(1, IRSPACK_SCORES // n_items)

    def run() -> Result:
        ids = np.full((n_users, RECOMMENDED), -1, dtype=np.int32)
        scores = np.zeros((n_users, RECOMMENDED))
        for begin in range(0, n_users, block):
            end = min(begin + block, n_users)
            dense = model.get_score_remove_seen_block(begin, end)
            lists = retrieve_recommend_from_score(dense, [], RECOMMENDED, threads)
            for user, found in enumerate(lists, begin):
                if found:
                    ids[user, : len(found)], scores[user, : len(found)] = zip(*found, strict=True)
        return ids, scores

    return run


# --- One user after the other, everything warm ------------------------------------------------------------

ONE_BY_ONE = 1000


def _some_users(x: sp.csr_array) -> list[int]:
    return np.linspace(0, x.shape[0] - 1, ONE_BY_ONE, dtype=np.int64).tolist()


def ferrec_one(inputs: Inputs, threads: int) -> Run:
    import ferrec
    from ferrec.kernels.handles import as_csr
    from ferrec.models.item_neighbors import ItemNeighborsState

    data = ferrec.Interactions.from_csr(inputs.x)
    model = ferrec.ItemKNN(k=NEIGHBORS, n_threads=threads)
    model.adopt(ItemNeighborsState(data.users, data.items, data.csr, as_csr(inputs.similarity)))
    users = _some_users(inputs.x)

    def run() -> Result:
        answers = [model.recommend(users=[user], n=RECOMMENDED) for user in users]
        parts = [np.concatenate([getattr(one, part) for one in answers]) for part in ("scores", "codes")]
        indptr = np.cumsum([0, *(len(one.codes) for one in answers)])
        return sp.csr_array((*parts, indptr), shape=(len(users), inputs.x.shape[1]))

    return run


def ferrec_one_row(inputs: Inputs, threads: int) -> Run:
    from ferrec.kernels import top_k_neighbors
    from ferrec.kernels.handles import as_csr

    similarity = as_csr(inputs.similarity)
    rows = [inputs.x[[user]] for user in _some_users(inputs.x)]

    def run() -> Result:
        answers = [
            top_k_neighbors(row, similarity, RECOMMENDED, exclude=row, n_threads=threads) for row in rows
        ]
        return sp.vstack(answers, format="csr")

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


# --- ferrec beside itself ---------------------------------------------------------------------------------


def ferrec_measure(measure: str) -> Engine:
    def engine(inputs: Inputs, threads: int) -> Run:
        from ferrec.kernels import top_k_similar

        return lambda: top_k_similar(inputs.x, NEIGHBORS, measure=measure, n_threads=threads)

    return engine


def on_threads(engine: Engine) -> dict[str, Engine]:
    """The engine on two threads and on one, whatever the number for the others."""

    def fixed(threads: int) -> Engine:
        return lambda inputs, _: engine(inputs, threads)

    return {"2 threads": fixed(2), "1 thread": fixed(1)}


# --- Multiply-adds ----------------------------------------------------------------------------------------


def items_work(inputs: Inputs) -> int:
    """XᵀX: each user's entries in pairs, both orders and each with itself."""
    return int((np.diff(inputs.x.indptr).astype(np.int64) ** 2).sum())


def users_work(inputs: Inputs) -> int:
    """XXᵀ: each item's entries in pairs."""
    return int((np.bincount(inputs.x.indices, minlength=inputs.x.shape[1]) ** 2).sum())


def recommend_work(inputs: Inputs) -> int:
    """X · similarity: for each entry of X the row of its item."""
    assert inputs.similarity is not None
    return int(np.diff(inputs.similarity.indptr).astype(np.int64)[inputs.x.indices].sum())


ITEMS: dict[str, Engine] = {
    "ferrec": ferrec_items,
    "similaripy": similaripy_items,
    "sparse_dot_topn": sparse_dot_topn_items,
    "implicit": implicit_items,
    "lenskit": lenskit_items,
    "irspack": irspack_items,
}

USERS: dict[str, Engine] = {
    "ferrec": ferrec_users,
    "similaripy": similaripy_users,
    "sparse_dot_topn": sparse_dot_topn_users,
}
RECOMMEND: dict[str, Engine] = {
    "ferrec": ferrec_recommend,
    "similaripy": similaripy_recommend,
    "implicit": implicit_recommend,
    "irspack": irspack_recommend,
}
MEASURES = {name: ferrec_measure(name) for name in ("cosine", *(m for m in _rust.measures if m != "cosine"))}

ROWS = {
    "items": Row("item-item cosine, top 100, ratings", NEIGHBORS, True, ITEMS, work=items_work),
    "items-binary": Row("item-item cosine, top 100, binary", NEIGHBORS, False, ITEMS, work=items_work),
    "users": Row(
        "user-user cosine, top 100, ratings",
        NEIGHBORS,
        True,
        USERS,
        shapes=("1m", "20m-users"),
        work=users_work,
    ),
    "recommend": Row(
        "item-kNN, top 10 for every user, seen left out",
        RECOMMENDED,
        True,
        RECOMMEND,
        square=False,
        work=recommend_work,
    ),
    "measures": Row(
        "item-item, top 100, ratings",
        NEIGHBORS,
        True,
        MEASURES,
        shapes=("1m", "20m"),
        group="measures",
        compared=False,
    ),
    "threads-items": Row(
        "item-item cosine, top 100, ratings",
        NEIGHBORS,
        True,
        on_threads(ferrec_items),
        group="threads",
    ),
    "threads-users": Row(
        "user-user cosine, top 100, ratings",
        NEIGHBORS,
        True,
        on_threads(ferrec_users),
        shapes=("1m", "20m-users"),
        group="threads",
    ),
    "threads-recommend": Row(
        "item-kNN, top 10 for every user, seen left out",
        RECOMMENDED,
        True,
        on_threads(ferrec_recommend),
        square=False,
        group="threads",
    ),
    "latency": Row(
        f"{ONE_BY_ONE} users one by one, item-kNN, top 10, warm",
        RECOMMENDED,
        True,
        {"ferrec": ferrec_one, "implicit": implicit_one},
        shapes=("1m",),
        square=False,
    ),
    "latency-rows": Row(
        f"{ONE_BY_ONE} histories one by one, rows and columns without ids, top 10, warm",
        RECOMMENDED,
        True,
        {"ferrec": ferrec_one_row, "implicit": implicit_one},
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
