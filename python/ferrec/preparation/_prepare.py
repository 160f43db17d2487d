"""`Prepare`: raw events to clean ones, the same way on all data."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, Self, cast

from ferrec.data.interactions import Duplicates, Interactions
from ferrec.errors import require
from ferrec.io.files import parquet_writer
from ferrec.io.progress import bar
from ferrec.io.tables import PathLike, as_path
from ferrec.kernels.arguments import Duration, Progress
from ferrec.models.estimator import Estimator
from ferrec.preparation import _files
from ferrec.preparation._report import Report
from ferrec.preparation._steps import Applier, Decisions, PrepareState, follow, learn
from ferrec.preparation.frames import Frame, ParquetSource, Scalar, is_path, open_frame
from ferrec.preparation.settings import WEIGHT, Dedup, Method, Settings

BATCH = 1 << 17
"""Rows that are in memory with all their columns."""


class Prepare(Estimator[PrepareState]):
    """Cleans events: learns from one table what is unusual and what is too sparse, and treats all data alike.

    Every step but the check of the columns is off unless it is asked for. They come in this order:

    1. **schema**: the columns exist, once; ids are integers or strings (floats that are all whole, as pandas
       makes them of integers with gaps, become integers), times are unix seconds or dates, numbers are finite.
    2. **missing**: `missing`, column by column.
    3. **events**: types of events whose weight is None go.
    4. **dedup**: repeats go.
    5. **activity**: users with unusually few or many events go.
    6. **k-core**: users and items with too few partners go.
    7. **normalize**: columns of numbers are scaled.
    8. **weight**: a column ``weight`` is made of `event_weights`, `weight_by` and `half_life`.
    9. **sessions**: a column ``session_id`` is made.

    `fit` learns what 2 and 5 to 8 need; `transform` uses it on any table. Applied to the table of the fit it gives
    the same as `fit_transform`.

    Parameters
    ----------
    user, item : str
        The columns of ids.
    time : str, optional
        The column of times, read as in `Interactions.from_table`.
    event_type : str, optional
        The column of event types.
    missing : mapping of column to policy, optional
        What happens where a value is null or NaN: ``"drop"`` leaves the row out, ``"error"`` refuses the table,
        ``"mean"``, ``"median"`` and ``"mode"`` fill in that statistic of the rows of the fit, and any other
        value is filled in itself. Default: ``"drop"`` for ids, times and event types (ids and times can't be
        filled), ``"error"`` for columns that another step computes with; other columns are left alone.
    dedup : {"exact", "first", "last"}, optional
        ``"exact"`` leaves out rows whose user, item, time and event type (those that are named) are those of an
        earlier row. ``"first"`` and ``"last"`` leave one row of each pair of a user and an item: the earliest or
        the latest, by time and then by position.
    activity : (float, float), optional
        Quantiles of the number of events a user, such as ``(0.0, 0.999)`` against robots: users below the first
        or above the second go.
    k_core : int or (int, int), optional
        Every user keeps at least so many different items, and every item so many users (the second number).
    event_weights : mapping of event type to float or None, optional
        The weight of each type, such as ``{"view": 1, "cart": 3, "purchase": 5}``; None leaves the type out. Must
        name every type that occurs.
    weight_by : str, optional
        A column of numbers (watch time, quantity) that multiplies the weight, after it is normalized.
    half_life : duration, optional
        Events weigh half for every so many seconds before the last event of the fit; later ones weigh more, on
        the same curve. Text such as ``"30d"`` has a unit: s, m, h, d or w.
    normalize : mapping of column to method, optional
        ``"zscore"`` (x − mean) / standard deviation; ``"minmax"`` from 0 to 1; ``"log1p"``; and
        ``"zscore_by_user"``, ``"minmax_by_user"``. Users who were not in the fit are scaled overall; where nothing
        varies all become 0. New data may leave the range of the fit. The column becomes float64.
    session_gap : duration, optional
        A user's new session begins after so many seconds without an event, as `half_life`.
    unknown : {"drop", "keep"}, default "drop"
        What activity and k-core do with ids that the fit has not seen.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow. Results do not depend on it.

    Examples
    --------
    >>> log = {
    ...     "user_id": ["ann", "ann", "ann", "bob", "bob", "cat", None],
    ...     "item_id": ["tea", "tea", "milk", "tea", "milk", "honey", "tea"],
    ...     "time": [100, 100, 5000, 300, 200, 400, 500],
    ...     "type": ["view", "view", "buy", "buy", "view", "view", "view"],
    ... }
    >>> weights = {"view": 1, "buy": 5}
    >>> prepare = Prepare(
    ...     time="time", event_type="type", dedup="exact", k_core=2, event_weights=weights, session_gap="1h"
    ... )
    >>> clean = prepare.fit_transform(log)
    >>> clean["weight"], clean["session_id"]
    (array([1., 5., 5., 1.]), array([0, 1, 2, 2]))
    >>> prepare.report
    step      rows      users      items
    read         7          3          3      the table
    missing      6  −1      3          3      user_id is missing
    dedup        5  −1      3          3      same user, item, time and event as an earlier row
    k-core       4  −1      2  −1      2  −1  users of fewer than 2 items, items of fewer than 2 users
    weight       4          2          2      the event's weight
    sessions     4          2          2      3 sessions, cut after 3,600 s without an event
    >>> prepare.interactions(log)
    Interactions(2 users × 2 items, 4 events, 4 pairs, 1970-01-01 to 1970-01-01)
    """

    state_type = PrepareState
    _fit_call = "fit(source)"

    def __init__(
        self,
        *,
        user: str = "user_id",
        item: str = "item_id",
        time: str | None = None,
        event_type: str | None = None,
        missing: Mapping[str, Scalar] | None = None,
        dedup: Dedup | None = None,
        activity: tuple[float, float] | None = None,
        k_core: int | tuple[int, int] | None = None,
        event_weights: Mapping[Any, float | None] | None = None,
        weight_by: str | None = None,
        half_life: Duration | None = None,
        normalize: Mapping[str, Method] | None = None,
        session_gap: Duration | None = None,
        unknown: Literal["drop", "keep"] = "drop",
        n_threads: int | None = None,
    ) -> None:
        self.user = user
        self.item = item
        self.time = time
        self.event_type = event_type
        self.missing = missing
        self.dedup = dedup
        self.activity = activity
        self.k_core = k_core
        self.event_weights = event_weights
        self.weight_by = weight_by
        self.half_life = half_life
        self.normalize = normalize
        self.session_gap = session_gap
        self.unknown = unknown
        self.n_threads = n_threads

    def fit(self, source: object) -> Self:
        """Learn from a table what each step needs.

        Parameters
        ----------
        source : table or path, shape (n_events, ≥ 2)
            A pandas, polars or pyarrow table, any other that narwhals understands, a structured NumPy array, a
            dictionary of columns, or the path of Parquet files as in `Interactions.from_parquet`, which are read
            one column at a time. Not changed.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            A parameter makes no sense.
        DataError
            A column is missing, repeated, or cannot be read; something is missing where the policy is
            ``"error"``; an event type has no weight. The message names the column, how many rows and the first.
        MissingExtraError
            pyarrow or narwhals is not installed (extra ``parquet``).
        """
        self.adopt(learn(_open(source), self.get_params())[0])
        return self

    def transform(self, source: object) -> Any:
        """The rows that stay, in their order, with the columns that the steps set or make.

        Parameters
        ----------
        source : table or path
            As in `fit`, of the same columns and types.

        Returns
        -------
        table
            Of the kind given: pandas, polars, pyarrow; a dictionary of NumPy arrays of a dictionary; a pyarrow
            table of a path.

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            As `fit`; also where the ids are of another type than in the fit.
        """
        return self._transform(source)[0]

    def fit_transform(self, source: object) -> Any:
        """`fit` and `transform` of one table, in less time than both.

        Parameters
        ----------
        source : table or path
            As in `fit`.

        Returns
        -------
        table
            As from `transform`.

        Raises
        ------
        DataError, ValueError, TypeError
            As `fit`.
        """
        opened = _open(source)
        state, plan = learn(opened, self.get_params())
        self.adopt(state)
        return self._collect(opened, plan)

    def transform_parquet(self, source: PathLike, path: PathLike, *, progress: Progress = False) -> Report:
        """Parquet to Parquet, in memory that does not grow with the other columns.

        The columns that decide are read one at a time and kept as integers, 9 to 41 bytes a row; then all
        columns are read, transformed and written in batches. The file appears under its name when it is complete.

        Parameters
        ----------
        source : path
            A file, a folder or a pattern, as in `Interactions.from_parquet`.
        path : path
            The file to write or to replace; it may be the source.
        progress : bool or callable
            True draws a bar (extra ``progress``); a callable gets ``(rows done, rows)``.

        Returns
        -------
        Report
            What was removed from this source, and why.

        Raises
        ------
        NotFittedError, DataError, OSError
            As `transform`; the file cannot be written.

        Examples
        --------
        >>> import pyarrow, pyarrow.parquet, tempfile
        >>> table = pyarrow.table({"user_id": [1, 1, 2, 2, 3], "item_id": [7, 8, 7, 8, 9]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pyarrow.parquet.write_table(table, f"{folder}/raw.parquet")
        ...     prepare = Prepare(k_core=2).fit(f"{folder}/raw.parquet")
        ...     report = prepare.transform_parquet(f"{folder}/raw.parquet", f"{folder}/clean.parquet")
        ...     report.to_dict()["removed"], pyarrow.parquet.read_table(f"{folder}/clean.parquet").num_rows
        ({'rows': 1, 'users': 1, 'items': 1}, 4)
        """
        opened = ParquetSource.open(source)
        return self._write(opened, follow(opened, self.state), path, progress)

    def fit_transform_parquet(
        self, source: PathLike, path: PathLike, *, progress: Progress = False
    ) -> Report:
        """`fit` and `transform_parquet` of one source, in less time than both.

        Parameters
        ----------
        source, path, progress
            As in `transform_parquet`.

        Returns
        -------
        Report
            As `report`.

        Raises
        ------
        DataError, ValueError, TypeError, OSError
            As `fit` and `transform_parquet`.
        """
        opened = ParquetSource.open(source)
        state, plan = learn(opened, self.get_params())
        self.adopt(state)
        return self._write(opened, plan, path, progress)

    def interactions(self, source: object, *, duplicates: Duplicates = "sum") -> Interactions:
        """`transform` a table, and read the result as interactions, weighed by ``weight`` if that is made.

        Parameters
        ----------
        source : table or path
            As in `fit`.
        duplicates : {"sum", "last", "max", "count", "error"}, default "sum"
            As in `Interactions`.

        Returns
        -------
        Interactions

        Raises
        ------
        NotFittedError, DataError
            As `transform`.
        """
        settings = Settings.of(self.state.params)
        return Interactions.from_table(
            self._transform(source, settings.columns)[0],
            user=settings.events.user,
            item=settings.events.item,
            rating=WEIGHT if settings.weighs else None,
            time=settings.events.time,
            duplicates=duplicates,
        )

    @property
    def report(self) -> Report:
        """What was removed from the table of the fit, step by step, and why."""
        return self.state.report

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what was learned to a folder: `preparation.json` and arrays, no pickle; `load` reads it.

        To keep it with a model, save it below the model's folder after the model. A preparation that is there is
        replaced; any other folder or file is refused.

        Parameters
        ----------
        path : path
            A new folder, or one with an older preparation.

        Raises
        ------
        NotFittedError
            Before `fit`.
        FileExistsError
            Something that is no preparation is there.

        Examples
        --------
        >>> import tempfile
        >>> prepare = Prepare(k_core=1).fit({"user_id": [1, 2], "item_id": ["tea", "milk"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     prepare.save(f"{folder}/preparation")
        ...     Prepare.load(f"{folder}/preparation").transform({"user_id": [2, 3], "item_id": ["tea", "tea"]})
        {'user_id': array([2]), 'item_id': array(['tea'], dtype='<U3')}
        """
        _files.save(self.state, as_path("path", path))

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        source : path
            The folder.

        Returns
        -------
        Prepare
            Fitted.

        Raises
        ------
        FileNotFoundError
            There is no such folder.
        ModelFileError
            A file is missing, truncated, altered, or of a version that this one cannot read; says which.
        """
        state = _files.load(as_path("source", source))
        prepare = cls(**state.params)
        prepare.adopt(state)
        return prepare

    def _transform(self, source: object, columns: Sequence[str] | None = None) -> tuple[Any, Report]:
        opened = _open(source)
        plan = follow(opened, self.state)
        return self._collect(opened, plan, columns), plan.log.report

    def _collect(
        self, source: Frame | ParquetSource, plan: Decisions, columns: Sequence[str] | None = None
    ) -> Any:
        made = list(self._apply(source, plan, columns))
        if not isinstance(source, ParquetSource):
            return made[0]
        return require("pyarrow", "parquet").concat_tables(made)

    def _apply(
        self, source: Frame | ParquetSource, plan: Decisions, columns: Sequence[str] | None = None
    ) -> Iterator[Any]:
        state = self.state
        apply = Applier(Settings.of(state.params), state.scales, plan)
        if not isinstance(source, ParquetSource):
            yield apply(source.filled(state.fills), len(plan.log.alive))
            return
        for frame, n_rows in source.filled(state.fills).frames(BATCH, columns):
            yield apply(frame, n_rows)

    def _write(self, source: ParquetSource, plan: Decisions, path: PathLike, progress: Progress) -> Report:
        made = self._apply(source, plan)
        schema = next(made).schema
        done = 0
        with parquet_writer(path, schema) as writer, bar(progress, "prepare") as callback:
            for table in made:
                writer.write_table(table.cast(schema))
                done += table.num_rows
                if callback is not None:
                    callback(done, plan.log.report.steps[-1].rows)
        return plan.log.report


def _open(table: object) -> Frame | ParquetSource:
    return ParquetSource.open(cast(PathLike, table)) if is_path(table) else open_frame(table)
