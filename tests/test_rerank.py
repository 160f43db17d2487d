"""Re-ranking and blending against definitions written out."""

import itertools
import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec import _rust
from ferrec.data.attributes import Categories
from ferrec.data.candidates import Candidates
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.errors import DataError
from ferrec.rankers import ReciprocalRankFusion, WeightedBlend
from ferrec.two_stage import rerank

properties = settings(max_examples=60)
N_ITEMS = 8


def candidates(rows, columns=None, histories=None):
    """Candidates with these rows of item codes, of queries with these histories."""

    def csr(lists):
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
        return indptr, np.array([code for row in lists for code in row], np.int32)

    indptr, codes = csr(rows)
    past, touched = csr(histories or [[]] * len(rows))
    history = _rust.Csr(past, touched, np.ones(len(touched), np.float32), N_ITEMS)
    items = Ids.from_values(np.arange(N_ITEMS) * 10)
    return Candidates(Queries(np.arange(len(rows)), history, None), items, indptr, codes, columns or {})


some_items = st.sets(st.integers(0, N_ITEMS - 1)).map(sorted)


@st.composite
def problems(draw):
    rows = draw(st.lists(some_items, min_size=1, max_size=5))
    n = sum(map(len, rows))
    # Powers of two keep the sums of both sides exact, so that ties are ties.
    scores = draw(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0]), min_size=n, max_size=n))
    return (
        rows,
        np.array(scores, np.float32),
        draw(st.integers(1, 9)),
        draw(st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    )


def relevance(scores):
    least, most = (min(scores), max(scores)) if len(scores) else (0, 0)
    return [(s - least) / (most - least) if most > least else 0.0 for s in scores]


def greedy(items, scores, n, value):
    """Items one by one: `value(item, relevance, list)`, then relevance, then the order of the items."""
    left, chosen = dict(zip(items, relevance(scores.tolist()), strict=True)), []
    while left and len(chosen) < n:
        best = max(left, key=lambda item: (value(item, left[item], chosen), left[item], -item))
        chosen.append(best)
        del left[best]
    return chosen


def check(recs, pairs, scores, rows, lists):
    assert [recs.codes[a:b].tolist() for a, b in itertools.pairwise(recs.indptr)] == lists
    at = 0
    for query, row in enumerate(rows):
        own = dict(zip(row, scores[at : at + len(row)].tolist(), strict=True))
        assert [score for _, score in recs[query]] == [own[code] for code in lists[query]]
        at += len(row)


def split_scores(rows, scores):
    ends = np.cumsum([len(row) for row in rows])
    return np.split(scores, ends[:-1])


@properties
@given(problems(), st.integers(0, 10**6), st.booleans(), st.integers(1, 2))
def test_mmr(problem, seed, sparse, n_threads):
    rows, scores, n, strength = problem
    rng = np.random.default_rng(seed)
    pairs = candidates(rows)
    if sparse:
        near = np.where(rng.random((N_ITEMS, N_ITEMS)) < 0.4, rng.integers(1, 8, (N_ITEMS, N_ITEMS)) / 8, 0)
        likeness = {"similarity": sp.csr_array(near.astype(np.float32))}
    else:  # one entry in each: the cosines are 0, 1 and -1, whatever the order of summation
        vectors = np.zeros((N_ITEMS, 19))
        vectors[np.arange(N_ITEMS), rng.integers(0, 3, N_ITEMS) * 9] = rng.integers(-2, 3, N_ITEMS)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
        near, likeness = unit @ unit.T, {"vectors": vectors}

    def value(item, relevant, chosen):
        if not chosen:
            return relevant
        return (1 - strength) * relevant - strength * max(near[other, item] for other in chosen)

    recs = rerank.mmr(pairs, scores, n, strength=strength, n_threads=n_threads, **likeness)
    lists = [greedy(row, own, n, value) for row, own in zip(rows, split_scores(rows, scores), strict=True)]
    check(recs, pairs, scores, rows, lists)


def divergence(p, q, smoothing):
    return sum(
        a * math.log(a / ((1 - smoothing) * b + smoothing * a)) for a, b in zip(p, q, strict=True) if a > 0
    )


@properties
@given(problems(), st.lists(some_items, min_size=5, max_size=5), st.integers(0, 10**6), st.integers(1, 2))
def test_calibration(problem, histories, seed, n_threads):
    rows, scores, n, strength = problem
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 4, (N_ITEMS, 3)) * (rng.random((N_ITEMS, 1)) < 0.8)
    totals = weights.sum(axis=1, keepdims=True)
    share = np.divide(weights, totals, out=np.zeros(weights.shape), where=totals > 0)
    histories = histories[: len(rows)]
    pairs = candidates(rows, histories=histories)
    recs = rerank.calibrate(
        pairs, scores, n, categories=sp.csr_array(weights), strength=strength, n_threads=n_threads
    )
    for query, (row, own) in enumerate(zip(rows, split_scores(rows, scores), strict=True)):
        found = recs.codes[recs.indptr[query] : recs.indptr[query + 1]].tolist()
        assert len(found) == min(n, len(row)) == len(set(found))
        relevant = dict(zip(row, relevance(own.tolist()), strict=True))
        p = share[histories[query]].sum(axis=0)
        known = p.sum() > 0
        p = p / p.sum() if known else p

        def goal(items, p=p, relevant=relevant, known=known):
            gain = sum(relevant[item] for item in items)
            if not known:
                return gain
            q = share[items].sum(axis=0) / len(items)
            return (1 - strength) * gain - strength * divergence(p, q, 0.01)

        # Each step took one of the best: up to rounding, which may decide between equals.
        for step, item in enumerate(found):
            before = found[:step]
            best = max(goal([*before, other]) for other in row if other not in before)
            assert goal([*before, item]) == pytest.approx(best, abs=1e-5)


def test_calibration_gives_each_interest_its_share():
    kinds = Categories(np.array([0, 0, 0, 0, 1, 1, 1, 1], np.int32), Ids.from_values(["drama", "comedy"]))
    pairs = candidates([[1, 2, 3, 5, 6]], histories=[[0, 4]])
    scores = [0.9, 0.8, 0.7, 0.1, 0.0]
    for strength, expected in ((0.0, [10, 20, 30, 50]), (0.9, [10, 50, 20, 60])):
        assert rerank.calibrate(pairs, scores, 4, categories=kinds, strength=strength).to_lists() == {
            0: expected
        }


def test_wrong_arguments():
    pairs = candidates([[0, 1]])
    near, kinds = sp.csr_array((N_ITEMS, N_ITEMS), dtype=np.float32), sp.csr_array(np.ones((N_ITEMS, 2)))
    for likeness in ({}, {"vectors": np.ones((N_ITEMS, 1)), "similarity": near}):
        with pytest.raises(ValueError, match="vectors, similarity: give one of them"):
            rerank.mmr(pairs, [1, 2], **likeness)
    with pytest.raises(
        ValueError, match=r"similarity: must have shape \(8, 8\), items × items, got \(2, 2\)"
    ):
        rerank.mmr(pairs, [1, 2], similarity=sp.csr_array((2, 2), dtype=np.float32))
    for wrong in (np.ones(N_ITEMS), np.ones((3, 2))):
        with pytest.raises(ValueError, match=r"vectors: must have 8 rows, one for each item, got \("):
            rerank.mmr(pairs, [1, 2], vectors=wrong)
    with pytest.raises(ValueError, match="vectors: must be finite, got nan at row 0"):
        rerank.mmr(pairs, [1, 2], vectors=np.full((N_ITEMS, 2), np.nan))
    for strength in (-0.1, 1.5, np.nan):
        for ask in (
            lambda strength: rerank.mmr(pairs, [1, 2], similarity=near, strength=strength),
            lambda strength: rerank.calibrate(pairs, [1, 2], categories=kinds, strength=strength),
        ):
            with pytest.raises(ValueError, match="strength: must be from 0 to 1"):
                ask(strength)
    for smoothing in (0.0, 1.0, np.nan):
        with pytest.raises(ValueError, match="smoothing: must be above 0 and below 1"):
            rerank.calibrate(pairs, [1, 2], categories=kinds, smoothing=smoothing)
    for scores in ([1], [1, np.nan]):
        with pytest.raises(ValueError, match="scores: "):
            rerank.mmr(pairs, scores, similarity=near)
        with pytest.raises(ValueError, match="scores: "):
            rerank.calibrate(pairs, scores, categories=kinds)
    with pytest.raises(DataError, match="categories: must have 8 rows, one for each item, got 3"):
        rerank.calibrate(pairs, [1, 2], categories=sp.csr_array(np.ones((3, 2))))
    with pytest.raises(DataError, match="categories: weights must be at least 0, got -1"):
        rerank.calibrate(pairs, [1, 2], categories=sp.csr_array(-np.ones((N_ITEMS, 2))))
    with pytest.raises(ValueError, match="n: must be at least 1, got 0"):
        rerank.mmr(pairs, [1, 2], 0, similarity=near)


# -- blends -------------------------------------------------------------------------------------------------


def columns(rows, seed, names):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=sum(map(len, rows))).astype(np.float32) for name in names}


ROWS = [[0, 1, 4], [2], [], [1, 2, 3, 5, 6, 7], [0, 7]]


@properties
@given(st.lists(some_items, max_size=5), st.integers(0, 10**6), st.integers(1, 2))
def test_min_max(rows, seed, n_threads):
    values = np.random.default_rng(seed).integers(-2, 3, sum(map(len, rows))).astype(np.float32)
    pairs = candidates(rows)
    found = _rust.min_max(pairs.indptr, values, n_threads)
    parts = split_scores(rows, values) if rows else []
    assert found.tolist() == pytest.approx([x for part in parts for x in relevance(part.tolist())])


def test_min_max_of_the_greatest_numbers():
    most = np.finfo(np.float32).max
    assert _rust.min_max(np.array([0, 2]), np.array([-most, most], np.float32), 1).tolist() == [0, 1]


def test_weighted_blend():
    pairs = candidates(ROWS, columns(ROWS, 0, ["a_score", "a_rank", "b_score"]))
    labels = (np.arange(len(pairs)) % 3 == 0).astype(np.float32)
    blend = WeightedBlend(weights={"b_score": 2.0, "a_score": -0.5}).fit(pairs, labels)
    scaled = {
        name: np.array([x for part in split_scores(ROWS, column) for x in relevance(part.tolist())])
        for name, column in pairs.columns.items()
    }
    found = blend.score(pairs)
    assert found.dtype == np.float32
    assert found == pytest.approx(2 * scaled["b_score"] - 0.5 * scaled["a_score"], abs=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_learned_weights_are_those_of_scikit_learn(weighted):
    linear = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(5)
    rows = [sorted(rng.choice(N_ITEMS, 6, replace=False).tolist()) for _ in range(300)]
    pairs = candidates(rows, columns(rows, 1, ["a_score", "a_rank", "b_score"]))
    n, l2 = len(pairs), 1e-3
    scaled = np.column_stack(
        [_rust.min_max(pairs.indptr, pairs.columns[name], 1) for name in ("a_score", "b_score")]
    )
    labels = (rng.random(n) < 1 / (1 + np.exp(1 - scaled @ [3, -1]))).astype(np.float32)
    heavy = rng.random(n).astype(np.float32) if weighted else None
    blend = WeightedBlend(l2=l2).fit(pairs, labels, sample_weight=heavy)
    sizes = np.ones(n) if heavy is None else heavy.astype(float)
    oracle = linear.LogisticRegression(C=1 / (l2 * sizes.sum()), tol=1e-8, max_iter=1000)
    oracle.fit(scaled, labels, sample_weight=sizes)
    assert blend.state.used == ("a_score", "b_score")
    assert blend.state.weights == pytest.approx(oracle.coef_[0], abs=2e-3)
    assert blend.score(pairs) == pytest.approx(scaled @ blend.state.weights, abs=1e-5)


def test_fusion():
    ranks = {"a_rank": np.arange(1, 13), "a_score": np.ones(12), "b_rank": np.arange(12, 0, -1)}
    pairs = candidates(ROWS, {name: column.astype(np.float32) for name, column in ranks.items()})
    labels = (np.arange(12) % 3 == 0).astype(np.float32)
    found = ReciprocalRankFusion(rank_constant=10).fit(pairs, labels).score(pairs)
    assert found == pytest.approx(1 / (10 + ranks["a_rank"]) + 1 / (10 + ranks["b_rank"]))
    one = ReciprocalRankFusion(columns=["b_rank"]).fit(pairs, labels).score(pairs)
    assert one == pytest.approx(1 / (60 + ranks["b_rank"]))


@pytest.mark.parametrize(
    "ranker",
    [WeightedBlend(), WeightedBlend(weights={"item_knn_score": 1.0}), ReciprocalRankFusion(rank_constant=5)],
    ids=repr,
)
def test_blends_are_rankers(ranker, tmp_path):
    data = ferrec.testing._checks.sample()
    past, future = ferrec.split.leave_last_out(data, 2)
    retrieval = ferrec.Retrieval([ferrec.ItemKNN(), ferrec.Popularity()], n_candidates=10)
    pairs, labels = ferrec.two_stage.training_pairs(retrieval, None, past, future)
    scores = ranker.fit(pairs, labels).score(pairs)
    assert scores.shape == (len(pairs),)
    assert np.isfinite(scores).all()
    assert np.array_equal(ranker.fit(pairs, labels).score(pairs), scores)
    ranker.save(tmp_path / "ranker")
    twin = ferrec.load(tmp_path / "ranker")
    assert repr(twin) == repr(ranker)
    assert np.array_equal(twin.score(pairs), scores)
    with pytest.raises(DataError, match="lack 'item_knn_score'"):
        ranker.score(ferrec.Retrieval([ferrec.Popularity()], n_candidates=3).fit(past).candidates())


def test_wrong_blends():
    pairs = candidates(ROWS, columns(ROWS, 0, ["a_score"]))
    labels = (np.arange(len(pairs)) % 2).astype(np.float32)
    with pytest.raises(DataError, match="no column that ends in '_rank'"):
        ReciprocalRankFusion().fit(pairs, labels)
    with pytest.raises(DataError, match="no column 'b'; there are a_score"):
        WeightedBlend(weights={"b": 1.0}).fit(pairs, labels)
    with pytest.raises(DataError, match="no column named; there are a_score"):
        WeightedBlend(weights={}).fit(pairs, labels)
    with pytest.raises(ValueError, match="weights, columns: give one of them; weights name their columns"):
        WeightedBlend(weights={"a_score": 1.0}, columns=["a_score"]).fit(pairs, labels)
    with pytest.raises(ValueError, match="weights: must be finite"):
        WeightedBlend(weights={"a_score": np.inf}).fit(pairs, labels)
    for l2 in (-1.0, np.nan):
        with pytest.raises(ValueError, match="l2: must be at least 0"):
            WeightedBlend(l2=l2).fit(pairs, labels)
    for k in (0, -3.0, np.nan):
        with pytest.raises(ValueError, match="rank_constant: must be above 0"):
            ReciprocalRankFusion(rank_constant=k, columns=["a_score"]).fit(pairs, labels)
