"""The pictures of a description: each takes facts and gives a figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ferrec.description._counts import Facts
from ferrec.description._text import WEEKDAYS, number, percent
from ferrec.errors import require
from ferrec.io.html import ACCENTS, INK, drawn

Axes = Any

_SMALL = 8.5


@drawn
def popularity(axes: Axes, facts: Facts) -> None:
    """The share of the events that the most popular items have, from one item to all."""
    curve = facts["curve"]
    axes.plot(curve["items"], curve["events"], color=ACCENTS[0], linewidth=2)
    axes.fill_between(curve["items"], curve["events"], color=ACCENTS[0], alpha=0.12, linewidth=0)
    for part in (0.01, 0.1, 0.2):
        share = float(np.interp(part, curve["items"], curve["events"]))
        axes.plot([part], [share], "o", color=ACCENTS[0], markersize=4)
        axes.annotate(
            f"{percent(part)} of items: {percent(share)}",
            (part, share),
            (6, -9),
            textcoords="offset points",
            fontsize=_SMALL,
        )
    axes.set(
        xlim=(-0.01, 1), ylim=(0, 1.02), xlabel="share of items, most popular first", ylabel="share of events"
    )
    _percents(axes.xaxis)
    _percents(axes.yaxis)


@drawn
def doubling(axes: Axes, facts: Facts, what: str, color: str) -> None:
    """How many have 1, 2–3, 4–7, … events."""
    edges, counts = facts["from"], facts["count"]
    axes.bar(range(len(counts)), counts, color=color, width=0.85)
    step = max(1, -(-len(edges) // 7))
    names = [f"{edge >> 10}k" if edge >= 1024 else str(edge) for edge in edges]
    axes.set_xticks(range(0, len(edges), step), names[::step])
    axes.set(xlabel="events, from", ylabel=what)
    _shorts(axes.yaxis)


@drawn
def gaps(axes: Axes, histogram: dict[str, int]) -> None:
    """How long until a user's next event."""
    total = max(sum(histogram.values()), 1)
    names = list(histogram)[::-1]
    shares = [histogram[name] / total for name in names]
    axes.grid(visible=False)
    axes.barh(range(len(names)), shares, color=ACCENTS[2], height=0.7)
    for at, share in enumerate(shares):
        axes.annotate(
            percent(share), (share, at), (4, 0), textcoords="offset points", va="center", fontsize=_SMALL
        )
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 1.18 * max(shares)), xticks=[])
    axes.spines["bottom"].set_visible(False)


@drawn
def rhythm(axes: Axes, table: list[list[int]]) -> None:
    """Weekdays down, hours across; the fuller the more events."""
    counts = np.array(table, float)
    levels = counts / max(counts.max(), 1)
    rectangle = require("matplotlib.patches", "plot").Rectangle
    for (day, hour), level in np.ndenumerate(levels):
        if level > 0:
            cell = rectangle(
                (hour + 0.06, day + 0.06), 0.88, 0.88, color=ACCENTS[1], alpha=max(level, 0.02), linewidth=0
            )
            axes.add_patch(cell)
    axes.grid(visible=False)
    axes.set(xlim=(0, 24), ylim=(7, 0), xlabel="hour of the day (UTC)")
    axes.set_xticks([at + 0.5 for at in range(0, 24, 3)], list(range(0, 24, 3)))
    axes.set_yticks([day + 0.5 for day in range(7)], [name[:3] for name in WEEKDAYS])
    axes.spines["bottom"].set_visible(False)


@drawn
def growth(
    axes: Axes, facts: Facts, names: Sequence[str], labels: Sequence[str], colors: Sequence[str]
) -> None:
    """Lines over the periods; the last, which may have just begun, is left out where there are several."""
    n = len(facts["start"])
    n = n - 1 if n > 3 else n
    for name, label, color in zip(names, labels, colors, strict=True):
        points = 4 if n < 9 else 0
        axes.plot(
            range(n), facts[name][:n], color=color, linewidth=1.8, label=label, marker="o", markersize=points
        )
    _dates(axes, facts["start"][:n])
    axes.set_ylim(bottom=0)
    if len(names) > 1:
        place = {"loc": "lower right", "bbox_to_anchor": (1, 0.98), "ncols": len(names)}
        axes.legend(frameon=False, fontsize=_SMALL, **place)
    _shorts(axes.yaxis)


@drawn
def drift(axes: Axes, facts: Facts) -> None:
    """How far the popularity of items moves away from that of the first tenth of the events."""
    values = facts["jensen_shannon"]
    axes.plot(range(len(values)), values, color=ACCENTS[5], linewidth=2, marker="o", markersize=4)
    axes.axhline(facts["jensen_shannon_by_chance"], color=INK, linewidth=1, linestyle=(0, (2, 3)))
    axes.annotate(
        "by chance alone",
        (0, facts["jensen_shannon_by_chance"]),
        (0, 4),
        textcoords="offset points",
        fontsize=_SMALL,
    )
    _dates(axes, [start[:10] for start in facts["start"][1:]])
    axes.set(ylim=(0, 1.1 * max(*values, facts["jensen_shannon_by_chance"])), ylabel="Jensen–Shannon, bits")


def _dates(axes: Axes, starts: Sequence[str]) -> None:
    """A few of the dates, with room between them."""
    step = max(1, -(-len(starts) // 3))
    axes.set_xticks(range(0, len(starts), step), starts[::step])
    axes.margins(x=0.06)


def _percents(axis: Any) -> None:
    axis.set_major_formatter(require("matplotlib.ticker", "plot").PercentFormatter(1.0, decimals=0))


def _shorts(axis: Any) -> None:
    axis.set_major_formatter(
        require("matplotlib.ticker", "plot").FuncFormatter(lambda value, _: _short(value))
    )


def _short(value: float) -> str:
    """1,250 as 1.25k."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return number(value)
