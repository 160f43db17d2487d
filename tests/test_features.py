"""Every feature against loops over events; what a set of features promises; leaks."""

import math
import statistics
import zlib

import numpy as np
import pytest

import ferrec
from ferrec import features
from ferrec.errors import DataError, NotFittedError, UnknownIdError
from ferrec.features import (
    FEATURES,
    CategoryAffinity,
    EmbeddingSimilarity,
    FeatureSet,
    ItemCategory,
    ItemFeature,
    ItemNumber,
    ItemPopularity,
    ItemRecency,
    ItemSimilarity,
    ItemStatistics,
    ModelScore,
    NumberAffinity,
    PairHistory,
    UserActivity,
    UserCategory,
    UserNumber,
    UserRecency,
    UserStatistics,
)
from ferrec.io.times import in_seconds
from ferrec.testing import check_no_leak
from ferrec.two_stage import training_pairs

DAY = 86400
AISLES = ["bread", None, "dairy", "fruit", "bread"]
TAGS = [["new"], [], None, ["new", "red"], ["red", "red"]]


def world(seed=0, *, n=400, times=True, text=False):
    """30 users × 25 items with repeats, ratings, times, tables, users and items without events."""
    rng = np.random.default_rng(seed)
    users, items = rng.zipf(1.4, n) % 30, rng.zipf(1.3, n) % 25
    when = rng.integers(0, 90 * DAY, n) if times else None
    data = ferrec.Interactions.from_arrays(users, items, rng.integers(1, 6, n), when, duplicates="max")
    ids = np.arange(28)
    table = {
        "item_id": ids,
        "price": [None if i % 7 == 3 else float(i * i) for i in ids],
        "aisle": [AISLES[i % 5] for i in ids],
        "tags": [TAGS[i % 5] for i in ids],
    }
    people = {
        "user_id": np.arange(32),
        "age": [None if i % 6 == 1 else 20.0 + i for i in range(32)],
        "country": [None if i % 4 == 3 else "ABC"[i % 3] for i in range(32)],
    }
    return data.with_items(table).with_users(people)


def everything(data, *, exclude_seen=False, users=None, history=None):
    """Every pair of a user and an item, or every unseen one."""
    retrieval = ferrec.Retrieval([ferrec.Random()], n_candidates=data.n_items).fit(data)
    return retrieval.candidates(users, history=history, exclude_seen=exclude_seen)


def by_pair(pairs, columns):
    """Columns as numbers by name and (query's id, item's id)."""
    queries = pairs.queries.ids[pairs.rows].tolist()
    items = pairs.items.decode(pairs.codes).tolist()
    return {
        name: dict(zip(zip(queries, items, strict=True), column.tolist(), strict=True))
        for name, column in columns.items()
    }


def events_of(data):
    e = data.events
    times = [0] * len(e) if e.times is None else in_seconds(e.times).tolist()
    users, items = data.users.decode(e.users).tolist(), data.items.decode(e.items).tolist()
    return list(zip(users, items, e.weights.tolist(), times, strict=True))


def compare(feature, oracle, data=None, **asked):
    """The feature's columns against a function of (user, item) that gives their values."""
    data = world() if data is None else data
    pairs = everything(data, **asked)
    assert len(pairs)
    found = by_pair(pairs, feature.fit(data).columns(pairs))
    assert list(found) == feature.names
    for name, values in found.items():
        for (user, item), value in values.items():
            assert value == pytest.approx(oracle(user, item)[name], rel=1e-5, abs=1e-6), (name, user, item)


def ages(data, keep):
    latest = max(event[3] for event in events_of(data))
    return [(latest - event[3]) / DAY for event in events_of(data) if keep(event)]


# -- each against its definition ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "half_life"), [(None, None), (20 * DAY, None), (None, 9 * DAY), (DAY / 2, 5.5)]
)
def test_counts(window, half_life):
    data = world()
    latest = {}
    for user, item, _, time in events_of(data):
        latest[user, item] = max(time, latest.get((user, item), 0))
    end = max(latest.values())

    def weight(time):
        if window is not None and end - time > window:
            return 0.0
        return 1.0 if half_life is None else 0.5 ** ((end - time) / half_life)

    for feature, side in ((ItemPopularity, 1), (UserActivity, 0)):
        one = feature(window=window, half_life=half_life)
        compare(
            one,
            lambda *pair, side=side, name=one.names[0]: {
                name: math.log1p(sum(weight(t) for other, t in latest.items() if other[side] == pair[side]))
            },
            data,
        )


def test_names_say_the_parameters():
    assert ItemPopularity(window=7 * DAY).names == ["item_popularity_7d"]
    assert UserActivity(half_life=36 * 3600).names == ["user_activity_half_36h"]
    assert UserActivity(window=90, half_life=1.5).names == ["user_activity_90s_half_1.5s"]


def test_statistics():
    data = world()
    events = events_of(data)

    def one(side, what, which):
        own = [event for event in events if event[side] == which]
        others = {event[1 - side] for event in own}
        return {
            f"{what}_weight": statistics.fmean(event[2] for event in own) if own else 0.0,
            f"{what}_repeats": math.log(len(own) / len(others)) if own else 0.0,
            f"{what}_unseen": float(not own),
        }

    compare(ItemStatistics(), lambda user, item: one(1, "item", item), data)
    compare(UserStatistics(), lambda user, item: one(0, "user", user), data)


def test_recency():
    data = world()

    def one(what, keep):
        own = ages(data, keep)
        return {
            f"{what}_first_seen": math.log1p(max(own, default=0)),
            f"{what}_recency": math.log1p(min(own, default=0)),
            f"{what}_recency_missing": float(not own),
        }

    compare(ItemRecency(), lambda user, item: one("item", lambda event: event[1] == item), data)
    compare(UserRecency(), lambda user, item: one("user", lambda event: event[0] == user), data)


def test_pair_history():
    data = world()

    def oracle(user, item):
        own = ages(data, lambda event: event[:2] == (user, item))
        weights = [event[2] for event in events_of(data) if event[:2] == (user, item)]
        return {
            "pair_weight": max(weights, default=0.0),
            "pair_recency": math.log1p(min(own, default=0)),
            "pair_recency_missing": float(not own),
        }

    compare(PairHistory(), oracle, data)


@pytest.mark.parametrize("scale", ["standard", "log", "quantile"])
def test_numbers(scale):
    data = world()
    for feature, ids, column, what, side in (
        (ItemNumber(column="price", scale=scale), data.items, data.item_table["price"], "item_price", 1),
        (UserNumber(column="age", scale=scale), data.users, data.user_table["age"], "user_age", 0),
    ):
        numbers = dict(zip(ids.values.tolist(), column.tolist(), strict=True))
        known = [value for value in numbers.values() if value is not None]
        bent = {
            name: None if x is None else math.log1p(x) if scale == "log" else x for name, x in numbers.items()
        }
        mean = statistics.fmean(x for x in bent.values() if x is not None)
        deviation = statistics.pstdev(x for x in bent.values() if x is not None)

        def oracle(*pair, side=side, what=what, bent=bent, known=known, mean=mean, deviation=deviation):
            value = bent[pair[side]]
            if value is None:
                return {what: 0.5 if scale == "quantile" else 0.0, f"{what}_missing": 1.0}
            if scale == "quantile":
                less, equal = sum(x < value for x in known), sum(x == value for x in known)
                return {what: (less + equal / 2) / len(known), f"{what}_missing": 0.0}
            return {what: (value - mean) / deviation, f"{what}_missing": 0.0}

        compare(feature, oracle, data)


@pytest.mark.parametrize("buckets", [None, 2, 1000])
def test_categories(buckets):
    data = world()
    for feature, ids, column, name, side in (
        (
            ItemCategory(column="aisle", buckets=buckets),
            data.items,
            data.item_table["aisle"],
            "item_aisle",
            1,
        ),
        (
            UserCategory(column="country", buckets=buckets),
            data.users,
            data.user_table["country"],
            "user_country",
            0,
        ),
    ):
        values = dict(zip(ids.values.tolist(), column.tolist(), strict=True))
        order = sorted({value for value in values.values() if value is not None})

        def oracle(*pair, side=side, name=name, values=values, order=order):
            value = values[pair[side]]
            if value is None:
                return {name: 0}
            return {
                name: order.index(value) + 1 if buckets is None else zlib.crc32(value.encode()) % buckets + 1
            }

        assert feature.categories == feature.names
        compare(feature, oracle, data)


@pytest.mark.parametrize("column", ["aisle", "tags"])
def test_category_affinity(column):
    data = world()
    values = dict(zip(data.items.values.tolist(), data.item_table[column].tolist(), strict=True))

    def parts(item):
        own = values[item]
        own = [own] if isinstance(own, str) else own or []
        return {value: own.count(value) / len(own) for value in own}

    def oracle(user, item):
        history_lengths = [
            parts(other) for other in {event[1] for event in events_of(data) if event[0] == user}
        ]
        history_lengths = [own for own in history_lengths if own]
        if not history_lengths or not parts(item):
            return {f"{column}_affinity": 0, f"{column}_affinity_count": 0, f"{column}_affinity_missing": 1}
        like = sum(
            share * sum(own.get(value, 0) for own in history_lengths) for value, share in parts(item).items()
        )
        return {
            f"{column}_affinity": like / len(history_lengths),
            f"{column}_affinity_count": math.log1p(like),
            f"{column}_affinity_missing": 0,
        }

    compare(CategoryAffinity(column=column), oracle, data)


@pytest.mark.parametrize("log", [False, True])
def test_number_affinity(log):
    data = world()
    values = dict(zip(data.items.values.tolist(), data.item_table["price"].tolist(), strict=True))
    bent = {item: None if x is None else math.log1p(x) if log else x for item, x in values.items()}
    deviation = statistics.pstdev(x for x in bent.values() if x is not None)

    def oracle(user, item):
        history_lengths = [
            bent[other] for other in {event[1] for event in events_of(data) if event[0] == user}
        ]
        history_lengths = [x for x in history_lengths if x is not None]
        if not history_lengths or bent[item] is None:
            return {"price_difference": 0, "price_distance": 0, "price_difference_missing": 1}
        apart = (bent[item] - statistics.fmean(history_lengths)) / deviation
        return {"price_difference": apart, "price_distance": abs(apart), "price_difference_missing": 0}

    compare(NumberAffinity(column="price", log=log), oracle, data)


def last_items(data, user, last):
    """The user's items, the latest first: by time, or by place where there are no times."""
    when = {}
    for place, (who, item, _, time) in enumerate(events_of(data)):
        if who == user:
            key = (place if data.times is None else time, item)
            when[item] = max(key, when.get(item, key))
    return sorted(when, key=lambda item: when[item], reverse=True)[:last]


def summary(name, similar, item, history_lengths):
    others = [other for other in history_lengths if other != item]
    values = [similar(other, item) for other in others]
    return {
        f"{name}_max": max([0.0, *values]),
        f"{name}_mean": statistics.fmean(values) if values else 0.0,
        f"{name}_sum": sum(values),
        f"{name}_last": similar(history_lengths[0], item)
        if history_lengths and history_lengths[0] != item
        else 0.0,
    }


@pytest.mark.parametrize("last", [1, 4, None])
@pytest.mark.parametrize("times", [True, False])
@pytest.mark.parametrize(
    "model", [ferrec.ItemKNN(k=6), ferrec.ItemKNN(k=9, measure="cocount"), ferrec.RP3Beta(k=5)]
)
def test_item_similarity(model, last, times):
    data = world(times=times)
    near = type(model)(**model.get_params()).fit(data).similar_items(n=100)
    table = {item: dict(near[item]) for item in data.items.values.tolist()}

    def oracle(user, item):
        history_lengths = last_items(data, user, last)
        return summary("x", lambda a, b: table[a].get(b, 0.0), item, history_lengths)

    compare(ItemSimilarity(model=model, last=last, name="x"), oracle, data)
    assert not model.is_fitted


@pytest.mark.parametrize("last", [1, 8, None])
@pytest.mark.parametrize("k", [3, 20])
def test_embedding_similarity(k, last):
    data = world()
    model = ferrec.PureSVD(n_factors=k)
    table = type(model)(n_factors=k).fit(data)
    rows = table._directions(table.state).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)

    def oracle(user, item):
        return summary("embedding", lambda a, b: float(unit[a] @ unit[b]), item, last_items(data, user, last))

    compare(EmbeddingSimilarity(model=model, last=last), oracle, data)


def test_model_score():
    data = world()
    model = ferrec.UserKNN(k=7)
    fitted = ferrec.UserKNN(k=7).fit(data)
    pairs = everything(data)
    column = ModelScore(model=model).fit(data).columns(pairs)["user_knn_score"]
    items = pairs.items.decode(pairs.codes)
    assert np.array_equal(column, fitted.score(pairs.queries.ids[pairs.rows], items))
    assert ModelScore(model=model, name="mine").names == ["mine_score"]


# -- what holds for all -------------------------------------------------------------------------------------

ALL = [
    ItemPopularity(),
    ItemPopularity(window=20 * DAY),
    ItemPopularity(half_life=10 * DAY),
    UserActivity(),
    UserActivity(window=20 * DAY),
    ItemStatistics(),
    UserStatistics(),
    ItemRecency(),
    UserRecency(),
    PairHistory(),
    ItemNumber(column="price"),
    UserNumber(column="age", scale="quantile"),
    ItemCategory(column="aisle", buckets=7),
    UserCategory(column="country"),
    CategoryAffinity(column="aisle"),
    CategoryAffinity(column="tags"),
    NumberAffinity(column="price"),
    ItemSimilarity(last=3),
    EmbeddingSimilarity(model=ferrec.PureSVD(n_factors=4)),
    ModelScore(model=ferrec.ItemKNN(k=5), name="near"),
]


def test_all_are_here():
    assert {type(feature).__name__ for feature in ALL} == set(FEATURES) - {"FeatureSet"}


@pytest.mark.parametrize("feature", ALL, ids=repr)
def test_contract(feature, tmp_path):
    data = world()
    twin = type(feature)(**feature.get_params(deep=False))
    pairs = everything(data, exclude_seen=True)
    with pytest.raises(NotFittedError, match=r"call fit\(interactions\) first"):
        twin.columns(pairs)
    with pytest.raises(TypeError, match="expected Interactions, got int"):
        twin.fit(3)
    assert twin.fit(data) is twin
    columns = twin.columns(pairs)
    assert list(columns) == twin.names == feature.names
    assert set(feature.categories) <= set(feature.names)
    for column in columns.values():
        assert column.dtype == np.float32
        assert column.shape == (len(pairs),)
        assert np.isfinite(column).all()
    for name in feature.categories:
        assert (columns[name] == columns[name].astype(int)).all()
    again = twin.columns(pairs, n_threads=1)
    assert all(np.array_equal(columns[name], again[name]) for name in columns)
    # some users, in another order
    some = data.users.values[[9, 2, 2, 17]]
    few = everything(data, users=some, exclude_seen=True)
    whole = by_pair(pairs, columns)
    assert all(
        values.items() <= whole[name].items() for name, values in by_pair(few, twin.columns(few)).items()
    )
    # nobody, and nothing to propose
    for empty in (
        everything(data, users=[]),
        everything(data).__class__(pairs.queries, pairs.items, pairs.indptr * 0, pairs.codes[:0]),
    ):
        assert all(column.shape == (0,) for column in twin.columns(empty).values())
    twin.save(tmp_path / "feature")
    loaded = ferrec.load(tmp_path / "feature")
    assert type(loaded) is type(feature)
    assert repr(loaded) == repr(feature)
    assert all(np.array_equal(columns[name], column) for name, column in loaded.columns(pairs).items())


@pytest.mark.parametrize("feature", ALL, ids=repr)
def test_new_users(feature):
    data = world()
    twin = type(feature)(**feature.get_params(deep=False)).fit(data)
    lists = [[1, 2, 5], [], data.items.values.tolist()]
    pairs = everything(data, history=lists)
    columns = twin.columns(pairs)
    assert list(columns) == feature.names
    assert all(np.isfinite(column).all() for column in columns.values())


def test_what_is_known_of_new_users():
    data = world()
    lists = [[1, 2, 5], []]
    pairs = everything(data, history=lists)
    near = ferrec.ItemKNN().fit(data).similar_items(n=100)
    table = {item: dict(near[item]) for item in data.items.values.tolist()}
    values = dict(zip(data.items.values.tolist(), data.item_table["aisle"].tolist(), strict=True))
    chosen = [
        ItemSimilarity(last=2),
        UserActivity(),
        UserStatistics(),
        PairHistory(),
        UserNumber(column="age"),
    ]
    chosen.append(CategoryAffinity(column="aisle"))
    found = by_pair(pairs, FeatureSet(chosen).fit(data).columns(pairs))
    for (query, item), value in found["item_similarity_mean"].items():
        own = [table[other].get(item, 0.0) for other in lists[query] if other != item]
        assert value == pytest.approx(statistics.fmean(own) if own else 0.0, abs=1e-6)
        assert found["item_similarity_last"][query, item] == value
        assert found["item_similarity_sum"][query, item] == pytest.approx(sum(own), abs=1e-6)
        assert found["user_activity"][query, item] == pytest.approx(math.log1p(len(lists[query])))
        assert found["user_weight"][query, item] == float(query == 0)
        assert found["user_unseen"][query, item] == float(query == 1)
        assert found["pair_weight"][query, item] == float(item in lists[query])
        assert found["pair_recency_missing"][query, item] == 1
        assert found["user_age_missing"][query, item] == 1
        same = [other for other in lists[query] if values[other] is not None]
        if same and values[item] is not None:
            share = sum(values[other] == values[item] for other in same) / len(same)
            assert found["aisle_affinity"][query, item] == pytest.approx(share)
        else:
            assert found["aisle_affinity_missing"][query, item] == 1


def test_one_event():
    data = ferrec.Interactions.from_arrays([1], [2], times=[5])
    pairs = everything(data)
    chosen = features.defaults(data)
    assert len(chosen.fit(data).add_to(pairs).columns) == len(chosen.names) + 2


def test_a_column_without_values():
    data = ferrec.Interactions.from_arrays([1, 2], [3, 4])
    data = data.with_items({"item_id": [3, 4], "price": [None, None], "kind": ["a", None]})
    pairs = everything(data)
    for scale in ("standard", "quantile"):
        found = ItemNumber(column="price", scale=scale).fit(data).columns(pairs)
        assert found["item_price_missing"].tolist() == [1] * 4
    assert NumberAffinity(column="price").fit(data).columns(pairs)["price_difference_missing"].all()
    same = ferrec.Interactions.from_arrays([1, 2], [3, 4]).with_items({"item_id": [3, 4], "price": [5, 5]})
    assert not ItemNumber(column="price").fit(same).columns(everything(same))["item_price"].any()


def test_wrong_arguments():
    data, bare = world(), world(times=False)
    for feature in (
        ItemRecency(),
        UserRecency(),
        PairHistory(),
        ItemPopularity(window=DAY),
        UserActivity(half_life=1),
    ):
        with pytest.raises(DataError, match=f"{type(feature).__name__}: needs times"):
            feature.fit(bare)
    for value in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="window: expected seconds above 0"):
            ItemPopularity(window=value).fit(data)
    with pytest.raises(
        UnknownIdError, match="column 'color': is unknown, there are 'price', 'aisle', 'tags'"
    ):
        ItemNumber(column="color").fit(data)
    with pytest.raises(DataError, match="'aisle': expected numbers, it holds categories"):
        ItemNumber(column="aisle").fit(data)
    with pytest.raises(
        DataError, match="'tags': expected categories, it holds lists; CategoryAffinity reads lists"
    ):
        ItemCategory(column="tags").fit(data)
    with pytest.raises(DataError, match="'price': expected categories or lists, it holds numbers"):
        CategoryAffinity(column="price").fit(data)
    with pytest.raises(ValueError, match="scale: must be one of 'standard', 'log', 'quantile', got 'minmax'"):
        ItemNumber(column="price", scale="minmax").fit(data)
    with pytest.raises(ValueError, match="buckets: must be at least 1, got 0"):
        ItemCategory(column="aisle", buckets=0).fit(data)
    with pytest.raises(TypeError, match="expected one with an item × item matrix, such as ItemKNN, got ALS"):
        ItemSimilarity(model=ferrec.ALS()).fit(data)
    with pytest.raises(TypeError, match="expected one with a vector for each item, such as ALS, got ItemKNN"):
        EmbeddingSimilarity(model=ferrec.ItemKNN()).fit(data)
    with pytest.raises(ValueError, match="last: must be at least 1, got 0"):
        ItemSimilarity(last=0).fit(data)
    with pytest.raises(TypeError, match="model: expected a Recommender"):
        ModelScore(model=3, name="x").fit(data)


class ItemNovelty(ItemFeature):
    """The feature of docs/features.md."""

    names = ["item_novelty"]  # noqa: RUF012 (as short as it gets)

    def values(self, data):
        counts = np.bincount(data.csr.parts()[1], minlength=data.n_items)
        return [-np.log2((counts + 1) / (data.n_users + 1))]


def test_a_feature_of_ones_own():
    data = world()
    pairs = everything(data)
    found = FeatureSet([ItemNovelty(), UserActivity()]).fit(data).add_to(pairs)
    users = np.diff(data.matrix.tocsc().indptr)[pairs.codes]
    assert found.columns["item_novelty"] == pytest.approx(-np.log2((users + 1) / (data.n_users + 1)))


# -- sets ---------------------------------------------------------------------------------------------------


def test_set(tmp_path):
    data = world()
    chosen = FeatureSet(ALL)
    assert len(chosen) == len(ALL)
    assert list(chosen) == ALL
    assert chosen.categories == ["item_aisle", "user_country"]
    pairs = everything(data, exclude_seen=True)
    with pytest.raises(NotFittedError):
        chosen.columns(pairs)
    more = chosen.fit(data).add_to(pairs)
    assert list(more.columns) == ["random_score", "random_rank", *chosen.names]
    assert all(not feature.is_fitted for feature in ALL), "those given are not fitted"
    with pytest.raises(ValueError, match="'item_popularity' is there already"):
        chosen.add_to(more)
    chosen.save(tmp_path / "features")
    again = ferrec.load(tmp_path / "features")
    assert repr(again) == repr(FeatureSet(tuple(ALL)))
    found = again.add_to(pairs)
    assert all(np.array_equal(more.columns[name], found.columns[name]) for name in more.columns)
    assert len(FeatureSet([]).fit(data).add_to(pairs).columns) == 2


def test_set_refuses():
    data = world()
    with pytest.raises(ValueError, match="two have a column 'item_popularity'"):
        FeatureSet([ItemPopularity(), ItemPopularity()]).fit(data)
    with pytest.raises(TypeError, match="features: expected features, got ItemKNN"):
        FeatureSet([ferrec.ItemKNN()]).fit(data)


def test_candidates_of_other_data_are_refused():
    data = world()
    chosen = FeatureSet([ItemPopularity()]).fit(data)
    with pytest.raises(TypeError, match="expected Candidates, got int"):
        chosen.columns(3)
    part = data.select(np.arange(len(data)) % 2 == 0)
    with pytest.raises(
        DataError, match=r"the history of .* users is not the one that the features were fitted on"
    ):
        chosen.columns(everything(part))
    fewer = ferrec.Interactions.from_arrays(data.users.values, np.resize(data.items.values[1:], data.n_users))
    with pytest.raises(DataError, match="of other items than the features were fitted on"):
        chosen.columns(everything(fewer))
    with pytest.raises(DataError, match="of 27 items, but ItemPopularity was fitted on 28"):
        ItemPopularity().fit(data).columns(everything(fewer))
    shifted = ferrec.Interactions.from_arrays(
        [u + 1 for u, *_ in events_of(data)], [i for _, i, *_ in events_of(data)]
    )
    shifted = shifted.with_items({"item_id": data.items.values})
    with pytest.raises(DataError, match="of other users than the features were fitted on"):
        chosen.columns(everything(shifted))
    wide = ferrec.Interactions.from_arrays([99], [0]).with_items({"item_id": data.items.values})
    wide = wide.with_users({"user_id": np.arange(99)})
    with pytest.raises(DataError, match="of user 99, but ItemPopularity was fitted on 32"):
        ItemPopularity().fit(data).columns(everything(wide))


def test_defaults_follow_the_data():
    names = features.defaults(world()).names
    assert {"item_popularity_7d", "pair_recency", "item_price", "price_distance", "tags_affinity"} <= set(
        names
    )
    assert {"item_aisle", "user_age", "user_country", "item_similarity_max"} <= set(names)
    bare = ferrec.Interactions.from_arrays([1, 2], [3, 4]).with_items(
        {"item_id": [3, 4], "title": ["a", "b"]}
    )
    found = features.defaults(bare).names
    assert not any("title" in name or "recency" in name for name in found)


# -- training pairs and leaks -------------------------------------------------------------------------------


def parts(seed=0):
    return ferrec.split.by_time(world(seed), fraction=0.3)


def retrieval():
    return ferrec.Retrieval([ferrec.ItemKNN(k=10), ferrec.Popularity()], n_candidates=8)


def test_training_pairs():
    past, future = parts()
    chosen = FeatureSet([ItemPopularity(), ItemSimilarity()])
    pairs, labels = training_pairs(retrieval(), chosen, past, future)
    assert pairs.queries.ids.tolist() == sorted({event[0] for event in events_of(future)})
    came = {event[:2] for event in events_of(future)}
    named = list(
        zip(pairs.queries.ids[pairs.rows].tolist(), pairs.items.decode(pairs.codes).tolist(), strict=True)
    )
    assert labels.tolist() == [float(pair in came) for pair in named]
    assert 0 < labels.sum() < len(labels)
    own = FeatureSet(list(chosen)).fit(past).columns(retrieval().fit(past).candidates(pairs.queries.ids))
    assert all(np.array_equal(pairs.columns[name], column) for name, column in own.items())
    few, _ = training_pairs(retrieval(), None, past, future, users=pairs.queries.ids[:2])
    assert len(few.queries) == 2
    assert list(few.columns) == retrieval().columns


def test_training_pairs_refuse_a_past_that_knows_the_future():
    past, future = parts()
    with pytest.raises(DataError, match=r"past: goes on after the future has begun for .* split by time"):
        training_pairs(retrieval(), None, future, past)
    train, test = ferrec.split.random(world(), 0.3)
    with pytest.raises(DataError, match="goes on after the future has begun"):
        training_pairs(retrieval(), None, train, test)
    with pytest.raises(DataError, match="past, future: have different users, 32 and 1"):
        training_pairs(retrieval(), None, past, ferrec.Interactions.from_arrays([1], [1]))


def test_no_feature_leaks():
    chosen = FeatureSet(ALL)
    for seed in (0, 1):
        past, future = parts(seed)
        check_no_leak(lambda a, b: training_pairs(retrieval(), chosen, a, b), past, future)
        check_no_leak(
            lambda a, b: training_pairs(retrieval(), chosen, a, b, exclude_seen=False), past, future
        )


class Known(ItemFeature):
    """Counts in data that it is not fitted on."""

    def __init__(self, *, data):
        self.data = data

    @property
    def names(self):
        return ["known"]

    def values(self, data):
        return [np.bincount(self.data.events.items, minlength=data.n_items)]


def whole(past, future):
    events = [
        np.concatenate([getattr(p.events, name) for p in (past, future)]) for name in ("users", "items")
    ]
    return ferrec.Interactions(past.users, past.items, type(past.events)(*events))


def leaky_feature(past, future):
    return training_pairs(
        retrieval(), FeatureSet([ItemPopularity(), Known(data=whole(past, future))]), past, future
    )


def leaky_statistics(past, future):
    pairs, labels = training_pairs(retrieval(), None, past, future)
    everyone = ItemPopularity().fit(whole(past, future))
    return pairs.with_columns(everyone.columns(pairs)), labels


def leaky_retrieval(past, future):
    pairs = retrieval().fit(whole(past, future)).candidates(future.users.values, exclude_seen=False)
    return pairs, pairs.hits(future)


def leaky_labels(past, future):
    pairs, labels = training_pairs(retrieval(), None, past, future)
    return pairs.with_columns({"label": labels}), labels


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (leaky_feature, "column 'known' knows the future"),
        (leaky_statistics, "column 'item_popularity' knows the future"),
        (leaky_retrieval, "which pairs are candidates depends on the future"),
        (leaky_labels, "column 'label' knows the future"),
    ],
)
def test_planted_leaks_are_caught(build, message):
    with pytest.raises(AssertionError, match=message):
        check_no_leak(build, *parts())


def test_a_check_that_tests_nothing_says_so():
    past, future = parts()

    def nothing(past, future):
        pairs, labels = training_pairs(retrieval(), None, past, future)
        return pairs, labels * 0

    def deaf(_, __):
        return training_pairs(retrieval(), None, past, future)

    with pytest.raises(AssertionError, match="no candidate came true"):
        check_no_leak(nothing, past, future)
    with pytest.raises(AssertionError, match="the labels do not depend on the future"):
        check_no_leak(deaf, past, future)


def test_the_leak_is_what_it_pays_to_know():
    """With a future that has nothing to do with the past, only the leaky column tells what came true."""
    rng = np.random.default_rng(3)
    n = 3000
    data = ferrec.Interactions.from_arrays(
        rng.integers(0, 100, 2 * n), rng.integers(0, 60, 2 * n), times=np.repeat([1, 2], n)
    )
    past, future = ferrec.split.by_time(data, cutoff=2)
    pairs, labels = leaky_feature(past, future)

    def auc(column):
        ranks = np.argsort(np.argsort(column + 1e-6 * rng.random(len(column))))
        positive = labels == 1
        return (ranks[positive].mean() - (positive.sum() - 1) / 2) / (~positive).sum()

    assert abs(auc(pairs.columns["item_popularity"]) - 0.5) < 0.05
    assert auc(pairs.columns["known"]) > 0.55
