"""What is free, and the models that refuse where it is not enough."""

import numpy as np
import pytest
import scipy.sparse as sp

import ferrec
from ferrec import _rust
from ferrec.io import memory
from ferrec.io.memory import free_bytes
from ferrec.kernels.handles import as_csr
from ferrec.testing import checkerboard

MIB = 1 << 20


def files(folder, **texts):
    for name, text in texts.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def proc(tmp_path):
    return files(tmp_path / "proc", meminfo="MemTotal: 16384 kB\nMemAvailable:    8192 kB\n")


def test_the_machine_says_what_is_free(proc, tmp_path):
    assert free_bytes(proc, tmp_path / "none") == 8 * MIB
    assert free_bytes() is None or free_bytes() > 0


def test_the_smallest_group_counts(proc, tmp_path):
    files(proc, self__cgroup="0::/job/step\n")
    groups = files(
        tmp_path / "groups",
        **{
            "job__step__memory.max": "max\n",
            "job__step__memory.current": f"{1 * MIB}\n",
            "job__memory.max": f"{4 * MIB}\n",
            "job__memory.current": f"{3 * MIB}\n",
            "job__memory.stat": f"anon 5\ninactive_file {MIB}\nactive_file {MIB // 2}\n",
        },
    )
    assert free_bytes(proc, groups) == 2.5 * MIB
    (groups / "job" / "memory.current").write_text(f"{9 * MIB}\n")
    assert free_bytes(proc, groups) == 0
    (groups / "job" / "memory.max").write_text(f"{100 * MIB}\n")
    assert free_bytes(proc, groups) == 8 * MIB  # no more than the machine has


def test_the_first_version_of_groups_and_the_path_of_a_host(proc, tmp_path):
    files(proc, self__cgroup="9:cpu,cpuacct:/docker/1f\n5:memory:/docker/1f\n0::/\n")
    groups = files(
        tmp_path / "groups",
        **{
            "memory__memory.limit_in_bytes": f"{6 * MIB}\n",
            "memory__memory.usage_in_bytes": f"{5 * MIB}\n",
            "memory__memory.stat": f"inactive_file 7\ntotal_inactive_file {2 * MIB}\n",
        },
    )
    assert free_bytes(proc, groups) == 3 * MIB


def only(monkeypatch, free):
    monkeypatch.setattr(memory, "free_bytes", lambda: free)
    monkeypatch.setattr("ferrec.models.linear.slim.free_bytes", lambda: free)


@pytest.mark.parametrize(
    ("params", "size"),
    [
        ({}, (8 + 8) * 12 * 12),
        ({"dtype": "float32"}, (4 + 4) * 12 * 12),
        # With few weights the columns that the inversion copies, here all, are more than these.
        ({"k": 3}, 8 * 12 * 12 + 8 * 12 * 12),
        ({"k": 3, "dtype": "float32"}, 4 * 12 * 12 + 4 * 12 * 12),
        ({"k": 9, "dtype": "float32"}, 4 * 12 * 12 + 8 * 12 * 9),
    ],
)
def test_ease_refuses_what_does_not_fit(monkeypatch, params, size):
    only(monkeypatch, size - 1)
    with pytest.raises(MemoryError, match=r"EASE of 12 items .* needs 0\.0 GiB, and 0\.0 GiB are free"):
        ferrec.EASE(**params).fit(checkerboard())
    only(monkeypatch, size)
    ferrec.EASE(**params).fit(checkerboard())


def test_slim_refuses_what_does_not_fit(monkeypatch):
    size = _rust.gram_size(checkerboard().csr, 0, 1)
    only(monkeypatch, size - 1)
    with pytest.raises(MemoryError, match=r"SLIM of 12 items needs 0\.0 GiB, and 0\.0 GiB are free"):
        ferrec.SLIM().fit(checkerboard())
    only(monkeypatch, size)
    ferrec.SLIM().fit(checkerboard())


def test_where_the_system_says_nothing_nothing_is_refused(monkeypatch):
    only(monkeypatch, None)
    ferrec.SLIM().fit(checkerboard())
    ferrec.EASE().fit(checkerboard())


@pytest.mark.parametrize("density", [0.0, 0.01, 0.1, 0.6])
def test_the_size_of_a_gram_matrix(density):
    n = 64
    x = sp.random_array(
        (50, n), density=density, format="csr", dtype=np.float32, rng=np.random.default_rng(3)
    )
    entries = np.diff((x.T @ x).tocsr().indptr)
    rows = np.where(entries * 8 >= n, 4 * n, 8 * entries).sum()
    empty = _rust.gram_size(as_csr(sp.csr_array((50, n), dtype=np.float32)), 0, 1)  # of the rows' headers
    exact = _rust.gram_size(as_csr(x), 0, 2)
    assert exact == rows + empty
    bound = _rust.gram_size(as_csr(x), 2**60, 2)
    assert exact <= bound <= 4 * n * n + empty
    assert _rust.gram_size(as_csr(x), bound - 1, 2) == exact
