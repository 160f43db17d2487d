"""The plan: exact where it says so, an upper bound of memory, time within reason."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp

import ferrec
from ferrec.datasets import synthetic


@pytest.mark.parametrize("axis", ["items", "users"])
def test_multiply_adds_are_those_of_the_naive_loops(axis):
    x = synthetic(300, 200, 5000)
    lengths = np.diff(x.indptr) if axis == "items" else np.bincount(x.indices, minlength=200)
    assert ferrec.plan(x, k=5, axis=axis).multiply_adds == int((lengths.astype(np.int64) ** 2).sum())


def test_an_empty_matrix_costs_nothing():
    cost = ferrec.plan(sp.csr_array((0, 0), dtype=np.float32))
    assert (cost.multiply_adds, cost.dense, cost.scattered) == (0, 0, 0)


def test_more_work_takes_longer():
    small, large = synthetic(2000, 1000, 50_000), synthetic(2000, 1000, 400_000)
    assert ferrec.plan(large).seconds > ferrec.plan(small).seconds


def test_values_of_the_same_kind_cost_the_same():
    x = synthetic(2000, 1000, 100_000)
    doubled = x.copy()
    doubled.data *= 2
    assert ferrec.plan(x).scattered == ferrec.plan(doubled).scattered
    assert ferrec.plan(x, measure="jaccard").bytes < ferrec.plan(x, measure="pearson").bytes


def test_it_reads_as_a_table():
    text = str(ferrec.plan(synthetic(300, 200, 5000), n_threads=2))
    assert "naive multiply-adds" in text
    assert "time on 2 threads" in text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"k": 0}, "k"), ({"measure": "cos"}, "measure"), ({"axis": "rows"}, "axis"), ({"alpha": 2.0}, "alpha")],
)
def test_bad_arguments_are_named(arguments, text):
    with pytest.raises(ValueError, match=text):
        ferrec.plan(synthetic(30, 20, 50), **arguments)


MEASURED = """
import re, sys
from pathlib import Path
import ferrec
from ferrec.datasets import synthetic
from ferrec.kernels import top_k_similar

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

top_k_similar(synthetic(200, 100, 2000), 10, n_threads=2)
x = synthetic(60_000, 20_000, 4_000_000)
plan = ferrec.plan(x, 50, n_threads=2)
Path("/proc/self/clear_refs").write_text("5")
before = peak()
answer = top_k_similar(x, 50, n_threads=2)
print((peak() - before - answer.data.nbytes - answer.indices.nbytes) / plan.bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_stays_below_the_plan():
    done = subprocess.run([sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True)
    share = float(done.stdout)
    assert 0.3 < share < 1.15, share
