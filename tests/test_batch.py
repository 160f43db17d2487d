"""`score_batch`: from Parquet to Parquet, whole, resumable, and never half of anything."""

import hashlib
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripts import HANGS

import ferrec
from ferrec.batch import _job, _source, _store
from ferrec.batch import sink as sinks
from ferrec.batch._block_sizes import blocks_within
from ferrec.batch._source import Size
from ferrec.batch.table import Scorer
from ferrec.models.scoring import ScoringOptions
from ferrec.testing._checks import sample

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
dataset = pytest.importorskip("pyarrow.dataset")

posix = pytest.mark.skipif(os.name != "posix", reason="needs locks, limits and signals of POSIX")


@pytest.fixture(scope="module", params=[False, True], ids=["ints", "strings"])
def model(request):
    return ferrec.ItemKNN(k=10).fit(sample(text=request.param))


@pytest.fixture(scope="module")
def plain():
    return ferrec.ItemKNN(k=10).fit(sample())


@pytest.fixture
def users(model):
    """A table of 100 rows with an order of its own, some users twice."""
    rng = np.random.default_rng(5)
    values = model.users.values
    return pyarrow.table({"user_id": list(values[rng.integers(0, len(values), 100)]), "age": range(100)})


def contents(folder):
    """Every file and its bytes."""
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def manifest(folder):
    return json.loads((Path(folder) / "_manifest.json").read_text())


# ---------------------------------------------------------------- what comes out


@pytest.mark.parametrize("block_size", [1, 7, 60, 1000])
def test_everybody(model, block_size, tmp_path):
    done = ferrec.score_batch(model, None, tmp_path / "out", n=4, block_size=block_size)
    expected = model.recommend(n=4).to_arrow()
    assert parquet.read_table(tmp_path / "out").equals(expected)
    assert (done.users, done.rows) == (len(model.users), expected.num_rows)
    assert done.blocks == -(-len(model.users) // block_size) == len(list((tmp_path / "out").glob("part-*")))
    assert (done.resumed_blocks, done.unknown_users, done.unknown_items) == (0, 0, 0)


def place(kind, table, folder):
    """The table as a source of every kind."""
    if kind == "table":
        return table
    if kind == "file":
        parquet.write_table(table, folder / "users.parquet", row_group_size=13)
        return folder / "users.parquet"
    (folder / "users" / "deeper").mkdir(parents=True)
    for at, start in enumerate(range(0, table.num_rows, 30)):
        under = "deeper" if at % 2 else "."
        parquet.write_table(
            table.slice(start, 30), folder / "users" / under / f"{at}.parquet", row_group_size=11
        )
    (folder / "users" / "_temporary").mkdir()
    (folder / "users" / "_temporary" / "x.parquet").write_text("rubbish of an earlier job")
    if kind == "dataset":
        return dataset.dataset(folder / "users")
    if kind == "pattern":
        return str(folder / "users" / "**" / "[0-9].parquet")
    return {"folder": folder / "users", "URL": (folder / "users").as_uri()}[kind]


@pytest.mark.parametrize("kind", ["table", "file", "folder", "dataset", "pattern", "URL"])
def test_sources_of_every_kind(kind, model, users, tmp_path):
    source = place(kind, users, tmp_path)
    ferrec.score_batch(model, source, tmp_path / "out", n=4, block_size=17)
    found = parquet.read_table(tmp_path / "out")
    order = users["user_id"].to_pylist()
    if kind not in ("table", "file"):  # the files are read in the order of their names
        files = dataset.dataset(tmp_path / "users").files
        named = [pyarrow.parquet.read_table(file)["user_id"].to_pylist() for file in sorted(files)]
        order = [one for names in named for one in names]
    assert found.equals(model.recommend(order, n=4).to_arrow())
    assert [part["users"] for part in manifest(tmp_path / "out")["parts"]] == [17] * 5 + [15]


def test_fsspec(model, users):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.makedirs("/batch/users", exist_ok=True)
    with memory.open("/batch/users/0.parquet", "wb") as file:
        parquet.write_table(users, file)
    options = {"n": 4, "block_size": 30}
    ferrec.score_batch(model, "memory://batch/users", "memory://batch/out", **options)
    try:
        names = sorted(Path(name).name for name in memory.ls("/batch/out", detail=False))
        assert names == ["_manifest.json", *(f"part-{at:06d}.parquet" for at in range(4))]
        tables = [parquet.read_table(memory.open(f"/batch/out/{name}")) for name in names[1:]]
        assert pyarrow.concat_tables(tables).equals(model.recommend(users["user_id"], n=4).to_arrow())
        with pytest.raises(FileExistsError, match=r"a job has been begun there"):
            ferrec.score_batch(model, "memory://batch/users", "memory://batch/out", **options)
        done = ferrec.score_batch(model, "memory://batch/users", "memory://batch/out", resume=True, **options)
        assert done.resumed_blocks == 4
        with pytest.raises(FileNotFoundError, match=r"memory://batch/none: no such"):
            ferrec.score_batch(model, "memory://batch/none", "memory://batch/out2")
    finally:
        memory.rm("/batch", recursive=True)


def test_histories(model, tmp_path):
    rng = np.random.default_rng(0)
    items = model.items.values
    lists = [list(items[rng.integers(0, len(items), rng.integers(0, 9))]) for _ in range(50)]
    lists[7] = None
    table = pyarrow.table({"user_id": [f"new {at}" for at in range(50)], "basket": lists})
    parquet.write_table(table, tmp_path / "users.parquet", row_group_size=6)
    ferrec.score_batch(
        model, tmp_path / "users.parquet", tmp_path / "out", n=4, history="basket", block_size=9
    )
    expected = ferrec.score_table(model, table, n=4, history="basket")
    assert parquet.read_table(tmp_path / "out").equals(expected)


def test_what_is_unknown_is_counted(model, tmp_path):
    users, items = list(model.users.values[:5]), list(model.items.values[:5])
    stranger, thing = ("nobody", "nothing") if isinstance(users[0], str) else (-5, -6)
    table = pyarrow.table({"user_id": [stranger, *users, stranger]})
    with pytest.raises(ferrec.UnknownIdError, match="unknown"):
        ferrec.score_batch(model, table, tmp_path / "error", block_size=2)
    done = ferrec.score_batch(model, table, tmp_path / "skip", block_size=2, unknown_users="skip")
    assert (done.users, done.unknown_users) == (7, 2)
    assert parquet.read_table(tmp_path / "skip").equals(model.recommend(users).to_arrow())
    table = pyarrow.table({"user_id": [1, 2], "basket": [[items[0], thing], [thing, thing]]})
    done = ferrec.score_batch(model, table, tmp_path / "lists", history="basket")
    assert (done.users, done.unknown_items) == (2, 3)


def test_one_file(model, tmp_path):
    older = tmp_path / "out.parquet"
    older.write_text("older")
    done = ferrec.score_batch(model, None, older, n=4, block_size=7)
    assert parquet.read_table(older).equals(model.recommend(n=4).to_arrow())
    assert done.checksum == hashlib.sha256(older.read_bytes()).hexdigest()
    assert [file.name for file in tmp_path.iterdir()] == ["out.parquet"]
    with pytest.raises(ValueError, match=r"resume: .* is one file"):
        ferrec.score_batch(model, None, older, resume=True)


def test_nobody(model, tmp_path):
    none = pyarrow.table({"user_id": list(model.users.values[:1])}).slice(0, 0)
    for sink in ("out", "out.parquet"):
        done = ferrec.score_batch(model, none, tmp_path / sink)
        assert (done.users, done.rows) == (0, 0)
        table = parquet.read_table(tmp_path / sink)
        assert table.num_rows == 0 and table.schema.equals(model.recommend(n=1).to_arrow().schema)


def test_the_manifest_says_what_is_there(plain, tmp_path):
    done = ferrec.score_batch(plain, None, tmp_path / "out", n=4, block_size=20)
    found = manifest(tmp_path / "out")
    assert found["finished"] and found["job"]["n"] == 4 and found["job"]["model"] == "ItemKNN"
    for part in found["parts"]:
        data = (tmp_path / "out" / part["file"]).read_bytes()
        assert (part["bytes"], part["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert part["rows"] == parquet.read_metadata(tmp_path / "out" / part["file"]).num_rows
    together = "".join(part["sha256"] for part in found["parts"])
    assert done.checksum == hashlib.sha256(together.encode()).hexdigest()


def test_threads_and_where_the_model_lies_do_not_matter(plain, tmp_path):
    plain.save(tmp_path / "model")
    sums = {
        ferrec.score_batch(one, None, tmp_path / f"{at}", n=4, block_size=20, n_threads=threads).checksum
        for at, (one, threads) in enumerate([(plain, 1), (plain, 2), (tmp_path / "model", None)])
    }
    assert len(sums) == 1


# ---------------------------------------------------------------- blocks


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    lengths=st.lists(st.integers(0, 12), min_size=1, max_size=80),
    rows=st.integers(1, 20),
    entries=st.integers(1, 30),
    group=st.integers(1, 40),
    data=st.data(),
)
def test_blocks_follow_from_the_rows_alone(plain, tmp_path, lengths, rows, entries, group, data):
    """However the file is cut into row groups, and wherever reading begins."""
    table = pyarrow.table({"user_id": range(len(lengths)), "h": [[1] * length for length in lengths]})
    path = tmp_path / "users.parquet"
    parquet.write_table(table, path, row_group_size=group)
    scorer = Scorer(plain, ScoringOptions(history="h"))
    whole = [block["user_id"].to_pylist() for block in cut(table, scorer, rows, entries)]
    assert [row for block in whole for row in block] == list(range(len(lengths)))
    for block in whole:
        size = sum(lengths[row] for row in block)
        assert len(block) <= rows and (size <= entries or len(block) == 1)
        last = block[-1] + 1  # it was full
        assert last == len(lengths) or len(block) == rows or size + lengths[last] > entries
    first = data.draw(st.integers(0, len(whole) - 1))
    for source in (table, path):
        rest = [block["user_id"].to_pylist() for block in cut(source, scorer, rows, entries, whole[first][0])]
        assert rest == whole[first:]


def cut(source, scorer, rows, entries, start=0):
    return _source.open_source(source, scorer).blocks(start, Size(rows, entries))


# ---------------------------------------------------------------- going on


def stop_after(blocks):
    """A progress callback that ends the job after so many blocks."""

    def count(done, total):
        count.blocks += 1
        if count.blocks == blocks:
            raise InterruptedError("enough")

    count.blocks = 0
    return count


@pytest.mark.parametrize("blocks", [1, 2, 5, 9])
def test_a_stopped_job_goes_on(model, users, blocks, tmp_path):
    ferrec.score_batch(model, users, tmp_path / "whole", n=4, block_size=11)
    with pytest.raises(InterruptedError):
        ferrec.score_batch(model, users, tmp_path / "out", n=4, block_size=11, progress=stop_after(blocks))
    # The block in hand was committed with those before it.
    begun = manifest(tmp_path / "out")
    assert len(begun["parts"]) >= blocks and not begun["finished"]
    done = ferrec.score_batch(model, users, tmp_path / "out", n=4, block_size=11, resume=True)
    assert done.resumed_blocks == len(begun["parts"])
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_resume_begins_and_does_nothing(model, tmp_path):
    first = ferrec.score_batch(model, None, tmp_path / "out", block_size=20, resume=True)
    before = contents(tmp_path / "out")
    second = ferrec.score_batch(model, None, tmp_path / "out", block_size=20, resume=True)
    assert (first.resumed_blocks, second.resumed_blocks) == (0, second.blocks)
    assert first.checksum == second.checksum and contents(tmp_path / "out") == before


@pytest.mark.parametrize("how", ["gone", "altered", "truncated"])
def test_damaged_parts_are_made_again(model, how, tmp_path):
    ferrec.score_batch(model, None, tmp_path / "out", block_size=20)
    before = contents(tmp_path / "out")
    part = tmp_path / "out" / "part-000001.parquet"
    {
        "gone": part.unlink,
        "altered": lambda: part.write_bytes(b"x" + part.read_bytes()[1:]),
        "truncated": lambda: part.write_bytes(part.read_bytes()[:-1]),
    }[how]()
    done = ferrec.score_batch(model, None, tmp_path / "out", block_size=20, resume=True)
    assert done.resumed_blocks == 1 and contents(tmp_path / "out") == before


def test_leftovers_are_removed(model, tmp_path):
    with pytest.raises(InterruptedError):
        ferrec.score_batch(model, None, tmp_path / "out", block_size=11, progress=stop_after(2))
    for name in (
        f".part-000009.parquet.{'a' * 32}.tmp",
        f"._manifest.json.{'0' * 32}.tmp",
        "part-000099.parquet",
    ):
        (tmp_path / "out" / name).write_text("half of it")
    ferrec.score_batch(model, None, tmp_path / "out", block_size=11, resume=True)
    ferrec.score_batch(model, None, tmp_path / "whole", block_size=11)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_another_job_is_refused_by_name(model, users, tmp_path, monkeypatch):
    ferrec.score_batch(model, users, tmp_path / "out", n=4, block_size=11)
    before = contents(tmp_path / "out")
    with pytest.raises(FileExistsError, match="a job has been begun there; resume it"):
        ferrec.score_batch(model, users, tmp_path / "out", n=4, block_size=11)
    other = ferrec.ItemKNN(k=9).fit(sample(text=isinstance(model.users.values[0], str)))
    for changed, message in (
        ({"n": 5}, "n was 4 and is 5"),
        ({"exclude_seen": False}, "exclude_seen was True and is False"),
        ({"exclude_items": model.items.values[:2]}, "items was 'all' and is"),
        ({"compression": "none"}, "compression was 'zstd' and is 'none'"),
        ({"item": "what"}, "item was 'item_id' and is 'what'"),
        ({"unknown_users": "skip"}, "unknown_users was 'error' and is 'skip'"),
        ({"source": users.slice(1)}, "source was {'rows': 100.*} and is {'rows': 99"),
        ({"source": None}, "source was"),
        ({"model": other}, "model_checksum was"),
        ({"model": ferrec.Popularity().fit(sample())}, "model was 'ItemKNN' and is 'Popularity'"),
    ):
        asked = {"model": model, "source": users, "n": 4, "block_size": 11} | changed
        if asked["model"] is not model and asked["model"] is not other:
            asked["source"] = None
        with pytest.raises(ferrec.DataError, match=f"out: another job was begun there: .*{message}"):
            ferrec.score_batch(
                asked.pop("model"), asked.pop("source"), tmp_path / "out", resume=True, **asked
            )
    monkeypatch.setattr(_job._rust, "__version__", "9.9", raising=True)
    with pytest.raises(ferrec.DataError, match=r"ferrec was '[0-9.]+' and is '9\.9'"):
        ferrec.score_batch(model, users, tmp_path / "out", n=4, block_size=11, resume=True)
    assert contents(tmp_path / "out") == before


def test_a_changed_file_is_another_source(model, users, tmp_path):
    parquet.write_table(users, tmp_path / "users.parquet")
    ferrec.score_batch(model, tmp_path / "users.parquet", tmp_path / "out")
    os.utime(tmp_path / "users.parquet", (0, 0))  # the time is none of its contents
    ferrec.score_batch(model, tmp_path / "users.parquet", tmp_path / "out", resume=True)
    parquet.write_table(users.slice(0, 99), tmp_path / "users.parquet")
    with pytest.raises(ferrec.DataError, match="source was"):
        ferrec.score_batch(model, tmp_path / "users.parquet", tmp_path / "out", resume=True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1, "job": 5}', "\0"])
def test_a_manifest_that_is_none(plain, text, tmp_path):
    (tmp_path / "_manifest.json").write_text(text)
    with pytest.raises(ferrec.DataError, match=r"_manifest\.json: cannot be read"):
        ferrec.score_batch(plain, None, tmp_path, resume=True)


def test_other_peoples_folders_are_left_alone(plain, tmp_path):
    (tmp_path / "cat.jpg").write_text("meow")
    for resume in (False, True):
        with pytest.raises(FileExistsError, match=r"holds something else, 'cat\.jpg'"):
            ferrec.score_batch(plain, None, tmp_path, resume=resume)
    assert contents(tmp_path) == {"cat.jpg": b"meow"}


@posix
def test_one_process_at_a_time(plain, tmp_path):
    store = _store.open_store(str(tmp_path / "out"))
    with pytest.raises(FileExistsError, match="another process is writing to it"):
        ferrec.score_batch(plain, None, tmp_path / "out")
    store.close()
    ferrec.score_batch(plain, None, tmp_path / "out")


# ---------------------------------------------------------------- what goes wrong


def committed(folder):
    """The parts that are there are whole, and the manifest names them and no others."""
    found = manifest(folder)
    assert not found["finished"]
    for part in found["parts"]:
        data = (Path(folder) / part["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == part["sha256"]
    assert not list(Path(folder).glob(".*.tmp"))
    return len(found["parts"])


@pytest.mark.parametrize("which", ["part-000003.parquet", "_manifest.json"])
def test_a_full_disk(plain, which, tmp_path, monkeypatch):
    ferrec.score_batch(plain, None, tmp_path / "whole", block_size=9)
    real, seen = os.fsync, []

    def full(handle):
        name = str(Path(f"/proc/self/fd/{handle}").readlink())
        seen.append(name)
        if f".{which}" in name and len(seen) > 8:
            raise OSError(28, "No space left on device", name)
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        ferrec.score_batch(plain, None, tmp_path / "out", block_size=9)
    monkeypatch.undo()
    assert 0 < committed(tmp_path / "out") < 6
    ferrec.score_batch(plain, None, tmp_path / "out", block_size=9, resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@posix
def test_a_limit_on_the_size_of_files(plain, tmp_path):
    """The system's own refusal, in a process of its own: there is a signal, too."""
    plain.save(tmp_path / "model")
    code = f"""
import resource, ferrec
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
ferrec.score_batch({str(tmp_path / "model")!r}, None, {str(tmp_path / "out")!r}, n=30, block_size=20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANGS)
    assert done.returncode == 1 and "File too large" in done.stderr.splitlines()[-1]
    assert committed(tmp_path / "out") == 0


def damage(path, group):
    """Make one row group unreadable."""
    column = parquet.read_metadata(path).row_group(group).column(0)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(data)


def test_an_unreadable_row_group(model, users, tmp_path):
    path = tmp_path / "users.parquet"
    parquet.write_table(users, path, row_group_size=20)
    ferrec.score_batch(model, path, tmp_path / "whole", block_size=11)
    sound = path.read_bytes()
    damage(path, 3)
    with pytest.raises(ferrec.DataError, match=r"users\.parquet: row group 3: cannot be read as Parquet"):
        ferrec.score_batch(model, path, tmp_path / "out", block_size=11)
    assert committed(tmp_path / "out") == 5  # 60 rows before it, in blocks of 11
    path.write_bytes(sound)  # somebody brings the file back
    ferrec.score_batch(model, path, tmp_path / "out", block_size=11, resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_vanished_and_a_changed_input(model, users, tmp_path):
    source = place("folder", users, tmp_path)
    ferrec.score_batch(model, source, tmp_path / "whole", block_size=11)
    victim = source / "deeper" / "3.parquet"  # the files in order: 0, 2, deeper/1, deeper/3
    sound = victim.read_bytes()

    def vanish(done, total):
        victim.unlink(missing_ok=True)

    def change(done, total):
        parquet.write_table(users.slice(50), victim)

    for spoil, error, message in (
        (vanish, FileNotFoundError, r"3\.parquet: no such file, or it has gone since the job began"),
        (change, ferrec.DataError, r"3\.parquet: has changed since the job began"),
    ):
        out = tmp_path / spoil.__name__
        with pytest.raises(error, match=message):
            ferrec.score_batch(model, source, out, block_size=11, progress=spoil)
        assert committed(out) >= 6
        victim.write_bytes(sound)
        ferrec.score_batch(model, source, out, block_size=11, resume=True)
        assert contents(out) == contents(tmp_path / "whole")


def test_bad_sources(model, users, tmp_path):
    (tmp_path / "junk.parquet").write_text("junk")
    (tmp_path / "empty").mkdir()
    parquet.write_table(users, tmp_path / "users.parquet")
    (tmp_path / "mixed").mkdir()
    parquet.write_table(users, tmp_path / "mixed" / "a.parquet")
    parquet.write_table(users.select(["age"]), tmp_path / "mixed" / "b.parquet")
    filtered = dataset.dataset(tmp_path / "users.parquet").filter(dataset.field("age") > 5)
    frame = dataset.dataset(users)
    for source, options, error, message in (
        (tmp_path / "nowhere.parquet", {}, FileNotFoundError, "nowhere"),
        (tmp_path / "junk.parquet", {}, ferrec.DataError, r"junk\.parquet: cannot be read as Parquet"),
        (tmp_path / "empty", {}, ferrec.DataError, "holds no Parquet files"),
        (
            tmp_path / "users.parquet",
            {"user": "who"},
            ferrec.DataError,
            "'who' must be there once; .* 'user_id', 'age'",
        ),
        (tmp_path / "mixed", {}, ferrec.DataError, "'user_id' must be there once; the columns are 'age'"),
        (None, {"history": "h"}, ValueError, "history: is a column of a source, .*got 'h'"),
        (users, {"history": "age"}, ferrec.DataError, "column 'age': must hold lists, got int64"),
        (filtered, {}, ValueError, "filtered"),
        (frame, {}, TypeError, "expected a dataset of Parquet files"),
        (5, {}, TypeError, "source: expected a path, .* got int"),
    ):
        with pytest.raises(error, match=message):
            ferrec.score_batch(model, source, tmp_path / f"out {message[:6]}", **options)


@pytest.mark.parametrize("sink", ["out", "out.parquet"])
def test_a_writer_that_stops(plain, sink, tmp_path, monkeypatch):
    kind = sinks._OneFile if sink.endswith("parquet") else sinks._PartFiles
    real, entered = kind.write, threading.Event()

    def dies(self, scored):
        if len(self.parts) == 3:
            raise RuntimeError("the writer died")
        real(self, scored)

    monkeypatch.setattr(kind, "write", dies)
    with pytest.raises(RuntimeError, match="the writer died"):
        ferrec.score_batch(plain, None, tmp_path / sink, block_size=9)

    released, result = threading.Event(), _job._Aside.result

    def hangs(self, scored):
        entered.set()
        released.wait()

    def impatient(self, timeout=None):
        """For the writer only: a busy machine may be slow to read."""
        monkeypatch.setattr(_job, "_STALLED", 0.2 if self._what == "writing to the sink" else HANGS)
        return result(self, timeout)

    monkeypatch.setattr(kind, "write", hangs)
    monkeypatch.setattr(_job._Aside, "result", impatient)
    with pytest.raises(TimeoutError, match=r"writing to the sink: nothing has come back for 0\.2 s"):
        ferrec.score_batch(plain, None, tmp_path / f"hung-{sink}", block_size=9)
    assert entered.is_set()
    released.set()
    if sink == "out":
        assert committed(tmp_path / "out") == 3


def test_reading_scoring_and_writing_go_on_at_once(plain, users, tmp_path, monkeypatch):
    """While one block is scored, the next is read and the last is written."""
    meeting = threading.Barrier(3, timeout=HANGS)
    blocks, rank, write = _source._Users.blocks, Scorer.rank, sinks._PartFiles.write

    def reading(self, start, size):
        for at, block in enumerate(blocks(self, start, size)):
            if at == 2:
                meeting.wait()
            yield block

    def scoring(self, asked):
        if asked.ids[0] == plain.users.values[9]:
            meeting.wait()
        return rank(self, asked)

    def writing(self, scored):
        if not self.parts:
            meeting.wait()
        write(self, scored)

    monkeypatch.setattr(_source._Users, "blocks", reading)
    monkeypatch.setattr(Scorer, "rank", scoring)
    monkeypatch.setattr(sinks._PartFiles, "write", writing)
    ferrec.score_batch(plain, None, tmp_path / "out", block_size=9)
    assert parquet.read_table(tmp_path / "out").equals(plain.recommend().to_arrow())


# ---------------------------------------------------------------- limits and events


def test_blocks_shrink_with_the_limit(plain):
    sizes = [
        blocks_within(Scorer(plain, ScoringOptions(n)), limit << 20)
        for n, limit in ((10, 300), (10, 1000), (1000, 1000))
    ]
    assert sizes[0].rows < sizes[1].rows > sizes[2].rows and sizes[0].entries < sizes[1].entries
    assert all(value & (value - 1) == 0 for size in sizes for value in (size.rows, size.entries))


def test_a_limit_that_is_too_small_says_how_much_it_takes(plain, tmp_path):
    with pytest.raises(ValueError, match=r"memory_limit: 10 MiB is too little; .* need at least [0-9]+ MiB"):
        ferrec.score_batch(plain, None, tmp_path / "out", memory_limit=10 << 20)
    with pytest.raises(ValueError, match="block_size, memory_limit: give one"):
        ferrec.score_batch(plain, None, tmp_path / "out", memory_limit=1 << 30, block_size=5)
    with pytest.raises(TypeError, match="memory_limit"):
        ferrec.score_batch(plain, None, tmp_path / "out", memory_limit="2GiB")


def test_a_job_keeps_the_blocks_that_it_began_with(plain, tmp_path):
    with pytest.raises(InterruptedError):
        ferrec.score_batch(plain, None, tmp_path / "out", block_size=11, progress=stop_after(2))
    done = ferrec.score_batch(plain, None, tmp_path / "out", block_size=50, resume=True)
    assert {part["users"] for part in manifest(tmp_path / "out")["parts"][:-1]} == {11} and done.blocks == 6
    ferrec.score_batch(plain, None, tmp_path / "wide", block_size=1 << 20)
    with pytest.raises(ValueError, match="give the limit that it was begun with"):
        ferrec.score_batch(plain, None, tmp_path / "wide", memory_limit=400 << 20, resume=True)


def test_events(plain, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(_job, "_TELL_EVERY", 0.0)
    caplog.set_level(logging.INFO, logger="ferrec.batch")
    calls = []
    done = ferrec.score_batch(
        plain, None, tmp_path / "out", block_size=11, progress=lambda *both: calls.append(both)
    )
    events = [record.event for record in caplog.records]
    assert [event["event"] for event in events] == ["started", *["progress"] * 6, "finished"]
    assert json.loads(json.dumps(events)) == events
    assert events[0]["total_users"] == 60 and events[0]["block_size"] == 11
    users = [event["users"] for event in events[1:-1]]
    assert users == sorted(users) and all(event["memory_bytes"] > 0 for event in events[1:-1])
    assert events[-1]["checksum"] == done.checksum and events[-1]["rows"] == done.rows
    assert calls == [(at, 60) for at in (11, 22, 33, 44, 55, 60)]
    assert all(record.getMessage() for record in caplog.records)
