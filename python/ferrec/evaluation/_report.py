"""Evaluations as one page that needs nothing else: a table with intervals, tests, trade-offs, groups, examples."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeAlias

from ferrec._rust import __version__
from ferrec.data.recommendations import Recommendations
from ferrec.errors import ParameterError, ParameterTypeError, checks_keywords
from ferrec.evaluation._results import Comparison, Evaluation
from ferrec.evaluation._significance import shown_p
from ferrec.evaluation.metrics import HITS
from ferrec.io import html
from ferrec.io.html import ACCENTS, INK, card, drawn
from ferrec.io.tables import as_path

__all__ = ["report"]

Axes: TypeAlias = Any
Intervals: TypeAlias = dict[str, dict[str, tuple[float, float]]]

_LEVEL = 0.95
_USERS, _ITEMS = 5, 10
"""How much of an example is shown."""
_SMALL = 8.5


@checks_keywords
def report(
    results: Evaluation | Comparison,
    path: str | os.PathLike[str] | None = None,
    *,
    metric: str | None = None,
    title: str = "Evaluation",
    examples: Recommendations | Mapping[str, Recommendations] | None = None,
    item_names: Mapping[Any, str] | None = None,
) -> str:
    """Evaluations as one HTML page, readable on a phone, light and dark, without anything from the network.

    It holds a table of models × metrics with bootstrap intervals, which models differ by more than chance,
    accuracy against coverage, novelty and diversity where these were asked for, the metric for groups of users
    by their activity and of items by their popularity, and recommendations as examples.

    Parameters
    ----------
    results : Evaluation or Comparison
        What `evaluate` or `compare` returned.
    path : path, optional
        Where to write the page; a file there is replaced.
    metric : str, optional
        The one that pictures and tests are about. By default the first that has values per user, NDCG before
        others.
    title : str, default "Evaluation"
        The page's heading.
    examples : Recommendations or mapping of str to Recommendations, optional
        Lists to show; a mapping names the models that made them. The first five users are shown.
    item_names : mapping of item to str, optional
        What to call items in the examples; others are shown by their ids.

    Returns
    -------
    str
        The page.

    Raises
    ------
    ValueError
        `metric` has no values per user; the text lists those that have.
    TypeError
        `results` is neither.
    MissingExtraError
        matplotlib is not installed (extra ``plot``).

    Examples
    --------
    >>> from ferrec import Interactions, ItemKNN, Popularity, compare
    >>> train = Interactions.from_arrays([1, 1, 2, 2, 3, 4], ["tea", "jam", "tea", "jam", "tea", "tea"])
    >>> models = {"item-knn": ItemKNN().fit(train), "popular": Popularity().fit(train)}
    >>> compared = compare(models, Interactions.from_arrays([3, 4], ["jam", "jam"]), ["ndcg@1", "coverage@1"])
    >>> page = report(compared, title="Tea or jam?")
    >>> "<title>Tea or jam?</title>" in page
    True
    """
    if isinstance(results, Evaluation):
        results = Comparison({"model": results})
    if not isinstance(results, Comparison):
        raise ParameterTypeError("results", "expected an Evaluation or a Comparison", type(results))
    main = _main_metric(results, metric)
    every = {name: one.intervals(level=_LEVEL) for name, one in results.evaluations.items()}
    inner = [
        card("Metrics", _metrics_text(results), _metrics_table(results, every), wide=True),
        *_pictures(results, every, main),
        *_tests(results, main),
        *_groups(results, main),
        *_examples(examples, item_names or {}),
        *_left_out(results),
    ]
    foot = f"ferrec {__version__}; intervals: {_LEVEL:.0%}, bootstrap over users"
    page = html.page(
        title, _under(results), html.tiles(_key_numbers(results, main)), html.cards(*inner), foot=foot
    )
    if path is not None:
        as_path("path", path).write_text(page, encoding="utf-8")
    return page


def _main_metric(results: Comparison, metric: str | None) -> str:
    there = [
        name
        for name in next(iter(results.evaluations.values())).metrics
        if all(name in one.per_user for one in results.evaluations.values())
    ]
    if metric is not None:
        if metric not in there:
            raise ParameterError(
                "metric", f"{metric!r} has no values per user", advice=f"there are {', '.join(there)}"
            )
        return metric
    if not there:
        raise ParameterError(
            "results", "no metric has values per user", advice="ask for one, such as ndcg@10"
        )
    return next((name for name in there if name.startswith("ndcg@")), there[0])


def _under(results: Comparison) -> str:
    one = next(iter(results.evaluations.values()))
    models = len(results.evaluations)
    what = "one model" if models == 1 else f"{models} models"
    sizes = f"{one.n_users:,} users, {len(one.hits.codes):,} true pairs, {len(one.hits.items):,} items ranked"
    return f"{what}, {sizes}"


def _key_numbers(results: Comparison, main: str) -> list[tuple[str, str]]:
    best = max(results.evaluations, key=lambda name: results[name].metrics[main])
    numbers = [(_value(results[best].metrics[main]), f"{main} of {best}")]
    if len(results.evaluations) > 1:
        numbers.append((str(len(results.evaluations)), "models"))
    one = results[best]
    return [*numbers, (f"{one.n_users:,}", "users"), (f"{len(one.hits.codes):,}", "true pairs")]


# --- Cards -----------------------------------------------------------------------------------------------


def _metrics_text(results: Comparison) -> str:
    text = "The mean over users; in brackets what other users like these would give."
    return text + (" ★ marks the best." if len(results.evaluations) > 1 else "")


def _metrics_table(results: Comparison, every: Intervals) -> str:
    metrics = list(next(iter(results.evaluations.values())).metrics)
    best = {
        metric: max((one.metrics.get(metric, math.nan) for one in results.evaluations.values()), key=_rank)
        for metric in metrics
    }
    rows = []
    for name, one in results.evaluations.items():
        row = [name]
        for metric in metrics:
            value = one.metrics.get(metric, math.nan)
            star = (
                " ★" if len(results.evaluations) > 1 and value == best[metric] and not _lower(metric) else ""
            )
            row.append(f"{_value(value)}{star}{_range(every[name].get(metric))}")
        rows.append(row)
    return html.table(("", *metrics), rows)


def _pictures(results: Comparison, every: Intervals, main: str) -> Iterator[str]:
    values = {name: one.metrics[main] for name, one in results.evaluations.items()}
    if len(values) > 1:
        figure = _bars(values, {name: every[name][main] for name in values}, main)
        yield card(f"{main} by model", "Lines are the intervals.", html.svg(figure, f"{main} by model"))
    metrics = next(iter(results.evaluations.values())).metrics
    for kind, text in (
        ("coverage", "The share of the catalog that the lists reach."),
        ("novelty", "How surprising the items are, in bits: popular ones are not."),
        ("diversity", "How different the items of a list are."),
    ):
        other = next((name for name in metrics if name.startswith(f"{kind}@")), None)
        if other is not None and len(values) > 1:
            points = {name: (one.metrics[other], values[name]) for name, one in results.evaluations.items()}
            heading = f"{main} against {other}"
            yield card(
                heading, f"{text} Up and right is better.", html.svg(_scatter(points, other, main), heading)
            )


def _tests(results: Comparison, main: str) -> Iterator[str]:
    if len(results.evaluations) < 2:
        return
    best = max(results.evaluations, key=lambda name: results[name].metrics[main])
    found = results.significance(main, baseline=best)
    rows = [
        (
            f"{one.first} − {one.second}",
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} … {one.high:+.4f}",
            shown_p(one.corrected),
            "yes" if one.corrected < 1 - _LEVEL else "no",
        )
        for one in found
    ]
    text = (
        f"{main} of each model less that of the best, user by user: a randomization test, corrected by Holm."
    )
    header = ("", "difference", "interval", "p", "more than chance")
    yield card("Is the best one better?", text, html.table(header, rows), wide=True)


def _groups(results: Comparison, main: str) -> Iterator[str]:
    by_user = {name: one.by_user() for name, one in results.evaluations.items()}
    text = f"{main} of users by how many items they had in training."
    yield from _grouped("Users by activity", text, by_user, main)
    if main.split("@")[0] in HITS:
        by_item = {name: one.by_item() for name, one in results.evaluations.items()}
        text = f"{main} where only items count that so many users had in training."
        yield from _grouped("Items by popularity", text, by_item, main)


def _grouped(heading: str, text: str, by_model: dict[str, Comparison], main: str) -> Iterator[str]:
    groups = list(dict.fromkeys(group for one in by_model.values() for group in one.evaluations))
    if len(groups) < 2:
        return
    lines = {
        name: [one.evaluations[g].metrics[main] if g in one.evaluations else math.nan for g in groups]
        for name, one in by_model.items()
    }
    first = next(iter(by_model.values())).evaluations
    users = {group: f"{first[group].n_users:,}" if group in first else "" for group in groups}
    rows = [
        (group, users[group], *(_value(line[at]) for line in lines.values()))
        for at, group in enumerate(groups)
    ]
    body = html.svg(_lines(groups, lines, main), heading) + html.table(("", "users", *lines), rows)
    yield card(heading, text, body, wide=True)


def _examples(
    examples: Recommendations | Mapping[str, Recommendations] | None, names: Mapping[Any, str]
) -> Iterator[str]:
    if examples is None:
        return
    if not isinstance(examples, Recommendations | Mapping):
        raise ParameterTypeError("examples", "expected Recommendations", examples)
    lists = {"": examples} if isinstance(examples, Recommendations) else dict(examples)
    for name, recs in lists.items():
        rows = [
            (user, ", ".join(str(names.get(item, item)) for item, _ in best[:_ITEMS]))
            for user, best in islice(iter(recs), _USERS)
        ]
        heading = f"Examples of {name}" if name else "Examples"
        yield card(heading, "Best first.", html.table(("user", "items"), rows, words=True), wide=True)


def _left_out(results: Comparison) -> Iterator[str]:
    rows = [
        (name, "; ".join(one.not_counted)) for name, one in results.evaluations.items() if one.not_counted
    ]
    if rows:
        text = "What of the test data no model could have found."
        yield card("Not counted", text, html.table(("model", "what"), rows, words=True), wide=True)


# --- Pictures --------------------------------------------------------------------------------------------


@drawn
def _bars(
    axes: Axes, values: dict[str, float], intervals: dict[str, tuple[float, float]], metric: str
) -> None:
    """A bar for each model, the best on top, and its interval."""
    order = sorted(values, key=lambda name: values[name])
    axes.grid(visible=False)
    axes.barh(range(len(order)), [values[name] for name in order], color=ACCENTS[1], height=0.62, alpha=0.85)
    for at, name in enumerate(order):
        low, high = intervals[name]
        axes.plot([low, high], [at, at], color=INK, linewidth=1.6)
        right = max(values[name], high if math.isfinite(high) else 0.0)
        axes.annotate(
            _value(values[name]),
            (right, at),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize=_SMALL,
        )
    axes.set_yticks(range(len(order)), order)
    axes.set(xlabel=metric)
    axes.margins(x=0.16)
    axes.set_xlim(left=0)


@drawn
def _scatter(axes: Axes, points: dict[str, tuple[float, float]], across: str, up: str) -> None:
    """A point for each model, with its name."""
    widest = max(x for x, _ in points.values())
    for at, (name, (x, y)) in enumerate(points.items()):
        axes.plot([x], [y], "o", color=ACCENTS[at % len(ACCENTS)], markersize=6)
        left = x > 0.6 * widest
        axes.annotate(
            name,
            (x, y),
            (-6 if left else 6, 5),
            textcoords="offset points",
            fontsize=_SMALL,
            ha="right" if left else "left",
        )
    axes.set(xlabel=across, ylabel=up)
    axes.margins(x=0.15, y=0.2)


@drawn
def _lines(axes: Axes, groups: Sequence[str], lines: dict[str, list[float]], metric: str) -> None:
    """A line for each model over the groups."""
    for at, (name, values) in enumerate(lines.items()):
        axes.plot(
            range(len(groups)),
            values,
            color=ACCENTS[at % len(ACCENTS)],
            linewidth=1.8,
            label=name,
            marker="o",
            markersize=4,
        )
    axes.set_xticks(range(len(groups)), groups, fontsize=_SMALL)
    axes.set(ylabel=metric)
    axes.set_ylim(bottom=0)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=_SMALL, loc="upper left", bbox_to_anchor=(0, -0.14), ncols=3)


# --- Text ------------------------------------------------------------------------------------------------


def _value(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.1f}"


def _range(found: tuple[float, float] | None) -> str:
    if found is None or not all(map(math.isfinite, found)):
        return ""
    return f" ({_value(found[0])}–{_value(found[1])})"


def _rank(value: float) -> float:
    return -math.inf if math.isnan(value) else value


def _lower(metric: str) -> bool:
    """Whether more is not better."""
    return metric.split("@")[0] in ("gini", "popularity", "popularity_lift")
