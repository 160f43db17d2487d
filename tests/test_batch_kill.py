"""Whatever kills a job, at whatever point: resumed, it gives the same bytes as one that nobody disturbed.

The jobs run in forks of a process that has everything loaded, so that hundreds of them take seconds.
"""

import os
import tempfile
from pathlib import Path

import pytest
from scripts import said_by

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and kill")

SCRIPT = """
import itertools, json, os, random, shutil, signal, sys, time
from pathlib import Path

import numpy as np
import pyarrow, pyarrow.parquet
import ferrec
from ferrec.io import atomic

home = Path(sys.argv[1])
users = np.repeat(np.arange(90), 8)
items = np.random.default_rng(0).integers(0, 40, len(users))
ferrec.ItemKNN(k=5).fit(ferrec.Interactions.from_arrays(users, items)).save(home / "model")
table = pyarrow.table({"user_id": np.random.default_rng(1).permutation(90)})
pyarrow.parquet.write_table(table, home / "users.parquet", row_group_size=17)
out = home / "out"


def job():
    ferrec.score_batch(home / "model", home / "users.parquet", out, n=3, block_size=40, resume=True, n_threads=1)


def contents():
    return {file.name: file.read_bytes() for file in out.iterdir()}


def forked(work):
    "The signal that killed a fork, or 0 where the work was done."
    child = os.fork()
    if child == 0:
        signal.alarm(250)  # one that hangs must not hang the suite
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return -status


def dying_at(step, count=None):
    "The job, killed at one of the calls to the system that change what is on the disk: before it or after it."
    steps = itertools.count()

    def reached():
        now = next(steps)
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(call):
        def one(*args, **kwargs):
            reached()
            result = call(*args, **kwargs)
            reached()
            return result
        return one

    def work():
        os.fsync = watched(os.fsync)
        atomic._sync_folder = watched(atomic._sync_folder)
        for name in ("open", "replace", "unlink", "mkdir"):
            setattr(Path, name, watched(getattr(Path, name)))
        job()
        if count is not None:
            count.write_bytes(str(next(steps)).encode())

    return work


assert forked(dying_at(-1, home / "steps")) == 0
whole = contents()
n_steps = int((home / "steps").read_bytes())
kills = 0
random.seed(0)

# At every step of a run that begins with nothing, and now and then at a step of the one that goes on, too.
for step in range(n_steps):
    shutil.rmtree(out, ignore_errors=True)
    assert forked(dying_at(step)) == signal.SIGKILL
    kills += 1
    if step % 3 == 0:
        kills += bool(forked(dying_at(step // 2)))
    assert forked(job) == 0
    assert contents() == whole, step

# At any moment: killed again and again until one run gets through.
for _ in range(30):
    shutil.rmtree(out, ignore_errors=True)
    for attempt in itertools.count():
        child = os.fork()
        if child == 0:
            code = 1
            try:
                job()
                code = 0
            finally:
                os._exit(code)
        if attempt < 8:
            time.sleep(random.uniform(0, 0.02))
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 0:
            break
        assert status == -signal.SIGKILL
        kills += 1
    assert contents() == whole
print(json.dumps([n_steps, kills]))
"""


@pytest.fixture
def folder(tmp_path):
    """In memory where the system can: a kill leaves what was written, whatever it lies on, and syncing is slow."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


def test_killed_at_any_point_it_goes_on_to_the_same_bytes(folder):
    n_steps, kills = said_by(folder, SCRIPT, folder)
    assert n_steps > 50 and kills > n_steps
