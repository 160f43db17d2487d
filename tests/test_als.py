"""Alternating least squares, of implicit feedback and of ratings, against NumPy."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Alternating

import ferrec
from ferrec.kernels import als
from ferrec.testing import checkerboard
from ferrec.testing._checks import sample

SOLVERS = [{"solver": "cholesky"}, {"solver": "cg"}, {"solver": "ials++", "subspace_size": 16}]
OBJECTIVES = [{"reg": 0.5}, {"alpha": 3.0, "alpha0": 0.1, "reg": 0.05, "nu": 0.8}]


def random(n_users, n_items, density, seed=0):
    rng = np.random.default_rng(seed)
    x = sp.random_array((n_users, n_items), density=density, rng=rng, dtype=np.float32, format="csr")
    x.data = np.ceil(x.data * 4).astype(np.float32)
    return x


def close(got, wanted):
    return np.abs(got - wanted).max(initial=0) <= 2e-3 * np.abs(wanted).max(initial=1e-3)


@settings(max_examples=40)
@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 18),
    st.sampled_from(SOLVERS),
    st.sampled_from(OBJECTIVES),
    st.integers(0, 2**32),
)
def test_users_are_exact_and_the_loss_is_that_of_the_definition(m, n, k, solver, objective, seed):
    x = random(m, n, 0.4, seed)
    dense, oracle = x.toarray().astype(np.float64), Alternating(**objective)
    found = als(x, k, **objective, **solver, epochs=4, seed=seed, track_loss=True)
    assert found.users.shape == (m, k)
    assert found.items.shape == (n, k)
    assert close(found.users, oracle.solve(dense, found.items))
    assert np.isclose(found.losses[-1], oracle.loss(dense, found.users, found.items), rtol=1e-3, atol=1e-4)
    assert (np.diff(found.losses) <= 1e-5 * found.losses[:-1] + 1e-5).all()
    assert np.array_equal(found.transform(x), found.users)
    assert close(found.transform_items(x), oracle.solve(dense.T, found.users))


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("solver", SOLVERS)
def test_loss_is_as_low_as_that_of_plain_als(solver, objective):
    x = random(80, 50, 0.15)
    dense, oracle = x.toarray().astype(np.float64), Alternating(**objective)
    naive = oracle.loss(dense, *oracle.fit(dense, 8, 20))
    assert als(x, 8, **objective, **solver, epochs=20, track_loss=True).losses[-1] <= 1.01 * naive


def test_same_bits_for_any_number_of_threads_and_another_start_for_another_seed():
    x = random(700, 300, 0.05)
    for solver in SOLVERS:
        one, many = (als(x, 20, **solver, n_threads=n) for n in (1, 5))
        assert np.array_equal(one.users, many.users)
        assert np.array_equal(one.items, many.items)
        assert not np.array_equal(als(x, 20, **solver, seed=1).users, one.users)


def test_als_of_nothing():
    for shape in ((0, 4), (4, 0), (3, 3)):
        found = als(sp.csr_array(shape, dtype=np.float32), 2, track_loss=True)
        assert found.users.shape == (shape[0], 2)
        assert not found.users.any()
        assert not found.items.any()
        assert not found.losses.any()


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_factors": 0}, "n_factors: must be at least 1, got 0"),
        ({"n_factors": 2.0}, "n_factors: expected an integer"),
        ({"epochs": 0}, "epochs: must be at least 1, got 0"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"reg": -0.5}, r"reg: must be at least 0 and finite, got -0\.5"),
        ({"nu": np.nan}, "nu: must be at least 0 and finite, got nan"),
        ({"reg": "much"}, "reg: expected a number, got 'much'"),
        ({"alpha": None}, "alpha: expected a number, got None"),
        ({"alpha": np.inf}, "alpha: .* got inf"),
        ({"alpha0": -1}, "alpha0: .* got -1"),
        ({"solver": "lu"}, "solver: .* got 'lu'"),
        ({"cg_steps": 0}, "cg_steps: must be at least 1, got 0"),
        ({"subspace_size": 0}, "subspace_size: must be at least 1, got 0"),
        ({"alpha": 1e300}, r"alpha: must fit in float32, got 1e\+300"),
        ({"alpha0": 1e39, "nu": 1}, r"alpha0: must fit in float32, got 1e\+39"),
        ({"alpha": 1e38}, r"x: with alpha=1e38 a weight exceeds float32, got 4\.0"),
        ({"reg": 10**400}, "reg: exceeds float64"),
        ({"nu": True}, "nu: expected a number, got True"),
        ({"reg": 1e300}, r"reg: times 7\.0 entries to the power of nu=0\.0 it exceeds float32, got 1e\+300"),
        ({"nu": 100}, r"nu: 7\.0 entries to the power of it exceed float32, got 100\.0"),
        ({"track_loss": "yes"}, "track_loss: expected True or False, got 'yes'"),
        ({"x": sp.csr_array([[1.0, -2.0]])}, r"x: confidences must be at least 0, got -2\.0"),
        (
            {"x": sp.csr_array([[1.0, np.nan]])},
            "x: values must be finite, 1 of 2 are not, got nan at row 0, column 1",
        ),
    ],
)
def test_errors_name_the_argument(arguments, match):
    with pytest.raises((ValueError, TypeError), match=match):
        als(**{"x": random(5, 4, 0.5), "n_factors": 2, **arguments})


def test_transform_wants_the_same_items():
    found = als(random(6, 5, 0.5), 2)
    with pytest.raises(ValueError, match="x: must have the 5 columns that there are factors of, got 4"):
        found.transform(random(3, 4, 0.5))
    with pytest.raises(TypeError, match="x: expected a SciPy sparse matrix"):
        found.transform(np.eye(5))
    with pytest.raises(ValueError, match="x: confidences must be at least 0, got -1"):
        found.transform(-sp.csr_array(np.eye(5)))
    with pytest.raises(ValueError, match=r"x: must have 6 rows, one for each user, got \(3, 4\)"):
        found.transform_items(random(3, 4, 0.5))
    with pytest.raises(TypeError, match="x: expected a SciPy sparse matrix"):
        found.transform_items(np.eye(6))
    with pytest.raises(ValueError, match="x: confidences must be at least 0, got -1"):
        found.transform_items(-sp.csr_array(np.eye(6)))


def test_als_reports_progress_and_stops():
    seen = []
    als(random(3000, 2500, 0.02), 64, progress=lambda done, total: seen.append((done, total)))
    assert all(0 <= done <= total <= 15 * 5500 for done, total in seen)
    assert seen[-1] == (15 * 5500, 15 * 5500)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        als(random(6000, 5000, 0.02), 256, solver="cholesky", progress=stop)


# --- The models -------------------------------------------------------------------------------------------


def test_the_missing_item_of_the_checkerboard_comes_first():
    recs = ferrec.ALS(n_factors=2).fit(checkerboard()).recommend(n=1)
    assert recs.items.decode(recs.codes).tolist() == recs.queries.tolist()


def test_scores_are_inner_products_and_known_users_are_as_new_ones():
    data = sample()
    model = ferrec.ALS(n_factors=6, solver="cholesky").fit(data)
    found = als(data.matrix, 6, alpha0=0.03, reg=0.003, nu=1.0, solver="cholesky")
    expected = found.users @ found.items.T
    users, items = np.nonzero(np.abs(expected) > 1e-3)
    got = model.score(data.users.decode(users), data.items.decode(items))
    assert np.allclose(got, expected[users, items], rtol=1e-3, atol=1e-5)
    assert np.array_equal(model.recommend(history=data.matrix).codes, model.recommend().codes)


@pytest.mark.parametrize("model", [ferrec.ALS(n_factors=6), ferrec.BiasedMF(n_factors=6)])
def test_explanations_are_the_terms_of_the_solution(model):
    """The parts add up before rounding is put into one of them, and leaving an item out takes its pull away."""
    data = sample()
    model.fit(data)
    state = model.state
    for user in data.users.values[::9].tolist():
        for item in data.items.values[::7].tolist():
            queries = state.queries(state.users.encode([user]))
            base, _, parts = model.explain_parts(
                state, queries, int(state.items.encode([item], name="items")[0])
            )
            assert np.isclose(base + parts.sum(), model.score([user], [item])[0], rtol=1e-3, atol=1e-4)


def test_new_items_are_learned_without_a_fit():
    data = sample()
    events = data.events
    new = np.isin(events.items, [3, 20, 39])
    old = ferrec.Interactions.from_csr(
        data.select(~new).matrix[:, np.setdiff1d(np.arange(data.n_items), [3, 20, 39])],
        user_ids=data.users.values,
        item_ids=np.delete(data.items.values, [3, 20, 39]),
    )
    model = ferrec.ALS(n_factors=6).fit(old)
    before = model.state
    with pytest.warns(UserWarning, match="pairs have unknown users or known items"):
        model.add_items(data)
    state = model.state
    assert np.array_equal(state.items.values, data.items.values)
    assert np.array_equal(ferrec.kernels.handles.to_scipy(state.seen).toarray(), data.matrix.toarray())
    dense, oracle = data.matrix.toarray().astype(np.float64), Alternating(1.0, 0.03, 0.003, 1.0)
    at = np.delete(np.arange(data.n_items), [3, 20, 39])
    assert np.array_equal(state.table[at], before.table)
    users = before.user_factors.reshape(-1, 6)
    assert close(state.table[[3, 20, 39]], oracle.solve(dense.T, users)[[3, 20, 39]])
    assert close(state.user_factors.reshape(-1, 6), oracle.solve(dense, state.table))
    known = np.unique(events.items)
    with pytest.warns(UserWarning):
        assert model.add_items(data.select(events.items == known[0])).state.table.shape == state.table.shape
    with pytest.raises(TypeError, match="data: expected Interactions"):
        model.add_items(data.matrix)
    for ids in (["u"], [30_000]), ([107], ["i"]):
        with pytest.raises(ferrec.DataError, match=r"data: its (users|items) are strings, .* are integers"):
            model.add_items(ferrec.Interactions.from_arrays(*ids))
    with pytest.raises(ferrec.NotFittedError):
        ferrec.ALS().add_items(data)


@pytest.mark.parametrize("model", [ferrec.ALS, ferrec.BiasedMF])
@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("n_factors", 0),
        ("reg", -1.0),
        ("epochs", 0),
        ("nu", np.inf),
        ("reg", "much"),
        ("reg", 1e300),
        ("nu", 1000),
    ],
)
def test_bad_parameters_are_named_at_fit(model, parameter, value):
    with pytest.raises((ValueError, TypeError), match=f"{parameter}: "):
        model(**{parameter: value}).fit(checkerboard())


def test_negative_values_are_no_confidences():
    data = ferrec.Interactions.from_arrays([1, 2], ["a", "b"], [1.0, -1.0])
    with pytest.raises(ferrec.DataError, match=r"data: confidences must be at least 0, got -1\.0"):
        ferrec.ALS().fit(data)
    model = ferrec.ALS(n_factors=2).fit(checkerboard())
    with pytest.raises(ValueError, match="history: confidences must be at least 0, got -1"):
        model.recommend(history=sp.csr_array(-np.eye(12)))


@pytest.mark.parametrize("model", [ferrec.ALS(n_factors=2), ferrec.BiasedMF(n_factors=2)])
def test_a_history_too_large_for_float32_is_named(model):
    history = sp.csr_array(np.full((1, 12), 3e38, np.float32))
    with pytest.raises(
        ValueError,
        match="history: the factors of a row exceed float32, got nan at row 0; take smaller values or settings",
    ):
        model.fit(checkerboard()).recommend(history=history)


@pytest.mark.parametrize("solver", SOLVERS)
def test_values_too_large_for_the_solver_are_refused_and_not_taken_for_nothing(solver):
    x = random(30, 20, 0.3)
    x.data[:] = 1e30
    try:
        found = als(x, 4, **solver, epochs=3)
    except ValueError as error:
        assert "exceed float32" in str(error)
    else:
        assert (found.users @ found.items.T)[x.nonzero()].min() > 0.5


@pytest.mark.parametrize(
    "model", [ferrec.ALS(n_factors=2, nu=30, reg=1e-30), ferrec.BiasedMF(n_factors=2, nu=30, reg=1e-30)]
)
def test_how_many_are_served_at_once_does_not_matter_to_the_penalty(model):
    model.fit(checkerboard())
    many = model.recommend(history=[[0, 2]] * 40, n=1)
    assert [many[row] for row in range(40)] == [model.recommend(history=[[0, 2]], n=1)[0]] * 40


def test_learned_items_survive_saving(tmp_path):
    data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    new = ferrec.Interactions.from_arrays([1, 2], ["honey", "honey"])
    model = ferrec.ALS(n_factors=2).fit(data).add_items(new)
    model.save(tmp_path / "model")
    twin = ferrec.load(tmp_path / "model")
    assert twin.recommend(3)[3] == model.recommend(3)[3]
    assert twin.items == model.items


def test_biased_mf_is_its_formula():
    data = sample()
    model = ferrec.BiasedMF(n_factors=3, reg=0.7, reg_biases=0.3, nu=0.4).fit(data)
    state = model.state
    q, b = state.table[:, :3].astype(np.float64), state.table[:, 3].astype(np.float64)
    assert np.isclose(state.mean, data.matrix.data.mean(dtype=np.float64))
    rows = np.column_stack([q, np.ones(len(q))])
    for user, ratings in enumerate(data.matrix.toarray().astype(np.float64)):
        rated = ratings != 0
        if not rated.any():
            continue
        own = rows[rated]
        scale = rated.sum() ** 0.4
        matrix = own.T @ own + scale * np.diag([0.7, 0.7, 0.7, 0.3])
        p = np.linalg.solve(matrix, own.T @ (ratings[rated] - state.mean - b[rated]))
        expected = state.mean + b + rows @ p
        got = model.score(np.repeat(data.users.values[user], len(b)), data.items.values)
        assert np.allclose(got, expected, atol=2e-3)


def test_biased_mf_of_pairs_that_nobody_knows():
    data = ferrec.Interactions.from_arrays([1, 1, 2, 3], ["a", "b", "a", "c"], [5.0, 3.0, 4.0, 2.0])
    thin = data.select(data.events.users != 2)
    model = ferrec.BiasedMF(n_factors=2).fit(thin)
    assert "c" not in [item for item, _ in model.recommend(1)[1]]  # nobody rated it
    user = model.state.user_factors.reshape(3, 4)[0, -1]
    assert np.isclose(model.score([1], ["c"])[0], user)
    assert np.isclose(model.score([3], ["c"])[0], model.state.mean)
    with pytest.raises(ferrec.DataError, match="no ratings"):
        ferrec.BiasedMF().fit(data.select(np.zeros(4, bool)))
