"""Parquet and CSV files: read column by column, written whole or not at all."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from ferrec.errors import DataError, require, unknown_name
from ferrec.io.atomic import replacing
from ferrec.io.columns import (
    is_text,
)
from ferrec.io.tables import (
    EXTRA,
    Arrow,
    PathLike,
    Table,
    as_path,
    refuse_repeated,
)


@dataclass(frozen=True, slots=True)
class _Reading:
    """A context that turns what pyarrow raises on a bad file into a `DataError` that names the path."""

    pyarrow: ModuleType
    path: PathLike
    what: str

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        # Reading errors of pyarrow are ArrowException or a bare OSError; a missing file stays what it is.
        if isinstance(error, FileNotFoundError | PermissionError):
            return
        if isinstance(error, self.pyarrow.ArrowException | OSError):
            raise DataError(str(self.path), f"cannot be read as {self.what}: {error}") from error


PARQUET = (".parquet", ".parq", ".pq")
"""How the names of Parquet files end."""
_CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def open_parquet(path: PathLike) -> Table:
    """A Parquet file, a folder of them (read in the order of their names, hive partitions too), or a glob."""
    pyarrow = require("pyarrow", EXTRA)
    files = expand(path, PARQUET, "Parquet")

    def read(name: str) -> object:
        # A column of strings comes as codes and a dictionary: it is never spelled out row by row.
        as_codes = {name} if is_text(pyarrow, schema.field(name).type) else set()
        with _Reading(pyarrow, path, "Parquet"):
            # Each batch brings its own dictionary and they must be united, so batches are whole row groups.
            return _dataset(*files, as_codes).to_table(columns=[name], batch_size=1 << 24).column(0)

    with _Reading(pyarrow, path, "Parquet"):
        try:
            schema = _dataset(*files, set()).schema
        except pyarrow.ArrowInvalid:  # which does not say the names of columns that are repeated
            for file in files[0]:
                refuse_repeated(require("pyarrow.parquet", EXTRA).read_schema(file).names)
            raise
    return Table(schema.names, read)


def parquet_batches(path: PathLike, size: int, columns: Sequence[str] | None = None) -> Iterator[Arrow]:
    """The rows of Parquet files in order, as pyarrow tables of at most `size`; first one without rows."""
    pyarrow = require("pyarrow", EXTRA)
    parquet = require("pyarrow.parquet", EXTRA)
    partition_keys = require("pyarrow.dataset", EXTRA).get_partition_keys
    with _Reading(pyarrow, path, "Parquet"):
        dataset = _dataset(*expand(path, PARQUET, "Parquet"), set())
        schema = dataset.schema
        if columns is not None:
            schema = pyarrow.schema([schema.field(name) for name in columns])
        yield schema.empty_table()
        for fragment in dataset.get_fragments():
            keys = partition_keys(fragment.partition_expression)
            # A scan of the dataset would hold whole row groups, and some of the next.
            with parquet.ParquetFile(fragment.path, buffer_size=1 << 20, pre_buffer=False) as file:
                there = [name for name in schema.names if name in file.schema_arrow.names]
                for batch in file.iter_batches(size, columns=there):
                    arrays = [
                        batch.column(field.name)
                        if field.name in there
                        else pyarrow.repeat(pyarrow.scalar(keys.get(field.name), field.type), batch.num_rows)
                        for field in schema
                    ]
                    yield pyarrow.Table.from_arrays(arrays, names=schema.names).cast(schema)


def _dataset(files: list[str], root: str | None, dictionary: set[str]) -> Any:
    """Parquet files as one table, some columns as codes and a dictionary."""
    dataset = require("pyarrow.dataset", EXTRA)
    options = dataset.ParquetReadOptions(dictionary_columns=dictionary)
    return dataset.dataset(
        files,
        format=dataset.ParquetFileFormat(read_options=options),
        partitioning="hive",
        partition_base_dir=root,
    )


def open_csv(path: PathLike, *, ids: Sequence[str], others: Sequence[str] | None, delimiter: str) -> Table:
    """CSV files with a header. Ids stay text unless every one of them is an integer as Python writes it.

    Of the `others` that are read, None for all, pyarrow infers the type.
    """
    names, table = read_csv(path, ids, delimiter, None if others is None else [*ids, *others])
    return Table(names, table.column)


def csv_delimiter(path: PathLike) -> str | None:
    """The delimiter of CSV files, by their names; None for other files."""
    place = Path(path)
    names = _files_in(place, _CSV) if place.is_dir() else [place]
    kinds = {suffix for name in names for suffix in name.suffixes[-2:] if suffix in _DELIMITERS}
    return _DELIMITERS[min(kinds)] if kinds else None


def read_csv(
    path: PathLike, ids: Sequence[str], delimiter: str, columns: Sequence[str] | None = None
) -> tuple[list[str], Arrow]:
    """The names in the header, and a pyarrow table of some columns or all, but no repeated ones."""
    pyarrow = require("pyarrow", EXTRA)
    csv = require("pyarrow.csv", EXTRA)
    files, _ = expand(path, _CSV, "CSV")
    parse = csv.ParseOptions(delimiter=delimiter)
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())

    def read_file(file: str, wanted: list[str]) -> Any:
        convert = csv.ConvertOptions(
            include_columns=wanted,
            column_types=dict.fromkeys(ids, text),
            null_values=[""],
            strings_can_be_null=True,
        )
        return csv.read_csv(file, parse_options=parse, convert_options=convert)

    with _Reading(pyarrow, path, "CSV"):
        with csv.open_csv(files[0], parse_options=parse) as reader:
            names = reader.schema.names
        wanted = list(
            dict.fromkeys(n for n in (names if columns is None else columns) if names.count(n) == 1)
        )
        parts = [read_file(file, wanted) for file in files]
        table = pyarrow.concat_tables(parts, promote_options="permissive")
    for name in ids:
        if name in wanted:
            column = _plain_integers(table.column(name), pyarrow)
            table = table.set_column(table.column_names.index(name), name, column)
    return names, table


def _plain_integers(column: Arrow, pyarrow: ModuleType) -> Arrow:
    """A dictionary column of text as one of integers, where nothing is lost: "7" is 7, but "007" is text."""
    column = column.unify_dictionaries()
    if not column.num_chunks:
        return column
    texts = column.chunk(0).dictionary
    written = require("pyarrow.compute", EXTRA).match_substring_regex(texts, "^(0|-?[1-9][0-9]*)$")
    if not (len(texts) and all(written.to_pylist())):
        return column
    for kind in (pyarrow.int64(), pyarrow.uint64()):
        try:
            integers = texts.cast(kind)
        except pyarrow.ArrowInvalid:
            continue
        chunks = [pyarrow.DictionaryArray.from_arrays(c.indices, integers) for c in column.chunks]
        return pyarrow.chunked_array(chunks)
    return column


def expand(path: PathLike, suffixes: tuple[str, ...], what: str) -> tuple[list[str], str | None]:
    """The files of a path, and the folder that partition names are relative to."""
    place = as_path("source", path).expanduser()
    if place.is_file():
        return [str(place)], str(place.parent)
    if place.is_dir():
        files = list(map(str, _files_in(place, suffixes)))
        if not files:
            raise DataError(str(path), f"the folder holds no {what} files (*{', *'.join(suffixes)})")
        return files, str(place)
    matches = sorted(glob.glob(str(place), recursive=True))  # noqa: PTH207  # Path takes no absolute pattern
    files = [match for match in matches if Path(match).is_file()]
    if not files:
        raise FileNotFoundError(f"{path}: no such file or folder, and no file matches it as a pattern")
    return files, None


def _files_in(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = (file for file in sorted(folder.rglob("*")) if file.name.endswith(suffixes) and file.is_file())
    return [file for file in found if not is_hidden(file.relative_to(folder).parts)]


def is_hidden(parts: Iterable[str]) -> bool:
    """Whether a file below a folder is passed over: Spark and its like leave _SUCCESS, .crc and temporary files."""
    return any(part[0] in "._" for part in parts)


COMPRESSIONS = ("zstd", "snappy", "gzip", "brotli", "lz4", "none")
"""What Parquet files may be compressed with."""


def parquet_settings(schema: Any, compression: str) -> dict[str, Any]:
    """How pyarrow is to write recommendations.

    Users come in runs, of which integers leave almost nothing as differences; items repeat. Ranks compress as they
    are, and scores hardly ever repeat.
    """
    if not isinstance(compression, str) or compression.lower() not in COMPRESSIONS:
        raise unknown_name("compression", compression, COMPRESSIONS)
    user, item = schema.names[:2]
    settings: dict[str, Any] = {"compression": compression, "use_dictionary": [user, item]}
    settings["write_statistics"] = [user]
    if require("pyarrow", EXTRA).types.is_integer(schema.field(user).type):
        settings |= {"use_dictionary": [item], "column_encoding": {user: "DELTA_BINARY_PACKED"}}
    return settings


@contextmanager
def parquet_writer(path: PathLike, schema: Any, **settings: Any) -> Iterator[Any]:
    """A `pyarrow.parquet.ParquetWriter` with these settings (zstd by default) on a file as of `replacing`."""
    parquet = require("pyarrow.parquet", EXTRA)
    with replacing(path) as file:
        writer = parquet.ParquetWriter(file, schema, **{"compression": "zstd", **settings})
        try:
            yield writer
        except BaseException:
            with suppress(Exception):  # half a table cannot be closed, which is not what went wrong
                writer.close()
            raise
        writer.close()
