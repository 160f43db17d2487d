"""The steps that make values: scaled numbers, weights, sessions."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.io.times import in_seconds, ticks
from ferrec.preparation.log import Log
from ferrec.preparation.settings import Method

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scale:
    """``(x − center) / spread``, overall or user by user; where nothing varies every value becomes 0.

    `centers` and `spreads` are of the fitted users; others are scaled overall.
    """

    method: Method
    center: float
    spread: float
    centers: Floats | None = None
    spreads: Floats | None = None

    @classmethod
    def learn(cls, method: Method, values: Floats, users: NDArray[np.int32], n_users: int) -> "Scale":
        """From the values that are left, and whose they are."""
        if method == "log1p":
            return cls(method, 0.0, 1.0)
        nobody = np.zeros(len(values), np.int32)
        center, spread = (float(side[0]) for side in _moments(method, values, nobody, 1))
        if not method.endswith("_by_user"):
            return cls(method, center, spread)
        return cls(method, center, spread, *_moments(method, values, users, n_users))

    def apply(self, values: Floats, users: NDArray[np.int32] | None) -> Floats:
        """The scaled values; `users` are the codes of fitted users, −1 for others."""
        if self.method == "log1p":
            return np.log1p(values)
        center: Any = self.center
        spread: Any = self.spread
        if self.centers is not None and self.spreads is not None and users is not None:
            center = np.append(self.centers, self.center)[users]  # −1 is the last: overall
            spread = np.append(self.spreads, self.spread)[users]
        scaled: Floats = np.zeros(len(values))
        np.divide(values - center, spread, out=scaled, where=np.asarray(spread > 0))
        return scaled


def _moments(method: str, values: Floats, groups: NDArray[np.int32], n: int) -> tuple[Floats, Floats]:
    """Center and spread of each group; both 0 where it has no values."""
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    np.minimum.at(low, groups, values)
    np.maximum.at(high, groups, values)
    if method.startswith("minmax"):
        low[low > high] = 0.0
        return low, np.maximum(high - low, 0.0)
    counts = np.maximum(np.bincount(groups, minlength=n), 1)
    center = np.bincount(groups, values, minlength=n) / counts
    square = np.bincount(groups, (values - center[groups]) ** 2, minlength=n) / counts
    # A constant may differ from its own mean in the last bit, which is not a spread.
    return center, np.where(low < high, np.sqrt(square), 0.0)


def decay(times: NDArray[np.int64], latest: int, half_life: float) -> Floats:
    """Half for every half-life before `latest`; what comes later counts more, on the same curve."""
    weights: Floats = np.exp2(in_seconds(times - latest) / half_life)
    return weights


def cut_sessions(log: Log, gap: float, n_threads: int) -> NDArray[np.int64]:
    """The session of each event: a new one where a user's events are further apart than `gap` seconds.

    Sessions count from 0 in the order of the users' ids, and of a user by time.
    """
    assert log.times is not None
    most = ticks(gap)
    order, begins = _rust.event_runs(log.users, len(log.user_ids), None, log.times, None, most, n_threads)
    sessions = np.empty(len(log), np.int64)
    sessions[order] = np.cumsum(begins) - 1
    return sessions
