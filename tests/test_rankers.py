"""The rankers: what they learn, what they refuse, and that Rust scores as Keras does."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import ferrec
from ferrec.data.candidates import Candidates
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.kernels.handles import as_csr
from ferrec.rankers import MLPRanker
from ferrec.rankers.blend import FusionState
from ferrec.rankers.contributions import contributions

pytest.importorskip("tensorflow", reason="needs the extra tensorflow")


def pairs(n_queries=80, each=12, seed=0, n_items=40, columns=3, missing=False):
    """Pairs that come true when the first column is high and the category is odd; the others say nothing."""
    rng = np.random.default_rng(seed)
    n = n_queries * each
    items = np.sort(
        rng.permuted(np.tile(np.arange(n_items, dtype=np.int32), (n_queries, 1)), axis=1)[:, :each]
    )
    named = {f"number_{at}": rng.normal(3, 2, n).astype(np.float32) for at in range(columns)}
    named["kind"] = rng.integers(0, 7, n).astype(np.float32)
    logit = (named["number_0"] - 3) + 2 * (named["kind"] % 2) - 2.5
    labels = (rng.random(n) < 1 / (1 + np.exp(-2 * logit))).astype(np.float32)
    if missing:
        named["number_1"][rng.random(n) < 0.2] = np.nan
    queries = Queries(
        np.arange(n_queries), as_csr(csr_array((n_queries, n_items))), np.arange(n_queries, dtype=np.int32)
    )
    indptr = np.arange(n_queries + 1, dtype=np.int64) * each
    catalog = Ids.from_values(range(n_items))
    return Candidates(queries, catalog, indptr, items.ravel(), named), labels


def ranker(**params):
    return MLPRanker(**{"epochs": 3, "batch_size": 64, "min_count": 1, **params})


def auc(labels, scores):
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    positive = labels == 1
    return (ranks[positive].mean() - (positive.sum() + 1) / 2) / (~positive).sum()


def by_keras(model, candidates):
    state = model.state
    at = np.arange(len(candidates))[:, None]
    from ferrec.rankers.base import LabeledPairs

    labeled = LabeledPairs(candidates, np.zeros(len(at), np.float32), None)
    ((inputs, _, _),) = state.batches(labeled, at, len(at))
    return model.keras_model.predict(inputs, verbose=0).ravel()


VARIANTS = {
    "plain": {},
    "ids": {"embedded_ids": ("user", "item"), "embedding_size": 3, "hidden": (5,)},
    "cross, hashed": {"cross_layers": 2, "hidden": (), "buckets": 3},
    "norm, every pair": {"batch_norm": True, "dropout": 0.2, "negatives": None},
    "pairwise": {"loss": "pairwise", "negatives": 3},
    "listwise": {"loss": "listwise", "negatives": 5},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_rust_scores_as_keras(variant):
    candidates, labels = pairs(missing=True)
    model = ranker(**VARIANTS[variant]).fit(candidates, labels, categories=["kind"])
    fresh, _ = pairs(seed=5, missing=True)
    fresh.columns["kind"][:5] = [99, np.nan, 2**23, 1.5, -3]  # what fit has not seen
    fresh.columns["number_0"][:3] = [np.nan, 1e30, -1e30]
    fresh.columns["number_2"][:2] = [np.inf, -np.inf]
    scores = model.score(fresh)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_keras(model, fresh), atol=1e-5, rtol=1e-5)


def test_it_learns_and_stops_in_time():
    candidates, labels = pairs(200)
    later, later_labels = pairs(60, seed=3)
    model = ranker(epochs=30, patience=2, batch_size=256).fit(
        candidates, labels, categories=["kind"], validation=(later, later_labels)
    )
    state = model.state
    assert len(state.loss) == len(state.later_loss) <= 30
    assert state.later_loss.min() < state.later_loss[0]
    assert auc(later_labels, model.score(later)) > 0.85
    assert model.losses["validation"].tolist() == state.later_loss.tolist()


def test_the_same_seed_gives_the_same_network():
    candidates, labels = pairs(missing=True)
    fit = [
        ranker(dropout=0.3, batch_norm=True, embedded_ids=["item"], seed=seed).fit(
            candidates, labels, categories=["kind"]
        )
        for seed in (1, 1, 2)
    ]
    one, two, other = (model.score(candidates) for model in fit)
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_weights_count():
    candidates, labels = pairs()
    high = candidates.columns["number_1"] > 3
    heavy = np.where(high, 50.0, 1.0)
    plain = ranker(epochs=8, negatives=None).fit(candidates, labels, categories=["kind"])
    weighted = ranker(epochs=8, negatives=None).fit(
        candidates, labels, sample_weight=np.where(labels == 1, heavy, 1.0), categories=["kind"]
    )
    gain = weighted.score(candidates) - plain.score(candidates)
    assert gain[high].mean() > gain[~high].mean() + 0.1


def test_age_is_for_training_only():
    candidates, labels = pairs()
    age = np.where(labels == 1, 0, 9).astype(np.float32)
    with_age = candidates.with_columns({"age": age})
    model = ranker(age="age", epochs=10).fit(with_age, labels, categories=["kind"])
    assert "age" not in model.state.columns
    assert model.score(candidates).mean() > labels.mean() + 0.1  # as if every pair were of today
    with pytest.raises(ferrec.DataError, match="they add 'age'"):
        model.score(with_age)
    with pytest.raises(ferrec.DataError, match="age: 'age' is no column of numbers"):
        ranker(age="age").fit(candidates, labels)


def test_files_give_it_back(tmp_path):
    candidates, labels = pairs(missing=True)
    model = ranker(embedded_ids=("item",), hidden=[4]).fit(candidates, labels, categories=["kind"])
    model.save(tmp_path / "ranker")
    assert (tmp_path / "ranker" / "ranker.keras").is_file()
    for verify in (True, False):
        twin = ferrec.load(tmp_path / "ranker", verify=verify)
        assert twin.get_params() == {**model.get_params(), "hidden": (4,)}
        assert np.array_equal(twin.score(candidates), model.score(candidates))
    np.testing.assert_allclose(by_keras(twin, candidates), model.score(candidates), atol=1e-5)
    (tmp_path / "ranker" / "ranker.keras").write_bytes(b"")
    with pytest.raises(ferrec.ModelFileError, match=r"ranker\.keras: has 0 bytes"):
        ferrec.load(tmp_path / "ranker", verify=False)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("layers.0.values", lambda a: a[:-1]),
        ("layers.0.values", lambda a: a * np.float32("nan")),
        ("lookups.0.values", lambda a: a + np.int32(1000)),
        ("lookups.0.values", lambda a: a.astype(np.int64)),
        ("tables.0.values", lambda a: a[:-1]),
        ("marked.values", lambda a: np.array([77], np.int32)),
        ("mean.values", lambda a: a[:-1]),
    ],
)
def test_a_strange_file_is_an_error(saved, tmp_path, name, change):
    from ferrec.io.indexed import write_array

    folder = Path(shutil.copytree(saved, tmp_path / "copy"))
    index = json.loads((folder / "model.json").read_text())
    array = change(np.load(folder / f"{name}.npy"))
    index["files"][name] = write_array(folder / f"{name}.npy", array)
    (folder / "model.json").write_text(json.dumps(index))
    with pytest.raises(ferrec.ModelFileError):
        ferrec.load(folder)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranker") / "ranker"
    candidates, labels = pairs(missing=True)
    ranker(epochs=1, hidden=(4,)).fit(candidates, labels, categories=["kind"]).save(folder)
    return folder


def test_other_columns_are_named(saved):
    model = ferrec.load(saved)
    candidates, _ = pairs()
    columns = dict(candidates.columns)
    columns["surprise"] = columns.pop("number_2")
    other = Candidates(candidates.queries, candidates.items, candidates.indptr, candidates.codes, columns)
    with pytest.raises(ferrec.DataError, match="they lack 'number_2' and add 'surprise'"):
        model.score(other)
    with pytest.raises(ferrec.DataError, match=r"validation: .* they lack 'number_2'"):
        ranker().fit(candidates, pairs()[1], validation=(other, pairs()[1]))


def test_nothing_to_score_is_nothing(saved):
    candidates, _ = pairs()
    none = Candidates(
        candidates.queries,
        candidates.items,
        np.zeros_like(candidates.indptr),
        candidates.codes[:0],
        {name: column[:0] for name, column in candidates.columns.items()},
    )
    assert ferrec.load(saved).score(none).shape == (0,)
    with pytest.raises(ferrec.DataError, match="there are no pairs to learn from"):
        ranker().fit(none, [])


def test_unknown_items_and_users_score_as_unknown():
    candidates, labels = pairs()
    model = ranker(embedded_ids=("user", "item"), epochs=1).fit(candidates, labels)
    newcomers = Queries(candidates.queries.ids, candidates.queries.history, None)
    unknown = Candidates(newcomers, candidates.items, candidates.indptr, candidates.codes, candidates.columns)
    assert np.isfinite(model.score(unknown)).all()
    assert not np.array_equal(model.score(unknown), model.score(candidates))
    other = Candidates(
        candidates.queries,
        Ids.from_values(range(41)),
        candidates.indptr,
        candidates.codes,
        candidates.columns,
    )
    with pytest.raises(ferrec.DataError, match="knows items by their ids"):
        model.score(other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, y: {"labels": y * 2}, "labels: expected 0 and 1, got 2"),
        (lambda c, y: {"labels": y[:-1]}, "labels: must have length"),
        (lambda c, y: {"labels": y * 0}, "labels: all 960 are 0"),
        (lambda c, y: {"labels": ["x"] * len(y)}, "labels: expected numbers"),
        (lambda c, y: {"sample_weight": y - 5}, "sample_weight: must be finite, not negative"),
        (lambda c, y: {"sample_weight": np.full(len(y), np.inf)}, "sample_weight: must be finite"),
        (lambda c, y: {"categories": ["nothing"]}, "categories: 'nothing' is no column of the candidates"),
        (lambda c, y: {"categories": "kind"}, "categories: expected names of columns"),
        (
            lambda c, y: {"categories": ["number_0"]},
            "categories: 'number_0' holds .*; expected whole numbers",
        ),
        (lambda c, y: {"candidates": 3}, "candidates: expected Candidates, got int"),
        (lambda c, y: {"validation": 3}, "validation: expected"),
        (lambda c, y: {"validation": (c, y[:3])}, "validation: labels: must have length"),
    ],
)
def test_bad_input_is_named(change, message):
    candidates, labels = pairs()
    given = {"candidates": candidates, "labels": labels, **change(candidates, labels)}
    with pytest.raises((ferrec.DataError, TypeError), match=message):
        ranker().fit(**given)


def test_infinite_columns_are_refused():
    candidates, labels = pairs()
    candidates.columns["number_1"][7] = np.inf
    with pytest.raises(
        ferrec.DataError, match="column 'number_1': must be finite, got inf at pair 7; use NaN"
    ):
        ranker().fit(candidates, labels)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"hidden": 64}, "hidden: expected numbers of neurons"),
        ({"hidden": (0,)}, "hidden: must be at least 1"),
        ({"embedded_ids": ("person",)}, "embedded_ids: must be one of 'user', 'item'"),
        ({"embedded_ids": "user"}, "embedded_ids: expected some of"),
        ({"loss": "hinge"}, "loss: must be one of 'binary', 'pairwise', 'listwise'"),
        ({"loss": "listwise", "negatives": None}, "negatives: loss='listwise' needs at least 1"),
        ({"negatives": 0}, "negatives: must be at least 1"),
        ({"dropout": 1.0}, "dropout: must be in"),
        ({"learning_rate": 0.0}, "learning_rate: must be above 0"),
        ({"epochs": 0}, "epochs: must be at least 1"),
        ({"cross_layers": -1}, "cross_layers: must be at least 0"),
        ({"seed": -1}, "seed: must be at least 0"),
    ],
)
def test_parameters_are_checked(params, message):
    with pytest.raises((ValueError, TypeError), match=message):
        ranker(**params).fit(*pairs())


def test_unfitted_says_so():
    with pytest.raises(ferrec.NotFittedError, match=r"call fit\(candidates, labels\) first"):
        ranker().score(pairs()[0])
    with pytest.raises(ferrec.NotFittedError):
        _ = ranker().keras_model


@pytest.mark.parametrize("loss", ["binary", "listwise"])
def test_trees(loss, tmp_path):
    pytest.importorskip("lightgbm", reason="needs the extra lightgbm")
    candidates, labels = pairs(200, missing=True)
    later, later_labels = pairs(60, seed=3, missing=True)
    make = lambda: ferrec.LightGBMRanker(loss=loss, n_estimators=60, patience=5, n_threads=1)  # noqa: E731
    fit = {"categories": ["kind"], "validation": (later, later_labels)}
    model = make().fit(candidates, labels, **fit)
    scores = model.score(later)
    assert auc(later_labels, scores) > 0.85
    assert np.array_equal(make().fit(candidates, labels, **fit).score(later), scores)
    model.save(tmp_path / "trees")
    twin = ferrec.load(tmp_path / "trees")
    assert np.array_equal(twin.score(later), scores)
    (tmp_path / "trees" / "trees.txt").write_bytes(b"x" * (tmp_path / "trees" / "trees.txt").stat().st_size)
    with pytest.raises(ferrec.ModelFileError, match="LightGBM cannot read it"):
        ferrec.load(tmp_path / "trees", verify=False).score(later)
    with pytest.raises(ValueError, match="num_leaves: must be at least 2"):
        ferrec.LightGBMRanker(num_leaves=1).fit(candidates, labels)


def test_contributions_of_a_sum_are_its_terms():
    candidates, labels = pairs()

    class Sum(ferrec.ReciprocalRankFusion):
        def learn(self, train, validation, callback):
            return FusionState(tuple(train.candidates.columns), ("number_0", "kind"))

        def score_pairs(self, state, candidates):
            return 2 * candidates.columns["number_0"] - candidates.columns["kind"]

    model = Sum().fit(candidates, labels)
    one = Candidates(
        Queries(np.array([5]), candidates.queries.history.rows(np.array([5], np.int32)), None),
        candidates.items,
        np.array([0, 1]),
        candidates.codes[:1],
        {name: column[:1] for name, column in candidates.columns.items()},
    )
    base, parts = contributions(model, one, one)
    assert not np.abs(parts).max() > 1e-6
    base, parts = contributions(model, one, candidates)
    found = dict(zip(candidates.columns, parts, strict=True))
    assert abs(found["number_1"]) < 1e-6
    assert base + parts.sum() == pytest.approx(model.score(one)[0], abs=1e-5)
    means = {name: column.mean() for name, column in candidates.columns.items()}
    assert found["number_0"] == pytest.approx(2 * (one.columns["number_0"][0] - means["number_0"]), abs=2.5)
