"""When things happen: gaps between a user's events, hours and weekdays, growth, drift of popularity."""

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.description._counts import Facts, spread
from ferrec.io.times import PER_SECOND, in_seconds, iso
from ferrec.preparation.log import ANY_GAP, Log

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_HOUR, _DAY = 3600, 86_400
_GAPS = {
    "< 1 minute": 60,
    "< 10 minutes": 600,
    "< 1 hour": _HOUR,
    "< 6 hours": 6 * _HOUR,
    "< 1 day": _DAY,
    "< 1 week": 7 * _DAY,
    "< 1 month": 30 * _DAY,
    "< 1 year": 365 * _DAY,
}
_PERIODS = (("hour", 3 * _DAY), ("day", 90 * _DAY), ("week", 2 * 365 * _DAY), ("month", 10 * 365 * _DAY))
"""The longest span of the data for which each period is taken."""
_SEGMENTS, _LEAST = 10, 50
"""Segments of the drift, and the events that each must have."""
_GROUPS = 10


def times(log: Log) -> Facts | None:
    """Everything that needs times; None without them."""
    if log.times is None or not len(log):
        return None
    first, last = int(log.times.min()), int(log.times.max())
    return {
        "first": iso(first),
        "last": iso(last),
        "days": float(in_seconds(last - first)) / _DAY,
        "gaps": _gaps(log, log.times),
        "rhythm": _rhythm(log.times // PER_SECOND),
        "growth": _growth(log, log.times // PER_SECOND),
        "drift": _drift(log, log.times),
    }


def _gaps(log: Log, when: Ints) -> Facts:
    """Seconds between an event of a user and the next, and the share that come together, which are left out."""
    order, begins = _rust.event_runs(log.users, len(log.user_ids), None, when, None, ANY_GAP, 0)
    steps = np.diff(when[order])[~begins[1:]]
    apart = in_seconds(steps[steps > 0])
    together = 1 - len(apart) / len(steps) if len(steps) else 0.0
    edges = np.array(list(_GAPS.values()))
    bins = np.bincount(np.searchsorted(edges, apart, side="right"), minlength=len(edges) + 1)
    names = [*_GAPS, "longer"]
    return {"together": together, **spread(apart), "histogram": dict(zip(names, bins.tolist(), strict=True))}


def _rhythm(when: Ints) -> Facts:
    """Events by weekday (Monday first) and hour, in UTC; `when` in seconds."""
    hour = when // _HOUR
    weekday = (hour // 24 + 3) % 7  # 1970 began on a Thursday
    table = np.bincount(weekday * 24 + hour % 24, minlength=7 * 24).reshape(7, 24)
    return {
        "hours": table.sum(axis=0).tolist(),
        "weekdays": table.sum(axis=1).tolist(),
        "weekday_hours": table.tolist(),
    }


def _growth(log: Log, when: Ints) -> Facts:
    """Events, active users, and users and items seen for the first time, by period; `when` in seconds."""
    name, codes, starts = _periods(when)
    n = len(starts)
    n_users, n_items = len(log.user_ids), len(log.item_ids)
    active = _rust.build_csr(codes, log.users, None, None, n, n_users, "count")[0]
    return {
        "period": name,
        "start": starts,
        "events": np.bincount(codes, minlength=n).tolist(),
        "users": np.diff(active).tolist(),
        "new_users": _firsts(log.users, n_users, codes, n),
        "new_items": _firsts(log.items, n_items, codes, n),
    }


def _firsts(ids: NDArray[np.int32], n_ids: int, periods: NDArray[np.int32], n: int) -> list[int]:
    """How many ids occur in each period for the first time."""
    first = np.full(n_ids, n)
    np.minimum.at(first, ids, periods)
    counted: list[int] = np.bincount(first, minlength=n + 1)[:n].tolist()
    return counted


def _periods(when: Ints) -> tuple[str, NDArray[np.int32], list[str]]:
    """The period of each event, counted from the first, and when each begins."""
    span = int(when.max() - when.min())
    name = next((name for name, longest in _PERIODS if span <= longest), "year")
    if name == "week":
        weeks = (when // _DAY + 3) // 7  # Monday to Sunday
        low, high = int(weeks.min()), int(weeks.max())
        days = np.arange(low, high + 1) * 7 - 3
        starts = days.astype("datetime64[D]")
    else:
        unit = {"hour": "h", "day": "D", "month": "M", "year": "Y"}[name]
        weeks = when.astype("datetime64[s]").astype(f"datetime64[{unit}]").astype(np.int64)
        low, high = int(weeks.min()), int(weeks.max())
        starts = np.arange(low, high + 1).astype(f"datetime64[{unit}]")
    return name, (weeks - low).astype(np.int32), starts.astype(str).tolist()


def _drift(log: Log, when: Ints) -> Facts | None:
    """How the popularity of items changes from the first tenth of the events to each later one.

    Beside what chance alone would give: the same events with their times shuffled. None where all happens at one
    time or there are too few events.
    """
    n = min(_SEGMENTS, len(log) // _LEAST)
    if n < 2 or when.min() == when.max():
        return None
    order = np.argsort(when, kind="stable")
    items, n_items = log.items[order], len(log.item_ids)
    bounds = np.arange(1, n) * len(log) // n
    found = _shares(items, bounds, n_items)
    chance = _shares(np.random.default_rng(0).permutation(items), bounds, n_items)
    return {
        "start": [iso(int(when[order[at]])) for at in (0, *bounds)],
        "jensen_shannon": [jensen_shannon(found[0], later) for later in found[1:]],
        "jensen_shannon_by_chance": float(
            np.mean([jensen_shannon(chance[0], later) for later in chance[1:]])
        ),
        "psi": psi(found[0], found[-1]),
        "psi_by_chance": psi(chance[0], chance[-1]),
        "new_items": float(found[-1][found[0] == 0].sum()),
    }


def _shares(items: NDArray[np.int32], bounds: Ints, n_items: int) -> list[Floats]:
    """The share of each item in each segment of the events."""
    return [np.bincount(part, minlength=n_items) / len(part) for part in np.split(items, bounds)]


def jensen_shannon(p: Floats, q: Floats) -> float:
    """The Jensen–Shannon divergence in bits: 0 for the same distribution, 1 for two that share nothing."""
    middle = (p + q) / 2

    def relative(one: Floats) -> float:
        there = one > 0
        return float(one[there] @ np.log2(one[there] / middle[there]))

    return (relative(p) + relative(q)) / 2


def psi(p: Floats, q: Floats) -> float | None:
    """The population stability index of ten groups of items with about a tenth of `p` each.

    Items that `p` has not seen are left out; None if `q` has no other. Below 0.1 is usually called stable, above
    0.25 a shift.
    """
    seen = np.flatnonzero(p)
    order = seen[np.argsort(-p[seen], kind="stable")]
    p, q = p[order], q[order]
    if not q.sum():
        return None
    group = np.minimum((np.cumsum(p) - p / 2) * _GROUPS, _GROUPS - 1).astype(int)
    before = np.bincount(group, p, minlength=_GROUPS)
    after = np.bincount(group, q / q.sum(), minlength=_GROUPS)
    some = before > 0
    before, after = before[some], np.maximum(after[some], 1e-6)
    return float(((after - before) * np.log(after / before)).sum())
