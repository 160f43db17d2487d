"""ferrec beside its peers: the same work, the same data, the same threads; ratios of time, answers compared.

    python benches/python/compare.py                          # 1m, every row
    python benches/python/compare.py --shapes all --record    # writes benches/record/<date>-<cpu>.*

Every engine of every row runs in a fresh process: it loads the data, warms up on a few rows, and runs until
it has seven timings or has spent its budget (`--budget`). The first run at full size gives the peak memory
above the loaded input; where it is quick it is not timed; where it takes longer than `--timeout`, the engine
is stopped and the table says so. The median counts. Targets are in `targets.py`.

Rows that differ from ferrec's by more than ties and 1e-4 are counted: "rounded" where 1e-3 would let them
pass, "wrong" otherwise. Where answers are no rankings the row's judge says how good each is. Exits with 1 if any is
wrong, if ferrec's is not as good as it has to be, or if an engine failed; with 2 if ferrec was not built in release
mode.
"""

import argparse
import ctypes
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from engines import Inputs, Row
from machine import PACKAGES, REPOSITORY, installed, machine, package
from records import record
from results import DRIFT, differing_rows, is_best_first, ranking
from rows import ROWS
from shapes import NAMES, load, matrix, names_of, path_of, save
from tables import others_busy, tables

from ferrec.datasets import synthetic

MAX_RUNS = 7
UNTIMED_UNDER = 2.0  # seconds: a first run this quick is warm-up
ONCE_ABOVE = 10.0  # seconds: a peer this slow is not run again in later rounds
PREPARATION = 300.0  # seconds for what comes before the first timed run: imports, a peer's own data set
MIB = 1 << 20

Json = dict[str, Any]


# --- One engine, in its own process -----------------------------------------------------------------------


def worker(job: Json) -> None:
    """Runs one engine on one row and shape; leaves `timing.json` and, if asked, `result.npz`."""
    row, threads, out = ROWS[job["row"]], job["threads"], Path(job["out"])
    engine = row.engines[job["engine"]]
    inputs = inputs_of(row, job["shape"], job["similarity"])

    engine(little(row, inputs), threads)()  # loads libraries, starts threads
    run = engine(inputs, threads)

    gc.collect()
    before = reset_peak()
    stop_after(job["timeout"])
    result, first, spent = timed(run)
    stop_after(0)
    peak = peak_bytes() - before
    timings = [first] if first["seconds"] >= UNTIMED_UNDER else []
    while len(timings) < MAX_RUNS and (not timings or spent + timings[-1]["seconds"] < job["budget"]):
        del result  # so that the next run starts with as little memory as the first
        result, timing, seconds = timed(run)
        timings.append(timing)
        spent += seconds

    if hasattr(result, "indptr"):
        parts = {name: getattr(result, name) for name in ("data", "indices", "indptr")}
    else:
        parts = (
            dict(zip(("ids", "scores"), result, strict=True))
            if isinstance(result, tuple)
            else {"values": result}
        )
    if job["save"]:
        if hasattr(result, "indptr"):
            save(out / "result.npz", result.tocsr())  # irspack leaves columns
        else:
            np.savez(out / "result.npz", **parts)
    timing = {
        "timings": timings,
        "peak_mib": round(peak / MIB, 1),
        "output_mib": round(sum(part.nbytes for part in parts.values()) / MIB, 1),
        "input": [*inputs.x.shape, inputs.x.nnz],
    }
    if row.work and job["engine"] == row.reference:
        timing["multiply_adds"] = row.work(inputs)
    (out / "timing.json").write_text(json.dumps(timing))


def inputs_of(row: Row, shape: str, similarity: str | None) -> Inputs:
    if row.inputs:
        return row.inputs(shape)
    return Inputs(matrix(shape, ratings=row.ratings), load(Path(similarity)) if similarity else None)


def little(row: Row, inputs: Inputs) -> Inputs:
    """What an engine runs on first. Not a slice for cosine: similaripy fails on empty columns at the end."""
    if row.inputs:
        return inputs.corner()
    return Inputs(synthetic(200, 100, 5000) if row.square else inputs.x[:200], inputs.similarity)


def stop_after(seconds: float) -> None:
    """Lets the system end this process, even within a call that never looks; 0 takes it back (POSIX only)."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def timed(run: Any) -> tuple[Any, Json, float]:
    """The result, and: wall seconds, own CPU seconds, and how many cores others kept busy meanwhile."""
    busy, own, start = system_busy_seconds(), time.process_time(), time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    own = time.process_time() - own
    timing: Json = {"seconds": round(seconds, 5), "cpu_seconds": round(own, 3)}
    if busy is not None and seconds > 0.1:  # the kernel counts in hundredths of a second
        timing["others_busy"] = round(max(0.0, (system_busy_seconds() or 0.0) - busy - own) / seconds, 2)
    return result, timing, seconds


def system_busy_seconds() -> float | None:
    """CPU seconds that anything on this machine has used, and those stolen from it; None outside Linux."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _wait, irq, soft, steal = map(int, stat.read_text().split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def wait_for_quiet(seconds: float) -> None:
    """Waits until the machine is idle for two seconds, at most `seconds` (where the system can tell)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (before := system_busy_seconds()) is not None:
        time.sleep(2)
        if (system_busy_seconds() or 0.0) - before < 0.2:
            return


def reset_peak() -> int:
    """Gives freed memory back, resets the peak where the system can (Linux); bytes used."""
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        return peak_bytes()
    ctypes.CDLL(None).malloc_trim(0)
    clear.write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


# --- All engines of a row ---------------------------------------------------------------------------------


def start(job: Json) -> Json:
    """Runs a job in a fresh process; its timing, or why there is none (`error`, `over_seconds`)."""
    out = Path(job["out"])
    out.mkdir(parents=True, exist_ok=True)
    names = ("OMP", "RAYON", "OPENBLAS", "MKL", "NUMBA")
    limit = PREPARATION + job["timeout"] + job["budget"]
    environment = os.environ | {f"{name}_NUM_THREADS": str(job["threads"]) for name in names}
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    wait_for_quiet(job["wait"])
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"failed: not done after {limit:.0f} s"}
    if hasattr(signal, "SIGALRM") and done.returncode == -signal.SIGALRM:
        return {"over_seconds": job["timeout"]}
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return {"error": f"failed ({done.returncode}): {reason}"}
    return dict(json.loads((out / "timing.json").read_text()))


def answer(path: Path) -> Any:
    """A saved result: a sparse matrix, (ids, scores), or a dense array."""
    with np.load(path, allow_pickle=False) as parts:
        if "values" in parts:
            return parts["values"]
        if "ids" in parts:
            return parts["ids"], parts["scores"]
    return load(path)


def measure(name: str, shape: str, engines: list[str], options: argparse.Namespace, folder: Path) -> Json:
    """One row at one shape: every engine's timings, and its answer compared with the first one's."""
    row = ROWS[name]
    base: Json = {
        "shape": shape,
        "threads": options.threads,
        "budget": options.budget,
        "timeout": options.timeout,
        "wait": options.wait,
        "similarity": None,
    }
    if not row.square and not row.inputs:
        base["similarity"] = str(names_of(path_of(shape))) if shape == "strings" else similarity(base, folder)

    measured: Json = {}
    entry: Json = {"row": name, "group": row.group, "title": row.title, "shape": shape, "engines": measured}
    reference = None
    for number in range(options.rounds):
        for engine in engines:
            before = measured.get(engine)
            if before and not again(before, engine == row.reference):
                continue
            out = folder / f"{name}-{shape}-{engine.replace(' ', '-')}"
            timing = start(base | {"row": name, "engine": engine, "out": str(out), "save": not number})
            if before and "timings" in timing:
                before["timings"] += timing["timings"]
                continue
            measured[engine] = timing
            if "timings" in timing:
                entry["n_users"], entry["n_items"], entry["nnz"] = timing.pop("input")
                if "multiply_adds" in timing:
                    entry["multiply_adds"] = timing.pop("multiply_adds")
                found = answer(out / "result.npz")
                (out / "result.npz").unlink()
                reference = found if engine == row.reference else reference
                examine(timing, found, row, engine, shape, reference)
            say(progress(entry, engine))
    add_ratios(measured, row.reference)
    return entry


def again(timing: Json, is_reference: bool) -> bool:
    """Whether an engine runs in the next round too."""
    return "timings" in timing and (is_reference or median_seconds(timing) <= ONCE_ABOVE)


def examine(timing: Json, result: Any, row: Row, engine: str, shape: str, reference: Any) -> None:
    """Adds to the timing what is to be said about the answer, beside that of the first engine."""
    if row.judge:
        if reference is not None:
            timing["quality"], outdone = row.judge(shape, reference, result)
            timing["outdone"] = outdone and not engine.startswith(
                "ferrec-"
            )  # other ways of ferrec's may be better
        return
    if engine == "ferrec" or row.group in ("measures", "threads"):
        timing["best_first"] = is_best_first(result, row.k)
    if not row.compared:
        return
    n_cols = max(columns(one) for one in (reference, result) if one is not None)
    ranked = ranking(result, n_cols, row.k, square=row.square)
    timing["rows"] = ranked.indptr.size - 1
    if reference is not None and reference is not result:
        ours = ranking(reference, n_cols, row.k, square=row.square)
        timing["differing_rows"] = differing_rows(ours, ranked, row.k)
        timing["wrong_rows"] = timing["differing_rows"] and differing_rows(ours, ranked, row.k, DRIFT)


def columns(result: Any) -> int:
    return result.shape[1] if hasattr(result, "indptr") else int(result[0].max()) + 1


def progress(entry: Json, engine: str) -> str:
    """A line about an engine that has just run."""
    timing = entry["engines"][engine]
    start = f"  {entry['shape']:9} {entry['row']:17} {engine:23} "
    if "timings" not in timing:
        return start + (timing.get("error") or f"over {timing['over_seconds']:.0f} s")
    seconds, used, busy = (
        median(t.get(key, 0.0) for t in timing["timings"])
        for key in ("seconds", "cpu_seconds", "others_busy")
    )
    return (
        f"{start}{seconds:8.3f} s ({len(timing['timings'])} runs, {used:.2f} s of CPU, others use {busy:.1f} cores)"
        f"  +{timing['peak_mib']:.0f} MiB  "
        + (timing.get("quality") or f"differs in {timing.get('differing_rows', '-')} rows")
    )


def median_seconds(timing: Json) -> float:
    return float(median(t["seconds"] for t in timing["timings"]))


def add_ratios(measured: Json, reference: str) -> None:
    """Medians, and time / time of the reference; of an engine that was stopped the ratio is a lower bound."""
    for timing in measured.values():
        if "timings" in timing:
            timing["median_seconds"] = median_seconds(timing)
    ours = measured.get(reference, {}).get("median_seconds")
    for timing in measured.values():
        seconds = timing.get("median_seconds")
        if ours and seconds is not None:
            timing["ratio"] = round(seconds / ours, 2)
        elif ours and "over_seconds" in timing:
            timing["ratio_over"] = round(timing["over_seconds"] / ours, 2)


def similarity(base: Json, folder: Path) -> str:
    """The matrix that every engine recommends from: ferrec's item-item cosine of the same data, made once."""
    out = folder / f"similarity-{base['shape']}"
    if not (out / "result.npz").exists():
        job = base | {"row": "items", "engine": "ferrec", "out": str(out), "save": True, "budget": 0.0}
        timing = start(job)
        if "timings" not in timing:
            raise RuntimeError(f"item-item cosine at {base['shape']}: {timing}")
    return str(out / "result.npz")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    def names(known: Any) -> Any:
        def split(text: str) -> list[str]:
            chosen = list(known) if text == "all" else text.split(",")
            unknown = [name for name in chosen if name not in known]
            if unknown:
                text = f"unknown {', '.join(unknown)}; there are {', '.join(known)}"
                raise argparse.ArgumentTypeError(text)
            return chosen

        return split

    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("--shapes", type=names(NAMES), default=["1m"], help=f"all, or of {','.join(NAMES)}")
    parser.add_argument("--rows", type=names(ROWS), default=list(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--engines", type=names(PACKAGES), help="default: all that are installed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1, help="repeat all engines in turn; evens out drift")
    parser.add_argument("--budget", type=float, default=15.0, help="seconds to spend on timing one engine")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds until a run is stopped")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds to wait at most for a quiet machine")
    parser.add_argument("--record", action="store_true", help="write benches/record/<date>-<cpu>.md, .json")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.worker:
        worker(options.worker)
        return 0

    where = machine(options.threads)
    if where["build_profile"] != "release":
        profile = where["build_profile"]
        say(f"ferrec was built with profile {profile!r}; run `maturin develop --release` first")
        return 2
    for name in [] if options.engines else PACKAGES:
        if not installed(name):
            say(f"{name} is not installed and left out; pip install 'ferrec[bench-all]' brings it")

    entries = []
    with tempfile.TemporaryDirectory(prefix="ferrec-bench-") as folder:
        for shape in options.shapes:
            path_of(shape)  # generate before anything is timed
            for name in options.rows:
                engines = chosen_engines(ROWS[name], options.engines or PACKAGES)
                if shape in ROWS[name].shapes and engines:
                    entries.append(measure(name, shape, engines, options, Path(folder)))

    print(tables(where, entries))
    if options.record:
        print(f"Recorded in {record(where, entries).relative_to(REPOSITORY)}")
    busy = others_busy(entries)
    if busy > 0.2:
        say(f"Others kept up to {busy:.1f} cores busy meanwhile: run again on a quiet machine to be believed")
    return int(any(is_bad(timing) for entry in entries for timing in entry["engines"].values()))


def chosen_engines(row: Row, chosen: Sequence[str]) -> list[str]:
    """Those of the row that are asked for and installed; rows of ferrec alone count as ferrec."""
    if row.group in ("measures", "threads"):
        return list(row.engines) if "ferrec" in chosen else []
    return [engine for engine in row.engines if package(engine) in chosen and installed(package(engine))]


def is_bad(timing: Json) -> bool:
    wrong = bool(timing.get("wrong_rows")) or bool(timing.get("outdone"))
    return "error" in timing or wrong or not timing.get("best_first", True)


if __name__ == "__main__":
    sys.exit(main())
