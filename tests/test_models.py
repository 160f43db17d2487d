"""Every exported model against the contract, and what single models promise beyond it."""

import math

import numpy as np
import pytest
from scipy import sparse

import ferrec
from ferrec.models import MODELS
from ferrec.testing import CHECKS, check_recommender, checkerboard
from ferrec.testing._checks import sample

VARIANTS = {
    "ItemKNN-bm25-jaccard": lambda: ferrec.ItemKNN(
        k=20, weighting="bm25", measure="asymmetric_cosine", alpha=0.3
    ),
    "ItemKNN-pearson": lambda: ferrec.ItemKNN(k=15, measure="pearson", shrink=2.0),
    "UserKNN-tfidf": lambda: ferrec.UserKNN(k=20, weighting="tfidf"),
    "UserKNN-pearson": lambda: ferrec.UserKNN(k=20, measure="pearson"),
    "UserKNN-adjusted": lambda: ferrec.UserKNN(k=20, measure="adjusted_cosine", shrink=3.0),
    "UserKNN-jaccard": lambda: ferrec.UserKNN(k=20, measure="jaccard"),
    "UserKNN-rp3beta": lambda: ferrec.UserKNN(k=20, measure="rp3beta", alpha=0.7, beta=0.3),
    "Popularity-decay": lambda: ferrec.Popularity(half_life=1e5, window=9e5),
    "ItemKNNRegressor-mean": lambda: ferrec.ItemKNNRegressor(k=20, center="mean"),
    "ALS-cholesky": lambda: ferrec.ALS(
        n_factors=5, solver="cholesky", alpha0=1.0, alpha=10.0, reg=1.0, nu=0.0
    ),
    "ALS-ials++": lambda: ferrec.ALS(n_factors=40, solver="ials++", subspace_size=16),
    "ItemEmbeddings-near": lambda: ferrec.ItemEmbeddings(
        n_factors=7, window_size=3, max_gap=200_000, context_smoothing=0.5, eigenvalue_weight=1.0
    ),
    "ItemEmbeddings-word2vec": lambda: ferrec.ItemEmbeddings(
        n_factors=8, solver="word2vec", shift=2, epochs=2
    ),
    "ContentKNN-weights": lambda: ferrec.ContentKNN(k=5, columns={"tags": 2.0, "size": 0.5}),
    "UserKNNRegressor-mean": lambda: ferrec.UserKNNRegressor(k=20, center="mean", measure="jaccard"),
}
FACTORIES = {**MODELS, **VARIANTS}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("model", FACTORIES)
def test_contract(model, check):
    if model == "ItemEmbeddings-word2vec":
        pytest.importorskip("gensim")
    CHECKS[check](FACTORIES[model])


def test_a_model_that_breaks_the_contract_is_caught():
    class Padding(ferrec.Popularity):
        def rank(self, state, queries, n, chosen, callback):
            indptr, items, scores = super().rank(state, queries, n, ferrec.kernels.filters.Filter(), callback)
            return indptr, items, scores

    with pytest.raises(AssertionError):
        check_recommender(Padding)


def test_a_model_that_has_learned_nothing_is_caught():
    class Learned(ferrec.Random):
        personalized = True

    with pytest.raises(AssertionError, match=r"0\.13 of the items are of the user's group"):
        CHECKS["beats_the_baselines"](Learned)


@pytest.mark.parametrize("model", ["ItemKNN", "UserKNN", "P3Alpha", "RP3Beta"])
def test_the_missing_item_of_the_checkerboard_comes_first(model):
    recs = MODELS[model]().fit(checkerboard()).recommend(n=1)
    assert recs.items.decode(recs.codes).tolist() == recs.queries.tolist()


def test_scikit_learn_clones_a_model():
    base = pytest.importorskip("sklearn.base")
    model = ferrec.ItemKNN(k=7, measure="dice")
    twin = base.clone(model.fit(checkerboard()))
    assert twin.get_params() == model.get_params()
    with pytest.raises(ferrec.NotFittedError):
        twin.recommend()


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"k": 0}, "k"),
        ({"k": 2.5}, "k"),
        ({"measure": "cosinus"}, "measure"),
        ({"shrink": -1.0}, "shrink"),
        ({"shrink": "much"}, "shrink: expected a number, got 'much'"),
        ({"weighting": "bm26"}, "weighting: .*'bm26'"),
        ({"weighting": 3}, "weighting: .*3"),
        ({"alpha": 2.0}, "alpha"),
        ({"n_threads": 0}, "n_threads"),
    ],
)
def test_bad_parameters_are_named_at_fit(params, name):
    with pytest.raises((ValueError, TypeError), match=name):
        ferrec.ItemKNN(**params).fit(checkerboard())


def test_item_knn_is_history_times_similarity():
    data = sample()
    model = ferrec.ItemKNN(k=100, measure="cosine").fit(data)
    x = data.matrix.toarray().astype(float)
    norms = np.linalg.norm(x, axis=0)
    similarity = x.T @ x / np.outer(norms, norms)
    np.fill_diagonal(similarity, 0)
    expected = x @ similarity
    users, items = np.nonzero(expected > 0)
    got = model.score(data.users.decode(users), data.items.decode(items))
    assert np.allclose(got, expected[users, items], rtol=1e-5)


def test_user_knn_is_similarity_times_histories():
    data = sample()
    x = data.matrix.toarray().astype(float)
    norms = np.linalg.norm(x, axis=1)
    similarity = x @ x.T / np.outer(norms, norms)
    np.fill_diagonal(similarity, 0)
    expected = similarity @ x
    users, items = np.nonzero(expected > 0)
    model = ferrec.UserKNN(k=100).fit(data)
    got = model.score(data.users.decode(users), data.items.decode(items))
    assert np.allclose(got, expected[users, items], rtol=1e-5)


@pytest.mark.parametrize("kind", ["item", "user"])
def test_rating_prediction_is_the_formula(kind):
    data = sample()
    x = data.matrix.toarray().astype(float)
    rated = x > 0
    if kind == "item":
        base = np.broadcast_to(x.sum(0) / rated.sum(0), x.shape)
        model = ferrec.ItemKNNRegressor(k=1000, shrink=0, center="mean", min_similarity=0)
    else:
        base = np.broadcast_to((x.sum(1) / rated.sum(1))[:, None], x.shape)
        model = ferrec.UserKNNRegressor(k=1000, shrink=0, center="mean", min_similarity=0)
    off = np.where(rated, x - base, 0)
    side = off.T if kind == "item" else off
    norms = np.linalg.norm(side, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        similarity = np.nan_to_num(side @ side.T / np.outer(norms, norms))
    similarity[similarity <= 1e-7] = 0
    np.fill_diagonal(similarity, 0)
    if kind == "item":
        num, den = off @ similarity, rated.astype(float) @ similarity
    else:
        num, den = similarity @ off, similarity @ rated.astype(float)
    # Pairs whose only neighbors are all but orthogonal hang on the last bit of float32: leave them out.
    firm = den > 0.05
    expected = np.clip(base[firm] + num[firm] / den[firm], x[rated].min(), x.max())
    users, items = np.nonzero(firm)
    got = model.fit(data).score(data.users.decode(users), data.items.decode(items))
    assert np.allclose(got, expected, atol=1e-3)


def test_biases_solve_their_equations():
    data = sample()
    model = ferrec.Bias(reg_users=2.0, reg_items=3.0, epochs=200).fit(data)
    x = data.matrix.tocoo()
    state = model.state
    mean = x.data.mean(dtype=float)
    off = x.data - mean
    user, item = state.user_base.astype(float), state.item_base.astype(float) - mean
    for own, other, index, others, reg in (
        (user, item, x.row, x.col, 2.0),
        (item, user, x.col, x.row, 3.0),
    ):
        sums = np.bincount(index, off - other[others], minlength=len(own))
        counts = np.bincount(index, minlength=len(own))
        assert np.allclose(own, sums / (reg + counts), atol=1e-4)


def test_popularity_windows_and_decay():
    data = ferrec.Interactions.from_arrays([1, 2, 3, 4], ["old", "old", "old", "new"], times=[0, 0, 0, 100])
    assert ferrec.Popularity().fit(data).recommend(4, exclude_seen=False)[4][0] == ("old", 3.0)
    windowed = ferrec.Popularity(window=50).fit(data).recommend(4, exclude_seen=False)
    assert windowed[4] == [("new", 1.0)]
    decayed = ferrec.Popularity(half_life=50).fit(data).recommend(4, exclude_seen=False)
    assert decayed[4] == [("new", 1.0), ("old", 0.75)]
    with pytest.raises(ferrec.DataError, match=r"window.*times"):
        ferrec.Popularity(window=50).fit(checkerboard())
    with pytest.raises(ValueError, match=r"half_life.*-1"):
        ferrec.Popularity(half_life=-1).fit(data)


def test_random_is_uniform_and_depends_on_the_seed():
    data = checkerboard(40)
    a = ferrec.Random(seed=1).fit(data).recommend(n=40, exclude_seen=False)
    b = ferrec.Random(seed=2).fit(data).recommend(n=40, exclude_seen=False)
    assert not np.array_equal(a.codes, b.codes)
    assert abs(a.scores.mean() - 0.5) < 0.03
    assert len({tuple(a.codes[s:e].tolist()) for s, e in zip(a.indptr[:-1], a.indptr[1:], strict=True)}) == 40


def test_unknown_items_of_a_history_are_left_out_with_a_warning():
    model = ferrec.ItemKNN().fit(checkerboard())
    with pytest.warns(UserWarning, match="1 of 3 entries"):
        recs = model.recommend(history=[[0, 2, 999]], n=3)
    assert recs[0] == model.recommend(history=[[0, 2]], n=3)[0]


def test_explanation_of_a_user_based_score_names_shared_items():
    data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 2, 3, 3], ["a", "b", "a", "b", "c", "b", "d"])
    why = ferrec.UserKNN(k=5).fit(data).explain(1, "c")
    assert set(why.items.tolist()) == {"a", "b"}
    assert math.isclose(why.parts[0], why.parts[1], rel_tol=1e-6)


def test_matrix_history_may_be_weighted():
    data = checkerboard()
    model = ferrec.ItemKNN().fit(data)
    row = np.zeros((1, 12), np.float32)
    row[0, 0], row[0, 1] = 5, 1
    recs = model.recommend(history=sparse.csr_array(row), n=1)
    assert recs[0][0][0] % 2 == 0
