"""The batch job at its real size: users a second, memory, workers that share a model, the price of a billion users.

    make bench-batch                                  # all but the soak: printed and recorded
    make soak                                         # recorded, too
    python benches/python/batch.py throughput         # the 20m shape, beside the kernel and implicit
    python benches/python/batch.py nightly            # 2 M users × 200 k items: fit, then score under a limit
    python benches/python/batch.py histories          # a quarter of them, with their histories in Parquet
    python benches/python/batch.py workers            # several processes with one model open
    python benches/python/batch.py soak --minutes 15  # again and again under a limit; draws docs/img/soak.svg
    python benches/python/batch.py billion            # arithmetic from the record of `histories`

`--small` does the same in seconds, on little data; `--record` writes benches/record/batch/<command>.json. Exit code
1: a process had more memory than its limit, answers differ, or the memory of the soak grew.

Every engine runs in a process of its own, whose first run is not timed where it takes less than five seconds. What
is written is Parquet with zstd; the rows of each engine are compared with those of `score_batch`, up to ties and
rounding.
"""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import scipy.sparse as sp
from compare import timed
from machine import REPOSITORY, Json, installed, machine, version
from results import DRIFT, differing_rows, ranking
from shapes import load as load_matrix
from shapes import path_of

from ferrec.datasets import synthetic

RECORD = REPOSITORY / "benches" / "record" / "batch"
N = 10
GIB = 1 << 30
ONCE_ABOVE = 5.0  # seconds: an engine this slow runs once
MODEL = "model-nightly"
WITHIN = 0.9  # of the kernel's own users a second


@dataclass(frozen=True)
class Sizes:
    """What is generated, and what is asked of it."""

    throughput: str
    nightly: tuple[int, int, int]
    """Users, items, events."""
    limit: int
    """Bytes that each job may have resident."""
    neighbors: int
    rounds: int


FULL = Sizes("20m", (2_000_000, 200_000, 40_000_000), 2 * GIB, 50, 5)
SMALL = Sizes("small", (20_000, 2_000, 200_000), GIB // 2, 20, 1)
SMALL_SHAPE = (3_000, 800, 60_000)


# --- Models, each made once in a process of its own -----------------------------------------------------------


def make_throughput(folder: str, shape: str) -> None:
    """Item-kNN of a shape with ratings; its ids are the numbers of rows and columns."""
    import ferrec

    x = synthetic(*SMALL_SHAPE) if shape == "small" else load_matrix(path_of(shape))
    ferrec.ItemKNN(k=100).fit(ferrec.Interactions.from_csr(x)).save(folder)


def make_nightly(folder: str, size: tuple[int, int, int], neighbors: int) -> Json:
    """Item-kNN of generated events, whose users and items are named by strings."""
    import ferrec

    start = time.perf_counter()
    n_users, n_items, n_events = size
    data = ferrec.Interactions.from_csr(
        synthetic(n_users, n_items, n_events, seed=0),
        user_ids=[f"user-{at:07d}" for at in range(n_users)],
        item_ids=[f"item-{at:06d}" for at in range(n_items)],
    )
    generated = time.perf_counter()
    model = ferrec.ItemKNN(k=neighbors).fit(data)
    fitted = time.perf_counter()
    model.save(folder)
    return {
        "generate_seconds": round(generated - start, 1),
        "fit_seconds": round(fitted - generated, 1),
        "save_seconds": round(time.perf_counter() - fitted, 1),
    }


# --- Throughput: three ways from a model to Parquet -----------------------------------------------------------

Engine = Callable[[Path, Path, Json], Callable[[], Any]]
"""Of the model's folder, the folder for answers and the job: what is timed."""


def run_kernel(model: Path, out: Path, job: Json) -> Callable[[], Any]:
    """The row `recommend` of the other benchmarks: matrices in, a matrix out."""
    import ferrec
    from ferrec.kernels import top_k_neighbors
    from ferrec.kernels.handles import to_scipy

    state = ferrec.load(model).state
    x, similarity = to_scipy(state.seen), to_scipy(state.similarity)
    return lambda: top_k_neighbors(x, similarity, N, exclude=x, n_threads=job["threads"])


def run_recommend(model: Path, out: Path, job: Json) -> Callable[[], Any]:
    """A model that is in memory and has been asked before, all users at once, nothing written."""
    import ferrec

    loaded = ferrec.load(model).set_params(n_threads=job["threads"])
    return lambda: loaded.recommend(n=N)


def run_ferrec(model: Path, out: Path, job: Json) -> Callable[[], Any]:
    import ferrec

    loaded, limit = ferrec.load(model), job["limit"]

    def run() -> Any:
        shutil.rmtree(out, ignore_errors=True)
        return ferrec.score_batch(loaded, None, out, n=N, n_threads=job["threads"], memory_limit=limit)

    return run


def run_implicit(model: Path, out: Path, job: Json) -> Callable[[], Any]:
    """`recommend` in blocks of users, a data frame of each, pandas to Parquet."""
    import pandas as pd
    from implicit.nearest_neighbours import CosineRecommender, NearestNeighboursScorer

    import ferrec
    from ferrec.kernels.handles import to_scipy

    state = ferrec.load(model).state
    x, similarity = (sp.csr_matrix(to_scipy(one)) for one in (state.seen, state.similarity))
    theirs = CosineRecommender(K=100, num_threads=job["threads"])
    theirs.similarity = similarity.astype(np.float64)  # the type its fit leaves
    theirs.scorer = NearestNeighboursScorer(theirs.similarity)
    block = 1 << 15

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        for at, start in enumerate(range(0, x.shape[0], block)):
            users = np.arange(start, min(start + block, x.shape[0]))
            ids, scores = theirs.recommend(users, x[users], N=N, filter_already_liked_items=True)
            columns = {"user_id": users.repeat(N), "item_id": ids.ravel().astype(np.int64)}
            ranks = np.tile(np.arange(1, N + 1, dtype=np.int32), len(users))
            frame = pd.DataFrame(columns | {"score": scores.ravel().astype(np.float32), "rank": ranks})
            frame = frame[(frame["item_id"] >= 0) & (frame["score"] > 0)]  # it pads
            frame.to_parquet(out / f"part-{at:06d}.parquet", compression="zstd", index=False)

    return run


ENGINES: dict[str, Engine] = {
    "kernel": run_kernel,
    "recommend": run_recommend,
    "score_batch": run_ferrec,
    "implicit": run_implicit,
}
LABELS = {
    "kernel": "`top_k_neighbors`, nothing written",
    "recommend": "`model.recommend` of a warm model, nothing written",
    "score_batch": "`score_batch` to Parquet",
    "implicit": "implicit's `recommend` in blocks, pandas to Parquet",
}


def time_engine(job: Json) -> Json:
    """In the engine's own process: its timings, and its answers in a folder of Parquet."""
    out = Path(job["out"])
    run = ENGINES[job["engine"]](Path(job["model"]), out, job)
    result, timing, seconds = timed(run)
    timings = [timing] if seconds > ONCE_ABOVE else [timed(run)[1] for _ in range(2)]
    if job["engine"] in ("kernel", "recommend"):
        keep_answers(result, out)
    return {"timings": timings, "peak_bytes": peak_bytes()}


def keep_answers(result: Any, out: Path) -> None:
    """What a job would have written, as one file."""
    from ferrec import Ids, Recommendations

    if sp.issparse(result):
        users, items = (Ids(np.arange(size)) for size in result.shape)
        result = Recommendations(users.values, items, result.indptr, result.indices, result.data)
    out.mkdir(exist_ok=True)
    result.to_parquet(out / "part-000000.parquet")


def throughput(options: argparse.Namespace, sizes: Sizes, folder: Path) -> tuple[Json, str, bool]:
    model = folder / f"model-{sizes.throughput}"
    if not model.exists():
        apart("make_throughput", folder=str(model), shape=sizes.throughput)
    chosen = [name for name in ENGINES if name != "implicit" or installed(name)]
    found: dict[str, Json] = {}
    limit = options.memory_limit or GIB
    for number in range(sizes.rounds):
        for name in chosen:
            if number and median(t["seconds"] for t in found[name]["timings"]) > ONCE_ABOVE:
                continue
            job = {"engine": name, "model": str(model), "out": str(folder / f"recs-{name}")}
            one = apart("time_engine", job=job | {"threads": options.threads, "limit": limit})
            if name in found:
                found[name]["timings"] += one["timings"]
            else:
                found[name] = one
    answers = {name: read_answers(folder / f"recs-{name}") for name in chosen}
    n_users, n_items = (max(answer.shape[axis] for answer in answers.values()) for axis in (0, 1))
    for answer in answers.values():
        answer.resize((n_users, n_items))
    ours = ranking(answers["score_batch"], n_items, N, square=False)
    for name, one in found.items():
        theirs = ranking(answers[name], n_items, N, square=False)
        one["differing_rows"] = differing_rows(ours, theirs, N)
        one["wrong_rows"] = differing_rows(ours, theirs, N, DRIFT)
        one["seconds"] = median(timing["seconds"] for timing in one["timings"])
        one["users_per_second"] = round(n_users / one["seconds"])
    for one in found.values():
        one["share"] = round(one["seconds"] / found["score_batch"]["seconds"], 3)
    text = [f"{n_users:,} users × {n_items:,} items, top {N}, {options.threads} threads\n"]
    text += ["| | seconds | users/s | time / that of `score_batch` | peak MiB | rows that differ |"]
    text += ["|---|---|---|---|---|---|"]
    text += [
        f"| {LABELS[name]} | {one['seconds']:.2f} | {one['users_per_second']:,} | {one['share']:.2f} "
        f"| {one['peak_bytes'] >> 20:,} | {one['differing_rows']:,} |"
        for name, one in found.items()
    ]
    share = found["kernel"]["share"]
    text.append(f"\n`score_batch` has {share:.0%} of the kernel's users a second; the target is {WITHIN:.0%}")
    within = found["score_batch"]["peak_bytes"] <= limit
    fine = within and not any(one["wrong_rows"] for one in found.values())
    return {"shape": sizes.throughput, "limit": limit, "engines": found}, "\n".join(text), fine


def read_answers(folder: Path) -> sp.csr_array:
    """Users × items, of ids that are numbers."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder, columns=["user_id", "item_id", "score"])
    users, items, scores = (table.column(name).to_numpy() for name in table.column_names)
    shape = (int(users.max()) + 1, int(items.max()) + 1)
    return sp.csr_array(
        (scores, items.astype(np.int32), np.searchsorted(users, np.arange(shape[0] + 1))), shape
    )


# --- The night: the command line in a fresh process, under a limit -----------------------------------------------


def nightly(options: argparse.Namespace, sizes: Sizes, folder: Path) -> tuple[Json, str, bool]:
    """Every user that the model knows."""
    made = the_model(folder, sizes)
    n_users, n_items, n_events = sizes.nightly
    figures = recommend(folder, "recs-nightly", options, sizes)
    figures["rows_sampled"] = apart(
        "check_sample", model=str(folder / MODEL), out=str(folder / "recs-nightly")
    )
    text = [
        f"{n_users:,} users × {n_items:,} items, {n_events:,} events",
        f"ItemKNN(k={sizes.neighbors}), top {N}, {options.threads} threads",
        *told(figures),
        f"sampled rows that `recommend` gives, too: {figures['rows_sampled']:,}",
    ]
    sized = {"users": n_users, "items": n_items, "events": n_events, "model": f"ItemKNN(k={sizes.neighbors})"}
    fine = figures["peak_bytes"] <= figures["limit"] and figures["summary"]["users"] == n_users
    return {**sized, **made, **figures}, "\n".join(text), fine


def histories(options: argparse.Namespace, sizes: Sizes, folder: Path) -> tuple[Json, str, bool]:
    """Users that the model need not know: names, and lists of items by name, in Parquet."""
    the_model(folder, sizes)
    source = folder / "histories.parquet"
    counts = apart("make_histories", model=str(folder / MODEL), path=str(source))
    words = ["--users", str(source), "--history", "items"]
    figures = recommend(folder, "recs-histories", options, sizes, *words)
    figures |= {**counts, "bytes_read": source.stat().st_size}
    text = [
        f"{counts['users']:,} users, {counts['entries']:,} entries, {source.stat().st_size / GIB:.2f} GiB"
    ]
    fine = figures["peak_bytes"] <= figures["limit"] and figures["summary"]["users"] == counts["users"]
    return figures, "\n".join([*text, *told(figures)]), fine


def the_model(folder: Path, sizes: Sizes) -> Json:
    """Makes it where it is missing; what that took."""
    if (folder / MODEL).exists():
        return {}
    made: Json = apart(
        "make_nightly", folder=str(folder / MODEL), size=sizes.nightly, neighbors=sizes.neighbors
    )
    return made


def recommend(folder: Path, name: str, options: argparse.Namespace, sizes: Sizes, *words: str) -> Json:
    """`ferrec recommend` in a fresh process, and what the system says of it."""
    limit, out = options.memory_limit or sizes.limit, folder / name
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "ferrec.cli", "recommend", str(folder / MODEL), "-o", str(out), "--json"]
    command += ["-n", str(N), "--memory-limit", str(limit), "--threads", str(options.threads), *words]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        events = [json.loads(line) for line in child.stdout or ()]
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(f"ferrec recommend ended with {child.returncode}: {events[-1:]}")
    done = events[-1]
    return {
        "model_bytes": sum(file.stat().st_size for file in (folder / MODEL).iterdir()),
        "limit": limit,
        "peak_bytes": max(usage.ru_maxrss << 10, done["peak_bytes"]),
        "wall_seconds": round(wall, 2),
        "users_per_second": round(done["users"] / wall),
        "bytes_written": sum(file.stat().st_size for file in out.glob("*.parquet")),
        "summary": {key: done[key] for key in ("users", "rows", "blocks", "seconds", "checksum")},
    }


def told(figures: Json) -> list[str]:
    done = figures["summary"]
    return [
        f"model on disk     {figures['model_bytes'] / GIB:9.2f} GiB",
        f"rows written      {done['rows']:>9,} in {done['blocks']} blocks",
        f"Parquet written   {figures['bytes_written'] / 1e6:>9,.0f} MB",
        f"whole process     {figures['wall_seconds']:9.1f} s, of it scoring {done['seconds']:.1f} s",
        f"users a second    {figures['users_per_second']:>9,}",
        f"peak memory       {figures['peak_bytes'] / GIB:9.2f} GiB of {figures['limit'] / GIB:.2f} GiB",
    ]


def make_histories(model: str, path: str) -> Json:
    """A quarter of the users, with their histories, under names that the model does not know."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    import ferrec

    loaded = ferrec.load(model)
    names = pa.array(loaded.items.values)
    indptr, items, _ = loaded.state.histories(np.arange(len(loaded.users) // 4, dtype=np.int32)).parts()
    lists = pa.ListArray.from_arrays(pa.array(indptr.astype(np.int32)), names.take(pa.array(items)))
    users = pa.array([f"visitor-{at}" for at in range(len(lists))])
    pq.write_table(pa.table({"user_id": users, "items": lists}), path, row_group_size=1 << 17)
    return {"users": len(lists), "entries": len(items)}


def check_sample(model: str, out: str) -> int:
    """Some users' rows, compared with what the model says of them in memory; how many rows."""
    import pyarrow.parquet as pq

    import ferrec

    loaded, compared = ferrec.load(model), 0
    parts = sorted(Path(out).glob("part-*.parquet"))
    for part in (parts[0], parts[len(parts) // 2], parts[-1]):
        table = pq.read_table(part)
        users = table.column("user_id").unique().to_pylist()[-500:]
        last = table.slice(table.column("user_id").index(users[0]).as_py())
        if not last.equals(loaded.recommend(users, n=N).to_arrow()):
            raise SystemExit(f"{part}: other rows than recommend gives")
        compared += last.num_rows
    return compared


# --- Workers: one model, many processes --------------------------------------------------------------------------

WORKER = """
import json, sys, time
import numpy, pyarrow, ferrec
def memory():
    lines = (line.split() for line in open("/proc/self/smaps_rollup").readlines()[1:])
    found = {words[0].rstrip(":"): int(words[1]) << 10 for words in lines}
    return {name: found[name] for name in ("Rss", "Pss", "Private_Dirty", "Private_Clean")}
def say(**values):
    print(json.dumps(values), flush=True)
    sys.stdin.readline()
say(before=memory())
start = time.perf_counter()
model = ferrec.load(sys.argv[1]).set_params(n_threads=1)
opened = time.perf_counter()
state = model.state
for name in ("users", "items", "seen", "similarity"):
    getattr(state, name)  # read and checked: all of it is in memory now
read = time.perf_counter()
say(load=opened - start, read=read - opened)
say(open=memory())
users = model.users.decode(numpy.arange(min(len(model.users), 1000)))
model.recommend(users)
say(scored=memory())
"""


def workers(options: argparse.Namespace, sizes: Sizes, folder: Path) -> tuple[Json, str, bool]:
    """Memory is what each has above an interpreter with everything imported."""
    the_model(folder, sizes)
    model = folder / MODEL
    size = sum(file.stat().st_size for file in model.iterdir())
    rows = []
    for count in (1, 2, options.workers):
        with running([[sys.executable, "-c", WORKER, str(model)]] * count) as step:
            before, times, opened, scored = step(), step(), step(), step()
        more = [
            {k: o["open"][k] - b["before"][k] for k in o["open"]} for b, o in zip(before, opened, strict=True)
        ]
        after = [
            s["scored"]["Private_Dirty"] - b["before"]["Private_Dirty"]
            for b, s in zip(before, scored, strict=True)
        ]
        rows.append(
            {
                "workers": count,
                "load_ms": round(1e3 * max(one["load"] for one in times), 2),
                "read_seconds": round(max(one["read"] for one in times), 3),
                "rss_each": max(one["Rss"] for one in more),
                "pss_all": sum(one["Pss"] for one in more),
                "private_dirty_each": max(one["Private_Dirty"] for one in more),
                "private_dirty_each_after_scoring": max(after),
            }
        )
    mib = 1 << 20
    text = [
        f"A model of {size / mib:,.0f} MiB, all of it read by every worker; memory above the interpreter's\n",
        "| workers | load, ms | read and check, s | resident each, MiB | all together, MiB | private each, MiB |",
        "|---|---|---|---|---|---|",
    ]
    text += [
        f"| {r['workers']} | {r['load_ms']:.1f} | {r['read_seconds']:.2f} | {r['rss_each'] / mib:,.0f} | "
        f"{r['pss_all'] / mib:,.0f} | {r['private_dirty_each'] / mib:,.1f} |"
        for r in rows
    ]
    # What all of them have together is the model once, not once each.
    fine = all(row["private_dirty_each"] < max(size / 8, 8 * mib) for row in rows)
    return {"model_bytes": size, "rows": rows}, "\n".join(text), fine


@contextlib.contextmanager
def running(commands: list[list[str]]) -> Iterator[Callable[[], list[Json]]]:
    """Processes that go on together: each call reads a line of each, then lets all go on."""
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    children = [subprocess.Popen(command, **pipes) for command in commands]

    def step() -> list[Json]:
        found = [json.loads(child.stdout.readline()) for child in children]
        for child in children:
            child.stdin.write("\n")
            child.stdin.flush()
        return found

    try:
        yield step
    finally:
        for child in children:
            child.kill()
            child.communicate()


# --- A billion users: arithmetic ---------------------------------------------------------------------------------

BILLION = 1_000_000_000
CORES = (2, 16, 128)
DOLLARS = 0.05  # for a core and an hour; what clouds ask on demand, before any discount
SPARE = 0.5  # of the measured speed: start-up, stragglers, blocks done again, a disk that is a network


def billion(figures: Json, threads: int) -> str:
    """From what `histories` measured: users come with their histories, and no machine knows them all."""
    users = figures["users"]
    per_core = figures["users_per_second"] / threads * SPARE
    read, written = figures["bytes_read"] / users, figures["bytes_written"] / users
    hours = BILLION / per_core / 3600
    text = [
        f"Measured on {threads} cores: {figures['users_per_second']:,} users/s "
        f"with {figures['entries'] / users:.0f} items each; "
        f"{read:.0f} bytes of Parquet read and {written:.0f} written for each.",
        f"Assumed: {SPARE:.0%} of that speed for each core, ${DOLLARS:.2f} for a core and an hour.",
        f"A billion users: {BILLION * read / 1e9:,.0f} GB read, {BILLION * written / 1e9:,.0f} GB written, "
        f"{hours:,.1f} core hours, ${hours * DOLLARS:,.2f}.\n",
        "| cores | minutes | MB/s read, all | MB/s written, all |",
        "|---|---|---|---|",
    ]
    text += [
        f"| {cores:,} | {60 * hours / cores:,.0f} | {per_core * cores * read / 1e6:,.0f} "
        f"| {per_core * cores * written / 1e6:,.0f} |"
        for cores in CORES
    ]
    return "\n".join(text)


# --- Processes, memory, the record -------------------------------------------------------------------------------


def apart(function: str, **arguments: Any) -> Any:
    """A function of this file in a process of its own, so that its memory is not ours; what it returned."""
    command = [sys.executable, __file__, "--apart", json.dumps([function, arguments])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"{function} failed ({done.returncode})")
    return json.loads(done.stdout.splitlines()[-1])


def peak_bytes() -> int:
    """The most memory that this process has had."""
    from ferrec.batch._block_sizes import in_use

    return in_use()[1]


def record(command: str, figures: Json, threads: int) -> Path:
    where = machine(threads)
    where["versions"] |= {name: version(name) for name in ("pyarrow", "pandas") if installed(name)}
    RECORD.mkdir(parents=True, exist_ok=True)
    path = RECORD / f"{command}.json"
    path.write_text(json.dumps({"machine": where, **figures}, indent=1) + "\n")
    return path


def soaked(options: argparse.Namespace, sizes: Sizes, folder: Path) -> tuple[Json, str, bool]:
    import soak

    model = folder / f"model-{sizes.throughput}"
    if not model.exists():
        apart("make_throughput", folder=str(model), shape=sizes.throughput)
    found = soak.watch(
        model,
        folder / "recs-soak",
        seconds=60 * options.minutes,
        limit=options.memory_limit or GIB // 2,
        threads=options.threads,
        n=N,
    )
    if options.picture:
        soak.draw(found, options.picture)
    return found, soak.says(found), soak.is_flat(found)


COMMANDS = {
    "throughput": throughput,
    "nightly": nightly,
    "histories": histories,
    "workers": workers,
    "soak": soaked,
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    from ferrec.cli.recommend import size_in_bytes

    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("commands", nargs="+", choices=[*COMMANDS, "billion"], metavar="COMMAND")
    parser.add_argument("--small", action="store_true", help="little data, in seconds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--memory-limit", type=size_in_bytes, metavar="SIZE", help="of each job, such as 2GiB"
    )
    parser.add_argument("--workers", type=int, default=4, help="the most processes with one model open")
    parser.add_argument("--minutes", type=float, default=15.0, help="of the soak")
    parser.add_argument("--picture", type=Path, help="where the soak's goes, as SVG")
    parser.add_argument(
        "--folder", type=Path, help="for models and answers, kept; by default a temporary one"
    )
    parser.add_argument("--record", action="store_true", help="write benches/record/batch/<command>.json")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    sizes, fine = SMALL if options.small else FULL, True
    with tempfile.TemporaryDirectory(prefix="ferrec-batch-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for command in options.commands:
            if command == "billion":
                measured = json.loads((RECORD / "histories.json").read_text())
                print("\n" + billion(measured, measured["machine"]["threads"]))
                continue
            figures, text, well = COMMANDS[command](options, sizes, folder)
            fine = fine and well
            print(f"\n{command}\n\n{text}" + ("" if well else "\n\nNOT as it should be"), flush=True)
            if options.record:
                print(f"Recorded in {record(command, figures, options.threads).relative_to(REPOSITORY)}")
    return int(not fine)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--apart"]:
        function, given = json.loads(sys.argv[2])
        print(json.dumps(globals()[function](**given)))
    else:
        sys.exit(main())
