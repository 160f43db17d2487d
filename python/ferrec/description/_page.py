"""The page of a description."""

from collections.abc import Iterator
from typing import Any

from ferrec._rust import __version__
from ferrec.description import _plots, _text
from ferrec.description._counts import Facts
from ferrec.description._text import duration, number, percent
from ferrec.io import html
from ferrec.io.html import ACCENTS, card

Drawn = tuple[str, str, str, Any]
"""A name for files, a heading, a sentence, a figure."""


def page(facts: Facts, title: str) -> str:
    """All facts as one page."""
    when, types = facts["times"], facts["conversion"]
    under = f"{facts['users']:,} users × {facts['items']:,} items"
    if when is not None:
        under += f", {when['first'][:10]} to {when['last'][:10]}"
    numbers = [
        (f"{facts['events']:,}", "events"),
        (f"{facts['users']:,}", "users"),
        (f"{facts['items']:,}", "items"),
        (percent(facts["density"]), "of all pairs seen"),
        (percent(facts["repeats"]["of_events"]), "repeat a pair"),
    ]
    if facts["events"]:
        numbers.append((number(facts["per_user"]["median"]), "events of the median user"))
    inner = [card(heading, text, html.svg(figure, heading)) for _, heading, text, figure in figures(facts)]
    if types is not None:
        inner.append(card("Conversion", _conversion_text(when), _conversion_table(types), wide=True))
    words = html.table((), _text.lines(facts), words=True)
    inner.append(card("In words", "The same as text.", words, wide=True))
    return html.page(title, under, html.tiles(numbers), html.cards(*inner), foot=f"ferrec {__version__}")


def figures(facts: Facts) -> Iterator[Drawn]:
    """What there is to draw, one after another."""
    if not facts["events"]:
        return
    when = facts["times"]
    per_user, per_item = facts["per_user"], facts["per_item"]
    top = facts["popularity"]["top"]
    yield (
        "popularity",
        "Popularity",
        f"10 % of the items have {percent(top['10%'])} of the events (Gini {per_item['gini']:.2f}). A model has to "
        f"do better than to recommend these.",
        _plots.popularity(facts["popularity"]),
    )
    yield (
        "activity",
        "Activity of users",
        f"Half of the users have {number(per_user['median'])} events or more, the busiest "
        f"{number(per_user['max'])} (Gini {per_user['gini']:.2f}). Short histories are hard; very long ones may "
        f"be robots.",
        _plots.doubling(per_user["histogram"], "users", ACCENTS[1]),
    )
    yield (
        "items",
        "Events of items",
        f"{percent(facts['popularity']['once'])} of the items occur once: nothing can be learned about them from "
        f"events alone.",
        _plots.doubling(per_item["histogram"], "items", ACCENTS[2]),
    )
    if when is None:
        return
    if when["gaps"]["mean"] is not None:
        yield (
            "gaps",
            "Time to a user's next event",
            f"{percent(when['gaps']['together'])} come at the same time (baskets); of the others half within "
            f"{duration(when['gaps']['median'])}. Cut sessions where few events follow.",
            _plots.gaps(when["gaps"]["histogram"]),
        )
    said = _text.rhythm(when["rhythm"])
    yield (
        "rhythm",
        "Hours and weekdays",
        f"{said[0].upper()}{said[1:]}.",
        _plots.rhythm(when["rhythm"]["weekday_hours"]),
    )
    grown, each = when["growth"], f"by {when['growth']['period']}"
    yield (
        "events",
        f"Events {each}",
        "Holes and steps here are often faults of the log, not of the users.",
        _plots.growth(grown, ["events"], ["events"], ACCENTS[:1]),
    )
    yield (
        "users",
        f"Users {each}",
        "Those who are there, and those who are there for the first time: the cold start.",
        _plots.growth(grown, ["users", "new_users"], ["active", "new"], ACCENTS[3:5]),
    )
    yield (
        "new_items",
        f"New items {each}",
        "Items that occur for the first time. Many of them call for a model that looks at what items are.",
        _plots.growth(grown, ["new_items"], ["new items"], ACCENTS[2:3]),
    )
    if when["drift"] is not None:
        yield (
            "drift",
            "Drift of popularity",
            f"How far the shares of the items move away from those in the first tenth of the events. "
            f"{percent(when['drift']['new_items'])} of the last tenth are on items that the first had not seen.",
            _plots.drift(when["drift"]),
        )


def _conversion_text(when: Facts | None) -> str:
    later = "at the same time or later" if when is not None else "at any time"
    return f"Of the pairs of a user and an item with the event of the row, the share that has the column's {later}."


def _conversion_table(types: Facts) -> str:
    names = list(types["types"])
    rows = []
    for name, facts in types["types"].items():
        shares = ["" if other == name else percent(types["to"][name][other]) for other in names]
        rows.append((name, f"{facts['events']:,}", f"{facts['pairs']:,}", *shares))
    return html.table(("", "events", "pairs", *(f"→ {name}" for name in names)), rows)
