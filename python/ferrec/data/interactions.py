"""Interactions: the events of users with items, the only thing that a model is fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.attribute_tables import AttributeTable, attach
from ferrec.data.attributes import Columns
from ferrec.data.event_columns import Duplicates, EventColumns, check_duplicates
from ferrec.data.ids import Ids, factorize
from ferrec.data.queries import Queries
from ferrec.data.sequences import Sequences
from ferrec.errors import (
    DataError,
    DuplicateEventsError,
    ParameterError,
    ParameterTypeError,
    ShapeError,
    checks_keywords,
)
from ferrec.io.arrays import offsets_of, read_only, spread
from ferrec.io.files import open_csv, open_parquet
from ferrec.io.tables import PathLike, Table, open_table
from ferrec.io.times import iso
from ferrec.kernels.handles import as_csr, rows_of, to_scipy

__all__ = ["Duplicates", "Events", "Interactions"]


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """The raw events in the order given, as codes; all arrays are read-only and have one entry an event.

    Attributes
    ----------
    users, items : ndarray of int32
        Codes into the ids of the `Interactions`.
    weights : ndarray of float32 or None
        None where every event weighs 1.
    times : ndarray of int64 or None
        Nanoseconds since 1970 in UTC.
    ordered : bool
        Whether the order of the events means anything: that of the entries of a matrix does not.

    Examples
    --------
    >>> data = Interactions.from_arrays([7, 7, 5], ["tea", "milk", "tea"])
    >>> data.events.users, data.events.items
    (array([1, 1, 0], dtype=int32), array([1, 0, 1], dtype=int32))
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    weights: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | None = None
    ordered: bool = True

    def __post_init__(self) -> None:
        """Check that the arrays match, and view them read-only."""
        for name, dtype in (
            ("users", np.int32),
            ("items", np.int32),
            ("weights", np.float32),
            ("times", np.int64),
        ):
            array = getattr(self, name)
            if array is None and name in ("weights", "times"):
                continue
            if array.shape != (len(self.users),) or array.dtype != dtype:
                raise DataError(
                    f"events.{name}",
                    f"must be {dtype.__name__} of shape ({len(self.users)},)",
                    array,
                )
            object.__setattr__(self, name, read_only(array))

    def __len__(self) -> int:
        """The number of events."""
        return len(self.users)


class Interactions:
    """Who did what: events of users with items, and the users × items matrix that they add up to.

    Frozen. Ids of any integer or string type become codes on the way in; `users` and `items` map them back.
    Build it with `from_table`, `from_parquet`, `from_csv`, `from_arrays` or `from_csr`; the constructor takes
    what those make.

    Parameters
    ----------
    users, items : Ids
        The ids of the rows and of the columns. Some may have no event.
    events : Events
        The events as codes.
    duplicates : {"sum", "last", "max", "count", "error"}, default "sum"
        The weight of a pair that has several events: the sum of their weights, the weight of the latest
        (by time, or by position where times are equal or absent), the largest, or the number of events,
        whatever they weigh. ``"error"`` refuses such data.
    user_table, item_table : Columns, optional
        What else is known about each user and each item, in the order of the ids.

    Raises
    ------
    DataError
        The events or the tables do not fit the ids, or events repeat where `duplicates` is ``"error"``.
    ValueError
        `duplicates` is none of those named above.

    Examples
    --------
    >>> table = {"user_id": [7, 7, 5, 7], "item_id": ["tea", "milk", "tea", "tea"]}
    >>> data = Interactions.from_table(table)
    >>> data
    Interactions(2 users × 2 items, 4 events, 3 pairs)
    >>> data.matrix.toarray()
    array([[0., 1.],
           [1., 2.]], dtype=float32)
    >>> data.users.values, data.items.values
    (array([5, 7]), array(['milk', 'tea'], dtype=object))
    """

    __slots__ = (
        "_csr",
        "_duplicates",
        "_events",
        "_item_table",
        "_items",
        "_sequences",
        "_times",
        "_user_table",
        "_users",
    )

    _users: Ids
    _items: Ids
    _duplicates: Duplicates
    _csr: _rust.Csr
    _times: NDArray[np.int64] | None
    _events: Events | None  # None where the events are the entries of the matrix
    _sequences: Sequences | None  # None until they are asked for
    _user_table: Columns
    _item_table: Columns

    def __init__(
        self,
        users: Ids,
        items: Ids,
        events: Events,
        duplicates: Duplicates = "sum",
        user_table: Columns | None = None,
        item_table: Columns | None = None,
    ) -> None:
        kinds = (("users", users, Ids), ("items", items, Ids), ("events", events, Events))
        for name, value, kind in kinds:
            if not isinstance(value, kind):
                raise ParameterTypeError(name, f"expected {kind.__name__}", value)
        self._users, self._items, self._events, self._sequences = users, items, events, None
        self._duplicates = check_duplicates(duplicates)
        self._user_table = _check_table(user_table, users, "user_table")
        self._item_table = _check_table(item_table, items, "item_table")
        try:
            indptr, indices, weights, times = _rust.build_csr(
                events.users,
                events.items,
                None if duplicates == "count" else events.weights,
                events.times,
                len(users),
                len(items),
                duplicates,
            )
        except DuplicateEventsError as error:
            # The kernel knows codes, the caller ids.
            user, item = users.decode([error.user]).tolist()[0], items.decode([error.item]).tolist()[0]
            raise DuplicateEventsError(error.count, user, item) from None
        self._csr = _rust.Csr(indptr, indices, weights, len(items), name="events")
        self._times = None if times is None else read_only(times)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the events, and build the matrix anew: its handle belongs to one process."""
        parts = (self._users, self._items, self.events, self._duplicates, self._user_table, self._item_table)
        return (Interactions, parts)

    @classmethod
    @checks_keywords
    def from_table(
        cls,
        source: object,
        *,
        user: str = "user_id",
        item: str = "item_id",
        rating: str | None = None,
        time: str | None = None,
        event_type: str | None = None,
        event_weights: Mapping[Any, float] | None = None,
        duplicates: Duplicates = "sum",
    ) -> "Interactions":
        """Read a table with one event a row.

        Parameters
        ----------
        source : table, shape (n_events, ≥ 2)
            A pandas, polars or pyarrow table, any other that narwhals understands, a structured NumPy array,
            or a dictionary of columns. Rows may come in any order. Not changed.
        user, item : str
            The columns of ids: integers of any width, or strings (categories too).
        rating : str, optional
            A column of weights: any numbers, kept as float32. Without `rating` and `event_type` each event
            weighs 1, so that ``duplicates="sum"`` counts.
        time : str, optional
            A column of times: unix seconds, or dates or datetimes of any unit and zone; those without a zone
            are read as UTC. Kept to the nanosecond; fractions of seconds as exactly as float64 holds them.
        event_type : str, optional
            A column of event types, weighed by `event_weights`. Not together with `rating`.
        event_weights : mapping of event type to float, optional
            The weight of each type, for example ``{"view": 1, "buy": 5}``. Must name every type that occurs.
        duplicates : {"sum", "last", "max", "count", "error"}, default "sum"
            How the events of one user with one item become one weight: see `Interactions`.

        Returns
        -------
        Interactions

        Raises
        ------
        DataError
            A column is missing, or holds nulls, numbers that are not finite, negative times, types that
            cannot be read, or event types without a weight. The message names the column, how many rows and
            the first (rows count from 0). Also repeated pairs where `duplicates` is ``"error"``.
        MissingExtraError
            The table needs narwhals, which is not installed.

        Examples
        --------
        >>> table = {"who": ["ann", "bob", "ann"], "what": [1, 1, 2], "did": ["view", "buy", "view"]}
        >>> data = Interactions.from_table(
        ...     table, user="who", item="what", event_type="did", event_weights={"view": 1, "buy": 5}
        ... )
        >>> data.matrix.toarray()
        array([[1., 1.],
               [5., 0.]], dtype=float32)
        >>> Interactions.from_table(table, item="what")
        Traceback (most recent call last):
        ferrec.errors.DataError: column 'user_id': is not in the table; its columns are 'who', 'what', 'did'
        """
        columns = EventColumns(user, item, rating, time, event_type, event_weights, duplicates).weighed()
        return cls._read(columns, open_table(source, columns.needed))

    @classmethod
    @checks_keywords
    def from_parquet(
        cls,
        source: PathLike,
        *,
        user: str = "user_id",
        item: str = "item_id",
        rating: str | None = None,
        time: str | None = None,
        event_type: str | None = None,
        event_weights: Mapping[Any, float] | None = None,
        duplicates: Duplicates = "sum",
    ) -> "Interactions":
        """Read Parquet, only the columns that are named.

        Parameters
        ----------
        source : str or path
            A file, a folder (all ``.parquet``, ``.parq`` and ``.pq`` files in it and below it, in the order
            of their names; hive partitions become columns), or a pattern such as ``"events/2024-*.parquet"``.
        user, item, rating, time, event_type, event_weights, duplicates
            As in `from_table`.

        Returns
        -------
        Interactions

        Raises
        ------
        FileNotFoundError
            Nothing is there.
        DataError
            A file is not Parquet or the files do not fit together, the folder holds none, or as in
            `from_table`.
        MissingExtraError
            pyarrow is not installed.

        Examples
        --------
        >>> import pyarrow, pyarrow.parquet, tempfile
        >>> table = pyarrow.table({"user_id": [7, 7, 5], "item_id": ["tea", "milk", "tea"]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pyarrow.parquet.write_table(table, f"{folder}/events.parquet")
        ...     Interactions.from_parquet(folder)
        Interactions(2 users × 2 items, 3 events, 3 pairs)
        """
        columns = EventColumns(user, item, rating, time, event_type, event_weights, duplicates).weighed()
        return cls._read(columns, open_parquet(source))

    @classmethod
    @checks_keywords
    def from_csv(
        cls,
        source: PathLike,
        *,
        user: str = "user_id",
        item: str = "item_id",
        rating: str | None = None,
        time: str | None = None,
        event_type: str | None = None,
        event_weights: Mapping[Any, float] | None = None,
        duplicates: Duplicates = "sum",
        delimiter: str = ",",
    ) -> "Interactions":
        r"""Read CSV with a header line.

        An id column whose every value is an integer as Python writes it becomes integers; any other stays
        text, so that ``007`` and ``7`` remain two ids. So do event types. An empty field is null.

        Parameters
        ----------
        source : str or path
            A file (``.gz`` too), a folder of ``.csv`` or ``.tsv`` files, or a pattern.
        user, item, rating, time, event_type, event_weights, duplicates
            As in `from_table`. Times may be unix seconds or ISO 8601.
        delimiter : str, default ","
            The character between fields.

        Returns
        -------
        Interactions

        Raises
        ------
        FileNotFoundError
            Nothing is there.
        DataError
            A file is not CSV of that form, the folder holds none, or as in `from_table`.
        MissingExtraError
            pyarrow is not installed.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "events.csv")
        ...     _ = file.write_text("user_id,item_id,day\n7,tea,2024-01-01\n5,tea,2024-01-02\n")
        ...     data = Interactions.from_csv(file, time="day")
        >>> data.times.astype("datetime64[ns]").astype("datetime64[D]")
        array(['2024-01-02', '2024-01-01'], dtype='datetime64[D]')
        """
        columns = EventColumns(user, item, rating, time, event_type, event_weights, duplicates).weighed()
        table = open_csv(source, ids=columns.ids, others=columns.numbers, delimiter=delimiter)
        return cls._read(columns, table)

    @classmethod
    @checks_keywords
    def from_arrays(
        cls,
        users: object,
        items: object,
        ratings: object = None,
        times: object = None,
        *,
        duplicates: Duplicates = "sum",
    ) -> "Interactions":
        """Take columns, one entry an event.

        Parameters
        ----------
        users, items : array-like, shape (n_events,)
            Ids: integers of any width, or strings. Lists, NumPy arrays, or columns of a table library.
        ratings : array-like of number, shape (n_events,), optional
            Weights, kept as float32. Without them each event weighs 1.
        times : array-like, shape (n_events,), optional
            Unix seconds or datetimes, as in `from_table`.
        duplicates : {"sum", "last", "max", "count", "error"}, default "sum"
            As in `from_table`.

        Returns
        -------
        Interactions

        Raises
        ------
        DataError
            The columns differ in length, or as in `from_table`.

        Examples
        --------
        >>> data = Interactions.from_arrays([3, 3, 1], [10, 10, 20], ratings=[4, 5, 1], duplicates="last")
        >>> data.matrix.toarray()
        array([[0., 1.],
               [5., 0.]], dtype=float32)
        """
        arrays = {"users": users, "items": items}
        arrays |= {} if ratings is None else {"ratings": ratings}
        arrays |= {} if times is None else {"times": times}
        columns = EventColumns(
            "users",
            "items",
            rating=None if ratings is None else "ratings",
            time=None if times is None else "times",
            duplicates=duplicates,
            prefix="",
        )
        return cls._read(columns, open_table(arrays, columns.needed))

    @classmethod
    def _read(cls, columns: EventColumns, table: Table) -> "Interactions":
        users, items, arrays = columns.read(table)
        return cls(users, items, Events(*arrays), columns.duplicates)

    @classmethod
    @checks_keywords
    def from_csr(
        cls, matrix: Any, *, user_ids: object | None = None, item_ids: object | None = None
    ) -> "Interactions":
        """Take a sparse matrix users × items; every stored entry is one event, zeros too.

        Parameters
        ----------
        matrix : scipy.sparse array or matrix, shape (n_users, n_items)
            Not changed. Repeated entries are summed. Values become float32. Where it is already canonical CSR
            of float32 and the ids are not given, its memory is shared: do not write to it later.
        user_ids : array-like, shape (n_users,), optional
            The id of each row, without repetitions: integers or strings. Default ``0 … n_users - 1``. Ids
            are sorted, so rows move where the ids are not.
        item_ids : array-like, shape (n_items,), optional
            The id of each column, likewise.

        Returns
        -------
        Interactions

        Raises
        ------
        TypeError
            The matrix is not scipy.sparse.
        DataError
            The matrix is malformed or has values that are not finite, or the ids repeat or do not match its
            shape.

        Examples
        --------
        >>> from scipy.sparse import csr_array
        >>> data = Interactions.from_csr(csr_array([[0, 2], [1, 0]]), user_ids=["bob", "ann"])
        >>> data.users.values
        array(['ann', 'bob'], dtype=object)
        >>> data.matrix.toarray()
        array([[1., 0.],
               [0., 2.]], dtype=float32)
        """
        handle = _handle(matrix)
        n_users, n_items = handle.shape
        users, user_codes = _axis_ids(user_ids, n_users, "user_ids")
        items, item_codes = _axis_ids(item_ids, n_items, "item_ids")
        if user_codes is not None or item_codes is not None:
            # The ids are sorted, so rows or columns move to their id's place.
            events = _entries(handle)
            return cls(
                users,
                items,
                Events(
                    events.users if user_codes is None else user_codes[events.users],
                    events.items if item_codes is None else item_codes[events.items],
                    events.weights,
                    ordered=False,
                ),
            )
        data = cls.__new__(cls)
        data._users, data._items, data._duplicates = users, items, "sum"
        data._csr, data._times, data._events, data._sequences = handle, None, None, None
        data._user_table, data._item_table = Columns(n_users), Columns(n_items)
        return data

    @checks_keywords
    def with_items(
        self,
        source: object,
        *,
        item: str = "item_id",
        columns: Sequence[str] | None = None,
        categories: Sequence[str] = (),
        separators: Mapping[str, str] | None = None,
        extend: bool = True,
        delimiter: str = ",",
    ) -> "Interactions":
        """The same events, knowing more about the items.

        Numbers, truth values and dates (unix seconds) become `Numbers`; strings become `Categories`; columns of
        lists become `Lists`. What is missing stays missing: NaN, or a mark of its own.

        Parameters
        ----------
        source : table or path
            One row for each item, in any order: a pandas, polars or pyarrow table, any other that narwhals
            understands, a structured NumPy array, or a dictionary of columns; or the path of CSV (``.csv``,
            ``.tsv``, ``.gz`` too) or Parquet, as in `from_csv` and `from_parquet`.
        item : str, default "item_id"
            The column of item ids.
        columns : list of str, optional
            The columns to keep; by default all.
        categories : list of str, optional
            Columns of integers that are names, not quantities.
        separators : mapping of str to str, optional
            Columns of text that are lists, with what stands between their values, as ``{"genres": "|"}``.
        extend : bool, default True
            Items of the table that have no event become items without events, which models that look at
            content can recommend. The ids grow and stay sorted, so that codes may change. With False such
            rows are left out.
        delimiter : str, default ","
            The character between the fields of CSV.

        Returns
        -------
        Interactions
            With `item_table`; in an item that has no row every value is missing.

        Raises
        ------
        FileNotFoundError
            Nothing is at the path.
        DataError
            Ids are null, repeat, or are strings where those of the events are integers (or the reverse); a column
            is not in the table, is known already, or holds what no attribute can; the file cannot be read.
        MissingExtraError
            The table needs narwhals or pyarrow, which is not installed.

        Examples
        --------
        >>> data = Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
        >>> items = {"item_id": ["tea", "cocoa"], "price": [3.5, 4.0], "tags": ["hot|green", "hot|sweet"]}
        >>> data = data.with_items(items, separators={"tags": "|"})
        >>> data
        Interactions(2 users × 3 items, 3 events, 3 pairs, items with price, tags)
        >>> data.item_table["tags"].tolist()
        [['hot', 'sweet'], None, ['hot', 'green']]
        """
        table = AttributeTable(source, item, columns, categories, separators or {}, delimiter)
        ids, moved, known = attach(self._items, self._item_table, table, extend)
        return self._extended(self._users, None, self._user_table, ids, moved, known)

    @checks_keywords
    def with_users(
        self,
        source: object,
        *,
        user: str = "user_id",
        columns: Sequence[str] | None = None,
        categories: Sequence[str] = (),
        separators: Mapping[str, str] | None = None,
        extend: bool = True,
        delimiter: str = ",",
    ) -> "Interactions":
        """The same events, knowing more about the users; everything as in `with_items`.

        Parameters
        ----------
        source : table or path
            One row for each user.
        user : str, default "user_id"
            The column of user ids.
        columns, categories, separators, extend, delimiter
            As in `with_items`.

        Returns
        -------
        Interactions
            With `user_table`; in a user who has no row every value is missing.

        Raises
        ------
        FileNotFoundError, DataError, MissingExtraError
            As in `with_items`.

        Examples
        --------
        >>> data = Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
        >>> data.with_users({"user_id": [2, 7], "country": ["DE", "FR"]}).user_table["country"].tolist()
        [None, 'DE', 'FR']
        """
        table = AttributeTable(source, user, columns, categories, separators or {}, delimiter)
        ids, moved, known = attach(self._users, self._user_table, table, extend)
        return self._extended(ids, moved, known, self._items, None, self._item_table)

    def _extended(
        self,
        users: Ids,
        user_at: NDArray[np.int32] | None,
        user_table: Columns,
        items: Ids,
        item_at: NDArray[np.int32] | None,
        item_table: Columns,
    ) -> "Interactions":
        """With these ids and tables; `user_at` and `item_at` are the new codes of the old, ascending."""
        data = Interactions.__new__(Interactions)
        data._users, data._items, data._duplicates = users, items, self._duplicates
        data._user_table, data._item_table = user_table, item_table
        data._csr, data._times, data._events = self._csr, self._times, self._events
        data._sequences = None
        if user_at is None and item_at is None:
            return data
        # Codes keep their order, so that the matrix keeps its entries.
        indptr, indices, values = self._csr.parts()
        if user_at is not None:
            lengths = np.zeros(len(users), np.int64)
            lengths[user_at] = np.diff(indptr)
            indptr = offsets_of(lengths)
        if item_at is not None:
            indices = item_at[indices]
        data._csr = _rust.Csr(indptr, indices, values, len(items), name="events")
        if self._events is not None:
            data._events = replace(
                self._events,
                users=self._events.users if user_at is None else user_at[self._events.users],
                items=self._events.items if item_at is None else item_at[self._events.items],
            )
        return data

    @property
    def users(self) -> Ids:
        """The ids of the rows."""
        return self._users

    @property
    def items(self) -> Ids:
        """The ids of the columns."""
        return self._items

    @property
    def user_table(self) -> Columns:
        """What else is known about the users, aligned with `users`; without columns where nothing is."""
        return self._user_table

    @property
    def item_table(self) -> Columns:
        """What else is known about the items, aligned with `items`; without columns where nothing is."""
        return self._item_table

    @property
    def events(self) -> Events:
        """The raw events in the order given, for splits and for models that look at time.

        Examples
        --------
        >>> Interactions.from_arrays(["b", "a"], [1, 1]).events.users
        array([1, 0], dtype=int32)
        """
        return _entries(self._csr) if self._events is None else self._events

    @property
    def duplicates(self) -> Duplicates:
        """How several events of one pair became one weight."""
        return self._duplicates

    @property
    def csr(self) -> _rust.Csr:
        """The handle of the matrix that the kernels take."""
        return self._csr

    @property
    def matrix(self) -> "scipy.sparse.csr_array[np.float32]":
        """The weights, users × items: a SciPy CSR view of float32 whose arrays are read-only.

        Rows are sorted and hold no column twice. Each call wraps the same memory anew.

        Examples
        --------
        >>> Interactions.from_arrays([1, 1, 2], [5, 5, 6]).matrix.toarray()
        array([[2., 0.],
               [0., 1.]], dtype=float32)
        """
        matrix = to_scipy(self._csr)
        # Known, and to find out SciPy would have to look.
        matrix.has_sorted_indices = True
        matrix.has_canonical_format = True
        for array in (matrix.indptr, matrix.indices, matrix.data):
            array.flags.writeable = False
        return matrix

    @property
    def times(self) -> NDArray[np.int64] | None:
        """The latest time of each pair in nanoseconds since 1970, aligned with ``matrix.data``; None without times.

        Examples
        --------
        >>> Interactions.from_arrays([1, 1], [5, 5], times=[100, 200]).times
        array([200000000000])
        """
        return self._times

    @property
    def sequences(self) -> Sequences:
        """The items of each user in the order of the events, oldest first, repeats kept.

        Events are ordered by time; those at the same time, and events without times, keep the order in which they
        were given. Built at the first use, and kept.

        Raises
        ------
        DataError
            The data is made of a matrix (`from_csr`), which has no order.

        Examples
        --------
        >>> data = Interactions.from_arrays([1, 1, 1], ["tea", "jam", "tea"], times=[30, 10, 20])
        >>> data.items.decode(data.sequences.row(0))
        array(['jam', 'tea', 'tea'], dtype=object)
        """
        if self._sequences is None:
            events = self.events
            if not events.ordered:
                raise DataError(
                    "sequences",
                    "data made of a matrix has no order",
                    advice="build it with from_table, from_parquet, from_csv or from_arrays",
                )
            self._sequences = Sequences.from_events(
                events.users, events.items, events.times, n_users=self.n_users, n_items=self.n_items
            )
        return self._sequences

    @checks_keywords
    def queries(self, codes: NDArray[np.int32] | None = None) -> Queries:
        """The users as queries, with what they have done in this data: what models and features are asked with.

        Parameters
        ----------
        codes : ndarray of int32, shape (n,), optional
            Some users, in that order. By default all.

        Returns
        -------
        Queries

        Examples
        --------
        >>> data = Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
        >>> data.queries(np.array([1], np.int32)).ids
        array([2])
        """
        if codes is None:
            everybody = np.arange(self.n_users, dtype=np.int32)
            return Queries(self._users.values, self._csr, everybody, lambda: self.sequences)
        return Queries(
            self._users.decode(codes),
            lambda: rows_of(self._csr, codes),
            codes,
            lambda: self.sequences.take(codes),
        )

    @property
    def n_users(self) -> int:
        """The number of rows."""
        return len(self._users)

    @property
    def n_items(self) -> int:
        """The number of columns."""
        return len(self._items)

    @property
    def nnz(self) -> int:
        """The number of pairs of a user and an item that have an event."""
        return self._csr.nnz

    def __len__(self) -> int:
        """The number of events."""
        return self.nnz if self._events is None else len(self._events)

    def __repr__(self) -> str:
        """The shape, the number of events and pairs, the range of times, and the tables' columns."""
        parts = [
            f"{self.n_users:,} users × {self.n_items:,} items",
            f"{len(self):,} events",
            f"{self.nnz:,} pairs",
        ]
        period = self._time_range()
        if period is not None:
            parts.append(" to ".join(moment[:10] for moment in period))
        for name, table in (("users", self._user_table), ("items", self._item_table)):
            if table:
                parts.append(f"{name} with {', '.join(table)}")
        return f"Interactions({', '.join(parts)})"

    @checks_keywords
    def select(self, event_mask: NDArray[np.bool_]) -> "Interactions":
        """Some of the events, with the same ids and tables: row i and column j mean the same in both.

        Parameters
        ----------
        event_mask : ndarray of bool, shape (len(self),)
            The events to keep, in the order of `events`.

        Returns
        -------
        Interactions
            Users and items may be left without an event.

        Raises
        ------
        ValueError
            The mask is not boolean, or not of that shape.

        Examples
        --------
        >>> data = Interactions.from_arrays([1, 1, 2], [5, 6, 6])
        >>> data.select(data.events.users == 0)
        Interactions(2 users × 2 items, 2 events, 2 pairs)
        """
        mask = np.asarray(event_mask)
        if mask.dtype != np.bool_ or mask.shape != (len(self),):
            raise ParameterError("event_mask", f"must be bool of shape ({len(self)},)", mask)
        events = self.events
        return Interactions(
            self._users,
            self._items,
            Events(
                events.users[mask],
                events.items[mask],
                None if events.weights is None else events.weights[mask],
                None if events.times is None else events.times[mask],
                events.ordered,
            ),
            self._duplicates,
            self._user_table,
            self._item_table,
        )

    def summary(self) -> dict[str, Any]:
        """What is in the data, in plain Python values that go into JSON.

        Returns
        -------
        dict
            ``users``, ``items``, ``events``, ``pairs``: counts. ``density``: the share of cells in use.
            ``duplicate_share``: the share of events beyond the first of their pair. ``events_per_user`` and
            ``events_per_item``: min, quartiles, max and mean (None where there is nobody).
            ``weight_range``: the least and the largest entry of the matrix, or None. ``time_range``: the
            first and the last time in ISO 8601, or None.

        Examples
        --------
        >>> info = Interactions.from_arrays([1, 1, 2], [5, 5, 6], times=[0, 60, 120]).summary()
        >>> info["pairs"], info["density"], info["events_per_user"]["max"], info["weight_range"]
        (2, 0.5, 2.0, [1.0, 2.0])
        >>> info["time_range"]
        ['1970-01-01T00:00:00Z', '1970-01-01T00:02:00Z']
        """
        cells, events = self.n_users * self.n_items, self.events
        weights = self._csr.parts()[2]
        return {
            "users": self.n_users,
            "items": self.n_items,
            "events": len(self),
            "pairs": self.nnz,
            "density": self.nnz / cells if cells else 0.0,
            "duplicate_share": 1 - self.nnz / len(self) if len(self) else 0.0,
            "events_per_user": spread(np.bincount(events.users, minlength=self.n_users)),
            "events_per_item": spread(np.bincount(events.items, minlength=self.n_items)),
            "weight_range": [float(weights.min()), float(weights.max())] if len(weights) else None,
            "time_range": self._time_range(),
        }

    def _time_range(self) -> list[str] | None:
        times = None if self._events is None else self._events.times
        if times is None or not len(times):
            return None
        return [iso(int(times.min())), iso(int(times.max()))]


def _check_table(table: Columns | None, ids: Ids, name: str) -> Columns:
    if table is None:
        return Columns(len(ids))
    if table.n_rows != len(ids):
        raise ShapeError(name, f"must have {len(ids):,} rows, one for each id", table.n_rows)
    return table


def _handle(matrix: Any) -> _rust.Csr:
    """The checked matrix, sharing memory where it can."""
    if not scipy.sparse.issparse(matrix):
        raise ParameterTypeError("matrix", "expected a SciPy sparse matrix, users × items", type(matrix))
    matrix = cast(Any, matrix)  # scipy-stubs narrows to a base class without methods
    # Converting costs once here, so the kernels' warning about it would not help.
    return as_csr(matrix.tocsr() if len(matrix.shape) == 2 else matrix, "matrix")


def _entries(handle: _rust.Csr) -> Events:
    """The entries of a matrix as events."""
    indptr, indices, values = handle.parts()
    rows = np.repeat(np.arange(handle.shape[0], dtype=np.int32), np.diff(indptr))
    return Events(rows, indices, values, ordered=False)


def _axis_ids(ids: object | None, n: int, name: str) -> tuple[Ids, NDArray[np.int32] | None]:
    """The ids of an axis, and the code of each position where that is not the position itself."""
    if ids is None:
        return Ids(np.arange(n, dtype=np.int64)), None
    codes, axis = factorize(ids, name)
    if len(codes) != n:
        raise ShapeError(name, f"must have {n:,} ids like the matrix", len(codes))
    if len(axis) != n:
        first_at = np.unique(codes, return_index=True)[1]
        again = int(np.setdiff1d(np.arange(n), first_at)[0])
        key = axis.decode([codes[again]]).tolist()[0]
        raise DataError(name, f"{n - len(axis):,} ids repeat an earlier one, the first {key!r}")
    moved = bool((codes != np.arange(n)).any())
    return axis, codes if moved else None


def check_interactions(name: str, value: object) -> None:
    """Refuse what is no `Interactions`; the error names the argument."""
    if not isinstance(value, Interactions):
        raise ParameterTypeError(name, "expected Interactions", value)
