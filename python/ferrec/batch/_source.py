"""Who is to be scored: every user of a model, or the rows of a table or of Parquet files, as blocks in order.

Where one block ends and the next begins follows from the rows alone, never from how they were read: a job that
goes on in the middle cuts the rest as it would have been cut.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec.batch.table import EXTRA, ArrowTable, Scorer, UserBlock, list_lengths
from ferrec.errors import DataError, ParameterError, ParameterTypeError, require
from ferrec.io.files import PARQUET, expand, is_hidden
from ferrec.io.locations import open_url

__all__ = ["Size", "Source", "open_source"]

Json: TypeAlias = dict[str, Any]

_ROWS_READ = 1024
"""Rows that are decoded at once: their histories may be long."""
_BUFFER = 1 << 20
_FOOTERS_AT_ONCE = 8


@dataclass(frozen=True)
class Size:
    rows: int
    entries: int


class Source(ABC):
    """Rows that can be read in blocks from any row on."""

    rows: int

    @abstractmethod
    def identity(self) -> Json:
        """What tells this source from another, in plain values."""

    @abstractmethod
    def blocks(self, start: int, size: Size) -> Iterator[UserBlock]:
        """The rows from `start` on."""

    @abstractmethod
    def empty(self) -> UserBlock:
        """A block without rows, of the same type."""


class _Users(Source):
    """Every user of the model."""

    def __init__(self, n_users: int) -> None:
        self.rows = n_users

    def identity(self) -> Json:
        return {"users of the model": self.rows}

    def blocks(self, start: int, size: Size) -> Iterator[UserBlock]:
        for at in range(start, self.rows, size.rows):
            yield np.arange(at, min(at + size.rows, self.rows), dtype=np.int32)

    def empty(self) -> UserBlock:
        return np.empty(0, np.int32)


class _Rows(Source):
    """The columns of a table that the scorer reads."""

    def __init__(self, scorer: Scorer) -> None:
        self._columns, self._history = scorer.options.columns, scorer.options.history

    @abstractmethod
    def _batches(self, start: int) -> Iterator[Any]:
        """Small record batches of the rows from `start` on."""

    def blocks(self, start: int, size: Size) -> Iterator[UserBlock]:
        pyarrow = require("pyarrow", EXTRA)
        group: list[Any] = []
        rows = entries = 0
        for batch in self._batches(start):
            ends = np.cumsum(self._lengths(batch))
            at = 0
            while at < batch.num_rows:
                before = int(ends[at - 1]) if at else 0
                fits = int(np.searchsorted(ends, before + size.entries - entries, side="right"))
                stop = min(fits, at + size.rows - rows, batch.num_rows)
                if stop <= at and group:
                    yield pyarrow.Table.from_batches(group)
                    group, rows, entries = [], 0, 0
                    continue
                stop = max(stop, at + 1)
                group.append(batch.slice(at, stop - at))
                rows, entries, at = rows + stop - at, entries + int(ends[stop - 1]) - before, stop
        if group:
            yield pyarrow.Table.from_batches(group)

    def _lengths(self, batch: Any) -> NDArray[np.int64]:
        if self._history is None:
            return np.zeros(batch.num_rows, np.int64)
        return list_lengths(batch.column(self._history), self._history)

    def _check(self, schema: Any) -> Any:
        for name in self._columns:
            if schema.names.count(name) != 1:
                listed = ", ".join(map(repr, schema.names)) or "none"
                raise DataError(
                    "source", f"column {name!r} must be there once", advice=f"the columns are {listed}"
                )
        pyarrow = require("pyarrow", EXTRA)
        return pyarrow.schema([schema.field(name) for name in self._columns])


class _InMemory(_Rows):
    """A table that is there already."""

    def __init__(self, table: ArrowTable, scorer: Scorer) -> None:
        super().__init__(scorer)
        self._check(table.schema)
        self._table = table.select(self._columns)
        self.rows = table.num_rows

    def identity(self) -> Json:
        pyarrow = require("pyarrow", EXTRA)
        digest = hashlib.sha256()
        for batch in self._batches(0):
            digest.update(batch.serialize())
        return {
            "rows": self.rows,
            "schema": str(pyarrow.schema(self._table.schema)),
            "sha256": digest.hexdigest(),
        }

    def _batches(self, start: int) -> Iterator[Any]:
        for at in range(start, self.rows, _ROWS_READ):
            yield from self._table.slice(at, _ROWS_READ).combine_chunks().to_batches()

    def empty(self) -> UserBlock:
        return self._table.schema.empty_table()


@dataclass(frozen=True)
class _File:
    """A Parquet file, as it was when the job began."""

    filesystem: Any
    path: str
    groups: tuple[int, ...]
    """The rows of each row group."""
    digest: str
    """Of the size and the footer, which holds sizes, offsets and statistics of every column of every row group."""


class _Files(_Rows):
    """Parquet files, one after another."""

    def __init__(self, places: list[tuple[Any, str]], scorer: Scorer) -> None:
        super().__init__(scorer)
        with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as threads:
            self._files = list(threads.map(_look, places))
        with _open(self._files[0]) as first:
            self._schema = self._check(first.schema_arrow)
        self.rows = sum(sum(file.groups) for file in self._files)

    def identity(self) -> Json:
        digest = hashlib.sha256("".join(file.digest for file in self._files).encode())
        return {"rows": self.rows, "files": len(self._files), "sha256": digest.hexdigest()}

    def empty(self) -> UserBlock:
        return self._schema.empty_table()

    def _batches(self, start: int) -> Iterator[Any]:
        for file in self._files:
            rows = sum(file.groups)
            if start < rows:
                yield from self._read(file, start)
            start = max(start - rows, 0)

    def _read(self, file: _File, start: int) -> Iterator[Any]:
        """The rows of a file from `start` on; row groups before it are not touched."""
        pyarrow = require("pyarrow", EXTRA)
        if _look((file.filesystem, file.path)) != file:
            raise DataError(file.path, "has changed since the job began")
        with _open(file) as opened:
            self._check(opened.schema_arrow)
            for group, rows in enumerate(file.groups):
                if start >= rows:
                    start -= rows
                    continue
                with _reading(f"{file.path}: row group {group}"):
                    for batch in opened.iter_batches(
                        _ROWS_READ, row_groups=[group], columns=self._columns, use_threads=False
                    ):
                        kept = batch.slice(start)
                        start = max(start - batch.num_rows, 0)
                        if kept.num_rows:
                            yield pyarrow.record_batch(kept.select(self._columns)).cast(self._schema)


def _look(place: tuple[Any, str]) -> _File:
    """Read the footer of a file."""
    filesystem, path = place
    parquet = require("pyarrow.parquet", EXTRA)
    with _reading(path), filesystem.open_input_file(path) as file:
        metadata = parquet.read_metadata(file)
        groups = tuple(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))
        size = file.size()
        file.seek(size - metadata.serialized_size - 8)
        digest = hashlib.sha256(f"{size}:".encode() + file.read())
    return _File(filesystem, path, groups, digest.hexdigest())


@contextmanager
def _open(file: _File) -> Iterator[Any]:
    """The file for reading row group after row group, each through a small buffer."""
    parquet = require("pyarrow.parquet", EXTRA)
    with _reading(file.path):
        opened = parquet.ParquetFile(
            file.filesystem.open_input_file(file.path), buffer_size=_BUFFER, pre_buffer=False
        )
    with opened:
        yield opened


@contextmanager
def _reading(what: str) -> Iterator[None]:
    """What pyarrow raises on a bad file, as a `DataError` that names it."""
    pyarrow = require("pyarrow", EXTRA)
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{what}: no such file, or it has gone since the job began") from error
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(what, f"cannot be read as Parquet: {error}") from error


def open_source(source: object, scorer: Scorer) -> Source:
    """A source of what `score_batch` takes."""
    pyarrow = require("pyarrow", EXTRA)
    dataset = require("pyarrow.dataset", EXTRA)
    if source is None:
        if scorer.options.history is not None:
            raise ParameterError("history", "is a column of a source, so give one", scorer.options.history)
        return _Users(len(scorer.model.users))
    if isinstance(source, pyarrow.Table):
        return _InMemory(source, scorer)
    if isinstance(source, dataset.Dataset):
        return _Files(_fragments(source), scorer)
    if isinstance(source, str | os.PathLike):
        return _Files(_places(os.fspath(source)), scorer)
    raise ParameterTypeError(
        "source", "expected a path, a pyarrow.dataset.Dataset, a pyarrow.Table or None", type(source)
    )


def _fragments(source: Any) -> list[tuple[Any, str]]:
    dataset = require("pyarrow.dataset", EXTRA)
    fragments = list(source.get_fragments())  # a filtered one refuses, and says so
    for fragment in fragments:
        if not isinstance(fragment, dataset.ParquetFileFragment):
            raise ParameterTypeError("source", "expected a dataset of Parquet files", fragment)
    if not fragments:
        raise DataError("source", "the dataset holds no files")
    return [(fragment.filesystem, fragment.path) for fragment in fragments]


def _places(path: str) -> list[tuple[Any, str]]:
    """The file system and the paths of a local path or pattern, or of a URL that pyarrow or fsspec knows."""
    fs = require("pyarrow.fs", EXTRA)
    if "://" not in path:
        return [(fs.LocalFileSystem(), file) for file in expand(path, PARQUET, "Parquet")[0]]
    filesystem, root = open_url(path)
    info = filesystem.get_file_info(root)
    if info.type == fs.FileType.NotFound:
        raise FileNotFoundError(f"{path}: no such file or folder")
    if info.type == fs.FileType.File:
        return [(filesystem, root)]
    found = filesystem.get_file_info(fs.FileSelector(root, recursive=True))
    files = sorted(
        one.path
        for one in found
        if one.is_file
        and one.path.endswith(PARQUET)
        and not is_hidden(one.path.removeprefix(root).strip("/").split("/"))
    )
    if not files:
        raise DataError(path, f"the folder holds no Parquet files (*{', *'.join(PARQUET)})")
    return [(filesystem, file) for file in files]
