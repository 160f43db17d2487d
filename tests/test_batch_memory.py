"""The real process, `ferrec recommend --memory-limit`: what it has resident, however many users there are."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

import ferrec

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not say how much memory a process has had"
)

MIB = 1 << 20
LIMIT = 256 * MIB
ITEMS, EACH = 10_000, 8
FEW, MANY = 100_000, 500_000
"""Users; of MANY the answers alone would take 120 MB more."""


def events(n_users):
    items = np.random.default_rng(0).integers(0, ITEMS, n_users * EACH, dtype=np.int32)
    ends = np.arange(0, len(items) + 1, EACH, dtype=np.int32)
    return sp.csr_array((np.ones(len(items), np.float32), items, ends), shape=(n_users, ITEMS))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two models that differ in the number of their users."""
    folder = tmp_path_factory.mktemp("memory")
    names = [f"item {at}" for at in range(ITEMS)]
    for n_users in (FEW, MANY):
        ids = [f"user {at:08d}" for at in range(n_users)]
        data = ferrec.Interactions.from_csr(events(n_users), user_ids=ids, item_ids=names)
        ferrec.ItemKNN(k=20).fit(data).save(folder / f"model-{n_users}")
    return folder


def job(home, n_users, output, *words):
    """The most memory that the system has seen in it, and its summary."""
    command = [sys.executable, "-m", "ferrec.cli", "recommend", home / f"model-{n_users}", "-o", output]
    command += ["--memory-limit", str(LIMIT), "--json", *words]
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True) as process:
        lines = process.stdout.read().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, lines[-1:]
    summary = json.loads(lines[-1])
    assert summary["event"] == "finished" and summary["peak_bytes"] <= usage.ru_maxrss << 10
    return summary["peak_bytes"], summary


def test_it_stays_under_the_limit_however_many_users_there_are(home, tmp_path):
    peaks = {}
    for n_users in (FEW, MANY):
        peaks[n_users], done = job(home, n_users, tmp_path / f"{n_users}")
        assert (done["users"], done["rows"]) == (n_users, 10 * n_users) and done["blocks"] > 4
    assert max(peaks.values()) < LIMIT, peaks
    assert peaks[MANY] - peaks[FEW] < LIMIT / 8, peaks


def test_users_in_any_order(home, tmp_path):
    """Their histories lie all over the model's file."""
    order = np.random.default_rng(1).permutation(MANY)[:200_000]
    table = pyarrow.table({"user_id": pyarrow.array([f"user {at:08d}" for at in order.tolist()])})
    parquet.write_table(table, tmp_path / "users.parquet")
    peak, done = job(home, MANY, tmp_path / "out", "--users", tmp_path / "users.parquet")
    assert peak < LIMIT and done["users"] == len(order)


def test_histories_from_parquet(home, tmp_path):
    """In one row group, some of them long."""
    n, rng = 60_000, np.random.default_rng(2)
    lengths = np.where(rng.random(n) < 0.01, 2_000, 20)
    names = pyarrow.array([f"item {at}" for at in range(ITEMS)])
    flat = pyarrow.DictionaryArray.from_arrays(
        rng.integers(0, ITEMS, lengths.sum(), dtype=np.int32), names
    ).cast(pyarrow.string())
    lists = pyarrow.ListArray.from_arrays(
        pyarrow.array(np.concatenate([[0], lengths.cumsum()]), pyarrow.int32()), flat
    )
    table = pyarrow.table({"user_id": np.arange(n), "basket": lists})
    parquet.write_table(table, tmp_path / "baskets.parquet", row_group_size=n)
    words = ["--users", tmp_path / "baskets.parquet", "--history", "basket", "-n", "20"]
    peak, done = job(home, FEW, tmp_path / "out", *words)
    assert peak < LIMIT and (done["users"], done["rows"]) == (n, 20 * n)
