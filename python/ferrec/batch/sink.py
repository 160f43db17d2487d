"""Where the answers go: one file that appears when all is done, or a folder of parts, each committed when it is
whole.

A part is written under another name, brought to the disk, and renamed; then the manifest is, in the same way.
So at any moment the manifest names only parts that are there, and whatever else lies in the folder is
worthless.
"""

import hashlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from ferrec.batch._source import Size
from ferrec.batch._store import Store, open_store
from ferrec.batch.table import EXTRA, Scored
from ferrec.errors import DataError, ParameterError, require
from ferrec.io.files import PARQUET, parquet_settings, parquet_writer
from ferrec.io.indexed import check_index

__all__ = ["MANIFEST", "Sink", "is_file", "open_sink"]

Json: TypeAlias = dict[str, Any]

MANIFEST = "_manifest.json"
"""Readers of folders of Parquet pass over names that begin so."""
_FORMAT = 1
_KEYS = {"format": int, "job": dict, "size": dict, "parts": list, "finished": bool}
_COUNTS = ("users", "rows", "unknown_users", "unknown_items")
_OURS = re.compile(r"part-\d{6,}\.parquet|\.(part-\d{6,}\.parquet|_manifest\.json)\.[0-9a-f]{32}\.tmp")


class Sink(ABC):
    """Takes the answers block by block."""

    def __init__(self, size: Size, parts: list[Json], finished: bool = False) -> None:
        self.size, self.finished = size, finished
        self.parts = parts
        """Of each committed block: how many users and rows, what was left out, and in a folder its file."""
        self.totals = Counter(dict.fromkeys(_COUNTS, 0))
        """The same of all together."""
        for part in parts:
            self.totals.update({name: part[name] for name in _COUNTS})

    @abstractmethod
    def write(self, scored: Scored) -> None:
        """Commit one block."""

    @abstractmethod
    def checksum(self) -> str:
        """SHA-256 of all that was written, once it is finished."""

    def _add(self, scored: Scored, rows: int, **written: Any) -> None:
        counts = scored.users, rows, scored.unknown_users, scored.unknown_items
        named = dict(zip(_COUNTS, counts, strict=True))
        self.parts.append(written | named)
        self.totals.update(named)


class _OneFile(Sink):
    """A Parquet file with a row group for each block."""

    def __init__(self, path: Path, writer: Any, size: Size) -> None:
        super().__init__(size, [])
        self._path, self._writer = path, writer

    def write(self, scored: Scored) -> None:
        table = scored.answers()
        self._writer.write_table(table)
        self._add(scored, table.num_rows)

    def checksum(self) -> str:
        with self._path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class _PartFiles(Sink):
    """A folder with a Parquet file for each block, and the manifest."""

    def __init__(self, store: Store, manifest: Json, compression: str) -> None:
        super().__init__(Size(**manifest["size"]), manifest["parts"], manifest["finished"])
        self._store, self._manifest, self._compression = store, manifest, compression

    def write(self, scored: Scored) -> None:
        pyarrow, parquet = require("pyarrow", EXTRA), require("pyarrow.parquet", EXTRA)
        table, out = scored.answers(), pyarrow.BufferOutputStream()
        parquet.write_table(table, out, **parquet_settings(table.schema, self._compression))
        data = out.getvalue()
        name = f"part-{len(self.parts):06d}.parquet"
        self._store.put(name, data)
        self._add(scored, table.num_rows, file=name, bytes=data.size, sha256=hashlib.sha256(data).hexdigest())
        self.save()

    def save(self) -> None:
        """Bring the manifest to the disk."""
        self._store.put(MANIFEST, json.dumps(self._manifest, indent=1).encode())

    def finish(self, schema: Any) -> None:
        """Nothing more will come."""
        if not self.parts:  # readers want a schema
            self.write(Scored(schema.empty_table, 0, 0, 0))
        self.finished = self._manifest["finished"] = True
        self.save()

    def checksum(self) -> str:
        return hashlib.sha256("".join(part["sha256"] for part in self.parts).encode()).hexdigest()


def is_file(sink: str | os.PathLike[str]) -> bool:
    """Whether answers go to one file: by its ending."""
    return os.fspath(sink).endswith(PARQUET)


@contextmanager
def open_sink(
    sink: str | os.PathLike[str], schema: Any, job: Json, size: Size, *, resume: bool, compression: str
) -> Iterator[Sink]:
    """A sink that is finished when the block ends well. With `resume` it may have parts of the same job already."""
    place = os.fspath(sink)
    if is_file(place):
        if resume:
            raise ParameterError(
                "resume", f"{place} is one file, which comes as a whole or not at all", advice="name a folder"
            )
        with parquet_writer(place, schema, **parquet_settings(schema, compression)) as writer:
            yield _OneFile(Path(place), writer, size)
        return
    store = open_store(place)
    try:
        manifest = {"format": _FORMAT, "job": job, "size": asdict(size), "parts": [], "finished": False}
        parts = _PartFiles(store, _begin(store, place, manifest, resume), compression)
        if not parts.finished:
            parts.save()
            yield parts
            parts.finish(schema)
        else:
            yield parts
    finally:
        store.close()


def _begin(store: Store, place: str, manifest: Json, resume: bool) -> Json:
    """The manifest to go on with. What an interrupted run left beside it is removed."""
    names = store.names()
    if MANIFEST in names:
        if not resume:
            raise FileExistsError(f"{place}: a job has been begun there; resume it, or choose another folder")
        manifest = _earlier(store, place, manifest["job"])
    else:
        stranger = next((name for name in names if not _OURS.fullmatch(name)), None)
        if stranger is not None:
            raise FileExistsError(f"{place}: holds something else, {stranger!r}; choose another folder")
    kept = {part["file"] for part in manifest["parts"]}
    for name in names:
        if _OURS.fullmatch(name) and name not in kept:
            store.remove(name)
    return manifest


def _earlier(store: Store, place: str, job: Json) -> Json:
    """The manifest of the job that was begun, as far as its parts are there and whole."""
    try:
        manifest = check_index(json.loads(store.read(MANIFEST)), _KEYS, _FORMAT)
        begun, parts, _ = manifest["job"], manifest["parts"], Size(**manifest["size"])
        intact = 0
        for part in parts:
            if not _is_intact(store, part):
                break
            intact += 1
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{place}/{MANIFEST}", f"cannot be read: {error}") from error
    differences = [
        f"{name} was {begun.get(name)!r} and is {job.get(name)!r}"
        for name in dict.fromkeys([*begun, *job])
        if begun.get(name) != job.get(name)
    ]
    if differences:
        raise DataError(place, f"another job was begun there: {'; '.join(differences)}")
    manifest["finished"] = manifest["finished"] and intact == len(parts)
    del parts[intact:]
    return manifest


def _is_intact(store: Store, part: Json) -> bool:
    try:
        return hashlib.sha256(store.read(part["file"])).hexdigest() == str(part["sha256"])
    except FileNotFoundError:
        return False
