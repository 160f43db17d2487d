"""Compare two builds of ferrec in one run: the bits of every answer, and how long each takes.

    python benches/python/builds.py OLD NEW

OLD and NEW are checkouts with their compiled module in `python/ferrec`. They take turns, each in its own processes,
and the least of all times counts. Exits with 1 where an answer differs.
"""

import argparse
import hashlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

USERS, ITEMS, PAIRS = 6_040, 3_706, 890_000
RENAMED = {"n_factors": "k"}
"""Parameters by their name today, and the one of checkouts before 2026-11-30."""

Work = dict[str, tuple[int, Callable[[], Any], Callable[[Any], str]]]


def digest(*arrays: Any) -> str:
    """Of dtypes, shapes and bits."""
    found = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(array.tobytes())
    return found.hexdigest()


def of_matrix(x: Any) -> str:
    return digest(x.indptr, x.indices, x.data)


def of_lists(found: Any) -> str:
    return of_matrix(found.to_csr())


def nothing(_: Any) -> str:
    return ""


def call(function: Callable[..., Any], *args: Any, **settings: Any) -> Any:
    known = inspect.signature(function).parameters
    return function(*args, **{name if name in known else RENAMED[name]: v for name, v in settings.items()})


def kernels(x: Any) -> Work:
    from ferrec import kernels as k

    rng = np.random.default_rng(0)
    queries, items = (rng.normal(size=(n, 64)).astype(np.float32) for n in x.shape)
    near = k.top_k_similar(x, 100)
    return {
        "top_k_similar": (5, lambda: k.top_k_similar(x, 100), of_matrix),
        "top_k_similar, users": (3, lambda: k.top_k_similar(x, 100, axis="users"), of_matrix),
        "top_k_neighbors": (5, lambda: k.top_k_neighbors(x, near, 10, exclude=x), of_matrix),
        "top_k_product": (3, lambda: k.top_k_product(x, sp.csr_array(x.T), 10), of_matrix),
        "truncated_svd": (3, lambda: k.truncated_svd(x, 64), lambda f: digest(f.u, f.s, f.vt)),
        "als": (3, lambda: k.als(x, 64, epochs=3), lambda f: digest(f.users, f.items)),
        "top_k_factors": (5, lambda: k.top_k_factors(queries, items, 10), of_matrix),
        "weight": (5, lambda: k.weight(x, "bm25"), of_matrix),
    }


def models(data: Any) -> Work:
    import ferrec

    made = {
        "ItemKNN": ferrec.ItemKNN(),
        "UserKNN": ferrec.UserKNN(),
        "RP3Beta": ferrec.RP3Beta(),
        "EASE": ferrec.EASE(),
        "SLIM": ferrec.SLIM(),
        "PureSVD": call(ferrec.PureSVD, n_factors=32),
        "ALS": call(ferrec.ALS, n_factors=32, epochs=3),
        "BiasedMF": call(ferrec.BiasedMF, n_factors=16, epochs=3),
        "ItemEmbeddings": call(ferrec.ItemEmbeddings, n_factors=32),
        "ItemKNNRegressor": ferrec.ItemKNNRegressor(),
        "Popularity": ferrec.Popularity(),
    }
    work: Work = {}
    for name, model in made.items():
        model.fit(data)
        users, items = model.users.values[:200], model.items.values[:20]
        pairs = np.repeat(users, len(items)), np.tile(items, len(users))
        lists = [items[at % 15 : at % 15 + 5].tolist() for at in range(200)]
        work |= {
            f"{name}: fit": (2, lambda m=model: m.fit(data), nothing),
            f"{name}: everybody": (3, lambda m=model: m.recommend(n=10), of_lists),
            f"{name}: 200 users, one by one": (
                3,
                lambda m=model, u=users: [m.recommend(user, n=10) for user in u],
                lambda found: digest(*(part for one in found for part in (one.to_csr().indices, one.scores))),
            ),
            f"{name}: 4,000 pairs": (3, lambda m=model, p=pairs: m.score(*p), digest),
            f"{name}: histories": (3, lambda m=model, h=lists: m.recommend(history=h, n=10), of_lists),
        }
    return work


def whole(data: Any, columns: tuple[Any, ...], folder: Path) -> Work:
    """The ways of users, from files to files."""
    import pyarrow
    import pyarrow.parquet

    import ferrec

    users, items, _, times = columns
    table = pyarrow.table({"user_id": users, "item_id": items, "t": times})
    pyarrow.parquet.write_table(table, folder / "events.parquet")
    past, future = ferrec.split.by_time(data, fraction=0.2)
    ferrec.ItemKNN().fit(data).save(folder / "model")
    popular = ferrec.Popularity().fit(past)
    stages = [ferrec.ItemKNN(), ferrec.Popularity()]
    hybrid = ferrec.Hybrid(retrievers=stages, ranker=ferrec.ReciprocalRankFusion()).fit(past)
    some, metrics = hybrid.users.values[:1000], ["ndcg@10", "recall@20", "coverage@10", "novelty@10"]

    def batch() -> bytes:
        ferrec.score_batch(ferrec.load(folder / "model"), None, folder / "lists.parquet")
        return (folder / "lists.parquet").read_bytes()

    return {
        "from_arrays": (
            5,
            lambda: ferrec.Interactions.from_arrays(*columns),
            lambda d: of_matrix(d.matrix),
        ),
        "from_parquet": (
            5,
            lambda: ferrec.Interactions.from_parquet(folder / "events.parquet", time="t"),
            lambda d: of_matrix(d.matrix),
        ),
        "batch to Parquet": (3, batch, lambda data: hashlib.sha256(data).hexdigest()),
        "hybrid": (2, lambda: hybrid.recommend(some, n=10), of_lists),
        "evaluate": (
            2,
            lambda: ferrec.evaluate(popular, future, metrics),
            lambda e: repr(sorted(e.metrics.items())),
        ),
    }


def measure() -> dict[str, tuple[float, str]]:
    """In the checkout that is imported: seconds and the digest of every piece of work."""
    import ferrec
    from ferrec.datasets import synthetic

    x = synthetic(USERS, ITEMS, PAIRS)
    rng = np.random.default_rng(1)
    order, entries = rng.permutation(x.nnz), x.tocoo()
    columns = (entries.row[order].astype(np.int64), entries.col[order].astype(np.int64), entries.data[order])
    columns += (rng.integers(1_600_000_000, 1_700_000_000, x.nnz),)
    data = ferrec.Interactions.from_arrays(*columns)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (times, work, of) in (
            kernels(x) | models(data) | whole(data, columns, Path(folder))
        ).items():
            seconds = []
            for _ in range(times):
                start = time.perf_counter()
                answer = work()
                seconds.append(time.perf_counter() - start)
            found[name] = (min(seconds), of(answer))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, metavar="OLD NEW")
    parser.add_argument("--rounds", type=int, default=2, metavar="N", help="turns of each (default 2)")
    args = parser.parse_args()
    if not args.checkouts:  # a turn of one of them
        print(json.dumps(measure()))
        return 0
    if len(args.checkouts) != 2:
        parser.error("name two checkouts, the older first")
    turns: list[list[dict[str, tuple[float, str]]]] = [[], []]
    for _ in range(args.rounds):
        for checkout, found in zip(args.checkouts, turns, strict=True):
            env = os.environ | {"PYTHONPATH": str(checkout.absolute() / "python")}
            command = [sys.executable, "-W", "ignore", str(Path(__file__).absolute())]
            said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
            found.append(json.loads(said.splitlines()[-1]))
    different = 0
    print(f"{'':32}{'old':>10}{'new':>10}  new/old  answers")
    for name in turns[1][0]:
        old, new = (min(turn[name][0] for turn in found) * 1e3 for found in turns)
        same = len({turn[name][1] for found in turns for turn in found}) == 1
        different += not same
        print(f"{name:32}{old:7.2f} ms{new:7.2f} ms  {new / old:7.2f}  {'same' if same else 'DIFFERENT'}")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
