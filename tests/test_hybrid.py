"""The hybrid: the recommender's contract, the split in time, its files without TensorFlow."""

import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ferrec
from ferrec import split
from ferrec.features import FeatureSet, ItemPopularity, UserActivity
from ferrec.testing import CHECKS
from ferrec.testing._checks import sample

FEATURES = (ItemPopularity(), UserActivity())


def hybrid(**params):
    retrievers = {"near": ferrec.ItemKNN(k=20), "popular": ferrec.Popularity()}
    given = {
        "retrievers": retrievers,
        "features": FEATURES,
        "ranker": ferrec.ReciprocalRankFusion(),
        **params,
    }
    return ferrec.Hybrid(**given)


def trained_by_trees(**params):
    ranker = ferrec.LightGBMRanker(n_estimators=8, min_child_samples=2, n_threads=1)
    return hybrid(ranker=ranker, **params)


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize("make", [hybrid, trained_by_trees])
def test_is_a_recommender(make, name):
    if make is trained_by_trees:
        pytest.importorskip("lightgbm", reason="needs the extra lightgbm")
    if name == "survives_small_data":
        pytest.skip("a hybrid needs a past and a future: test_too_little_is_said")
    CHECKS[name](make)


def parts():
    return split.by_time(sample(), fraction=0.3)


def test_the_ranker_sees_labels_of_the_future_and_columns_of_the_past(monkeypatch):
    past, future = parts()
    seen = {}

    class Watching(ferrec.ReciprocalRankFusion):
        def learn(self, train, validation, callback):
            seen["train"], seen["validation"] = train, validation
            return super().learn(train, validation, callback)

    model = hybrid(ranker=Watching()).fit(past, future)
    retrieval = ferrec.Retrieval(model.retrievers).fit(past)
    features = FeatureSet(FEATURES).fit(past)
    later = future.matrix.toarray() != 0
    moment = np.quantile(future.events.times, 0.8, method="higher")
    early = future.select(future.events.times < moment).matrix.toarray() != 0
    for pairs, truth, other in (
        (seen["train"], early, later & ~early),
        (seen["validation"], later & ~early, early),
    ):
        candidates, users = pairs.candidates, pairs.candidates.queries.codes[pairs.candidates.rows]
        assert pairs.labels.tolist() == truth[users, candidates.codes].astype(float).tolist()
        assert not other[users, candidates.codes].any() or pairs is seen["train"]
        again = features.add_to(
            retrieval._score(
                ferrec.Candidates(candidates.queries, candidates.items, candidates.indptr, candidates.codes)
            )
        )
        for name, column in candidates.columns.items():
            assert np.array_equal(column, again.columns[name]), name
    assert not (past.matrix.toarray() != 0)[users, candidates.codes].any()


def test_retrievers_and_features_end_up_with_everything():
    past, future = parts()
    data = sample()
    model = hybrid().fit(past, future)
    assert model.state.seen.nnz == data.nnz
    assert model.state.features.state.history_lengths.sum() == data.nnz
    near = ferrec.ItemKNN(k=20).fit(data)
    assert model.state.retrieval.fitted["near"].recommend(n=5).to_lists() == near.recommend(n=5).to_lists()
    again = hybrid(holdout_fraction=0.3).fit(data)
    assert again.recommend(n=5).to_lists() == model.recommend(n=5).to_lists()


def test_blocks_do_not_matter():
    data = sample()
    one = hybrid().fit(data)
    few = hybrid(block_size=7).set_params(max_pairs=3_000_000).fit(data)
    few.adopt(one.state)
    a, b = one.recommend(n=6), few.recommend(n=6)
    assert np.array_equal(a.codes, b.codes)
    assert np.array_equal(a.scores, b.scores)
    users = np.repeat(a.queries, np.diff(a.indptr))
    assert np.array_equal(few.score(users, a.items.decode(a.codes)), a.scores)


def test_rules_do_not_change_scores():
    model = hybrid().fit(sample())
    everything = model.recommend(n=100, exclude_seen=False)
    users = np.repeat(everything.queries, np.diff(everything.indptr))
    items = everything.items.decode(everything.codes)
    assert np.array_equal(model.score(users, items), everything.scores)


def test_fewer_pairs_are_of_fewer_users():
    seen = []

    class Watching(ferrec.ReciprocalRankFusion):
        def learn(self, train, validation, callback):
            seen.append(len(np.unique(train.candidates.rows)))
            return super().learn(train, validation, callback)

    for most in (1, 10_000):
        hybrid(ranker=Watching(), max_pairs=most, block_size=5).fit(*parts())
    assert 0 < seen[0] <= 5 < seen[1]


def test_explanations_go_through_both_stages():
    model = hybrid().fit(sample())
    user = model.users.values[3]
    item = model.recommend(user, n=1)[user][0][0]
    why = model.explain(user, item)
    assert math.isclose(why.average + sum(why.columns.values()), why.score, abs_tol=1e-6)
    assert math.fsum([why.base, *why.parts]) == why.score
    assert set(why.columns) == {"near_score", "near_rank", "popular_score", "popular_rank", *names()}
    assert all(abs(why.columns[name]) < 1e-9 for name in why.columns if not name.endswith("_rank"))
    assert why.retrievers["near"].score == model.state.retrieval.fitted["near"].score([user], [item])[0]
    assert len(why.items)
    assert "near_rank" in repr(why)


def names():
    return FeatureSet(FEATURES).names


def test_too_little_is_said():
    one = ferrec.Interactions.from_arrays([1], [2], [3.0], [4])
    with pytest.raises(ferrec.DataError):
        hybrid().fit(one)
    past, _ = parts()
    with pytest.raises(ferrec.DataError, match="future: none of the proposals"):
        hybrid().fit(past, past)
    other = ferrec.Interactions.from_arrays([1], [2])
    with pytest.raises(ferrec.DataError, match="past, future: have different users"):
        hybrid().fit(past, other)
    with pytest.raises(TypeError, match="future: expected Interactions, got int"):
        hybrid().fit(past, 3)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"ranker": ferrec.ItemKNN()}, "ranker: expected a Ranker"),
        ({"retrievers": []}, "retrievers: expected some models"),
        ({"retrievers": [3]}, "retrievers: expected a Recommender"),
        ({"features": [3]}, "features: expected features"),
        ({"holdout_fraction": 0.0}, "fraction"),
        ({"validation_fraction": 1.0}, "validation_fraction: must be in"),
        ({"max_pairs": 0}, "max_pairs: must be at least 1"),
        ({"block_size": 0}, "block_size: must be at least 1"),
        ({"n_candidates": 0}, "n_candidates: must be at least 1"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        hybrid(**params).fit(sample())


def test_a_user_without_history_gets_what_is_popular():
    data = sample()
    nobody = data.users.values[0]
    model = hybrid().fit(data.select(data.events.users != 0))
    recs = model.recommend([nobody], n=4)
    popular = model.state.retrieval.fitted["popular"].recommend([nobody], n=20)
    assert len(recs[nobody]) == 4
    assert {item for item, _ in recs[nobody]} <= {item for item, _ in popular[nobody]}
    newcomer = model.recommend(history=[[]], n=4)
    assert [item for item, _ in newcomer[0]] == [item for item, _ in recs[nobody]]


@pytest.mark.parametrize("make", [hybrid, trained_by_trees])
def test_without_candidates_there_is_nothing_to_recommend(make):
    if make is trained_by_trees:
        pytest.importorskip("lightgbm", reason="needs the extra lightgbm")
    model = make().fit(sample())
    assert not len(model.recommend(n=5, exclude_items=model.items.values).codes)
    assert not len(model.recommend([], n=5))
    assert model.score([], []).shape == (0,)


def test_outcomes_are_the_proposals_and_what_came_of_them():
    train, test = parts()
    model = hybrid(block_size=7).fit(train)
    labels, scores = model.outcomes(test)
    asked = test.users.decode(np.flatnonzero(np.diff(test.matrix.indptr)))
    lists = model.recommend(asked, n=1000)
    later = test.matrix.toarray() != 0
    users = test.users.encode(np.repeat(lists.queries, np.diff(lists.indptr)))
    assert sorted(scores.tolist()) == sorted(lists.scores.tolist())
    assert labels.sum() == later[users, lists.codes].sum() > 0
    found = ferrec.evaluation.probability_metrics(labels, scores)
    assert found["auc"] > 0.5
    with pytest.raises(ferrec.DataError, match="data: its 1 items are not"):
        model.outcomes(ferrec.Interactions.from_arrays([int(train.users.values[0])], [-7]))


def test_nested_parameters():
    model = hybrid(ranker=ferrec.MLPRanker(epochs=3))
    assert model.get_params()["ranker__epochs"] == 3
    assert model.set_params(ranker__epochs=5).ranker.epochs == 5
    with pytest.raises(ValueError, match="trees: MLPRanker has no such parameter"):
        model.set_params(ranker__trees=5)


# -- with a network ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    pytest.importorskip("tensorflow", reason="needs the extra tensorflow")
    ranker = ferrec.MLPRanker(hidden=(8,), epochs=2, min_count=1)
    model = hybrid(ranker=ranker).fit(*parts())
    folder = tmp_path_factory.mktemp("hybrid") / "model"
    model.save(folder)
    return model, folder


def test_a_network_ranks(network):
    model, _ = network
    recs = model.recommend(n=5)
    assert (np.diff(recs.indptr) > 0).all()
    assert (recs.scores > 0).all()
    assert (recs.scores < 1).all()
    users = np.repeat(recs.queries, np.diff(recs.indptr))
    assert np.array_equal(model.score(users, recs.items.decode(recs.codes)), recs.scores)


def test_loads_where_there_is_no_tensorflow(network):
    model, folder = network
    script = f"""
import sys
for name in ("tensorflow", "keras"):
    sys.modules[name] = None  # importing it fails
import ferrec, json
model = ferrec.load({str(folder)!r})
print(json.dumps(model.recommend(n=5).scores.tolist()))
try:
    ferrec.Hybrid(retrievers=[ferrec.Popularity()], features=[]).fit({"ferrec.testing._checks.sample()"})
except ferrec.MissingExtraError as error:
    print(error)
"""
    script = script.replace("import ferrec, json", "import ferrec, ferrec.testing._checks, json")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    scores, error = done.stdout.splitlines()
    assert json.loads(scores) == model.recommend(n=5).scores.tolist()
    assert 'pip install "ferrec[tensorflow]"' in error


def test_a_newer_file_is_refused(network, tmp_path):
    _, folder = network
    index = json.loads((folder / "model.json").read_text())
    assert (folder / "ranker" / "ranker.keras").is_file()
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    for part in ("", "ranker", "retrieval", "features"):
        path = copy / part / "model.json"
        text = path.read_text()
        path.write_text(json.dumps({**json.loads(text), "format": 99}))
        with pytest.raises(ferrec.ModelFileError):
            ferrec.load(copy)
        with pytest.raises(ferrec.ModelFileError, match=r"which reads format|has .* bytes"):
            ferrec.load(copy, verify=False)
        path.write_text(text)
    assert index["model"] == "Hybrid"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorflow", reason="needs the extra tensorflow")
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[1] / "docs" / "hybrid.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, names)
    assert (tmp_path / "hybrid" / "model.json").is_file()
    assert "calibration_error" in capsys.readouterr().out
