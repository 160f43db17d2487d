"""What `fit` learned: a frozen state, whose fields say what their dimensions are."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Self,
    TypeAlias,
    get_type_hints,
)

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.data.sequences import Sequences
from ferrec.errors import ShapeError, UnsupportedError
from ferrec.kernels.handles import rows_of
from ferrec.storage.mapped import Mapped


class Sides(tuple[str, ...]):
    """Marks a field of a state with what its dimensions are: "users" or "items" each."""

    __slots__ = ()


class Rows(str):
    """Marks a flat field that has as many values for each of the "users" or "items"."""

    __slots__ = ()


UserItem: TypeAlias = Annotated[_rust.Csr, Sides(("users", "items"))]


UserSequences: TypeAlias = Annotated[Sequences, Sides(("users", "items"))]


UserUser: TypeAlias = Annotated[_rust.Csr, Sides(("users", "users"))]


ItemItem: TypeAlias = Annotated[_rust.Csr, Sides(("items", "items"))]


PerUser: TypeAlias = Annotated[NDArray[np.float32], Sides(("users",))]


PerItem: TypeAlias = Annotated[NDArray[np.float32], Sides(("items",))]


UserRows: TypeAlias = Annotated[NDArray[np.float32], Rows("users")]


ItemRows: TypeAlias = Annotated[NDArray[np.float32], Rows("items")]


@dataclass(frozen=True, eq=False)
class State:
    """What `fit` learned; every model adds its own fields. Saved and loaded field by field.

    A subclass is a frozen dataclass, ``@dataclass(frozen=True, eq=False)``, whose fields have types that can be
    saved: see `ferrec.models`.

    Attributes
    ----------
    users, items : Ids
        Of the data: what codes stand for.
    seen : Csr, users × items
        The histories: what is excluded, and what queries of known users hold.

    See Also
    --------
    PerItem, PerUser, UserItem, ItemItem : types of fields that say what their dimensions are.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.models import PerItem
    >>> @dataclass(frozen=True, eq=False)
    ... class Prices(State):
    ...     prices: PerItem
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> Prices(data.users, data.items, data.csr, np.ones(3, np.float32))
    Traceback (most recent call last):
    ferrec.errors.ShapeError: prices: must have shape (2,), items, got (3,)
    """

    users: Ids
    items: Ids
    seen: UserItem

    def __post_init__(self) -> None:
        """Check that the fields fit together: a loaded file may say anything."""
        sizes = {side: self.shape_of(side)[0] for side in ("users", "items")}
        for name, mark in self._marks():
            got = self.shape_of(name)
            if isinstance(mark, Rows):
                if got[0] % max(sizes[mark], 1):
                    raise ShapeError(
                        name,
                        f"must have a multiple of {sizes[mark]} values, one row for each of the {mark}",
                        got[0],
                    )
                continue
            expected = tuple(sizes[side] for side in mark)
            if got != expected:
                raise ShapeError(name, f"must have shape {expected}, {' × '.join(mark)}", got)

    @classmethod
    def _marks(cls) -> Iterator[tuple[str, Sides | Rows]]:
        for name, hint in get_type_hints(cls, include_extras=True).items():
            for mark in getattr(hint, "__metadata__", ()):
                if isinstance(mark, Sides | Rows):
                    yield name, mark

    @classmethod
    def sides_of(cls, name: str) -> tuple[str, ...]:
        """What the dimensions of a field are, as far as it is marked.

        Parameters
        ----------
        name : str
            The field.

        Returns
        -------
        tuple of str
            "users" or "items" each.
        """
        marks = dict(cls._marks()) | {"users": Rows("users"), "items": Rows("items")}
        mark = marks.get(name, ())
        return (str(mark),) if isinstance(mark, Rows) else tuple(mark)

    @classmethod
    def stored(cls, fields: Mapping[str, Mapped], scalars: Mapping[str, Any]) -> Self:
        """A state whose fields are read from their files when they are first used.

        Parameters
        ----------
        fields : mapping of str to Mapped
            Those in files.
        scalars : mapping of str to value
            The others.

        Returns
        -------
        State
        """
        state = cls.__new__(cls)
        state.__dict__.update(scalars, _stored=dict(fields))
        state.__post_init__()
        return state

    if not TYPE_CHECKING:  # else any name would do

        def __getattr__(self, name: str) -> Any:
            """A field that is asked for the first time, from its file."""
            stored = self.__dict__.get("_stored", {})
            if name not in stored:
                raise AttributeError(f"{type(self).__name__} has no field {name!r}")
            value = self.__dict__[name] = stored[name].read()
            return value

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a field, or the length of ids; the field is not read for it.

        Parameters
        ----------
        name : str
            The field.

        Returns
        -------
        tuple of int
        """
        if name not in self.__dict__:
            shape: tuple[int, ...] = self.__dict__["_stored"][name].shape
            return shape
        value = getattr(self, name)
        return (len(value),) if isinstance(value, Ids) else tuple(value.shape)

    def history_lengths(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """How many entries some users' histories have, or their sequences where the state keeps them.

        Parameters
        ----------
        codes : ndarray of int32
            The users.

        Returns
        -------
        ndarray of int64
        """
        lengths, name = self._row_lengths("seen", codes), self.sequence_field()
        return lengths if name is None else np.maximum(lengths, self._row_lengths(name, codes))

    def _row_lengths(self, name: str, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        if name not in self.__dict__:
            stored: NDArray[np.int64] = self.__dict__["_stored"][name].row_lengths(codes)
            return stored
        field = self.__dict__[name]
        offsets: NDArray[np.int64] = field.offsets if isinstance(field, Sequences) else field.parts()[0]
        return offsets[codes + 1] - offsets[codes]

    def histories(self, codes: NDArray[np.int32] | None = None) -> _rust.Csr:
        """What some users have seen, in that order; of a loaded model the others' rows are not read.

        Parameters
        ----------
        codes : ndarray of int32, optional
            The users; by default all.

        Returns
        -------
        Csr, len(codes) × items
        """
        if codes is None:
            return self.seen
        if "seen" in self.__dict__:
            return rows_of(self.seen, codes)
        rows: _rust.Csr = self.__dict__["_stored"]["seen"].rows(np.ascontiguousarray(codes, dtype=np.int32))
        return rows

    @classmethod
    def sequence_field(cls) -> str | None:
        """The field in which the sequences of the users are kept: the one of the type `UserSequences`.

        Returns
        -------
        str or None
        """
        hints = get_type_hints(cls, include_extras=True)
        return next((name for name, hint in hints.items() if hint == UserSequences), None)

    def sequences_of(self, codes: NDArray[np.int32] | None = None) -> Sequences:
        """What some users have done, oldest first; of a loaded model the others' rows are not read.

        Parameters
        ----------
        codes : ndarray of int32, optional
            The users; by default all.

        Returns
        -------
        Sequences
            A row for each.

        Raises
        ------
        UnsupportedError
            The state keeps none.
        """
        name = self.sequence_field()
        if name is None:
            raise UnsupportedError(
                type(self).__name__,
                "keeps no sequences of the users that it was fitted on",
                advice="give its state a field of the type UserSequences",
            )
        if codes is None:
            everything: Sequences = getattr(self, name)
            return everything
        if name in self.__dict__:
            return self.__dict__[name].take(codes)  # type: ignore[no-any-return]
        rows: Sequences = self.__dict__["_stored"][name].rows(np.ascontiguousarray(codes, dtype=np.int32))
        return rows

    def queries(self, codes: NDArray[np.int32] | None = None) -> Queries:
        """Users of the fitted data as queries.

        Parameters
        ----------
        codes : ndarray of int32, optional
            The users; by default all.

        Returns
        -------
        Queries
            What they have done is read when it is asked for.
        """
        if codes is None:
            everybody = np.arange(len(self.users), dtype=np.int32)
            return Queries(self.users.values, self.histories, everybody, self.sequences_of)
        return Queries(
            self.users.decode(codes), lambda: self.histories(codes), codes, lambda: self.sequences_of(codes)
        )
