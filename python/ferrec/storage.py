"""Models as folders: `model.json` and one `.npy` file an array. No pickle: nothing in a file is ever run.

`model.json` names the model, its parameters, and for every array its dtype, shape, size and SHA-256. The names of
the files follow from the fields of the model's state and are never taken from the file. A model that is part of
another is a folder within its folder.
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
from ferrec._estimator import Estimator
from ferrec.errors import ModelFileError
from ferrec.features import FEATURES
from ferrec.hybrid import Hybrid
from ferrec.labels import Labels
from ferrec.models import MODELS
from ferrec.rankers import RANKERS
from ferrec.retrieval import Retrieval

__all__ = ["load", "save"]

FORMAT = 1
_CHUNK = 1 << 22
_HEADER_LIMIT = 1 << 24
"""Bytes of `model.json` that are read at most."""
_INDEX = "model.json"


def save(model: Estimator[Any], path: str | os.PathLike[str]) -> None:
    """Write what was fitted; see `Estimator.save`."""
    model._fitted()
    target = Path(path)
    if target.exists() and not (target / _INDEX).is_file():
        raise FileExistsError(f"{target}: exists and is no saved model; choose another folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _write_folder(made, model)
        _put_in_place(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _write_folder(folder: Path, model: Estimator[Any]) -> dict[str, Any]:
    """Write a model into an empty folder; what the index of a model around it says of it."""
    state = model._fitted()
    types = typing.get_type_hints(type(state))
    files, scalars = {}, {}
    for field in dataclasses.fields(state):
        name, value = field.name, getattr(state, field.name)
        if "file" in field.metadata:
            files[name] = _write_bytes(folder / field.metadata["file"], value)
            continue
        several = typing.get_origin(types[name]) is tuple and types[name] != tuple[str, ...]
        if several:
            scalars[name] = len(value)
        for part, one in (
            ((f"{name}.{at}", one) for at, one in enumerate(value)) if several else [(name, value)]
        ):
            if isinstance(one, Estimator):
                (folder / part).mkdir()
                files[part] = _write_folder(folder / part, one)
            elif (arrays := _take_apart(one)) is not None:
                for end, array in arrays.items():
                    files[f"{part}.{end}"] = _write(folder / f"{part}.{end}.npy", array)
            else:
                scalars[part] = one
    index = {
        "format": FORMAT,
        "ferrec": _rust.__version__,
        "model": type(model).__name__,
        "params": model.get_params(deep=False),
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "scalars": scalars,
        "files": files,
    }
    folder.chmod(0o755)
    return _write_bytes(folder / _INDEX, json.dumps(index, indent=1, default=_plain).encode())


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
    """NumPy scalars among the parameters as plain numbers, models as their names and parameters."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Estimator):
        return {"model": type(value).__name__, "params": value.get_params(deep=False)}
    raise TypeError(f"cannot save a parameter of type {type(value).__name__}: {value!r}")


def _made(value: object) -> Any:
    """A parameter as it was before `_plain`; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(map(_made, value))
    if isinstance(value, dict) and value.keys() == {"model", "params"} and isinstance(value["params"], dict):
        return _kind(value["model"])(**_made(value["params"]))
    if isinstance(value, dict):
        return {name: _made(one) for name, one in value.items()}
    return value


def _kind(name: object) -> type[Estimator[Any]]:
    """The class of that name."""
    kinds: dict[str, type[Estimator[Any]]] = {
        **MODELS,
        **RANKERS,
        **FEATURES,
        "Retrieval": Retrieval,
        "Hybrid": Hybrid,
    }
    if not isinstance(name, str) or name not in kinds:
        raise ModelFileError(f"unknown model {str(name)[:80]!r}; there are {', '.join(kinds)}")
    return kinds[name]


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


def _write(path: Path, array: NDArray[Any]) -> dict[str, Any]:
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    return {"dtype": array.dtype.str, "shape": list(array.shape), **_described(path)}


def _write_bytes(path: Path, data: bytes) -> dict[str, Any]:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return _described(path)


def _described(path: Path) -> dict[str, Any]:
    return {"bytes": path.stat().st_size, "sha256": _digest(path)}


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(path: str | os.PathLike[str], *, verify: bool = True) -> Any:
    """Read a model or a ranker that `save` wrote; its arrays are memory-mapped.

    Parameters
    ----------
    path : path
        The folder.
    verify : bool, default True
        Compare every file with its checksum. Without it files are read only where they are needed; their
        structure is checked all the same.

    Returns
    -------
    Recommender or Ranker
        Of the class that was saved, ready to recommend or to score.

    Raises
    ------
    FileNotFoundError
        There is no such folder.
    ModelFileError
        A file is missing, truncated, altered, or of a version that this one cannot read; says which.

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
    return _read_folder(folder, verify)


def _read_folder(folder: Path, verify: bool) -> Estimator[Any]:
    index = _read_index(folder)
    try:
        model = _made({"model": index["model"], "params": index["params"]})
    except ModelFileError as error:
        raise ModelFileError(f"{folder / _INDEX}: {error}") from None
    except TypeError as error:
        raise ModelFileError(f"{folder / _INDEX}: parameters do not fit {index['model']}: {error}") from None
    fields: dict[str, Any] = {}
    types = typing.get_type_hints(model._state_type)
    for field in dataclasses.fields(model._state_type):
        name, wanted = field.name, types[field.name]
        try:
            if "file" in field.metadata:
                path = folder / field.metadata["file"]
                fields[name] = _checked(path, index["files"].get(name), verify).read_bytes()
            else:
                fields[name] = _field(folder, index, name, wanted, verify)
        except (ValueError, TypeError, OverflowError) as error:
            raise ModelFileError(f"{folder}: field {name!r} is damaged: {error}") from error
    try:
        model._state = model._state_type(**fields)
    except ValueError as error:
        raise ModelFileError(f"{folder}: {error}") from error
    return model


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
    expected = {"format": int, "ferrec": str, "model": str, "params": dict, "scalars": dict, "files": dict}
    for key, kind in expected.items():
        if not isinstance(index, dict) or not isinstance(index.get(key), kind):
            raise ModelFileError(f"{path}: {key!r} is missing or no {kind.__name__}")
    if index["format"] != FORMAT:
        version = f"format {index['format']}, written by ferrec {index['ferrec'][:40]}"
        raise ModelFileError(
            f"{path}: {version}; this is ferrec {_rust.__version__}, which reads format {FORMAT}"
        )
    return typing.cast("dict[str, Any]", index)


def _field(folder: Path, index: dict[str, Any], name: str, wanted: Any, verify: bool) -> object:
    """A field of the type that the state wants; the file has no say in it."""

    def array(part: str, dtype: str | None = None) -> NDArray[Any]:
        return _read(folder, index, f"{name}.{part}", dtype, verify)

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
    if wanted is Labels:
        parts = ("ints",) if f"{name}.ints" in index["files"] else ("offsets", "bytes")
        return Labels.from_arrays({part: array(part) for part in parts})
    if wanted is _rust.Csr:
        shape = array("shape", "<i8")
        indptr, indices, data = array("indptr", "<i8"), array("indices", "<i4"), array("data", "<f4")
        if shape.shape != (2,) or len(indptr) != shape[0] + 1 or not 0 <= shape[1] < 2**31:
            raise ValueError(f"shape {shape.tolist()} does not fit {len(indptr)} offsets")
        return _rust.Csr(indptr, indices, data, int(shape[1]), name=name)
    kind = typing.get_origin(wanted) or wanted
    if kind is np.ndarray:
        values = array(
            "values", np.dtype(typing.get_args(typing.get_args(wanted)[1])[0]).newbyteorder("<").str
        )
        if not np.isfinite(values).all():
            raise ValueError("holds values that are not finite")
        return values
    if issubclass(kind, Estimator):
        _checked(folder / name / _INDEX, index["files"].get(name), verify)
        part = _read_folder(folder / name, verify)
        if not isinstance(part, kind):
            raise ValueError(f"expected a {kind.__name__}, got {type(part).__name__}")
        return part
    if wanted is float and type(value) in (int, float) and np.isfinite(value):
        return float(value)
    if type(value) is wanted and wanted in (int, bool):
        return value
    raise ValueError(f"expected {wanted}, got {value!r}")


def _checked(path: Path, entry: object, verify: bool) -> Path:
    """The path of a file that is as the index says."""
    if not isinstance(entry, dict):
        raise ModelFileError(f"{path.parent / _INDEX}: says nothing of {path.name!r}")
    try:
        size = path.stat().st_size
        if size != entry.get("bytes"):
            raise ModelFileError(
                f"{path}: has {size} bytes, expected {entry.get('bytes')}: truncated or altered"
            )
        if verify and _digest(path) != entry.get("sha256"):
            raise ModelFileError(f"{path}: does not match its checksum: altered")
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise ModelFileError(f"{path}: {'is missing' if missing else error}") from None
    return path


def _read(folder: Path, index: dict[str, Any], name: str, dtype: str | None, verify: bool) -> NDArray[Any]:
    path = _checked(folder / f"{name}.npy", index["files"].get(name), verify)
    try:
        array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # NumPy's header parser lets many kinds through, tokenize's among them
        raise ModelFileError(f"{path}: is no array: {error}") from error
    if array.ndim != 1 or array.dtype.hasobject:
        raise ModelFileError(f"{path}: is no flat array of numbers")
    if dtype is not None and array.dtype != np.dtype(dtype):
        raise ModelFileError(f"{path}: has dtype {array.dtype}, expected {np.dtype(dtype)}")
    return array
