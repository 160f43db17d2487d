"""Candidates and their retrieval against plain Python."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec import _rust
from ferrec.data.candidates import Candidates
from ferrec.data.ids import Ids
from ferrec.data.queries import Queries
from ferrec.errors import DataError, NotFittedError, UnknownIdError
from ferrec.models import MODELS
from ferrec.testing._checks import sample
from ferrec.two_stage.retrieval import Retrieval

properties = settings(max_examples=80)
N_ITEMS = 9


def candidates(rows, columns=None, n_items=N_ITEMS):
    """Candidates with these rows of item codes, of newcomers without history."""
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    codes = np.array([code for row in rows for code in row], np.int32)
    history = _rust.Csr(
        np.zeros(len(rows) + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), n_items
    )
    items = Ids.from_values(np.arange(n_items) * 10)
    return Candidates(Queries(np.arange(len(rows)), history, None), items, indptr, codes, columns or {})


rows_of_codes = st.lists(st.sets(st.integers(0, N_ITEMS - 1)).map(sorted), max_size=12)
few_scores = st.sampled_from([-1.5, -0.0, 0.0, 0.5, 2.0])


@st.composite
def scored(draw):
    rows = draw(rows_of_codes)
    n = sum(map(len, rows))
    return rows, np.array(draw(st.lists(few_scores, min_size=n, max_size=n)), np.float32)


@properties
@given(scored(), st.integers(1, 12), st.integers(1, 3))
def test_ranks_and_top(given, n, n_threads):
    rows, scores = given
    pairs = candidates(rows)
    ranks, recs = pairs.ranks(scores, n_threads=n_threads), pairs.top(scores, n, n_threads=n_threads)
    assert ranks.dtype == np.float32
    at = 0
    for query, row in enumerate(rows):
        own = scores[at : at + len(row)]
        order = sorted(range(len(row)), key=lambda i: (-own[i], row[i]))
        assert [ranks[at + i] for i in order] == list(range(1, len(row) + 1))
        assert recs[query] == [(row[i] * 10, own[i]) for i in order[:n]]
        at += len(row)


@properties
@given(st.lists(rows_of_codes, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_union(lists, random):
    n_rows = min(map(len, lists))
    lists = [rows[:n_rows] for rows in lists]
    shuffled = [[random.sample(row, len(row)) for row in rows] for rows in lists]
    parts = [
        (
            np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64),
            np.array([code for row in rows for code in row], np.int32),
        )
        for rows in shuffled
    ]
    for n_threads in (1, 2):
        indptr, codes = _rust.union(parts, N_ITEMS, n_threads)
        assert codes.dtype == np.int32
        found = [codes[a:b].tolist() for a, b in itertools.pairwise(indptr)]
        assert found == [sorted(set().union(*(rows[i] for rows in lists))) for i in range(n_rows)]


@properties
@given(rows_of_codes, st.lists(st.tuples(st.integers(0, 11), st.integers(0, N_ITEMS - 1)), max_size=40))
def test_hits_and_weights(rows, events):
    pairs = candidates(rows)
    if not events:
        return
    catalog = np.arange(N_ITEMS) * 10
    users = [user for user, _ in events] + [99] * N_ITEMS  # 99 makes the catalog whole
    items = [item * 10 for _, item in events] + catalog.tolist()
    future = ferrec.Interactions.from_arrays(users, items, ratings=[0.0] + [1.0] * (len(users) - 1))
    weight = {}
    for at, (user, item) in enumerate(zip(users, items, strict=True)):
        weight[user, item] = weight.get((user, item), 0.0) + (0.0 if at == 0 else 1.0)
    named = [(query, code * 10) for query, row in enumerate(rows) for code in row]
    assert pairs.hits(future).tolist() == [float(pair in weight) for pair in named]
    assert pairs.weights(future).tolist() == [weight.get(pair, 0.0) for pair in named]


def test_hits_need_the_same_catalog():
    with pytest.raises(DataError, match="its 1 items are not the 9"):
        candidates([[1]]).hits(ferrec.Interactions.from_arrays([0], [10]))


def test_columns():
    pairs = candidates([[1, 2], [], [3]])
    more = pairs.with_columns({"a": np.arange(3, dtype=np.float32)})
    assert len(more) == 3
    assert more.rows.tolist() == [0, 0, 2]
    assert more.with_columns({"b": np.ones(3, np.float32)}).matrix(["b", "a"]).tolist() == [
        [1, 0],
        [1, 1],
        [1, 2],
    ]
    assert more.pairs.shape == (3, N_ITEMS)
    assert more.with_columns({}).pairs is more.pairs
    with pytest.raises(ValueError, match="'a' is there already"):
        more.with_columns({"a": np.ones(3, np.float32)})
    with pytest.raises(DataError, match="columns: the candidates lack 'x'; they have a"):
        more.matrix(["x"])
    with pytest.raises(
        DataError,
        match=r"column 'b': must be float32 of shape \(3,\), got ndarray of float64 and shape \(3,\)",
    ):
        more.with_columns({"b": np.ones(3)})


@pytest.mark.parametrize(
    ("indptr", "codes", "message"),
    [
        ([0, 1], [0], "expected 2 offsets|got 2"),
        ([0, 1, 3], [0, 1], "codes: indptr must run from 0 to 2, got 3 at position 2"),
        ([0, 2, 1], [0], "codes: indptr must not fall, got 1 at row 1"),
        ([0, 1, 2], [0, N_ITEMS], f"got {N_ITEMS} at position 1"),
        ([0, 1, 2], [0, -1], r"codes: columns must be in 0\.\.9, got -1 at position 1"),
        ([0, 0, 2], [3, 2], "columns of a row must ascend, got . at row 1, position 1"),
        ([0, 0, 2], [3, 3], "columns of a row must ascend, got . at row 1, position 1"),
    ],
)
def test_parts_must_fit(indptr, codes, message):
    good = candidates([[0], [1]])
    with pytest.raises(DataError, match=message):
        Candidates(good.queries, good.items, np.array(indptr), np.array(codes, np.int32))


def test_dtypes_must_fit():
    good = candidates([[0], [1]])
    with pytest.raises(DataError, match=r"codes: expected flat int32, got ndarray of int64 and shape \(2,\)"):
        Candidates(good.queries, good.items, good.indptr, good.codes.astype(np.int64))


@pytest.mark.parametrize("scores", [[1.0], [1.0, np.nan, 0.0], [np.inf, 0.0, 0.0], np.ones((3, 1))])
def test_scores_must_fit(scores):
    pairs = candidates([[1, 2], [], [3]])
    for ask in (pairs.ranks, pairs.top):
        with pytest.raises(ValueError, match="scores: "):
            ask(scores)


def test_n_must_be_positive():
    pairs = candidates([[1]])
    with pytest.raises(ValueError, match="n: must be at least 1, got 0"):
        pairs.top([1.0], 0)


def test_no_pairs():
    for rows in ([], [[], []]):
        pairs = candidates(rows)
        assert len(pairs.top([], 3).codes) == 0
        assert pairs.ranks([]).shape == (0,)
        assert pairs.matrix([]).shape == (0, 0)


# -- retrieval ----------------------------------------------------------------------------------------------


def models():
    return {"near": ferrec.ItemKNN(k=20), "popular": ferrec.Popularity(), "svd": ferrec.PureSVD(n_factors=6)}


def test_every_model_scores_every_pair():
    data = sample()
    retrieval = Retrieval(models(), n_candidates={"near": 4, "popular": 2, "svd": 3}).fit(data)
    pairs = retrieval.candidates()
    assert list(pairs.columns) == retrieval.columns
    own_lists = {
        name: model.recommend(n=retrieval.n_candidates[name]) for name, model in retrieval.fitted.items()
    }
    lists = {name: recs.to_lists() for name, recs in own_lists.items()}
    seen = data.matrix.toarray() != 0
    for query, user in enumerate(data.users.values.tolist()):
        own = slice(pairs.indptr[query], pairs.indptr[query + 1])
        items = pairs.items.decode(pairs.codes[own]).tolist()
        assert items == sorted(set().union(*(found[user] for found in lists.values())))
        assert not seen[query, pairs.codes[own]].any()
        for name, model in retrieval.fitted.items():
            scores = pairs.columns[f"{name}_score"][own]
            assert np.array_equal(scores, model.score([user] * len(items), items))
            best = [score for _, score in own_lists[name][user]]
            places = [1 + sum(other > score for other in best) for score in scores]
            assert pairs.columns[f"{name}_rank"][own].tolist() == places


def test_blocks_are_the_whole():
    retrieval = Retrieval(models(), n_candidates=5).fit(sample())
    whole = retrieval.candidates()
    told = []
    blocks = list(
        retrieval.iter_candidates(block_size=7, progress=lambda done, total: told.append((done, total)))
    )
    assert told[-1] == (60, 60)
    assert [len(block.queries) for block in blocks] == [7] * 8 + [4]
    assert np.array_equal(np.concatenate([block.codes for block in blocks]), whole.codes)
    assert np.array_equal(np.concatenate([block.queries.ids for block in blocks]), whole.queries.ids)
    for name, column in whole.columns.items():
        assert np.array_equal(np.concatenate([block.columns[name] for block in blocks]), column)


def test_threads_do_not_matter():
    data = sample()
    one, two = (
        Retrieval(
            [ferrec.ItemKNN(n_threads=n), ferrec.ALS(n_factors=4, n_threads=n)], n_candidates=6, n_threads=n
        )
        .fit(data)
        .candidates()
        for n in (1, 2)
    )
    assert np.array_equal(one.codes, two.codes)
    assert all(np.array_equal(one.columns[name], two.columns[name]) for name in one.columns)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_retrieve(name):
    pairs = Retrieval([MODELS[name]()], n_candidates=3).fit(sample()).candidates()
    assert len(pairs)
    assert all(np.isfinite(column).all() for column in pairs.columns.values())


def test_rules_hold_for_every_model():
    data = sample()
    retrieval = Retrieval(models(), n_candidates=50).fit(data)
    some = data.items.values[::2]
    pairs = retrieval.candidates(exclude_items=some)
    assert not np.isin(pairs.items.decode(pairs.codes), some).any()
    only = retrieval.candidates(allow_items=data.items.values[1::2])
    assert np.array_equal(only.codes, pairs.codes)
    again = retrieval.candidates(exclude_seen=False)
    assert len(again) > len(retrieval.candidates())
    user = data.users.values[0]
    own = retrieval.candidates(user, allow_items={user: some[:3]}, exclude_seen=False)
    assert set(own.items.decode(own.codes).tolist()) <= set(some[:3].tolist())
    assert len(retrieval.candidates(allow_items=[])) == 0


def test_new_users():
    data = sample()
    retrieval = Retrieval(models(), n_candidates=5).fit(data)
    items = data.items.values
    pairs = retrieval.candidates(history=[[items[0], items[1]], []])
    assert pairs.queries.codes is None
    assert set(pairs.items.decode(pairs.codes[: pairs.indptr[1]])).isdisjoint(items[:2].tolist())
    assert pairs.indptr[2] - pairs.indptr[1] == 5  # what is popular is all that can be said


def test_names():
    models = [ferrec.ItemKNN(), ferrec.RP3Beta(), ferrec.ItemKNN(k=3), ferrec.ALS()]
    retrieval = Retrieval(models, n_candidates=7)
    assert retrieval.columns[::2] == ["item_knn_score", "rp3_beta_score", "item_knn_2_score", "als_score"]
    assert retrieval.columns[1] == "item_knn_rank"
    assert repr(retrieval).startswith("Retrieval(models=[ItemKNN(), ")


def test_fit_leaves_the_models_alone():
    model = ferrec.ItemKNN(k=3)
    data = sample()
    retrieval = Retrieval([model], n_candidates=4).fit(data)
    assert not model.is_fitted
    assert retrieval.fitted["item_knn"].k == 3
    given = Retrieval([model.fit(data)], n_candidates=4)
    assert given.fitted["item_knn"] is model
    assert np.array_equal(given.candidates().codes, retrieval.candidates().codes)


@pytest.mark.parametrize("named", [False, True])
def test_files_give_it_back(named, tmp_path):
    retrieval = Retrieval(models() if named else list(models().values()), n_candidates=4).fit(sample())
    retrieval.save(tmp_path / "retrieval")
    twin = ferrec.load(tmp_path / "retrieval")
    one, two = retrieval.candidates(), twin.candidates()
    assert twin.columns == retrieval.columns
    assert np.array_equal(one.codes, two.codes)
    assert all(np.array_equal(one.columns[name], two.columns[name]) for name in one.columns)


def test_wrong_arguments():
    data = sample()
    for wrong in ([], {}, None, ferrec.ItemKNN(), [ferrec.ItemKNN], {1: ferrec.ItemKNN()}):
        for ask in (lambda one: one.fit(data), lambda one: one.candidates()):
            with pytest.raises(TypeError, match="models: expected"):
                ask(Retrieval(wrong))
    with pytest.raises(ValueError, match=r"n_candidates: must name the models item_knn, got \['als'\]"):
        Retrieval([ferrec.ItemKNN()], n_candidates={"als": 3}).fit(data)
    with pytest.raises(ValueError, match=r"n_candidates\['item_knn'\]: must be at least 1, got 0"):
        Retrieval([ferrec.ItemKNN()], n_candidates={"item_knn": 0}).fit(data)
    for ask in (lambda one: one.candidates(), lambda one: one.iter_candidates(), lambda one: one.users):
        with pytest.raises(NotFittedError, match="item_knn: is not fitted, nor this Retrieval"):
            ask(Retrieval([ferrec.ItemKNN()]))
    fitted = Retrieval([ferrec.ItemKNN()]).fit(data)
    with pytest.raises(UnknownIdError, match="999"):
        fitted.iter_candidates([999])
    with pytest.raises(ValueError, match="block_size: must be at least 1, got 0"):
        fitted.iter_candidates(block_size=0)
    with pytest.raises(ValueError, match="n_candidates: must be at least 1, got 0"):
        Retrieval(fitted.fitted, n_candidates=0).iter_candidates()
    assert fitted.set_params(n_candidates=0).candidates(), "parameters count at the next fit"
    other = ferrec.Popularity().fit(ferrec.Interactions.from_arrays([1], [2]))
    with pytest.raises(DataError, match="'item_knn' and 'popularity' have different users, 60 and 1"):
        Retrieval([*fitted.fitted.values(), other]).candidates()
