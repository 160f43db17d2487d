"""The checks, one function each: they take a factory of unfitted models and raise AssertionError."""

import contextlib
import inspect
import itertools
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ferrec.data.interactions import Events, Interactions
from ferrec.data.recommendations import Recommendations
from ferrec.errors import (
    DataError,
    NotFittedError,
    ParameterTypeError,
    UnknownIdError,
    UnsupportedError,
    checks_keywords,
)
from ferrec.kernels.arguments import as_int
from ferrec.models import Popularity, Random, Recommender
from ferrec.storage.folders import checksum, load

Make: TypeAlias = Callable[[], Recommender[Any]]

CHECKS: dict[str, Callable[[Make], None]] = {}
"""Every check by its name."""


def _check(function: Callable[[Make], None]) -> Callable[[Make], None]:
    CHECKS[function.__name__] = function
    return function


@checks_keywords
def check_recommender(make: Make) -> None:
    """Hold a model against every check of the contract.

    Parameters
    ----------
    make : callable
        Returns a new, unfitted model: a class that needs no arguments, or a function.

    Raises
    ------
    ParameterTypeError
        `make` makes no model.
    AssertionError
        The model breaks the contract; the traceback names the check.

    Examples
    --------
    >>> import ferrec
    >>> check_recommender(ferrec.Popularity)
    """
    if not callable(make) or isinstance(make, Recommender):
        raise ParameterTypeError("make", "expected the class of a model, or a function that makes one", make)
    made = make()
    if not isinstance(made, Recommender):
        raise ParameterTypeError("make", "must return a Recommender", made)
    for check in CHECKS.values():
        check(make)


@checks_keywords
def checkerboard(size: int = 12) -> Interactions:
    """Users and items of the same color meet, except a user and the item of the same number.

    Whatever looks at behavior recommends to user u exactly item u, the one of the color that is missing. The
    item table has made-up attributes (`color`, `size`, `tags`), which those who look at events ignore.

    Parameters
    ----------
    size : int
        Number of users and of items, even.

    Returns
    -------
    Interactions
        size × size.

    Examples
    --------
    >>> checkerboard(4).matrix.toarray().astype(int).tolist()
    [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]
    """
    size = as_int("size", size, minimum=2)
    users, items = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    meet = ((users + items) % 2 == 0) & (users != items)
    return attributed(Interactions.from_arrays(users[meet], items[meet]))


N_GROUPS = 5
"""Of users and of items in `grouped`."""

MARGIN = 0.4
"""By how much the share of hits on `grouped` must exceed that of the better baseline."""


@checks_keywords
def grouped(seed: int = 0) -> Interactions:
    """Users and items in five groups; users prefer items of their own group.

    User u and item i belong together where ``u % 5 == i % 5``. A user has rated two in five items of the own
    group with 4 or 5, and one in twenty of the others with 1 or 2. Some items are three times as popular as
    others, whatever the group. The attribute `size` of an item is mostly its group.

    Parameters
    ----------
    seed : int
        Of the draws.

    Returns
    -------
    Interactions
        600 users × 250 items with ratings and times.

    Examples
    --------
    >>> data = grouped()
    >>> data.n_users, data.n_items
    (600, 250)
    """
    rng = np.random.default_rng(as_int("seed", seed, minimum=0))
    n_users, n_items = 600, 250
    own = np.arange(n_users)[:, None] % N_GROUPS == np.arange(n_items) % N_GROUPS
    popular = rng.permutation(np.linspace(0.5, 1.5, n_items))
    rated = rng.random((n_users, n_items)) < np.where(own, 0.4, 0.05) * popular
    ratings = np.where(own, rng.integers(4, 6, own.shape), rng.integers(1, 3, own.shape))
    users, items = rng.permutation(np.argwhere(rated)).T
    return attributed(Interactions.from_arrays(users, items, ratings[users, items], np.arange(len(users))))


def share_of_hits(model: Recommender[Any]) -> float:
    """How many of five recommendations on `grouped` are of the user's own group; the model is fitted."""
    recs = model.fit(grouped()).recommend(n=5)
    users = np.repeat(recs.queries, np.diff(recs.indptr))
    items = recs.items.decode(recs.codes)
    return float((users % N_GROUPS == items % N_GROUPS).sum() / (5 * len(recs)))


def attributed(data: Interactions) -> Interactions:
    """The data with an item table, so that models that look at content can be held against the checks.

    What an item's attributes are depends on its place among the items; some are missing.
    """
    at = np.arange(data.n_items)
    table = {
        "item_id": data.items.values,
        "color": [("red", "blue")[i % 2] for i in at],
        "size": np.where(at % 7 == 3, np.nan, at % 5),
        "tags": [None if i % 11 == 6 else [f"t{i % 4}", f"t{i % 6}"] for i in at],
    }
    return data.with_items(table)


def sample(seed: int = 0, *, text: bool = False) -> Interactions:
    """60 users × 40 items with ratings, times, a few heavy users, and ids that are not 0, 1, 2, …."""
    rng = np.random.default_rng(seed)
    n = 700
    users = (rng.zipf(1.3, n) % 60) * 7 + 100
    items = (rng.zipf(1.2, n) % 40) * 3 + 5
    ids: tuple[Any, Any] = (users, items)
    if text:  # zero-padded, so that the strings sort as the numbers do
        ids = (np.char.mod("u%05d", users), np.char.mod("i%05d", items))
    ratings = rng.integers(1, 6, n).astype(np.float32)
    times = rng.integers(0, 10**6, n)
    return attributed(Interactions.from_arrays(*ids, ratings, times, duplicates="last"))


def _valid(recs: Recommendations, n: int) -> None:
    scores, codes, indptr = recs.scores, recs.codes, recs.indptr
    assert np.isfinite(scores).all(), "a score is not finite"
    for start, end in itertools.pairwise(indptr.tolist()):
        row, row_scores = codes[start:end], scores[start:end]
        assert len(row) <= n, f"{len(row)} results where at most {n} were asked for"
        assert len(set(row.tolist())) == len(row), "an item comes twice"
        order = np.lexsort((row, -row_scores))
        assert (order == np.arange(len(row))).all(), "not best first, or ties not in the order of the items"


def _same(a: Recommendations, b: Recommendations) -> None:
    assert np.array_equal(a.queries, b.queries)
    assert np.array_equal(a.indptr, b.indptr), "lists differ in length"
    assert np.array_equal(a.items.decode(a.codes), b.items.decode(b.codes)), "lists differ"
    assert np.array_equal(a.scores, b.scores), "scores differ"


def _raises(kind: type[BaseException], call: Callable[[], object]) -> BaseException:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} was raised")


@_check
def constructor_only_stores(make: Make) -> None:
    """Keyword parameters are stored as they are; get_params, set_params and a clone agree."""
    model = make()
    params = model.get_params(deep=False)
    signature = inspect.signature(type(model)).parameters.values()
    assert all(p.kind is inspect.Parameter.KEYWORD_ONLY for p in signature), "parameters are keyword-only"
    assert "n_threads" in params
    twin = type(model)(**params)
    assert all(twin.get_params(deep=False)[name] is value for name, value in params.items())
    assert model.set_params(n_threads=2) is model
    assert model.get_params()["n_threads"] == 2
    assert "no_such" in str(_raises(ValueError, lambda: model.set_params(no_such=1)))
    assert type(model).__name__ in repr(model)


@_check
def unfitted_says_so(make: Make) -> None:
    """Everything that needs a fit raises NotFittedError before it."""
    model = make()
    calls: list[Callable[[], object]] = [
        lambda: model.iter_recommend(),
        model.recommend,
        model.similar_items,
        model.similar_users,
        lambda: model.score([1], [1]),
        lambda: model.explain(1, 1),
        lambda: model.save("never-written"),
        lambda: model.users,
        lambda: model.items,
    ]
    for call in calls:
        _raises(NotFittedError, call)
    _raises(TypeError, lambda: model.fit(np.eye(3)))  # type: ignore[arg-type]


@_check
def fit_returns_self(make: Make) -> None:
    """`fit` returns the model, leaves the data alone, and starts anew each time."""
    model, data = make(), sample()
    before = [part.copy() for part in data.csr.parts()]
    assert model.fit(data) is model
    for part, copy in zip(data.csr.parts(), before, strict=True):
        assert np.array_equal(np.asarray(part), np.asarray(copy)), "fit changed its data"
    assert model.users == data.users
    assert model.items == data.items
    first = model.recommend(n=5)
    model.fit(sample(seed=1))
    _same(model.fit(data).recommend(n=5), first)


@_check
def recommends_to_everybody(make: Make) -> None:
    """A row for each user, best first, nothing seen, nothing twice, at most n."""
    data = sample()
    model = make().fit(data)
    for n in (1, 3, 10, 1000):
        recs = model.recommend(n=n)
        assert len(recs) == data.n_users
        assert np.array_equal(recs.queries, data.users.values)
        _valid(recs, n)
        rows = np.repeat(np.arange(len(recs)), np.diff(recs.indptr))
        assert not data.matrix.tocoo().todok().keys() & set(
            zip(rows.tolist(), recs.codes.tolist(), strict=True)
        )
    short = model.recommend(n=3)
    for user in data.users.values[:10]:
        assert recs[user][:3] == short[user], "the first of many are not the few"


@_check
def may_recommend_the_seen(make: Make) -> None:
    """Without exclude_seen the candidates only grow."""
    model = make().fit(sample())
    everything, unseen = model.recommend(n=1000, exclude_seen=False), model.recommend(n=1000)
    _valid(everything, 1000)
    assert (np.diff(everything.indptr) >= np.diff(unseen.indptr)).all()
    assert everything.indptr[-1] > unseen.indptr[-1]


@_check
def batch_equals_single(make: Make) -> None:
    """Any selection of users, in any order, in blocks or not, gets what each gets alone."""
    data = sample()
    model = make().fit(data)
    everybody = model.recommend(n=7)
    blocks = list(model.iter_recommend(n=7, block_size=17))
    assert np.array_equal(np.concatenate([block.queries for block in blocks]), everybody.queries)
    assert np.array_equal(np.concatenate([block.codes for block in blocks]), everybody.codes)
    assert np.array_equal(np.concatenate([block.scores for block in blocks]), everybody.scores)
    some = np.concatenate([data.users.values[::-3], data.users.values[:2]])
    batch = model.recommend(some, n=7)
    assert np.array_equal(batch.queries, some)
    for at, user in enumerate(some):
        alone = model.recommend(user, n=7)
        assert alone[user] == everybody[user]
        start, end = batch.indptr[at], batch.indptr[at + 1]
        assert batch.items.decode(batch.codes[start:end]).tolist() == [item for item, _ in alone[user]]


@_check
def threads_do_not_matter(make: Make) -> None:
    """The same bits for any number of threads."""
    data = sample()
    one = make().set_params(n_threads=1).fit(data)
    for n_threads in (2, 5):
        many = make().set_params(n_threads=n_threads).fit(data)
        _same(many.recommend(n=8), one.recommend(n=8))


@_check
def order_of_events_does_not_matter(make: Make) -> None:
    """The same events in another order give the same model."""
    data = sample()
    events = data.events
    assert events.weights is not None
    assert events.times is not None
    # The last of equal times would depend on the order; the sum of the others does not. So all times differ.
    times = np.argsort(np.argsort(events.times, kind="stable"), kind="stable")
    mixed = np.random.default_rng(1).permutation(len(events))
    users, items = data.users.decode(events.users), data.items.decode(events.items)
    columns = (users, items, events.weights, times)
    a = attributed(Interactions.from_arrays(*columns, duplicates="max"))
    b = attributed(Interactions.from_arrays(*(column[mixed] for column in columns), duplicates="max"))
    _same(make().fit(a).recommend(n=8), make().fit(b).recommend(n=8))


@_check
def order_matters_only_where_declared(make: Make) -> None:
    """A model that does not say `uses_order` does not look at it, in a history or in data without times."""
    data = sample()
    model = make()
    assert isinstance(model.uses_order, bool)
    if model.uses_order:
        return
    rng = np.random.default_rng(4)
    model.fit(data)
    lists = [data.items.values[rng.integers(0, data.n_items, n)].tolist() for n in (0, 1, 5, 12)]
    _same(model.recommend(history=[one[::-1] for one in lists], n=8), model.recommend(history=lists, n=8))
    mixed = rng.permutation(len(data))
    events = Events(data.events.users, data.events.items, data.events.weights)
    given = Interactions(data.users, data.items, events, "max", data.user_table, data.item_table)
    assert events.weights is not None
    events = Events(events.users[mixed], events.items[mixed], events.weights[mixed])
    moved = Interactions(data.users, data.items, events, "max", data.user_table, data.item_table)
    try:
        first = make().fit(given).recommend(n=8)
    except DataError:  # it needs times
        return
    _same(make().fit(moved).recommend(n=8), first)


@_check
def strings_equal_integers(make: Make) -> None:
    """The type of the ids does not matter."""
    numbers, texts = make().fit(sample()), make().fit(sample(text=True))
    a, b = numbers.recommend(n=6), texts.recommend(n=6)
    assert np.array_equal(a.codes, b.codes)
    assert np.array_equal(a.scores, b.scores)
    user, item = texts.users.values[0], texts.items.values[0]
    assert (
        texts.score([user], [item])[0] == numbers.score(numbers.users.values[:1], numbers.items.values[:1])[0]
    )


@_check
def score_equals_recommend(make: Make) -> None:
    """`score` gives what `recommend` shows, whatever the order of the pairs, repeated ones too."""
    data = sample()
    model = make().fit(data)
    recs = model.recommend(n=9)
    users = np.repeat(recs.queries, np.diff(recs.indptr))
    items = recs.items.decode(recs.codes)
    mixed = np.random.default_rng(2).integers(0, len(items), 2 * len(items))
    assert np.array_equal(model.score(users[mixed], items[mixed]), recs.scores[mixed])
    scores = model.score([users[0], users[0]], [items[0], items[0]])
    assert scores.dtype == np.float32
    assert scores[0] == scores[1]
    assert len(model.score([], [])) == 0
    _raises(ValueError, lambda: model.score([users[0]], [items[0], items[0]]))


def _explains(model: Recommender[Any]) -> bool:
    """Whether a fitted model explains its scores; one that does not says so."""
    try:
        model.explain(model.users.values[0], model.items.values[0])
    except UnsupportedError as error:
        assert type(model).__name__ in str(error)
        return False
    return True


@_check
def explanations_add_up(make: Make) -> None:
    """The parts, where the model explains, sum to the score exactly and name items of the user's history."""
    data = sample()
    model = make().fit(data)
    if not _explains(model):
        return
    recs = model.recommend(n=4)
    rows = data.matrix
    for at in range(0, len(recs), 5):
        user = recs.queries[at]
        history = set(data.items.decode(rows.indices[rows.indptr[at] : rows.indptr[at + 1]]).tolist())
        for item, score in recs[user]:
            why = model.explain(user, item)
            assert why.score == score
            assert math.fsum([why.base, *why.parts]) == score, "the parts do not sum to the score"
            assert set(why.items.tolist()) <= history
            assert (np.diff(why.parts) <= 0).all(), "not the greatest first"
            assert len(repr(why))


@_check
def exclusions_hold(make: Make) -> None:
    """exclude_items and allow_items, for everybody and by user."""
    data = sample()
    model = make().fit(data)
    items, users = data.items.values, data.users.values
    banned = items[::2]
    recs = model.recommend(n=1000, exclude_items=banned)
    assert not set(banned.tolist()) & set(recs.items.decode(recs.codes).tolist())
    only = model.recommend(n=1000, allow_items=items[1::2])
    _same(only, recs)
    _valid(model.recommend(n=3, allow_items=items[:5], exclude_items=items[:2], exclude_seen=False), 3)
    full = model.recommend(n=1000)
    user = next(u for u in users.tolist() if len(full[u]) > 2)
    first = full[user][0][0]
    per_user = model.recommend(n=1000, exclude_items={user: [first]})
    assert per_user[user] == full[user][1:]
    other = next(u for u in users.tolist() if u != user)
    assert per_user[other] == full[other]
    allowed = {u: [item for item, _ in full[u][:2]] for u in users.tolist()}
    assert all(model.recommend(n=1000, allow_items=allowed)[u] == full[u][:2] for u in users.tolist())
    assert str(user) in str(_raises(ValueError, lambda: model.recommend(user, allow_items={other: [first]})))
    assert len(model.recommend(user, allow_items=[])[user]) == 0
    wrong = "no item has a text id"
    _raises(UnknownIdError, lambda: model.recommend(exclude_items=[wrong]))


@_check
def new_users_are_served(make: Make) -> None:
    """`history` as lists, matrix or Interactions gives the same; nothing of the history comes back.

    A matrix has no order: a model that looks at it may refuse one.
    """
    data = sample()
    model = make().fit(data)
    items = data.items.values
    lists = [items[[1, 5, 9]].tolist(), items[[0]].tolist(), []]
    recs = model.recommend(history=lists, n=5)
    assert recs.queries.tolist() == [0, 1, 2]
    _valid(recs, 5)
    assert not set(lists[0]) & {item for item, _ in recs[0]}
    matrix = np.zeros((3, len(items)), np.float32)
    matrix[0, [1, 5, 9]] = 1
    matrix[1, 0] = 1
    from scipy.sparse import csr_array

    try:
        _same(model.recommend(history=csr_array(matrix), n=5), recs)
    except DataError:
        assert model.uses_order, "a matrix must do where order is not looked at"
    both = Interactions.from_arrays([0, 0, 0, 1], [*lists[0], *lists[1]])
    table = model.recommend(history=both, n=5)
    for row in (0, 1):
        assert table[row] == recs[row]
        assert model.recommend(history=[lists[row]], n=5)[0] == recs[row]
    for item, score in recs[0]:
        assert model.score([0], [item], history=lists)[0] == np.float32(score)
        if _explains(model):
            why = model.explain(0, item, history=[lists[0]])
            assert math.fsum([why.base, *why.parts]) == score
    _raises(ValueError, lambda: model.recommend(users=[data.users.values[0]], history=lists))
    _raises(ValueError, lambda: model.recommend(history=csr_array(matrix[:, :-1])))
    _raises(TypeError, lambda: model.recommend(history=["text is no list of items"]))


@_check
def bad_arguments_are_named(make: Make) -> None:
    """Errors name the argument and the value."""
    data = sample()
    model = make().fit(data)
    assert "999999" in str(_raises(UnknownIdError, lambda: model.recommend([999999])))
    assert "999999" in str(_raises(UnknownIdError, lambda: model.score(data.users.values[:1], [999999])))
    assert "n:" in str(_raises(ValueError, lambda: model.recommend(n=0)))
    assert "n:" in str(_raises(TypeError, lambda: model.recommend(n=2.5)))  # type: ignore[arg-type]
    assert "n_threads" in str(_raises(ValueError, lambda: model.set_params(n_threads=0).recommend()))


class _StoppedError(Exception):
    pass


@_check
def a_failed_fit_changes_nothing(make: Make) -> None:
    """Whatever stops a fit, the model stays what it was."""

    def stop(done: int, total: int) -> None:
        raise _StoppedError

    data = sample()
    model = make().fit(data)
    before = model.recommend(n=5)
    _raises(TypeError, lambda: model.fit(np.eye(3)))  # type: ignore[arg-type]
    _same(model.recommend(n=5), before)
    try:
        model.fit(data.select(data.events.users % 2 == 0), progress=stop)
    except _StoppedError:  # a fit that reports no progress is not stopped
        _same(model.recommend(n=5), before)


@_check
def parameters_count_at_the_next_fit(make: Make) -> None:
    """Whatever is set on a fitted model, it answers as before, and is saved as it was fitted."""
    data = sample()
    model = make().fit(data)
    user, item = data.users.values[0], data.items.values[1]
    fitted, shown = model.get_params(deep=False), repr(model)

    def answers() -> list[Recommendations]:
        found = [model.recommend(n=5), model.recommend(history=[data.items.values[:3].tolist()], n=5)]
        for ask in (model.similar_items, model.similar_users):
            with contextlib.suppress(UnsupportedError):
                found.append(ask(n=5))
        return found

    before, score, digest = answers(), model.score([user], [item]), checksum(model)
    # Nothing that a model can compute with: where a hook reads one of these, it fails.
    model.set_params(**{name: object() for name in fitted if name != "n_threads"})
    for now, then in zip(answers(), before, strict=True):
        _same(now, then)
    assert model.score([user], [item]) == score
    if _explains(model):
        assert model.explain(user, item).score == score[0]
    assert checksum(model) == digest
    with tempfile.TemporaryDirectory() as folder:
        model.save(Path(folder) / "model")
        assert repr(load(Path(folder) / "model")) == shown, "it is not saved with the parameters of the fit"
    _same(model.set_params(**fitted).fit(data).recommend(n=5), before[0])


@_check
def similarities_are_valid(make: Make) -> None:
    """Similar items and users, where the model knows any: itself left out, best first, batch equals single."""
    data = sample()
    model = make().fit(data)
    for ask, ids in ((model.similar_items, data.items), (model.similar_users, data.users)):
        try:
            recs = ask(n=6)
        except UnsupportedError as error:
            assert type(model).__name__ in str(error)
            continue
        _valid(recs, 6)
        assert np.array_equal(recs.queries, ids.values)
        for key in ids.values[:8].tolist():
            assert key not in [other for other, _ in recs[key]]
            assert ask(key, n=6)[key] == recs[key]


@_check
def beats_the_baselines(make: Make) -> None:
    """Five recommendations hit the user's group on `grouped` far more often than popular and random items do.

    A model that says ``personalized = False`` need not.
    """
    model = make()
    if not model.personalized:
        return
    hits, chance = share_of_hits(model), max(share_of_hits(Popularity()), share_of_hits(Random()))
    assert hits >= chance + MARGIN, (
        f"{hits:.2f} of the items are of the user's group, of the baselines' {chance:.2f}"
    )


@_check
def survives_small_data(make: Make) -> None:
    """One event; a user and an item without any; everything seen."""
    one = attributed(Interactions.from_arrays([1], [2], [3.0], [4]))
    assert len(make().fit(one).recommend()[1]) == 0
    data = sample()
    mask = data.events.users != data.events.users[0]
    thin = data.select(mask)
    model = make().fit(thin)
    recs = model.recommend(n=5)
    assert len(recs) == data.n_users
    _valid(recs, 5)
    users, items = np.divmod(np.arange(12), 4)
    everything = attributed(Interactions.from_arrays(users, items, times=np.zeros(12, np.int64)))
    assert make().fit(everything).recommend().indptr[-1] == 0


@_check
def files_give_it_back(make: Make) -> None:
    """Saved and loaded, with and without checksums, it is the same model."""
    for text in (False, True):
        model = make().fit(sample(text=text))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            model.save(path)
            model.save(path)  # a model that is there is replaced
            for verify in (True, False):
                twin = load(path, verify=verify)
                assert type(twin) is type(model)
                assert repr(twin.get_params()) == repr(model.get_params())  # models among them are others
                _same(twin.recommend(n=5), model.recommend(n=5))
                user = model.users.values[0]
                _same(twin.recommend(user, n=5), model.recommend(user, n=5))
            assert [p.name for p in Path(folder).iterdir()] == ["model"], (
                "something was left beside the model"
            )
            del twin
