"""The accuracy command on small data made here: splits, resuming, the page; peers where they are installed."""

import gzip
import importlib.util
import json

import accuracy
import numpy as np
import pytest
import scipy.sparse as sp
from accuracy_page import filled
from contestants import CONTESTANTS, TOP, best, ranked
from holdouts import SETS, split, three_parts

PAGE = """before
<!-- gowalla -->
old
<!-- end -->
<!-- ml-100k -->
<!-- end -->
<!-- grids -->
<!-- end -->
after
"""


def groups(rng, n_users=90, n_items=60):
    """Users of three tastes: most of what one touches is of his third of the items."""
    own = np.arange(n_users)[:, None] % 3 == np.arange(n_items) % 3
    return np.argwhere(rng.random(own.shape) < np.where(own, 0.6, 0.03))


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    pairs = groups(rng)
    valid = pairs[rng.random(len(pairs)) < 0.1]
    folder = tmp_path / "data" / "gowalla"
    folder.mkdir(parents=True)
    for name, rows in (("train", pairs), ("valid", valid)):
        text = "\n".join(["user,item", *(f"{u},{i}" for u, i in rows), ""])
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    ratings = tmp_path / "ml100k"
    ratings.mkdir()
    rows = (f"{u},{i},{1 + (u + i) % 5},0" for u, i in pairs)
    (ratings / "interactions.csv").write_text("\n".join(["user,item,rating,timestamp", *rows, ""]))
    (tmp_path / "page.md").write_text(PAGE)
    return tmp_path


def command(data, *more):
    accuracy.main(
        [
            f"--data={data / 'data'}",
            f"--record={data / 'record'}",
            f"--page={data / 'page.md'}",
            f"--ml100k={data / 'ml100k'}",
            *more,
        ]
    )


def recorded(data, name="gowalla"):
    return json.loads((data / "record" / f"{name}.json").read_text())["models"]


def test_the_command_tunes_reports_and_writes_the_page(data, capsys):
    command(data, "--sets=gowalla,ml-100k", "--models=Popularity,ItemKNN,UserKNN")
    models = recorded(data)
    assert set(models) == {"Popularity", "ItemKNN", "UserKNN"}
    assert models["ItemKNN"]["report"]["recall@20"] > models["Popularity"]["report"]["recall@20"] + 0.1
    trials = models["ItemKNN"]["trials"]
    assert [trial["params"] for trial in trials] == list(CONTESTANTS["ItemKNN"].grid)
    best_of_all = max(trials, key=lambda trial: trial["recall@20"])
    assert models["ItemKNN"]["report"]["params"] == best_of_all["params"]
    page = (data / "page.md").read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert f"| {models['ItemKNN']['report']['recall@20']:.4f} |" in page
    assert "| SVD++ | published | 0.919 |" in page and "| BiasedMF | ferrec " in page

    # A second run finds everything done, and a third what is left to do.
    capsys.readouterr()
    command(data, "--sets=gowalla,ml-100k", "--models=ItemKNN")
    assert capsys.readouterr().out == f"wrote {data / 'page.md'}\n"
    path = data / "record" / "gowalla.json"
    known = json.loads(path.read_text())
    lost = known["models"]["ItemKNN"]["trials"].pop(3)
    path.write_text(json.dumps(known))
    command(data, "--sets=gowalla", "--models=ItemKNN")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and f"ItemKNN {lost['params']}" in lines[0]
    again = recorded(data)["ItemKNN"]["trials"][-1]
    assert {**again, "seconds": 0} == {**lost, "seconds": 0}

    with pytest.raises(SystemExit, match="--seed 0, not 1"):
        command(data, "--sets=gowalla", "--seed=1")


@pytest.mark.filterwarnings("ignore")  # peers' own
@pytest.mark.parametrize("name", [name for name in CONTESTANTS if CONTESTANTS[name].package != "ferrec"])
def test_peers_give_lists_of_what_is_new(data, name):
    pytest.importorskip(CONTESTANTS[name].package)
    one, held = CONTESTANTS[name], SETS["gowalla"](data / "data" / "gowalla", 0)
    found = accuracy.measure(one, held.learn, held.tune, one.grid[0], 1)
    assert 0.5 < found["recall@20"] <= 1.0


@pytest.mark.parametrize(
    ("own", "theirs"), [("EASE", "DenseSLIM (irspack)"), ("SLIM", "SLIM (irspack)")], ids=["EASE", "SLIM"]
)
@pytest.mark.filterwarnings("ignore")
def test_the_same_objective_gives_the_same_lists(data, own, theirs):
    pytest.importorskip(CONTESTANTS[theirs].package)
    x = SETS["gowalla"](data / "data" / "gowalla", 0).learned
    users, params = np.arange(x.shape[0]), CONTESTANTS[own].grid[0]
    mine, peer = (CONTESTANTS[name].recommend(x, params, users, 1) for name in (own, theirs))
    same = (mine.astype(bool).multiply(peer.astype(bool))).nnz
    assert same > 0.97 * mine.nnz


def test_what_is_missing_is_said(data, capsys, monkeypatch):
    command(data, "--sets=lastfm-hetrec", "--models=Popularity")
    assert "lastfm-hetrec is absent: no folder" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "implicit" else object())
    command(data, "--sets=gowalla", "--models=ALS (implicit)")
    assert "ALS (implicit) is left out: implicit is not installed" in capsys.readouterr().err
    command(data, "--sets=gowalla", "--models=EASE", "--memory=0")
    assert "EASE is left out: it needs 0 GiB, --memory is 0" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="'EASY' is unknown; there are Popularity, "):
        command(data, "--models=EASY")


def test_a_split_takes_a_tenth_of_each_user():
    rng = np.random.default_rng(1)
    x = sp.csr_array((rng.random((40, 200)) < rng.random((40, 1))).astype(np.float32))
    kept, held = split(x, 7)
    assert ((kept + held) != x).nnz == 0 and kept.multiply(held).nnz == 0
    counts, taken = np.diff(x.indptr), np.diff(held.indptr)
    assert np.array_equal(taken, np.where(counts > 1, np.maximum(np.rint(counts / 10), 1), 0))
    assert (split(x, 7)[1] != held).nnz == 0 and (split(x, 8)[1] != held).nnz > 0
    parts = three_parts(x, 0)
    assert ((parts.learn + parts.tune + parts.report) != x).nnz == 0
    assert parts.learned.multiply(parts.report).nnz == 0


def test_lists_are_best_first_and_lose_what_does_not_count():
    scores = np.array([[1.0, 3.0, -np.inf, 3.0], [-np.inf, -np.inf, 0.5, -np.inf]])
    items, values = best(scores)
    lists = ranked(items, np.isfinite(values), 4)
    assert [row.indices.tolist() for row in lists] == [[1, 3, 0], [2]]
    wide = np.random.default_rng(2).random((5, 3 * TOP))
    assert np.array_equal(best(wide)[0], np.argsort(-wide, axis=1)[:, :TOP])


def test_only_the_named_block_changes():
    assert filled(PAGE, "gowalla", ["new"]) == PAGE.replace("old", "\nnew\n")
    assert filled(PAGE, "absent", ["new"]) == PAGE
