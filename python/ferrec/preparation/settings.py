"""The parameters of a preparation, checked: what each step is to do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from ferrec.data.event_columns import EventColumns
from ferrec.errors import DataError, ParameterError
from ferrec.io.tables import missing_column, refuse_repeated
from ferrec.kernels.arguments import Duration, as_int, as_seconds, one_of, threads
from ferrec.preparation.frames import Scalar

Dedup: TypeAlias = Literal["exact", "first", "last"]
Method: TypeAlias = Literal["zscore", "minmax", "log1p", "zscore_by_user", "minmax_by_user"]

STATISTICS = ("mean", "median", "mode")
WEIGHT, SESSION = "weight", "session_id"
"""The columns that are made."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What `Prepare` was told, in one form each."""

    events: EventColumns
    missing: Mapping[str, Scalar]
    dedup: Dedup | None
    activity: tuple[float, float] | None
    k_core: tuple[int, int] | None
    event_weights: Mapping[Any, float | None] | None
    weight_by: str | None
    half_life: float | None
    normalize: Mapping[str, Method]
    session_gap: float | None
    unknown: Literal["drop", "keep"]
    n_threads: int

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> "Settings":
        """From the constructor's arguments; errors name the argument and the value."""
        time, event_type = params["time"], params["event_type"]
        events = EventColumns(params["user"], params["item"], time=time, event_type=event_type)
        roles = events.roles
        for name in ("half_life", "session_gap"):
            if params[name] is not None and time is None:
                raise ParameterError(name, "needs the column of times", params[name], advice="give time=")
        if params["event_weights"] is not None and event_type is None:
            raise ParameterError(
                "event_weights", "needs the column of event types", advice="give event_type="
            )
        dedup, weight_by = params["dedup"], params["weight_by"]
        normalize = dict(params["normalize"] or {})
        for name, method in normalize.items():
            one_of(f"normalize[{name!r}]", method, get_args(Method))
        for name in (*normalize, weight_by):
            if name in roles:
                raise ParameterError("normalize, weight_by", "must be columns of numbers", name)
        return cls(
            events=events,
            missing=_policies(params["missing"], params["user"], params["item"], time),
            dedup=None if dedup is None else _dedup(dedup),
            activity=_quantiles(params["activity"]),
            k_core=_core(params["k_core"]),
            event_weights=_weights(params["event_weights"]),
            weight_by=weight_by,
            half_life=_seconds("half_life", params["half_life"]),
            normalize=normalize,
            session_gap=_seconds("session_gap", params["session_gap"]),
            unknown="keep" if one_of("unknown", params["unknown"], ("drop", "keep")) == "keep" else "drop",
            n_threads=threads(params["n_threads"]),
        )

    @property
    def roles(self) -> list[str]:
        """The columns of ids, times and types."""
        return self.events.roles

    @property
    def numeric(self) -> list[str]:
        """The columns of numbers."""
        return list(dict.fromkeys([*self.normalize, *([] if self.weight_by is None else [self.weight_by])]))

    @property
    def columns(self) -> list[str]:
        """Every column that a step looks at."""
        return list(dict.fromkeys([*self.roles, *self.numeric, *self.missing]))

    @property
    def weighs(self) -> bool:
        """Whether a column of weights is made."""
        return not (self.event_weights is None and self.weight_by is None and self.half_life is None)

    @property
    def by_user(self) -> bool:
        """Whether a column is scaled user by user."""
        return any(method.endswith("_by_user") for method in self.normalize.values())

    def policy(self, name: str) -> Scalar:
        """What happens to rows in which the column is missing."""
        return self.missing.get(name, "drop" if name in self.roles else "error")

    def check(self, names: list[str]) -> None:
        """The table has every column once, and none that will be made."""
        refuse_repeated(names)
        for name in self.columns:
            if name not in names:
                raise missing_column(name, names)
        made = [WEIGHT] * (self.weighs and self.weight_by != WEIGHT)
        made += [SESSION] * (self.session_gap is not None)
        for name in made:
            if name in names:
                raise DataError(
                    f"column {name!r}", "is in the table, and is to be made", advice="rename it there"
                )


def _policies(missing: Any, *ids: str | None) -> dict[str, Scalar]:
    policies = dict(missing or {})
    for name, policy in policies.items():
        if isinstance(policy, np.generic):
            policies[name] = policy = policy.item()
        if not isinstance(policy, bool | int | float | str):
            raise ParameterError(
                f"missing[{name!r}]",
                "expected 'drop', 'error', 'mean', 'median', 'mode', or a number, text or boolean to fill in",
                policy,
            )
        if isinstance(policy, float) and not np.isfinite(policy):
            raise ParameterError(f"missing[{name!r}]", "expected a finite number", policy)
        if name in ids and policy not in ("drop", "error"):
            raise ParameterError(f"missing[{name!r}]", "ids and times can be 'drop' or 'error' only", policy)
    return policies


def _dedup(dedup: object) -> Dedup:
    one_of("dedup", dedup, get_args(Dedup))
    return dedup  # type: ignore[return-value]  # one of them


def _quantiles(activity: Any) -> tuple[float, float] | None:
    if activity is None:
        return None
    try:
        low, high = map(float, activity)
    except (TypeError, ValueError) as error:
        raise ParameterError("activity", "expected two quantiles, as in (0.0, 0.999)", activity) from error
    if not 0 <= low < high <= 1:
        raise ParameterError("activity", "expected quantiles with 0 <= low < high <= 1", activity)
    return low, high


def _core(k_core: Any) -> tuple[int, int] | None:
    if k_core is None:
        return None
    users, items = k_core if isinstance(k_core, tuple | list) and len(k_core) == 2 else (k_core, k_core)
    return as_int("k_core", users, minimum=0), as_int("k_core", items, minimum=0)


def _weights(weights: Any) -> dict[Any, float | None] | None:
    if weights is None:
        return None
    for kind, weight in dict(weights).items():
        if weight is None:
            continue
        if isinstance(weight, bool) or not isinstance(weight, int | float | np.number):
            raise ParameterError(
                f"event_weights[{kind!r}]", "expected a number, or None to drop them", weight
            )
        if not np.isfinite(weight):
            raise ParameterError(f"event_weights[{kind!r}]", "expected a finite number", weight)
    return dict(weights)


def _seconds(name: str, value: Duration | None) -> float | None:
    return None if value is None else as_seconds(name, value)
