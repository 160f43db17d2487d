"""What a preparation learned as a folder: `preparation.json` and one `.npy` file an array, as models are saved."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec.data.ids import Ids
from ferrec.errors import DataError, FerrecError, ModelFileError
from ferrec.io.indexed import FolderKind, write_array
from ferrec.preparation._filters import Known
from ferrec.preparation._report import Report
from ferrec.preparation._steps import PrepareState
from ferrec.preparation._values import Scale
from ferrec.preparation.settings import Settings
from ferrec.storage import folders

PREPARATIONS = FolderKind(
    "preparation", "preparation.json", 2, {"params": dict, "fills": dict, "scales": dict, "report": dict}
)
"""The folders that preparations are saved in."""


def save(state: PrepareState, target: Path) -> None:
    """Write the folder; it appears under its name when it is complete."""
    with PREPARATIONS.new(target) as folder:
        files = {name: write_array(folder / f"{name}.npy", array) for name, array in _arrays(state).items()}
        content = {
            "params": _params_out(state.params),
            "fills": state.fills,
            "latest": state.latest,
            "scales": {name: [one.method, one.center, one.spread] for name, one in state.scales.items()},
            "report": state.report.to_dict(),
            "files": files,
        }
        PREPARATIONS.write_index(folder, content, folders.plain, allow_nan=False)


def _arrays(state: PrepareState) -> dict[str, NDArray[Any]]:
    arrays = {}
    for side, known in (("users", state.users), ("items", state.items)):
        if known is not None:
            for part, ids in (("kept", known.kept), ("dropped", known.dropped)):
                for kind, array in ids.to_arrays().items():
                    arrays[f"{side}.{part}.{kind}"] = array
    for at, scale in enumerate(state.scales.values()):
        if scale.centers is not None and scale.spreads is not None:
            arrays |= {f"scale{at}.centers": scale.centers, f"scale{at}.spreads": scale.spreads}
    return arrays


def load(folder: Path) -> PrepareState:
    """Read the folder; whatever does not fit is a `ModelFileError`."""
    if folder.is_file():
        raise NotADirectoryError(f"{folder}: is a file, and what was saved is a folder")
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
        return PrepareState(
            params, index["fills"], users, items, scales, latest, Report.from_dict(index["report"])
        )
    except ModelFileError:
        raise
    except (FerrecError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise ModelFileError(f"{folder / PREPARATIONS.index}: is damaged: {error}") from error


def _read_index(folder: Path) -> dict[str, Any]:
    index = PREPARATIONS.read_index(folder)
    for name, value in index["fills"].items():
        if not isinstance(value, bool | int | float | str):
            raise ModelFileError(f"{folder / PREPARATIONS.index}: the value that fills {name!r} is {value!r}")
    return index


def _known(folder: Path, index: dict[str, Any], side: str) -> Known | None:
    def ids(part: str) -> Ids:
        kinds = ("ints",) if f"{side}.{part}.ints" in index["files"] else ("offsets", "bytes")
        read = {
            kind: PREPARATIONS.read_array(folder, index, f"{side}.{part}.{kind}", None, True)
            for kind in kinds
        }
        return Ids.from_arrays(read)

    if not any(name.startswith(f"{side}.") for name in index["files"]):
        return None
    return Known(ids("kept"), ids("dropped"))


def _scale(
    folder: Path, index: dict[str, Any], at: int, name: str, method: Any, users: Known | None
) -> Scale:
    saved, center, spread = index["scales"][name]
    if saved != method or not (np.isfinite(center) and np.isfinite(spread) and spread >= 0):
        raise DataError("scales", f"that of {name!r} must be numbers", index["scales"][name])
    if not method.endswith("_by_user") or users is None:
        return Scale(method, float(center), float(spread))
    sides = []
    for part in ("centers", "spreads"):
        array = PREPARATIONS.read_array(folder, index, f"scale{at}.{part}", "<f8", True)
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
