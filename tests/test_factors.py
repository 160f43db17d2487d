"""The truncated SVD, the ranking of dense factors, and the models that rest on them, against NumPy."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec.kernels import SVD, top_k_factors, truncated_svd
from ferrec.testing import checkerboard
from ferrec.testing._checks import sample

properties = settings(max_examples=60)
TOL = 1e-4


def random(n_rows, n_cols, density, seed=0):
    return sp.random_array(
        (n_rows, n_cols), density=density, rng=np.random.default_rng(seed), dtype=np.float32, format="csr"
    )


def singular_values(dense):
    if min(dense.shape) < 100:
        return np.linalg.svd(dense, compute_uv=False)
    # Exact to 1e-8 of the greatest, and many times quicker.
    gram = dense.T @ dense if dense.shape[0] > dense.shape[1] else dense @ dense.T
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0))


def check(svd, x, k, tol=TOL, *, center=False):
    """Against the dense decomposition; returns how many triplets there are."""
    dense = x.toarray().astype(np.float64)
    if center:
        dense -= dense.mean(axis=0)
    truth = singular_values(dense)
    rank = len(svd.s)
    assert svd.u.shape == (x.shape[0], rank)
    assert svd.vt.shape == (rank, x.shape[1])
    assert all(part.dtype == np.float32 and np.isfinite(part).all() for part in (svd.u, svd.s, svd.vt))
    # What lies about the limit of a millionth may be there or not.
    surely = int((truth[:k] > max(4e-6 * truth.max(initial=0), 1e-12)).sum())
    assert surely <= rank <= k
    assert np.all(np.diff(svd.s) <= 0)
    assert np.all(np.abs(svd.s[:surely] - truth[:surely]) <= 10 * tol * truth[:surely])
    for vectors in (svd.u.T, svd.vt):
        vectors = vectors.astype(np.float64)
        assert np.abs(vectors @ vectors.T - np.eye(rank)).max(initial=0) < 1e-5
    assert np.all(svd.vt[np.arange(rank), np.abs(svd.vt).argmax(axis=1)] > 0) if rank else True
    return rank


@st.composite
def matrices(draw):
    n_rows, n_cols = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    entry = st.tuples(st.integers(0, n_rows - 1), st.integers(0, n_cols - 1))
    entries = draw(st.dictionaries(entry, st.integers(-12, 12), max_size=60))
    dense = np.zeros((n_rows, n_cols), np.float32)
    for at, value in entries.items():
        dense[at] = value / 4
    return sp.csr_array(dense)


@properties
@given(matrices(), st.integers(1, 14), st.booleans())
def test_svd_is_the_dense_one(x, k, center):
    check(truncated_svd(x, k, centered=center), x, k, center=center)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("shape", [(1200, 1050), (1050, 1200)])
def test_svd_of_flat_spectra_converges(shape, center):
    x = random(*shape, 0.02)
    assert check(truncated_svd(x, 48, centered=center), x, 48, center=center) == 48


@pytest.mark.parametrize(
    ("x", "rank"),
    [
        (sp.csr_array((7, 5), dtype=np.float32), 0),
        (sp.csr_array((0, 5), dtype=np.float32), 0),
        (sp.csr_array((5, 0), dtype=np.float32), 0),
        (random(1, 60, 0.5), 1),
        (random(60, 1, 0.5), 1),
        (sp.csr_array(np.ones((1200, 1100), np.float32)), 1),
        (sp.csr_array(sp.eye_array(1100, dtype=np.float32)), 40),
        (sp.csr_array(sp.block_diag([random(30, 25, 0.3)] * 50)), 40),
    ],
    ids=[
        "zero",
        "no rows",
        "no columns",
        "one row",
        "one column",
        "rank one",
        "identity",
        "fifty equal blocks",
    ],
)
def test_svd_gives_what_exists(x, rank):
    assert len(truncated_svd(x, 40).s) == rank
    if min(x.shape):
        check(truncated_svd(x, 40), x, 40)


@pytest.mark.parametrize("tol", [0.3, 1e-2, 1e-6, 1e-7])
def test_svd_keeps_to_its_tolerance(tol):
    x = random(1400, 1100, 0.02)
    x = sp.csr_array(x @ sp.diags_array(np.geomspace(1, 1e-3, 1100).astype(np.float32)))
    check(truncated_svd(x, 32, tol=tol), x, 32, tol)


def test_svd_is_not_disturbed_by_scale_or_a_large_mean():
    x = random(1300, 1100, 0.05)
    plain = truncated_svd(x, 20).s
    for scale in (1e-30, 1e30):
        assert np.allclose(truncated_svd(sp.csr_array(x * np.float32(scale)), 20).s / scale, plain, rtol=1e-4)
    shifted = sp.csr_array(x.toarray() + 100)
    check(truncated_svd(shifted, 20, centered=True), shifted, 20, center=True)
    with pytest.raises(ValueError, match="exceeds float32"):
        truncated_svd(sp.csr_array(np.full((4, 4), 3e38)), 1)


@pytest.mark.parametrize("center", [False, True])
def test_transform_gives_the_rows_of_u(center):
    x = random(1300, 1100, 0.03)
    svd = truncated_svd(x, 12, centered=center)
    assert np.allclose(svd.transform(x), svd.u, atol=1e-5)
    new = random(40, 1100, 0.03, seed=9)
    by_hand = (new.toarray().astype(float) - (svd.means if center else 0.0)) @ svd.vt.T.astype(float) / svd.s
    assert np.allclose(svd.transform(new), by_hand, atol=1e-5)
    assert svd.transform(x[:0]).shape == (0, 12)
    with pytest.raises(ValueError, match="x: must have 1100 columns like the matrix, got 3"):
        svd.transform(x[:, :3].tocsr())


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("tol", [1e-4, 1e-6], ids=["float32", "float64"])
@pytest.mark.parametrize("shape", [(1500, 1200), (1200, 1500), (300, 90)], ids=["tall", "wide", "dense"])
def test_svd_has_the_same_bits_for_any_number_of_threads(shape, tol, center):
    x = random(*shape, 0.03)
    a, b, c = (truncated_svd(x, 20, tol=tol, centered=center, n_threads=n) for n in (1, 2, 5))
    for other in (b, c):
        assert all(np.array_equal(getattr(a, part), getattr(other, part)) for part in ("u", "s", "vt"))


def test_svd_reports_progress_and_stops():
    x = random(3000, 2500, 0.02)
    seen = []
    truncated_svd(x, 200, progress=lambda done, total: seen.append((done, total)))
    assert all(0 <= done <= total <= 200 for done, total in seen)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        truncated_svd(random(6000, 5000, 0.02), 600, progress=stop)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"n_factors": 0}, "n_factors"),
        ({"n_factors": 2.0}, "n_factors"),
        ({"tol": 0}, "tol"),
        ({"tol": 1}, "tol"),
        ({"seed": -1}, "seed"),
        ({"centered": "no"}, "centered: expected True or False, got 'no'"),
    ],
)
def test_svd_errors_name_the_argument(arguments, name):
    with pytest.raises((ValueError, TypeError), match=name):
        truncated_svd(random(5, 4, 0.5), **{"n_factors": 2, **arguments})


# --- The best items of dense queries -----------------------------------------------------------------------


def naive(queries, items, k, may):
    scores = queries.astype(np.float64) @ items.astype(np.float64).T
    rows = []
    for row, allowed in zip(scores, may, strict=True):
        order = np.lexsort((np.arange(len(row)), -row))
        rows.append([(i, row[i]) for i in order if allowed[i] and row[i] != 0][:k])
    return rows


def lists(best):
    rows = zip(best.indptr[:-1], best.indptr[1:], strict=True)
    return [list(zip(best.indices[a:b].tolist(), best.data[a:b].tolist(), strict=True)) for a, b in rows]


@properties
@given(st.integers(1, 9), st.integers(1, 20), st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32))
def test_factors_are_ranked_as_by_numpy(d, m, n, k, seed):
    rng = np.random.default_rng(seed)
    # Quarters: every sum is exact.
    queries, items = (rng.integers(-8, 9, (size, d)).astype(np.float32) / 4 for size in (m, n))
    seen = rng.random((m, n)) < 0.3
    lists_of = sp.csr_array(seen.astype(np.float32))
    others = rng.random((m, n)) < 0.5
    others_of = sp.csr_array(others.astype(np.float32))
    every = np.ones((m, n), bool)
    columns = np.flatnonzero(seen[0])
    mask = np.broadcast_to(seen[0], (m, n))
    for given_, may in (
        ({}, every),
        ({"exclude": lists_of}, ~seen),
        ({"allow": lists_of}, seen),
        ({"allow": columns}, mask),
        ({"exclude": columns}, ~mask),
        ({"exclude": lists_of, "allow": columns}, ~seen & mask),
        ({"exclude": lists_of, "allow": others_of}, ~seen & others),
        ({"exclude": columns, "allow": others_of}, ~mask & others),
    ):
        assert lists(top_k_factors(queries, items, k, **given_)) == naive(queries, items, k, may)
    above = lists(top_k_factors(queries, items, k, threshold=1.0))
    assert above == [[e for e in row if e[1] > 1] for row in naive(queries, items, k, every)]


@pytest.mark.parametrize("skewed", [False, True])
def test_factors_do_not_depend_on_batch_or_threads(skewed):
    rng = np.random.default_rng(1)
    queries, items = rng.standard_normal((300, 50)), rng.standard_normal((4000, 50))
    if skewed:  # nearly all items are too short to matter
        items *= rng.pareto(1.0, (4000, 1))
    queries, items = queries.astype(np.float32), items.astype(np.float32)
    one = top_k_factors(queries, items, 10, n_threads=1)
    exact = queries.astype(np.float64) @ items.T.astype(np.float64)
    found = exact[np.arange(300)[:, None], one.indices.reshape(300, 10)]
    assert np.allclose(found, -np.sort(-exact, axis=1)[:, :10], rtol=1e-5)
    # Nothing can be left out where all are asked for.
    every = top_k_factors(queries, items, 4000)
    assert np.array_equal(every.indices.reshape(300, 4000)[:, :10].ravel(), one.indices)
    assert np.array_equal(every.data.reshape(300, 4000)[:, :10].ravel(), one.data)
    many = top_k_factors(queries, items, 10, n_threads=5)
    assert np.array_equal(one.indices, many.indices)
    assert np.array_equal(one.data, many.data)
    for row in range(0, 300, 37):
        alone = top_k_factors(queries[row : row + 1], items, 10)
        assert np.array_equal(alone.indices, one.indices[row * 10 : row * 10 + 10])
        assert np.array_equal(alone.data, one.data[row * 10 : row * 10 + 10])


@pytest.mark.parametrize(
    ("queries", "items", "match"),
    [
        (np.ones((2, 3)), np.ones((4, 2)), "items: must have 3 columns like queries, got 2"),
        (
            np.full((2, 3), np.nan),
            np.ones((4, 3)),
            "queries: values must be finite, got nan at row 0, column 0",
        ),
        (np.ones((2, 3)), np.full((4, 3), 1e300), "items: values must be finite, got inf at row 0, column 0"),
        (np.ones(3), np.ones((4, 3)), "queries: expected 2 dimensions"),
        (np.ones((2, 3), complex), np.ones((4, 3)), "queries: expected real"),
        (sp.csr_array((2, 3)), np.ones((4, 3)), "queries: expected a dense"),
    ],
)
def test_factor_errors_name_the_argument(queries, items, match):
    with pytest.raises((ValueError, TypeError), match=match):
        top_k_factors(queries, items, 2)


def test_a_threshold_that_is_no_number_is_named():
    with pytest.raises(TypeError, match="threshold: expected a number, got 'a'"):
        top_k_factors(np.eye(2), np.eye(2), 1, threshold="a")
    with pytest.raises(TypeError, match="threshold: expected a number, got 'a'"):
        ferrec.kernels.top_k_product(sp.csr_array(np.eye(2)), sp.csr_array(np.eye(2)), 1, threshold="a")


def test_factors_of_nothing():
    for m, n, d in ((0, 4, 3), (4, 0, 3), (4, 5, 0)):
        best = top_k_factors(np.ones((m, d)), np.ones((n, d)), 2)
        assert best.shape == (m, n)
        assert best.nnz == 0


# --- The models -------------------------------------------------------------------------------------------


def test_pure_svd_is_history_times_v_vt():
    data = sample()
    model = ferrec.PureSVD(n_factors=7).fit(data)
    x = data.matrix.toarray().astype(np.float64)
    v = np.linalg.svd(x)[2][:7]
    expected = x @ v.T @ v
    users, items = np.nonzero(np.abs(expected) > 1e-3)
    got = model.score(data.users.decode(users), data.items.decode(items))
    assert np.allclose(got, expected[users, items], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("model", [ferrec.PureSVD(n_factors=2), ferrec.EASE(reg=1.0)])
def test_the_missing_item_of_the_checkerboard_comes_first(model):
    recs = model.fit(checkerboard()).recommend(n=1)
    assert recs.items.decode(recs.codes).tolist() == recs.queries.tolist()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ease_is_the_formula_of_the_paper(dtype):
    data = sample()
    x = data.matrix.toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 20.0 * np.eye(x.shape[1]))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    expected = x @ weights
    users, items = np.nonzero(np.abs(expected) > 1e-3)
    model = ferrec.EASE(reg=20.0, dtype=dtype).fit(data)
    got = model.score(data.users.decode(users), data.items.decode(items))
    assert np.allclose(got, expected[users, items], rtol=1e-4, atol=1e-5)
    few = ferrec.EASE(reg=20.0, k=5, dtype=dtype).fit(data).state.similarity
    kept = np.zeros_like(weights)
    for row, all_of_it in zip(kept, weights, strict=True):
        best = np.argsort(-np.abs(all_of_it))[:5]
        row[best] = all_of_it[best]
    assert np.allclose(ferrec.kernels.handles.to_scipy(few).toarray(), kept, rtol=1e-4, atol=1e-6)


def test_ease_inverts_more_items_than_a_block():
    x = random(700, 1100, 0.02)
    data = ferrec.Interactions.from_csr(x)
    exact, single = (
        ferrec.kernels.handles.to_scipy(ferrec.EASE(reg=5.0, dtype=d).fit(data).state.similarity).toarray()
        for d in ("float64", "float32")
    )
    inverse = np.linalg.inv((x.T @ x).toarray().astype(np.float64) + 5.0 * np.eye(1100))
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0)
    assert np.allclose(exact, weights, rtol=1e-5, atol=1e-7)
    assert np.allclose(single, weights, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 2), (30, 10), (8, 39), (1200, 1100)])
@pytest.mark.parametrize("k", [1, 3])
def test_rows_that_are_alike_leave_nothing_when_centered(shape, k):
    row = np.random.default_rng(0).random(shape[1], dtype=np.float32) + np.float32(0.1)
    svd = truncated_svd(sp.csr_array(np.tile(row, (shape[0], 1))), k, centered=True)
    assert svd.u.shape == (shape[0], 0) and svd.vt.shape == (0, shape[1])


@pytest.mark.parametrize("shape", [(200, 39), (39, 200), (1300, 1100)])
def test_what_is_left_beside_great_means_is_found(shape):
    """A hundredth of the mean, of rank 2."""
    rng = np.random.default_rng(1)
    left, right = rng.standard_normal((shape[0], 2)), rng.standard_normal((2, shape[1]))
    x = (100.0 + left @ right).astype(np.float32)
    truth = np.linalg.svd(x.astype(np.float64) - x.mean(axis=0, dtype=np.float64), compute_uv=False)
    svd = truncated_svd(sp.csr_array(x), 2, centered=True)
    assert np.allclose(svd.s, truth[:2], rtol=1e-4)
    for vectors in (svd.u.T, svd.vt):
        assert np.abs(vectors @ vectors.T - np.eye(2)).max() < 1e-5
    assert np.abs(svd.transform(sp.csr_array(x)) - svd.u).max() < 1e-5


def test_factors_that_do_not_fit_are_refused():
    data, much = sample(), 10**12
    for model in (ferrec.ALS(n_factors=much), ferrec.BiasedMF(n_factors=much)):
        with pytest.raises(MemoryError, match=r"n_factors=1000000000000\) needs .* take a smaller n_factors"):
            model.fit(data)
    with pytest.raises(MemoryError, match=r"n_factors=1000000000000\) needs .* take a smaller n_factors"):
        ferrec.kernels.als(data.matrix, much)
    many = np.ones((1_000_000, 1), np.float32)
    with pytest.raises(MemoryError, match="k: the 900,000 best of 1,000,000 items for 1,000,000 queries"):
        top_k_factors(many, many, 900_000)


def test_biased_mf_recommends_what_has_no_deviation():
    users, items = [1, 1, 2, 2, 3], ["a", "b", "a", "c", "b"]
    same = ferrec.Interactions.from_arrays(users, items, [5.0] * 5)
    assert ferrec.BiasedMF(n_factors=2).fit(same).recommend(1)[1] == [("c", 5.0)]
    data = ferrec.Interactions.from_arrays([1, 2, 1, 2, 3], ["a", "a", "b", "b", "c"], [4.0, 4, 2, 2, 3])
    [(item, score)] = ferrec.BiasedMF(n_factors=1).fit(data).recommend(1)[1]
    assert item == "c" and score == pytest.approx(3.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_ease_has_the_same_bits_on_any_number_of_threads(dtype):
    data = ferrec.Interactions.from_csr(random(300, 700, 0.03))
    one, two, five = (
        ferrec.EASE(reg=5.0, dtype=dtype, n_threads=n).fit(data).state.similarity.parts()[2]
        for n in (1, 2, 5)
    )
    assert np.array_equal(one, two) and np.array_equal(one, five)


def test_ease_says_what_is_wrong():
    for params, message in (
        ({"reg": -1}, r"reg.*-1"),
        ({"reg": float("nan")}, "reg.*nan"),
        ({"dtype": "float16"}, "dtype.*float16"),
        ({"reg": 1e300, "dtype": "float32"}, "reg: exceeds float32, got 1e.300; lower it"),
        ({"k": 0}, "k: .*0"),
    ):
        with pytest.raises(ValueError, match=message):
            ferrec.EASE(**params).fit(checkerboard())
    # Items that everybody has alike: in float32 reg is lost beside their count.
    same = ferrec.Interactions.from_csr(1234.5 * sp.csr_array(np.ones((30, 40), np.float32)))
    with pytest.raises(ValueError, match=r'reg.*positive definite in float32.*"float64"'):
        ferrec.EASE(reg=1.0, dtype="float32").fit(same)
    ferrec.EASE(reg=1.0).fit(same)


def test_what_bm25_cannot_weight_is_named():
    data = ferrec.Interactions.from_arrays([1, 2], ["a", "b"], [1.0, -1.0])
    with pytest.raises(ferrec.DataError, match="data: BM25 needs values of at least 0, got -1"):
        ferrec.PureSVD(n_factors=1, weighting="bm25").fit(data)
    with pytest.raises(ValueError, match=r"weighting: must be one of 'tfidf', .* got 'zz'"):
        ferrec.PureSVD(weighting="zz").fit(data)


MODELS = {
    "PureSVD": ferrec.PureSVD(n_factors=6),
    "ALS": ferrec.ALS(n_factors=6),
    "EASE": ferrec.EASE(reg=20.0),
    "SLIM": ferrec.SLIM(l1=0.5, l2=5.0),
    "BiasedMF": ferrec.BiasedMF(n_factors=4),
    "ItemEmbeddings": ferrec.ItemEmbeddings(n_factors=6),
}


def fresh(name):
    model = MODELS[name]
    return type(model)(**model.get_params())


@pytest.mark.parametrize("name", MODELS)
def test_a_known_user_is_served_as_a_new_one_with_the_same_history(name):
    data = sample()
    model = fresh(name).fit(data)
    known, new = model.recommend(n=8), model.recommend(history=data.matrix, n=8)
    assert np.array_equal(known.indptr, new.indptr)
    assert np.allclose(known.scores, new.scores, rtol=1e-4, atol=1e-5)
    assert (known.codes == new.codes).mean() > 0.999


@pytest.mark.parametrize("name", MODELS)
def test_no_events_are_nothing_to_learn_from(name):
    data = sample()
    nothing = data.select(np.zeros(len(data.events), bool))
    if name == "BiasedMF":
        with pytest.raises(ferrec.DataError, match="data: has no ratings"):
            fresh(name).fit(nothing)
        return
    recs = fresh(name).fit(nothing).recommend(n=3)
    assert len(recs) == data.n_users
    assert recs.indptr[-1] == 0


@pytest.mark.parametrize("name", MODELS)
def test_progress_ends_at_its_total(name):
    seen = []
    fresh(name).fit(sample(), progress=lambda done, total: seen.append((done, total)))
    assert seen and seen[-1][0] == seen[-1][1] > 0
    assert all(0 <= done <= total for done, total in seen)


def test_models_may_be_fitted_at_the_same_time():
    data = ferrec.Interactions.from_csr(random(400, 300, 0.05))
    expected = {name: fresh(name).fit(data).recommend(n=8) for name in MODELS}
    jobs = [name for name in MODELS for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        for name, recs in zip(jobs, pool.map(lambda n: fresh(n).fit(data).recommend(n=8), jobs), strict=True):
            assert np.array_equal(recs.codes, expected[name].codes), name
            assert np.array_equal(recs.scores, expected[name].scores), name


def test_svd_is_frozen():
    svd = truncated_svd(random(5, 4, 0.5), 2)
    assert isinstance(svd, SVD)
    with pytest.raises(AttributeError):
        svd.s = svd.s  # type: ignore[misc]
