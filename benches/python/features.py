"""The pairs between the two stages: proposed, scored, and described by 30 features, in blocks of users.

    python benches/python/features.py                                  # 100,000 users × about 300 candidates
    python benches/python/features.py --users 20000 --candidates 150

The data are generated: `ferrec.datasets.synthetic` with times, prices, categories and tags. Three models propose;
together they name about `--candidates` items for each user. Everything is made block by block and dropped, as a
ranker would take it, so that the peak memory is that of the models and one block. Printed are the seconds of each
part, the pairs and numbers a second, and the memory above what the fitted models take. The columns of the first
block are compared with those that its users get one by one.
"""

import argparse
import threading
import time
from pathlib import Path

import numpy as np

import ferrec
from ferrec.datasets import synthetic
from ferrec.features import (
    CategoryAffinity,
    EmbeddingSimilarity,
    FeatureSet,
    ItemCategory,
    ItemNumber,
    ItemPopularity,
    ItemRecency,
    ItemSimilarity,
    ItemStatistics,
    NumberAffinity,
    UserActivity,
    UserRecency,
    UserStatistics,
)

DAY = 86400


def world(n_users, n_items, nnz, seed=0):
    """Interactions with times, and a table of items."""
    rng = np.random.default_rng(seed)
    matrix = synthetic(n_users, n_items, nnz, seed=seed)
    users = np.repeat(np.arange(n_users), np.diff(matrix.indptr))
    data = ferrec.Interactions.from_arrays(
        users, matrix.indices, matrix.data, rng.integers(0, 365 * DAY, nnz)
    )
    ids = data.items.values
    tags = [[f"tag{t}" for t in row] for row in rng.integers(0, 500, (len(ids), 3))]
    table = {
        "item_id": ids,
        "price": rng.lognormal(2, 1, len(ids)),
        "aisle": [f"aisle {aisle}" for aisle in rng.integers(0, 200, len(ids))],
        "tags": tags,
    }
    return data.with_items(table)


def features():
    """Thirty columns."""
    return FeatureSet(
        [
            ItemPopularity(),
            ItemPopularity(window=7 * DAY),
            ItemPopularity(half_life=30 * DAY),
            ItemStatistics(),
            ItemRecency(),
            UserActivity(),
            UserActivity(window=7 * DAY),
            UserStatistics(),
            UserRecency(),
            ItemNumber(column="price", scale="log"),
            ItemCategory(column="aisle"),
            CategoryAffinity(column="tags"),
            NumberAffinity(column="price", log=True),
            ItemSimilarity(last=20),
        ]
    )


def resident():
    """The resident memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


class Peak(threading.Thread):
    """Looks at the resident memory a hundred times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most, self.over = 0, threading.Event()

    def run(self):
        while not self.over.wait(0.01):
            self.most = max(self.most, resident())


def alone(retrieval, chosen, block):
    """The columns of the first users of a block, each asked for alone, against those of the block."""
    for row in range(0, len(block.queries), max(len(block.queries) // 5, 1)):
        one = chosen.add_to(retrieval.candidates(block.queries.ids[row : row + 1]))
        own = slice(block.indptr[row], block.indptr[row + 1])
        assert np.array_equal(one.codes, block.codes[own])
        for name, column in block.columns.items():
            assert np.array_equal(one.columns[name], column[own]), name


def run(n_users, n_items, nnz, wanted, block_size, n_threads):
    """Print what each part takes."""
    data = world(n_users, n_items, nnz)
    models = [
        ferrec.ItemKNN(k=100, n_threads=n_threads),
        ferrec.PureSVD(n_factors=64, n_threads=n_threads),
        ferrec.Popularity(n_threads=n_threads),
    ]
    each = round(wanted / 1.6)  # the lists overlap
    retrieval = ferrec.Retrieval(models, n_candidates=each, n_threads=n_threads).fit(data)
    chosen = features().set_params(n_threads=n_threads).fit(data)
    extra = FeatureSet(
        [EmbeddingSimilarity(model=ferrec.PureSVD(n_factors=64), last=20)], n_threads=n_threads
    ).fit(data)

    spent = dict.fromkeys(("propose and score", "30 features", "4 more, of embeddings", "best 10"), 0.0)
    before, peak = resident(), Peak()
    peak.start()
    pairs, numbers = 0, 0
    blocks = retrieval.iter_candidates(block_size=block_size)
    while True:
        clock = [time.perf_counter()]
        block = next(blocks, None)
        if block is None:
            break
        clock.append(time.perf_counter())
        described = chosen.add_to(block)
        clock.append(time.perf_counter())
        extra.columns(block)
        clock.append(time.perf_counter())
        described.top(described.columns["pure_svd_score"], 10)
        clock.append(time.perf_counter())
        if not pairs:
            alone(retrieval, chosen, described)
        pairs += len(described)
        numbers += len(described) * len(chosen.names)
        for name, start, end in zip(spent, clock[:-1], clock[1:], strict=True):
            spent[name] += end - start
    peak.over.set()
    peak.join()
    print(f"{n_users:,} users × {pairs / n_users:.0f} candidates of {n_items:,} items, {nnz:,} events")
    print(f"{len(chosen.names)} features, {len(retrieval.columns)} columns of 3 models, {n_threads} threads")
    for name, seconds in spent.items():
        print(f"  {name:<22} {seconds:7.2f} s   {pairs / seconds / 1e6:7.2f} M pairs/s")
    print(f"  features: {numbers / spent['30 features'] / 1e6:.0f} M numbers/s")
    print(f"  memory above the models: {(peak.most - before) / 2**20:.0f} MiB, blocks of {block_size} users")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=4_000_000)
    parser.add_argument("--candidates", type=int, default=300)
    parser.add_argument("--block", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    run(args.users, args.items, args.events, args.candidates, args.block, args.threads)
