"""Ranking metrics beside ranx: 100,000 users, top 100, seven metrics each; the values compared in the same run.

    python benches/python/metrics.py                       # 100,000 users × top 100
    python benches/python/metrics.py --users 20000 --rounds 1

Each engine runs in a fresh process, `--rounds` times, in turn; after a run that warms up the fastest counts. ranx
is given the arrays that its metrics work on, ready and sorted: building its `Qrels` and `Run` from ids is left out.
ferrec's time is `ranking_metrics` as it is called, with its checks. Fails where two values differ by more than
1e-12.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from compare import peak_bytes, reset_peak, timed

ITEMS = 26_744
LISTED = 100
TRUE = 20
NAMES = ("precision", "recall", "f1", "hit_rate", "ndcg", "map", "mrr")
RUNS = 5

Inputs = tuple[sp.csr_array, sp.csr_array]
"""Lists, best first; true items."""
Engine = Callable[[Inputs, int], Callable[[], np.ndarray]]


def inputs(n_users: int) -> Inputs:
    """Lists and true items that favor the same items, so that about one in ten true ones is listed."""
    rng = np.random.default_rng(0)
    items = np.arange(ITEMS, dtype=np.int32)
    chances = 1.0 / (1.0 + items) ** 0.7
    chances /= chances.sum()

    def distinct(n: int) -> tuple[np.ndarray, np.ndarray]:
        rows = np.repeat(np.arange(n_users), 2 * n)
        keys, first = np.unique(rows * ITEMS + rng.choice(ITEMS, len(rows), p=chances), return_index=True)
        keys = keys[np.argsort(first)]  # by row, and within it in the order drawn
        rows = keys // ITEMS
        place = np.arange(len(keys)) - np.searchsorted(rows, rows)
        return rows[place < n], (keys % ITEMS)[place < n].astype(np.int32)

    rows, columns = distinct(LISTED)
    indptr = np.searchsorted(rows, np.arange(n_users + 1)).astype(np.int32)
    scores = (LISTED - np.arange(len(rows)) + indptr[rows]).astype(np.float32)
    lists = sp.csr_array((scores, columns, indptr), shape=(n_users, ITEMS))
    rows, columns = distinct(TRUE)
    truth = sp.coo_array((np.ones(len(rows), np.float32), (rows, columns)), shape=(n_users, ITEMS))
    return lists, truth.tocsr()


def ferrec_metrics(given: Inputs, threads: int) -> Callable[[], np.ndarray]:
    from ferrec.kernels import ranking_metrics

    lists, truth = given

    def run() -> np.ndarray:
        found = ranking_metrics(lists, truth, [LISTED], n_threads=threads)
        return np.stack([found[f"{name}@{LISTED}"] for name in NAMES])

    return run


def ranx_metrics(given: Inputs, threads: int) -> Callable[[], np.ndarray]:
    import ranx
    from numba.typed import List

    def rows(x: sp.csr_array) -> Any:
        pairs = np.stack([x.indices, x.data], axis=1).astype(np.float64)
        return List(np.split(pairs, x.indptr[1:-1]))

    run, qrels = map(rows, given)
    names = [f"{name}@{LISTED}" for name in NAMES]

    def measure() -> np.ndarray:
        found = ranx.evaluate(qrels, run, names, return_mean=False, threads=threads)
        return np.stack([found[name] for name in names])

    return measure


ENGINES: dict[str, Engine] = {"ferrec": ferrec_metrics, "ranx": ranx_metrics}


def worker(job: dict[str, Any]) -> None:
    """One engine; leaves the values and prints its fastest run."""
    run = ENGINES[job["engine"]](inputs(job["users"]), job["threads"])
    before = reset_peak()
    run()
    peak = (peak_bytes() - before) / (1 << 20)
    found = [timed(run) for _ in range(RUNS)]
    best = min((timing for _, timing, _ in found), key=lambda timing: float(timing["seconds"]))
    np.save(job["out"], found[0][0])
    print(json.dumps(best | {"peak_mib": peak}))


def start(job: dict[str, Any]) -> dict[str, Any]:
    names = ("OMP", "RAYON", "NUMBA")
    environment = os.environ | {f"{name}_NUM_THREADS": str(job["threads"]) for name in names}
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker)
        return
    best: dict[str, dict[str, Any]] = {}
    answers = {}
    with tempfile.TemporaryDirectory(prefix="ferrec-bench-") as folder:
        for _ in range(options.rounds):
            for engine in ENGINES:
                out = str(Path(folder) / f"{engine}.npy")
                job = {"engine": engine, "users": options.users, "threads": options.threads, "out": out}
                timing = start(job)
                best[engine] = min(best.get(engine, timing), timing, key=lambda one: float(one["seconds"]))
                answers[engine] = np.load(out)
    np.testing.assert_allclose(answers["ranx"], answers["ferrec"], rtol=1e-12, atol=1e-14)
    for engine, timing in best.items():
        print(
            f"{options.users:,} users × top {LISTED}, {len(NAMES)} metrics  {engine:7} {timing['seconds']:8.4f} s"
            f"  ratio {timing['seconds'] / best['ferrec']['seconds']:6.1f}  +{timing['peak_mib']:.0f} MiB"
            f"  (others use {timing.get('others_busy', 0.0):.1f} cores)"
        )


if __name__ == "__main__":
    main()
