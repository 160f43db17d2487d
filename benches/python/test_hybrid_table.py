"""The hybrid's table on small data made here: tuning, the test, resuming, the page."""

import json

import hybrid
import hybrid_sets
import numpy as np
import pytest

import ferrec

PAGE = "before\n<!-- pays -->\nold\n<!-- end -->\nafter\n"


def three_tastes(folder):
    """Users who mostly touch their own third of the items."""
    rng = np.random.default_rng(0)
    own = np.arange(90)[:, None] % 3 == np.arange(60) % 3
    users, items = np.nonzero(rng.random(own.shape) < np.where(own, 0.5, 0.03))
    return ferrec.Interactions.from_arrays(users, items, times=rng.permutation(len(users)))


@pytest.fixture
def home(tmp_path, monkeypatch):
    small = {"small": (three_tastes, hybrid_sets.at_random, "a random fifth")}
    for module in (hybrid, hybrid_sets):
        monkeypatch.setattr(module, "SETS", small)
    kinds = {name: (kind, points[:2]) for name, (kind, points) in hybrid.KINDS.items() if name != "ALS"}
    monkeypatch.setattr(hybrid, "KINDS", kinds)
    blends = {name: one for name, one in hybrid.second_stages(0).items() if one[1] is None}
    monkeypatch.setattr(hybrid, "second_stages", lambda seed: blends)
    (tmp_path / "small").mkdir()
    (tmp_path / "page.md").write_text(PAGE)
    return tmp_path


def command(home, *more):
    hybrid.main([f"--data={home}", f"--record={home / 'record'}", f"--page={home / 'page.md'}", *more])


def test_the_command_tunes_judges_and_writes_the_page(home, capsys):
    command(home)
    record = json.loads((home / "record" / "small.json").read_text())
    test = record["test"]
    assert [trial["params"] for trial in record["trials"]["EASE"]] == [{"reg": 30.0}, {"reg": 100.0}]
    values = {name: one["ndcg@10"] for name, one in test["retrievers"].items()}
    assert test["best"] == max(values, key=lambda name: values[name])
    for one in test["hybrids"].values():
        assert one["difference"] == pytest.approx(one["ndcg@10"] - values[test["best"]])
        assert one["low"] <= one["difference"] <= one["high"]
    page = (home / "page.md").read_text()
    assert page.startswith("before\n") and page.endswith("after\n") and "old" not in page
    assert f"| {test['hybrids']['WeightedBlend']['ndcg@10']:.4f} |" in page
    capsys.readouterr()
    command(home)
    assert capsys.readouterr().out == f"wrote {home / 'page.md'}\n"  # there was nothing left to do
    with pytest.raises(SystemExit, match="was made with --split-seed 0"):
        command(home, "--split-seed=1")


def test_what_is_absent_is_said(home, capsys):
    (home / "small").rmdir()
    command(home)
    assert "small is absent: no folder" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="'large' is unknown; there are small"):
        command(home, "--sets=large")


def test_who_begins_in_the_future_is_left_out():
    data = ferrec.Interactions.from_arrays([1, 1, 2], [5, 6, 5], times=[0, 2, 3])
    past, future = ferrec.split.by_time(data, cutoff=1)
    assert hybrid_sets.known(past, future).users.decode(hybrid_sets.known(past, future).events.users) == [1]
