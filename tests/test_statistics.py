"""Intervals, tests and segments: against SciPy, and against loops that are obviously right."""

import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import ferrec
from ferrec import DataError, Interactions, _rust, split
from ferrec.data.ids import Ids
from ferrec.evaluation import Comparison, Evaluation, Hits, compare, evaluate
from ferrec.evaluation._segments import by_count
from ferrec.evaluation._statistics import holm, intervals, mean, p_value

METHODS = ("permutation", "t", "wilcoxon")


def evaluation(users: list[Any], **per_user: list[float]) -> Evaluation:
    """An evaluation that only has values per user."""
    values = {f"{name}@1": np.array(column, np.float64) for name, column in per_user.items()}
    n, none = len(users), np.empty(0, np.int32)
    hits = Hits(Ids.from_values([1]), np.zeros(1, np.int64), np.zeros(n + 1, np.int64), none, none, none)
    means = {name: mean(column) for name, column in values.items()}
    return Evaluation(means, values, np.array(users), np.zeros(n, np.int64), hits)


def interval(
    values: Any, level: float, n_resamples: int, seed: int, n_threads: int | None
) -> tuple[float, float]:
    return intervals({"x": values}, level, n_resamples, seed, n_threads)["x"]


# -- intervals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_are_those_of_scipy(level: float) -> None:
    """Both draw at random: they agree as far as their own runs agree with each other."""
    values = np.random.default_rng(0).gamma(0.5, size=200)
    got = interval(values, level, 20_000, 0, None)
    found = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=level,
        n_resamples=20_000,
        method="BCa",
        rng=np.random.default_rng(1),
    ).confidence_interval
    assert got == pytest.approx(tuple(found), abs=0.05 * values.std() / math.sqrt(200))


SAMPLES = {
    "hits": lambda rng: rng.integers(0, 2, 50).astype(float),
    "few": lambda rng: rng.random(2),
    "skewed": lambda rng: rng.pareto(1.5, 300),
    "ties": lambda rng: rng.integers(0, 4, 31) / 3,
    "negative": lambda rng: -rng.gamma(0.3, size=80),
}


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95, 0.999])
@pytest.mark.parametrize("name", SAMPLES)
def test_of_the_same_resamples_intervals_are_those_of_scipy_to_the_last_digits(
    name: str, level: float
) -> None:
    values = SAMPLES[name](np.random.default_rng(4))
    drawn = _rust.bootstrap_means(values, 1, 999, 7, 1)
    given = SimpleNamespace(bootstrap_distribution=drawn)
    found = stats.bootstrap(
        (values,), np.mean, confidence_level=level, n_resamples=0, method="BCa", bootstrap_result=given
    )
    expected = tuple(found.confidence_interval)
    assert interval(values, level, 999, 7, 1) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_intervals_hold_the_true_mean_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for seed in range(400):
        low, high = interval(rng.random(60), 0.9, 500, seed, 1)
        inside += low <= 0.5 <= high
    assert 0.86 < inside / 400 < 0.94


def test_intervals_depend_on_the_seed_alone() -> None:
    values = np.random.default_rng(0).random(77)
    runs = [interval(values, 0.9, 300, seed, n) for seed, n in ((0, 1), (0, 2), (1, 1))]
    assert runs[0] == runs[1] != runs[2]
    holes, gaps = np.insert(values, [3, 40], np.nan), np.insert(values, [0, 1], np.nan)
    full = np.concatenate([values, values[:2]])
    assert interval(holes, 0.9, 300, 0, 1) == runs[0]
    columns = {"a": full, "b": holes, "c": 2 * full, "d": gaps, "e": -holes}
    together = intervals(columns, 0.9, 300, 0, 2)
    assert list(together) == list(columns)
    assert together == {name: interval(column, 0.9, 300, 0, 1) for name, column in columns.items()}


def test_intervals_of_little() -> None:
    assert interval(np.full(5, 0.25), 0.9, 50, 0, 1) == (0.25, 0.25)
    for few in ([], [1.0], [np.nan, 1.0]):
        assert all(map(math.isnan, interval(np.array(few), 0.9, 50, 0, 1)))
    assert all(map(math.isfinite, interval(np.array([0.0, 1.0]), 0.9, 1, 0, 1)))
    result = evaluation([1, 2, 3, 4], a=[0, 1, 1, 0])
    low, high = result.intervals(level=0.8)["a@1"]
    assert 0 <= low < 0.5 < high <= 1


@pytest.mark.parametrize(
    "arguments", [{"level": 1.0}, {"level": 0.0}, {"level": float("nan")}, {"n_resamples": 0}, {"seed": -1}]
)
def test_arguments_of_intervals_are_named(arguments: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(arguments))):
        evaluation([1, 2], a=[0, 1]).intervals(**arguments)


# -- tests ----------------------------------------------------------------------------------------------------


def test_p_values_are_those_of_scipy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(40), rng.random(40) + 0.1
    assert p_value(a - b, "t", 10, 0, 1) == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-12)
    assert p_value(a - b, "wilcoxon", 10, 0, 1) == pytest.approx(stats.wilcoxon(a, b).pvalue, rel=1e-12)


@settings(max_examples=25)
@given(tenths=st.lists(st.integers(-5, 5), min_size=2, max_size=9))
def test_the_randomization_test_nears_the_count_of_all_signs(tenths: list[int]) -> None:
    """Tenths are not exact in binary, so that sums which are equal differ by rounding."""
    values = np.array(tenths) / 10
    signs = itertools.product((-1, 1), repeat=len(tenths))
    exact = np.mean(
        [abs(sum(s * t for s, t in zip(one, tenths, strict=True))) >= abs(sum(tenths)) for one in signs]
    )
    got = p_value(values, "permutation", 20_000, 0, 2)
    assert got == pytest.approx(exact, abs=5 * math.sqrt(exact * (1 - exact) / 20_000) + 1e-4)
    assert got == p_value(values, "permutation", 20_000, 0, 1)


def test_the_least_p_value_is_that_of_the_resamples() -> None:
    assert p_value(np.ones(100), "permutation", 999, 0, 1) == 0.001
    assert _rust.sign_flips(np.zeros(0), 7, 0, 1) == 7


@pytest.mark.parametrize("method", METHODS)
def test_no_difference_is_no_evidence(method: Any) -> None:
    assert p_value(np.zeros(9), method, 99, 0, 1) == 1.0
    assert p_value(np.array([0.3]), method, 99, 0, 1) == 1.0
    assert p_value(np.full(30, 0.5), method, 9999, 0, 1) < 0.001


@given(p=st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_its_definition(p: list[float]) -> None:
    order, worst, expected = sorted(range(len(p)), key=p.__getitem__), 0.0, [0.0] * len(p)
    for step, at in enumerate(order):
        worst = max(worst, min(1.0, (len(p) - step) * p[at]))
        expected[at] = worst
    assert holm(np.array(p)).tolist() == pytest.approx(expected)


def test_significance_pairs_users_and_corrects() -> None:
    rng = np.random.default_rng(5)
    base = rng.random(60)
    names = [f"u{n:02}" for n in range(60)]
    models = Comparison(
        {
            "good": evaluation(names, a=(base + 0.2).tolist()),
            "same": evaluation(names[5:], a=base[5:].tolist()),
            "poor": evaluation(names[::-1][:40][::-1], a=(base[20:] - rng.random(40)).tolist()),
        }
    )
    found = models.significance("a@1", n_resamples=2000)
    assert [(one.first, one.second, one.n_users) for one in found] == [
        ("good", "same", 55),
        ("good", "poor", 40),
        ("same", "poor", 40),
    ]
    first = found.differences[0]
    assert first.difference == pytest.approx(0.2) and (first.low, first.high) == pytest.approx((0.2, 0.2))
    assert all(one.low < one.difference < one.high for one in found.differences[1:])
    assert first.p_value == 1 / 2001 and first.corrected == pytest.approx(3 / 2001)
    assert all(one.p_value <= one.corrected <= 1 for one in found)
    against = models.significance("a@1", baseline="same", method="t")
    assert [(one.first, one.second) for one in against] == [("good", "same"), ("poor", "same")]
    assert against.differences[1].difference < 0
    lines = repr(found).splitlines()
    assert lines[0].startswith("a@1") and "p (Holm)" in lines[0] and lines[1].startswith("good − same")
    assert found.to_dict()["differences"][0]["n_users"] == 55
    assert models.significance("a@1", n_resamples=2000, n_threads=1) == found


def test_what_cannot_be_tested_is_said() -> None:
    one = evaluation([1, 2], a=[0, 1])
    with pytest.raises(ValueError, match="a test needs two, got 1"):
        Comparison({"x": one}).significance("a@1")
    both = Comparison({"x": one, "y": evaluation([3, 4], a=[0, 1])})
    with pytest.raises(DataError, match="'x' and 'y' have no user in common"):
        both.significance("a@1")
    with pytest.raises(ValueError, match=r"'x' has no values per user of 'b@1'; there are a@1"):
        both.significance("b@1")
    with pytest.raises(KeyError, match="name: is none of the evaluations, got 'z'"):
        both.significance("a@1", baseline="z")
    same = Comparison({"x": one, "y": one})
    with pytest.raises(ValueError, match="method"):
        same.significance("a@1", method="z-test")  # type: ignore[arg-type]


# -- segments -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result() -> tuple[Evaluation, Interactions, Interactions]:
    rng = np.random.default_rng(0)
    data = Interactions.from_arrays(rng.zipf(1.5, 1500) % 70, rng.zipf(1.4, 1500) % 40)
    train, test = split.random(data, 0.3)
    train = train.select(~np.isin(train.events.users, [3, 4]))  # cold users
    train = train.select(~np.isin(train.events.items, [5, 6]))  # cold items
    names = ["recall@5", "ndcg@10", "novelty@5", "coverage@5"]
    return evaluate(ferrec.Popularity().fit(train), test, names, exclude_seen=False), train, test


def test_users_by_activity(result: Any) -> None:
    whole, train, _ = result
    table = whole.by_user(bins=[2, 10])
    assert list(table.evaluations) == ["0", "1", "2–9", "10+"]
    activity = {
        label: int(n) for label, n in zip(train.users.values, np.diff(train.matrix.indptr), strict=True)
    }
    for name, low, high in (("0", 0, 0), ("1", 1, 1), ("2–9", 2, 9), ("10+", 10, 10**9)):
        part = table[name]
        own = [at for at, label in enumerate(whole.users.tolist()) if low <= activity[label] <= high]
        assert part.users.tolist() == whole.users[own].tolist()
        for metric in ("recall@5", "ndcg@10", "novelty@5"):
            assert part[metric] == pytest.approx(whole.per_user[metric][own].mean())
        assert "coverage@5" not in part.metrics
        assert len(part.hits.indptr) == part.n_users + 1
    assert sum(part.n_users for part in table.evaluations.values()) == whole.n_users
    assert table["0"].n_users >= 2
    even = [part.n_users for name, part in whole.by_user(bins=3).evaluations.items() if name != "0"]
    assert len(even) <= 3 and max(even) < 0.7 * whole.n_users


def test_users_by_name(result: Any) -> None:
    whole, *_ = result
    odd = ["odd" if label % 2 else "even" for label in whole.users.tolist()]
    by_list, by_map = whole.by_user(odd), whole.by_user(dict(zip(whole.users.tolist(), odd, strict=True)))
    assert list(by_list.evaluations) == ["even", "odd"]
    assert by_list["odd"].metrics == by_map["odd"].metrics
    assert list(whole.by_user({whole.users[0].item(): "first"}).evaluations) == ["first"]


def test_items_by_popularity(result: Any) -> None:
    """The same as an evaluation of test data that hold nothing but the items of the group."""
    whole, train, test = result
    table = whole.by_item(bins=[5, 20])
    counts = np.bincount(train.matrix.indices, minlength=train.n_items)
    assert list(table.evaluations) == ["0", "1–4", "5–19", "20+"]
    model = ferrec.Popularity().fit(train)
    for name, low, high in (("0", 0, 0), ("1–4", 1, 4), ("5–19", 5, 19), ("20+", 20, 10**9)):
        own = (counts >= low) & (counts <= high)
        alone = evaluate(
            model, test.select(own[test.events.items]), ["recall@5", "ndcg@10"], exclude_seen=False
        )
        part = table[name]
        assert part.users.tolist() == alone.users.tolist()
        assert part.metrics == pytest.approx(alone.metrics)
        assert part.hits.codes.tolist() == alone.hits.codes.tolist()
        again = part.by_item(bins=[5, 20])
        assert again[name].metrics == part.metrics and list(again.evaluations) == [name]
    assert table["0"].metrics == {"recall@5": 0.0, "ndcg@10": 0.0}
    pairs = [len(part.hits.codes) for part in whole.by_item(bins=2).evaluations.values()]
    assert sum(pairs) == len(whole.hits.codes)


@given(counts=st.lists(st.integers(0, 30), max_size=30), bins=st.integers(1, 5))
def test_ranges_hold_their_counts(counts: list[int], bins: int) -> None:
    values = np.array(counts, np.int64)
    groups, names = by_count(values, bins, np.ones(len(values), np.int64))
    assert len(names) == len(set(names)) <= bins + 1
    for count, group in zip(counts, groups.tolist(), strict=True):
        low, _, high = names[group].rstrip("+").partition("–")
        assert int(low) <= count
        assert names[group].endswith("+") or count <= int(high or low)


def test_bad_groups_are_named(result: Any) -> None:
    whole, *_ = result
    for bad in (["a"], "activty", 5, {}):
        with pytest.raises(ValueError, match="groups"):
            whole.by_user(bad)
    for bins in (0, True, [], [-1], [0.5]):
        with pytest.raises(ValueError, match="bins"):
            whole.by_user(bins=bins)
        with pytest.raises(ValueError, match="bins"):
            whole.by_item(bins=bins)
    with pytest.raises(ValueError, match="names none of the true items"):
        whole.by_item({})
    only = evaluate(
        ferrec.Popularity().fit(Interactions.from_arrays([1, 2], [1, 2])),
        Interactions.from_arrays([1], [2]),
        "novelty@1",
    )
    with pytest.raises(DataError, match="none of ranks was asked for"):
        only.by_item()


def test_compare_passes_everything_on(result: Any) -> None:
    _, train, test = result
    models = {"a": ferrec.Popularity().fit(train), "b": ferrec.Random().fit(train)}
    table = compare(
        models, test, ["diversity@3", "sampled_auc@5"], exclude_seen=False, item_features=np.eye(40), seed=3
    )
    for name, model in models.items():
        alone = evaluate(
            model,
            test,
            ["diversity@3", "sampled_auc@5"],
            exclude_seen=False,
            item_features=np.eye(40),
            seed=3,
        )
        assert table[name].metrics == alone.metrics
