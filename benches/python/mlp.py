"""Scoring with a trained `MLPRanker` beside Keras and NumPy: 32 columns → 64 → 32 → 1, in rows a second.

    python benches/python/mlp.py
    python benches/python/mlp.py --pairs 2000000 --threads 2 --json mlp.json

Keras predicts at its default batch size and at larger ones, ferrec scores all pairs in one call, and both start
from what they like best: Keras from a matrix, ferrec from the columns of candidates. Printed are the medians of
`--rounds` rounds, the engines in turn. Every answer is compared with ferrec's in the same run, which fails beyond
1e-5. A second network has ids, cross layers and missing values.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from compare import timed
from machine import machine
from numpy.typing import NDArray
from scipy.sparse import csr_array

from ferrec import MLPRanker
from ferrec.data.candidates import Candidates
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.kernels.handles import as_csr
from ferrec.rankers.base import LabeledPairs

COLUMNS = 32
EACH = 200
"""Candidates of a query."""
ITEMS = 10_000
BATCHES = (32, 1024, 4096, 16_384, 65_536)
TOLERANCE = 1e-5
REST = 0.3
"""Seconds before each run: threads of BLAS and TensorFlow spin for a while after their work."""


def candidates(n_pairs: int, seed: int, missing: bool) -> Candidates:
    rng = np.random.default_rng(seed)
    n_queries = n_pairs // EACH
    start = rng.integers(0, ITEMS - EACH, (n_queries, 1), dtype=np.int32)
    codes = (start + np.arange(EACH, dtype=np.int32)).ravel()
    columns = {f"column_{at}": rng.normal(size=len(codes)).astype(np.float32) for at in range(COLUMNS)}
    if missing:
        columns["column_0"][rng.random(len(codes)) < 0.1] = np.nan
    history = as_csr(csr_array((n_queries, ITEMS), dtype=np.float32))
    queries = Queries(np.arange(n_queries), history, np.arange(n_queries, dtype=np.int32))
    indptr = np.arange(n_queries + 1, dtype=np.int64) * EACH
    return Candidates(queries, Ids.from_values(np.arange(ITEMS)), indptr, codes, columns)


def trained(variant: dict[str, Any], missing: bool) -> MLPRanker:
    pairs = candidates(20 * EACH, 0, missing)
    labels = np.random.default_rng(1).random(len(pairs)) < 0.2
    return MLPRanker(epochs=1, min_count=1, **variant).fit(pairs, labels)


def numpy_forward(ranker: MLPRanker, columns: NDArray[np.float32]) -> NDArray[np.float32]:
    state = ranker.state
    x = np.clip((columns - state.mean) * state.scale, -10, 10)
    layers = list(zip(state.layers[::2], state.layers[1::2], strict=True))
    for weights, bias in layers[:-1]:
        x = np.maximum(x @ weights.reshape(len(bias), -1).T + bias, 0)
    weights, bias = layers[-1]
    return 1 / (1 + np.exp(-(x @ weights + bias)))


def engines(ranker: MLPRanker, pairs: Candidates, plain: bool) -> dict[str, tuple[Callable[[], Any], int]]:
    """By name: what to run, and how many of the pairs it scores."""
    state, model, n = ranker.state, ranker.keras_model, len(pairs)
    every = LabeledPairs(pairs, np.zeros(n, np.float32), None)
    ((inputs, _, _),) = state.batches(every, np.arange(n)[:, None], n)
    found: dict[str, tuple[Callable[[], Any], int]] = {"ferrec": (lambda: ranker.score(pairs), n)}

    def keras(batch: int, some: int) -> Callable[[], Any]:
        part = {name: values[:some] for name, values in inputs.items()}
        return lambda: model.predict(part, batch_size=batch, verbose=0).ravel()

    for batch in BATCHES:
        some = min(n, 800 * batch)
        found[f"Keras, batch {batch:,}"] = (keras(batch, some), some)
    if plain:
        found["NumPy"] = (lambda: numpy_forward(ranker, inputs["columns"]), n)
    return found


def measure(variant: dict[str, Any], n_pairs: int, threads: int, rounds: int) -> dict[str, float]:
    """Pairs a second of each engine."""
    plain = not variant
    ranker = trained(variant, missing=not plain).set_params(n_threads=threads)
    pairs = candidates(n_pairs, 2, missing=not plain)
    every = engines(ranker, pairs, plain)
    truth = ranker.score(pairs)
    for name, (run, some) in every.items():  # also warms up
        worst = float(np.abs(run() - truth[:some]).max())
        if worst > TOLERANCE:
            raise SystemExit(f"{name}: differs from ferrec by {worst:.1e}")
    seconds: dict[str, list[float]] = {name: [] for name in every}
    for _ in range(rounds):
        for name, (run, _) in every.items():
            time.sleep(REST)
            seconds[name].append(timed(run)[2])
    return {name: some / median(seconds[name]) for name, (_, some) in every.items()}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument(
        "--threads", type=int, default=2, help="of ferrec; Keras and NumPy take what there is"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", metavar="FILE", help="also write the figures here")
    args = parser.parse_args()
    variants = {
        "32 → 64 → 32 → 1": {},
        "with ids, two cross layers, missing values": {"embedded_ids": ("user", "item"), "cross_layers": 2},
    }
    record: dict[str, Any] = {"machine": machine(args.threads), "pairs": args.pairs, "rates": {}}
    for title, variant in variants.items():
        rates = measure(variant, args.pairs, args.threads, args.rounds)
        record["rates"][title] = rates
        print(f"\n{title}")
        for name, rate in rates.items():
            print(f"  {name:<20} {rate / 1e6:8.3f} M pairs/s   ferrec {rates['ferrec'] / rate:6.1f}×")
    if args.json:
        Path(args.json).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
