"""Queries: the users that are recommended to, and what each has done."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.data.sequences import Sequences, row_numbers
from ferrec.errors import DataError, ParameterTypeError, ShapeError
from ferrec.kernels.handles import rows_of

__all__ = ["Queries"]


class Queries:
    """The users that are recommended to, one a row, and what each has done.

    A user of the fitted data has a code; a new user is a row as well. `history` and `sequence` are made when they
    are first asked for, so that a model that does not look at the order of events does not pay for it.

    Parameters
    ----------
    ids : ndarray, shape (n,)
        The ids that the answers bear.
    history : _rust.Csr, or function that returns one
        Queries × items.
    codes : ndarray of int32, shape (n,), optional
        The users' codes in the fitted data; None for new users.
    sequence : Sequences, or function that returns them, optional
        The same events in their order. Without it `sequence` raises: a matrix has no order.

    Attributes
    ----------
    ids : ndarray, shape (n,)
        As given.
    codes : ndarray of int32 or None
        As given.
    history : _rust.Csr
        The weight of each item that each query has had events with, as a handle that the kernels take;
        `ferrec.models.to_scipy` views it as a SciPy matrix.
    sequence : Sequences
        The items of each query, oldest first, repeats kept.

    Raises
    ------
    ParameterTypeError
        An argument is nothing of the kind.
    ShapeError
        The arguments are not of as many queries.

    See Also
    --------
    State.queries : the users that a model was fitted on.
    Interactions.queries : the users of data.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> queries = data.queries()
    >>> queries.ids, list(queries.sequence)
    (array([1, 2]), [array([1, 0], dtype=int32), array([1], dtype=int32)])
    >>> queries.take(np.array([1])).history.shape
    (1, 2)
    """

    __slots__ = ("_history", "_sequence", "codes", "ids")

    ids: NDArray[Any]
    codes: NDArray[np.int32] | None

    def __init__(
        self,
        ids: NDArray[Any],
        history: _rust.Csr | Callable[[], _rust.Csr],
        codes: NDArray[np.int32] | None = None,
        sequence: Sequences | Callable[[], Sequences] | None = None,
    ) -> None:
        if not isinstance(ids, np.ndarray) or ids.ndim != 1:
            raise ParameterTypeError("ids", "expected a flat array", ids)
        if not isinstance(history, _rust.Csr) and not callable(history):
            raise ParameterTypeError("history", "expected a Csr, or a function that returns one", history)
        if codes is not None and (not isinstance(codes, np.ndarray) or codes.dtype != np.int32):
            raise ParameterTypeError("codes", "expected an array of int32", codes)
        if sequence is not None and not isinstance(sequence, Sequences) and not callable(sequence):
            raise ParameterTypeError(
                "sequence", "expected Sequences, or a function that returns them", sequence
            )
        shapes = {
            "history": history.shape[:1] if isinstance(history, _rust.Csr) else ids.shape,
            "codes": ids.shape if codes is None else codes.shape,
            "sequence": sequence.shape[:1] if isinstance(sequence, Sequences) else ids.shape,
        }
        for name, shape in shapes.items():
            if shape != ids.shape:
                raise ShapeError(name, f"must have {len(ids)} rows, one for each id", shape)
        self.ids, self.codes = ids, codes
        self._history, self._sequence = history, sequence

    @property
    def history(self) -> _rust.Csr:
        """What each query has done, queries × items."""
        if not isinstance(self._history, _rust.Csr):
            self._history = self._history()
        return self._history

    @property
    def sequence(self) -> Sequences:
        """What each query has done, oldest first."""
        if self._sequence is None:
            raise DataError(
                "history",
                "a matrix has no order, and this model needs one",
                advice="give lists of items, oldest first, or Interactions",
            )
        if not isinstance(self._sequence, Sequences):
            self._sequence = self._sequence()
        return self._sequence

    def __len__(self) -> int:
        """The number of queries."""
        return len(self.ids)

    def take(self, rows: ArrayLike) -> "Queries":
        """Some of the queries, in the order given, as often as they are given.

        Parameters
        ----------
        rows : array-like of int, shape (n,)
            Positions, from 0.

        Returns
        -------
        Queries

        Raises
        ------
        DataError
            There is no such row.

        Examples
        --------
        >>> import ferrec
        >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
        >>> data.queries().take(np.array([1, 0, 1])).ids
        array([2, 1, 2])
        """
        at = row_numbers(rows, len(self))
        return Queries(
            self.ids[at],
            lambda: rows_of(self.history, at),
            None if self.codes is None else self.codes[at],
            None if self._sequence is None else lambda: self.sequence.take(at),
        )

    def with_history(self, history: _rust.Csr) -> "Queries":
        """The same queries with another history, as a model sees them that weighs events its own way.

        Parameters
        ----------
        history : _rust.Csr
            Queries × items.

        Returns
        -------
        Queries
        """
        return Queries(self.ids, history, self.codes, self._sequence)
