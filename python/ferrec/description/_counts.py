"""How much there is, how unevenly it is spread, and how often it repeats; times do not matter here."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.io import arrays
from ferrec.kernels.metrics import gini
from ferrec.preparation.log import Log

Facts = dict[str, Any]
Counts = NDArray[np.int64]

_QUANTILES = {"min": 0.0, "25%": 0.25, "median": 0.5, "75%": 0.75, "95%": 0.95, "max": 1.0}
_TOP = {"1%": 0.01, "10%": 0.1, "20%": 0.2}
_CURVE_POINTS = 100


def counts(log: Log) -> Facts:
    """Events, users, items, pairs; how full the matrix is; how often pairs repeat."""
    users = np.bincount(log.users, minlength=len(log.user_ids))
    items = np.bincount(log.items, minlength=len(log.item_ids))
    users, items = users[users > 0], items[items > 0]
    pairs = _pair_counts(log)
    n, cells = len(log), len(users) * len(items)
    return {
        "events": n,
        "users": len(users),
        "items": len(items),
        "pairs": len(pairs),
        "density": len(pairs) / cells if cells else 0.0,
        "sparsity": 1 - len(pairs) / cells if cells else 1.0,
        "repeats": {
            "of_events": 1 - len(pairs) / n if n else 0.0,
            "of_pairs": float(np.mean(pairs > 1)) if n else 0.0,
            "most": int(pairs.max()) if n else 0,
        },
        "per_user": {**spread(users), "gini": gini(users), "histogram": doubling(users)},
        "per_item": {**spread(items), "gini": gini(items), "histogram": doubling(items)},
        "popularity": _popularity(items),
    }


def _pair_counts(log: Log) -> NDArray[np.float32]:
    """The number of events of each pair."""
    n_users, n_items = len(log.user_ids), len(log.item_ids)
    return _rust.build_csr(log.users, log.items, None, None, n_users, n_items, "count")[2]


def _popularity(items: Counts) -> Facts:
    """What share of the events the most popular items have."""
    if not len(items):
        return {"top": dict.fromkeys(_TOP, 0.0), "once": 0.0, "curve": {"items": [], "events": []}}
    shares = np.cumsum(np.sort(items)[::-1]) / items.sum()
    at = np.unique(np.geomspace(1, len(items), _CURVE_POINTS).round().astype(int))
    return {
        "top": {name: float(shares[max(round(part * len(items)), 1) - 1]) for name, part in _TOP.items()},
        "once": float(np.mean(items == 1)),
        "curve": {"items": (at / len(items)).tolist(), "events": shares[at - 1].tolist()},
    }


def spread(values: NDArray[Any]) -> Facts:
    """Quantiles and mean, None where there are no values."""
    return dict(arrays.spread(values, _QUANTILES) or dict.fromkeys((*_QUANTILES, "mean")))


def doubling(counted: Counts) -> Facts:
    """How many have 1, 2–3, 4–7, … of something: the lower edges, and the number in each."""
    if not len(counted):
        return {"from": [], "count": []}
    bins = np.bincount(np.log2(counted).astype(int))
    return {"from": (2 ** np.arange(len(bins))).tolist(), "count": bins.tolist()}
