"""Facts as words: what `repr` prints, and the page says."""

from collections.abc import Sequence
from typing import Any

from ferrec.description._counts import Facts

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def number(value: float) -> str:
    """1,234 or 1.23."""
    return f"{value:,.0f}" if value >= 100 or float(value).is_integer() else f"{value:.3g}"


def percent(share: float) -> str:
    """A share as 41 %, 0.51 % or < 0.01 %."""
    if 0 < share < 1e-4:
        return "< 0.01 %"
    hundredths = 100 * share
    return f"{hundredths:.0f} %" if hundredths >= 10 or hundredths == 0 else f"{hundredths:.2g} %"


def duration(seconds: float) -> str:
    """45 s, 12 min, 3.2 h, 4.1 days."""
    for size, unit in ((365 * 86_400, "years"), (86_400, "days"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def spread(facts: Facts, show: Any = number) -> str:
    """Quantiles in a line."""
    if facts["mean"] is None:
        return "none"
    names = ("min", "median", "mean", "95%", "max")
    return " · ".join(f"{'95 % ≤' if name == '95%' else name} {show(facts[name])}" for name in names)


def popular(facts: Facts) -> str:
    """What the most popular items have."""
    top = facts["popularity"]["top"]
    shares = ", ".join(f"{name[:-1]} % have {percent(share)}" for name, share in top.items())
    return f"of the items {shares} of the events; {percent(facts['popularity']['once'])} occur once"


def peak(counts: Sequence[int]) -> tuple[int, float]:
    """Where the most are, and their share."""
    at = max(range(len(counts)), key=counts.__getitem__)
    return at, counts[at] / max(sum(counts), 1)


def rhythm(facts: Facts) -> str:
    """The busiest hour and weekday."""
    (hour, of_hours), (day, of_days) = peak(facts["hours"]), peak(facts["weekdays"])
    return (
        f"most events from {hour}:00 to {hour + 1}:00 UTC ({percent(of_hours)}) and on {WEEKDAYS[day]}s "
        f"({percent(of_days)})"
    )


def drift(facts: Facts | None) -> str:
    """The popularity of the first tenth of the events against the last."""
    if facts is None:
        return "too few events, or all at one time"
    text = (
        f"first to last tenth of the events: Jensen–Shannon {facts['jensen_shannon'][-1]:.3f} "
        f"({facts['jensen_shannon_by_chance']:.3f} by chance)"
    )
    if facts["psi"] is not None:
        text += f", PSI {facts['psi']:.3f} ({facts['psi_by_chance']:.3f})"
    return f"{text}; {percent(facts['new_items'])} of the last tenth on items that the first had not seen"


def lines(facts: Facts) -> list[tuple[str, str]]:
    """A name and a sentence for each thing found."""
    when, types = facts["times"], facts["conversion"]
    found = [
        ("events", f"{facts['events']:,}"),
        ("users", f"{facts['users']:,}"),
        ("items", f"{facts['items']:,}"),
        ("pairs", f"{facts['pairs']:,}: {percent(facts['density'])} of all users × items"),
        (
            "repeats",
            f"{percent(facts['repeats']['of_events'])} of the events repeat a pair; "
            f"{percent(facts['repeats']['of_pairs'])} of the pairs occur more than once, "
            f"one {facts['repeats']['most']:,} times",
        ),
        ("per user", f"{spread(facts['per_user'])} · Gini {facts['per_user']['gini']:.2f}"),
        ("per item", f"{spread(facts['per_item'])} · Gini {facts['per_item']['gini']:.2f}"),
        ("popularity", popular(facts)),
    ]
    missing = [f"{name} in {count:,} rows" for name, count in facts["missing"].items()]
    if missing:
        found.insert(1, ("missing", f"{', '.join(missing)}; left out here"))
    if when is not None:
        growth = when["growth"]
        found += [
            ("time", f"{when['first'][:10]} to {when['last'][:10]}, {duration(86_400 * when['days'])}"),
            (
                "gaps",
                f"{percent(when['gaps']['together'])} of a user's next events come at the same time; the others: "
                f"{spread(when['gaps'], duration)}",
            ),
            ("rhythm", rhythm(when["rhythm"])),
            (
                "growth",
                f"in the last full {growth['period']}s: {_last(growth['users'])} users "
                f"({_last(growth['new_users'])} new), {_last(growth['new_items'])} new items",
            ),
            ("drift", drift(when["drift"])),
        ]
    if types is not None:
        shares = [f"{name} {facts['events']:,}" for name, facts in types["types"].items()]
        found.append(
            ("types", ", ".join(shares) + (f" and {types['others']} more" if types["others"] else ""))
        )
        for name, to in types["to"].items():
            said = ", ".join(f"{other} {percent(share)}" for other, share in to.items())
            found.append((f"from {name}", f"of its pairs go on to {said}" if said else "nothing else"))
    return found


def _last(counts: Sequence[int]) -> str:
    """Of the last three periods but the last, which may be cut short."""
    return " · ".join(f"{count:,}" for count in (counts[-4:-1] or counts[-1:]))
