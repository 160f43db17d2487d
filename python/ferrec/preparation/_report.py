"""What every step left: rows, users, items, and why the others went."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from ferrec.errors import DataError
from ferrec.io.text import table


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the preparation.

    Attributes
    ----------
    name : str
        ``"read"``, ``"missing"``, ``"events"``, ``"dedup"``, ``"activity"``, ``"k-core"``, ``"known"``, or one that
        removes nothing: ``"fill"``, ``"normalize"``, ``"weight"``, ``"sessions"``.
    why : str
        What was removed, or what was done.
    rows, users, items : int
        What is left after it.

    See Also
    --------
    Report : All of them.

    Examples
    --------
    >>> Step("read", "the table", 3, 2, 2).rows
    3
    """

    name: str
    why: str
    rows: int
    users: int
    items: int


@dataclass(frozen=True, slots=True, repr=False)
class Report:
    """The steps of a preparation in their order; shown as a table.

    Attributes
    ----------
    steps : tuple of Step
        The first is what was read.

    See Also
    --------
    ferrec.Prepare : Makes one.

    Examples
    --------
    >>> report = Report((Step("read", "the table", 4, 2, 3), Step("k-core", "too few", 3, 1, 3)))
    >>> report
    step    rows      users      items
    read       4          2          3  the table
    k-core     3  −1      1  −1      3  too few
    >>> report.to_dict()["removed"]
    {'rows': 1, 'users': 1, 'items': 0}
    """

    steps: tuple[Step, ...]

    def __iter__(self) -> Iterator[Step]:
        """The steps."""
        return iter(self.steps)

    def to_dict(self) -> dict[str, Any]:
        """The report in plain Python values that go into JSON.

        Returns
        -------
        dict
            ``before``, ``after`` and ``removed``: rows, users and items of the whole; ``steps``: for each its
            `Step` and what it `removed`.

        Examples
        --------
        >>> Report((Step("read", "the table", 4, 2, 3),)).to_dict()["after"]
        {'rows': 4, 'users': 2, 'items': 3}
        """
        steps = []
        for before, step in zip((self.steps[0], *self.steps), self.steps, strict=False):
            steps.append({**asdict(step), "removed": _difference(before, step)})
        first, last = self.steps[0], self.steps[-1]
        return {
            "before": _counts(first),
            "after": _counts(last),
            "removed": _difference(first, last),
            "steps": steps,
        }

    @classmethod
    def from_dict(cls, entries: Any) -> "Report":
        """The report that `to_dict` gave.

        Parameters
        ----------
        entries : dict
            What `to_dict` returned, perhaps by way of JSON.

        Returns
        -------
        Report

        Raises
        ------
        DataError
            It is something else.

        Examples
        --------
        >>> report = Report((Step("read", "the table", 4, 2, 3),))
        >>> Report.from_dict(report.to_dict()) == report
        True
        """
        try:
            steps = [Step(**{name: step[name] for name in Step.__slots__}) for step in entries["steps"]]
        except (TypeError, KeyError) as error:
            raise DataError("report", "is no report of a preparation", entries) from error
        wrong = [s for s in steps if {type(s.rows), type(s.users), type(s.items)} != {int}]
        if not steps or wrong:
            raise DataError("report", "is no report of a preparation", wrong[:1] or "no steps")
        return cls(tuple(steps))

    def __repr__(self) -> str:
        """A table: a line for each step, what is left and what went with it, and why."""
        lines = [["step", "rows", "", "users", "", "items", "", ""]]
        for before, step in zip((self.steps[0], *self.steps), self.steps, strict=False):
            cells = [step.name]
            for name, gone in _difference(before, step).items():
                cells += [f"{getattr(step, name):,}", f"−{gone:,}" if gone else ""]
            lines.append([*cells, step.why])
        return table(lines, words=True)


def _counts(step: Step) -> dict[str, int]:
    return {"rows": step.rows, "users": step.users, "items": step.items}


def _difference(before: Step, after: Step) -> dict[str, int]:
    return {name: count - _counts(after)[name] for name, count in _counts(before).items()}
