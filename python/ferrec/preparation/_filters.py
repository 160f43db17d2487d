"""The steps that leave events out: types, repeats, unusual users, and what is too sparse."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.errors import DataError
from ferrec.io.columns import event_weight_table
from ferrec.preparation.log import ANY_GAP, Log, Mask, occurring
from ferrec.preparation.settings import Dedup


def drop_events(log: Log, weights: Mapping[Any, float | None], name: str) -> None:
    """Leave out the types of events whose weight is None; refuse types that have no weight."""
    assert log.kinds is not None
    numbers = {kind: np.nan if weight is None else weight for kind, weight in weights.items()}
    seen = occurring(log.kinds, len(log.kind_values))
    numbers |= {kind: np.nan for kind, occurs in zip(log.kind_values, seen, strict=True) if not occurs}
    table = event_weight_table(log.kinds, log.kind_values, numbers, f"column {name!r}")
    dropped = np.isnan(table)
    if (dropped & seen).any():
        named = ", ".join(
            str(kind) for kind, gone in zip(log.kind_values, dropped & seen, strict=True) if gone
        )
        log.keep(~dropped[log.kinds], "events", f"{name} is {named}")


def drop_duplicates(log: Log, how: Dedup, n_threads: int) -> None:
    """Leave out events that repeat another."""
    exact = how == "exact"
    times, kinds = log.times, log.kinds if exact else None
    gap = 0 if exact else ANY_GAP
    order, begins = _rust.event_runs(log.users, len(log.user_ids), log.items, times, kinds, gap, n_threads)
    # The last of a run stands before the first of the next.
    chosen = np.roll(begins, -1) if how == "last" else begins
    kept = np.zeros(len(log), np.bool_)
    kept[order[chosen]] = True
    columns = ["user", "item", *(["time"] * (times is not None)), *(["event"] * (kinds is not None))]
    same = " and ".join(", ".join(columns).rsplit(", ", 1)) if exact else "user and item"
    other = {"exact": "an earlier row", "first": "an earlier event", "last": "a later event"}[how]
    log.keep(kept, "dedup", f"same {same} as {other}")


def drop_unusual(log: Log, quantiles: tuple[float, float]) -> None:
    """Leave out users with fewer or more events than the quantiles of all users' numbers of events."""
    counts = np.bincount(log.users, minlength=len(log.user_ids))
    active = counts[counts > 0]
    low, high = np.quantile(active, quantiles) if len(active) else (0.0, 0.0)
    usual = (counts >= low) & (counts <= high)
    log.keep(
        usual[log.users],
        "activity",
        f"users of fewer than {low:,.6g} or more than {high:,.6g} events (quantiles {quantiles[0]:g} and "
        f"{quantiles[1]:g})",
    )


def keep_core(log: Log, least: tuple[int, int], n_threads: int) -> None:
    """Leave out users and items with too few partners, until none is left that has too few."""
    n_users, n_items = len(log.user_ids), len(log.item_ids)
    indptr, indices, counts, _ = _rust.build_csr(log.users, log.items, None, None, n_users, n_items, "count")
    pairs = _rust.Csr(indptr, indices, counts, n_items, name="events")
    users, items = _rust.k_core(pairs, *least, n_threads)
    kept = users[log.users] & items[log.items]
    log.keep(kept, "k-core", f"users of fewer than {least[0]} items, items of fewer than {least[1]} users")


@dataclass(frozen=True, eq=False)
class Known:
    """The ids that the filters let through, and those that they did not."""

    kept: Ids
    dropped: Ids

    @classmethod
    def learn(cls, ids: Ids, before: Mask, codes: NDArray[np.int32]) -> "Known":
        """From the ids that occurred before the filters, and the codes of the events after them."""
        kept = occurring(codes, len(ids))
        return cls(ids.take(np.flatnonzero(kept)), ids.take(np.flatnonzero(before & ~kept)))

    def passes(self, ids: Ids, unknown: Literal["drop", "keep"], name: str) -> Mask:
        """Which ids of new data the filters let through."""
        refuse_other_kind(self.kept if len(self.kept) else self.dropped, ids, name)
        if unknown == "drop":
            return positions(self.kept, ids) >= 0
        return positions(self.dropped, ids) < 0


def positions(known: Ids, ids: Ids) -> NDArray[np.int32]:
    """The code in `known` of each of the ids, or −1."""
    return known.encode(ids.values, unknown="ignore")


def refuse_other_kind(known: Ids, ids: Ids, name: str) -> None:
    """Ids of another type than fitted are all unknown, and surely a slip."""
    if len(known) and len(ids) and known.kind != ids.kind:
        raise DataError(
            f"column {name!r}", f"holds {ids.kind}, and held {known.kind} in fit", advice="cast it"
        )
