"""The steps in their order: what `fit` learns from a table, and what becomes of one by what was learned.

Two passes. The first reads the columns that decide, one at a time, into a `Log` of integers; the second takes the
rows in batches, keeps those that are alive in the log, and sets the columns that the steps make.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec.io.columns import present, read_numbers, select_rows, whole_ids
from ferrec.preparation import _filters, _values
from ferrec.preparation._filters import Known
from ferrec.preparation._missing import learn_fills
from ferrec.preparation._report import Report
from ferrec.preparation._values import Scale
from ferrec.preparation.frames import EventReader, Frame, Scalar
from ferrec.preparation.log import Log, occurring, read_log
from ferrec.preparation.settings import SESSION, WEIGHT, Settings


@dataclass(frozen=True, eq=False)
class PrepareState:
    """What `fit` learned, by which parameters.

    `users` and `items` are None where no step needs to know them; `latest` is the time that decay counts from.
    """

    params: Mapping[str, Any]
    fills: dict[str, Scalar]
    users: Known | None
    items: Known | None
    scales: dict[str, Scale]
    latest: int | None
    report: Report


@dataclass(frozen=True, eq=False)
class Decisions:
    """What becomes of each row of a table; arrays hold an entry for each event that is left."""

    log: Log
    sessions: NDArray[np.int64] | None
    weights: NDArray[np.float64] | None
    """Of the type of event and its time."""
    positions: NDArray[np.int32] | None
    """The fitted user, −1 for others."""


def learn(source: EventReader, params: Mapping[str, Any]) -> tuple[PrepareState, Decisions]:
    """Fit every step to a table, and what becomes of that table."""
    settings = Settings.of(params)
    settings.check(list(source.names))
    fills = learn_fills(source, settings.missing)
    source = source.filled(fills)
    log = _read(source, settings, fills)
    before = occurring(log.users, len(log.user_ids)), occurring(log.items, len(log.item_ids))
    if settings.activity is not None:
        _filters.drop_unusual(log, settings.activity)
    if settings.k_core is not None:
        _filters.keep_core(log, settings.k_core, settings.n_threads)
    users = items = None
    if _filters_users(settings) or settings.by_user:
        users = Known.learn(log.user_ids, before[0], log.users)
    if settings.k_core is not None:
        items = Known.learn(log.item_ids, before[1], log.items)

    positions = _positions(log, users) if settings.by_user else None
    n_users = 0 if users is None else len(users.kept)
    scales = {}
    for name, method in settings.normalize.items():
        numbers = read_numbers(source.read(name), f"column {name!r}")[log.alive]
        codes = np.empty(0, np.int32) if positions is None else positions
        scales[name] = Scale.learn(method, numbers, codes, n_users)
    latest = int(log.times.max()) if log.times is not None and len(log) else None
    plan = _finish(log, settings, positions, latest)
    return PrepareState(params, fills, users, items, scales, latest, log.report), plan


def follow(source: EventReader, state: PrepareState) -> Decisions:
    """What becomes of a table by what was learned from another."""
    settings = Settings.of(state.params)
    settings.check(list(source.names))
    log = _read(source.filled(state.fills), settings, state.fills)
    if _filters_users(settings) and state.users is not None:
        passing = state.users.passes(log.user_ids, settings.unknown, settings.events.user)
        log.keep(passing[log.users], "known", _why("users", settings))
    if state.items is not None:
        passing = state.items.passes(log.item_ids, settings.unknown, settings.events.item)
        log.keep(passing[log.items], "known", _why("items", settings))
    positions = _positions(log, state.users) if settings.by_user else None
    return _finish(log, settings, positions, state.latest)


def _read(source: EventReader, settings: Settings, fills: Mapping[str, Scalar]) -> Log:
    """The log of a filled table after the steps that look at rows alone, and do the same to all data."""
    log = read_log(source, settings)
    for name, value in fills.items():
        log.note("fill", f"{name} by {value!r} where it is missing")
    if settings.event_weights is not None and settings.events.event_type is not None:
        _filters.drop_events(log, settings.event_weights, settings.events.event_type)
    if settings.dedup is not None:
        _filters.drop_duplicates(log, settings.dedup, settings.n_threads)
    return log


def _filters_users(settings: Settings) -> bool:
    return settings.activity is not None or settings.k_core is not None


def _why(who: str, settings: Settings) -> str:
    unknown = ", or has not seen" if settings.unknown == "drop" else ""
    return f"{who} that fit left out{unknown}"


def _positions(log: Log, users: Known | None) -> NDArray[np.int32]:
    assert users is not None
    return _filters.positions(users.kept, log.user_ids)[log.users]


def _finish(
    log: Log, settings: Settings, positions: NDArray[np.int32] | None, latest: int | None
) -> Decisions:
    """The values that are made of the events that are left."""
    for name, method in settings.normalize.items():
        log.note("normalize", f"{name}: {method}")
    weights = None
    if settings.event_weights is not None and log.kinds is not None:
        table = np.array([settings.event_weights.get(kind) or 0 for kind in log.kind_values], np.float64)
        weights = table[log.kinds]
    if settings.half_life is not None and log.times is not None:
        faded = _values.decay(log.times, latest or 0, settings.half_life)
        weights = faded if weights is None else weights * faded
    if settings.weighs:
        log.note("weight", _formula(settings))
    sessions = None
    if settings.session_gap is not None:
        sessions = _values.cut_sessions(log, settings.session_gap, settings.n_threads)
        count = int(sessions.max()) + 1 if len(sessions) else 0
        log.note("sessions", f"{count:,} sessions, cut after {settings.session_gap:,.6g} s without an event")
    return Decisions(log, sessions, weights, positions)


def _formula(settings: Settings) -> str:
    factors = [
        "the event's weight" * (settings.event_weights is not None),
        settings.weight_by or "",
        f"half for every {settings.half_life:,.6g} s before the last event" if settings.half_life else "",
    ]
    return " × ".join(filter(None, factors))


@dataclass
class Applier:
    """The second pass: gives each batch of the table its result, in the order of the rows."""

    settings: Settings
    scales: Mapping[str, Scale]
    plan: Decisions
    _row: int = field(default=0, init=False)
    _event: int = field(default=0, init=False)

    def __call__(self, frame: Frame, n_rows: int) -> object:
        """The result of the next rows, as a table of the frame's kind."""
        settings, log = self.settings, self.plan.log
        alive = log.alive[self._row : self._row + n_rows]
        at = slice(self._event, self._event + int(np.count_nonzero(alive)))
        self._row, self._event = self._row + n_rows, at.stop
        columns: dict[str, NDArray[Any]] = {}
        for name in log.floats:
            columns[name] = whole_ids(select_rows(present(frame.read(name), name)[0], alive))
        positions = None if self.plan.positions is None else self.plan.positions[at]
        factors = [] if self.plan.weights is None else [self.plan.weights[at]]
        for name in settings.numeric:
            numbers = read_numbers(frame.read(name), f"column {name!r}")[alive]
            if name in self.scales:
                columns[name] = numbers = self.scales[name].apply(numbers, positions)
            if name == settings.weight_by:
                factors.append(numbers)
        if settings.weighs:
            columns[WEIGHT] = np.prod(factors, axis=0)
        if self.plan.sessions is not None:
            columns[SESSION] = self.plan.sessions[at]
        return frame.rebuild(alive, columns)
