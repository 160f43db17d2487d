"""The steps of `ferrec.Prepare` beside pandas and polars doing the same, results compared.

    python benches/python/prepare.py                    # 10 M rows, every engine
    python benches/python/prepare.py --rows 1000000 --engines ferrec,polars

Each engine runs in a process of its own on the same Parquet file. Seconds are those of the steps alone for engines
that hold a table (reading is not counted), and of everything from file to file for `ferrec-stream`. Memory is the
largest resident set of the process less what it was before the steps (before reading, for `ferrec-stream`).

Steps: rows without item go, missing watch times become the median, exact repeats go, users above the 0.9999
quantile of activity go, 5-core, z-score of the watch time by user, weight by event type with a half-life of 30
days, sessions of 30 minutes.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import cpu

WEIGHTS = {"view": 1.0, "cart": 3.0, "purchase": 5.0}
QUANTILE = 0.9999
CORE = 5
HALF_LIFE = 30 * 86_400
GAP = 1800
COLUMNS = ["row", "watch", "weight", "session_id"]


def make(path: Path, n: int, seed: int = 0) -> None:
    """A log of n rows with repeats, gaps and a few robots; ids are integers and text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(seed)
    n_users, n_items = max(n // 25, 10), max(n // 200, 10)
    users = (n_users * rng.random(n) ** 2).astype(np.int64) * 7919 + 10**9
    robots = rng.random(n) < 0.01
    users[robots] = rng.integers(0, max(n_users // 20_000, 1), np.count_nonzero(robots))
    items = (n_items * rng.random(n) ** 4).astype(np.int64)
    times = np.sort(rng.integers(1_700_000_000, 1_731_536_000, n))
    kinds = rng.choice(3, n, p=[0.8, 0.15, 0.05]).astype(np.int8)
    again = np.flatnonzero(rng.random(n) < 0.02)
    again = again[again > 0]
    for column in (users, items, times, kinds):
        column[again] = column[again - 1]
    names = pa.array([f"item-{i}" for i in range(n_items)])
    columns = {
        "user_id": users,
        "item_id": pa.DictionaryArray.from_arrays(
            pa.array(items, pa.int32(), mask=rng.random(n) < 0.005), names
        ),
        "time": pa.array(times).cast(pa.timestamp("s")),
        "kind": pa.DictionaryArray.from_arrays(kinds, pa.array(list(WEIGHTS))),
        "watch": pa.array(rng.exponential(60.0, n), mask=rng.random(n) < 0.1),
        "row": np.arange(n),
    }
    table = pa.table(columns)
    for at, name in ((1, "item_id"), (3, "kind")):
        table = table.set_column(at, name, table[name].cast(pa.string()))
    pq.write_table(table, path)


# --- The engines -------------------------------------------------------------------------------------------


def prepare() -> Any:
    import ferrec

    return ferrec.Prepare(
        time="time",
        event_type="kind",
        missing={"watch": "median"},
        dedup="exact",
        activity=(0.0, QUANTILE),
        k_core=CORE,
        event_weights=WEIGHTS,
        half_life=HALF_LIFE,
        normalize={"watch": "zscore_by_user"},
        session_gap=GAP,
    )


def run_ferrec(frame: Any) -> Any:
    return prepare().fit_transform(frame)


def run_pandas(frame: Any) -> Any:
    import pandas as pd

    df = frame.dropna(subset=["user_id", "item_id", "time", "kind"])
    df = df.assign(watch=df["watch"].fillna(frame["watch"].median()))
    df = df.drop_duplicates(["user_id", "item_id", "time", "kind"])
    counts = df.groupby("user_id").size()
    usual = counts.index[counts <= counts.quantile(QUANTILE)]
    df = df[df["user_id"].isin(usual)]
    pairs = df[["user_id", "item_id"]].drop_duplicates()
    while True:
        before = len(pairs)
        pairs = pairs[pairs.groupby("user_id")["item_id"].transform("size") >= CORE]
        pairs = pairs[pairs.groupby("item_id")["user_id"].transform("size") >= CORE]
        if len(pairs) == before:
            break
    df = df[df["user_id"].isin(pairs["user_id"].unique()) & df["item_id"].isin(pairs["item_id"].unique())]
    by_user = df.groupby("user_id")["watch"]
    spread = by_user.transform("std", ddof=0)
    seconds = df["time"].astype("datetime64[s]").astype("int64")
    age = (seconds.max() - seconds) / HALF_LIFE
    df = df.assign(
        watch=((df["watch"] - by_user.transform("mean")) / spread.where(spread > 0, np.inf)),
        weight=df["kind"].map(WEIGHTS) * 0.5**age,
        seconds=seconds,
    )
    ordered = df.sort_values(["user_id", "seconds"], kind="stable")
    begins = (ordered["user_id"] != ordered["user_id"].shift()) | (ordered["seconds"].diff() > GAP)
    df["session_id"] = pd.Series(begins.cumsum() - 1, index=ordered.index)
    return df.drop(columns="seconds")


def run_polars(frame: Any) -> Any:
    import polars as pl

    median = frame["watch"].median()
    keys = ["user_id", "item_id", "time", "kind"]
    df = frame.drop_nulls(keys).with_columns(pl.col("watch").fill_null(median))
    df = df.unique(keys, keep="first", maintain_order=True)
    counts = df.group_by("user_id").len()
    usual = counts.filter(pl.col("len") <= counts["len"].quantile(QUANTILE, "linear"))
    df = df.join(usual.select("user_id"), on="user_id", how="semi")
    pairs = df.select("user_id", "item_id").unique()
    while True:
        before = len(pairs)
        pairs = pairs.filter(pl.len().over("user_id") >= CORE)
        pairs = pairs.filter(pl.len().over("item_id") >= CORE)
        if len(pairs) == before:
            break
    df = df.join(pairs.select("user_id").unique(), on="user_id", how="semi")
    df = df.join(pairs.select("item_id").unique(), on="item_id", how="semi")
    watch, spread = pl.col("watch"), pl.col("watch").std(ddof=0).over("user_id")
    centered = watch - watch.mean().over("user_id")
    age = (df["time"].dt.epoch("s").max() - pl.col("time").dt.epoch("s")) / HALF_LIFE
    df = df.with_columns(
        watch=pl.when(spread > 0).then(centered / spread).otherwise(0.0),
        weight=pl.col("kind").replace_strict(WEIGHTS) * 0.5**age,
        seconds=pl.col("time").dt.epoch("s"),
    )
    order = df.sort("user_id", "seconds", maintain_order=True).select("row", "user_id", "seconds")
    begins = (pl.col("user_id") != pl.col("user_id").shift()) | (pl.col("seconds").diff() > GAP)
    order = order.with_columns(session_id=begins.fill_null(True).cum_sum().cast(pl.Int64) - 1)
    return df.join(order.select("row", "session_id"), on="row", how="left", maintain_order="left").drop(
        "seconds"
    )


def read_pandas(path: Path) -> Any:
    import pandas as pd

    return pd.read_parquet(path)


def read_polars(path: Path) -> Any:
    import polars as pl

    return pl.read_parquet(path)


def read_arrow(path: Path) -> Any:
    import pyarrow.parquet as pq

    return pq.read_table(path)


ENGINES: dict[str, tuple[Callable[[Path], Any], Callable[[Any], Any]]] = {
    "pandas": (read_pandas, run_pandas),
    "polars": (read_polars, run_polars),
    "ferrec-pandas": (read_pandas, run_ferrec),
    "ferrec-polars": (read_polars, run_ferrec),
    "ferrec-arrow": (read_arrow, run_ferrec),
    "ferrec-stream": (lambda path: path, lambda path: stream(path)),
}


def stream(path: Path) -> Path:
    target = path.with_name("clean.parquet")
    prepare().fit_transform_parquet(path, target)
    return target


# --- One engine in this process, all of them in theirs -------------------------------------------------------


def peak() -> float:
    """The largest resident set so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(engine: str, path: Path, out: Path) -> dict[str, float]:
    read, run = ENGINES[engine]
    if engine.startswith("ferrec"):
        import ferrec  # noqa: F401  # loading the library is not a step
    frame = read(path)
    before = peak()
    start = time.perf_counter()
    result = run(frame)
    seconds = time.perf_counter() - start
    memory = peak() - before
    if isinstance(result, Path):
        result = read_arrow(result)
    arrays = {name: np.asarray(result[name]) for name in COLUMNS}
    np.savez(out, **arrays)
    return {"seconds": seconds, "mib": memory, "rows": len(arrays["row"])}


def compare(first: Path, other: Path) -> None:
    """The same rows with the same values."""
    one, two = np.load(first), np.load(other)
    for name in ("row", "session_id"):
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    for name in ("watch", "weight"):
        np.testing.assert_allclose(one[name], two[name], rtol=1e-6, atol=1e-9, err_msg=name)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="ferrec.Prepare beside pandas and polars.")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--one", nargs=3, metavar=("ENGINE", "PARQUET", "NPZ"), help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.one:
        engine, path, out = args.one
        print(json.dumps(measure(engine, Path(path), Path(out))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder / "events.parquet", args.rows)
        print(f"{args.rows:,} rows, {cpu()}")
        print(f"{'engine':<14} {'seconds':>8} {'MiB':>7} {'rows left':>11}")
        first: Path | None = None
        for engine in args.engines.split(","):
            out = folder / f"{engine}.npz"
            command = [sys.executable, __file__, "--one", engine, str(folder / "events.parquet"), str(out)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(f"{engine}: {done.stderr[-2000:]}")
            found = json.loads(done.stdout)
            if first is not None:
                compare(first, out)
            first = first or out
            print(
                f"{engine:<14} {found['seconds']:>8.2f} {found['mib']:>7,.0f} {found['rows']:>11,}",
                flush=True,
            )
        print("the same rows, weights, scaled values and sessions from every engine")


if __name__ == "__main__":
    main()
