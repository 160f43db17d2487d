"""The kernels against naive dense answers, on small odd matrices and on middling ones."""

import importlib.util
import json
import os
import subprocess
import sys
import warnings

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scripts import HANGS

from ferrec import _rust
from ferrec.kernels import ranking_metrics, top_k_neighbors, top_k_product, top_k_similar, weight
from ferrec.kernels.handles import as_csr, to_scipy

properties = settings(max_examples=60)
AXES = ("items", "users")
KINDS = ("tfidf", "bm25", "bm25+", "log", "sqrt", "binary", "l1", "l2", "max")
NON_NEGATIVE_KINDS = ("bm25", "bm25+", "log", "sqrt")


def csr(entries, shape, dtype=np.float32, index_dtype=np.int32, *, read_only=False):
    """A csr_array of (row, column, value) entries as they are: unsorted, repeated, zero."""
    rows = [[e for e in entries if e[0] == row] for row in range(shape[0])]
    flat = [e for row in rows for e in row]
    x = sp.csr_array(shape, dtype=dtype)
    # The constructor would choose the index type itself.
    x.indptr = np.cumsum([0, *map(len, rows)]).astype(index_dtype)
    x.indices = np.array([e[1] for e in flat], dtype=index_dtype)
    x.data = np.array([e[2] for e in flat], dtype=dtype)
    if read_only:
        for part in parts(x):
            part.flags.writeable = False
    return x


def parts(x):
    return x.indptr, x.indices, x.data


def fingerprint(*matrices):
    return [(p.dtype, p.tobytes(), id(p)) for x in matrices if sp.issparse(x) for p in parts(x)]


@st.composite
def matrices(draw, n_rows=None, n_cols=None, *, negative=True, max_side=11):
    """Quarters and small whole numbers: their products and sums are exact in float32."""
    n_rows = draw(st.integers(0, max_side)) if n_rows is None else n_rows
    n_cols = draw(st.integers(0, max_side)) if n_cols is None else n_cols
    entries = []
    if n_rows and n_cols:
        entry = st.tuples(st.integers(0, n_rows - 1), st.integers(0, n_cols - 1), st.integers(-12, 12))
        entries = draw(st.lists(entry, max_size=60))
    if draw(st.booleans()):  # canonical
        entries = [(r, c, v) for (r, c), v in sorted({(r, c): v for r, c, v in entries}.items())]
    dtype = np.dtype(draw(st.sampled_from(["f4", "f8", "i8", "i4", "u1", "?"])))
    if not negative or dtype.kind in "ub":
        entries = [(r, c, abs(v)) for r, c, v in entries]
    if dtype.kind == "f":
        entries = [(r, c, v / 4) for r, c, v in entries]
    index_dtype = draw(st.sampled_from([np.int32, np.int64]))
    return csr(entries, (n_rows, n_cols), dtype, index_dtype, read_only=draw(st.booleans()))


ks = st.one_of(st.integers(1, 14), st.just(10**9))
thresholds = st.one_of(st.none(), st.integers(-12, 12).map(lambda q: q / 4 + 0.03))
n_threads = st.sampled_from([None, 1, 2])


def draw_parameters(data, measure):
    """Keyword arguments that the measure has, each given or left to its default."""
    exponents = [0.0, 0.2, 0.5, 1.0] if measure == "asymmetric_cosine" else [0.0, 0.3, 0.5, 1.0, 1.7]
    names = oracles.MEASURES[measure]
    out = {name: data.draw(st.one_of(st.none(), st.sampled_from(exponents)), name) for name in names}
    if measure not in oracles.WITHOUT_DENOMINATOR:
        out["shrink"] = data.draw(st.sampled_from([0.0, 0.0, 0.5, 25.0]), "shrink")
    return out


# ---------------------------------------------------------------- equal to the oracles


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("measure", oracles.MEASURES)
@properties
@given(data=st.data(), k=ks, threshold=thresholds, n_threads=n_threads, ask=st.booleans())
def test_similar_equals_the_definition(measure, axis, data, k, threshold, n_threads, ask):
    negative = measure not in oracles.WALKS
    x = data.draw(matrices(negative=negative), "x")
    own = draw_parameters(data, measure)
    n_others, n = x.shape if axis == "items" else x.shape[::-1]
    queries = data.draw(matrices(n_cols=n_others, negative=negative), "queries") if ask else None
    before = fingerprint(x, queries)
    rest = {"threshold": threshold, "queries": queries, "n_threads": n_threads}
    got = top_k_similar(x, k, measure=measure, axis=axis, **rest, **own)
    assert fingerprint(x, queries) == before
    asked = oracles.dense(queries) if ask else None
    wanted = oracles.similarity(oracles.dense(x), measure, axis, queries=asked, **own)
    permitted = None if ask else ~np.eye(n, dtype=bool)
    oracles.assert_ranked(got, wanted, k, threshold=threshold, permitted=permitted)


@properties
@given(data=st.data(), k=ks, threshold=thresholds, n_threads=n_threads)
def test_product_equals_the_definition(data, k, threshold, n_threads):
    a = data.draw(matrices(), "a")
    b = data.draw(matrices(n_rows=a.shape[1], max_side=40), "b")
    before = fingerprint(a, b)
    got = top_k_product(a, b, k, threshold=threshold, n_threads=n_threads)
    assert fingerprint(a, b) == before
    wanted = oracles.product(oracles.dense(a).values, oracles.dense(b).values)
    oracles.assert_ranked(got, wanted, k, threshold=threshold)


def draw_rule(data, name, shape):
    """Nothing, a matrix of the answer's shape or a list of columns; and the cells that it names."""
    form = data.draw(st.sampled_from(["none", "matrix", "list", "array"]), f"{name} as")
    if form == "none":
        return None, None
    if form == "matrix":
        rule = data.draw(matrices(*shape), name)
        return rule, oracles.dense(rule).stored
    columns = data.draw(st.lists(st.integers(0, shape[1] - 1), max_size=8) if shape[1] else st.just([]), name)
    mask = np.zeros(shape, dtype=bool)
    mask[:, columns] = True
    return columns if form == "list" else np.array(columns, dtype=np.int64), mask


@settings(properties, max_examples=250)
@given(data=st.data(), k=ks, threshold=thresholds, n_threads=n_threads)
def test_neighbors_equal_the_definition(data, k, threshold, n_threads):
    history = data.draw(matrices(), "history")
    similarity = data.draw(matrices(n_rows=history.shape[1], max_side=24), "similarity")
    shape = (history.shape[0], similarity.shape[1])
    exclude, excluded = draw_rule(data, "exclude", shape)
    allow, allowed = draw_rule(data, "allow", shape)
    before = fingerprint(history, similarity, exclude, allow)
    got = top_k_neighbors(
        history, similarity, k, exclude=exclude, allow=allow, threshold=threshold, n_threads=n_threads
    )
    assert fingerprint(history, similarity, exclude, allow) == before
    permitted = np.ones(shape, dtype=bool)
    if excluded is not None:
        permitted &= ~excluded
    if allowed is not None:
        permitted &= allowed
    wanted = oracles.product(oracles.dense(history).values, oracles.dense(similarity).values)
    oracles.assert_ranked(got, wanted, k, threshold=threshold, permitted=permitted)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("kind", KINDS)
@settings(properties, max_examples=40)
@given(data=st.data(), n_threads=n_threads)
def test_weight_equals_the_definition(kind, axis, data, n_threads):
    x = data.draw(matrices(negative=kind not in NON_NEGATIVE_KINDS), "x")
    bm25 = {
        "k1": data.draw(st.sampled_from([0.0, 0.6, 1.2]), "k1"),
        "b": data.draw(st.sampled_from([0.0, 0.4, 1.0]), "b"),
        "delta": data.draw(st.sampled_from([0.0, 1.0]), "delta"),
    }
    before = fingerprint(x)
    got = weight(x, kind, axis=axis, n_threads=n_threads, **bm25)
    assert fingerprint(x) == before
    wanted = oracles.weighting(oracles.dense(x), kind, axis, **bm25)
    assert got.shape == x.shape and got.dtype == np.float32 and got.has_canonical_format
    there = oracles.dense(got)
    np.testing.assert_array_equal(there.stored, oracles.dense(x).stored)
    np.testing.assert_allclose(there.values, wanted, rtol=1e-5, atol=1e-7)
    assert not any(np.shares_memory(p, q) for p in parts(x) for q in parts(got))


@pytest.mark.parametrize("kind", ["tfidf", "bm25", "bm25+"])
@settings(properties, max_examples=60)
@given(data=st.data())
def test_weight_takes_its_statistics_from_the_reference(kind, data):
    reference = data.draw(matrices(negative=False), "reference")
    assume(oracles.dense(reference).values.sum() > 0)
    x = data.draw(matrices(n_cols=reference.shape[1], negative=False), "x")
    got = weight(x, kind, reference=reference)
    wanted = oracles.weighting(oracles.dense(x), kind, reference=oracles.dense(reference))
    np.testing.assert_allclose(oracles.dense(got).values, wanted, rtol=1e-5, atol=1e-7)
    if x.nnz == 0 or kind == "tfidf":
        return
    itself = weight(reference, kind, reference=reference)
    assert itself.data.tobytes() == weight(reference, kind).data.tobytes()


@pytest.mark.parametrize("kind", ["tfidf", "bm25", "bm25+"])
@pytest.mark.parametrize("reference", [csr([], (0, 3)), csr([], (2, 3)), csr([(0, 1, 0.0)], (2, 3))])
def test_weight_by_a_reference_without_weight_is_finite(kind, reference):
    x = csr([(0, 0, 2.0), (0, 1, 1.0), (1, 2, 3.0)], (2, 3))
    for k1, b in [(1.2, 0.75), (1.2, 0.0), (0.0, 0.75)]:
        assert np.isfinite(weight(x, kind, reference=reference, k1=k1, b=b).data).all(), (k1, b)


@st.composite
def lists_and_truth(draw):
    n_rows, n_cols = draw(st.integers(0, 6)), draw(st.integers(0, 12))
    items = st.permutations(range(n_cols))
    lists = [draw(items)[: draw(st.integers(0, n_cols))] for _ in range(n_rows)]
    truth = draw(matrices(n_rows, n_cols))
    indptr = np.cumsum([0, *map(len, lists)])
    flat = np.array([item for row in lists for item in row], dtype=np.int32)
    recommended = sp.csr_array((np.ones(len(flat), dtype=np.float32), flat, indptr), shape=(n_rows, n_cols))
    return lists, recommended, truth


@settings(properties, max_examples=150)
@given(
    drawn=lists_and_truth(), cuts=st.lists(st.integers(1, 15), max_size=3, unique=True), n_threads=n_threads
)
def test_metrics_equal_the_definition(drawn, cuts, n_threads):
    lists, recommended, truth = drawn
    before = fingerprint(recommended, truth)
    got = ranking_metrics(recommended, truth, cuts, n_threads=n_threads)
    assert fingerprint(recommended, truth) == before
    cells = oracles.dense(truth)
    gains = [
        {item: float(cells.values[row, item]) for item in np.flatnonzero(cells.stored[row]).tolist()}
        for row in range(len(lists))
    ]
    rows = [row for row in range(len(lists)) if gains[row]]
    assert got["rows"].tolist() == rows
    for k in cuts:
        wanted = [oracles.metrics(lists[row], gains[row], k, truth.shape[1]) for row in rows]
        for name in _rust.metrics:
            np.testing.assert_allclose(
                got[f"{name}@{k}"], [w[name] for w in wanted], rtol=1e-12, err_msg=name
            )
        shown = {item for row in lists for item in row[:k]}
        assert got[f"coverage@{k}"].tolist() == [len(shown) / max(truth.shape[1], 1)]


# ---------------------------------------------------------------- the compiled functions under the models


@settings(properties, max_examples=150)
@given(
    values=st.one_of(
        st.lists(st.integers(-30, 30)),
        st.lists(st.integers(-(2**63), 2**63 - 1)),
        st.lists(st.sampled_from([-(2**63), -1, 0, 2**62, 2**63 - 1])),
    )
)
def test_encode_ints_equals_unique(values):
    values = np.array(values, dtype=np.int64)
    codes, labels = _rust.encode_ints(values)
    uniques, inverse = np.unique(values, return_inverse=True)
    np.testing.assert_array_equal(labels, uniques)
    np.testing.assert_array_equal(codes, inverse)
    assert codes.dtype == np.int32 and labels.dtype == np.int64


@settings(properties, max_examples=100)
@given(data=st.data())
def test_pairs_score_as_in_the_ranking(data):
    a = data.draw(matrices(), "a")
    b = data.draw(matrices(n_rows=a.shape[1], max_side=30), "b")
    pairs = data.draw(matrices(a.shape[0], b.shape[1]), "pairs")
    handles = as_csr(a), as_csr(b), as_csr(pairs)
    scores = _rust.score_product(*handles, 0)
    indptr, indices, _ = handles[2].parts()
    ranked = top_k_product(a, b, 10**6).toarray()
    rows = np.repeat(np.arange(a.shape[0]), np.diff(indptr))
    assert scores.tobytes() == ranked[rows, indices].tobytes()


@properties
@given(x=matrices())
def test_the_handle_holds_the_same_matrix(x):
    handle = as_csr(x)
    wanted = oracles.dense(x)
    indptr, indices, data = handle.parts()
    assert handle.shape == x.shape and handle.nnz == len(data) == wanted.stored.sum()
    assert (indptr.dtype, indices.dtype, data.dtype) == (np.int64, np.int32, np.float32)
    assert not any(part.flags.writeable for part in (indptr, indices, data))
    back = sp.csr_array((data, indices, indptr), shape=x.shape)
    np.testing.assert_array_equal(back.toarray(), wanted.values)
    assert back.has_canonical_format
    flipped = handle.transpose()
    twice = flipped.transpose()
    assert flipped.shape == x.shape[::-1]
    for one, other in zip(handle.parts(), twice.parts(), strict=True):
        assert one.tobytes() == other.tobytes()


def test_a_canonical_matrix_is_not_copied():
    x = sp.random_array((50, 40), density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(0))
    x.sort_indices()
    _, indices, data = as_csr(x).parts()
    assert np.shares_memory(indices, x.indices) and np.shares_memory(data, x.data)


def test_the_handle_outlives_the_matrix():
    x = sp.csr_array(np.arange(12, dtype=np.float32).reshape(3, 4))
    handle = as_csr(x)
    wanted = x.toarray()
    del x
    junk = [np.full(9, 7.0, dtype=np.float32) for _ in range(100)]
    got = top_k_product(handle, as_csr(sp.eye_array(4, format="csr", dtype=np.float32)), 4)
    np.testing.assert_array_equal(got.toarray(), wanted)
    assert junk


# ---------------------------------------------------------------- middling matrices


def ratings(n_users, n_items, nnz, seed=0):
    """Ratings in quarters from 0.25 to 5, popular items and active users first."""
    rng = np.random.default_rng(seed)
    users = (n_users * rng.random(nnz) ** 1.5).astype(np.int64)
    items = (n_items * rng.random(nnz) ** 2).astype(np.int64)
    pairs = np.unique(users * n_items + items)
    values = rng.integers(1, 21, len(pairs)).astype(np.float32) / 4
    return sp.coo_array((values, (pairs // n_items, pairs % n_items)), shape=(n_users, n_items)).tocsr()


@pytest.fixture(scope="module")
def wide():
    """More columns than one tile, rows both dense and sparse."""
    return ratings(70, 1500, 6000)


@pytest.fixture(scope="module")
def large():
    """Enough work for several jobs."""
    return ratings(900, 700, 25_000, seed=1)


@pytest.mark.parametrize("measure", oracles.MEASURES)
def test_similar_equals_the_definition_on_many_columns(measure, wide):
    shrink = 0.0 if measure in oracles.WITHOUT_DENOMINATOR else 3.0
    wanted = oracles.similarity(oracles.dense(wide), measure, shrink=shrink)
    itself = ~np.eye(wide.shape[1], dtype=bool)
    for k, threshold in [(10, None), (2000, 0.2)]:
        got = top_k_similar(wide, k, measure=measure, shrink=shrink, threshold=threshold)
        oracles.assert_ranked(got, wanted, k, threshold=threshold, permitted=itself)


def test_product_equals_scipy(large):
    a, b = large, ratings(700, 2300, 20_000, seed=2)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    everything = top_k_product(a, b, 10**6)
    assert everything.nnz == exact.nnz
    np.testing.assert_allclose(everything.toarray(), exact.toarray(), rtol=1e-5)
    wanted = oracles.product(a.toarray().astype(np.float64), b.toarray().astype(np.float64))
    oracles.assert_ranked(top_k_product(a, b, 20), wanted, 20)
    seen = ratings(900, 2300, 30_000, seed=3)
    got = top_k_neighbors(a, b, 20, exclude=seen, allow=np.arange(0, 2300, 3), threshold=1.5)
    permitted = (seen.toarray() == 0) & (np.arange(2300) % 3 == 0)
    oracles.assert_ranked(got, wanted, 20, threshold=1.5, permitted=permitted)


def answers(x, n_threads):
    """Everything that the kernels say about a matrix, as bytes."""
    out = {}
    for measure in oracles.MEASURES:
        for axis in AXES:
            out[measure, axis] = top_k_similar(x, 12, measure=measure, axis=axis, n_threads=n_threads)
    out["queries"] = top_k_similar(x, 12, axis="users", queries=x[:100], n_threads=n_threads)
    similarity = top_k_similar(x, 30, n_threads=1)
    out["product"] = top_k_product(x, similarity, 9, n_threads=n_threads)
    out["neighbors"] = top_k_neighbors(x, similarity, 9, exclude=x, n_threads=n_threads)
    for kind in KINDS:
        for axis in AXES:
            out[kind, axis] = weight(x, kind, axis=axis, n_threads=n_threads)
    found = {key: [part.tobytes() for part in parts(got)] for key, got in out.items()}
    measured = ranking_metrics(out["neighbors"], x, [1, 5, 9], n_threads=n_threads)
    return found | {name: [values.tobytes()] for name, values in measured.items()}


def test_any_number_of_threads_gives_the_same_bits(large):
    one = answers(large, 1)
    for n in (2, 5):
        assert answers(large, n) == one, n


def test_a_batch_is_its_single_rows(large):
    near = top_k_similar(large, 30)
    batch = top_k_neighbors(large, near, 8, exclude=large, threshold=0.1)
    alike = top_k_similar(large, 8, axis="users", queries=large, shrink=2.0)
    for row in range(0, large.shape[0], 37):
        one = large[row : row + 1]
        alone = top_k_neighbors(one, near, 8, exclude=one, threshold=0.1)
        of_users = top_k_similar(large, 8, axis="users", queries=one, shrink=2.0)
        for many, single in [(batch, alone), (alike, of_users)]:
            lo, hi = many.indptr[row : row + 2]
            assert many.indices[lo:hi].tolist() == single.indices.tolist()
            assert many.data[lo:hi].tobytes() == single.data.tobytes()


def test_a_handle_that_single_rows_have_packed_gives_the_same(large):
    """It is packed when it has been read as often as pays: four times here."""
    near = as_csr(top_k_similar(large, 30))
    rows = [large[row : row + 1] for row in range(large.shape[0])]
    work = large.nnz * 30 / near.nnz
    passes = [[parts(top_k_neighbors(one, near, 8, exclude=one)) for one in rows] for _ in range(2)]
    assert work > 4, "packed within the first pass"
    batch = parts(top_k_neighbors(large, near, 8, exclude=large))
    for answers in passes:
        for whole, pieces in list(zip(batch, zip(*answers, strict=True), strict=True))[1:]:
            assert np.concatenate(pieces).tobytes() == whole.tobytes()


@pytest.mark.parametrize("n_cols", [1, 8, 40, 3000, 65_535, 65_537])
@pytest.mark.parametrize("popular", [0, 5, 24, 100])
def test_the_packed_product_is_its_single_rows(n_cols, popular):
    """A row of a matrix is not packed; many are: columns that most rows have, rare ones, empty rows, zeros."""
    rng = np.random.default_rng(popular)
    a = sp.random_array((300, 60), density=0.3, rng=rng, dtype=np.float32, format="lil")
    a[7] = 0
    rare = sp.random_array((60, n_cols), density=min(1, 40 / n_cols), rng=rng, dtype=np.float32)
    head = np.zeros((60, n_cols), np.float32)
    columns = rng.permutation(n_cols)[:popular]
    head[:, columns] = rng.normal(size=(60, len(columns))) * (rng.random((60, len(columns))) < 0.7)
    b = (rare + sp.csr_array(head)).tolil()
    b[3] = 0
    a, b = a.tocsr(), b.tocsr()
    a.data[::11] = 0
    exclude = sp.random_array((300, n_cols), density=0.1, rng=rng, dtype=np.float32, format="csr")
    allow = sp.random_array((300, n_cols), density=0.3, rng=rng, dtype=np.float32, format="csr")
    some = np.arange(0, n_cols, 3)
    for options in (
        {},
        {"exclude": exclude},
        {"allow": allow, "threshold": 0.1},
        {"exclude": some, "threshold": 0.5},
        {"exclude": exclude, "allow": some},
    ):
        batch = top_k_neighbors(a, b, 10, **options)
        for row in (0, 7, 42, 299):
            own = {name: value[[row]] if sp.issparse(value) else value for name, value in options.items()}
            single = top_k_neighbors(a[[row]], b, 10, **own)
            at = slice(batch.indptr[row], batch.indptr[row + 1])
            assert np.array_equal(batch.indices[at], single.indices)
            assert batch.data[at].tobytes() == single.data.tobytes()


def test_unsorted_rows_of_a_large_matrix_are_sorted():
    """Enough entries for several pieces of work, best first as the kernels give them."""
    rng = np.random.default_rng(0)
    x = sp.random_array((2000, 500), density=0.2, rng=rng, dtype=np.float32, format="csr")
    backwards = x.copy()
    for row in range(x.shape[0]):
        own = slice(x.indptr[row], x.indptr[row + 1])
        backwards.indices[own], backwards.data[own] = x.indices[own][::-1], x.data[own][::-1]
    backwards.has_sorted_indices = False
    indptr, indices, data = as_csr(backwards).parts()
    assert np.array_equal(indptr, x.indptr)
    assert np.array_equal(indices, x.indices)
    assert np.array_equal(data, x.data)


def test_rows_of_a_handle():
    x = sp.csr_array(np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0]], dtype=np.float32))
    handle = as_csr(x)
    for rows in ([2], [], [0, 2, 0, 1]):
        taken = to_scipy(handle.rows(np.array(rows, np.int32)))
        assert np.array_equal(taken.toarray(), x.toarray()[rows])
    for bad in (3, -1):
        with pytest.raises(ValueError, match=f"rows: must be in 0..3, got {bad}"):
            handle.rows(np.array([bad], np.int32))


@pytest.mark.parametrize("axis", AXES)
def test_queries_that_are_the_entities_give_the_same_scores(large, axis):
    """Asking for the entities themselves changes one thing: nothing is left out."""
    n = large.shape[1] if axis == "items" else large.shape[0]
    rows = large.T.tocsr() if axis == "items" else large
    alone, asked = top_k_similar(large, n, axis=axis), top_k_similar(large, n, axis=axis, queries=rows)
    with_self = asked.toarray()
    active = np.flatnonzero(np.diff(rows.indptr))
    np.testing.assert_allclose(with_self[active, active], 1.0, rtol=1e-6)
    np.fill_diagonal(with_self, 0.0)
    assert with_self.tobytes() == alone.toarray().tobytes()


# ---------------------------------------------------------------- order


@pytest.mark.parametrize("n", [3, 40, 700, 1500])
@pytest.mark.parametrize("k", [1, 5, 100])
def test_ties_go_to_the_smaller_column(n, k):
    x = sp.csr_array(np.ones((2, n), dtype=np.float32))
    near = top_k_similar(x, k)
    assert np.unique(np.diff(near.indptr)).tolist() == [min(k, n - 1)]
    for item in (0, n // 2, n - 1):
        wanted = [other for other in range(n) if other != item][:k]
        assert near.indices[near.indptr[item] : near.indptr[item + 1]].tolist() == wanted
    odd = top_k_neighbors(x, sp.csr_array(np.ones((n, n), dtype=np.float32)), k, exclude=[0, n - 1])
    assert odd.indices[: odd.indptr[1]].tolist() == list(range(1, n - 1))[:k]


def test_the_least_negative_comes_first():
    a = sp.csr_array(np.array([[-1.0]], dtype=np.float32))
    b = sp.csr_array(np.array([[3.0, 0.5, 0.0, 2.0, 0.5]], dtype=np.float32))
    got = top_k_product(a, b, 3)
    assert got.indices.tolist() == [1, 4, 3] and got.data.tolist() == [-0.5, -0.5, -2.0]
    assert top_k_product(a, b, 9, threshold=-0.5).nnz == 0


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (0, 0), (1, 1), (4, 3)])
def test_empty_matrices_have_empty_answers(shape):
    x = sp.csr_array(shape, dtype=np.float32)
    n_users, n_items = shape
    for measure in oracles.MEASURES:
        for axis, n in zip(AXES, (n_items, n_users), strict=True):
            got = top_k_similar(x, 3, measure=measure, axis=axis)
            assert got.shape == (n, n) and got.nnz == 0
    assert top_k_product(x, x.T.tocsr(), 3).shape == (n_users, n_users)
    none = top_k_neighbors(x, sp.csr_array((n_items, n_items), dtype=np.float32), 3, exclude=[], allow=[])
    assert none.shape == shape and none.nnz == 0
    for kind in KINDS:
        assert weight(x, kind).shape == shape
    measured = ranking_metrics(x, x, [1, 2])
    assert measured["rows"].tolist() == [] and measured["coverage@2"].tolist() == [0.0]


# ---------------------------------------------------------------- kinds of input


@pytest.mark.parametrize("form", ["csc", "coo", "lil", "dok", "dia", "bsr"])
def test_another_format_warns_and_works(form):
    x = csr([(0, 1, 2.0), (0, 3, 1.0), (2, 1, 1.0), (2, 0, 3.0)], (3, 4))
    other = x.asformat(form)
    wanted = top_k_similar(x, 3)
    with pytest.warns(sp.SparseEfficiencyWarning, match=f"^x: converting {form.upper()} to CSR") as heard:
        got = top_k_similar(other, 3)
    assert heard[0].filename == __file__
    np.testing.assert_array_equal(got.toarray(), wanted.toarray())
    with pytest.warns(sp.SparseEfficiencyWarning, match="^exclude: converting"):
        top_k_neighbors(x, top_k_similar(x, 3), 2, exclude=other)


def test_the_old_matrix_class_and_a_handle_work():
    x = csr([(0, 1, 2.0), (0, 3, 1.0), (2, 1, 1.0), (2, 0, 3.0)], (3, 4))
    wanted = top_k_similar(x, 3).toarray()
    for same in (sp.csr_matrix(x), as_csr(x)):
        np.testing.assert_array_equal(top_k_similar(same, 3).toarray(), wanted)


def test_parts_that_are_not_contiguous_work():
    x = csr([(0, 1, 2.0), (0, 3, 1.0), (2, 0, 3.0), (2, 1, 1.0)], (3, 4))
    wanted = top_k_similar(x, 3).toarray()
    x.data = np.repeat(x.data, 2)[::2]
    x.indices = np.repeat(x.indices, 3)[::3]
    x.indptr = np.repeat(x.indptr, 2)[::2]
    np.testing.assert_array_equal(top_k_similar(x, 3).toarray(), wanted)


# ---------------------------------------------------------------- equal to others


def test_tfidf_equals_scikit_learn(large):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = pytest.importorskip("sklearn.feature_extraction.text")
    wanted = text.TfidfTransformer(norm=None).fit_transform(large)
    np.testing.assert_allclose(weight(large, "tfidf").toarray(), wanted.toarray(), rtol=1e-6)
    wanted = text.TfidfTransformer(norm=None).fit_transform(large.T.tocsr())
    np.testing.assert_allclose(weight(large, "tfidf", axis="items").toarray(), wanted.toarray().T, rtol=1e-6)


@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_norms_equal_scikit_learn(large, norm):
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    wanted = preprocessing.normalize(large, norm=norm)
    np.testing.assert_allclose(weight(large, norm).toarray(), wanted.toarray(), rtol=1e-6)


RANX = """
import json, sys, warnings
warnings.simplefilter("ignore")
import ranx
def scores(qrels, run, names):
    options = {"return_mean": False, "make_comparable": True}
    found = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), names, **options)
    return {name: values.tolist() for name, values in found.items()}
truths, run, names = json.load(sys.stdin)
print(json.dumps([scores(qrels, run, some) for qrels, some in zip(truths, names)]))
"""


def test_metrics_equal_ranx():
    if importlib.util.find_spec("ranx") is None:
        pytest.skip("ranx is not installed")
    rng = np.random.default_rng(4)
    truth = sp.random_array((25, 30), density=0.15, format="csr", dtype=np.float32, rng=rng)
    truth.data = rng.integers(1, 6, truth.nnz).astype(np.float32)
    history = sp.random_array((25, 9), density=0.6, format="csr", dtype=np.float32, rng=rng)
    recommended = top_k_product(history, sp.random_array((9, 30), density=0.4, format="csr", rng=rng), 12)
    binary, graded, run = {}, {}, {}
    for row in np.flatnonzero(np.diff(truth.indptr)):
        lo, hi = truth.indptr[row : row + 2]
        binary[str(row)] = {str(item): 1 for item in truth.indices[lo:hi]}
        graded[str(row)] = {str(truth.indices[at]): int(truth.data[at]) for at in range(lo, hi)}
        lo, hi = recommended.indptr[row : row + 2]
        scored = zip(recommended.indices[lo:hi], recommended.data[lo:hi], strict=True)
        run[str(row)] = {str(item): float(score) for item, score in scored}
    cuts = [1, 5, 12, 20]
    missing = ("accuracy", "graded_ndcg")  # ranx has no accuracy; its NDCG of grades is the graded one
    names = [f"{name}@{k}" for name in _rust.metrics if name not in missing for k in cuts]
    # ranx compiles every metric for longer than this file takes; interpreted it says the same.
    done = subprocess.run(
        [sys.executable, "-c", RANX],
        input=json.dumps([[binary, graded], run, [names, [f"ndcg@{k}" for k in cuts]]]),
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=HANGS,
    )
    plain, grades = json.loads(done.stdout.splitlines()[-1])
    got = ranking_metrics(recommended, truth, cuts)
    order = [int(row) for row in sorted(binary)]  # ranx puts the queries in the order of their names
    at = {int(row): place for place, row in enumerate(got["rows"])}
    wanted = plain | {f"graded_{name}": values for name, values in grades.items()}
    assert len(wanted) == (len(_rust.metrics) - 1) * len(cuts)
    for name, values in wanted.items():
        np.testing.assert_allclose(got[name][[at[row] for row in order]], values, rtol=1e-14, err_msg=name)


def test_cooccurrence_and_cosine_equal_similaripy(large):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        similaripy = pytest.importorskip("similaripy")
    by_item, n = large.T.tocsr(), large.shape[1]
    arguments = {"k": n, "verbose": False, "format_output": "csr"}
    for measure, theirs in [
        ("cocount", similaripy.dot_product(by_item, binary=True, **arguments)),
        ("dot", similaripy.dot_product(by_item, **arguments)),
        ("cosine", similaripy.cosine(by_item, **arguments)),
        ("jaccard", similaripy.jaccard(by_item, binary=True, **arguments)),
    ]:
        wanted = theirs.toarray()
        np.fill_diagonal(wanted, 0.0)  # similaripy counts an item as its own neighbor
        got = top_k_similar(large, n, measure=measure).toarray()
        np.testing.assert_allclose(got, wanted, rtol=1e-5, err_msg=measure)


def test_product_equals_sparse_dot_topn(large):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        topn = pytest.importorskip("sparse_dot_topn")
    b = large.T.tocsr()
    theirs = topn.sp_matmul_topn(sp.csr_matrix(large), sp.csr_matrix(b), top_n=10, sort=True)
    got = top_k_product(large, b, 10)
    np.testing.assert_array_equal(got.indptr, theirs.indptr)
    np.testing.assert_allclose(got.data, theirs.data, rtol=1e-5)  # ties may name other columns


# ---------------------------------------------------------------- bad input


GOOD = csr([(0, 1, 2.0), (0, 3, 1.0), (1, 0, 1.0), (2, 1, 1.0)], (3, 4))
SQUARE = csr([(0, 1, 1.0)], (4, 4))


def broken(**changes):
    """GOOD with one part replaced behind SciPy's back."""
    x = GOOD.copy()
    for name, values in changes.items():
        setattr(x, name, np.array(values, dtype=getattr(x, name).dtype))
    return x


BAD_MATRICES = [
    (
        broken(data=[2, np.nan, 1, 1]),
        ValueError,
        "values must be finite, 1 of 4 are not, got nan at row 0, column 3",
    ),
    (
        broken(data=[2, 1, np.inf, np.nan]),
        ValueError,
        "values must be finite, 2 of 4 are not, got inf at row 1, column 0",
    ),
    (broken(data=[2, 1, -np.inf, 1]), ValueError, "-inf at row 1, column 0"),
    (csr([(2, 1, 1e300)], (3, 4), np.float64), ValueError, "inf at row 2, column 1"),
    (broken(indptr=[0, 2, 1, 4]), ValueError, "indptr must not fall, got . at row 1"),
    (broken(indptr=[0, 9, 3, 4]), ValueError, "indptr must not fall, got . at row 1"),
    (broken(indptr=[0, -5, 3, 4]), ValueError, "indptr must not fall, got -5 at row 0"),
    (broken(indptr=[1, 2, 3, 4]), ValueError, "indptr must run from 0 to 4, got 1 at position 0"),
    (broken(indptr=[0, 2, 3, 9]), ValueError, "indptr must run from 0 to 4, got 9 at position 3"),
    (broken(data=[1, 2, 3]), ValueError, "must have a value for each of its 4 column indices, got 3"),
    (broken(indices=[1, 4, 0, 1]), ValueError, "columns must be in 0..4, got 4 at row 0"),
    (broken(indices=[1, 3, -1, 1]), ValueError, "columns must be in 0..4, got -1 at row 1"),
    (
        csr([(0, 2**40, 1.0)], (3, 4), index_dtype=np.int64),
        ValueError,
        rf"columns must be in 0..4, got \({2**40}",
    ),
    (
        csr([(0, -(2**40), 1.0)], (3, 4), index_dtype=np.int64),
        ValueError,
        r"columns must be in 0..4, got \(-1099511627776",
    ),
    (GOOD.astype(np.complex64), TypeError, "expected real numbers, got complex64"),
    (np.eye(3), TypeError, "expected a SciPy sparse matrix, got ndarray"),
    (None, TypeError, "expected a SciPy sparse matrix, got NoneType"),
    (sp.coo_array(np.ones(3)), ValueError, r"expected 2 dimensions, got \(3,\)"),
    (sp.csr_array((2, 2**31)), ValueError, "must have at most 2147483647 rows and columns"),
]


@pytest.mark.parametrize(("x", "error", "says"), BAD_MATRICES)
def test_a_bad_matrix_is_refused_by_name(x, error, says):
    calls = {
        "x": [lambda: top_k_similar(x, 2), lambda: weight(x, "l2")],
        "queries": [lambda: top_k_similar(GOOD, 2, queries=x)] if x is not None else [],
        "a": [lambda: top_k_product(x, SQUARE, 2)],
        "b": [lambda: top_k_product(SQUARE, x, 2)],
        "history": [lambda: top_k_neighbors(x, SQUARE, 2)],
        "similarity": [lambda: top_k_neighbors(GOOD, x, 2)],
        "exclude": [lambda: top_k_neighbors(GOOD, SQUARE, 2, exclude=x)] if sp.issparse(x) else [],
        "allow": [lambda: top_k_neighbors(GOOD, SQUARE, 2, allow=x)] if sp.issparse(x) else [],
        "reference": [lambda: weight(GOOD, "tfidf", reference=x)] if x is not None else [],
    }
    if sp.issparse(x) and x.shape == GOOD.shape:
        calls["truth"] = [lambda: ranking_metrics(GOOD, x, [1])]
    for name, attempts in calls.items():
        for attempt in attempts:
            with pytest.raises(error, match=f"^{name}: .*{says}"):
                attempt()


BAD_SIMILAR = [
    ({"k": 0}, ValueError, "k: must be at least 1, got 0"),
    ({"k": -3}, ValueError, "k: must be at least 1, got -3"),
    ({"k": True}, TypeError, "k: expected an integer, got True"),
    ({"k": 2.0}, TypeError, "k: expected an integer, got 2.0"),
    ({"k": "5"}, TypeError, "k: expected an integer, got '5'"),
    ({"k": None}, TypeError, "k: expected an integer, got None"),
    ({"measure": "cosinus"}, ValueError, "measure: must be one of 'cosine', .* got 'cosinus'"),
    ({"measure": None}, ValueError, "measure: must be one of .* got None"),
    ({"axis": "rows"}, ValueError, "axis: must be one of 'items', 'users', got 'rows'"),
    ({"axis": 0}, ValueError, "axis: must be one of 'items', 'users', got 0"),
    ({"alpha": 0.5}, ValueError, r"alpha: the measure 'cosine' has no such parameter, got 0\.5"),
    ({"beta": 0.5}, ValueError, r"beta: the measure 'cosine' has no such parameter, got 0\.5"),
    (
        {"measure": "p3alpha", "beta": 1.0},
        ValueError,
        r"beta: the measure 'p3alpha' has no such parameter, got 1\.0",
    ),
    ({"measure": "p3alpha", "alpha": -0.5}, ValueError, r"alpha: must be at least 0 and finite, got -0\.5"),
    ({"measure": "tversky", "alpha": np.nan}, ValueError, "alpha: must be at least 0 and finite, got nan"),
    ({"measure": "rp3beta", "beta": np.inf}, ValueError, "beta: must be at least 0 and finite, got inf"),
    ({"measure": "asymmetric_cosine", "alpha": 1.5}, ValueError, r"alpha: must be from 0 to 1, got 1\.5"),
    ({"shrink": -1.0}, ValueError, r"shrink: must be at least 0 and finite, got -1\.0"),
    ({"shrink": np.nan}, ValueError, "shrink: must be at least 0 and finite, got nan"),
    ({"shrink": np.inf}, ValueError, "shrink: must be at least 0 and finite, got inf"),
    ({"measure": "dot", "shrink": 1.0}, ValueError, "shrink: .*no denominator.* got 1"),
    ({"shrink": "5"}, TypeError, "shrink"),
    ({"threshold": np.nan}, ValueError, "threshold: must be a number, got nan"),
    ({"threshold": "high"}, TypeError, "threshold"),
    ({"k": 2**70}, ValueError, "^k: "),
    ({"n_threads": 2**70}, ValueError, "^n_threads: "),
    ({"n_threads": 0}, ValueError, "n_threads: must be at least 1, got 0"),
    ({"n_threads": True}, TypeError, "n_threads: expected an integer, got True"),
    ({"n_threads": 1.5}, TypeError, "n_threads: expected an integer, got 1.5"),
    ({"queries": csr([], (2, 5)), "axis": "users"}, ValueError, "queries: must have 4 columns like x, got 5"),
    ({"queries": csr([], (2, 4)), "axis": "items"}, ValueError, "queries: must have 3 columns like x, got 4"),
]


@pytest.mark.parametrize(("arguments", "error", "says"), BAD_SIMILAR)
def test_a_bad_argument_of_similar_is_named(arguments, error, says):
    with pytest.raises(error, match=says):
        top_k_similar(GOOD, **arguments)


@pytest.mark.parametrize("measure", oracles.WALKS)
def test_a_walk_refuses_negative_weights(measure):
    negative = csr([(0, 1, -2.0)], (3, 4))
    says = "a walk needs weights of at least 0, got -2"
    with pytest.raises(ValueError, match=says):
        top_k_similar(negative, 2, measure=measure)
    with pytest.raises(ValueError, match=f"^queries: {says}"):
        top_k_similar(GOOD, 2, measure=measure, axis="users", queries=negative)
    with pytest.raises(ValueError, match=f"^x: {says}"):
        top_k_similar(negative, 2, measure=measure, axis="users", queries=GOOD)


@pytest.mark.parametrize("measure", oracles.WALKS)
def test_a_walk_names_the_argument_that_was_given(measure):
    with pytest.raises(ValueError, match=r"^x: "):
        top_k_similar(csr([(0, 1, -2.0)], (3, 4)), 2, measure=measure)


BAD_NEIGHBORS = [
    ({"k": 0}, ValueError, "k: must be at least 1, got 0"),
    ({"k": True}, TypeError, "k: expected an integer, got True"),
    ({"threshold": np.nan}, ValueError, "threshold: must be a number, got nan"),
    ({"n_threads": -1}, ValueError, "n_threads: must be at least 1, got -1"),
    ({"exclude": GOOD[:2]}, ValueError, r"exclude: must have shape \(3, 4\), got \(2, 4\)"),
    ({"allow": SQUARE}, ValueError, r"allow: must have shape \(3, 4\), got \(4, 4\)"),
    ({"exclude": [4]}, ValueError, r"exclude: columns must be in 0\.\.4, got \(4, 4\)"),
    ({"exclude": [0, -1]}, ValueError, r"exclude: columns must be in 0\.\.4, got \(-1, 0\)"),
    ({"allow": [1, 99]}, ValueError, r"allow: columns must be in 0\.\.4, got \(1, 99\)"),
    ({"exclude": [1.5]}, TypeError, "exclude: expected a sparse matrix or a list of column numbers"),
    ({"exclude": [True, False]}, TypeError, "exclude: expected a sparse matrix or a list of column numbers"),
    ({"allow": "milk"}, TypeError, "allow: expected a sparse matrix or a list of column numbers, got 'milk'"),
    ({"allow": [[1], [2]]}, TypeError, "allow: expected a sparse matrix or a list of column numbers"),
]


@pytest.mark.parametrize(("arguments", "error", "says"), BAD_NEIGHBORS)
def test_a_bad_argument_of_neighbors_is_named(arguments, error, says):
    with pytest.raises(error, match=says):
        top_k_neighbors(GOOD, SQUARE, **({"k": 2} | arguments))


def test_shapes_that_do_not_multiply_are_named():
    with pytest.raises(ValueError, match=r"a: must have 3 columns, the rows of b, got \(3, 4\)"):
        top_k_product(GOOD, GOOD, 2)
    with pytest.raises(
        ValueError, match=r"history: must have 3 columns, the rows of similarity, got \(4, 4\)"
    ):
        top_k_neighbors(SQUARE, GOOD, 2)


BAD_WEIGHT = [
    ({"weighting": "tf"}, ValueError, "weighting: must be one of 'tfidf', 'bm25', .* got 'tf'"),
    ({"weighting": 3}, ValueError, "weighting: must be one of .* got 3"),
    ({"weighting": "bm25", "k1": "much"}, TypeError, "k1: expected a number, got 'much'"),
    ({"weighting": "l2", "axis": "rows"}, ValueError, "axis: must be one of 'users', 'items', got 'rows'"),
    ({"weighting": "bm25", "k1": -1.0}, ValueError, "k1.*-1"),
    ({"weighting": "bm25", "k1": np.nan}, ValueError, "k1: must be at least 0 and finite, got nan"),
    ({"weighting": "bm25", "b": 1.5}, ValueError, "b.*1.5"),
    ({"weighting": "bm25+", "delta": -0.5}, ValueError, "delta.*-0.5"),
    (
        {"weighting": "tfidf", "reference": csr([], (2, 5))},
        ValueError,
        "reference: must have 4 columns like x, got 5",
    ),
    ({"weighting": "tfidf", "reference": GOOD, "axis": "items"}, ValueError, "reference: .*users"),
    ({"weighting": "l2", "n_threads": 0}, ValueError, "n_threads: must be at least 1, got 0"),
]


@pytest.mark.parametrize(("arguments", "error", "says"), BAD_WEIGHT)
def test_a_bad_argument_of_weight_is_named(arguments, error, says):
    with pytest.raises(error, match=says):
        weight(GOOD, **arguments)


@pytest.mark.parametrize("kind", NON_NEGATIVE_KINDS)
def test_a_weighting_that_allows_no_negative_values_says_so(kind):
    with pytest.raises(ValueError, match=r"x: .*values of at least 0, got -2"):
        weight(csr([(0, 1, -2.0)], (3, 4)), kind)


BAD_METRICS = [
    ((GOOD, GOOD, [0]), ValueError, "ks: must be at least 1, got 0"),
    ((GOOD, GOOD, [True]), TypeError, "ks: expected an integer, got True"),
    ((GOOD, GOOD, [2.0]), TypeError, "ks: expected an integer, got 2.0"),
    (
        (GOOD, SQUARE, [1]),
        ValueError,
        r"recommended: must have the shape of relevant, \(4, 4\), got \(3, 4\)",
    ),
    ((GOOD.toarray(), GOOD, [1]), TypeError, "recommended: expected a csr_array"),
    ((GOOD.tocsc(), GOOD, [1]), TypeError, "recommended: expected a csr_array"),
    ((GOOD, GOOD.toarray(), [1]), TypeError, "truth: expected a SciPy sparse matrix"),
    (
        (broken(indices=[1, 4, 0, 1]), GOOD, [1]),
        ValueError,
        r"recommended: columns must be in 0\.\.4, got 4 at position 1",
    ),
    (
        (broken(indices=[1, -1, 0, 1]), GOOD, [1]),
        ValueError,
        r"recommended: columns must be in 0\.\.4, got -1 at position 1",
    ),
    ((broken(indptr=[0, 3, 2, 4]), GOOD, [1]), ValueError, "recommended: indptr"),
    ((GOOD, [[1, 0, 0, 1]] * 3, [1]), TypeError, "truth: expected a SciPy"),
    # 2**32 + 1 is column 1 in 32 bits.
    (
        (csr([(0, 2**32 + 1, 1.0)], (3, 4), index_dtype=np.int64), GOOD, [1]),
        ValueError,
        "recommended: column",
    ),
    ((csr([(0, 1, 2.0), (0, 1, 1.0)], (3, 4)), GOOD, [2]), ValueError, "recommended: "),
]


@pytest.mark.parametrize(("arguments", "error", "says"), BAD_METRICS)
def test_a_bad_argument_of_metrics_is_named(arguments, error, says):
    with pytest.raises(error, match=says):
        ranking_metrics(*arguments)


def test_a_cut_off_beyond_every_list_needs_no_memory_of_its_own():
    got = ranking_metrics(GOOD, GOOD, [2**62])
    assert got[f"recall@{2**62}"].tolist() == [1.0, 1.0, 1.0]


# ---------------------------------------------------------------- the edge of float32


def test_duplicates_that_add_up_beyond_float32_are_refused():
    x = csr([(1, 2, 3e38), (1, 2, 3e38)], (3, 4))
    with pytest.raises(ValueError, match=r"x: .*row 1, column 2"):
        top_k_similar(x, 2)


def test_a_product_beyond_float32_is_not_infinite():
    a = csr([(0, 0, 1e20)], (1, 1))
    assert np.isfinite(top_k_product(a, a, 1).data).all()


# ---------------------------------------------------------------- the comparison itself


def test_the_comparison_notices_every_kind_of_wrong_answer():
    a = np.array([[1.0, 2.0]])
    b = np.array([[1.0, 0.0, 2.0, 1.0, 0.5], [0.0, 0.0, 1.0, 0.0, 1.0]])
    wanted = oracles.product(a, b)  # 1, 0, 4, 1, 2.5

    def answer(cols, values):
        return csr([(0, col, value) for col, value in zip(cols, values, strict=True)], (1, 5))

    right = answer([2, 4, 0], [4.0, 2.5, 1.0])
    oracles.assert_ranked(right, wanted, 3)
    oracles.assert_ranked(top_k_product(sp.csr_array(a), sp.csr_array(b), 3), wanted, 3)
    rules = {"threshold": 0.5, "permitted": np.array([[True, True, False, True, True]])}
    oracles.assert_ranked(answer([4, 0, 3], [2.5, 1.0, 1.0]), wanted, 5, **rules)
    for wrong, k, rule in [
        (answer([2, 4], [4.0, 2.5]), 3, {}),  # too short
        (right, 2, {}),  # too long
        (answer([4, 2, 0], [2.5, 4.0, 1.0]), 3, {}),  # not best first
        (answer([2, 4, 3, 0], [4.0, 2.5, 1.0, 1.0]), 4, {}),  # a tie the wrong way round
        (answer([2, 2, 4], [4.0, 4.0, 2.5]), 3, {}),  # a duplicate
        (answer([2, 0, 3], [4.0, 1.0, 1.0]), 3, {}),  # a better one left out
        (answer([2, 4, 0], [4.0, 2.5, 1.001]), 3, {}),  # a wrong score
        (answer([2, 4, 0], [4.0, np.nan, 1.0]), 3, {}),
        (answer([2, 4, 0, 3, 1], [4.0, 2.5, 1.0, 1.0, 0.0]), 5, {}),  # padded with what is no candidate
        (right, 3, rules),  # an excluded column
        (right, 3, {"threshold": 1.0}),  # not above the threshold
    ]:
        with pytest.raises(AssertionError):
            oracles.assert_ranked(wrong, wanted, k, **rule)
