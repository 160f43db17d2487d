"""Model files: whole or not there, and whatever a hostile one says, an error."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ferrec
from ferrec.models import MODELS
from ferrec.testing._checks import sample


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "model"
    ferrec.ItemKNN(k=10).fit(sample(text=True)).save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


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
            ferrec.load(copy)
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


@pytest.mark.parametrize("text", [b"", b"[]", b"\xff\xfe", b'{"format": 1}', b"[" * 100_000, b"1" * 10_000])
def test_an_index_that_is_none_is_an_error(copy, text):
    (copy / "model.json").write_bytes(text)
    with pytest.raises(ferrec.ModelFileError, match=r"model\.json"):
        ferrec.load(copy)


def replace(folder, name, array):
    """Write another array with the right checksum, as an attacker would."""
    from ferrec.storage import _write

    edit(folder, lambda index: index["files"].update({name: _write(folder / f"{name}.npy", array)}))


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
        ferrec.load(copy, verify=verify)


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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_random_damage_is_an_error_or_harmless(saved, tmp_path, data):
    copy = tmp_path / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(saved, copy)
    file = data.draw(st.sampled_from(sorted(p.name for p in copy.iterdir())))
    text = bytearray((copy / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, min(len(text) - 1, 400)))
        text[at] = data.draw(st.integers(0, 255))
    (copy / file).write_bytes(text)
    for verify in (True, False):
        try:
            model = ferrec.load(copy, verify=verify)
            model.recommend(n=3)
        except (ferrec.FerrecError, ValueError, TypeError):
            continue


def test_arrays_are_mapped_not_read(saved):
    model = ferrec.load(saved)
    base = model._fitted().similarity.parts()[1]
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


def test_a_failed_save_leaves_the_old_model(tmp_path, monkeypatch):
    path = tmp_path / "model"
    ferrec.Popularity().fit(sample()).save(path)
    from ferrec import storage

    def broken(path, array):
        raise OSError("disk full")

    monkeypatch.setattr(storage, "_write", broken)
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
        timeout=60,
    )
    recs = model.recommend(n=5)
    assert out.stdout.split() == [recs.codes.tobytes().hex(), recs.scores.tobytes().hex()]
