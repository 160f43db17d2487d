"""The events as integers: the columns that decide which rows stay, and what the steps did to them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec.data.ids import Ids, factorize
from ferrec.errors import DataError, ShapeError
from ferrec.io.columns import is_float, present, read_numbers, read_times, select_rows, whole_ids
from ferrec.preparation._report import Report, Step
from ferrec.preparation.frames import ColumnReader
from ferrec.preparation.settings import Settings

Mask = NDArray[np.bool_]
ANY_GAP = 2**64 - 1
"""For `event_runs`: times do not cut."""


@dataclass(eq=False)
class Log:
    """The events that are left: one entry of `users`, `items`, `times` and `kinds` for each row that is alive.

    While the table is read a user or an item may be −1: missing. Times are in nanoseconds. `floats` are the columns
    of ids that came as floats, `nulls` the rows of the table in which a column is missing.
    """

    alive: Mask
    users: NDArray[np.int32]
    items: NDArray[np.int32]
    user_ids: Ids
    item_ids: Ids
    times: NDArray[np.int64] | None = None
    kinds: NDArray[np.int32] | None = None
    kind_values: list[Any] = field(default_factory=list)
    floats: list[str] = field(default_factory=list)
    nulls: dict[str, int] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The first line of the report."""
        self._count("read", "the table")

    def __len__(self) -> int:
        """The number of rows left."""
        return len(self.users)

    def keep(self, mask: Mask, name: str, why: str) -> None:
        """Leave out the events that are not in the mask, and say so."""
        if mask.all():
            self.note(name, why)
            return
        self.alive[self.alive] = mask
        self.users, self.items = self.users[mask], self.items[mask]
        self.times = None if self.times is None else self.times[mask]
        self.kinds = None if self.kinds is None else self.kinds[mask]
        self._count(name, why)

    def note(self, name: str, why: str) -> None:
        """A line of the report about a step that left everything."""
        self.steps.append(replace(self.steps[-1], name=name, why=why))

    def _count(self, name: str, why: str) -> None:
        users = int(np.count_nonzero(occurring(self.users, len(self.user_ids))))
        items = int(np.count_nonzero(occurring(self.items, len(self.item_ids))))
        self.steps.append(Step(name, why, len(self), users, items))

    @property
    def report(self) -> Report:
        """The report so far."""
        return Report(tuple(self.steps))


def occurring(codes: NDArray[np.int32], n: int) -> Mask:
    """Which of n codes there are; −1 is none."""
    seen = np.zeros(n + 1, np.bool_)
    seen[codes] = True
    return seen[:-1]


def read_log(source: ColumnReader, settings: Settings) -> Log:
    """Read and check every column that the settings name; rows with something missing go, or are refused."""
    reader = _Reader(source)
    users = reader.codes(settings.events.user)
    items = reader.codes(settings.events.item)
    times = None if settings.events.time is None else reader.column(settings.events.time, read_times)
    kinds = None if settings.events.event_type is None else reader.codes(settings.events.event_type)
    for name in settings.numeric:
        reader.column(name, _numbers_for(settings.normalize.get(name)))
    for name in settings.missing:
        reader.column(name, None)
    log = Log(
        np.ones(len(users), np.bool_),
        users,
        items,
        reader.ids[settings.events.user],
        reader.ids[settings.events.item],
        times,
        kinds,
        [] if settings.events.event_type is None else reader.ids[settings.events.event_type].values.tolist(),
        reader.floats,
        {name: int(np.count_nonzero(~valid)) for name, valid in reader.valid.items()},
    )
    for name, valid in reader.valid.items():
        _leave_out(log, name, valid, settings.policy(name))
    return log


class _Reader:
    """Columns of one table, what their codes mean, and where they hold a value if not everywhere."""

    def __init__(self, source: ColumnReader) -> None:
        self.source = source
        self.ids: dict[str, Ids] = {}
        self.valid: dict[str, Mask] = {}
        self.floats: list[str] = []
        self._first: tuple[str, int] | None = None

    def codes(self, name: str) -> NDArray[np.int32]:
        """A column of ids as codes into `ids`; −1 where it is missing."""

        def encode(column: Any, what: str) -> NDArray[np.int32]:
            if is_float(column):
                self.floats.append(name)
            codes, self.ids[name] = factorize(whole_ids(column), what)
            return codes

        codes: NDArray[np.int32] = self.column(name, encode, -1)
        return codes

    def column(self, name: str, convert: Callable[[Any, str], NDArray[Any]] | None, gap: int = 0) -> Any:
        """The column as `convert` has it, with `gap` where it is missing."""
        what = f"column {name!r}"
        column, valid = present(self.source.read(name), what)
        first, length = self._first = self._first or (name, len(column))
        if len(column) != length:
            raise ShapeError(
                f"column {name!r}", f"must have {length:,} rows like column {first!r}", len(column)
            )
        if valid is None:
            return None if convert is None else convert(column, what)
        self.valid[name] = valid
        if convert is None:
            return None
        what += f" (its {np.count_nonzero(~valid):,} nulls left out)"
        values = convert(select_rows(column, valid), what)
        full = np.full(length, gap, values.dtype)
        full[valid] = values
        return full


def _numbers_for(method: str | None) -> Callable[[Any, str], NDArray[np.float64]]:
    def read(column: Any, what: str) -> NDArray[np.float64]:
        numbers = read_numbers(column, what)
        if method == "log1p" and len(numbers) and numbers.min() <= -1:
            row = int(np.argmin(numbers))
            raise DataError(what, "log1p needs numbers above -1", numbers[row], place={"row": row})
        return numbers

    return read


def _leave_out(log: Log, name: str, valid: Mask, policy: object) -> None:
    left = valid[log.alive]
    if left.all():
        return  # another column was missing in the same rows
    if policy != "drop":
        count, row = np.count_nonzero(~valid), int(np.argmin(valid))
        raise DataError(
            f"column {name!r}",
            f"{count:,} of {len(valid):,} rows are null",
            place={"row": row},
            advice=f'give missing={{{name!r}: "drop"}} to leave them out, or a value to fill in',
        )
    log.keep(left, "missing", f"{name} is missing")
