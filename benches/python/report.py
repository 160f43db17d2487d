"""Pictures of the newest record, as SVG in docs/img.

    python benches/python/report.py                  # the newest record
    python benches/python/report.py FILE.json …      # these instead; of a row in several, the first one's

throughput.svg: multiply-adds a second by shape; threads.svg: one thread against two; targets.svg: ratios reached.
Multiply-adds are those of the naive algorithm, so that an engine that does fewer is faster, not idle.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.ticker
import targets
from machine import PACKAGES, REPOSITORY
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from records import RECORD, newest, read
from shapes import NAMES
from tables import hardest, is_met

Json = dict[str, Any]
Label = tuple[float, float, str, str]
"""Where a line ends, the engine's name, its color."""

IMAGES = REPOSITORY / "docs" / "img"
INK = "#6e7681"  # reads on white and on black, as the colors below do
FAINT = "#8b949e55"
FERREC = "#e8590c"
PEERS = {
    "similaripy": "#4c8dd6",
    "sparse_dot_topn": "#2b9d8f",
    "implicit": "#a371f7",
    "lenskit": "#9c8a2e",
    "irspack": "#d0609a",
}
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "svg.fonttype": "none",  # small, and searchable
    "svg.hashsalt": "ferrec",  # the same record gives the same file
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"), INK),
    **dict.fromkeys(("xtick.color", "ytick.color"), INK),
}


# --- Throughput -------------------------------------------------------------------------------------------


def throughput(where: Json, entries: list[Json]) -> Figure | None:
    """One panel for each row of the table, shapes from left to right, a line for each engine."""
    shown: dict[str, list[Json]] = {}
    for entry in entries:
        if entry["group"] == "peers" and "multiply_adds" in entry:
            shown.setdefault(entry["title"], []).append(entry)
    if not shown:
        return None
    columns = min(2, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4.6 * columns, 0.6 + 2.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axis in axes[len(shown) :]:
        axis.remove()
    ends = []
    for axis, (title, measured) in zip(axes, shown.items(), strict=False):
        measured.sort(key=lambda entry: NAMES.index(entry["shape"]))
        ends.append((axis, throughput_panel(axis, title, measured)))
    for axis in axes[: len(shown) : columns]:
        axis.set_ylabel("G multiply-adds / s")
    figure.suptitle(
        f"Multiply-adds of the naive algorithm a second, {where['threads']} threads, {where['cpu']}",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    figure.draw_without_rendering()  # lays out: only then is it known where the points lie
    for axis, labels in ends:
        label_ends(axis, labels)
    return figure


def throughput_panel(axis: Axes, title: str, measured: list[Json]) -> list[Label]:
    """Draws a panel; what is to be written at the ends of its lines."""
    labels: list[Label] = []
    for engine in PACKAGES:
        points = [
            (at, entry["multiply_adds"] / entry["engines"][engine]["median_seconds"] / 1e9)
            for at, entry in enumerate(measured)
            if "median_seconds" in entry["engines"].get(engine, {})
        ]
        if points:
            ours = engine == "ferrec"
            color = FERREC if ours else PEERS.get(engine, INK)
            width, dot = (2.4, 5) if ours else (1.3, 3.5)
            axis.plot(*zip(*points, strict=True), "o-", color=color, lw=width, ms=dot)
            labels.append((*points[-1], engine, color))
    axis.set(title=title, yscale="log", xlim=(-0.35, len(measured) - 0.2))
    axis.set_xticks(range(len(measured)), [size(entry) for entry in measured])
    axis.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    axis.yaxis.set_minor_locator(mpl.ticker.NullLocator())
    axis.yaxis.grid(True, which="major", color=FAINT, lw=0.6)
    return labels


def size(entry: Json) -> str:
    users, items = (f"{entry[key] / 1e3:,.0f} k" for key in ("n_users", "n_items"))
    return f"{entry['shape']}\n{users} × {items}\n{entry['nnz'] / 1e6:.0f} M"


def label_ends(axis: Axes, labels: list[Label]) -> None:
    """Names beside the last points, moved apart where they would overlap."""
    to_points = 72 / axis.figure.dpi
    height = 9.5  # points from one name to the next
    below = -float("inf")
    for x, y, text, color in sorted(labels, key=lambda label: label[1]):
        place = axis.transData.transform((x, y))[1] * to_points
        below = max(place, below + height)
        name = axis.annotate(
            text,
            (x, y),
            xytext=(8, below - place),
            textcoords="offset points",
            va="center",
            color=color,
            fontsize=8,
            fontweight="bold" if text == "ferrec" else "normal",
        )
        name.set_in_layout(False)


# --- Threads and targets: bars with a mark ----------------------------------------------------------------


def threads(where: Json, entries: list[Json]) -> Figure | None:
    bars = [
        (f"{e['title']}, {e['shape']}", e["engines"]["1 thread"]["ratio"], targets.SCALING, "")
        for e in entries
        if e["group"] == "threads" and "ratio" in e["engines"].get("1 thread", {})
    ]
    title = f"ferrec: time on one thread / time on two, {where['cpu']}"
    return bar_chart(title, "speed-up (2 is perfect)", bars) if bars else None


def ratios(where: Json, entries: list[Json]) -> Figure | None:
    """Only rows that have a target; the color says whether it is met."""
    bars = []
    for entry in entries:
        best = hardest(entry)
        if entry["group"] in ("peers", "models") and best and is_met(entry, where["threads"]) is not None:
            wanted = targets.target(entry["row"], entry["shape"], best) or 0.0
            name = f"{entry['title']}, {entry['shape']}"
            bars.append((name, entry["engines"][best]["ratio"], wanted, f" ({best})"))
    title = f"Time of the peer hardest to beat / time of ferrec, {where['threads']} threads, {where['cpu']}"
    return bar_chart(title, "times as fast as that peer", bars) if bars else None


def bar_chart(title: str, unit: str, bars: list[tuple[str, float, float, str]]) -> Figure:
    """(name, reached, target, remark) from top to bottom; what misses its target is pale."""
    figure = Figure(figsize=(8.2, 1.1 + 0.34 * len(bars)), layout="constrained")
    axis = figure.subplots()
    for at, (_, reached, wanted, remark) in enumerate(bars):
        met = reached >= wanted
        axis.barh(at, reached, height=0.62, color=FERREC, alpha=1.0 if met else 0.45, lw=0)
        axis.plot([wanted, wanted], [at - 0.42, at + 0.42], color=INK, lw=2, solid_capstyle="butt")
        end = (max(reached, wanted), at)
        label = f"{reached:.2f}{remark}"
        axis.annotate(label, end, xytext=(6, 0), textcoords="offset points", va="center", fontsize=8)
    above = (bars[0][2], -0.42)
    axis.annotate("target", above, xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8)
    axis.set_yticks(range(len(bars)), [name for name, *_ in bars])
    room = 1.9 if any(remark for *_, remark in bars) else 1.15
    axis.set(xlabel=unit, xlim=(0, room * max(max(bar[1:3]) for bar in bars)), ylim=(len(bars) - 0.4, -0.9))
    axis.tick_params(axis="y", length=0)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    return figure


# --- Files ------------------------------------------------------------------------------------------------


def pictures(where: Json, entries: list[Json]) -> Iterator[tuple[str, Figure]]:
    """Those for which there is data."""
    for name, draw in {"throughput": throughput, "threads": threads, "targets": ratios}.items():
        figure = draw(where, entries)
        if figure:
            yield name, figure


def main(arguments: list[str] | None = None) -> int:
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    parser.add_argument("records", nargs="*", type=Path, help="JSON files; by default the newest")
    parser.add_argument("--out", type=Path, default=IMAGES, help="folder for the pictures")
    parser.add_argument("--format", choices=("svg", "png"), default="svg")
    options = parser.parse_args(arguments)
    paths = options.records or newest()
    if not paths:
        print(f"no record in {RECORD}; make bench-record makes one", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        for name, figure in pictures(*read(paths)):
            path = options.out / f"{name}.{options.format}"
            # No date: the same record gives the same file.
            metadata = {"Date": None} if options.format == "svg" else {}
            figure.savefig(path, transparent=True, dpi=150, metadata=metadata)
            print(f"{path} from {', '.join(path.name for path in paths)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
