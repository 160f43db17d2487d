"""The pairs that one stage hands to the next: a few hundred items for each query, and what is known of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import DataError
from ferrec.labels import Labels
from ferrec.queries import Queries


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items proposed to each query, with named columns about each pair.

    Frozen: a stage that knows more returns new candidates with more columns. Retrievers propose pairs, and then
    every scorer scores every pair, so that no column has holes.

    Attributes
    ----------
    queries : Queries
        Who asks.
    items : Labels
        The catalogue that `codes` points into.
    indptr : ndarray of int64, shape (len(queries) + 1,)
        The pairs of query i are ``indptr[i]`` to ``indptr[i + 1]``.
    codes : ndarray of int32, shape (len(self),)
        The proposed items, ascending and distinct within a query.
    columns : mapping of str to ndarray of float32, shape (len(self),)
        Scores and features. A category is a column of whole numbers below 2^24.

    Raises
    ------
    DataError
        The parts do not fit together.
    """

    queries: Queries
    items: Labels
    indptr: NDArray[np.int64]
    codes: NDArray[np.int32]
    columns: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit together; the order within rows is checked by `pairs`."""
        if self.indptr.shape != (len(self.queries) + 1,):
            raise DataError(
                f"indptr has shape {self.indptr.shape}, but there are {len(self.queries)} queries"
            )
        if self.indptr[0] != 0 or self.indptr[-1] != len(self.codes):
            raise DataError(f"indptr does not run from 0 to the {len(self.codes)} pairs")
        for name, column in self.columns.items():
            if column.shape != self.codes.shape or column.dtype != np.float32:
                raise DataError(
                    f"column {name!r} must be float32 of shape {self.codes.shape}, "
                    f"not {column.dtype} of shape {column.shape}"
                )

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.codes)

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """The query of each pair, as a position in `queries`."""
        return np.repeat(np.arange(len(self.queries), dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def pairs(self) -> _rust.Csr:
        """The pairs as a matrix of ones, queries × items: what a model scores."""
        ones = np.ones(len(self.codes), np.float32)
        return _rust.Csr(self.indptr, self.codes, ones, len(self.items), name="candidates")

    def with_columns(self, columns: Mapping[str, NDArray[np.float32]]) -> "Candidates":
        """The same pairs, knowing more.

        Parameters
        ----------
        columns : mapping of str to ndarray of float32, shape (len(self),)
            Added to those there are.

        Returns
        -------
        Candidates

        Raises
        ------
        ValueError
            A column of that name is there already.
        DataError
            A column has another shape or dtype.
        """
        twice = [name for name in columns if name in self.columns]
        if twice:
            raise ValueError(f"columns: {twice[0]!r} is there already")
        return Candidates(self.queries, self.items, self.indptr, self.codes, {**self.columns, **columns})

    def matrix(self, names: Sequence[str]) -> NDArray[np.float32]:
        """Some columns side by side.

        Parameters
        ----------
        names : sequence of str
            In the order wanted.

        Returns
        -------
        ndarray of float32, shape (len(self), len(names))

        Raises
        ------
        DataError
            A column is missing; says which, and which there are.
        """
        missing = [name for name in names if name not in self.columns]
        if missing:
            raise DataError(
                f"candidates have no column {', '.join(map(repr, missing))}; they have {', '.join(self.columns)}"
            )
        out = np.empty((len(self.codes), len(names)), np.float32)
        for at, name in enumerate(names):
            out[:, at] = self.columns[name]
        return out
