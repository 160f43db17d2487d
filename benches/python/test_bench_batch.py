"""The benchmark of the batch job on little data, and that it sees what is wrong."""

import json
from pathlib import Path
from typing import Any

import batch
import pytest
import soak

pytest.importorskip("pyarrow")
linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")


@linux
def test_everything_runs_and_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr(batch, "RECORD", tmp_path / "record")
    monkeypatch.setattr(batch, "REPOSITORY", tmp_path)
    words = [
        "throughput",
        "nightly",
        "histories",
        "workers",
        "billion",
        "--small",
        "--workers",
        "3",
        "--record",
    ]
    assert batch.main([*words, "--folder", str(tmp_path / "work")]) == 0
    said = capsys.readouterr().out
    found = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "record").glob("*.json")}
    assert set(found) == {"throughput", "nightly", "histories", "workers"}
    assert all(one["wrong_rows"] == 0 for one in found["throughput"]["engines"].values())
    night = found["nightly"]
    assert night["summary"]["users"] == 20_000 and night["peak_bytes"] <= night["limit"]
    assert [row["workers"] for row in found["workers"]["rows"]] == [1, 2, 3]
    assert all("pyarrow" in one["machine"]["versions"] for one in found.values())
    assert "core hours" in said and "NOT as it should be" not in said


def test_growth_is_seen() -> None:
    flat: list[list[float]] = [[at, 1000 + at % 7, at] for at in range(100)]
    growing: list[list[float]] = [[at, 1000 + 2 * at, at] for at in range(100)]
    rest = {"peak_bytes": 1300, "limit": 2000, "checksums": ["one"]}
    assert soak.is_flat(rest | soak.thirds(flat))
    assert not soak.is_flat(rest | soak.thirds(growing))
    assert not soak.is_flat(rest | soak.thirds(flat) | {"peak_bytes": 2001})
    assert not soak.is_flat(rest | soak.thirds(flat) | {"checksums": ["one", "other"]})


@linux
def test_a_short_soak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(soak, "EVERY", 0.05)
    picture = tmp_path / "soak.svg"
    words = ["soak", "--small", "--minutes", "0.05", "--picture", str(picture)]
    assert batch.main([*words, "--folder", str(tmp_path / "work")]) == 0
    assert "<svg" in picture.read_text() and "jobs of 3,000 users" in capsys.readouterr().out
