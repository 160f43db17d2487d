"""A run as Markdown: what was reached beside what was asked for."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import targets
from machine import PACKAGES, package

Json = dict[str, Any]


def others_busy(entries: list[Json]) -> float:
    """Cores that other processes kept busy during the most disturbed timed run: above 0.2, do not believe it."""
    runs = (t for e in entries for engine in e["engines"].values() for t in engine.get("timings", []))
    return max((run.get("others_busy", 0.0) for run in runs), default=0.0)


def tables(where: Json, entries: list[Json]) -> str:
    """The whole record: ratios to the peers first."""
    groups = ("peers", "models", "measures", "threads")
    of = {group: [e for e in entries if e["group"] == group] for group in groups}
    threads = where["threads"]
    lines = [*heading(where, entries)]
    if of["peers"]:
        lines += [*peers_table("Kernels", of["peers"], threads), *notes(of["peers"], threads)]
    if of["models"]:
        lines += [*peers_table("Models", of["models"], threads), *notes(of["models"], threads)]
    if of["measures"]:
        lines += measures_table(of["measures"], threads)
    if of["threads"]:
        lines += threads_table(of["threads"])
    compared = [*of["peers"], *of["models"]]
    if compared:
        lines += memory_table(compared, threads)
    return "\n".join([*lines, ""])


def heading(where: Json, entries: list[Json]) -> list[str]:
    sizes = {
        e["shape"]: f"{e['shape']} = {e['n_users']:,} × {e['n_items']:,}, {e['nnz'] / 1e6:.1f} M"
        for e in entries
        if "nnz" in e
    }
    return [
        f"# {where['date']}, {where['cpu']}, {where['threads']} threads",
        "",
        f"Commit {where['commit']}, {where['build_profile']} build, SIMD {where['simd']}, "
        f"{where['cores']} cores, {where['memory_gib']} GiB, {where['system']}, Python {where['python']}.",
        ", ".join(f"{name} {version}" for name, version in where["versions"].items()) + ".",
        *earlier(where, entries),
        f"Shapes: {'; '.join(sizes.values())}. Seconds are in the JSON file.",
        f"Others kept at most {others_busy(entries):.1f} cores busy during a timed run.",
    ]


def earlier(where: Json, entries: list[Json]) -> list[str]:
    """The rows that were not measured at the commit of the heading."""
    rows: dict[str, list[str]] = {}
    for entry in entries:
        rows.setdefault(entry.get("commit", where["commit"]), []).append(f"{entry['row']} {entry['shape']}")
    return [
        f"Measured at commit {commit}: {', '.join(names)}."
        for commit, names in rows.items()
        if commit != where["commit"]
    ]


# --- Beside the peers -------------------------------------------------------------------------------------


def peers_of(entries: list[Json]) -> list[str]:
    """The engines beside ferrec, in the order of their packages."""
    names = dict.fromkeys(engine for e in entries for engine in e["engines"] if engine != "ferrec")
    return sorted(names, key=lambda engine: PACKAGES.index(package(engine)))


def peers_table(title: str, entries: list[Json], threads: int) -> list[str]:
    peers = peers_of(entries)
    judged = any("quality" in timing for entry in entries for timing in entry["engines"].values())
    rows = []
    for entry in entries:
        best = hardest(entry)
        wanted = targets.target(entry["row"], entry["shape"], best or "")
        reached = f"**{entry['engines'][best]['ratio']:.2f}** ({best})" if best else bound(entry)
        rows.append(
            [
                entry["title"],
                entry["shape"],
                f"≥ {wanted:g}" if wanted else "",
                reached,
                verdict(is_met(entry, threads)),
                *([quality(entry["engines"].get("ferrec", {}))] if judged else []),
                *(ratio(entry["engines"].get(peer)) for peer in peers),
            ]
        )
    return [
        "",
        f"## {title}: time of the peer / time of ferrec (above 1: ferrec is faster)",
        "",
        "Reached: against the peer that is hardest to beat by as much as is asked for. Rounded: scores differ by"
        " more than 1e-4 and less than 1e-3.",
        "",
        *markdown(
            ["work", "shape", "target", "reached", "met", *(["ferrec's answer"] if judged else []), *peers],
            rows,
        ),
    ]


def hardest(entry: Json) -> str | None:
    """The peer that is hardest to beat by as much as is asked for."""
    ratios = {
        peer: timing["ratio"] / (targets.target(entry["row"], entry["shape"], peer) or 1.0)
        for peer, timing in entry["engines"].items()
        if "ratio" in timing and package(peer) != "ferrec"
    }
    return min(ratios, key=lambda p: ratios[p], default=None)


def quality(timing: Json) -> str:
    """What the row's judge says of an answer; in bold where ferrec's is not good enough beside it."""
    text = timing.get("quality", "")
    return f"**{text}**" if timing.get("outdone") else text


def bound(entry: Json) -> str:
    """What is known where every peer was stopped."""
    least = [t["ratio_over"] for t in entry["engines"].values() if "ratio_over" in t]
    return f"> {min(least):.1f}" if least else ""


def ratio(timing: Json | None) -> str:
    if timing is None:
        return ""
    if "over_seconds" in timing:
        least = f" (> {timing['ratio_over']:.1f})" if "ratio_over" in timing else ""
        return f"over {timing['over_seconds']:.0f} s{least}"
    if "ratio" not in timing:
        return str(timing.get("error", "–"))
    differing, text = timing.get("differing_rows", 0), f"{timing['ratio']:.2f}"
    if "quality" in timing:
        return f"{text} ({quality(timing)})"
    kind = "wrong" if timing.get("wrong_rows") else "rounded"
    return f"{text} ({differing} of {timing['rows']} rows {kind})" if differing else text


def is_met(entry: Json, threads: int) -> bool | None:
    """None where there is no target, nothing to compare with, or another number of threads."""
    best = hardest(entry)
    wanted = targets.target(entry["row"], entry["shape"], best or "")
    if wanted is None or best is None or threads != targets.THREADS:
        return None
    most = targets.SECONDS.get((entry["row"], entry["shape"]), math.inf)
    return bool(
        entry["engines"][best]["ratio"] >= wanted and entry["engines"]["ferrec"]["median_seconds"] <= most
    )


def notes(entries: list[Json], threads: int) -> list[str]:
    """What limits the rows that miss their target, and what is to be known about peers."""
    found = limits(entries, targets.LIMITS, lambda entry: is_met(entry, threads))[1:]
    for (row, peer), text in targets.PEERS.items():
        titles = [e["title"] for e in entries if e["row"] == row and peer in e["engines"]]
        found += [f"- {peer}, {title}: {text}" for title in titles[:1]]
    return ["", *found] if found else []


# --- ferrec beside itself ---------------------------------------------------------------------------------


def measures_table(entries: list[Json], threads: int) -> list[str]:
    shapes = [entry["shape"] for entry in entries]
    names = dict.fromkeys(name for entry in entries for name in entry["engines"])
    rows = []
    for name in names:
        timings = [entry["engines"].get(name, {}) for entry in entries]
        reached = [timing.get("ratio") for timing in timings]
        met = all(r is not None and r <= targets.MEASURES for r in reached)
        rows.append(
            [name, f"≤ {targets.MEASURES:g}", *(ratio(t) for t in timings), verdict(judged(met, threads))]
        )
    return [
        "",
        "## Time of a measure / time of cosine (item-item, top 100, ratings)",
        "",
        *markdown(["measure", "target", *shapes, "met"], rows),
        *measure_limits(rows),
    ]


def measure_limits(rows: list[list[str]]) -> list[str]:
    missed = [row[0] for row in rows if row[-1] == verdict(False)]
    found = [
        f"- {name} is limited by: {text}" for name, text in targets.MEASURE_LIMITS.items() if name in missed
    ]
    return ["", *found] if found else []


def judged(met: bool, threads: int) -> bool | None:
    return met if threads == targets.THREADS else None


def threads_table(entries: list[Json]) -> list[str]:
    rows = []
    for entry in entries:
        reached = entry["engines"].get("1 thread", {}).get("ratio")
        rows.append(
            [
                entry["title"],
                entry["shape"],
                f"≥ {targets.SCALING:g}",
                "" if reached is None else f"{reached:.2f}",
                verdict(threads_are_met(entry)),
            ]
        )
    return [
        "",
        "## Time on one thread / time on two",
        "",
        *markdown(["work", "shape", "target", "reached", "met"], rows),
        *limits(entries, targets.SCALING_LIMITS, threads_are_met),
    ]


def threads_are_met(entry: Json) -> bool | None:
    reached = entry["engines"].get("1 thread", {}).get("ratio")
    return None if reached is None else bool(reached >= targets.SCALING)


def limits(
    entries: list[Json], texts: dict[tuple[str, str], str], met: Callable[[Json], bool | None]
) -> list[str]:
    """What limits the rows that miss their target, a line each."""
    found = []
    for entry in entries:
        text = texts.get((entry["row"], entry["shape"]))
        if text and met(entry) is False:
            found.append(f"- {entry['title']}, {entry['shape']}, is limited by: {text}")
    return ["", *found] if found else []


# --- Memory -----------------------------------------------------------------------------------------------


def memory_table(entries: list[Json], threads: int) -> list[str]:
    peers = peers_of(entries)
    most = targets.MIB_PER_THREAD
    rows = [
        [
            entry["title"],
            entry["shape"],
            verdict(memory_is_met(entry, threads)),
            *(memory(entry["engines"].get(engine)) for engine in ("ferrec", *peers)),
        ]
        for entry in entries
    ]
    return [
        "",
        "## Peak memory above the loaded input, MiB (of it the answer)",
        "",
        f"Target of kernels: above the answer at most {most:g} MiB a thread, and not more than the best peer; of"
        f" models: {', '.join(f'{row} not more than {peer}' for row, peer in targets.MEMORY.items())}.",
        "",
        *markdown(["work", "shape", "met", "ferrec", *peers], rows),
        *limits(entries, targets.MEMORY_LIMITS, lambda entry: memory_is_met(entry, threads)),
    ]


def working_mib(timing: Json) -> float:
    """Memory above input and answer."""
    return float(timing["peak_mib"] - timing["output_mib"])


def memory_is_met(entry: Json, threads: int) -> bool | None:
    used = {engine: working_mib(t) for engine, t in entry["engines"].items() if "peak_mib" in t}
    ours = used.pop("ferrec", None)
    if ours is None:
        return None
    if entry["group"] == "models":
        most = used.get(targets.MEMORY.get(entry["row"], ""))
        return None if most is None else ours <= most
    return ours <= min([targets.MIB_PER_THREAD * threads, *used.values()])


def memory(timing: Json | None) -> str:
    if timing is None or "peak_mib" not in timing:
        return ""
    return f"{timing['peak_mib']:.0f} ({timing['output_mib']:.0f})"


# --- Markdown ---------------------------------------------------------------------------------------------


def verdict(met: bool | None) -> str:
    return "" if met is None else "yes" if met else "**no**"


def markdown(columns: list[str], rows: Iterable[list[str]]) -> list[str]:
    """Text columns on the left, figures to the right."""
    words = {"work", "shape", "measure", "model", "library", "chosen", "parameters", "tried"}
    words |= {"data, test part", "best retriever", "ranker"}
    line: Callable[[list[str]], str] = lambda cells: f"| {' | '.join(cells)} |"  # noqa: E731
    return [line(columns), line(["---" if c in words else "---:" for c in columns]), *map(line, rows)]
