"""benches/record: a pair of files for each run, tables and raw figures."""

import json
import re
from pathlib import Path
from typing import Any

from machine import REPOSITORY
from rows import ROWS
from shapes import NAMES
from tables import tables

Json = dict[str, Any]

RECORD = REPOSITORY / "benches" / "record"


def record(where: Json, entries: list[Json], folder: Path = RECORD) -> Path:
    """Writes the files; rows measured earlier under the same conditions that day stay, with their commit."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [{**entry, "commit": where["commit"]} for entry in entries]
    for number in range(1, 100):
        path = folder / f"{stem(where)}{f'-{number}' if number > 1 else ''}.json"
        if not path.exists():
            break
        earlier = json.loads(path.read_text())
        if earlier["machine"] | {"commit": where["commit"]} == where:
            new = {(entry["row"], entry["shape"]) for entry in entries}
            kept = [e for e in earlier["entries"] if (e["row"], e["shape"]) not in new]
            entries = [{"commit": earlier["machine"]["commit"], **entry} for entry in kept] + entries
            break
    entries = ordered(entries)
    path.write_text(json.dumps({"machine": where, "entries": entries}, indent=1) + "\n")
    path.with_suffix(".md").write_text(tables(where, entries))
    return path


def write(path: Path, found: Json) -> None:
    """All at once: a run that is stopped leaves what the step before has found."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def ordered(entries: list[Json]) -> list[Json]:
    """As the rows and the shapes are listed in the code; what is no longer there last."""
    rank = {key: n for n, key in enumerate((r, s) for r in ROWS for s in NAMES)}
    return sorted(entries, key=lambda entry: rank.get((entry["row"], entry["shape"]), len(rank)))


def stem(where: Json) -> str:
    """How the names of that day's files on that CPU begin."""
    return f"{where['date']}-" + re.sub(r"[^a-z0-9]+", "-", where["cpu"].lower()).strip("-")


def newest(folder: Path = RECORD) -> list[Path]:
    """The newest file and those measured under the same conditions; the newest first."""
    machines = {path: json.loads(path.read_text())["machine"] for path in folder.glob("*.json")}

    def age(path: Path) -> tuple[str, int]:
        number = path.stem.removeprefix(stem(machines[path])).removeprefix("-")
        return machines[path]["date"], int(number or 1)

    def conditions(path: Path) -> list[Any]:
        return [machines[path][key] for key in ("cpu", "threads", "commit", "simd")]

    paths = sorted(machines, key=age, reverse=True)
    return [path for path in paths if conditions(path) == conditions(paths[0])]


def read(paths: list[Path]) -> tuple[Json, list[Json]]:
    """The first one's machine, and the rows of all; where several hold a row, the first one's."""
    rows: dict[tuple[str, str], Json] = {}
    for path in paths:
        for entry in json.loads(path.read_text())["entries"]:
            rows.setdefault((entry["row"], entry["shape"]), {"group": "peers", **entry})
    return json.loads(paths[0].read_text())["machine"], ordered(list(rows.values()))
