"""Co-occurrence, shifted PPMI and the vectors of items, against their definitions."""

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec.kernels import cooccurrence, shifted_ppmi
from ferrec.testing import checkerboard
from ferrec.testing._checks import sample

properties = settings(max_examples=60)
events = st.lists(st.tuples(st.integers(-2, 3), st.integers(0, 6), st.integers(-10, 10)), max_size=30).map(
    lambda rows: [list(column) for column in zip(*rows, strict=True)] or [[], [], []]
)


@properties
@given(events, st.none() | st.integers(1, 5), st.none() | st.integers(0, 8), st.booleans())
def test_counts_are_those_of_the_definition(columns, window, max_gap, timed):
    users, items, times = columns
    times, max_gap = (times, max_gap) if timed else (None, None)
    found = cooccurrence(users, items, times, n_items=9, window_size=window, max_gap=max_gap)
    expected = oracles.cooccurrence(users, items, times, 9, window_size=window, max_gap=max_gap)
    assert found.dtype == np.float32
    assert np.array_equal(found.toarray(), expected)
    assert found.nnz == np.count_nonzero(expected)


@properties
@given(events, st.floats(0.2, 5.0), st.floats(0.0, 1.0))
def test_ppmi_is_the_formula(columns, shift, smoothing):
    counts = cooccurrence(columns[0], columns[1], n_items=8)
    found = shifted_ppmi(counts, shift=shift, context_smoothing=smoothing)
    expected = oracles.shifted_ppmi(counts.toarray().astype(float), shift, smoothing)
    assert np.allclose(found.toarray(), expected, atol=1e-6)
    assert (found.data > 0).all()


def test_ppmi_of_any_counts():
    x = sp.random_array((40, 15), density=0.3, rng=np.random.default_rng(0), format="csr", dtype=np.float32)
    expected = oracles.shifted_ppmi(x.toarray().astype(float), 1.0, 0.75)
    assert np.allclose(shifted_ppmi(x).toarray(), expected, atol=1e-6)


def many(n=40_000):
    rng = np.random.default_rng(3)
    return rng.integers(0, 500, n), rng.zipf(1.3, n) % 700, rng.integers(0, 10**6, n)


@pytest.mark.parametrize("near", [{}, {"window_size": 3}, {"max_gap": 5000}])
def test_counts_are_the_same_for_any_number_of_threads(near):
    one, many_threads = (cooccurrence(*many(), **near, n_threads=n) for n in (1, 5))
    for part in ("indptr", "indices", "data"):
        assert np.array_equal(getattr(one, part), getattr(many_threads, part))


def test_counts_of_whole_histories_are_a_product():
    users, items, _ = many()
    x = sp.csr_array((np.ones(len(users)), (users, items)), shape=(500, 700))
    product = (x.T @ x).toarray()
    np.fill_diagonal(product, 0)
    assert np.array_equal(cooccurrence(users, items, n_items=700).toarray(), product)


@pytest.mark.parametrize(
    ("call", "kind", "name"),
    [
        (lambda: cooccurrence([0.5], [1]), TypeError, "users"),
        (lambda: cooccurrence([[0]], [1]), TypeError, "users"),
        (lambda: cooccurrence([0], [-1]), ValueError, "items: .*-1"),
        (lambda: cooccurrence([0], [2**31]), ValueError, "items"),
        (lambda: cooccurrence([0], [3], n_items=3), ValueError, "n_items: must be at least 4, got 3"),
        (lambda: cooccurrence([0, 1], [3]), ValueError, "items: must have length 2 like users, got 1"),
        (lambda: cooccurrence([0], [3], [1, 2]), ValueError, "times: must have length 1 like users, got 2"),
        (lambda: cooccurrence([0], [3], [0.1]), TypeError, "times"),
        (
            lambda: cooccurrence([0], [3], np.array([2**63 + 5], np.uint64)),
            ValueError,
            r"times: must be below 2\*\*63",
        ),
        (lambda: cooccurrence([0], [3], window_size=0), ValueError, "window_size: .*got 0"),
        (lambda: cooccurrence([0], [3], [1], max_gap=-1), ValueError, "max_gap: .*got -1"),
        (lambda: cooccurrence([0], [3], max_gap=1), ValueError, "max_gap: needs times"),
        (lambda: shifted_ppmi(sp.csr_array([[-1.0]])), ValueError, "counts: .*-1"),
        (lambda: shifted_ppmi(sp.csr_array([[np.nan]])), ValueError, "counts"),
        (lambda: shifted_ppmi(np.eye(2)), TypeError, "counts"),
        (lambda: shifted_ppmi(sp.csr_array([[1.0]]), shift=0), ValueError, "shift: .*got 0"),
        (
            lambda: shifted_ppmi(sp.csr_array([[1.0]]), context_smoothing=2),
            ValueError,
            "context_smoothing: .*got 2",
        ),
    ],
)
def test_bad_arguments_are_named(call, kind, name):
    with pytest.raises(kind, match=name):
        call()


# --- The model --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_scores_and_vectors_are_those_of_the_decomposition(p):
    data = sample()
    model = ferrec.ItemEmbeddings(n_factors=9, context_smoothing=0.6, eigenvalue_weight=p, tol=1e-5).fit(data)
    own = data.events
    counts = oracles.cooccurrence(own.users.tolist(), own.items.tolist(), None, data.n_items)
    u, s, vt = np.linalg.svd(oracles.shifted_ppmi(counts, 1.0, 0.6))
    x, low = data.matrix.toarray().astype(float), (u[:, :9] * s[:9]) @ vt[:9]
    users, items = np.nonzero(np.ones(x.shape))
    scores = model.score(data.users.decode(users), data.items.decode(items)).reshape(x.shape)
    assert np.allclose(scores, x @ low, atol=2e-4 * np.abs(x @ low).max())
    # Up to the signs of the columns.
    assert np.allclose(np.abs(model.embeddings), np.abs(u[:, :9] * s[:9] ** p), atol=1e-3 * s[0] ** p)


def test_similar_items_are_those_of_the_same_aisle():
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(300), 6)
    items = rng.integers(0, 10, len(users)) + 10 * (users % 4)
    model = ferrec.ItemEmbeddings(n_factors=4).fit(ferrec.Interactions.from_arrays(users, items))
    for item, near in model.similar_items(n=9):
        assert {other // 10 for other, _ in near} == {item // 10}
        assert all(-1.0001 <= cosine <= 1.0001 for _, cosine in near)


@pytest.mark.parametrize("solver", ["svd", "word2vec"])
def test_times_and_pauses_say_what_is_near(solver):
    if solver == "word2vec":
        pytest.importorskip("gensim")
    # Evening items and morning items of the same users never meet within an hour.
    users, items, times = [], [], []
    rng = np.random.default_rng(1)
    for user in range(200):
        for hour, first in ((7, 0), (20, 10)):
            for _ in range(5):
                users.append(user)
                items.append(first + int(rng.integers(0, 10)))
                times.append(hour * 3600 + int(rng.integers(0, 600)))
    data = ferrec.Interactions.from_arrays(users, items, times=times)
    model = ferrec.ItemEmbeddings(n_factors=8, max_gap=3600, solver=solver, epochs=20, shift=2).fit(data)
    right = [other // 10 == item // 10 for item, near in model.similar_items(n=5) for other, _ in near]
    assert np.mean(right) > 0.95


def test_both_solvers_find_the_same_neighbors():
    pytest.importorskip("gensim")
    rng = np.random.default_rng(2)
    # Items on a circle; a user walks along it.
    users = np.repeat(np.arange(800), 8)
    start = rng.integers(0, 40, 800)
    items = (start[users] + rng.integers(0, 6, len(users))) % 40
    data = ferrec.Interactions.from_arrays(users, items)
    near = {}
    for solver in ("svd", "word2vec"):
        model = ferrec.ItemEmbeddings(n_factors=12, solver=solver, epochs=15).fit(data)
        similar = model.similar_items(n=4)
        offs = [min((a - b) % 40, (b - a) % 40) for a, row in similar for b, _ in row]
        near[solver] = np.mean(np.array(offs) <= 3)
    assert min(near.values()) > 0.9, near


def test_events_without_weight_do_not_count():
    data = sample()
    events = data.events
    weights = np.where(events.items % 3 == 0, -1.0, np.where(events.items % 3 == 1, 0.0, events.weights))
    columns = data.users.decode(events.users), data.items.decode(events.items)
    model = ferrec.ItemEmbeddings(n_factors=5).fit(ferrec.Interactions.from_arrays(*columns, weights))
    twin = ferrec.ItemEmbeddings(n_factors=5).fit(data.select(events.items % 3 == 2))
    assert np.array_equal(model.embeddings, twin.embeddings)
    assert not model.embeddings[0].any()
    assert model.embeddings[2].any()


def test_embeddings_are_read_only_and_survive_saving(tmp_path):
    model = ferrec.ItemEmbeddings(n_factors=5).fit(sample())
    assert model.embeddings.shape == (len(model.items), 5)
    assert model.embeddings.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        model.embeddings[0, 0] = 1.0
    model.save(tmp_path / "model")
    assert np.array_equal(ferrec.load(tmp_path / "model").embeddings, model.embeddings)
    with pytest.raises(ferrec.NotFittedError):
        _ = ferrec.ItemEmbeddings().embeddings


def test_long_sequences_are_read_whole_by_word2vec():
    pytest.importorskip("gensim")
    n = 25_000
    items = np.arange(n) % 7
    items[-1] = 7  # the last event of all
    data = ferrec.Interactions.from_arrays(np.zeros(n, int), items, times=np.arange(n))
    model = ferrec.ItemEmbeddings(n_factors=4, window_size=2, solver="word2vec", epochs=1).fit(data)
    from ferrec.models.factors.item_embeddings import _Sentences

    sentences = list(_Sentences(data.events, (1, 8), None, None))
    assert max(map(len, sentences)) <= 10_000
    assert sum(map(len, sentences)) == n
    assert model.embeddings[7].any()


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"n_factors": 0}, "n_factors"),
        ({"shift": 0.5}, "shift"),
        ({"context_smoothing": 1.5}, "context_smoothing: .*1.5"),
        ({"context_smoothing": "much"}, "context_smoothing: expected a number"),
        ({"eigenvalue_weight": float("nan")}, "eigenvalue_weight"),
        ({"solver": "sgd"}, "solver: .*'sgd'"),
        ({"tol": 0.0}, "tol"),
        ({"seed": -1}, "seed"),
        ({"epochs": 0}, "epochs"),
        ({"seed": 2**32}, "seed: must be at most 4294967295"),
        ({"window_size": 0}, "window_size: must be at least 1, got 0"),
        ({"max_gap": -1}, "max_gap: expected seconds of at least 0, .* got -1"),
        ({"window_size": 2}, "window_size: needs times"),
        ({"max_gap": 2}, "max_gap: needs times"),
    ],
)
@pytest.mark.parametrize("solver", ["svd", "word2vec"])
def test_parameters_that_make_no_sense_are_named(params, name, solver):
    with pytest.raises((ValueError, TypeError), match=name):
        ferrec.ItemEmbeddings(**{"solver": solver, **params}).fit(checkerboard())


def test_word2vec_without_gensim_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gensim.models", None)
    with pytest.raises(ferrec.MissingExtraError, match=r"ferrec\[word2vec\]"):
        ferrec.ItemEmbeddings(solver="word2vec").fit(checkerboard())
