"""What a preparation learned as a folder: `preparation.json` and one `.npy` file an array, as models are saved."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.errors import FerrecError, ModelFileError
from ferrec.preparation._filters import Known
from ferrec.preparation._report import Report
from ferrec.preparation._steps import State
from ferrec.preparation._values import Scale
from ferrec.preparation.settings import Settings
from ferrec.storage import folders

FORMAT = 1
INDEX = "preparation.json"
_PARTS = {
    "format": int,
    "ferrec": str,
    "params": dict,
    "fills": dict,
    "scales": dict,
    "report": dict,
    "files": dict,
}


def save(state: State, target: Path) -> None:
    """Write the folder; it appears under its name when it is complete."""
    if target.exists() and not (target / INDEX).is_file():
        raise FileExistsError(f"{target}: exists and is no saved preparation; choose another folder")
    index = {
        "format": FORMAT,
        "ferrec": _rust.__version__,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "params": _params_out(state.params),
        "fills": state.fills,
        "latest": state.latest,
        "scales": {name: [one.method, one.center, one.spread] for name, one in state.scales.items()},
        "report": state.report.to_dict(),
    }
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        arrays = _arrays(state)
        index["files"] = {
            name: folders.write_array(made / f"{name}.npy", array) for name, array in arrays.items()
        }
        with (made / INDEX).open("w", encoding="utf-8") as file:
            json.dump(index, file, indent=1, ensure_ascii=False, allow_nan=False, default=folders.plain)
            file.flush()
            os.fsync(file.fileno())
        made.chmod(0o755)
        folders.put_in_place(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _arrays(state: State) -> dict[str, NDArray[Any]]:
    arrays = {}
    for side, known in (("users", state.users), ("items", state.items)):
        if known is not None:
            for part, labels in (("kept", known.kept), ("dropped", known.dropped)):
                for kind, array in labels.to_arrays().items():
                    arrays[f"{side}.{part}.{kind}"] = array
    for at, scale in enumerate(state.scales.values()):
        if scale.centers is not None and scale.spreads is not None:
            arrays |= {f"scale{at}.centers": scale.centers, f"scale{at}.spreads": scale.spreads}
    return arrays


def load(folder: Path) -> State:
    """Read the folder; whatever does not fit is a `ModelFileError`."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    index = _read_index(folder)
    try:
        params = _params_in(index["params"])
        settings = Settings.of(params)
        users, items = _known(folder, index, "users"), _known(folder, index, "items")
        scales = {}
        for at, (name, method) in enumerate(settings.normalize.items()):
            scales[name] = _scale(folder, index, at, name, method, users)
        latest = index["latest"]
        if latest is not None and type(latest) is not int:
            raise ValueError(f"latest is {latest!r}")
        needed = (settings.activity or settings.k_core or settings.by_user, settings.k_core)
        if (needed[0] and users is None) or (needed[1] and items is None):
            raise ValueError("ids that the filters need are missing")
        return State(params, index["fills"], users, items, scales, latest, Report.from_dict(index["report"]))
    except ModelFileError:
        raise
    except (FerrecError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise ModelFileError(f"{folder / INDEX}: is damaged: {error}") from error


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelFileError(f"{folder}: is no saved preparation, {INDEX} is missing") from None
    except (ValueError, RecursionError, OSError) as error:
        raise ModelFileError(f"{path}: cannot be read: {error}") from error
    for key, kind in _PARTS.items():
        if not isinstance(index, dict) or not isinstance(index.get(key), kind):
            raise ModelFileError(f"{path}: {key!r} is missing or no {kind.__name__}")
    if index["format"] != FORMAT:
        written = f"format {index['format']}, written by ferrec {index['ferrec'][:40]}"
        raise ModelFileError(f"{path}: {written}; this ferrec reads format {FORMAT}")
    for name, value in index["fills"].items():
        if not isinstance(value, bool | int | float | str):
            raise ModelFileError(f"{path}: the value that fills {name!r} is {value!r}")
    return cast("dict[str, Any]", index)


def _known(folder: Path, index: dict[str, Any], side: str) -> Known | None:
    def labels(part: str) -> Ids:
        kinds = ("ints",) if f"{side}.{part}.ints" in index["files"] else ("offsets", "bytes")
        read = {
            kind: folders.read_array(folder, index, f"{side}.{part}.{kind}", None, True) for kind in kinds
        }
        return Ids.from_arrays(read)

    if not any(name.startswith(f"{side}.") for name in index["files"]):
        return None
    return Known(labels("kept"), labels("dropped"))


def _scale(
    folder: Path, index: dict[str, Any], at: int, name: str, method: Any, users: Known | None
) -> Scale:
    saved, center, spread = index["scales"][name]
    if saved != method or not (np.isfinite(center) and np.isfinite(spread) and spread >= 0):
        raise ValueError(f"the scale of {name!r} is {index['scales'][name]!r}")
    if not method.endswith("_by_user") or users is None:
        return Scale(method, float(center), float(spread))
    sides = []
    for part in ("centers", "spreads"):
        array = folders.read_array(folder, index, f"scale{at}.{part}", "<f8", True)
        if len(array) != len(users.kept) or not np.isfinite(array).all():
            raise ValueError(f"the {part} of {name!r} do not fit {len(users.kept)} users")
        sides.append(array)
    return Scale(method, float(center), float(spread), *sides)


def _params_out(params: Mapping[str, Any]) -> dict[str, Any]:
    """JSON knows no keys but text, and no tuples."""
    weights = params["event_weights"]
    return {**params, "event_weights": None if weights is None else list(map(list, dict(weights).items()))}


def _params_in(saved: dict[str, Any]) -> dict[str, Any]:
    params = dict(saved)
    if params["event_weights"] is not None:
        params["event_weights"] = dict(params["event_weights"])
    for name in ("activity", "k_core"):
        if isinstance(params[name], list):
            params[name] = tuple(params[name])
    return params
