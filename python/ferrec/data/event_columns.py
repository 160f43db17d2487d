"""Which column of a table of events is what: the one answer for all who read such tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from ferrec.data.ids import Ids, factorize
from ferrec.errors import ParameterError, ParameterTypeError, ShapeError, unknown_name
from ferrec.io.columns import read_event_weights, read_times, read_weights
from ferrec.io.tables import Table

__all__ = ["Duplicates", "EventColumns", "check_duplicates"]

Duplicates: TypeAlias = Literal["sum", "last", "max", "count", "error"]
"""What to do where a user has several events with one item."""

Arrays: TypeAlias = tuple[
    NDArray[np.int32], NDArray[np.int32], NDArray[np.float32] | None, NDArray[np.int64] | None
]
"""The codes of users and items, weights and times: what `Events` holds."""


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Which column of a table of events is what, checked, and how they are read.

    `Interactions.from_table` says what each means.

    Parameters
    ----------
    user, item : str
        The columns of ids.
    rating, time, event_type : str, optional
        The columns of weights, of times, and of event types.
    event_weights : mapping of event type to float, optional
        The weight of each type.
    duplicates : {"sum", "last", "max", "count", "error"}
        How the events of one user with one item become one weight.
    prefix : str
        What stands before a name in messages.

    Raises
    ------
    TypeError, ValueError
        A name is no text, two columns are the same, or an argument makes no sense.
    """

    user: str = "user_id"
    item: str = "item_id"
    rating: str | None = None
    time: str | None = None
    event_type: str | None = None
    event_weights: Mapping[Any, float] | None = None
    duplicates: Duplicates = "sum"
    prefix: str = "column "

    def __post_init__(self) -> None:
        """Check what can be checked without a table."""
        check_duplicates(self.duplicates)
        if self.rating is not None and self.event_type is not None:
            raise ParameterError("rating, event_type", "both give the weight", advice="name one of them")
        for name in ("user", "item", "rating", "time", "event_type"):
            column = getattr(self, name)
            if not (isinstance(column, str) or (column is None and name not in ("user", "item"))):
                raise ParameterTypeError(name, "expected the name of a column", column)
        if not isinstance(self.event_weights, Mapping | None):
            raise ParameterTypeError(
                "event_weights", "expected a mapping of types to weights", self.event_weights
            )
        roles = self.roles
        if len(set(roles)) < len(roles):
            raise ParameterError("user, item, time, event_type", "must be different columns", roles)

    def weighed(self) -> Self:
        """The same, if every event has a weight: types need weights, and weights types."""
        if (self.event_type is None) != (self.event_weights is None):
            raise ParameterError(
                "event_type, event_weights",
                "go together",
                (self.event_type, self.event_weights),
                advice='as in event_type="type", event_weights={"buy": 5}',
            )
        for kind, weight in (self.event_weights or {}).items():
            if not np.isfinite(np.float32(weight)):
                raise ParameterError(f"event_weights[{kind!r}]", "expected a finite number", weight)
        return self

    @property
    def roles(self) -> list[str]:
        """The columns of ids, times and types."""
        return _given(self.user, self.item, self.time, self.event_type)

    @property
    def ids(self) -> list[str]:
        """The columns in which a number is a name."""
        return _given(self.user, self.item, self.event_type)

    @property
    def numbers(self) -> list[str]:
        """The others."""
        return _given(self.rating, self.time)

    @property
    def needed(self) -> list[str]:
        """All of them."""
        return list(dict.fromkeys(_given(self.user, self.item, self.rating, self.time, self.event_type)))

    def read(self, table: Table) -> tuple[Ids, Ids, Arrays]:
        """The ids of the users and of the items, and the events."""
        for name in self.needed:
            table.check(name)
        users, user_ids = factorize(table.read(self.user), self._what(self.user))
        items, item_ids = factorize(table.read(self.item), self._what(self.item))
        weights = times = None
        if self.rating is not None:
            weights = read_weights(table.read(self.rating), self._what(self.rating))
        if self.event_type is not None and self.event_weights is not None:
            what = self._what(self.event_type)
            weights = read_event_weights(table.read(self.event_type), self.event_weights, what)
        if self.time is not None:
            times = read_times(table.read(self.time), self._what(self.time))
        given: dict[str | None, NDArray[Any] | None] = {
            self.item: items,
            self.rating or self.event_type: weights,
            self.time: times,
        }
        for other, column in given.items():
            if other is not None and column is not None and len(column) != len(users):
                raise ShapeError(
                    self._what(other),
                    f"must have {len(users):,} rows like {self._what(self.user)}",
                    len(column),
                )
        return user_ids, item_ids, (users, items, weights, times)

    def _what(self, name: str) -> str:
        return f"{self.prefix}{name!r}" if self.prefix else name


def _given(*names: str | None) -> list[str]:
    return [name for name in names if name is not None]


def check_duplicates(duplicates: Duplicates) -> Duplicates:
    """One of the ways to make one weight of several events."""
    allowed = get_args(Duplicates)
    if duplicates not in allowed:
        raise unknown_name("duplicates", duplicates, allowed)
    return duplicates
