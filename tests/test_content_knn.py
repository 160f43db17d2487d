"""ContentKNN against the definition; new items, new users, encoders, and tables that make no sense."""

import math
import sys

import numpy as np
import pytest
from scipy import sparse

import ferrec
from ferrec import MissingExtraError, UnknownIdError
from ferrec.testing._checks import sample

TABLE = {
    "item_id": ["coffee", "honey", "milk", "sugar", "tea"],
    "tags": [["hot", "bean"], ["sweet"], None, ["sweet", "hot"], ["hot", "leaf", "hot"]],
    "kind": ["drink", "food", "drink", "food", None],
    "price": [5.0, 4.0, 1.0, np.nan, 4.5],
    "text": ["Dark roast", None, "Fresh whole milk", "Fine white sugar", "Fine dark leaves"],
}
EVENTS = ferrec.Interactions.from_arrays(
    ["ann", "ann", "bob", "bob", "cat"], ["tea", "milk", "honey", "milk", "tea"], times=[0, 10, 0, 5, 3]
)
DATA = EVENTS.with_items(TABLE)


def letters(texts):
    """An encoder: how often each of a few letters occurs, and how long the text is."""
    return np.array([[text.count(letter) for letter in "aeif"] + [len(text)] for text in texts], np.float64)


def unit(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, norms, out=np.zeros_like(rows, float), where=norms > 0)


def cosines(table, name, encoder=None):
    """Items × items: the cosine of one column, by its definition."""
    column = table[name]
    values = column.tolist()
    if encoder is not None:
        rows = unit(np.array([encoder([value])[0] if value else np.zeros(5) for value in values], float))
    elif name == "tags":
        counts = column.to_csr().toarray().astype(float)
        idf = np.log((1 + len(values)) / (1 + (counts > 0).sum(0))) + 1
        rows = unit(counts * idf)
    elif name in ("kind", "color"):
        distinct = sorted({value for value in values if value is not None})
        rows = np.array([[float(value == other) for other in distinct] for value in values])
    else:
        there = [value for value in values if value is not None]
        knots = np.unique(np.quantile(there, np.linspace(0, 1, 10)))
        hats = [np.interp(there, knots, row) for row in np.eye(len(knots))]
        rows = np.zeros((len(values), len(knots)))
        rows[[value is not None for value in values]] = unit(np.array(hats).T)
    return rows @ rows.T


def similarity(data, weights, encoder=None):
    total = sum(weights.values())
    blocks = (
        share / total * cosines(data.item_table, name, encoder if name == "text" else None)
        for name, share in weights.items()
    )
    result = sum(blocks)
    np.fill_diagonal(result, 0)
    return result


def heard(data, near, k):
    """Every item (column) hears its k nearest with events and its k nearest without."""
    touched = np.bincount(data.matrix.indices, minlength=data.n_items) > 0
    result = np.zeros_like(near)
    for item in range(len(near)):
        for group in (touched, ~touched):
            speakers = np.flatnonzero(group & (near[:, item] > 1e-6))
            best = speakers[np.lexsort((speakers, -near[speakers, item]))][:k]
            result[best, item] = near[best, item]
    return result


@pytest.mark.parametrize("k", [2, 100])
@pytest.mark.parametrize(
    "weights", [{"tags": 1.0}, {"size": 1.0}, {"color": 1}, {"tags": 2.0, "size": 0.5, "color": 1.0}]
)
def test_scores_are_the_definition(weights, k):
    data = sample()
    cold = {
        "item_id": [1000, 1001],
        "size": [2.0, None],
        "tags": [["t1", "t3"], ["t1"]],
        "color": ["red"] * 2,
    }
    data = data.with_items({"item_id": cold["item_id"]})
    columns = {
        name: [*data.item_table[name].tolist()[:-2], *cold[name]] for name in ("size", "tags", "color")
    }
    data = ferrec.Interactions(data.users, data.items, data.events, data.duplicates)
    data = data.with_items({"item_id": data.items.values, **columns})
    model = ferrec.ContentKNN(k=k, columns=weights).fit(data)
    near = similarity(data, weights)
    if k == 100:  # ties among equal cosines fall by their last bit, which the definition cannot know
        expected = data.matrix.toarray() @ heard(data, near, k)
        users, items = np.indices(expected.shape).reshape(2, -1)
        got = model.score(data.users.decode(users), data.items.decode(items))
        assert np.allclose(got, expected.ravel(), rtol=1e-4, atol=1e-5)
    stored = model.state.similarity.parts()
    touched = np.bincount(data.matrix.indices, minlength=data.n_items) > 0
    assert np.bincount(stored[1], minlength=data.n_items).max() <= k + min(k, (~touched).sum())
    similar = model.similar_items(n=1000)
    for item in range(data.n_items):
        found = dict(similar[data.items.values[item]])
        want = {data.items.values[j]: near[item, j] for j in np.flatnonzero(near[item] > 1e-6)}
        assert found.keys() == want.keys()
        assert all(math.isclose(found[j], want[j], rel_tol=1e-4) for j in want)


def test_encoders_sparse_and_dense_and_what_they_are_given():
    given = []

    def remember(texts):
        given.append(texts)
        return letters(texts)

    models = [
        ferrec.ContentKNN(columns={"text": 1.0, "tags": 1.0}, text=["text"], encoder=encoder).fit(DATA)
        for encoder in (
            remember,
            lambda texts: sparse.csr_matrix(letters(texts)),
            lambda t: letters(t).tolist(),
        )
    ]
    assert given == [sorted(text for text in TABLE["text"] if text)]
    near = similarity(DATA, {"text": 1.0, "tags": 1.0}, letters)
    expected = DATA.matrix.toarray() @ heard(DATA, near, 100)
    users, items = np.indices(expected.shape).reshape(2, -1)
    for model in models:
        got = model.score(DATA.users.decode(users), DATA.items.decode(items))
        assert np.allclose(got, expected.ravel(), rtol=1e-4, atol=1e-6)
    # Vectors alone are dense, and go another way.
    alone = ferrec.ContentKNN(columns={"text": 3.0}, text=["text"], encoder=letters).fit(DATA)
    near = similarity(DATA, {"text": 1.0}, letters)
    for item, others in zip(DATA.items.values, near, strict=True):
        found = dict(alone.similar_items(item, n=10)[item])
        assert len(found) == np.count_nonzero(others)
        assert all(
            math.isclose(found[DATA.items.values[j]], others[j], rel_tol=1e-4) for j in others.nonzero()[0]
        )


def test_texts_are_those_of_scikit_learn():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    model = ferrec.ContentKNN(columns={"text": 1.0}, text=["text"]).fit(DATA)
    rows = text.TfidfVectorizer(sublinear_tf=True).fit_transform(sorted(t for t in TABLE["text"] if t))
    coffee, tea, sugar = 0, 1, 2  # among the sorted texts
    near = (rows @ rows.T).toarray()
    scores = dict(model.similar_items("tea")["tea"])
    assert scores == pytest.approx({"coffee": near[coffee, tea], "sugar": near[sugar, tea]})
    assert "text=dark" in model.state.names.values
    whole = text.TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 3)).fit_transform
    assert ferrec.ContentKNN(text=["text"], encoder=whole).fit(DATA).recommend(n=1)["cat"]


def test_new_items_are_recommended_and_speak_for_new_users():
    model = ferrec.ContentKNN(columns={"tags": 1.0}).fit(DATA)
    assert [item for item, _ in model.recommend("cat")["cat"]] == ["sugar", "coffee"]
    # Nobody has touched sugar; one who does is told of what is like it, with events or without.
    found = [item for item, _ in model.recommend(history=[["sugar"]])[0]]
    assert set(found) == {"coffee", "honey", "tea"}
    one = ferrec.ContentKNN(k=1, columns={"tags": 1.0}).fit(DATA)
    assert one.recommend("cat")["cat"], "a new item hears items with events, however near the new ones are"
    nothing = ferrec.Interactions.from_arrays(np.empty(0, "U1"), np.empty(0, "U1")).with_items(TABLE)
    fresh = ferrec.ContentKNN().fit(nothing)
    assert fresh.recommend(history=[["tea"]])[0][0][0] == "sugar"


def test_a_new_user_goes_by_users_alike():
    people = {
        "user_id": ["ann", "bob", "cat", "dan", "eve", "fay"],
        "town": ["Ulm", "Bonn", "Ulm", "Ulm", None, "Kiel"],
        "age": [30, 60, 40, None, 60, None],
    }
    data = DATA.with_users(people)
    model = ferrec.ContentKNN(columns={"tags": 1.0}, user_columns={"town": 1.0}).fit(data)
    profile = np.zeros(5)  # dan is as ann and cat, who share their events out
    profile[[4, 2]] = [(0.5 + 1) / 2, 0.5 / 2]
    expected = profile @ heard(data, similarity(data, {"tags": 1.0}), 100)
    got = model.score(["dan"] * 5, data.items.values)
    assert np.allclose(got, expected, rtol=1e-5)
    recs = model.recommend(n=5)
    assert recs["eve"] == recs["fay"] == []
    assert dict(recs["dan"]).keys() == set(data.items.values[expected > 0])
    why = model.explain("dan", "coffee")
    assert why.items.tolist() == ["tea"]
    assert recs["ann"] == ferrec.ContentKNN(columns={"tags": 1.0}).fit(DATA).recommend("ann", n=5)["ann"]
    aged = ferrec.ContentKNN(columns={"tags": 1.0}).fit(data).recommend(n=1)
    assert aged["eve"], "eve is as old as bob"


def test_events_fade():
    model = ferrec.ContentKNN(columns={"tags": 1.0}, half_life=10).fit(DATA)
    plain = ferrec.ContentKNN(columns={"tags": 1.0}).fit(DATA)
    # Milk has no tags, so that all of ann's score comes from tea, half her time ago; cat's tea is her last.
    assert model.score(["ann", "cat"], ["coffee"] * 2) == pytest.approx(
        plain.score(["ann", "cat"], ["coffee"] * 2) * [0.5, 1]
    )
    assert model.recommend(history=[["tea"]])[0] == plain.recommend(history=[["tea"]])[0]
    assert [item for item, _ in model.recommend("ann")["ann"]] == ["sugar", "coffee"]
    assert "tea" not in dict(model.recommend("ann")["ann"])


def test_features_explain_a_score():
    data = sample()
    model = ferrec.ContentKNN(k=7).fit(data)
    for at, user in enumerate(data.users.values[:20].tolist()):
        for item, score in model.recommend(user, n=3)[user]:
            why = model.explain_features(user, item)
            assert why.score == score
            assert math.fsum(why.parts) == score
            assert (np.diff(why.parts) <= 0).all()
            assert {name.partition("=")[0].partition("≈")[0] for name in why.items} <= {
                "color",
                "size",
                "tags",
            }
        # By the definition: the features of the item, times those of the items that it hears.
        state, code = model.state, data.items.encode([item])[0]
        features = ferrec.kernels.handles.to_scipy(state.features).toarray().astype(float)
        hears = ferrec.kernels.handles.to_scipy(state.similarity).toarray()[:, code] > 0
        parts = features[code] * ((data.matrix.toarray()[at] * hears) @ features)
        expected = {state.names.values[f]: parts[f] for f in np.flatnonzero(parts)}
        assert dict(zip(why.items, why.parts, strict=True)) == pytest.approx(expected, rel=1e-4, abs=1e-6)
    item, score = model.recommend(history=[[8]], n=1)[0][0]
    assert model.explain_features(0, item, history=[[8]]).score == score
    with pytest.raises(UnknownIdError, match="nobody"):
        ferrec.ContentKNN().fit(DATA).explain_features("nobody", "tea")
    none = ferrec.ContentKNN(columns={"tags": 1.0}).fit(DATA).explain_features("ann", "milk")
    assert (none.score, len(none.items)) == (0, 0)


def test_an_encoder_stays_behind(tmp_path):
    model = ferrec.ContentKNN(text=("text",), encoder=letters).fit(DATA)
    with pytest.warns(UserWarning, match="a function is not saved"):
        model.save(tmp_path / "model")
    assert model.encoder is letters
    twin = ferrec.load(tmp_path / "model")
    assert twin.get_params() == {**model.get_params(), "encoder": None}
    assert twin.recommend()["ann"] == model.recommend()["ann"]
    assert twin.similar_items("tea")["tea"] == model.similar_items("tea")["tea"]


def test_columns_that_say_nothing():
    table = {
        "item_id": TABLE["item_id"],
        "same": [3.0] * 5,
        "none": np.full(5, np.nan),
        "kind": TABLE["kind"],
    }
    model = ferrec.ContentKNN().fit(EVENTS.with_items(table))
    assert [item for item, _ in model.recommend("cat")["cat"]] == []
    assert [item for item, _ in model.recommend("bob")["bob"]] == ["coffee", "sugar"]
    assert model.recommend(history=[["milk"]])[0] == [("coffee", pytest.approx(1 / 3))]
    for columns in ({"same": 1.0}, {"none": 1.0}, {"same": 1.0, "none": 2.0}):
        silent = ferrec.ContentKNN(columns=columns).fit(EVENTS.with_items(table))
        assert silent.recommend().indptr[-1] == 0
        assert silent.similar_items().indptr[-1] == 0
        assert silent.score(["ann"], ["tea"])[0] == 0


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"columns": {"color": 1}}, UnknownIdError, "column 'color': is unknown, there are 'tags'"),
        ({"columns": ["tags"]}, TypeError, "columns: expected a mapping"),
        ({"columns": {}}, ValueError, "columns: names none"),
        (
            {"columns": {"tags": 0}},
            ValueError,
            "columns: the weight of 'tags' must be a positive number, got 0",
        ),
        ({"columns": {"tags": np.nan}}, ValueError, "the weight of 'tags'.*nan"),
        ({"columns": {"tags": "1"}}, ValueError, "the weight of 'tags'.*'1'"),
        ({"text": "text"}, TypeError, "text: expected a list of columns, got 'text'"),
        ({"text": ["tags"]}, ferrec.DataError, "text: column 'tags' holds Lists, not text"),
        ({"text": ["none"]}, ValueError, "text: must be one of 'tags', .*got 'none'"),
        ({"encoder": letters}, ValueError, "text: must name what the encoder is to read, got None"),
        (
            {"text": ["text"], "encoder": lambda t: np.ones(len(t))},
            ferrec.DataError,
            r"shape \(4,\) for the 4",
        ),
        (
            {"text": ["text"], "encoder": lambda t: np.ones((3, 2))},
            ferrec.DataError,
            r"shape \(3, 2\) for the 4",
        ),
        ({"text": ["text"], "encoder": lambda t: [["a"]] * 4}, ferrec.DataError, "encoder: gave <U1"),
        (
            {"text": ["text"], "encoder": lambda t: np.full((4, 2), np.nan)},
            ValueError,
            "encoder: column 'text'",
        ),
        ({"half_life": 0}, ValueError, "half_life: expected seconds above 0, .* got 0"),
        ({"half_life": "day"}, ValueError, "half_life: expected seconds .* got 'day'"),
        ({"k": 0}, ValueError, "k: must be at least 1, got 0"),
    ],
)
def test_parameters_that_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        ferrec.ContentKNN(**params).fit(DATA)


def test_data_that_are_refused(monkeypatch):
    with pytest.raises(ferrec.DataError, match=r"needs attributes of the items.*with_items"):
        ferrec.ContentKNN().fit(EVENTS)
    untimed = ferrec.Interactions.from_arrays(["ann"], ["tea"]).with_items(TABLE)
    with pytest.raises(ferrec.DataError, match="half_life: needs times"):
        ferrec.ContentKNN(half_life=10).fit(untimed)
    people = untimed.with_users({"user_id": ["ann"], "age": [3]})
    with pytest.raises(UnknownIdError, match="column 'town': is unknown"):
        ferrec.ContentKNN(user_columns={"town": 1.0}).fit(people)
    dots = untimed.with_items({"item_id": ["tea"], "dots": ["..."]})
    with pytest.raises(ferrec.DataError, match="text: column 'dots': empty vocabulary"):
        ferrec.ContentKNN(text=["dots"]).fit(dots)
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction.text", None)
    monkeypatch.setitem(sys.modules, "sklearn.feature_extraction", None)
    with pytest.raises(MissingExtraError, match=r"ferrec\[text\]"):
        ferrec.ContentKNN(text=["text"]).fit(DATA)
