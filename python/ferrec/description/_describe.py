"""`describe`: what is in a table of events."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ferrec.data.interactions import Interactions
from ferrec.description import _text
from ferrec.description._conversion import conversion
from ferrec.description._counts import Facts, counts
from ferrec.description._times import times
from ferrec.errors import checks_keywords
from ferrec.io.files import csv_delimiter, open_csv
from ferrec.io.tables import PathLike, as_path
from ferrec.io.text import aligned
from ferrec.preparation import Prepare
from ferrec.preparation.frames import ColumnReader, ParquetSource, is_path, open_frame
from ferrec.preparation.log import Log, read_log
from ferrec.preparation.settings import Settings


@dataclass(frozen=True, eq=False, repr=False)
class Description:
    """What `describe` found; `repr` and `print` show it as text.

    Attributes
    ----------
    facts : dict
        As `to_dict` explains.

    Examples
    --------
    >>> found = describe({"user_id": [1, 1, 2], "item_id": ["tea", "milk", "tea"]})
    >>> found["users"], found["per_item"]["max"]
    (2, 2.0)
    """

    facts: Facts

    def __getitem__(self, name: str) -> Any:
        """One of the facts."""
        return self.facts[name]

    def to_dict(self) -> Facts:
        """Everything in plain Python values that go into JSON.

        Returns
        -------
        dict
            ``events``, ``users``, ``items``, ``pairs``: counts; ``missing``: rows left out by column;
            ``density`` and ``sparsity`` of users × items; ``repeats``: the share of events that repeat a pair
            (``of_events``) and of pairs with more than one event (``of_pairs``); ``per_user``, ``per_item``:
            quantiles, mean, Gini index and a histogram of the number of events; ``popularity``: what share
            of the events the most popular items have.

            ``times``, None without times: ``first``, ``last``, ``days``; ``gaps``: the share of a user's next
            events at the same time (``together``), and the seconds to the others; ``rhythm``: events by weekday
            (Monday first) and hour, UTC; ``growth``: events, users, new users and new items by period; ``drift``
            of the popularity of items from the first tenth of the events to the later ones: Jensen–Shannon
            divergence (bits) and population stability index, each beside its value for the same events in random
            order.

            ``conversion``, None without event types: each type, and ``to``: of its pairs of a user and an item
            the share that has each other type, at the same time or later where times are known.

        Examples
        --------
        >>> found = describe({"user_id": [1, 1, 2], "item_id": [7, 8, 7], "day": [0, 86_400, 0]}, time="day")
        >>> found.to_dict()["times"]["gaps"]["median"]
        86400.0
        """
        return self.facts

    def __repr__(self) -> str:
        """A line for each thing found."""
        return "\n".join(aligned(_text.lines(self.facts)))

    def to_html(self, path: PathLike | None = None, *, title: str = "Events") -> str:
        """One page with pictures and nothing to load, for phones and desks, light and dark.

        Parameters
        ----------
        path : path, optional
            Where to write it. A file that is there is replaced.
        title : str
            The heading.

        Returns
        -------
        str
            The page, as it is written.

        Raises
        ------
        MissingExtraError
            matplotlib is not installed (extra ``plot``).
        OSError
            The file cannot be written.
        """
        from ferrec.description._page import page

        text = page(self.facts, title)
        if path is not None:
            as_path("path", path).write_text(text, encoding="utf-8")
        return text


@checks_keywords
def describe(
    source: object,
    *,
    user: str = "user_id",
    item: str = "item_id",
    time: str | None = None,
    event_type: str | None = None,
) -> Description:
    """How many events there are, how they are spread over users, items and time, and how that changes.

    Parameters
    ----------
    source : Interactions, table or path
        A table as in `Interactions.from_table`; a path of Parquet or CSV files (by their names). Rows in which one
        of the columns below is missing are counted and left out. Not changed.
    user, item : str
        The columns of ids. Not for `Interactions`, which know.
    time : str, optional
        The column of times: unix seconds or datetimes.
    event_type : str, optional
        The column of event types.

    Returns
    -------
    Description

    Raises
    ------
    DataError
        A column is missing, repeated, or cannot be read.
    FileNotFoundError
        Nothing is at the path.
    MissingExtraError
        pyarrow or narwhals is not installed (extra ``parquet``).

    Examples
    --------
    >>> log = {
    ...     "user_id": ["ann", "ann", "bob", "bob", "bob"],
    ...     "item_id": ["tea", "tea", "tea", "milk", "milk"],
    ...     "type": ["view", "buy", "view", "view", "buy"],
    ... }
    >>> describe(log, event_type="type")
    events      5
    users       2
    items       2
    pairs       3: 75 % of all users × items
    repeats     40 % of the events repeat a pair; 67 % of the pairs occur more than once, one 2 times
    per user    min 2 · median 2.5 · mean 2.5 · 95 % ≤ 2.95 · max 3 · Gini 0.20
    per item    min 2 · median 2.5 · mean 2.5 · 95 % ≤ 2.95 · max 3 · Gini 0.20
    popularity  of the items 1 % have 60 %, 10 % have 60 %, 20 % have 60 % of the events; 0 % occur once
    types       view 3, buy 2
    from view   of its pairs go on to buy 67 %
    from buy    of its pairs go on to view 100 %
    """
    log = (
        _of_interactions(source)
        if isinstance(source, Interactions)
        else _of_table(source, user, item, time, event_type)
    )
    return Description(
        {"missing": log.nulls, **counts(log), "times": times(log), "conversion": conversion(log)}
    )


def _of_interactions(data: Interactions) -> Log:
    events = data.events
    alive = np.ones(len(events), np.bool_)
    return Log(alive, events.users, events.items, data.users, data.items, events.times)


def _of_table(source: object, user: str, item: str, time: str | None, event_type: str | None) -> Log:
    settings = Settings.of(Prepare(user=user, item=item, time=time, event_type=event_type).get_params())
    opened = _open(source, settings)
    settings.check(list(opened.names))
    return read_log(opened, settings)


def _open(data: Any, settings: Settings) -> ColumnReader:
    if not is_path(data):
        return open_frame(data)
    delimiter = csv_delimiter(data)
    if delimiter is None:
        return ParquetSource.open(data)
    events = settings.events
    return open_csv(data, ids=events.ids, others=events.numbers, delimiter=delimiter)
