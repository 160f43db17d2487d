"""Metrics against scikit-learn, and against loops that are obviously right."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import ferrec
from ferrec import DataError, Interactions, _rust, split
from ferrec.evaluation import Calibration, evaluate, probability_metrics, rating_metrics
from ferrec.kernels import ranking_metrics
from ferrec.kernels.handles import as_csr
from ferrec.kernels.metrics import gini

sk = pytest.importorskip("sklearn.metrics")


def lists_of(rows: list[list[int]], n_items: int) -> sparse.csr_array:
    """Ranked lists as the kernels return them."""
    indptr = np.cumsum([0, *map(len, rows)])
    columns = np.array([item for row in rows for item in row], np.int32)
    scores = np.concatenate([np.arange(len(row), 0, -1) for row in rows] or [[]]).astype(np.float32)
    return sparse.csr_array((scores, columns, indptr), shape=(len(rows), n_items))


def random_case(seed: int, n_users: int = 60, n_items: int = 40, k: int = 10) -> tuple[Any, Any]:
    """Full lists, and at least one true item for each user, with grades."""
    rng = np.random.default_rng(seed)
    lists = lists_of([rng.permutation(n_items)[:k].tolist() for _ in range(n_users)], n_items)
    grades = rng.integers(1, 6, (n_users, n_items)) * (rng.random((n_users, n_items)) < 0.15)
    grades[np.arange(n_users), rng.integers(0, n_items, n_users)] = 3
    return lists, grades.astype(np.float32)


# -- of ranks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_confusion_matrix_equals_scikit_learn(k: int) -> None:
    lists, grades = random_case(k)
    got = ranking_metrics(lists, sparse.csr_array(grades), [k])
    true, chosen = grades > 0, np.zeros(grades.shape, bool)
    for user in range(len(grades)):
        chosen[user, lists.indices[lists.indptr[user] : lists.indptr[user] + k]] = True
    options = {"average": None, "zero_division": 0.0}
    precision, recall, f1, _ = sk.precision_recall_fscore_support(true.T, chosen.T, **options)
    for name, wanted in (("precision", precision), ("recall", recall), ("f1", f1)):
        np.testing.assert_allclose(got[f"{name}@{k}"], wanted, rtol=1e-15, err_msg=name)
    accuracy = [sk.accuracy_score(a, b) for a, b in zip(true, chosen, strict=True)]
    np.testing.assert_allclose(got[f"accuracy@{k}"], accuracy, rtol=1e-15)


@pytest.mark.parametrize("k", [1, 4, 40])
def test_ndcg_and_map_equal_scikit_learn(k: int) -> None:
    lists, grades = random_case(7, k=40)
    got = ranking_metrics(lists, sparse.csr_array(grades), [k])
    scores = lists.toarray()
    for name, gains in (("ndcg", grades > 0), ("graded_ndcg", grades)):
        wanted = [sk.ndcg_score([g], [s], k=k) for g, s in zip(gains, scores, strict=True)]
        np.testing.assert_allclose(got[f"{name}@{k}"], wanted, rtol=1e-12, err_msg=name)
    if k == 40:  # scikit-learn's average precision knows no cut-off
        wanted = [sk.average_precision_score(g > 0, s) for g, s in zip(grades, scores, strict=True)]
        np.testing.assert_allclose(got["map@40"], wanted, rtol=1e-12)


def test_a_list_with_an_item_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="recommended: a row must not hold a column twice, got 2 at row 1"):
        ranking_metrics(lists_of([[0], [1, 2, 2]], 3), sparse.csr_array(np.eye(2, 3)), [2])


# -- of lists -------------------------------------------------------------------------------------------------


def trained(seed: int = 0) -> tuple[Interactions, Interactions]:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 50, 900), rng.zipf(1.4, 900) % 35
    return split.random(Interactions.from_arrays(users, items), 0.3, seed=1)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("block", [7, 8192])
def test_list_metrics_equal_naive_computation(
    exclude_seen: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferrec.evaluation._ranking._BLOCK", block)
    train, test = trained()
    model = ferrec.ItemKNN(k=5).fit(train)
    vectors = np.random.default_rng(3).standard_normal((train.n_items, 4)).astype(np.float32)
    vectors[2] = 0.0
    kinds = ("novelty", "diversity", "serendipity", "popularity", "popularity_lift", "coverage", "gini")
    cuts = (1, 4, 30)
    result = evaluate(
        model,
        test,
        [f"{kind}@{k}" for kind in kinds for k in cuts],
        exclude_seen=exclude_seen,
        item_features=vectors,
    )
    seen = train.matrix.toarray() > 0
    counts, n_users = seen.sum(axis=0), (seen.sum(axis=1) > 0).sum()
    lengths = np.linalg.norm(vectors, axis=1)
    popular = ferrec.Popularity().fit(train)
    true = {(u, i) for u, i in zip(*test.matrix.nonzero(), strict=True)}
    for k in cuts:
        shown = np.zeros(train.n_items, int)
        for at, label in enumerate(result.users):
            user = int(train.users.encode([label])[0])
            listed, expected = (
                one.recommend(label, k, exclude_seen=exclude_seen).codes.tolist() for one in (model, popular)
            )
            shown[listed] += 1
            own = counts[seen[user]].mean() if seen[user].any() else np.nan
            far = [
                1 - vectors[a] @ vectors[b] / (lengths[a] * lengths[b]) if lengths[a] * lengths[b] else 1.0
                for a, b in combinations(listed, 2)
            ]
            mean = counts[listed].mean() if listed else np.nan
            wanted = {
                "novelty": np.mean([-math.log2(counts[i] / n_users) for i in listed]) if listed else np.nan,
                "diversity": np.mean(far) if far else np.nan,
                "serendipity": sum((user, i) in true and i not in expected for i in listed) / k,
                "popularity": mean,
                "popularity_lift": mean / own - 1,
            }
            for kind, value in wanted.items():
                got = result.per_user[f"{kind}@{k}"][at]
                assert got == pytest.approx(value, rel=1e-5, abs=1e-6, nan_ok=True), (kind, k, label)
        pairs = np.abs(shown[:, None] - shown[None, :]).sum() / 2
        assert result[f"coverage@{k}"] == np.mean(shown > 0)
        assert result[f"gini@{k}"] == pytest.approx(pairs / ((len(shown) - 1) * shown.sum()), rel=1e-12)
    for name, values in result.per_user.items():
        defined = values[~np.isnan(values)]
        assert result[name] == pytest.approx(defined.mean() if len(defined) else np.nan, nan_ok=True)


def test_gini_at_its_ends() -> None:
    assert gini(np.array([3, 3, 3])) == 0.0
    assert gini(np.array([0, 0, 9])) == 1.0
    assert gini(np.array([0, 0])) == gini(np.array([4])) == gini(np.array([], int)) == 0.0


def test_sparse_and_dense_features_say_the_same() -> None:
    train, test = trained()
    model = ferrec.ItemKNN(k=5).fit(train)
    table = (np.random.default_rng(1).random((train.n_items, 6)) < 0.3).astype(np.int64)
    found = [
        evaluate(model, test, "diversity@5", item_features=f).metrics
        for f in (table, sparse.csr_array(table))
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("features", [None, np.ones((3, 2)), np.ones(5), [["a"]], np.full((35, 1), np.nan)])
def test_features_that_do_not_fit_are_named(features: Any) -> None:
    train, test = trained()
    with pytest.raises(ValueError, match=r"^item_features"):
        evaluate(ferrec.Popularity().fit(train), test, "diversity@3", item_features=features)


def test_lists_that_cannot_be_judged_have_no_value() -> None:
    """A cold user gets no list from a model that lives on histories."""
    data = Interactions.from_arrays([1, 1, 2, 2, 3], [1, 2, 1, 2, 1])
    train = data.select(data.users.decode(data.events.users) != 3)
    test = data.select(~np.isin(data.users.decode(data.events.users), [1]))
    names = ["novelty@2", "popularity@2", "popularity_lift@2", "mrr@2"]
    result = evaluate(ferrec.ItemKNN().fit(train), test, names, exclude_seen=False)
    assert result.users.tolist() == [2, 3] and result.activity.tolist() == [2, 0]
    for name in names[:3]:
        assert np.isnan(result.per_user[name]).tolist() == [False, True]
        assert result[name] == result.per_user[name][0]
    alone = evaluate(
        ferrec.ItemKNN().fit(train), data.select(data.events.users == 2), names, exclude_seen=False
    )
    assert math.isnan(alone["novelty@2"]) and alone.to_dict()["metrics"]["novelty@2"] is None
    assert math.isnan(alone.intervals()["novelty@2"][0])


# -- of scores ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("pairs", [40, 1 << 22])
def test_auc_equals_scikit_learn(exclude_seen: bool, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferrec.evaluation.metrics._PAIRS", pairs)
    train, test = trained()
    model = ferrec.PureSVD(n_factors=3).fit(train)
    result = evaluate(model, test, ["auc", "sampled_auc@1000"], exclude_seen=exclude_seen)
    seen = train.matrix.toarray() > 0
    true = test.matrix.toarray() > 0
    for at, label in enumerate(result.users):
        user = int(train.users.encode([label])[0])
        scores = model.score([label] * train.n_items, train.items.values)
        counted = ~seen[user] if exclude_seen else np.ones(train.n_items, bool)
        wanted = sk.roc_auc_score(true[user][counted], scores[counted])
        assert result.per_user["auc"][at] == pytest.approx(wanted, rel=1e-14)
    assert result.per_user["auc"].tolist() == result.per_user["sampled_auc@1000"].tolist()


def test_sampled_auc_comes_near_and_depends_on_the_seed_alone() -> None:
    train, test = trained()
    model = ferrec.PureSVD(n_factors=3).fit(train)
    names = ["auc", "sampled_auc@8"]
    runs = [evaluate(model, test, names, seed=seed, n_threads=n) for seed, n in ((0, 1), (0, 2), (1, 1))]
    assert runs[0].metrics == runs[1].metrics
    assert runs[0]["sampled_auc@8"] != runs[2]["sampled_auc@8"]
    means = [evaluate(model, test, names[1], seed=seed)["sampled_auc@8"] for seed in range(40)]
    assert np.mean(means) == pytest.approx(runs[0]["auc"], abs=4 * np.std(means) / math.sqrt(40))


def test_auc_without_negatives_is_not_defined() -> None:
    data = Interactions.from_arrays([1, 1, 2], [1, 2, 1])
    result = evaluate(ferrec.Popularity().fit(data), data, "auc", exclude_seen=False)
    assert np.isnan(result.per_user["auc"]).tolist() == [True, False]


@settings(max_examples=60)
@given(data=st.data())
def test_other_columns_are_distinct_and_excluded_ones_left_out(data: Any) -> None:
    n_cols = data.draw(st.integers(0, 20))
    columns = st.sets(st.integers(0, n_cols - 1)) if n_cols else st.just(set())
    rows = data.draw(st.lists(columns, max_size=5))
    x = as_csr(
        sparse.csr_array(
            np.array([[c in row for c in range(n_cols)] for row in rows]).reshape(len(rows), n_cols)
        )
    )
    n, seed = data.draw(st.integers(0, 25)), data.draw(st.integers(0, 2**64 - 1))
    keys = np.arange(len(rows), dtype=np.uint64)
    indptr, found = _rust.sample_others(x, n, seed, keys, 2)
    for at, row in enumerate(rows):
        own = found[indptr[at] : indptr[at + 1]].tolist()
        assert own == sorted(set(own)) and not set(own) & row
        assert len(own) == min(n, n_cols - len(row)) and all(0 <= c < n_cols for c in own)


def test_every_other_column_is_as_likely() -> None:
    x = as_csr(
        sparse.csr_array((np.ones(20_000), (np.arange(20_000), np.full(20_000, 3))), shape=(20_000, 9))
    )
    _, found = _rust.sample_others(x, 2, 5, np.arange(20_000, dtype=np.uint64), 2)
    counts = np.bincount(found, minlength=9)
    assert counts[3] == 0
    others = np.delete(counts, 3)
    assert np.abs(others - 5000).max() < 5 * math.sqrt(5000)


# -- of predictions -------------------------------------------------------------------------------------------


def test_rating_errors_equal_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    real, guessed = rng.integers(1, 6, 300), rng.random(300) * 5
    got = rating_metrics(real, guessed)
    assert got["mse"] == pytest.approx(sk.mean_squared_error(real, guessed), rel=1e-14)
    assert got["rmse"] == pytest.approx(sk.root_mean_squared_error(real, guessed), rel=1e-14)
    assert got["mae"] == pytest.approx(sk.mean_absolute_error(real, guessed), rel=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("bins", [1, 7, 10])
def test_probabilities_equal_scikit_learn(dtype: Any, bins: int) -> None:
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(1)
    p = np.concatenate([rng.random(400), [0.0, 1.0, 0.5, 0.5, 0.3, 0.3]]).astype(dtype)
    labels = rng.random(len(p)) < p**1.5
    labels[-6:-4] = [True, False]  # wrong and sure of it: the clipping counts
    got = probability_metrics(labels, p, bins=bins)
    yes = p >= 0.5
    wanted = {
        "accuracy": sk.accuracy_score(labels, yes),
        "precision": sk.precision_score(labels, yes),
        "recall": sk.recall_score(labels, yes),
        "f1": sk.f1_score(labels, yes),
        "auc": sk.roc_auc_score(labels, p),
        "log_loss": sk.log_loss(labels, p),
        "brier": sk.brier_score_loss(labels, p),
    }
    for name, value in wanted.items():
        assert got[name] == pytest.approx(value, rel=1e-6 if dtype is np.float32 else 1e-12), name
    found = Calibration.of(labels, p, bins=bins)
    observed, predicted = calibration_curve(labels, p, n_bins=bins)
    used = found.counts > 0
    assert found.counts.sum() == len(p)
    np.testing.assert_allclose(found.observed[used], observed, rtol=1e-6)
    np.testing.assert_allclose(found.predicted[used], predicted, rtol=1e-6)
    error = (found.counts[used] * np.abs(observed - predicted)).sum() / len(p)
    assert got["calibration_error"] == pytest.approx(error, rel=1e-6)


def test_predictions_of_one_kind() -> None:
    got = probability_metrics([0, 0], [0.1, 0.2])
    assert math.isnan(got["auc"]) and (got["precision"], got["recall"], got["f1"]) == (0.0, 0.0, 0.0)
    assert probability_metrics([True, True], [0.9, 0.8])["f1"] == 1.0
    empty = Calibration.of([1], [0.95], bins=2)
    assert empty.counts.tolist() == [0, 1] and math.isnan(empty.observed[0])


@pytest.mark.parametrize(
    ("labels", "probabilities", "problem"),
    [
        ([], [], "labels: expected at least one"),
        ([0, 2], [0.1, 0.2], "labels: expected 0 and 1, got 2"),
        ([0, 1], [0.1, 1.2], "probabilities: expected numbers from 0 to 1"),
        ([0, 1], [0.1, float("nan")], "probabilities: must be finite, got nan at position 1"),
        ([0, 1], [0.1], "probabilities: must have length 2, got 1"),
        ([[0, 1]], [0.1], "labels: expected numbers in one dimension, got 2-d"),
        (["no", "yes"], [0.1, 0.2], "labels: expected numbers in one dimension, got 1-d"),
    ],
)
def test_bad_predictions_are_named(labels: Any, probabilities: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        probability_metrics(labels, probabilities)
