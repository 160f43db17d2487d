"""Sequences against plain lists: order, ties and repeats kept, in memory, in files, in queries and in batches."""

import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse
from test_storage import edit, flip, replace

import ferrec
from ferrec import Interactions, Sequences, _rust
from ferrec.io.times import PER_SECOND, in_seconds
from ferrec.kernels.handles import as_csr
from ferrec.models import ItemItem, State, UserSequences
from ferrec.models.item_neighbors import NeighborScores
from ferrec.models.lookup import read_history
from ferrec.storage import folders, mapped
from ferrec.testing import CHECKS
from ferrec.testing._checks import sample

# --- A model that looks at order -------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LastItemState(State):
    similarity: ItemItem
    sequences: UserSequences


class LastItem(NeighborScores[LastItemState]):
    """Scores an item by how often it came right after the user's last one."""

    state_type = LastItemState
    uses_order = True
    personalized = False  # one item is all that it goes by

    def __init__(self, *, n_threads=None):
        self.n_threads = n_threads

    def learn(self, data, callback):
        rows = [row for row in data.sequences if len(row) > 1]
        before = np.concatenate([*(row[:-1] for row in rows), np.empty(0, np.int32)])
        after = np.concatenate([*(row[1:] for row in rows), np.empty(0, np.int32)])
        counts = sparse.coo_array((np.ones(len(after), np.float32), (before, after)), (data.n_items,) * 2)
        return LastItemState(data.users, data.items, data.csr, as_csr(counts.tocsr()), data.sequences)

    def _asking(self, queries):
        offsets, items, _ = queries.sequence.handle.parts()
        there = np.diff(offsets) > 0
        ends = np.concatenate([[0], np.cumsum(there)])
        ones = np.ones(ends[-1], np.float32)
        return queries.with_history(
            _rust.Csr(ends, items[offsets[1:][there] - 1], ones, queries.sequence.n_items)
        )

    def rank(self, state, queries, n, chosen, callback):
        return super().rank(state, self._asking(queries), n, chosen, callback)

    def score_pairs(self, state, queries, pairs):
        return super().score_pairs(state, self._asking(queries), pairs)

    def explain_parts(self, state, queries, item):
        return super().explain_parts(state, self._asking(queries), item)


@pytest.mark.parametrize("check", CHECKS)
def test_a_model_that_looks_at_order_keeps_the_contract(check):
    CHECKS[check](LastItem)


def test_a_model_that_hides_that_it_looks_at_order_is_caught():
    class Hidden(LastItem):
        uses_order = False

    with pytest.raises(AssertionError):
        CHECKS["order_matters_only_where_declared"](Hidden)


def test_a_model_without_sequences_says_so():
    model = ferrec.ItemKNN().fit(sample())
    assert model.state.sequence_field() is None
    with pytest.raises(ferrec.UnsupportedError, match="keeps no sequences"):
        _ = model.state.queries().sequence


# --- The noun --------------------------------------------------------------------------------------------

LISTS = st.lists(st.lists(st.integers(0, 4), max_size=6), max_size=8)


def listed(sequences):
    return [row.tolist() for row in sequences]


@given(lists=LISTS, data=st.data())
def test_lists_come_back(lists, data):
    rows = Sequences.from_lists(lists, n_items=5)
    assert listed(rows) == lists
    assert rows.shape == (len(lists), 5) == (len(rows), rows.n_items)
    assert rows.n_events == sum(map(len, lists))
    assert rows.lengths.tolist() == list(map(len, lists))
    assert rows.times is None
    assert [rows.row(at).tolist() for at in range(-len(lists), 0)] == lists
    assert rows.counts().toarray().tolist() == [[one.count(item) for item in range(5)] for one in lists]
    again = pickle.loads(pickle.dumps(rows))
    assert listed(again) == lists
    assert again.shape == rows.shape
    if lists:
        taken = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=9))
        assert listed(rows.take(taken)) == [lists[at] for at in taken]
        start = data.draw(st.integers(0, len(lists) - 1))
        assert listed(rows.take(range(start, len(lists)))) == lists[start:]


@given(
    events=st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3), st.integers(0, 3)), max_size=40),
    timed=st.booleans(),
    threads=st.sampled_from([1, 2, 3]),
)
def test_events_become_rows_as_by_a_stable_sort(events, timed, threads):
    users, items, times = (list(column) for column in zip(*events, strict=True)) if events else ([], [], [])
    data = Interactions.from_arrays(users, items, times=times if timed else None)
    expected = {user: [event for event in events if event[0] == user] for user in data.users.values.tolist()}
    if timed:
        expected = {user: sorted(own, key=lambda event: event[2]) for user, own in expected.items()}
    rows = data.sequences
    assert rows is data.sequences
    assert [data.items.decode(row).tolist() for row in rows] == [
        [item for _, item, _ in own] for own in expected.values()
    ]
    if timed:
        found = [rows.row_times(at).tolist() for at in range(len(rows))]
        assert found == [[time * PER_SECOND for _, _, time in own] for own in expected.values()]
    events = data.events
    other = Sequences.from_events(
        events.users,
        events.items,
        events.times,
        n_users=data.n_users,
        n_items=data.n_items,
        n_threads=threads,
    )
    assert listed(other) == listed(rows)


def test_many_events_are_the_same_for_any_number_of_threads():
    rng = np.random.default_rng(0)
    n = 400_000
    users = (rng.random(n) ** 3 * 30_000).astype(np.int32)
    items, times = rng.integers(0, 500, n).astype(np.int32), rng.integers(0, 5000, n)
    order = np.lexsort((times, users))
    for when, expected in ((times, items[order]), (None, items[np.argsort(users, kind="stable")])):
        for n_threads in (1, 2, 5, None):
            rows = Sequences.from_events(users, items, when, n_users=30_000, n_items=500, n_threads=n_threads)
            assert np.array_equal(rows.items, expected)
            assert np.array_equal(rows.lengths, np.bincount(users, minlength=30_000))


def test_nobody_and_nothing():
    empty = Interactions.from_arrays([], [])
    assert len(empty.sequences) == 0
    thin = sample().select(np.zeros(700, np.bool_))
    assert listed(thin.sequences) == [[]] * thin.n_users
    assert listed(Sequences.from_lists([], n_items=0)) == []


def test_frozen():
    offsets, items, times = np.array([0, 2]), np.array([1, 0], np.int32), np.array([5, 6])
    rows = Sequences(offsets, items, times, n_items=2)
    items[0], times[0], offsets[0] = 9, 99, 9
    assert listed(rows) == [[1, 0]]
    assert rows.times.tolist() == [5, 6]
    for array in (rows.offsets, rows.items, rows.times, rows.row(0)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    data = Interactions.from_arrays([1, 1], [5, 6])
    assert not data.sequences.items.flags.writeable


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Sequences.from_lists([[0], [1, 7]], n_items=7),
            r"lists\[1\]: items must be from 0 to 6, got 7",
        ),
        (
            lambda: Sequences.from_lists([[], [], [-1]], n_items=7),
            r"lists\[2\]: items must be from 0 to 6, got -1",
        ),
        (
            lambda: Sequences.from_lists([[2**40]], n_items=7),
            r"lists\[0\]: items must be from 0 to 6, got 1099511627776",
        ),
        (lambda: Sequences.from_lists([[0.5]], n_items=7), r"lists\[0\].*integers"),
        (
            lambda: Sequences.from_lists([[[0]]], n_items=7),
            r"lists\[0\]: expected flat integers, got .*\(1, 1\)",
        ),
        (
            lambda: Sequences.from_lists([[0, 1]], n_items=7, times=[[2, 1]]),
            "the times of a row must not fall, got 1 at row 0",
        ),
        (lambda: Sequences.from_lists([[0, 1]], n_items=7, times=[[2]]), "times"),
        (
            lambda: Sequences(np.array([0, 2]), np.zeros(1, np.int32), n_items=1),
            "indptr must run from 0 to 1, got 2",
        ),
        (lambda: Sequences(np.array([0, 1]), np.zeros(1), n_items=1), "items.*float64"),
        (lambda: Sequences(np.array([0, 1], np.int32), np.zeros(1, np.int32), n_items=1), "offsets"),
        (lambda: Sequences.from_lists([[0]], n_items=1).take([1]), "row 1, but there are 1"),
        (lambda: Sequences.from_lists([[0]], n_items=1).take([-1]), "row -1"),
        (
            lambda: Sequences.from_events(np.zeros(1, np.int32), np.ones(1, np.int32), n_users=1, n_items=1),
            "items",
        ),
        (lambda: Interactions.from_csr(sparse.csr_array(np.eye(3))).sequences, "no order"),
        (
            lambda: Interactions.from_csr(sparse.csr_array(np.eye(2)), user_ids=["b", "a"]).sequences,
            "no order",
        ),
    ],
)
def test_what_is_wrong_is_said(make, message):
    with pytest.raises(ferrec.DataError, match=message):
        make()
    with pytest.raises(IndexError, match="row 3"):
        Sequences.from_lists([[0]], n_items=1).row(3)


def test_a_matrix_has_no_order_even_in_part():
    data = Interactions.from_csr(sparse.csr_array(np.eye(3)))
    for one in (data, data.select(np.array([True, False, True])), pickle.loads(pickle.dumps(data))):
        with pytest.raises(ferrec.DataError, match="made of a matrix"):
            _ = one.sequences


def test_tables_of_attributes_keep_the_order():
    data = Interactions.from_arrays([1, 1, 1], ["tea", "jam", "tea"])
    more = data.with_items({"item_id": ["ale", "tea"], "price": [1.0, 2.0]})
    assert more.items.decode(more.sequences.row(0)).tolist() == ["tea", "jam", "tea"]


# --- Queries ---------------------------------------------------------------------------------------------


@given(lists=st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=1, max_size=6), data=st.data())
@pytest.mark.filterwarnings("ignore:history")
def test_lists_given_as_history_keep_order_and_repeats(lists, data):
    items = ferrec.Ids.from_values([10, 11, 12, 13])
    given_lists = [[item + 10 for item in one] for one in lists]
    if all(item > 3 for one in lists for item in one) and any(lists):
        return  # nothing is known
    queries = read_history(items, given_lists)
    known = [[item for item in one if item < 4] for one in lists]
    assert listed(queries.sequence) == known
    history = ferrec.kernels.handles.to_scipy(queries.history).toarray()
    assert history.tolist() == [[one.count(item) for item in range(4)] for one in known]
    at = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=5))
    part = queries.take(np.array(at, np.int32))
    assert listed(part.sequence) == [known[row] for row in at]
    assert ferrec.kernels.handles.to_scipy(part.history).toarray().tolist() == history[at].tolist()
    assert part.ids.tolist() == at and part.codes is None


def test_interactions_given_as_history_keep_their_order():
    model = LastItem().fit(Interactions.from_arrays([1, 1, 1, 1], ["a", "b", "a", "c"]))
    same = Interactions.from_arrays([8, 8, 9, 9], ["a", "c", "b", "a"], times=[2, 1, 1, 1])
    queries = read_history(model.items, same)
    assert [model.items.decode(row).tolist() for row in queries.sequence] == [["c", "a"], ["b", "a"]]
    other = Interactions.from_arrays([8, 8, 8], ["zoo", "c", "a"])
    with pytest.warns(UserWarning, match="1 of 3 entries"):
        queries = read_history(model.items, other)
    assert [model.items.decode(row).tolist() for row in queries.sequence] == [["c", "a"]]


def test_a_matrix_given_as_history_has_no_order():
    model = LastItem().fit(Interactions.from_arrays([1, 1, 1, 1], ["a", "b", "a", "c"]))
    matrix = sparse.csr_array(np.ones((1, 3), np.float32))
    with pytest.raises(ferrec.DataError, match=r"a matrix has no order.*give lists"):
        model.recommend(history=matrix)
    assert len(ferrec.Popularity().fit(sample()).recommend(history=sparse.csr_array((1, 40))))


def test_order_changes_what_is_recommended():
    model = LastItem().fit(Interactions.from_arrays([1, 1, 1, 1, 2, 2], ["a", "b", "a", "c", "b", "d"]))
    recs = model.recommend(history=[["a", "b"], ["b", "a"], []], n=1)
    assert recs[0] == [("d", 1.0)]
    assert recs[1] == [("c", 1.0)]
    assert recs[2] == []
    assert model.recommend([2], exclude_seen=False)[2] == []


def test_queries_are_lazy():
    data = sample()
    model = ferrec.Popularity().fit(data)
    queries = model.state.queries(np.arange(5, dtype=np.int32))
    assert callable(queries._history)
    assert queries.history is queries.history
    assert data._sequences is None
    assert model.state.queries().history is model.state.seen


def test_a_batch_keeps_the_order_of_its_lists():
    pa = pytest.importorskip("pyarrow")
    model = LastItem().fit(Interactions.from_arrays([1, 1, 1, 1, 2, 2], ["a", "b", "a", "c", "b", "d"]))
    table = pa.table({"user_id": [7, 8, 9], "basket": [["a", "b"], None, ["b", "zoo", "a", "b"]]})
    with pytest.warns(UserWarning, match="1 entries of the histories"):
        answers = ferrec.score_table(model, table, history="basket", n=1, exclude_seen=False)
    assert answers.to_pydict()["item_id"] == ["a", "a"]
    assert answers.to_pydict()["user_id"] == [7, 9]
    known = ferrec.score_table(model, pa.table({"user_id": [2, 1]}), exclude_seen=False)
    assert known.num_rows == 0  # nothing came after c or d


def test_two_stages_pass_the_order_on():
    data = sample()
    retrieval = ferrec.Retrieval([ferrec.Popularity(), LastItem()], n_candidates=5).fit(data)
    assert retrieval.known is retrieval.state.models[1].state
    pairs = retrieval.candidates(data.users.values[:7])
    alone = LastItem().fit(data)
    rows = np.repeat(pairs.queries.ids, np.diff(pairs.indptr))
    scores = alone.score(rows, data.items.decode(pairs.codes))
    assert np.array_equal(pairs.columns["last_item_score"], scores)
    blocks = list(retrieval.iter_candidates(block_size=11))
    assert sum(len(block.queries) for block in blocks) == data.n_users
    hybrid = ferrec.Hybrid(retrievers=[ferrec.Popularity(), LastItem()], ranker=ferrec.ReciprocalRankFusion())
    assert len(hybrid.fit(data).recommend(n=3)) == data.n_users


def test_concurrent_use():
    data = sample()
    expected = listed(sample().sequences)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: listed(data.sequences), range(32)))
    assert all(one == expected for one in found)
    model = LastItem().fit(data)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda user: model.recommend(user, n=3)[user], data.users.values.tolist()))
    together = model.recommend(n=3)
    assert answers == [together[user] for user in data.users.values.tolist()]


def test_spans_of_time_in_seconds():
    rng = np.random.default_rng(0)
    whole = rng.integers(-(2**33), 2**33, 70_000)
    assert in_seconds(whole * PER_SECOND).tolist() == whole.tolist()
    odd = rng.integers(-(2**62), 2**62, 70_000)
    expected = [moment // PER_SECOND + moment % PER_SECOND / PER_SECOND for moment in odd.tolist()]
    assert in_seconds(odd).tolist() == expected
    assert [in_seconds(moment) for moment in odd[:100]] == expected[:100]


def test_the_page_in_the_documentation_runs(capsys):
    page = (Path(__file__).parents[1] / "docs" / "sequences.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(code, {})
        assert capsys.readouterr().out.splitlines() == re.findall(r"^print.*?# (.*)$", code, re.MULTILINE)


# --- Files -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[True, False], ids=["timed", "plain"])
def saved(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("sequences") / "model"
    data = sample()
    if not request.param:
        data = Interactions.from_arrays(
            data.users.decode(data.events.users), data.items.decode(data.events.items)
        )
    LastItem().fit(data).save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


@pytest.mark.parametrize("span", [8, 100, 1 << 25])
def test_rows_from_a_file_are_those_in_memory(saved, span, monkeypatch):
    monkeypatch.setattr(mapped, "SPAN", span)
    state, whole = ferrec.load(saved).state, ferrec.load(saved).state
    everything = whole.sequences
    rng = np.random.default_rng(0)
    for codes in (rng.permutation(60), rng.integers(0, 60, 90), np.arange(7, 30), np.arange(30)[::-1], []):
        codes = np.asarray(codes, np.int32) % len(everything)
        found, expected = state.sequences_of(codes), everything.take(codes)
        assert listed(found) == listed(expected)
        assert found.shape == expected.shape
        assert (found.times is None) == (expected.times is None)
        assert found.times is None or np.array_equal(found.times, expected.times)
    assert "sequences" not in state.__dict__, "the file was read whole"


def test_a_file_is_mapped_and_counted(saved):
    model = ferrec.load(saved)
    files = {name: entry["bytes"] for name, entry in folders.inspect(saved)["files"].items()}
    in_parts = [name for name in files if name.split(".")[-1] in ("items", "times")]
    assert {"sequences.items"} <= set(in_parts)
    of_users = {
        name: size for name, size in files.items() if name.split(".")[0] in ("users", "seen", "sequences")
    }
    looked_up = sum(of_users.values()) - sum(files[name] for name in ("seen.indices", "seen.data", *in_parts))
    assert abs(folders.looked_up_bytes(model) - looked_up - 2 * mapped.SPAN) < 1 << 10
    assert folders.checksum(model) == folders.checksum(ferrec.load(saved, verify=True))
    before = model.recommend(n=5)
    folders.release(model)
    assert model.recommend(n=5).scores.tobytes() == before.scores.tobytes()


def test_models_that_do_not_look_at_order_keep_none(tmp_path):
    for model in (ferrec.ItemKNN(k=3), ferrec.Popularity()):
        model.fit(sample()).save(tmp_path / "model")
        assert not [path for path in (tmp_path / "model").iterdir() if "sequence" in path.name]


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("sequences.items", lambda a: a + np.int32(1000)),
        ("sequences.items", lambda a: -a - 1),
        ("sequences.items", lambda a: a.astype(np.int64)),
        ("sequences.items", lambda a: a[:-1]),
        ("sequences.times", lambda a: a[::-1]),
        ("sequences.times", lambda a: a[1:]),
        ("sequences.times", lambda a: a.astype(np.float64)),
        ("sequences.offsets", lambda a: a[::-1]),
        ("sequences.offsets", lambda a: a * 1_000_000),
        ("sequences.offsets", lambda a: a[:0]),
        ("sequences.shape", lambda a: a * 0 + 2**40),
        ("sequences.shape", lambda a: a + 1),
        ("sequences.shape", lambda a: a[:1]),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_consistent_checksums_do_not_make_a_file_right(copy, name, spoil, verify):
    if not (copy / f"{name}.npy").exists():
        pytest.skip("has no times")
    replace(copy, name, spoil(np.load(copy / f"{name}.npy")))
    with pytest.raises(ferrec.ModelFileError):
        use(ferrec.load(copy, verify=verify))
    with pytest.raises(ferrec.ModelFileError):
        folders.inspect(copy, verify=True)


def test_times_that_are_gone_are_missed(copy):
    if not (copy / "sequences.times.npy").exists():
        pytest.skip("has no times")
    (copy / "sequences.times.npy").unlink()
    with pytest.raises(ferrec.ModelFileError, match="missing"):
        ferrec.load(copy)
    edit(copy, lambda index: index["files"].pop("sequences.times"))
    assert ferrec.load(copy).state.sequences.times is None


def use(model):
    """Touch everything that a model has."""
    users = model.users.values
    model.recommend(n=3)
    model.recommend(users[::-2], n=3)
    model.score(users[:3], model.items.values[:3])
    model.explain(users[0], model.items.values[0])
    assert model.state.sequences.n_events >= 0


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(data=st.data(), checked=st.booleans())
def test_random_damage_is_an_error_or_harmless(saved, tmp_path, data, checked):
    copy = tmp_path / "damaged"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(saved, copy)
    name = data.draw(st.sampled_from(sorted(path.stem for path in copy.glob("sequences.*.npy"))))
    if checked:  # what an attacker writes
        array = np.load(copy / f"{name}.npy")
        raw = flip(array.tobytes(), data.draw)
        replace(copy, name, np.frombuffer(raw, array.dtype))
    else:
        file = copy / f"{name}.npy"
        file.write_bytes(flip(file.read_bytes(), data.draw))
    try:
        use(ferrec.load(copy))
    except (ferrec.FerrecError, ValueError, TypeError):
        return


def test_blocks_of_a_batch_count_repeats(saved):
    fitted, loaded = LastItem().fit(sample()), ferrec.load(saved)
    codes = np.array([3, 0, 3], np.int32)
    for state in (fitted.state, loaded.state):
        lengths = np.maximum(np.diff(state.seen.parts()[0]), state.sequences.lengths)[codes]
        assert state.history_lengths(codes).tolist() == lengths.tolist()
    assert loaded.state.history_lengths(codes).sum() > 0
