"""SLIM against a naive solver, its optimality conditions, and its edges."""

import numpy as np
import oracles
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec.kernels.handles import to_scipy
from ferrec.testing import checkerboard


def fit(x, **params):
    data = ferrec.Interactions.from_csr(sp.csr_array(np.asarray(x, dtype=np.float32)))
    return to_scipy(ferrec.SLIM(**params).fit(data).state.similarity).toarray().astype(np.float64)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 2.0]), st.sampled_from([0.5, 5.0]), st.booleans()
)
def test_slim_is_optimal(seed, l1, l2, positive):
    rng = np.random.default_rng(seed)
    n_users, n_items = rng.integers(1, 25), rng.integers(1, 15)
    x = rng.integers(1, 5, (n_users, n_items)) * (rng.random((n_users, n_items)) < 0.4).astype(float)
    got = fit(x, l1=l1, l2=l2, positive=positive, tol=1e-5, max_iter=2000)
    assert (np.diag(got) == 0).all()
    assert not positive or (got >= 0).all()
    ours = oracles.slim_objective(x, got, l1, l2)
    naive = oracles.slim_objective(x, oracles.slim(x, l1, l2, positive=positive), l1, l2)
    assert (ours <= naive * (1 + 1e-4) + 1e-4).all()
    # Karush–Kuhn–Tucker: the slope balances l1 where there is a weight, and is within it elsewhere.
    slope = x.T @ (x - x @ got) - l2 * got
    slack = 1e-4 * (np.diag(x.T @ x)[:, None] + l2) + 1e-4
    others = ~np.eye(n_items, dtype=bool)
    assert (np.abs(slope - l1 * np.sign(got)) <= slack)[others & (got != 0)].all()
    bound = slope if positive else np.abs(slope)
    assert (bound <= l1 + slack)[others & (got == 0)].all()


def test_slim_is_the_same_for_any_number_of_threads():
    x = np.random.default_rng(1).random((200, 90)) < 0.1
    one = fit(x, l1=0.5, l2=5.0, n_threads=1)
    assert all(np.array_equal(one, fit(x, l1=0.5, l2=5.0, n_threads=n)) for n in (2, 5))


def test_slim_keeps_k_and_asks_candidates_only():
    x = np.random.default_rng(2).random((150, 40)) < 0.2
    assert (np.count_nonzero(fit(x, l1=0.1, l2=2.0, k=3), axis=0) <= 3).all()
    near = to_scipy(ferrec._rust.Csr(*_cosine(x, 6), 40)).toarray() != 0
    few = fit(x, l1=0.1, l2=2.0, n_candidates=6)
    assert np.count_nonzero(few) > 0
    assert not few[~near.T].any()


def _cosine(x, k):
    similar = ferrec.kernels.top_k_similar(sp.csr_array(x.astype(np.float32)), k)
    return similar.indptr.astype(np.int64), similar.indices, similar.data


@pytest.mark.parametrize("shape", [(3, 1), (3, 4)])
def test_slim_of_nothing(shape):
    assert not fit(np.zeros(shape)).any()


def test_slim_says_what_is_wrong():
    for params, name in (
        ({"l1": -1.0}, "l1"),
        ({"l2": np.nan}, "l2"),
        ({"tol": 0.0}, "tol"),
        ({"l1": 1e300}, r"l1: must be at least 0 and finite in float32, got 1e\+300"),
        ({"k": 0}, "k"),
        ({"n_candidates": 0}, "n_candidates"),
    ):
        with pytest.raises(ValueError, match=name):
            ferrec.SLIM(**params).fit(checkerboard())
    with pytest.raises(TypeError, match="l1: expected a number, got 'much'"):
        ferrec.SLIM(l1="much").fit(checkerboard())
    with pytest.raises(TypeError, match="positive: expected True or False, got 'no'"):
        ferrec.SLIM(positive="no").fit(checkerboard())
    with pytest.warns(UserWarning, match="max_iter=1"):
        ferrec.SLIM(l1=0.0, l2=0.1, tol=1e-6, max_iter=1).fit(checkerboard())


def test_slim_refuses_squares_beyond_float32():
    data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["a", "b", "a", "c", "b"], [1e20] * 5)
    with pytest.raises(ValueError, match="data: values too large: a squared length exceeds float32, got inf"):
        ferrec.SLIM().fit(data)
