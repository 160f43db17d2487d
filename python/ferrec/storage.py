"""Models as folders: `model.json` and one `.npy` file an array. No pickle: nothing in a file is ever run.

`model.json` names the model, its parameters, and for every array its dtype, shape, size and SHA-256. The names of
the files follow from the fields of the model's state and are never taken from the file. Sizes are checked when a
model is loaded, contents when a field is first used (`ferrec._mapped`), checksums on demand.
"""

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import typing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec._mapped import Mapped, MappedArray, MappedLabels, MappedMatrix
from ferrec.errors import ModelFileError
from ferrec.labels import Labels
from ferrec.models import MODELS, Recommender

__all__ = ["checksum", "describe", "load", "release", "resident_bytes", "save"]

FORMAT = 1
_HEADER_LIMIT = 1 << 24
"""Bytes of `model.json` that are read at most."""
_INDEX = "model.json"


def save(model: Recommender[Any], path: str | os.PathLike[str]) -> None:
    """Write a fitted model; see `Recommender.save`."""
    state = model._fitted()
    target = Path(path)
    if target.exists() and not (target / _INDEX).is_file():
        raise FileExistsError(f"{target}: exists and is no saved model; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        files, scalars = {}, {}
        for field in dataclasses.fields(state):
            value = getattr(state, field.name)
            arrays = _take_apart(value)
            if arrays is None:
                scalars[field.name] = value
                continue
            for part, array in arrays.items():
                files[f"{field.name}.{part}"] = _write(made / f"{field.name}.{part}.npy", array)
        index = {
            "format": FORMAT,
            "ferrec": _rust.__version__,
            "model": type(model).__name__,
            "params": model.get_params(),
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            "scalars": scalars,
            "files": files,
        }
        with (made / _INDEX).open("w", encoding="utf-8") as file:
            json.dump(index, file, indent=1, default=_plain)
            file.flush()
            os.fsync(file.fileno())
        made.chmod(0o755)
        _put_in_place(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _put_in_place(made: Path, target: Path) -> None:
    """Rename; a model that is there steps aside first and is removed last."""
    if not target.exists():
        made.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent)) / "model"
    target.rename(aside)
    try:
        made.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)


def _plain(value: object) -> object:
    """NumPy scalars among the parameters as plain numbers."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"cannot save a parameter of type {type(value).__name__}: {value!r}")


def _take_apart(value: object) -> dict[str, NDArray[Any]] | None:
    if isinstance(value, Labels):
        return value.to_arrays()
    if isinstance(value, _rust.Csr):
        indptr, indices, data = value.parts()
        shape = np.array(value.shape, dtype=np.int64)
        return {"indptr": indptr, "indices": indices, "data": data, "shape": shape}
    if isinstance(value, np.ndarray):
        return {"values": value}
    return None


class _Digesting:
    """A file that only counts and digests what is written to it, and hands it on to another where there is one."""

    def __init__(self, file: typing.BinaryIO | None = None) -> None:
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any) -> None:
        self._digest.update(data)
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def _write(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    with path.open("wb") as file:
        out = _Digesting(file)
        _write_array(out, array)
        file.flush()
        os.fsync(file.fileno())
    return {
        "dtype": array.dtype.str,
        "shape": list(array.shape),
        "bytes": out.size,
        "sha256": out.hexdigest(),
    }


def _write_array(out: _Digesting, array: NDArray[Any]) -> None:
    np.lib.format.write_array(out, np.ascontiguousarray(array), allow_pickle=False)


def load(path: str | os.PathLike[str], *, verify: bool = False) -> Recommender[Any]:
    """Open a model that `save` wrote: in milliseconds, whatever its size.

    Names, sizes and types of all files are checked. Their contents are mapped, not read: each array is read and
    its structure checked when it is first used, and the memory is shared with every other process that has the
    model open.

    Parameters
    ----------
    path : path
        The folder.
    verify : bool, default False
        Read every file at once and compare it with its checksum: finds damage that leaves the structure intact,
        such as a changed score.

    Returns
    -------
    Recommender
        Ready to recommend.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    ModelFileError
        A file is missing, truncated, altered, or of a version that this one cannot read; says which. Damage inside
        a file, without `verify`, is found at the first use of what is damaged.

    Examples
    --------
    >>> import ferrec, tempfile
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ferrec.ItemKNN(k=5).fit(data).save(folder + "/model")
    ...     ferrec.load(folder + "/model")
    ItemKNN(k=5)
    """
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    index = _read_index(folder)
    kind = MODELS[index["model"]]
    try:
        model = kind(**index["params"])
    except TypeError as error:
        raise ModelFileError(f"{folder / _INDEX}: parameters do not fit {kind.__name__}: {error}") from None
    stored: dict[str, Mapped] = {}
    scalars: dict[str, float] = {}
    types = typing.get_type_hints(kind._state_type)
    for field in dataclasses.fields(kind._state_type):
        if types[field.name] is float:
            scalars[field.name] = _scalar(folder, index, field.name)
        else:
            stored[field.name] = _map(folder, index, field.name, types[field.name], verify)
    try:
        model._state = kind._state_type.stored(stored, scalars)
    except ValueError as error:
        raise ModelFileError(f"{folder}: {error}") from error
    return model


def release(model: Recommender[Any]) -> None:
    """Let go of the memory that a loaded model has made resident; it is mapped again where it is used."""
    for field in _stored(model).values():
        field.release()


def resident_bytes(model: Recommender[Any]) -> int:
    """Bytes that are in memory while a model scores: all of a fitted one, of a loaded one what belongs to items.

    What a loaded model knows of its users is read row by row and let go of again.
    """
    state, stored = model._fitted(), _stored(model)
    total = 0
    for field in dataclasses.fields(state):
        if field.name not in stored:
            arrays = _take_apart(getattr(state, field.name)) or {}
            total += sum(array.nbytes for array in arrays.values())
        elif "users" not in state.sides_of(field.name):
            total += sum(int(entry["bytes"]) for entry in stored[field.name].files.values())
    return total


def checksum(model: Recommender[Any]) -> str:
    """One SHA-256 for what a model is: class, parameters but for the number of threads, and all it has learned.

    The same for a model in memory, saved, and loaded; of a loaded one nothing is read. Models with the same
    checksum give the same answers.

    Parameters
    ----------
    model : Recommender
        Fitted.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    NotFittedError
        Before `fit`.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> one, other = ferrec.ItemKNN(k=5).fit(data), ferrec.ItemKNN(k=5, n_threads=1).fit(data)
    >>> checksum(one) == checksum(other) != checksum(ferrec.ItemKNN(k=6).fit(data))
    True
    """
    state, stored = model._fitted(), _stored(model)
    learned: dict[str, Any] = {}
    for field in dataclasses.fields(state):
        if field.name in stored:
            learned |= stored[field.name].digests
            continue
        value = getattr(state, field.name)
        arrays = _take_apart(value)
        if arrays is None:
            learned[field.name] = value
            continue
        for part, array in arrays.items():
            out = _Digesting()
            _write_array(out, array)
            learned[f"{field.name}.{part}"] = out.hexdigest()
    params = {name: value for name, value in model.get_params().items() if name != "n_threads"}
    text = json.dumps([type(model).__name__, params, learned], sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def describe(path: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
    """What a saved model is: its parameters, when it was saved, on how much data, and how large it is.

    Parameters
    ----------
    path : path
        The folder.
    verify : bool, default False
        Compare every file with its checksum and check everything in it.

    Returns
    -------
    dict
        Plain Python values that go into JSON: ``model``, ``params``, ``saved`` (ISO 8601), ``ferrec`` and
        ``format`` (of the writer), ``users``, ``items``, ``pairs``, ``files`` (name to dtype, shape and bytes),
        ``bytes`` in all, ``checksum`` (as `checksum` gives it) and ``verified``.

    Raises
    ------
    FileNotFoundError, ModelFileError
        As `load`.

    Examples
    --------
    >>> import ferrec, tempfile
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ferrec.ItemKNN(k=5).fit(data).save(folder + "/model")
    ...     info = describe(folder + "/model", verify=True)
    >>> info["model"], info["users"], info["items"], info["pairs"]
    ('ItemKNN', 2, 2, 3)
    """
    model = load(path, verify=verify)
    if verify:
        for field in _stored(model).values():
            field.read()
    index = _read_index(Path(path))
    files = {name: entry for field in _stored(model).values() for name, entry in field.files.items()}
    users, items = model._fitted().shape_of("seen")
    return {
        "model": index["model"],
        "params": model.get_params(),
        "saved": index["saved"],
        "ferrec": index["ferrec"],
        "format": index["format"],
        "users": users,
        "items": items,
        "pairs": files["seen.indices"]["shape"][0],
        "files": files,
        "bytes": sum(entry["bytes"] for entry in files.values()),
        "checksum": checksum(model),
        "verified": verify,
    }


def _stored(model: Recommender[Any]) -> dict[str, Mapped]:
    """The fields of a loaded model in their files; none of one that was fitted here."""
    return typing.cast("dict[str, Mapped]", model._fitted().__dict__.get("_stored", {}))


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / _INDEX
    try:
        with path.open("rb") as file:
            text = file.read(_HEADER_LIMIT)
        index = json.loads(text)
    except FileNotFoundError:
        raise ModelFileError(f"{folder}: is no saved model, {_INDEX} is missing") from None
    except (ValueError, RecursionError, OSError) as error:
        raise ModelFileError(f"{path}: cannot be read: {error}") from error
    expected = {
        "format": int,
        "ferrec": str,
        "model": str,
        "params": dict,
        "saved": str,
        "scalars": dict,
        "files": dict,
    }
    for key, kind in expected.items():
        if not isinstance(index, dict) or not isinstance(index.get(key), kind):
            raise ModelFileError(f"{path}: {key!r} is missing or no {kind.__name__}")
    if index["format"] != FORMAT:
        version = f"format {index['format']}, written by ferrec {index['ferrec'][:40]}"
        raise ModelFileError(
            f"{path}: {version}; this is ferrec {_rust.__version__}, which reads format {FORMAT}"
        )
    if index["model"] not in MODELS:
        known = ", ".join(MODELS)
        raise ModelFileError(f"{path}: unknown model {index['model'][:80]!r}; there are {known}")
    return typing.cast("dict[str, Any]", index)


def _scalar(folder: Path, index: dict[str, Any], name: str) -> float:
    value = index["scalars"].get(name)
    if isinstance(value, int | float) and abs(value) < np.finfo(np.float64).max:
        return float(value)
    raise ModelFileError(f"{folder / _INDEX}: {name!r} must be a finite number, got {value!r}")


_KINDS: dict[object, tuple[type[Mapped], dict[str, str | None]]] = {
    "ints": (MappedLabels, {"ints": None}),
    Labels: (MappedLabels, {"offsets": "<i8", "bytes": "|u1"}),
    _rust.Csr: (MappedMatrix, {"indptr": "<i8", "indices": "<i4", "data": "<f4", "shape": "<i8"}),
    np.ndarray: (MappedArray, {"values": "<f4"}),
}
"""The kinds of fields: what opens one, its arrays and their dtypes."""


def _map(folder: Path, index: dict[str, Any], name: str, wanted: object, verify: bool) -> Mapped:
    kind: object = typing.get_origin(wanted) or wanted
    if kind is Labels and f"{name}.ints" in index["files"]:
        kind = "ints"
    opened, parts = _KINDS[kind]
    arrays = {part: _open(folder, index, f"{name}.{part}", dtype) for part, dtype in parts.items()}
    digests = {}
    for part in parts:
        file = f"{name}.{part}"
        digests[file] = str(index["files"][file].get("sha256"))
        if verify and _digest(folder / f"{file}.npy") != digests[file]:
            raise ModelFileError(f"{folder / file}.npy: does not match its checksum: altered")
    return opened(folder, name, arrays, digests)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open(folder: Path, index: dict[str, Any], name: str, dtype: str | None) -> NDArray[Any]:
    path, entry = folder / f"{name}.npy", index["files"].get(name)
    if not isinstance(entry, dict):
        raise ModelFileError(f"{folder / _INDEX}: says nothing of {name!r}")
    try:
        size = path.stat().st_size
        if size != entry.get("bytes"):
            raise ModelFileError(
                f"{path}: has {size} bytes, expected {entry.get('bytes')}: truncated or altered"
            )
        array = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise ModelFileError(f"{path}: is missing") from None
    except ModelFileError:
        raise
    except Exception as error:  # NumPy's header parser lets many kinds through, tokenize's among them
        raise ModelFileError(f"{path}: is no array: {error}") from error
    if array.ndim != 1 or array.dtype.hasobject:
        raise ModelFileError(f"{path}: is no flat array of numbers")
    if dtype is not None and array.dtype != np.dtype(dtype):
        raise ModelFileError(f"{path}: has dtype {array.dtype}, expected {np.dtype(dtype)}")
    return array
