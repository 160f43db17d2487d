"""Scoring among forks, threads and signals: servers that fork, pools, Ctrl-C, other libraries' threads.

Everything that forks, is killed or is counted runs in a process of its own, with a limit of time.
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
from ferrec.testing._checks import sample

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

posix = pytest.mark.skipif(os.name != "posix", reason="needs fork and signals")
linux = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")

HEAD = """
import json, os, signal, sys, threading, time
from pathlib import Path
import numpy as np
import pyarrow
import ferrec
home = Path(sys.argv[1])

def digest(table):
    import hashlib
    columns = [table.column(name) for name in ("score", "rank")]
    return hashlib.sha256(b"".join(column.to_numpy().tobytes() for column in columns)).hexdigest()

def score(model, n_threads=None):
    users = pyarrow.table({"user_id": list(model.users.values)})
    return digest(ferrec.score_table(model, users, n=4, n_threads=n_threads))

def busy(prefix):
    "CPU seconds of the threads with names that begin so, and of all others but those of Python."
    ours = others = 0.0
    for task in Path("/proc/self/task").iterdir():
        name = (task / "comm").read_text().strip()
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        if name.startswith(prefix):
            ours += seconds
        elif int(task.name) != os.getpid():
            others += seconds
    return ours, others
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    ferrec.ItemKNN(k=10).fit(sample(text=True)).save(folder / "model")
    return folder


def python(home, body, **options):
    return said_by(home, HEAD + body, home, **options)


# ---------------------------------------------------------------- forks, pools, threads


@posix
@pytest.mark.parametrize("asked_before", [True, False])
def test_a_server_that_forks(home, asked_before):
    """As gunicorn with --preload: the model is opened once, then workers come and go."""
    body = f"""
model = ferrec.load(home / "model")
if {asked_before}:
    score(model)
reader, writer = os.pipe()
statuses = []
for generation in range(2):
    workers = []
    for at in range(3):
        worker = os.fork()
        if worker == 0:
            signal.alarm({HANGS})  # one that hangs must not hang the suite
            found = [score(model, n_threads) for n_threads in (None, 1, 2)]
            out = home / f"fork-{asked_before}-{{generation}}-{{at}}"
            found.append(ferrec.score_batch(model, None, out, n=4, block_size=16).checksum)
            os.write(writer, (json.dumps(found) + "\\n").encode())
            os._exit(0)
        workers.append(worker)
    statuses += [os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) for worker in workers]
os.close(writer)
lines = os.fdopen(reader).read().splitlines()
print(json.dumps([statuses, [json.loads(line) for line in lines], score(model)]))
"""
    statuses, found, ours = python(home, body)
    assert statuses == [0] * 6 and len(found) == 6
    assert {one for worker in found for one in worker[:3]} == {ours}
    assert len({worker[3] for worker in found}) == 1


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(home, method):
    if method != "spawn" and os.name != "posix":
        pytest.skip("needs fork")
    body = f"""
import multiprocessing

def work(at):
    return score(ferrec.load(home / "model"), 1 + at % 2)

if __name__ == "__main__":
    ours = work(0)
    with multiprocessing.get_context({method!r}).Pool(2) as pool:
        theirs = pool.map_async(work, range(4)).get({HANGS})
    print(json.dumps(theirs == [ours] * 4))
"""
    assert python(home, body) is True


def test_threads_score_at_the_same_time(home, tmp_path):
    model = ferrec.load(home / "model")
    users = pyarrow.table({"user_id": list(model.users.values)})
    expected = model.recommend(n=4).to_arrow()
    found: list = [None] * 6
    start = threading.Barrier(len(found))

    def work(at):
        start.wait(HANGS)
        same = all(ferrec.score_table(model, users, n=4).equals(expected) for _ in range(10))
        ferrec.score_batch(model, users, tmp_path / f"{at}", n=4, block_size=7, n_threads=1 + at % 3)
        found[at] = same and parquet.read_table(tmp_path / f"{at}").equals(expected)

    threads = [threading.Thread(target=work, args=(at,)) for at in range(len(found))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANGS)
    assert found == [True] * len(found)


# ---------------------------------------------------------------- how many threads


@linux
def test_threads_follow_the_affinity(home):
    body = """
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from ferrec import _rust
model = ferrec.load(home / "model")

def pool():
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
    return sum(name.startswith("ferrec-") and name.strip()[7:].isdigit() for name in names)

def settled(wanted):
    "Threads that have just been started may not have their names yet; the suite's timeout stops what hangs."
    while pool() < wanted:
        time.sleep(0.02)
    return pool()

score(model)
alone = settled(1)
score(model, 3)
print(json.dumps([_rust.default_threads(), alone, settled(4)]))
"""
    assert python(home, body) == [1, 1, 1 + 3]


@linux
def test_threads_follow_the_quota_of_the_control_group(home):
    """Of version 2, or of version 1; needs the right to make a group."""
    group = made_group()
    try:
        body = f"""
Path({str(group / "cgroup.procs")!r}).write_text(str(os.getpid()))
from ferrec import _rust
print(json.dumps(_rust.default_threads()))
"""
        assert python(home, body) == 1
    finally:
        group.rmdir()


def made_group():
    """A new group that may use one processor."""
    for root, quota in (("/sys/fs/cgroup", "cpu.max"), ("/sys/fs/cgroup/cpu", "cpu.cfs_quota_us")):
        group = Path(root) / f"ferrec-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / quota).exists():  # else it is a folder like any other
                (group / quota).write_text("100000 100000" if quota == "cpu.max" else "100000")
                return group
        except OSError:
            pass
        group.rmdir()
    pytest.skip("no control group of processors can be made here")


@linux
@pytest.mark.parametrize("library", ["blas", "tensorflow"])
def test_other_libraries_do_not_compute_beside_the_kernels(home, library, tmp_path):
    """The threads of BLAS and TensorFlow exist, and sleep, while ferrec's compute."""
    if library == "tensorflow":
        pytest.importorskip("tensorflow")
    rng = np.random.default_rng(0)
    x = sp.random_array((20_000, 800), density=0.1, format="csr", dtype=np.float32, rng=rng)
    path = home / f"ease-{library}"
    ferrec.EASE().fit(ferrec.Interactions.from_csr(x)).save(path)
    body = f"""
if {library!r} == "tensorflow":
    import tensorflow as tf
    a = tf.random.normal((1500, 1500))
    (a @ a).numpy()
a = np.random.default_rng(0).random((1500, 1500))
a @ a
model = ferrec.load({str(path)!r})
score(model, 2)
time.sleep(0.5)
before = after = busy("ferrec-")
while after[0] - before[0] < 0.5:  # less would be too little to tell
    score(model, 2)
    after = busy("ferrec-")
print(json.dumps([after[0] - before[0], after[1] - before[1]]))
"""
    ours, others = python(home, body, TF_CPP_MIN_LOG_LEVEL="3")
    assert others < 0.15 * ours + 0.1, (ours, others)


# ---------------------------------------------------------------- signals


BLOCK = 2250
"""An eighth of the users of the slow model."""


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A model whose users take seconds: nothing in it is zero."""
    rng = np.random.default_rng(0)
    items = np.stack([rng.permutation(2_000)[:300] for _ in range(18_000)]).astype(np.int32)
    ends = np.arange(0, items.size + 1, 300, dtype=np.int32)
    x = sp.csr_array((np.ones(items.size, np.float32), items.ravel(), ends), shape=(18_000, 2_000))
    path = tmp_path_factory.mktemp("slow") / "model"
    ferrec.EASE().fit(ferrec.Interactions.from_csr(x)).save(path)
    return path


@pytest.fixture(scope="module")
def undisturbed(slow, tmp_path_factory):
    """The checksum of a job that nobody interrupts."""
    return ferrec.score_batch(slow, None, tmp_path_factory.mktemp("whole") / "out", block_size=BLOCK).checksum


def interrupted(model, folder, number):
    """Seconds that a job took to end after a signal in its second block; what is checked of every such job."""
    command = [sys.executable, "-m", "ferrec.cli", "recommend", str(model), "-o", "out", "--json", "--resume"]
    command += ["--block-size", str(BLOCK), "--threads", "1"]
    folder.mkdir()
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "started"
        while not list((folder / "out").glob("part-*.parquet")):
            assert process.poll() is None
            time.sleep(0.01)
        sent = time.perf_counter()
        process.send_signal(number)
        out, err = process.communicate(timeout=HANGS)
        took = time.perf_counter() - sent
    finally:
        process.kill()
    assert process.returncode == 128 + number, err
    parts = json.loads((folder / "out" / "_manifest.json").read_text())["parts"]
    if number == signal.SIGINT:
        assert json.loads(out.splitlines()[-1]) == {"event": "failed", "error": "interrupted"}
    else:
        assert parts and "what is done is committed, and --resume goes on" in err
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=HANGS, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["resumed_blocks"] == len(parts)
    return took, summary["checksum"]


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_keep_what_was_committed_and_the_job_goes_on(slow, undisturbed, number, tmp_path):
    assert interrupted(slow, tmp_path / "interrupted", number)[1] == undisturbed


@posix
@pytest.mark.timing
def test_ctrl_c_stops_a_job_at_once(slow, tmp_path, pace):
    """The least of several, as whatever else the machine does only adds."""
    seconds = [interrupted(slow, tmp_path / f"{at}", signal.SIGINT)[0] for at in range(3)]
    assert min(seconds) < 50 * pace(), seconds


def test_the_default_is_what_this_process_may_use():
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("the system does not say")
    assert 1 <= _rust.default_threads() <= len(os.sched_getaffinity(0))
