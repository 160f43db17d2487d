"""Evaluation: against naive computation, aligned by ids, with everything left out counted."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec import DataError, Interactions, ItemKNN, NotFittedError, Popularity, Random, split
from ferrec.evaluation import Comparison, _ranking, compare, evaluate, evaluate_ratings

KINDS = ("precision", "recall", "f1", "hit_rate", "ndcg", "map", "mrr")


def naive(kind: str, listed: list[Any], truth: set[Any], k: int) -> float:
    """One user's metric, as it is defined."""
    gains = [item in truth for item in listed[:k]]
    hits = sum(gains)
    precision, recall = hits / k, hits / len(truth)
    discounted = [gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1)]
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(truth)) + 1))
    precisions = [sum(gains[:rank]) / rank for rank, gain in enumerate(gains, 1) if gain]
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / (precision + recall) if hits else 0.0,
        "hit_rate": float(hits > 0),
        "ndcg": sum(discounted) / ideal,
        "map": sum(precisions) / len(truth),
        "mrr": next((1 / rank for rank, gain in enumerate(gains, 1) if gain), 0.0),
    }[kind]


def check(model: Any, train: Interactions, test: Interactions, ks: list[int], exclude_seen: bool) -> None:
    """Everything that `evaluate` says, computed with Python's sets and dictionaries."""

    def pairs(data: Interactions) -> set[tuple[Any, Any]]:
        entries = data.matrix.tocoo()
        users, items = data.users.decode(entries.row), data.items.decode(entries.col)
        return set(zip(users.tolist(), items.tolist(), strict=True))

    known_users, known_items = set(model.users.values.tolist()), set(model.items.values.tolist())
    seen = pairs(train) if exclude_seen else set()
    known = {(u, i) for u, i in pairs(test) if u in known_users and i in known_items}
    truth: dict[Any, set[Any]] = {}
    for user, item in known - seen:
        truth.setdefault(user, set()).add(item)
    metrics = [f"{kind}@{k}" for kind in (*KINDS, "coverage") for k in ks]
    if not truth:
        with pytest.raises(DataError, match="no user has a true item"):
            evaluate(model, test, metrics, exclude_seen=exclude_seen)
        return
    result = evaluate(model, test, metrics, exclude_seen=exclude_seen)
    users = sorted(truth)
    lists = model.recommend(users, max(ks), exclude_seen=exclude_seen).to_lists()
    assert result.users.tolist() == users and result.n_users == len(users)
    assert list(result.metrics) == metrics
    for k in ks:
        for kind in KINDS:
            expected = [naive(kind, lists[user], truth[user], k) for user in users]
            np.testing.assert_allclose(result.per_user[f"{kind}@{k}"], expected, rtol=1e-12)
            assert result[f"{kind}@{k}"] == pytest.approx(np.mean(expected), rel=1e-12)
        shown = {item for listed in lists.values() for item in listed[:k]}
        assert result[f"coverage@{k}"] == pytest.approx(len(shown) / len(known_items), rel=1e-12)
    tested = pairs(test)
    assert result.skipped_users == len({u for u, _ in tested} - known_users)
    assert result.skipped_items == len({i for _, i in tested} - known_items)
    assert result.skipped_pairs == len(tested - known)
    assert result.seen_pairs == len(known & seen)
    assert result.empty_users == len({u for u, _ in tested} & known_users) - len(users)


events = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40)


@settings(max_examples=60)
@given(train=events, test=events, text=st.booleans(), exclude_seen=st.booleans(), block=st.integers(1, 3))
def test_equals_naive_computation(
    train: list[tuple[int, int]], test: list[tuple[int, int]], text: bool, exclude_seen: bool, block: int
) -> None:
    """Train and test have their own ids, and share only some of them."""

    def build(pairs: list[tuple[int, int]]) -> Interactions:
        users, items = zip(*pairs, strict=True)
        return Interactions.from_arrays([f"u{u}" for u in users] if text else list(users), list(items))

    before, after = build(train), build(test)
    model = ItemKNN(k=4).fit(before)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_ranking, "_BLOCK", block)
        check(model, before, after, [1, 3, 20], exclude_seen)


def test_parts_of_one_split() -> None:
    rng = np.random.default_rng(5)
    data = Interactions.from_arrays(rng.integers(0, 60, 900), rng.integers(0, 40, 900) ** 2)
    train, test = split.random(data, 0.3, seed=1)
    for model in (ItemKNN(k=10), Popularity(), Random(seed=3)):
        check(model.fit(train), train, test, [5, 10], exclude_seen=True)


def test_a_case_by_hand() -> None:
    train = Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "jam", "tea", "jam", "tea"])
    test = Interactions.from_arrays([3, 3, 1, 1, 9], ["jam", "soap", "tea", "jam", "tea"])
    result = evaluate(Popularity().fit(train), test, ("recall@1", "ndcg@1", "coverage@2"))
    assert result.metrics == {"recall@1": 1.0, "ndcg@1": 1.0, "coverage@2": 0.5}
    assert result.users.tolist() == [3]
    assert (result.skipped_users, result.skipped_items, result.skipped_pairs) == (1, 1, 2)
    assert (result.seen_pairs, result.empty_users) == (2, 1)
    text = repr(result)
    assert "1 user and 1 item that the model does not know (2 pairs)" in text
    assert "2 pairs already seen in training" in text and "ndcg@1" in text
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["metrics"]["recall@1"] == 1.0 and plain["n_users"] == 1 and plain["skipped_pairs"] == 2


def test_threads_do_not_matter_and_the_model_stays() -> None:
    rng = np.random.default_rng(0)
    data = Interactions.from_arrays(rng.integers(0, 50, 500), rng.integers(0, 30, 500))
    train, test = split.random(data, 0.3)
    model = ItemKNN(k=5).fit(train)
    results = [evaluate(model, test, n_threads=n).metrics for n in (None, 1, 2)]
    assert results[0] == results[1] == results[2]
    assert model.n_threads is None


@pytest.mark.parametrize("bad", ["ndgc@10", "ndcg", "ndcg@0", "ndcg@-1", "ndcg@1.5", "@5", "ndcg@", "", 5])
def test_unknown_metrics_are_named(bad: object) -> None:
    data = Interactions.from_arrays([1, 2], [1, 2])
    with pytest.raises(ValueError, match=r"must be one of precision@k, .*ndcg@k.*coverage@k"):
        evaluate(Popularity().fit(data), data, ["ndcg@5", bad])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="name at least one"):
        evaluate(Popularity().fit(data), data, [])


def test_one_metric_as_a_string() -> None:
    data = Interactions.from_arrays([1, 2], [1, 2])
    result = evaluate(Popularity().fit(data), data, "recall@2", exclude_seen=False)
    assert result.metrics == {"recall@2": 1.0}
    with pytest.raises(KeyError, match=r"recall@3.*recall@2"):
        result["recall@3"]


def test_nothing_to_evaluate() -> None:
    data = Interactions.from_arrays([1, 2], [1, 2])
    other = Interactions.from_arrays(["x"], ["y"])
    model = Popularity().fit(data)
    with pytest.raises(DataError, match="1 user and 1 item that the model does not know"):
        evaluate(model, other)
    with pytest.raises(DataError, match="2 pairs already seen in training"):
        evaluate(model, data)
    with pytest.raises(NotFittedError):
        evaluate(Popularity(), data)
    with pytest.raises(TypeError, match="expected Interactions, got list"):
        evaluate(model, [(1, 2)])  # type: ignore[arg-type]


def test_progress_counts_users() -> None:
    data = Interactions.from_arrays([1, 2, 3], [1, 2, 3])
    calls: list[tuple[int, int]] = []
    evaluate(Popularity().fit(data), data, exclude_seen=False, progress=lambda *done: calls.append(done))
    assert calls[-1] == (3, 3)


def test_compare() -> None:
    rng = np.random.default_rng(0)
    data = Interactions.from_arrays(rng.integers(0, 50, 500), rng.integers(0, 30, 500))
    train, test = split.random(data, 0.3)
    models = {"knn": ItemKNN(k=5).fit(train), "popular": Popularity().fit(train)}
    table = compare(models, test, ["ndcg@5", "recall@10"])
    assert isinstance(table, Comparison)
    for name, model in models.items():
        assert table[name].metrics == evaluate(model, test, ["ndcg@5", "recall@10"]).metrics
    lines = repr(table).splitlines()
    assert lines[0].split() == ["ndcg@5", "recall@10", "users"] and len({len(line) for line in lines}) == 1
    assert lines[1].split()[:2] == ["knn", f"{table['knn']['ndcg@5']:.4f}"]
    assert json.loads(json.dumps(table.to_dict()))["popular"]["n_users"] == table["popular"].n_users
    with pytest.raises(KeyError, match=r"got 'x'; there are knn, popular"):
        table["x"]
    with pytest.raises(ValueError, match="at least one"):
        compare({}, test)


def test_ratings_equal_naive_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    users, items = rng.integers(0, 40, 800), rng.integers(0, 30, 800)
    data = Interactions.from_arrays(users, items, rng.integers(1, 6, 800), duplicates="last")
    train, test = split.random(data, 0.25)
    model = ferrec.Bias().fit(train)
    entries = test.matrix.tocoo()
    predicted = model.score(test.users.decode(entries.row), test.items.decode(entries.col))
    errors = predicted.astype(float) - entries.data
    for pairs in (1, 7, 1 << 20):
        monkeypatch.setattr(f"{evaluate_ratings.__module__}._PAIRS", pairs)
        result = evaluate_ratings(model, test)
        assert result["rmse"] == pytest.approx(np.sqrt((errors**2).mean()), rel=1e-12)
        assert result["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-12)
        assert (result["pairs"], result["skipped_pairs"]) == (test.nnz, 0)


def test_ratings_of_unknown_pairs_are_counted() -> None:
    train = Interactions.from_arrays([1, 1, 2], ["a", "b", "a"], [4, 2, 4])
    test = Interactions.from_arrays([2, 9, 1], ["b", "a", "z"], [3, 5, 5])
    result = evaluate_ratings(ferrec.Bias().fit(train), test)
    assert (result["pairs"], result["skipped_pairs"]) == (1, 2)
    with pytest.raises(DataError, match="knows none of the 1 pairs"):
        evaluate_ratings(ferrec.Bias().fit(train), Interactions.from_arrays([5], ["q"]))
