"""Pages that need nothing else: the frame, figures of matplotlib as inline SVG, tables, key numbers.

Colors are CSS variables, so that one page reads in light and in dark. A figure is drawn in stand-in colors
(`INK`, `FAINT`, `ACCENTS`), which become those variables in its SVG. Figures are as wide as a phone.
"""

import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec

from ferrec.errors import require

INK, FAINT = "#0a0b0c", "#0d0e0f"
ACCENTS = ("#010a01", "#010b02", "#010c03", "#010d04", "#010e05", "#010f06")
"""Stand-ins in a figure: text, grid, and data."""

P = ParamSpec("P")

_SIZE = (4.2, 2.4)
"""Inches of a figure: a phone has about four across."""
_LIGHT = {
    "page": "#f6f7f9",
    "card": "#ffffff",
    "ink": "#1c2128",
    "soft": "#59636e",
    "faint": "#d5dae0",
    "accent1": "#c2410c",
    "accent2": "#0f6cbd",
    "accent3": "#0b7a6b",
    "accent4": "#7c3aed",
    "accent5": "#8a6d00",
    "accent6": "#be185d",
}
_DARK = {
    "page": "#0f1318",
    "card": "#181d24",
    "ink": "#e8ebef",
    "soft": "#9aa5b1",
    "faint": "#333c47",
    "accent1": "#ff8a4c",
    "accent2": "#6cb6ff",
    "accent3": "#45c9b5",
    "accent4": "#b794f6",
    "accent5": "#d9b53c",
    "accent6": "#f47fb5",
}
_STAND_INS = {INK: "soft", FAINT: "faint", **{color: f"accent{at}" for at, color in enumerate(ACCENTS, 1)}}

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', sans-serif"
_CSS = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 FONT; }
main { max-width: 1180px; margin: 0 auto; padding: 20px 16px 48px; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 12px 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0 0 2px; }
.under { color: var(--soft); margin: 0 0 20px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 10px; margin: 0 0 16px; }
.tile, .card { background: var(--card); border: 1px solid var(--faint); border-radius: 10px; }
.tile { padding: 10px 14px; }
.tile b { display: block; font-size: 1.3rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .85rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 14px; }
.card { padding: 14px 16px; min-width: 0; }
.card.wide { grid-column: 1 / -1; }
.card p { margin: 0 0 8px; color: var(--soft); font-size: .9rem; }
.card svg { display: block; width: 100%; max-width: 520px; height: auto; margin: 4px auto 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; white-space: nowrap; padding: 5px 10px 5px 0; }
th, td { border-bottom: 1px solid var(--faint); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child, .words th, .words td { text-align: left; }
.words td { white-space: normal; }
.words td:first-child { color: var(--soft); white-space: nowrap; }
footer { color: var(--soft); font-size: .8rem; margin-top: 24px; }
""".replace("FONT", _FONT)


def escape(text: object) -> str:
    """Text that is safe in a page, since ids and names come from data; no line begins with a percent sign."""
    return html.escape(str(text)).replace(" %", "\u00a0%")


def page(title: str, under: str, *parts: str, foot: str = "") -> str:
    """A whole page of these parts, which are HTML; title, the line under it and the foot are text."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_colors()}{_CSS}</style>\n</head>\n<body>\n<main>\n"
        f'<h1>{escape(title)}</h1>\n<p class="under">{escape(under)}</p>\n'
        + "\n".join(parts)
        + f"\n<footer>{escape(foot)}</footer>\n</main>\n</body>\n</html>\n"
    )


def tiles(numbers: Iterable[tuple[str, str]]) -> str:
    """Key numbers in a row: each a value and its name."""
    inner = "".join(f'<div class="tile"><b>{escape(v)}</b><span>{escape(n)}</span></div>' for v, n in numbers)
    return f'<div class="tiles">{inner}</div>'


def cards(*inner: str) -> str:
    """Cards side by side where there is room."""
    return '<div class="cards">\n' + "\n".join(inner) + "\n</div>"


def card(heading: str, text: str, body: str, *, wide: bool = False) -> str:
    """A heading, a sentence, and a body of HTML such as a figure or a table."""
    kind = "card wide" if wide else "card"
    return f'<section class="{kind}"><h2>{escape(heading)}</h2><p>{escape(text)}</p>{body}</section>'


def table(header: Sequence[object], rows: Iterable[Sequence[object]], *, words: bool = False) -> str:
    """A table of text, right-aligned but for the first column, or of words, which are not."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="words"' if words else ""
    return (
        f'<div class="scroll"><table{kind}>' + (f"<tr>{head}</tr>" if head else "") + f"{body}</table></div>"
    )


def drawn(draw: Callable[Concatenate[Any, P], None]) -> Callable[P, Any]:
    """A function that draws on empty axes, as one that gives a figure in the style of the pages."""

    @wraps(draw)
    def figure(*args: P.args, **kwargs: P.kwargs) -> Any:
        matplotlib = require("matplotlib", "plot")
        make = require("matplotlib.figure", "plot").Figure
        with matplotlib.rc_context(_style()):
            fig = make(figsize=_SIZE, layout="constrained")
            axes = fig.subplots()
            axes.grid(axis="y", color=FAINT, linewidth=0.8)
            axes.set_axisbelow(True)
            axes.tick_params(length=0)
            axes.tick_params(axis="x", pad=6)
            draw(axes, *args, **kwargs)
        return fig

    return figure


def svg(figure: Any, label: str, *, alone: bool = False) -> str:
    """The figure as an SVG element that takes its colors from the page, or with them for use `alone` as a file."""
    matplotlib = require("matplotlib", "plot")
    buffer = io.StringIO()
    with matplotlib.rc_context(_style()):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for stand_in, name in _STAND_INS.items():
        text = text.replace(stand_in, f"var(--{name})")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r' id="[\w.]+_\d+"', "", text)  # names of parts that nothing refers to
    # Fonts of the page; the size stays.
    text = re.sub(r"font: (?:\w+ )*?([\d.]+px) [^;\"]+", r"font-size: \1", text)
    text = re.sub(r"font-family: [^;\"]+;? ?", "", text)
    style = f"<style>{_colors()}svg {{ background: var(--card); }}</style>" if alone else ""
    head, inner = text.split(">", 1)
    head += f' role="img" aria-label="{escape(label)}" font-family="{_FONT}"'
    return f"{head}>{style}{inner}".strip()


def _style() -> dict[str, Any]:
    colored = (
        "text.color",
        "axes.labelcolor",
        "axes.edgecolor",
        "axes.titlecolor",
        "xtick.color",
        "ytick.color",
    )
    return {
        **dict.fromkeys(colored, INK),
        "font.size": 9.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.edgecolor": FAINT,
        "svg.fonttype": "none",
        "svg.hashsalt": "ferrec",  # the same figure gives the same text
    }


def _colors() -> str:
    def block(colors: dict[str, str]) -> str:
        return " ".join(f"--{name}: {value};" for name, value in colors.items())

    return (
        f":root {{ {block(_LIGHT)} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {block(_DARK)} }} }}\n"
    )
