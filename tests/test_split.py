"""Splits against plain loops over the events: nothing lost, nothing twice, ids kept."""

from datetime import date, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrec import split
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError
from ferrec.io.times import PER_SECOND


@st.composite
def datasets(draw, min_size=2, timed=None):
    """Events with a distinct weight each, so that one can be told from another."""
    n = draw(st.integers(min_size, 30))
    users, items = (draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)) for _ in range(2))
    timed = draw(st.booleans()) if timed is None else timed
    times = draw(st.lists(st.integers(0, 6), min_size=n, max_size=n)) if timed else None
    return Interactions.from_arrays(users, items, np.arange(n) + 1.0, times)


def rows(data):
    """Which events of the whole a part holds."""
    return (data.events.weights.astype(int) - 1).tolist()


def check_parts(data, train, test):
    assert sorted(rows(train) + rows(test)) == list(range(len(data)))
    assert rows(train) == sorted(rows(train))
    assert rows(test) == sorted(rows(test))
    for part in (train, test):
        assert part.users is data.users
        assert part.items is data.items
        assert part.matrix.shape == data.matrix.shape
        for name in ("users", "items", "weights", "times"):
            column, whole = getattr(part.events, name), getattr(data.events, name)
            assert (column is None) == (whole is None)
            assert whole is None or np.array_equal(column, whole[rows(part)])
    assert np.allclose((train.matrix + test.matrix).toarray(), data.matrix.toarray())


@given(data=datasets(timed=True), cutoff=st.integers(0, 7))
def test_by_time_with_a_cutoff(data, cutoff):
    late = [row for row, time in enumerate(data.events.times) if time >= cutoff * PER_SECOND]
    if len(late) in (0, len(data)):
        with pytest.raises(DataError, match="a part of the split would be empty: every time is"):
            split.by_time(data, cutoff=cutoff)
        return
    train, test = split.by_time(data, cutoff=cutoff)
    check_parts(data, train, test)
    assert rows(test) == late


@given(data=datasets(timed=True), fraction=st.floats(0.01, 0.99))
def test_by_time_with_a_fraction(data, fraction):
    times = data.events.times.tolist()
    wanted = max(1, round(len(data) * fraction))
    moment = sorted(times)[len(data) - wanted]
    if moment == min(times):
        with pytest.raises(DataError, match="a part of the split would be empty"):
            split.by_time(data, fraction=fraction)
        return
    train, test = split.by_time(data, fraction=fraction)
    check_parts(data, train, test)
    assert max(train.events.times) < min(test.events.times) == moment
    assert len(test) >= wanted
    if len(set(times)) == len(times):
        assert len(test) == wanted


def test_every_way_to_write_a_cutoff():
    moment = 1706745600  # 2024-02-01T00:00:00Z
    data = Interactions.from_arrays([1, 1, 1], [1, 2, 3], times=[moment - 1, moment, moment + 1])
    zone = timezone(timedelta(hours=1))
    cutoffs = [moment, float(moment), np.int64(moment), "2024-02-01", "2024-02-01T01:00:00+01:00"]
    cutoffs += [date(2024, 2, 1), datetime(2024, 2, 1), datetime(2024, 2, 1, 1, tzinfo=zone)]
    cutoffs += [np.datetime64("2024-02-01"), np.datetime64("2024-02-01T00:00:00.000000000")]
    cutoffs += [pytest.importorskip("pandas").Timestamp("2024-02-01", tz="UTC")]
    for cutoff in cutoffs:
        assert len(split.by_time(data, cutoff=cutoff)[0]) == 1, cutoff


def test_by_time_refuses():
    data = Interactions.from_arrays([1, 2], [1, 2], times=[5, 6])
    for arguments in ({}, {"cutoff": 6, "fraction": 0.5}):
        with pytest.raises(ValueError, match=r"cutoff, fraction: give one of them, got .*"):
            split.by_time(data, **arguments)
    for fraction in (0, 1, -0.5, 2, float("nan")):
        with pytest.raises(ValueError, match="expected a number between 0 and 1"):
            split.by_time(data, fraction=fraction)
    for cutoff in ("yesterday", -1, [6], True, "1969-01-01", float("nan")):
        with pytest.raises(ValueError, match="cutoff: "):
            split.by_time(data, cutoff=cutoff)
    with pytest.raises(DataError, match="by_time needs times"):
        split.by_time(Interactions.from_arrays([1], [1]), fraction=0.5)
    with pytest.raises(DataError, match="no events"):
        split.by_time(Interactions.from_arrays([], [], times=[]), fraction=0.5)
    with pytest.raises(DataError, match="every time is before the cutoff, 1970-01-01T00:00:07Z"):
        split.by_time(data, cutoff=7)


@given(data=datasets(min_size=0), n=st.integers(1, 3))
def test_leave_last_out(data, n):
    expected = []
    for user in range(data.n_users):
        mine = [row for row in range(len(data)) if data.events.users[row] == user]
        if data.events.times is not None:
            mine.sort(key=lambda row: data.events.times[row])
        if len(mine) > n:
            expected += mine[-n:]
    train, test = split.leave_last_out(data, n)
    check_parts(data, train, test)
    assert rows(test) == sorted(expected)
    assert set(train.events.users.tolist()) == set(range(data.n_users))


@given(data=datasets(min_size=0), k=st.integers(1, 3), seed=st.integers(0, 2**32))
def test_leave_k_out(data, k, seed):
    train, test = split.leave_k_out(data, k, seed=seed)
    check_parts(data, train, test)
    whole, left = (np.bincount(part.events.users, minlength=data.n_users) for part in (data, test))
    assert left.tolist() == [k if n > k else 0 for n in whole]
    assert rows(test) == rows(split.leave_k_out(data, k, seed=seed)[1])


def test_leave_k_out_takes_each_event_as_often():
    data = Interactions.from_arrays(np.repeat(np.arange(3000), 5), np.tile(np.arange(5), 3000))
    test = split.leave_k_out(data, 2)[1]
    counts = np.bincount(test.events.items)
    assert np.abs(counts - 1200).max() < 5 * np.sqrt(1200)


@given(
    data=datasets(),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
    side=st.sampled_from(["users", "items"]),
)
def test_cold(data, fraction, seed, side):
    function = getattr(split, f"cold_{side}")
    codes = getattr(data.events, side)
    size = round(len(np.unique(codes)) * fraction)
    if size in (0, len(np.unique(codes))):
        with pytest.raises(DataError, match="leaves a part empty"):
            function(data, fraction, seed=seed)
        return
    train, test = function(data, fraction, seed=seed)
    check_parts(data, train, test)
    cold = set(getattr(test.events, side).tolist())
    assert len(cold) == size and not cold & set(getattr(train.events, side).tolist())
    assert rows(test) == rows(function(data, fraction, seed=seed)[1])


def test_cold_counts_only_those_with_an_event():
    data = Interactions.from_arrays([1, 2, 3, 4], [1, 2, 3, 4], np.arange(4) + 1.0)
    thin = data.select(data.events.users > 1)
    assert len(split.cold_users(thin, 0.5)[1]) == 1
    assert len(split.cold_items(thin, 0.5)[1]) == 1
    with pytest.raises(DataError, match="leaves a part empty"):
        split.cold_users(data.select(data.events.users > 9), 0.5)


@given(
    data=datasets(timed=True),
    window=st.integers(1, 4),
    n=st.integers(1, 3),
    history=st.one_of(st.none(), st.integers(1, 4)),
)
def test_rolling(data, window, n, history):
    times = data.events.times // PER_SECOND
    end = times.max() + 1
    wanted = []
    for left in range(n, 0, -1):
        start = end - left * window
        test = [row for row, time in enumerate(times) if start <= time < start + window]
        train = [
            row for row, time in enumerate(times) if time < start and (not history or time >= start - history)
        ]
        wanted.append((train, test))
    if not all(train and test for train, test in wanted):
        with pytest.raises(DataError, match=f"window . of {n} has an empty"):
            split.rolling(data, window, n, train_window=history)
        return
    parts = list(split.rolling(data, window, n, train_window=history))
    assert [(rows(train), rows(test)) for train, test in parts] == wanted
    for train, test in parts:
        assert train.users is test.users is data.users and train.items is test.items is data.items
        assert max(train.events.times) < min(test.events.times)
    tested = [row for _, test in parts for row in rows(test)]
    assert len(tested) == len(set(tested))
    if history is None:  # what is not tested later is learned from
        assert sorted(rows(parts[0][0]) + tested) == list(range(len(data)))


def test_rolling_takes_lengths_of_time_and_refuses_others():
    data = Interactions.from_arrays([1, 1, 1], [1, 2, 3], times=[0, 86_400, 172_800])
    day = timedelta(days=1)
    assert [len(train) for train, _ in split.rolling(data, day, 2)] == [1, 2]
    assert [len(train) for train, _ in split.rolling(data, day, 2, train_window=day)] == [1, 1]
    for window in (0, -1, 1.5, True, "7D", timedelta(0)):
        with pytest.raises(ValueError, match="window: expected"):
            split.rolling(data, window)
    with pytest.raises(ValueError, match="n_windows: expected an integer of 1 or more, got 0"):
        split.rolling(data, day, 0)
    with pytest.raises(ValueError, match=r"train_window: .* got 0"):
        split.rolling(data, day, 1, train_window=0)
    with pytest.raises(DataError, match="window 1 of 3 has an empty training part: no event to 1969-12-31"):
        split.rolling(data, day, 3)
    with pytest.raises(DataError, match="rolling needs times"):
        split.rolling(Interactions.from_arrays([1], [1]), day)
    with pytest.raises(DataError, match="no events"):
        split.rolling(Interactions.from_arrays([], [], times=[]), day)


@given(data=datasets(), fraction=st.floats(0.01, 0.99), seed=st.integers(0, 2**32))
def test_random(data, fraction, seed):
    size = round(len(data) * fraction)
    if size in (0, len(data)):
        with pytest.raises(DataError, match="leaves a part empty"):
            split.random(data, fraction, seed=seed)
        return
    train, test = split.random(data, fraction, seed=seed)
    check_parts(data, train, test)
    assert len(test) == size
    assert rows(test) == rows(split.random(data, fraction, seed=seed)[1])


@given(data=datasets(), k=st.integers(2, 6), seed=st.integers(0, 2**32))
def test_k_fold(data, k, seed):
    if len(data) < k:
        with pytest.raises(DataError, match=f"n_folds: must be at most the number of events, .*, got {k}"):
            split.k_fold(data, k, seed=seed)
        return
    folds = list(split.k_fold(data, k, seed=seed))
    assert len(folds) == k
    for train, test in folds:
        check_parts(data, train, test)
    tested = [row for _, test in folds for row in rows(test)]
    assert sorted(tested) == list(range(len(data)))
    sizes = [len(test) for _, test in folds]
    assert max(sizes) - min(sizes) <= 1
    assert [rows(test) for _, test in split.k_fold(data, k, seed=seed)] == [rows(test) for _, test in folds]


def test_seeds_differ():
    data = Interactions.from_arrays(range(100), range(100), np.arange(100) + 1.0)
    pairs = Interactions.from_arrays(np.arange(100) // 4, range(100), np.arange(100) + 1.0)
    for function in (split.random, split.cold_users, split.cold_items):
        assert rows(function(data, 0.5, seed=1)[1]) != rows(function(data, 0.5, seed=2)[1])
    assert rows(split.leave_k_out(pairs, seed=1)[1]) != rows(split.leave_k_out(pairs, seed=2)[1])


def test_arguments_that_are_refused():
    data = Interactions.from_arrays([1, 1, 2], [1, 2, 3])
    for n in (0, -1, 1.0, True, "1"):
        with pytest.raises(ValueError, match=f"n: expected an integer of 1 or more, got {n!r}"):
            split.leave_last_out(data, n)
    for k in (0, -1, 1.0, True):
        with pytest.raises(ValueError, match=f"n: expected an integer of 1 or more, got {k!r}"):
            split.leave_k_out(data, k)
    for k in (1, 0, 2.0):
        with pytest.raises(ValueError, match=f"n_folds: expected an integer of 2 or more, got {k!r}"):
            split.k_fold(data, k)
    for fraction in (0, 1, 1.5):
        with pytest.raises(ValueError, match="fraction: "):
            split.random(data, fraction)
        with pytest.raises(ValueError, match="fraction: "):
            split.cold_users(data, fraction)


def test_splits_of_a_matrix():
    from scipy.sparse import csr_array

    data = Interactions.from_csr(csr_array([[1, 2, 3], [4, 0, 5]]))
    train, test = split.leave_last_out(data)
    assert test.matrix.toarray().tolist() == [[0, 0, 3], [0, 0, 5]]
    assert train.matrix.toarray().tolist() == [[1, 2, 0], [4, 0, 0]]
