"""A process that scores again and again under a limit of memory, watched from outside, and the picture of it.

`batch.py soak` runs it.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from typing import Any

from machine import Json

EVERY = 1.0  # seconds between two looks
WARM_JOBS = 2  # the memory of the first jobs is not held against the later ones
GROWTH = 1.05  # what the last third may have of the first
MIB = 1 << 20


def watch(model: Path, out: Path, *, seconds: float, limit: int, threads: int, n: int) -> Json:
    """Samples `[seconds, bytes resident, jobs done]` of the process, and what became of its jobs."""
    job = {
        "model": str(model),
        "out": str(out),
        "seconds": seconds,
        "limit": limit,
        "threads": threads,
        "n": n,
    }
    command = [sys.executable, __file__, json.dumps(job)]
    samples: list[list[float]] = []
    log = out.with_suffix(".jsonl")
    start = time.monotonic()
    with log.open("wb") as output, subprocess.Popen(command, stdout=output) as child:
        while child.poll() is None:
            jobs = log.read_bytes().count(b"\n")
            samples.append([round(time.monotonic() - start, 1), resident(child.pid), jobs])
            time.sleep(EVERY)
    if child.returncode:
        raise SystemExit(f"the process that scores ended with {child.returncode}")
    done = [json.loads(line) for line in log.read_text().splitlines()]
    return {
        "seconds": round(time.monotonic() - start, 1),
        "limit": limit,
        "jobs": len(done),
        "users_per_job": done[0]["users"],
        "checksums": sorted({one["checksum"] for one in done}),
        "peak_bytes": done[-1]["peak_bytes"],
        **thirds(samples),
        "samples": samples,
    }


def resident(pid: int) -> int:
    """Bytes that a process has in memory; 0 when it has gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def thirds(samples: list[list[float]]) -> Json:
    """The mean resident set of the first and the last third of what comes after the first jobs."""
    warm = [size for _, size, jobs in samples if jobs >= WARM_JOBS and size]
    third = len(warm) // 3
    if not third:
        raise SystemExit("too short: nothing was seen after the first jobs")
    first, last = mean(warm[:third]), mean(warm[-third:])
    return {"first_third": round(first), "last_third": round(last), "growth": round(last / first, 4)}


def is_flat(found: Json) -> bool:
    """The same answers every time, the limit kept, and no more memory in the end than in the beginning."""
    return (
        found["growth"] <= GROWTH and found["peak_bytes"] <= found["limit"] and len(found["checksums"]) == 1
    )


def says(found: Json) -> str:
    first, last, peak, limit = (
        f"{found[key] / MIB:,.0f} MiB" for key in ("first_third", "last_third", "peak_bytes", "limit")
    )
    return (
        f"{found['jobs']:,} jobs of {found['users_per_job']:,} users in {found['seconds'] / 60:.1f} minutes, "
        f"{len(found['checksums'])} different checksum(s)\n"
        f"resident: {first} in the first third, {last} in the last ({found['growth'] - 1:+.1%}), "
        f"{peak} at the peak, limit {limit}"
    )


def draw(found: Json, path: Path) -> None:
    """The resident set over time, with the limit above it."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from report import FAINT, FERREC, INK, STYLE

    seen = [(seconds / 60, size / MIB) for seconds, size, _ in found["samples"] if size]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 2.9), layout="constrained")
        axis = figure.subplots()
        axis.plot(*zip(*seen, strict=True), color=FERREC, lw=1.0)
        limit = found["limit"] / MIB
        axis.axhline(limit, color=INK, lw=1.2, ls=(0, (4, 3)))
        axis.annotate("limit", (0, limit), xytext=(2, -11), textcoords="offset points", fontsize=8)
        axis.set(xlabel="minutes", ylabel="MiB resident", ylim=(0, limit * 1.08), xlim=(0, seen[-1][0]))
        axis.yaxis.grid(True, color=FAINT, lw=0.6)
        title = f"{found['jobs']:,} batch jobs of {found['users_per_job']:,} users each, one after another"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, transparent=True, metadata={"Date": None})


def score_again(job: dict[str, Any]) -> None:
    """In the process that is watched: a line of JSON for each job."""
    import ferrec

    end = time.monotonic() + job["seconds"]
    while True:
        shutil.rmtree(job["out"], ignore_errors=True)
        done = ferrec.score_batch(
            job["model"], None, job["out"], n=job["n"], n_threads=job["threads"], memory_limit=job["limit"]
        )
        line = {"users": done.users, "checksum": done.checksum, "peak_bytes": done.peak_bytes}
        print(json.dumps(line), flush=True)
        if time.monotonic() > end:
            return


if __name__ == "__main__":
    score_again(json.loads(sys.argv[1]))
