"""ferrec beside its peers: the same work, the same data, the same threads; ratios of time, answers compared.

    python benches/python/compare.py                                  # 1m, every row
    python benches/python/compare.py --shapes 1m,20m,long --record    # writes benches/record/<date>-<cpu>.*

Every engine of every row runs in a fresh process: it loads the data, warms up on a few rows, and runs until
it has seven timings or has spent its budget (`--budget`). The first run at full size gives the peak memory
above the loaded input; where it is quick it is not timed. The median counts.

Rows that differ from ferrec's by more than ties and 1e-4 are counted: "rounded" where 1e-3 would let them
pass, "wrong" otherwise. Exits with 1 if any is wrong or an engine failed, with 2 if ferrec was not built in
release mode.
"""

import argparse
import ctypes
import gc
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from engines import ROWS, Inputs
from results import DRIFT, differing_rows, is_best_first, ranking
from shapes import SHAPES, load, matrix, names_of, path_of, save

from ferrec.datasets.synthetic import synthetic

REPOSITORY = Path(__file__).resolve().parents[2]
RECORD = REPOSITORY / "benches" / "record"
PACKAGES = ("ferrec", "numpy", "scipy", "similaripy", "sparse_dot_topn", "implicit")

MAX_RUNS = 7
UNTIMED_UNDER = 2.0  # seconds: a first run this quick is warm-up
ONCE_ABOVE = 10.0  # seconds: a peer this slow is not run again in later rounds
MIB = 1 << 20

Json = dict[str, Any]


# --- One engine, in its own process -----------------------------------------------------------------------


def worker(job: Json) -> None:
    """Runs one engine on one row and shape; leaves `timing.json` and, if asked, `result.npz`."""
    row, threads, out = ROWS[job["row"]], job["threads"], Path(job["out"])
    engine = row.engines[job["engine"]]
    x = matrix(job["shape"], ratings=row.ratings)
    similarity = load(Path(job["similarity"])) if job["similarity"] else None

    # Loads libraries, starts threads. Not a slice for cosine: similaripy fails on empty columns at the end.
    warm_up = synthetic(200, 100, 5000) if row.square else x[:200]
    engine(Inputs(warm_up, similarity), threads)()
    run = engine(Inputs(x, similarity), threads)

    gc.collect()
    before = reset_peak()
    result, first, spent = timed(run)
    peak = peak_bytes() - before
    timings = [first] if first["seconds"] >= UNTIMED_UNDER else []
    while len(timings) < MAX_RUNS and (not timings or spent + timings[-1]["seconds"] < job["budget"]):
        del result  # so that the next run starts with as little memory as the first
        result, timing, seconds = timed(run)
        timings.append(timing)
        spent += seconds

    parts = [result.data, result.indices, result.indptr] if hasattr(result, "indptr") else list(result)
    if job["save"]:
        if hasattr(result, "indptr"):
            save(out / "result.npz", result)
        else:
            np.savez(out / "result.npz", ids=result[0], scores=result[1])
    timing = {
        "timings": timings,
        "peak_mib": round(peak / MIB, 1),
        "output_mib": round(sum(part.nbytes for part in parts) / MIB, 1),
    }
    (out / "timing.json").write_text(json.dumps(timing))


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


def start(job: Json) -> Json | str:
    """Runs a job in a fresh process; its timing, or why there is none."""
    out = Path(job["out"])
    out.mkdir(parents=True, exist_ok=True)
    names = ("OMP", "RAYON", "OPENBLAS", "MKL", "NUMBA")
    environment = os.environ | {f"{name}_NUM_THREADS": str(job["threads"]) for name in names}
    command = [sys.executable, __file__, "--worker", json.dumps(job)]
    wait_for_quiet(job["wait"])
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=job["timeout"]
        )
    except subprocess.TimeoutExpired:
        return f"over {job['timeout']:.0f} s"
    if done.returncode:
        return f"failed ({done.returncode}): {(done.stderr.strip().splitlines() or ['no message'])[-1]}"
    return dict(json.loads((out / "timing.json").read_text()))


def answer(path: Path) -> Any:
    """A saved result: a sparse matrix, or (ids, scores)."""
    with np.load(path, allow_pickle=False) as parts:
        if "ids" in parts:
            return parts["ids"], parts["scores"]
    return load(path)


def measure(name: str, shape: str, engines: list[str], options: argparse.Namespace, folder: Path) -> Json:
    """One row at one shape: every engine's timings, and its answer compared with ferrec's."""
    row = ROWS[name]
    n_users, n_items, nnz = SHAPES[shape]
    base: Json = {
        "shape": shape,
        "threads": options.threads,
        "budget": options.budget,
        "timeout": options.timeout,
        "wait": options.wait,
        "similarity": None,
    }
    if not row.square:
        base["similarity"] = str(names_of(path_of(shape))) if shape == "strings" else similarity(base, folder)

    measured: Json = {}
    ours = None
    for number in range(options.rounds):
        for engine in engines:
            before = measured.get(engine)
            if before and (
                "error" in before
                or (engine != "ferrec" and median(t["seconds"] for t in before["timings"]) > ONCE_ABOVE)
            ):
                continue
            out = folder / f"{name}-{shape}-{engine}"
            timing = start(base | {"row": name, "engine": engine, "out": str(out), "save": not number})
            if isinstance(timing, str):
                measured[engine] = {"error": timing}
                say(f"  {shape:5} {name:13} {engine:16} {timing}")
                continue
            if before:
                before["timings"] += timing["timings"]
                continue
            measured[engine] = timing
            result = answer(out / "result.npz")
            if engine == "ferrec":
                timing["best_first"] = is_best_first(result, row.k)
            ranked = ranking(result, n_items if name != "users" else n_users, row.k, square=row.square)
            timing["rows"] = ranked.indptr.size - 1
            del result
            (out / "result.npz").unlink()
            if engine == "ferrec":
                ours = ranked
            elif ours is not None:
                timing["differing_rows"] = differing_rows(ours, ranked, row.k)
                timing["wrong_rows"] = timing["differing_rows"] and differing_rows(ours, ranked, row.k, DRIFT)
            seconds, used, busy = (
                median(t.get(key, 0.0) for t in timing["timings"])
                for key in ("seconds", "cpu_seconds", "others_busy")
            )
            say(
                f"  {shape:5} {name:13} {engine:16} {seconds:8.3f} s ({len(timing['timings'])} runs,"
                f" {used:.2f} s of CPU, others use {busy:.1f} cores)  +{timing['peak_mib']:.0f} MiB"
                f"  differs in {timing.get('differing_rows', '-')} rows"
            )
    for timing in measured.values():
        if "timings" in timing:
            timing["median_seconds"] = median(t["seconds"] for t in timing["timings"])
    for timing in measured.values():
        if "median_seconds" in timing and "median_seconds" in measured.get("ferrec", {}):
            timing["ratio"] = round(timing["median_seconds"] / measured["ferrec"]["median_seconds"], 2)
    return {
        "row": name,
        "title": row.title,
        "shape": shape,
        "n_users": n_users,
        "n_items": n_items,
        "nnz": nnz,
        "engines": measured,
    }


def similarity(base: Json, folder: Path) -> str:
    """The matrix that every engine recommends from: ferrec's item-item cosine of the same data, made once."""
    out = folder / f"similarity-{base['shape']}"
    if not (out / "result.npz").exists():
        job = base | {"row": "items", "engine": "ferrec", "out": str(out), "save": True, "budget": 0}
        timing = start(job)
        if isinstance(timing, str):
            raise RuntimeError(f"item-item cosine at {base['shape']}: {timing}")
    return str(out / "result.npz")


# --- Where, and the table ---------------------------------------------------------------------------------


def machine(threads: int) -> Json:
    from ferrec import _rust

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": threads,
        "commit": commit(),
        "build_profile": _rust.build_profile,
        "simd": _rust.simd_level(),
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES if installed(name)},
    }


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = r"^(model name|cpu family|model)\s*:\s*(.+)$"
        found = dict(re.findall(fields, info.read_text(), re.MULTILINE))
        if "model name" in found:
            return f"{found['model name']} (family {found.get('cpu family')}, model {found.get('model')})"
    return platform.processor() or platform.machine()


def commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/record")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")


def others_busy(entries: list[Json]) -> float:
    """Cores that other processes kept busy during the most disturbed timed run: above 0.2, do not believe it."""
    runs = (t for e in entries for engine in e["engines"].values() for t in engine.get("timings", []))
    return max((run.get("others_busy", 0.0) for run in runs), default=0.0)


def table(where: Json, entries: list[Json]) -> str:
    """The record as Markdown: ratios first."""
    peers = [p for p in PACKAGES if any(p in e["engines"] for e in entries) and p != "ferrec"]

    def rows(cell: Any, engines: list[str]) -> list[str]:
        return [
            " | ".join([f"| {e['title']}", e["shape"], *(cell(e["engines"].get(p)) for p in engines)]) + " |"
            for e in entries
        ]

    def head(*columns: str) -> list[str]:
        return ["| work | shape | " + " | ".join(columns) + " |", "|---|---|" + "---:|" * len(columns)]

    def ratio(timing: Json | None) -> str:
        if timing is None:
            return ""
        if "ratio" not in timing:
            return timing.get("error", "–")
        differing, text = timing.get("differing_rows", 0), f"{timing['ratio']:.2f}"
        kind = "wrong" if timing.get("wrong_rows") else "rounded"
        return f"{text} ({differing} of {timing['rows']} rows {kind})" if differing else text

    def fastest(entry: Json) -> str:
        ratios = {p: t["ratio"] for p, t in entry["engines"].items() if "ratio" in t and p != "ferrec"}
        if not ratios:
            return ""
        best = min(ratios, key=lambda p: ratios[p])
        return f"**{ratios[best]:.2f}** ({best})"

    def memory(timing: Json | None) -> str:
        if timing is None or "peak_mib" not in timing:
            return ""
        return f"{timing['peak_mib']:.0f} ({timing['output_mib']:.0f})"

    lines = [
        f"# {where['date']}, {where['cpu']}, {where['threads']} threads",
        "",
        f"Commit {where['commit']}, {where['build_profile']} build, SIMD {where['simd']}, "
        f"{where['cores']} cores, {where['memory_gib']} GiB, {where['system']}, Python {where['python']}.",
        ", ".join(f"{name} {version}" for name, version in where["versions"].items()) + ".",
        "Shapes: "
        + "; ".join(f"{s} = {u:,} × {i:,}, {n / 1e6:.0f} M" for s, (u, i, n) in SHAPES.items())
        + ". Seconds are in the JSON file.",
        "",
        "## Time of the peer / time of ferrec (above 1: ferrec is faster)",
        "",
        "Rounded: scores differ by more than 1e-4 and less than 1e-3. "
        f"Others kept at most {others_busy(entries):.1f} cores busy during a timed run.",
        "",
        *head("the fastest peer", *peers),
    ]
    for line, entry in zip(rows(ratio, peers), entries, strict=True):
        title, shape, rest = line.removeprefix("| ").split(" | ", 2)
        lines.append(f"| {title} | {shape} | {fastest(entry)} | {rest}")
    lines += [
        "",
        "## Peak memory above the loaded input, MiB (of it the answer)",
        "",
        *head("ferrec", *peers),
        *rows(memory, ["ferrec", *peers]),
        "",
    ]
    return "\n".join(lines)


def record(where: Json, entries: list[Json]) -> Path:
    """Writes the files; rows measured earlier under the same conditions that day stay."""
    RECORD.mkdir(parents=True, exist_ok=True)
    slug = re.sub(r"[^a-z0-9]+", "-", where["cpu"].lower()).strip("-")
    for number in range(1, 100):
        path = RECORD / f"{where['date']}-{slug}{f'-{number}' if number > 1 else ''}.json"
        if not path.exists():
            break
        earlier = json.loads(path.read_text())
        if earlier["machine"] == where:
            new = {(entry["row"], entry["shape"]) for entry in entries}
            entries = [e for e in earlier["entries"] if (e["row"], e["shape"]) not in new] + entries
            break
    rank = {key: n for n, key in enumerate((r, s) for r in ROWS for s in SHAPES)}
    entries.sort(key=lambda entry: rank[entry["row"], entry["shape"]])
    path.write_text(json.dumps({"machine": where, "entries": entries}, indent=1) + "\n")
    path.with_suffix(".md").write_text(table(where, entries))
    return path


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    def names(known: Any) -> Any:
        def split(text: str) -> list[str]:
            chosen = text.split(",")
            unknown = [name for name in chosen if name not in known]
            if unknown:
                text = f"unknown {', '.join(unknown)}; there are {', '.join(known)}"
                raise argparse.ArgumentTypeError(text)
            return chosen

        return split

    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("--shapes", type=names(SHAPES), default=["1m"], help=f"of {','.join(SHAPES)}")
    parser.add_argument("--rows", type=names(ROWS), default=list(ROWS), help=f"of {','.join(ROWS)}")
    parser.add_argument("--engines", type=names(PACKAGES), help="default: all that are installed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1, help="repeat all engines in turn; evens out drift")
    parser.add_argument("--budget", type=float, default=15.0, help="seconds to spend on timing one engine")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds until an engine is stopped")
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
            say(f"{name} is not installed and left out; pip install 'ferrec[bench]' brings it")

    entries = []
    with tempfile.TemporaryDirectory(prefix="ferrec-bench-") as folder:
        for shape in options.shapes:
            path_of(shape)  # generate before anything is timed
            for name in options.rows:
                chosen = options.engines or PACKAGES
                engines = [e for e in ROWS[name].engines if e in chosen and installed(e)]
                if shape in ROWS[name].shapes and engines:
                    entries.append(measure(name, shape, engines, options, Path(folder)))

    print(table(where, entries))
    if options.record:
        print(f"Recorded in {record(where, entries).relative_to(REPOSITORY)}")
    timings = [timing for entry in entries for timing in entry["engines"].values()]
    busy = others_busy(entries)
    if busy > 0.2:
        say(f"Others kept up to {busy:.1f} cores busy meanwhile: run again on a quiet machine to be believed")
    failed = any("error" in timing for timing in timings)
    wrong = any(timing.get("wrong_rows") for timing in timings)
    unordered = any(not timing.get("best_first", True) for timing in timings)
    return int(failed or wrong or unordered)


if __name__ == "__main__":
    sys.exit(main())
