"""The kernels in a hostile process: forks, threads, signals, callbacks, memory, import time.

Whatever forks, sends signals or measures a process runs in one of its own.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from scripts import HANGS, said_by

import ferrec
from ferrec import _rust
from ferrec.kernels import ranking_metrics, top_k_neighbors, top_k_product, top_k_similar, weight

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")

MATRIX = """
import numpy as np
import scipy.sparse as sp

def matrix(n_users=800, n_items=600, density=0.04, seed=0):
    rng = np.random.default_rng(seed)
    return sp.random_array((n_users, n_items), density=density, format="csr", dtype=np.float32, rng=rng)

def digest(x):
    import hashlib
    return hashlib.sha256(x.indptr.tobytes() + x.indices.tobytes() + x.data.tobytes()).hexdigest()

def full(n):
    "Every cell is stored: n**3 multiply-adds in a product with itself."
    x = sp.csr_array((n, n), dtype=np.float32)
    x.indptr = np.arange(0, n * n + 1, n, dtype=np.int32)
    x.indices = np.tile(np.arange(n, dtype=np.int32), n)
    x.data = np.ones(n * n, dtype=np.float32)
    return x
"""
LONG = 3500
"""`full(LONG)` keeps two cores busy for about ten seconds or more."""

helpers: dict = {}
exec(MATRIX, helpers)
matrix, digest, full = helpers["matrix"], helpers["digest"], helpers["full"]


def python(tmp_path, body, **env):
    return said_by(tmp_path, MATRIX + body, **env)


# ---------------------------------------------------------------- processes


@posix
@pytest.mark.parametrize("used_before", [True, False])
def test_kernels_work_after_a_fork(tmp_path, used_before):
    """The parent's threads do not exist in the child."""
    body = f"""
import json, os, signal
from ferrec.kernels import top_k_similar
x = matrix()
if {used_before}:
    for n_threads in (None, 1, 2, 3):
        top_k_similar(x, 10, n_threads=n_threads)
reader, writer = os.pipe()
child = os.fork()
if child == 0:
    signal.alarm({HANGS})  # a child that hangs must not hang the suite
    found = [digest(top_k_similar(x, 10, n_threads=n)) for n in (None, 1, 2, 3)]
    grandchild = os.fork()
    if grandchild == 0:
        found.append(digest(top_k_similar(x, 10)))
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
# The parent goes on with its own pool meanwhile.
mine = [digest(top_k_similar(x, 10)) for _ in range(5)]
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
os.close(writer)
theirs = json.loads(os.read(reader, 1 << 20) or b"[]")
print(json.dumps([status, mine + theirs]))
"""
    status, found = python(tmp_path, body)
    assert status == 0
    assert set(found) == {digest(top_k_similar(matrix(), 10))} and len(found) == 10


@posix
def test_a_fork_while_other_threads_compute(tmp_path):
    body = """
import json, os, signal, threading
from ferrec.kernels import top_k_similar
x = matrix()
wanted = digest(top_k_similar(x, 10))
stop = threading.Event()
def busy():
    while not stop.is_set():
        top_k_similar(x, 10)
threads = [threading.Thread(target=busy) for _ in range(3)]
for thread in threads:
    thread.start()
statuses = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        signal.alarm(250)
        os._exit(0 if digest(top_k_similar(x, 10)) == wanted else 1)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
for thread in threads:
    thread.join()
print(json.dumps(statuses))
"""
    assert python(tmp_path, body) == [0] * 8


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_kernels_work_in_multiprocessing(tmp_path, method):
    if method == "fork" and os.name != "posix":
        pytest.skip("needs fork")
    body = f"""
import json, multiprocessing
from ferrec.kernels import top_k_similar

def work(seed):
    return digest(top_k_similar(matrix(seed=seed), 10))

if __name__ == "__main__":
    mine = [work(seed) for seed in range(4)]
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        theirs = pool.map_async(work, range(4)).get({HANGS})
    print(json.dumps(mine == theirs))
"""
    assert python(tmp_path, body) is True


# ---------------------------------------------------------------- threads


def test_threads_may_call_at_the_same_time():
    x = matrix(300, 250)
    near = top_k_similar(x, 20)
    calls = [
        lambda: digest(top_k_similar(x, 10)),
        lambda: digest(top_k_similar(x, 10, measure="pearson", axis="users", n_threads=2)),
        lambda: digest(top_k_product(x, near, 10, n_threads=3)),
        lambda: digest(top_k_neighbors(x, near, 10, exclude=x)),
        lambda: digest(weight(x, "bm25")),
        lambda: ranking_metrics(near, near, [5])["ndcg@5"].tobytes(),
    ]
    wanted = [call() for call in calls]
    found: list = [None] * 6
    start = threading.Barrier(len(found))

    def work(at):
        start.wait(HANGS)
        order = [(at + step) % len(calls) for step in range(len(calls) * 4)]
        found[at] = all(calls[which]() == wanted[which] for which in order)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
    assert found == [True] * len(found)


def test_the_gil_is_free_while_a_kernel_runs():
    """Another thread gets on far more often than the kernel takes the GIL for a look at signals and progress."""
    x = full(1100)
    running, over = threading.Event(), threading.Event()
    ticks = looks = 0

    def other():
        nonlocal ticks
        running.set()
        while not over.is_set():
            time.sleep(0.001)
            ticks += 1

    def look(done, total):
        nonlocal looks
        looks += 1

    thread = threading.Thread(target=other)
    thread.start()
    running.wait()
    before = ticks
    while looks < 20:
        top_k_product(x, x, 5, n_threads=1, progress=look)
    during = ticks - before
    over.set()
    thread.join()
    # A kernel that held the GIL would let the other thread through once a look.
    assert during > 3 * looks, (during, looks)


# ---------------------------------------------------------------- interruption and progress


def seconds_to_stop(tmp_path):
    """Of two long kernels, which get Ctrl-C when their first rows are done."""
    body = f"""
import signal
from ferrec.kernels import top_k_product, top_k_similar
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
x = full({LONG})
# Rows too short for dense blocks, in all 16 G products.
at = np.random.default_rng(0).integers(0, 20_000, (100_000, 400), dtype=np.int32)
ends = np.arange(0, at.size + 1, 400)
y = sp.csr_array((np.ones(at.size, np.float32), at.ravel(), ends), shape=(100_000, 20_000))
calls = (
    lambda: top_k_product(x, x, 10, n_threads=2, progress=look),
    lambda: top_k_similar(y, 10, n_threads=2, progress=look),
)
for call in calls:
    running = False
    def look(done, total):
        global running
        if done and not running:
            print("running", flush=True)
        running = done > 0
    try:
        call()
        print("finished", flush=True)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
# The pool is as good as new.
print(digest(top_k_similar(matrix(), 10)), flush=True)
"""
    script = tmp_path / "script.py"
    script.write_text(MATRIX + body)
    seconds = []
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as child:
        try:
            for _ in range(2):
                assert child.stdout.readline() == "running\n"
                start = time.perf_counter()
                child.send_signal(signal.SIGINT)
                assert child.stdout.readline() == "interrupted\n"
                seconds.append(time.perf_counter() - start)
            assert child.stdout.readline().strip() == digest(top_k_similar(matrix(), 10))
        finally:
            child.kill()
    return seconds


@posix
def test_ctrl_c_stops_a_kernel(tmp_path):
    assert len(seconds_to_stop(tmp_path)) == 2


@posix
@pytest.mark.timing
def test_ctrl_c_stops_a_kernel_at_once(tmp_path, pace):
    assert max(seconds_to_stop(tmp_path)) < 50 * pace()


def test_progress_is_reported_and_does_not_change_the_result():
    x = full(1100)
    seen, wanted = [], digest(top_k_product(x, x, 5))
    while not seen:  # a fast machine may be over before the first look
        got = top_k_product(x, x, 5, n_threads=1, progress=lambda done, total: seen.append((done, total)))
        assert digest(got) == wanted
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert all(0 <= d <= t for d, t in seen)
    assert len({t for _, t in seen if t}) == 1


@pytest.mark.parametrize("error", [RuntimeError("enough"), KeyboardInterrupt(), SystemExit(3)])
def test_an_exception_in_the_callback_stops_the_kernel(error):
    x = full(LONG)
    calls = []

    def stop(done, total):
        calls.append((done, total))
        raise error

    with pytest.raises(type(error)) as caught:
        top_k_product(x, x, 5, n_threads=2, progress=stop)
    assert caught.value is error
    assert len(calls) == 1
    assert digest(top_k_similar(matrix(), 10)) == digest(top_k_similar(matrix(), 10, n_threads=1))


@pytest.mark.timing
def test_a_kernel_that_is_stopped_does_not_go_on(pace):
    x, start = full(LONG), None

    def stop(done, total):
        nonlocal start
        start = time.perf_counter()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        top_k_product(x, x, 5, n_threads=2, progress=stop)
    assert time.perf_counter() - start < 50 * pace()


def crowd(n_users, n_items, n_events):
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, n_users, n_events), rng.integers(0, n_items, n_events)
    return ferrec.Interactions.from_arrays(users, items, duplicates="max")


# On two threads each would take far longer than a second, on any machine.
ENDLESS = {
    "PureSVD": (ferrec.PureSVD(n_factors=1500, tol=1e-7), (6000, 5000, 400_000)),
    "ALS": (ferrec.ALS(epochs=10**6), (2000, 1000, 40_000)),
    "EASE": (ferrec.EASE(), (20_000, 6000, 400_000)),
    "SLIM": (
        ferrec.SLIM(l1=0.0, l2=0.0, positive=False, tol=1e-12, max_iter=10**9),
        (2000, 1500, 600_000),
    ),
    "BiasedMF": (ferrec.BiasedMF(epochs=10**6), (2000, 1000, 40_000)),
    "ItemEmbeddings": (ferrec.ItemEmbeddings(n_factors=2000, tol=1e-7), (40, 8000, 400_000)),
}


def seconds_to_stop_a_fit(name):
    """From an exception in the first look at its progress."""
    model, sizes = ENDLESS[name]
    data, calls = crowd(*sizes), []

    def stop(done, total):
        calls.append(time.perf_counter())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.set_params(n_threads=2).fit(data, progress=stop)
    seconds = time.perf_counter() - calls[0]
    assert len(calls) == 1
    with pytest.raises(ferrec.NotFittedError):
        model.recommend()
    return seconds


@pytest.mark.parametrize("name", ENDLESS)
def test_a_fit_is_stopped(name):
    seconds_to_stop_a_fit(name)


@pytest.mark.timing
@pytest.mark.parametrize("name", ENDLESS)
def test_a_fit_is_stopped_at_once(name, pace):
    assert seconds_to_stop_a_fit(name) < 50 * pace()


def test_a_callback_may_call_a_kernel():
    x, small = full(1100), matrix(100, 80)
    wanted, found = digest(top_k_similar(small, 5)), []
    while not found:  # a fast machine may be over before the first look
        top_k_product(x, x, 5, progress=lambda done, total: found.append(digest(top_k_similar(small, 5))))
    assert set(found) == {wanted}


# ---------------------------------------------------------------- instruction sets


def test_every_instruction_set_gives_the_same_bits(tmp_path):
    body = """
import json
from ferrec import _rust
from ferrec.kernels import top_k_neighbors, top_k_product, top_k_similar
x = matrix(300, 1300)
found = [digest(top_k_similar(x, 20, measure=m, axis=a)) for m in _rust.measures for a in ("items", "users")]
near = top_k_similar(x, 40)
found.append(digest(top_k_product(x, near, 15, threshold=0.01)))
found.append(digest(top_k_neighbors(x, near, 15, exclude=x, allow=list(range(0, 1300, 3)))))
print(json.dumps([_rust.simd_level(), found]))
"""
    answers = {level: python(tmp_path, body, FERREC_SIMD=level) for level in (*_rust.simd_levels, "")}
    assert answers[""][0] == _rust.simd_levels[-1]
    assert all(answers[level][0] == level for level in _rust.simd_levels)
    assert all(found == answers["portable"][1] for _, found in answers.values())


def test_an_instruction_set_that_is_not_there_is_refused(tmp_path):
    body = """
try:
    import ferrec
except ValueError as error:
    import json
    print(json.dumps(str(error)))
"""
    message = said_by(tmp_path, body, FERREC_SIMD="junk")
    assert message.startswith("FERREC_SIMD: ")
    assert "portable" in message
    assert "'junk'" in message or '"junk"' in message


# ---------------------------------------------------------------- import and memory

IMPORT = """
import json, sys, time
at_first = set(sys.modules)
start = time.perf_counter()
import numpy, scipy.sparse
between = time.perf_counter()
import ferrec
end = time.perf_counter()
names = sorted({name.split(".")[0] for name in set(sys.modules) - at_first})
print(json.dumps([between - start, end - between, names]))
"""


def imported(body=IMPORT):
    done = subprocess.run(
        [sys.executable, "-c", body], capture_output=True, text=True, check=True, timeout=HANGS
    )
    return json.loads(done.stdout)


def test_import_loads_numpy_and_scipy_alone():
    alone, beside = IMPORT.replace("import numpy, scipy.sparse", ""), IMPORT.replace("import ferrec", "")
    loaded = set(imported(alone)[2]) - sys.stdlib_module_names
    assert loaded - set(imported(beside)[2]) == {"ferrec"}
    assert {"numpy", "scipy"} <= loaded


def test_what_is_left_for_later_comes_when_asked_for():
    body = """
import json, sys
import ferrec
at_once = {name.split(".")[1] for name in sys.modules if name.startswith("ferrec.")}
later = sorted(at_once - {"_rust", "data", "errors", "io", "kernels", "storage"})
missing = [name for name in ferrec.__all__ if not hasattr(ferrec, name) or name not in dir(ferrec)]
named = ("datasets", "distributed", "errors", "evaluation", "features", "kernels", "models", "rankers", "testing")
modules = [name for name in named if getattr(ferrec, name) is not sys.modules[f"ferrec.{name}"]]
print(json.dumps([later, missing, modules]))
"""
    assert imported(body) == [[], [], []]
    with pytest.raises(AttributeError, match="module 'ferrec' has no attribute 'ItemKnn'"):
        _ = ferrec.ItemKnn


@pytest.mark.timing
def test_import_is_fast():
    """Beside NumPy and SciPy's sparse arrays. The least of several, as whatever else the machine does only adds."""
    beside, own = zip(*(imported()[:2] for _ in range(6)), strict=True)
    alone = [imported(IMPORT.replace("import numpy, scipy.sparse", ""))[1] for _ in range(6)]
    assert min(own) < 0.5 * min(beside), (min(own), min(beside))
    assert min(alone) < 1.5 * min(beside), (min(alone), min(beside))


@linux
def test_similar_never_holds_a_dense_square(tmp_path):
    body = """
import json
from ferrec.kernels import top_k_similar

def status(key):
    line = next(line for line in open("/proc/self/status") if line.startswith(key))
    return int(line.split()[1]) * 1024

rng = np.random.default_rng(0)
n_items = 20_000
# Built by hand: SciPy's own way of drawing places takes memory for every cell.
pairs = np.unique(rng.integers(0, 4000 * n_items, 400_000))
shape = (4000, n_items)
ones = np.ones(len(pairs), dtype=np.float32)
x = sp.coo_array((ones, (pairs // n_items, pairs % n_items)), shape=shape).tocsr()
top_k_similar(x[:10], 10)
before = status("VmRSS")
near = top_k_similar(x, 20)
print(json.dumps([status("VmHWM") - before, near.shape, near.nnz]))
"""
    grew, shape, nnz = python(tmp_path, body)
    dense = 4 * 20_000**2
    assert shape == [20_000, 20_000] and nnz > 300_000
    assert grew < dense / 16, (
        f"{grew / 1e6:.0f} MB more at the peak; the dense square is {dense / 1e6:.0f} MB"
    )


def test_memory_is_given_back():
    """Many calls hold no more than a few do."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        pytest.skip("needs /proc")
    x = matrix(400, 2000, 0.02)

    def resident():
        return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    for _ in range(30):
        top_k_similar(x, 50)
    before = resident()
    for _ in range(150):
        near = top_k_similar(x, 50)
    assert isinstance(near, sp.csr_array) and near.nnz > 50_000
    one = near.data.nbytes + near.indices.nbytes
    assert resident() - before < 30 * one, (resident() - before, one)
    assert np.isfinite(near.data).all()


def test_an_answer_that_no_machine_holds_is_refused():
    keys = np.arange(1_000_000, dtype=np.uint64)
    with pytest.raises(MemoryError, match=r"the answer of 1000000 rows, .* needs 16000000\.0 GiB"):
        _rust.top_k_random(0, keys, 2**31 - 1, 2**31 - 1, ferrec.kernels.filters.Filter(), 1, None)
