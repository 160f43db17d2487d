"""`score_table`: one Arrow table in, one out, and nothing but what `recommend` says."""

import warnings

import numpy as np
import pytest

import ferrec
from ferrec.batch.table import Scorer, _pieces
from ferrec.models import MODELS
from ferrec.testing._checks import sample

pyarrow = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module", params=[False, True], ids=["ints", "strings"])
def model(request):
    return ferrec.ItemKNN(k=10).fit(sample(text=request.param))


def some_users(model, seed=0):
    """In no order, and one of them twice."""
    users = np.random.default_rng(seed).permutation(model.users.values)[:25]
    return np.concatenate([users, users[:1]])


@pytest.mark.parametrize("name", MODELS)
def test_it_is_recommend(name, tmp_path):
    model = MODELS[name]().fit(sample(text=True))
    model.save(tmp_path / "model")
    users = some_users(model)
    expected = model.recommend(users, n=4).to_arrow()
    table = pyarrow.table({"user_id": list(users)})
    assert ferrec.score_table(model, table, n=4).equals(expected)
    assert ferrec.score_table(tmp_path / "model", table, n=4, n_threads=1).equals(expected)


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_filters(model, exclude_seen):
    users, items = some_users(model), model.items.values
    filters = {"exclude_seen": exclude_seen, "exclude_items": items[:5], "allow_items": items[3:25]}
    expected = model.recommend(users, n=4, **filters).to_arrow("who", "what")
    table = pyarrow.table({"who": list(users), "other": range(len(users))})
    assert ferrec.score_table(model, table, n=4, user="who", item="what", **filters).equals(expected)


KINDS = [
    pyarrow.list_,
    pyarrow.large_list,
    lambda kind: pyarrow.list_(kind, 3),
    lambda kind: pyarrow.list_(pyarrow.dictionary(pyarrow.int32(), kind)),
]


@pytest.mark.parametrize("kind", KINDS)
def test_histories_of_every_type_of_list(model, kind):
    items = model.items.values
    lists = [list(items[[2, 0, 7]]), list(items[[5, 5, 6]]), list(items[[9, 1, 3]])]
    table = pyarrow.table({"user_id": [30, 10, 20], "basket": lists})
    value = table.schema.field("basket").type.value_type
    basket = pyarrow.array(lists, kind(value))
    table = table.set_column(1, "basket", basket)
    found = ferrec.score_table(model, table, history="basket", n=5)
    expected = model.recommend(history=lists, n=5).to_arrow()
    assert found.drop_columns("user_id").equals(expected.drop_columns("user_id"))
    assert found["user_id"].to_pylist() == [[30, 10, 20][at] for at in expected["user_id"].to_pylist()]
    # A slice has offsets that do not begin at 0.
    assert ferrec.score_table(model, table.slice(1), history="basket", n=5)["item_id"].equals(
        model.recommend(history=lists[1:], n=5).to_arrow()["item_id"]
    )


def test_ratings_weigh_the_histories(model):
    items = model.items.values
    table = pyarrow.table(
        {
            "user_id": ["ann", "bob"],
            "basket": [list(items[:3]), list(items[4:6])],
            "stars": [[1, 5, 2], [3, 4]],
        }
    )
    data = ferrec.Interactions.from_arrays(
        ["ann"] * 3 + ["bob"] * 2, list(items[[0, 1, 2, 4, 5]]), ratings=[1, 5, 2, 3, 4]
    )
    found = ferrec.score_table(model, table, history="basket", rating="stars", n=5)
    with warnings.catch_warnings(action="ignore"):
        assert found.equals(model.recommend(history=data, n=5).to_arrow())


def test_empty_histories_and_tables(model):
    items = model.items.values
    basket = pyarrow.array([[], None, list(items[:2])], pyarrow.list_(pyarrow.array(items[:1]).type))
    table = pyarrow.table({"user_id": [1, 2, 3], "basket": basket})
    assert set(ferrec.score_table(model, table, history="basket")["user_id"].to_pylist()) <= {3}
    for one, options in (
        (table, {"history": "basket"}),
        (pyarrow.table({"user_id": list(some_users(model))}), {}),
    ):
        none = ferrec.score_table(model, one.slice(0, 0), **options)
        assert none.num_rows == 0 and none.schema.equals(ferrec.score_table(model, one, **options).schema)


def test_what_is_unknown_is_said_and_left_out(model):
    users, items = model.users.values, model.items.values
    stranger = "nobody" if isinstance(users[0], str) else -5
    table = pyarrow.table({"user_id": [*users[:3], stranger]})
    with pytest.raises(ferrec.UnknownIdError, match=r"column 'user_id': 1 of 4 ids is unknown"):
        ferrec.score_table(model, table)
    with pytest.warns(UserWarning, match="1 of 4 rows name users that the model does not know") as heard:
        found = ferrec.score_table(model, table, unknown_users="skip")
    assert heard[0].filename == __file__
    assert found.equals(model.recommend(users[:3]).to_arrow())
    thing = "nothing" if isinstance(items[0], str) else -5
    table = pyarrow.table({"user_id": ["ann"], "basket": [[items[0], thing]]})
    with pytest.warns(UserWarning, match="1 entries of the histories name items"):
        found = ferrec.score_table(model, table, history="basket")
    assert found["item_id"].equals(model.recommend(history=[[items[0]]]).to_arrow()["item_id"])


def test_a_record_batch_will_do(model):
    batch = pyarrow.record_batch({"user_id": list(model.users.values[:3])})
    assert ferrec.score_table(model, batch).equals(model.recommend(model.users.values[:3]).to_arrow())


@pytest.mark.parametrize(
    ("columns", "options", "error", "message"),
    [
        (
            {"who": [1]},
            {},
            ferrec.DataError,
            "column 'user_id': must be in the table once; its columns are 'who'",
        ),
        ({"user_id": [None, 1]}, {}, ferrec.DataError, "column 'user_id': 1 of 2 rows are null"),
        (
            {"user_id": [1.5]},
            {},
            ferrec.DataError,
            "column 'user_id': holds double, and ids must be integers or strings; cast it to one of them",
        ),
        (
            {"user_id": [1], "h": [5]},
            {"history": "h"},
            ferrec.DataError,
            "column 'h': must hold lists, got int64",
        ),
        (
            {"user_id": [1], "h": [[1, None]]},
            {"history": "h"},
            ferrec.DataError,
            "column 'h': 1 of 2 rows are null",
        ),
        (
            {"user_id": [None], "h": [[1]]},
            {"history": "h"},
            ferrec.DataError,
            "column 'user_id': 1 of 1 row is null",
        ),
        (
            {"user_id": [1, 2], "h": [[1], [1, 2]], "r": [[1.0], [1.0]]},
            {"history": "h", "rating": "r"},
            ferrec.DataError,
            "column 'r': has 1 entries in row 1, and column 'h' has 2",
        ),
        (
            {"user_id": [1], "h": [[1]], "r": [[float("nan")]]},
            {"history": "h", "rating": "r"},
            ferrec.DataError,
            "column 'r': 1 of 1 row is null or not a finite",
        ),
        (
            {"user_id": [1], "h": [["x"]]},
            {"history": "h"},
            ferrec.UnknownIdError,
            "the model's items are integers",
        ),
        (
            {"user_id": [1]},
            {"rating": "r"},
            ValueError,
            "rating: weighs the items of a history, so name that column too, got 'r'",
        ),
        ({"user_id": [1]}, {"history": "user_id"}, ValueError, "must be different columns"),
        ({"user_id": [1]}, {"n": 0}, ValueError, "n: must be at least 1"),
        ({"user_id": [1]}, {"unknown_users": "x"}, ValueError, "unknown_users"),
        ({"user_id": [1]}, {"user": "user_id", "item": "user_id"}, ValueError, "one name"),
    ],
)
def test_bad_input_is_named(columns, options, error, message):
    model = ferrec.ItemKNN().fit(ferrec.Interactions.from_arrays([1, 1, 2], [1, 2, 1]))
    with pytest.raises(error, match=message):
        ferrec.score_table(model, pyarrow.table(columns), **options)


def test_other_types_are_refused(model, tmp_path):
    with pytest.raises(TypeError, match=r"expected a pyarrow\.Table, got dict"):
        ferrec.score_table(model, {"user_id": [1]})
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ferrec.score_table(tmp_path / "nowhere", pyarrow.table({"user_id": [1]}))


def test_the_callers_model_keeps_its_threads(model):
    ferrec.score_table(model, pyarrow.table({"user_id": list(model.users.values[:2])}), n_threads=1)
    assert model.n_threads is None


@pytest.mark.parametrize("entries", [1, 30, 1 << 20])
def test_histories_in_pieces_are_the_same(model, entries, tmp_path, monkeypatch):
    monkeypatch.setattr(Scorer, "entries", entries)
    model.save(tmp_path / "model")
    for one in (model, ferrec.load(tmp_path / "model")):
        table = pyarrow.table({"user_id": list(some_users(model))})
        assert ferrec.score_table(one, table).equals(model.recommend(some_users(model)).to_arrow())


def test_pieces_cover_everything_once():
    rng = np.random.default_rng(0)
    for most in (1, 7, 50):
        lengths = rng.integers(0, 20, 200)
        pieces = list(_pieces(lengths, most))
        assert [at for piece in pieces for at in range(*piece.indices(200))] == list(range(200))
        assert all(lengths[piece].sum() <= most or len(lengths[piece]) == 1 for piece in pieces)
