"""Model files: whole or not there, and whatever a hostile one says, an error."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripts import HANGS

import ferrec
from ferrec import _rust
from ferrec.models import MODELS
from ferrec.storage import folders, mapped
from ferrec.testing._checks import sample

linux = pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="needs /proc")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    ferrec.ItemKNN(k=10).fit(sample(text=True)).save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def use(model):
    """Touch everything that a model has."""
    users, items = model.users.values[:3], model.items.values[:3]
    model.recommend(n=3)
    model.recommend(users, n=3)
    model.score(users, items)
    model.explain(users[0], items[0])
    model.similar_items(items)
    for block in model.iter_recommend(block_size=7):
        block.to_lists()


def edit(folder, change):
    index = json.loads((folder / "model.json").read_text())
    change(index)
    (folder / "model.json").write_text(json.dumps(index))


@pytest.mark.parametrize("verify", [True, False])
def test_every_file_is_needed(copy, verify):
    for file in sorted(copy.iterdir()):
        text = file.read_bytes()
        file.unlink()
        with pytest.raises(ferrec.ModelFileError, match=file.name):
            ferrec.load(copy, verify=verify)
        file.write_bytes(text)
    ferrec.load(copy, verify=verify)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("keep", [0, 1, 60, -1])
def test_a_truncated_file_is_found(copy, verify, keep):
    for file in sorted(copy.iterdir()):
        text = file.read_bytes()
        file.write_bytes(text[:keep])
        with pytest.raises(ferrec.ModelFileError, match=file.name):
            ferrec.load(copy, verify=verify)
        file.write_bytes(text)


def test_a_flipped_bit_is_found(copy):
    for file in sorted(copy.glob("*.npy")):
        text = bytearray(file.read_bytes())
        text[-1] ^= 1
        file.write_bytes(text)
        with pytest.raises(ferrec.ModelFileError, match=f"{file.name}.*checksum"):
            ferrec.load(copy, verify=True)
        text[-1] ^= 1
        file.write_bytes(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda i: i.update(format=99),
        lambda i: i.update(model="os.system"),
        lambda i: i.update(model="Recommender"),
        lambda i: i.update(params={"k": 5, "evil": 1}),
        lambda i: i.update(params=[]),
        lambda i: i.update(files={}),
        lambda i: i["files"].update({"users.bytes": None}),
        lambda i: i["files"].pop("similarity.data"),
        lambda i: i["files"].update({"users.ints": {"bytes": 1}}),
        lambda i: i.pop("scalars"),
    ],
)
def test_a_strange_index_is_an_error(copy, change):
    edit(copy, change)
    with pytest.raises(ferrec.ModelFileError):
        ferrec.load(copy)


def test_an_older_format_says_to_fit_again(copy):
    edit(copy, lambda index: index.update(format=1))
    with pytest.raises(ferrec.ModelFileError, match=r"format 1, written by .*; fit and save again"):
        ferrec.load(copy)


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff\xfe", b'{"format": 1}', b"[" * 100_000, b"1" * 10_000])
def test_an_index_that_is_none_is_an_error(copy, text):
    (copy / "model.json").write_bytes(text)
    with pytest.raises(ferrec.ModelFileError, match=r"model\.json"):
        ferrec.load(copy)


def replace(folder, name, array):
    """Write another array with the right checksum, as an attacker would."""
    from ferrec.io.indexed import write_array

    edit(folder, lambda index: index["files"].update({name: write_array(folder / f"{name}.npy", array)}))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("similarity.indices", lambda a: a + np.int32(1000)),
        ("similarity.indices", lambda a: -a),
        ("similarity.indices", lambda a: a.astype(np.int64)),
        ("similarity.data", lambda a: np.full_like(a, np.nan)),
        ("similarity.data", lambda a: a[:-1]),
        ("similarity.indptr", lambda a: a[::-1]),
        ("similarity.indptr", lambda a: a * 1_000_000),
        ("similarity.indptr", lambda a: a[:0]),
        ("similarity.shape", lambda a: a * 0 + 2**40),
        ("similarity.shape", lambda a: a + 1),
        ("similarity.shape", lambda a: a[:1]),
        ("seen.indices", lambda a: a + np.int32(2**30)),
        ("users.offsets", lambda a: a * 7),
        ("users.offsets", lambda a: a[:-1]),
        ("users.bytes", lambda a: np.full_like(a, 255)),
        ("items.bytes", lambda a: a[::-1]),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_consistent_checksums_do_not_make_a_file_right(copy, name, spoil, verify):
    array = np.load(copy / f"{name}.npy")
    replace(copy, name, spoil(array))
    with pytest.raises(ferrec.ModelFileError):
        use(ferrec.load(copy, verify=verify))
    with pytest.raises(ferrec.ModelFileError):
        folders.inspect(copy, verify=True)


def test_a_pickle_is_never_opened(copy, tmp_path):
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (os.system, (f"touch {marker}",))

    array = np.empty(1, object)
    array[0] = Evil()
    np.save(copy / "similarity.data.npy", array, allow_pickle=True)
    size = (copy / "similarity.data.npy").stat().st_size
    edit(copy, lambda i: i["files"]["similarity.data"].update(bytes=size))
    for verify in (True, False):
        with pytest.raises(ferrec.ModelFileError):
            ferrec.load(copy, verify=verify)
    assert not marker.exists()


def flip(text, draw):
    """A few bytes changed, most of them near the beginning, where headers are."""
    spoiled = bytearray(text)
    for _ in range(draw(st.integers(1, 8))):
        far = draw(st.booleans())
        at = draw(st.integers(0, len(spoiled) - 1 if far else min(len(spoiled) - 1, 200)))
        spoiled[at] = draw(st.integers(0, 255))
    return bytes(spoiled)


fuzzed = settings(
    max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


@fuzzed
@given(data=st.data())
def test_random_damage_is_an_error_or_harmless(saved, tmp_path, data):
    copy = tmp_path / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(saved, copy)
    file = copy / data.draw(st.sampled_from(sorted(p.name for p in copy.iterdir())))
    file.write_bytes(flip(file.read_bytes(), data.draw))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "system", lambda command: pytest.fail(f"ran {command}"))
        try:
            use(ferrec.load(copy))
        except (ferrec.FerrecError, ValueError, TypeError):
            return


@fuzzed
@given(data=st.data())
def test_damage_with_the_right_checksum_is_an_error_or_harmless(saved, tmp_path, data):
    """What an attacker writes: arrays of any values and lengths that the index agrees with."""
    copy = tmp_path / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(saved, copy)
    name = data.draw(st.sampled_from(sorted(p.stem for p in copy.glob("*.npy"))))
    array = np.load(copy / f"{name}.npy")
    raw = flip(array.tobytes(), data.draw)
    length = data.draw(st.integers(0, len(array)))
    replace(copy, name, np.frombuffer(raw, array.dtype)[: length if data.draw(st.booleans()) else None])
    try:
        use(ferrec.load(copy, verify=True))
    except (ferrec.FerrecError, ValueError, TypeError):
        return


@fuzzed
@given(
    value=st.recursive(st.none() | st.integers() | st.floats() | st.text(max_size=5), st.lists),
    data=st.data(),
)
def test_any_value_in_the_index_is_an_error_or_harmless(saved, tmp_path, value, data):
    copy = tmp_path / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(saved, copy)

    def change(index):
        where = index
        while True:
            key = data.draw(st.sampled_from(sorted(where)))
            if not isinstance(where[key], dict) or not where[key] or data.draw(st.booleans()):
                where[key] = value
                return
            where = where[key]

    edit(copy, change)
    for open_model in (ferrec.load, lambda path: folders.inspect(path, verify=True)):
        try:
            open_model(copy)
        except ferrec.ModelFileError:
            continue


def test_rows_that_overlap_do_not_take_all_memory(copy):
    """Every other row claims to hold everything."""
    indptr = np.load(copy / "seen.indptr.npy")
    indptr[:-1:2], indptr[1::2] = 0, indptr[-1]
    replace(copy, "seen.indptr", indptr)
    users = ferrec.load(copy).users.values[::2]
    with pytest.raises(ferrec.ModelFileError, match="rows must not overlap"):
        ferrec.load(copy).recommend(users)


@pytest.fixture
def huge(tmp_path):
    """A saved model with 24 GB of similarity: holes in a file take no room on the disk."""
    path = tmp_path / "huge"
    ferrec.ItemKNN(k=3).fit(ferrec.Interactions.from_arrays([1, 1, 2], [1, 2, 1])).save(path)
    n_items, nnz = 50_000_000, 3_000_000_000
    large = {
        "items.ints": ("<i8", n_items),
        "seen.shape": None,
        "similarity.shape": None,
        "similarity.indptr": ("<i8", n_items + 1),
        "similarity.indices": ("<i4", nnz),
        "similarity.data": ("<f4", nnz),
    }
    for name, what in large.items():
        file = path / f"{name}.npy"
        if what is None:
            array = np.load(file)
            replace(path, name, np.array([array[0] if name == "seen.shape" else n_items, n_items]))
            continue
        with file.open("wb") as out:
            header = {"descr": what[0], "fortran_order": False, "shape": (what[1],)}
            np.lib.format.write_array_header_1_0(out, header)
            out.truncate(out.tell() + np.dtype(what[0]).itemsize * what[1])
        size = file.stat().st_size
        edit(path, lambda index, name=name, size=size: index["files"][name].update(bytes=size))
    return path


@linux
def test_loading_reads_none_of_what_is_large(huge):
    def resident():
        return int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

    before = resident()
    model = ferrec.load(huge)
    assert model.state.shape_of("similarity") == (50_000_000, 50_000_000)
    assert resident() - before < 10e6


@pytest.mark.timing
def test_loading_takes_as_long_whatever_the_size(huge, saved):
    """The least of several, as whatever else the machine does only adds."""

    def seconds(path):
        start = time.perf_counter()
        ferrec.load(path)
        return time.perf_counter() - start

    small = min(seconds(saved) for _ in range(20))
    assert min(seconds(huge) for _ in range(20)) < 3 * small


SHARED = """
import json, sys, ferrec
def memory():
    lines = (line.split() for line in open("/proc/self/smaps_rollup").readlines()[1:])
    return {words[0]: int(words[1]) << 10 for words in lines}
before = memory()
model = ferrec.load(sys.argv[1])
items = model.state.similarity.parts()  # read and checked: all of it is in memory now
print(json.dumps([before, memory()]), flush=True)
sys.stdin.readline()
print(json.dumps([before, memory()]), flush=True)
"""


@linux
def test_processes_share_the_memory_of_a_model(tmp_path):
    """Four of them have 64 MB resident each, and together little more than once."""
    n, k = 20_000, 400
    model = ferrec.ItemKNN(k=1).fit(ferrec.Interactions.from_arrays(np.arange(n), np.arange(n)))
    columns = np.tile(np.arange(k, dtype=np.int32), n)
    similarity = _rust.Csr(np.arange(0, n * k + 1, k), columns, np.ones(n * k, np.float32), n)
    model.adopt(dataclasses.replace(model.state, similarity=similarity))
    model.save(tmp_path / "model")
    size = folders.inspect(tmp_path / "model")["bytes"]
    command = [sys.executable, "-c", SHARED, str(tmp_path / "model")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    try:
        for worker in workers:
            worker.stdout.readline()
        found = []
        for worker in workers:
            worker.stdin.write("\n")
            worker.stdin.flush()
            found.append(json.loads(worker.stdout.readline()))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    resident = [after["Rss:"] - before["Rss:"] for before, after in found]
    private = [after["Private_Dirty:"] - before["Private_Dirty:"] for before, after in found]
    assert min(resident) > size * 0.9, "it was not read"
    assert max(private) < size / 8, "somebody copied it"


def test_arrays_are_mapped_not_read(saved):
    model = ferrec.load(saved)
    base = model.state.similarity.parts()[1]
    assert not base.flags.writeable


def test_saving_over_something_else_is_refused(tmp_path):
    model = ferrec.Popularity().fit(sample())
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("meow")
    with pytest.raises(FileExistsError, match="photos"):
        model.save(tmp_path / "photos")
    assert (tmp_path / "photos" / "cat.jpg").exists()
    (tmp_path / "file").write_text("text")
    with pytest.raises(FileExistsError):
        model.save(tmp_path / "file")


def test_a_model_is_described(saved):
    info = folders.inspect(saved, verify=True)
    model = ferrec.load(saved)
    assert (info["model"], info["params"]["k"], info["verified"]) == ("ItemKNN", 10, True)
    assert (info["users"], info["items"]) == (len(model.users), len(model.items))
    assert info["pairs"] == model.state.seen.nnz
    assert set(info["files"]) == {p.stem for p in saved.glob("*.npy")}
    assert json.loads(json.dumps(info)) == info


@pytest.mark.parametrize("name", MODELS)
def test_the_checksum_tells_models_apart(name, tmp_path):
    one, other = MODELS[name]().fit(sample()), MODELS[name]().fit(sample(seed=1))
    one.save(tmp_path / "model")
    again = ferrec.load(tmp_path / "model")
    assert folders.checksum(one) == folders.checksum(again) != folders.checksum(other)
    again.set_params(n_threads=1)
    assert folders.checksum(again) == folders.checksum(one)


def test_parameters_belong_to_the_checksum(saved):
    model = ferrec.load(saved)
    before = folders.checksum(model)
    assert folders.checksum(model.set_params(k=11)) == before, "it counts at the next fit"
    other = ferrec.ItemKNN(k=11)
    other.adopt(model.state)
    assert folders.checksum(other) != before


@pytest.mark.parametrize("span", [8, 100, 1 << 25])
def test_histories_from_all_over_a_file_are_the_same(saved, span, monkeypatch):
    monkeypatch.setattr(mapped, "SPAN", span)
    state = ferrec.load(saved).state
    whole = ferrec.load(saved).state
    assert whole.seen.nnz > 100
    rng = np.random.default_rng(0)
    for codes in (rng.permutation(60), rng.integers(0, 60, 90), np.arange(7, 30), np.arange(30)[::-1], []):
        codes = np.asarray(codes, np.int32)
        found, expected = state.histories(codes), whole.seen.rows(codes)
        assert found.shape == expected.shape
        for one, other in zip(found.parts(), expected.parts(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_what_may_be_in_memory_is_counted(saved):
    """Of a loaded model what belongs to items, and what users are looked up in; of one in memory all."""
    model = ferrec.load(saved)
    files = {name: entry["bytes"] for name, entry in folders.inspect(saved)["files"].items()}
    of_items = sum(size for name, size in files.items() if name.startswith(("items.", "similarity.")))
    of_users = sum(size for name, size in files.items() if name.startswith(("users.", "seen.")))
    assert abs(folders.resident_bytes(model) - of_items) < 1 << 10  # but for the headers
    looked_up = of_users - files["seen.indices"] - files["seen.data"] + mapped.SPAN
    assert abs(folders.looked_up_bytes(model) - looked_up) < 1 << 10
    fitted = ferrec.ItemKNN(k=10).fit(sample(text=True))
    assert (
        folders.looked_up_bytes(fitted) == 0 < folders.resident_bytes(model) < folders.resident_bytes(fitted)
    )


def test_releasing_changes_nothing(saved):
    model = ferrec.load(saved)
    before = model.recommend(n=5)
    for _ in range(3):
        folders.release(model)
        after = model.recommend(n=5)
        assert after.scores.tobytes() == before.scores.tobytes()
    folders.release(ferrec.Popularity().fit(sample()))  # one that lies in no file


def test_a_failed_save_leaves_the_old_model(tmp_path, monkeypatch):
    path = tmp_path / "model"
    ferrec.Popularity().fit(sample()).save(path)
    from ferrec.storage import folders

    def broken(path, array):
        raise OSError("disk full")

    monkeypatch.setattr(folders, "write_array", broken)
    with pytest.raises(OSError, match="disk full"):
        ferrec.ItemKNN().fit(sample()).save(path)
    monkeypatch.undo()
    assert type(ferrec.load(path)) is ferrec.Popularity
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_missing_folder_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ferrec.load(tmp_path / "nowhere")
    with pytest.raises(ferrec.ModelFileError, match="no saved model"):
        ferrec.load(tmp_path)


@pytest.mark.parametrize("name", MODELS)
def test_another_process_reads_it(name, tmp_path):
    model = MODELS[name]().fit(sample())
    model.save(tmp_path / "model")
    code = (
        "import ferrec, sys; r = ferrec.load(sys.argv[1]).recommend(n=5);"
        "print(r.codes.tobytes().hex(), r.scores.tobytes().hex())"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model"],
        capture_output=True,
        text=True,
        check=True,
        timeout=HANGS,
    )
    recs = model.recommend(n=5)
    assert out.stdout.split() == [recs.codes.tobytes().hex(), recs.scores.tobytes().hex()]
