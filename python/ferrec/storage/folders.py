"""Models as folders: `model.json` and one `.npy` file an array. No pickle: nothing in a file is ever run.

`model.json` names the model, its parameters, and for every array its dtype, shape, size and SHA-256. The names of
the files follow from the fields of the model's state and are never taken from the file. A model that is part of
another is a folder within its folder. Sizes are checked when a model is loaded; contents too, or where the field of
a recommender is first used (`storage.mapped`); checksums on demand.
"""

import dataclasses
import hashlib
import json
import os
import typing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.sequences import Sequences
from ferrec.errors import ModelFileError, ParameterTypeError, checks_keywords
from ferrec.io.indexed import FolderKind, array_sha256, write_array, write_bytes
from ferrec.io.tables import as_path
from ferrec.storage.mapped import SPAN, Mapped, MappedArray, MappedIds, MappedMatrix, MappedSequences
from ferrec.storage.registry import LazyState, Storable, find, is_storable, is_storable_class, name_of

__all__ = ["checksum", "inspect", "load", "looked_up_bytes", "release", "resident_bytes", "save"]

MODELS = FolderKind("model", "model.json", 2, {"model": str, "params": dict, "scalars": dict})
"""The folders that models are saved in."""


def save(model: Storable, path: str | os.PathLike[str]) -> None:
    """Write what was fitted; see `Estimator.save`."""
    with MODELS.new(as_path("path", path)) as folder:
        _write_folder(folder, model, model.state)


def _write_folder(folder: Path, model: Storable, state: Any) -> dict[str, Any]:
    """Write a model into an empty folder; what the index of a model around it says of it."""
    types = typing.get_type_hints(type(state))
    files, scalars = {}, {}
    for field in dataclasses.fields(state):
        name, value = field.name, getattr(state, field.name)
        if "file" in field.metadata:
            files[name] = write_bytes(folder / field.metadata["file"], value)
            continue
        several = _is_several(types[name])
        if several:
            scalars[name] = len(value)
        for part, one in (
            ((f"{name}.{at}", one) for at, one in enumerate(value)) if several else [(name, value)]
        ):
            if is_storable(one):
                (folder / part).mkdir()
                (folder / part).chmod(0o755)
                files[part] = _write_folder(folder / part, one, one.state)
            elif (arrays := _take_apart(one)) is not None:
                for end, array in arrays.items():
                    files[f"{part}.{end}"] = write_array(folder / f"{part}.{end}.npy", array)
            else:
                scalars[part] = one
    content = {
        "model": name_of(type(model)),
        "params": model.frozen.get_params(deep=False),
        "scalars": scalars,
        "files": files,
    }
    return MODELS.write_index(folder, content, plain)


def plain(value: object) -> object:
    """NumPy scalars among the parameters as plain numbers, models as their names and parameters."""
    if isinstance(value, np.generic):
        return value.item()
    if is_storable(value):
        return {"model": name_of(type(value)), "params": value.get_params(deep=False)}
    raise ParameterTypeError("parameter", f"one of type {type(value).__name__} cannot be saved", value)


def _made(value: object) -> Any:
    """A parameter as it was before `plain`; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(map(_made, value))
    if isinstance(value, dict) and value.keys() == {"model", "params"} and isinstance(value["params"], dict):
        return find(value["model"])(**_made(value["params"]))
    if isinstance(value, dict):
        return {name: _made(one) for name, one in value.items()}
    return value


def _take_apart(value: object) -> dict[str, NDArray[Any]] | None:
    if isinstance(value, Ids):
        return value.to_arrays()
    if isinstance(value, _rust.Csr):
        indptr, indices, data = value.parts()
        shape = np.array(value.shape, dtype=np.int64)
        return {"indptr": indptr, "indices": indices, "data": data, "shape": shape}
    if isinstance(value, Sequences):
        times = {} if value.times is None else {"times": value.times}
        shape = np.array(value.shape, dtype=np.int64)
        return {"offsets": value.offsets, "items": value.items, **times, "shape": shape}
    if isinstance(value, np.ndarray):
        return {"values": value}
    return None


@checks_keywords
def load(source: str | os.PathLike[str], *, verify: bool = False) -> Any:
    """Open a model or a ranker that `save` wrote: in milliseconds, whatever its size.

    Names, sizes and types of all files are checked. Contents of recommenders are mapped, not read: each array is
    read and its structure checked when it is first used, and the memory is shared with every other process that has
    the model open.

    Parameters
    ----------
    source : path
        The folder.
    verify : bool, default False
        Read every file at once and compare it with its checksum: finds damage that leaves the structure intact,
        such as a changed score.

    Returns
    -------
    Recommender or Ranker
        Of the class that was saved, ready to recommend or to score.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
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
    folder = as_path("source", source)
    if folder.is_file():
        raise NotADirectoryError(f"{folder}: is a file, and what was saved is a folder")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    return _read_folder(folder, verify)


def _read_folder(folder: Path, verify: bool) -> Storable:
    index = MODELS.read_index(folder)
    try:
        model: Storable = _made({"model": index["model"], "params": index["params"]})
    except ModelFileError as error:
        raise ModelFileError(f"{folder / MODELS.index}: {error}") from None
    except TypeError as error:
        raise ModelFileError(
            f"{folder / MODELS.index}: parameters do not fit {index['model']}: {error}"
        ) from None
    fields: dict[str, Any] = {}
    stored: dict[str, Mapped] = {}
    kind = model.state_type
    lazy = issubclass(kind, LazyState)
    types = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        name, wanted = field.name, types[field.name]
        try:
            if "file" in field.metadata:
                path = folder / field.metadata["file"]
                fields[name] = MODELS.checked(path, index["files"].get(name), verify).read_bytes()
            elif lazy and wanted in _KINDS:
                stored[name] = _map(folder, index, name, wanted, verify)
            else:
                fields[name] = _field(folder, index, name, wanted, verify)
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelFileError(f"{folder}: field {name!r} is damaged: {error}") from error
    try:
        model.adopt(kind.stored(stored, fields) if lazy else kind(**fields))
    except ValueError as error:
        raise ModelFileError(f"{folder}: {error}") from error
    return model


def release(model: Storable) -> None:
    """Let go of the memory that a loaded model has made resident; it is mapped again where it is used."""
    for field in _stored(model).values():
        field.release()
    for part in _parts(model).values():
        if is_storable(part):
            release(part)


def resident_bytes(model: Storable) -> int:
    """Bytes that are in memory while a model scores: all of a fitted one, of a loaded one what belongs to items.

    What a loaded model knows of its users is read row by row and let go of again.
    """
    state, total = model.state, 0
    for name, field in _stored(model).items():
        if "users" not in state.sides_of(name):
            total += sum(int(entry["bytes"]) for entry in field.files.values())
    for part in _parts(model).values():
        if is_storable(part):
            total += resident_bytes(part)
        else:
            total += sum(array.nbytes for array in (_take_apart(part) or {}).values())
    return total


def looked_up_bytes(model: Storable) -> int:
    """Bytes beside those of `resident_bytes` that may be in memory where users come in any order.

    They are all over the files of a loaded model; of histories and sequences only a part is in memory at once.
    """
    state, total = model.state, 0
    for name, field in _stored(model).items():
        if "users" in state.sides_of(name):
            read_in_parts = [f"{name}.{part}" for part in _row_by_row(name, field)]
            files = field.files.items()
            total += sum(int(entry["bytes"]) for part, entry in files if part not in read_in_parts)
            total += SPAN * bool(read_in_parts)
    return total + sum(looked_up_bytes(part) for part in _parts(model).values() if is_storable(part))


def _row_by_row(name: str, field: Mapped) -> tuple[str, ...]:
    """The arrays of a field that are in memory in part only: those of histories and sequences."""
    if isinstance(field, MappedSequences) or (name == "seen" and isinstance(field, MappedMatrix)):
        return field.entries
    return ()


@checks_keywords
def checksum(model: Storable) -> str:
    """One SHA-256 for what a model is: class, parameters but for the number of threads, and all it has learned.

    The same for a model in memory, saved, and loaded; of a loaded one nothing is read. Models with the same
    checksum give the same answers.

    Parameters
    ----------
    model : Recommender or Ranker
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
    if not is_storable(model):
        raise ParameterTypeError("model", "expected a fitted model", model)
    learned: dict[str, Any] = {}
    for field in _stored(model).values():
        learned |= field.digests
    for name, part in _parts(model).items():
        if is_storable(part):
            learned[name] = checksum(part)
        elif isinstance(part, bytes):
            learned[name] = hashlib.sha256(part).hexdigest()
        elif (arrays := _take_apart(part)) is None:
            learned[name] = part
        else:
            for end, array in arrays.items():
                learned[f"{name}.{end}"] = array_sha256(array)
    params = {
        name: value for name, value in model.frozen.get_params(deep=False).items() if name != "n_threads"
    }
    text = json.dumps([name_of(type(model)), params, learned], sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()


@checks_keywords
def inspect(source: str | os.PathLike[str], *, verify: bool = False) -> dict[str, Any]:
    """What a saved model is: its parameters, when it was saved, on how much data, and how large it is.

    Parameters
    ----------
    source : path
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
    >>> model = ferrec.ItemKNN(k=5).fit(ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"]))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     model.save(folder + "/model")
    ...     info = inspect(folder + "/model", verify=True)
    >>> info["model"], info["users"], info["items"], info["pairs"]
    ('ItemKNN', 2, 2, 3)
    """
    model = load(source, verify=verify)
    if verify:
        for field in _stored(model).values():
            field.read()
    folder = as_path("source", source)
    index = MODELS.read_index(folder)
    files = {
        name: {k: v for k, v in entry.items() if k != "sha256"} for name, entry in index["files"].items()
    }
    state = model.state
    sizes: dict[str, int] = {}
    if isinstance(state, LazyState):
        users, items = state.shape_of("seen")
        sizes = {"users": users, "items": items, "pairs": int(index["files"]["seen.indices"]["shape"][0])}
    return {
        "model": index["model"],
        "params": json.loads(json.dumps(model.frozen.get_params(deep=False), default=plain)),
        "saved": index["saved"],
        "ferrec": index["ferrec"],
        "format": index["format"],
        **sizes,
        "files": files,
        "bytes": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        "checksum": checksum(model),
        "verified": verify,
    }


def _stored(model: Storable) -> dict[str, Mapped]:
    """The fields of a loaded model in their files; none of one that was fitted here."""
    return typing.cast("dict[str, Mapped]", model.state.__dict__.get("_stored", {}))


def _parts(model: Storable) -> dict[str, Any]:
    """What else it has learned, by name; the members of a tuple each by its own."""
    state, stored = model.state, _stored(model)
    types = typing.get_type_hints(type(state))
    parts: dict[str, Any] = {}
    for field in dataclasses.fields(state):
        name = field.name
        if name in stored:
            continue
        value = getattr(state, name)
        if _is_several(types[name]):
            parts |= {f"{name}.{at}": one for at, one in enumerate(value)}
        else:
            parts[name] = value
    return parts


def _is_several(wanted: object) -> bool:
    """Whether a field is a tuple of parts; one of names is a value."""
    return typing.get_origin(wanted) is tuple and wanted != tuple[str, ...]


def _field(folder: Path, index: dict[str, Any], name: str, wanted: Any, verify: bool) -> object:
    """A field of the type that the state wants; the file has no say in it."""

    def array(part: str, dtype: str | None = None) -> NDArray[Any]:
        return MODELS.read_array(folder, index, f"{name}.{part}", dtype, verify)

    value = index["scalars"].get(name)
    if wanted == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ValueError(f"expected a list of names, got {value!r}")
        return tuple(value)
    if typing.get_origin(wanted) is tuple:
        if type(value) is not int or not 0 <= value <= len(index["files"]):
            raise ValueError(f"expected how many parts there are, got {value!r}")
        inner = typing.get_args(wanted)[0]
        return tuple(_field(folder, index, f"{name}.{at}", inner, verify) for at in range(value))
    if wanted is Ids:
        parts = ("ints",) if f"{name}.ints" in index["files"] else ("offsets", "bytes")
        return Ids.from_arrays({part: array(part) for part in parts})
    if wanted is _rust.Csr:
        shape = array("shape", "<i8")
        indptr, indices, data = array("indptr", "<i8"), array("indices", "<i4"), array("data", "<f4")
        if shape.shape != (2,) or len(indptr) != shape[0] + 1 or not 0 <= shape[1] < 2**31:
            raise ValueError(f"shape {shape.tolist()} does not fit {len(indptr)} offsets")
        return _rust.Csr(indptr, indices, data, int(shape[1]), name=name)
    if wanted is Sequences:
        return _map(folder, index, name, wanted, verify).read()
    kind = typing.get_origin(wanted) or wanted
    if kind is np.ndarray:
        values = array(
            "values", np.dtype(typing.get_args(typing.get_args(wanted)[1])[0]).newbyteorder("<").str
        )
        if not np.isfinite(values).all():
            raise ValueError("holds values that are not finite")
        return values
    if is_storable_class(kind):
        MODELS.checked(folder / name / MODELS.index, index["files"].get(name), verify)
        part = _read_folder(folder / name, verify)
        if not isinstance(part, kind):
            raise ValueError(f"expected a {kind.__name__}, got {type(part).__name__}")
        return part
    if wanted is float and type(value) in (int, float) and np.isfinite(value):
        return float(value)
    if type(value) is wanted and wanted in (int, bool):
        return value
    raise ValueError(f"expected {wanted}, got {value!r}")


_KINDS: dict[object, tuple[type[Mapped], dict[str, str | None]]] = {
    "ints": (MappedIds, {"ints": None}),
    Ids: (MappedIds, {"offsets": "<i8", "bytes": "|u1"}),
    _rust.Csr: (MappedMatrix, {"indptr": "<i8", "indices": "<i4", "data": "<f4", "shape": "<i8"}),
    Sequences: (MappedSequences, {"offsets": "<i8", "items": "<i4", "shape": "<i8"}),
    "timed": (MappedSequences, {"offsets": "<i8", "items": "<i4", "times": "<i8", "shape": "<i8"}),
    NDArray[np.float32]: (MappedArray, {"values": "<f4"}),
}
"""The kinds of fields: what opens one, its arrays and their dtypes."""


def _map(folder: Path, index: dict[str, Any], name: str, wanted: object, verify: bool) -> Mapped:
    kind = wanted
    if wanted is Ids and f"{name}.ints" in index["files"]:
        kind = "ints"
    if wanted is Sequences and f"{name}.times" in index["files"]:
        kind = "timed"
    opened, parts = _KINDS[kind]
    arrays = {
        part: MODELS.read_array(folder, index, f"{name}.{part}", dtype, verify)
        for part, dtype in parts.items()
    }
    digests = {f"{name}.{part}": str(index["files"][f"{name}.{part}"].get("sha256")) for part in parts}
    return opened(folder, name, arrays, digests)
