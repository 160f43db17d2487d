"""How candidates become the inputs of a network: numbers to scale, categories to look up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ferrec.data.candidates import Candidates
from ferrec.data.ids import Ids
from ferrec.errors import DataError
from ferrec.rankers.base import LabeledPairs, RankerState

IDS = ("user", "item")
"""What can be embedded without being a column: the query's user, and what is proposed."""

_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)

Batch = tuple[dict[str, NDArray[Any]], NDArray[np.float32], NDArray[np.float32]]
"""Inputs by name, labels, weights."""


@dataclass(frozen=True, eq=False)
class Inputs(RankerState):
    """What is learned about the columns before anything is learned from them."""

    numbers: tuple[str, ...]
    """The columns that are scaled."""
    ids: tuple[str, ...]
    """Which of the two ids are embedded."""
    categories: tuple[str, ...]
    """The columns that are embedded."""
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    """One over the standard deviation."""
    marked: NDArray[np.int32]
    """The numbers that were missing somewhere: for them "missing" is an input of its own."""
    lookups: tuple[NDArray[np.int32], ...]
    """Of each id and category: the row of its embedding for every code; 0 for what is unknown or rare."""
    items: Ids
    """The catalog, where items are embedded; else nothing."""

    @classmethod
    def of(
        cls,
        candidates: Candidates,
        ids: Sequence[str],
        categories: Sequence[str],
        age: str | None,
        buckets: int,
        min_count: int,
    ) -> Self:
        """Of the training pairs.

        Raises
        ------
        DataError
            `age` is no column of numbers, a category is no whole number, or there is nothing
            to learn from.
        """
        numbers = tuple(name for name in candidates.columns if name not in categories)
        if age is not None and age not in numbers:
            there = ", ".join(map(repr, numbers)) or "none"
            raise DataError("age", f"{age!r} is no column of numbers", advice=f"there are {there}")
        if not (numbers or ids or categories):
            raise DataError("candidates", "have no columns, and no ids are embedded: nothing to learn from")
        columns = [candidates.columns[name] for name in numbers]
        moments = list(map(_moments, columns))
        return cls(
            columns=tuple(name for name in candidates.columns if name != age),
            numbers=numbers,
            ids=tuple(ids),
            categories=tuple(categories),
            mean=np.array([mean for mean, _ in moments], np.float32),
            scale=np.array([1 / deviation for _, deviation in moments], np.float32),
            marked=np.flatnonzero([np.isnan(column).any() for column in columns]).astype(np.int32),
            lookups=tuple(
                _lookup(codes, buckets, min_count)
                for codes in (
                    *(_ids(name, candidates) for name in ids),
                    *(_whole(name, candidates.columns[name]) for name in categories),
                )
            ),
            items=candidates.items if "item" in ids else Ids.from_values([]),
        )

    def check_items(self, candidates: Candidates) -> None:
        """Refuse another catalog: the codes of the items would mean other items."""
        if "item" in self.ids and candidates.items is not self.items and candidates.items != self.items:
            raise DataError(
                "candidates", "their items are not those of fit, and the ranker knows items by their ids"
            )

    def read_numbers(self, candidates: Candidates) -> list[NDArray[np.float32]]:
        """The columns to scale, not copied. The age of an example, which is not there at scoring, is 0."""
        now = np.zeros(len(candidates), np.float32)
        return [np.ascontiguousarray(candidates.columns.get(name, now)) for name in self.numbers]

    def read_codes(self, candidates: Candidates) -> list[NDArray[np.int32]]:
        """The codes of ids and categories; -1 where there is none."""
        categories = (_codes(candidates.columns[name]) for name in self.categories)
        return [*(_ids(name, candidates) for name in self.ids), *categories]

    def batches(self, pairs: LabeledPairs, groups: NDArray[np.int64], size: int) -> Iterator[Batch]:
        """The pairs of `groups` in the network's form, `size` groups at a time: only these are ever copied."""
        numbers = self.read_numbers(pairs.candidates)
        codes = self.read_codes(pairs.candidates)
        for start in range(0, len(groups), size):
            at = groups[start : start + size].ravel()
            inputs: dict[str, NDArray[Any]] = {}
            if numbers:
                inputs["columns"] = columns = np.empty((len(at), len(numbers)), np.float32)
                for number, column in enumerate(numbers):
                    columns[:, number] = column[at]
            if codes:
                inputs["rows"] = rows = np.empty((len(at), len(codes)), np.int32)
                for number, (categories, lookup) in enumerate(zip(codes, self.lookups, strict=True)):
                    rows[:, number] = _find(lookup, categories[at])
            weights = np.ones(len(at), np.float32) if pairs.weights is None else pairs.weights[at]
            yield inputs, pairs.labels[at], weights


def _moments(column: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation of what is not missing; 0 and 1 where there is nothing to tell."""
    known = column[~np.isnan(column)].astype(np.float64)
    if not len(known):
        return 0.0, 1.0
    mean, deviation = float(known.mean()), float(known.std())
    return mean, deviation if deviation > 1e-6 * abs(mean) and deviation > 1e-30 else 1.0


def _ids(name: str, candidates: Candidates) -> NDArray[np.int32]:
    """The item or the user of each pair; -1 for new users."""
    if name == "item":
        return candidates.codes
    users = candidates.queries.codes
    return np.full(len(candidates), -1, np.int32) if users is None else users[candidates.rows]


def _codes(column: NDArray[np.float32]) -> NDArray[np.int32]:
    """The values as codes; -1 for what is missing, and for what is no whole number from 0 on."""
    with np.errstate(invalid="ignore"):
        codes = column.astype(np.int32)
    codes[(codes != column) | (codes < 0)] = -1
    return codes


def _whole(name: str, column: NDArray[np.float32]) -> NDArray[np.int32]:
    """The codes of a category, which must be whole numbers or missing."""
    codes = _codes(column)
    wrong = np.flatnonzero((codes < 0) & ~np.isnan(column))
    if len(wrong) or codes.max(initial=0) >= 2**24:
        value = column[wrong[0]] if len(wrong) else column.max()
        raise DataError(
            "categories",
            f"{name!r} holds {value:g}",
            advice="expected whole numbers from 0 to 2^24, or NaN for none",
        )
    return codes


def _lookup(codes: NDArray[np.int32], buckets: int, min_count: int) -> NDArray[np.int32]:
    """Code to row: rare codes to row 0, the others to rows of their own, or to `buckets` rows by hash."""
    counts = np.bincount(codes[codes >= 0])
    kept = np.flatnonzero(counts >= min_count)
    lookup = np.zeros(len(counts), np.int32)
    if len(kept) <= buckets:
        lookup[kept] = np.arange(1, len(kept) + 1)
    else:  # the high bits of a product with an odd constant: Knuth's multiplicative hashing
        mixed = (kept.astype(np.uint64) * _MIX) >> np.uint64(32)
        lookup[kept] = 1 + (mixed % np.uint64(buckets)).astype(np.int32)
    return lookup


def _find(lookup: NDArray[np.int32], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    known = (codes >= 0) & (codes < len(lookup))
    rows = np.zeros(len(codes), np.int32)
    rows[known] = lookup[codes[known]]
    return rows
