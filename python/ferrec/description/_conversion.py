"""From one type of event to another: how often a pair that has the one has the other later."""

import numpy as np

from ferrec import _rust
from ferrec.description._counts import Facts
from ferrec.preparation.log import ANY_GAP, Log

MOST = 8
"""Types that are told apart: the most frequent ones."""


def conversion(log: Log) -> Facts | None:
    """Each type of event, and the share of its pairs of a user and an item that go on to each other type.

    With times the other event must be at the same time or later than the first of the one; without, it counts
    whenever it was. None without types.
    """
    if log.kinds is None or not len(log):
        return None
    counts = np.bincount(log.kinds, minlength=len(log.kind_values))
    chosen = [int(kind) for kind in np.argsort(-counts, kind="stable") if counts[kind]][:MOST]
    order, begins = _rust.event_runs(log.users, len(log.user_ids), log.items, None, None, ANY_GAP, 0)
    pairs = np.empty(len(log), np.int64)
    pairs[order] = np.cumsum(begins) - 1
    n = int(begins.sum())
    when = np.zeros(len(log), np.int64) if log.times is None else log.times
    never = np.iinfo(np.int64)
    first, last = np.full((len(chosen), n), never.max), np.full((len(chosen), n), never.min)
    types = {}
    for at, kind in enumerate(chosen):
        where = log.kinds == kind
        np.minimum.at(first[at], pairs[where], when[where])
        np.maximum.at(last[at], pairs[where], when[where])
        types[str(log.kind_values[kind])] = {
            "events": int(counts[kind]),
            "users": len(np.unique(log.users[where])),
            "items": len(np.unique(log.items[where])),
            "pairs": int(np.count_nonzero(first[at] != never.max)),
        }
    to: dict[str, dict[str, float]] = {}
    for a, (name, facts) in enumerate(types.items()):
        there = first[a] != never.max
        to[name] = {
            other: float(np.count_nonzero(there & (last[b] >= first[a])) / facts["pairs"])
            for b, other in enumerate(types)
            if b != a
        }
    return {"types": types, "to": to, "others": int(np.count_nonzero(counts)) - len(chosen)}
