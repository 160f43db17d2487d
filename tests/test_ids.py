"""Ids against sorted(set(…)) and a dictionary; hostile columns and hostile stored arrays."""

import pickle
import sys
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ferrec.data.ids import Ids
from ferrec.errors import DataError, MissingExtraError, UnknownIdError, require
from ferrec.io import columns

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@pytest.fixture(params=["pyarrow", "without pyarrow"])
def arrow(request, monkeypatch):
    """Strings go through pyarrow where it is installed; both ways must agree."""
    if request.param == "pyarrow":
        return pytest.importorskip("pyarrow")
    monkeypatch.setattr(columns, "pyarrow_if_there", lambda: None)
    return None


def check_against_oracle(ids, values):
    """The ids are the sorted distinct values, and encoding is the position in them."""
    expected = sorted(set(values))
    assert ids.values.tolist() == expected
    assert len(ids) == len(expected)
    position = {value: code for code, value in enumerate(expected)}
    codes = ids.encode(values)
    assert codes.dtype == np.int32
    assert codes.tolist() == [position[value] for value in values]
    assert ids.decode(codes).tolist() == list(values)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_integers_of_any_width(dtype, data):
    limits = np.iinfo(dtype)
    values = data.draw(st.lists(st.integers(int(limits.min), int(limits.max)), max_size=40))
    array = np.array(values, dtype)
    ids = Ids.from_values(array)
    check_against_oracle(ids, array)
    assert ids.values.dtype == np.dtype(dtype)
    assert not ids.values.flags.writeable


@given(values=st.lists(TEXT, max_size=40))
def test_strings_by_either_way(values):
    check_against_oracle(Ids.from_values(values), values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "pyarrow_if_there", lambda: None)
        plain = Ids.from_values(values)
        check_against_oracle(plain, values)
    assert plain == Ids.from_values(values)


@given(
    known=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20),
    asked=st.lists(st.integers(-(2**63), 2**64 - 1), max_size=20),
    many=st.booleans(),
)
def test_encode_compares_integers_by_value(known, asked, many):
    ids = Ids.from_values(np.array(known, np.int64))
    position = {value: code for code, value in enumerate(sorted(set(known)))}
    for dtype in (np.int64, np.uint64, np.int32):
        limits = np.iinfo(dtype)
        # Many values take another way than few.
        some = [v for v in asked + known if limits.min <= v <= limits.max] * (300 if many else 1)
        codes = ids.encode(np.array(some, dtype), unknown="ignore")
        assert codes.tolist() == [position.get(v, -1) for v in some]


@given(known=st.lists(TEXT, max_size=20), asked=st.lists(TEXT, max_size=20))
def test_encode_strings_that_may_be_unknown(known, asked):
    ids = Ids.from_values(known)
    position = {value: code for code, value in enumerate(sorted(set(known)))}
    assert ids.encode(asked, unknown="ignore").tolist() == [position.get(v, -1) for v in asked]


def test_many_strings_take_the_way_by_index(arrow):
    ids = Ids.from_values([f"u{i}" for i in range(0, 2000, 2)])
    asked = [f"u{i}" for i in range(2000)]
    position = {value: code for code, value in enumerate(ids.values.tolist())}
    assert ids.encode(asked, unknown="ignore").tolist() == [position.get(v, -1) for v in asked]


def test_few_codes_of_many_strings_decode_the_same():
    names = [f"é{i}" for i in range(1000)]
    fresh, whole = Ids.from_values(names), Ids.from_values(names).values
    assert fresh.decode([999, 0, 999]).tolist() == [whole[999], whole[0], whole[999]]


def test_order_of_rows_does_not_matter(arrow):
    rng = np.random.default_rng(0)
    names = [f"n{i % 37}" for i in range(200)]
    shuffled = [names[i] for i in rng.permutation(len(names))]
    assert Ids.from_values(names) == Ids.from_values(shuffled)


def test_the_same_from_every_container(arrow):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    names = ["b", "ä", "", "b", "z\0z", "日本", "🍵"]
    columns = [
        names,
        tuple(names),
        np.array(names, object),
        np.array(names),
        np.array(names, np.dtypes.StringDType()),
        pandas.Series(names),
        pandas.Series(names, dtype=object),
        pandas.Series(names, index=range(7, 0, -1)),
        pandas.Series(names, dtype="category"),
        pandas.Series(names, dtype="string"),
        pandas.Index(names),
        polars.Series(names),
        polars.Series(names, dtype=polars.Categorical),
        polars.Series(names, dtype=polars.Enum([*sorted(set(names)), "never used"])),
    ]
    if arrow is not None:
        array = arrow.array(names)
        columns += [
            array,
            arrow.chunked_array([names[:3], names[3:]]),
            array.cast(arrow.large_string()),
            array.cast(arrow.string_view()),
            array.dictionary_encode(),
            arrow.array(["x", *names, "y"]).slice(1, len(names)),
        ]
    for column in columns:
        check_against_oracle(Ids.from_values(column), names)


def test_integers_from_every_container(arrow):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    ids = [5, -3, 5, 2**40]
    columns = [
        ids,
        np.array(ids),
        np.array(ids, ">i8"),
        np.repeat(np.array(ids), 2)[::2],
        np.array(ids, object),
        np.ma.masked_array(ids, mask=False),
        pandas.Series(ids),
        pandas.Series(ids, dtype="Int64"),
        pandas.Series(ids, dtype=object),
        pandas.Series(ids, dtype="category"),
        polars.Series(ids),
    ]
    if arrow is not None:
        columns += [arrow.array(ids), arrow.chunked_array([ids[:1], [], ids[1:]])]
        columns += [arrow.array(ids).dictionary_encode(), arrow.chunked_array([ids]).dictionary_encode()]
    for column in columns:
        check_against_oracle(Ids.from_values(column), ids)


def test_ids_above_int64():
    for values in ([2**63, 1, 2**64 - 1], np.array([2**63, 1, 2**64 - 1], np.uint64)):
        ids = Ids.from_values(values)
        assert ids.values.tolist() == [1, 2**63, 2**64 - 1]
        assert ids.values.dtype == np.uint64
        assert ids.encode(np.array([-1, 1]), unknown="ignore").tolist() == [-1, 0]


def test_read_only_and_reused_arrays_are_left_alone():
    array = np.array([3, 1, 2])
    array.flags.writeable = False
    ids = Ids.from_values(array)
    assert ids.values.tolist() == [1, 2, 3]
    mine = np.array([3, 1])
    ids = Ids.from_values(mine)
    mine[:] = 9
    assert ids.values.tolist() == [1, 3]


def test_dictionary_with_repeats_nulls_and_unused_values():
    pa = pytest.importorskip("pyarrow")
    indices = pa.array([0, 2, 3, 0], pa.int8())
    repeats = pa.DictionaryArray.from_arrays(indices, pa.array(["b", "unused", "b", "a"]))
    check_against_oracle(Ids.from_values(repeats), ["b", "b", "a", "b"])
    with_null = pa.array(["b", None, "c", "a"])
    used = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, 3]), with_null)
    with pytest.raises(DataError, match="2 of 4 rows are null, got None at row 1"):
        Ids.from_values(used)
    unused = pa.DictionaryArray.from_arrays(pa.array([0, 2, 3]), with_null)
    check_against_oracle(Ids.from_values(unused), ["b", "c", "a"])
    numbers = pa.DictionaryArray.from_arrays(pa.array([0, 2]), pa.array([7, None, 5]))
    check_against_oracle(Ids.from_values(numbers), [7, 5])
    parts = pa.chunked_array(
        [pa.array(["b", "a"]).dictionary_encode(), pa.array(["c", "a", "a"]).dictionary_encode()]
    )
    check_against_oracle(Ids.from_values(parts), ["b", "a", "c", "a", "a"])


def test_empty(arrow):
    for empty in ([], np.empty(0, np.int64), np.empty(0, object), np.empty(0, "U3")):
        ids = Ids.from_values(empty)
        assert len(ids) == 0
        assert ids.values.tolist() == []
        assert ids.encode([]).tolist() == []
        assert ids.decode([]).tolist() == []
        assert ids.encode([1, 2], unknown="ignore").tolist() == [-1, -1]
        assert ids.encode(["a"], unknown="ignore").tolist() == [-1]
        assert Ids.from_arrays(ids.to_arrays()) == ids
    if arrow is not None:
        for kind in (
            arrow.null(),
            arrow.string(),
            arrow.int32(),
            arrow.dictionary(arrow.int32(), arrow.string()),
        ):
            assert len(Ids.from_values(arrow.array([], kind))) == 0
            assert len(Ids.from_values(arrow.chunked_array([], kind))) == 0
    assert Ids.from_values([]) == Ids.from_values(np.empty(0, "U1"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([True, False], "holds bool, and ids must be integers or strings"),
        (np.array([True]), "holds bool"),
        ([1.0, 2.0], "whole numbers, so cast it to int64"),
        (
            np.array([1.0, 2.5]),
            "values: holds float64, and ids must be integers or strings",
        ),
        (np.array([1.0, np.nan, np.nan]), "2 of 3 rows are null, got .* at row 1"),
        ([1, None], "1 of 2 rows are null, got None at row 1"),
        ([None, None], "2 of 2 rows are null"),
        (["a", float("nan")], "1 of 2 rows are null"),
        (["a", 1, "b"], "1 of 3 rows are not str, got 1 at row 1; it mixes int, str"),
        ([1, True], "mixes bool, int"),
        (
            [2**64],
            r"outside the 64-bit integers; the first is row 0 \(18446744073709551616\)|1 of 1 row is out",
        ),
        ([-1, 2**63], "outside the 64-bit integers"),
        ([b"a"], "holds bytes"),
        (np.array([b"a"]), "holds bytes"),
        ([Decimal(1)], "holds Decimal"),
        ([(1,), (2,)], "holds tuple"),
        (["ok", "bad\ud800"], r"row 1 \('bad\\ud800'\) is not valid Unicode"),
        (np.array([[1, 2]]), r"values: must be one-dimensional, got ndarray of int64 and shape \(1, 2\)"),
        (np.array(["2020-01-01"], "datetime64[D]"), "holds datetime64"),
        (np.array([1 + 2j]), "holds complex128"),
        (np.ma.masked_array([1, 2], mask=[False, True]), "1 of 2 rows are null, got .* at row 1"),
        ("bob", "values: must be a column of values, got 'bob'"),
        (7, "values: must be a column of values, got 7"),
        (None, "values: must be a column of values, got None"),
    ],
)
def test_what_is_refused_and_why(values, message, arrow):
    with pytest.raises(DataError, match=message):
        Ids.from_values(values)
    with pytest.raises(DataError, match=r"^users"):
        Ids.from_values(["a"]).encode(values)


def test_nulls_of_every_library(arrow):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns = [
        pandas.Series(["a", None]),
        pandas.Series(["a", None], dtype=object),
        pandas.Series(["a", None], dtype="category"),
        pandas.Series([1, None]),
        pandas.Series([1, None], dtype="Int64"),
        pandas.Series([1, pandas.NA], dtype=object),
        polars.Series(["a", None]),
        polars.Series([1, None]),
        polars.Series(["a", None], dtype=polars.Categorical),
    ]
    for column in columns:
        with pytest.raises(DataError, match="values: 1 of 2 rows are null, got None at row 1"):
            Ids.from_values(column)


def test_unknown_ids_say_how_many_and_which_first():
    ids = Ids.from_values(["a", "b"])
    with pytest.raises(UnknownIdError) as caught:
        ids.encode(["a", "x", "y", "x"], name="items")
    assert str(caught.value) == "items: 3 of 4 ids are unknown, got 'x' at position 1"
    assert isinstance(caught.value, KeyError)
    with pytest.raises(UnknownIdError, match=r"got 'a' .*; the known ids are integers and these are str"):
        Ids.from_values([1, 2]).encode(["a"])
    with pytest.raises(UnknownIdError, match="the known ids are strings and these are integers"):
        ids.encode([1])
    with pytest.raises(ValueError, match="unknown: must be one of 'error', 'ignore', got 'skip'"):
        ids.encode(["a"], unknown="skip")


def test_decode_and_take_check_their_codes():
    for ids in (Ids.from_values(["a", "b", "ü"]), Ids.from_values([10, 20, 30])):
        assert ids.take([0, 2]).values.tolist() == ids.decode([0, 2]).tolist()
        assert len(ids.take([])) == 0
        for wrong in ([3], [-1]):
            with pytest.raises(IndexError, match=f"code {wrong[0]} at position 0 is outside 0 … 2"):
                ids.decode(wrong)
        for wrong in ([1, 1], [2, 0]):
            with pytest.raises(ValueError, match="strictly ascending"):
                ids.take(wrong)
        for wrong in ([0.0], [True], [[0]]):
            with pytest.raises(ValueError, match="one-dimensional array of integers"):
                ids.decode(wrong)


@given(values=st.lists(TEXT, max_size=20) | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_arrays_and_pickle_give_the_labels_back(values):
    ids = Ids.from_values(values)
    arrays = ids.to_arrays()
    assert all(not array.flags.writeable for array in arrays.values())
    assert Ids.from_arrays(arrays) == ids
    assert pickle.loads(pickle.dumps(ids)) == ids


def test_memory_mapped_arrays_are_not_copied(tmp_path):
    ids = Ids.from_values([f"größe {i}" for i in range(500)])
    mapped = {}
    for name, array in ids.to_arrays().items():
        np.save(tmp_path / f"{name}.npy", array)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    again = Ids.from_arrays(mapped)
    assert again == ids
    assert np.shares_memory(again.to_arrays()["bytes"], mapped["bytes"])
    assert again.encode(["größe 7"]).tolist() == ids.encode(["größe 7"]).tolist()


def strings(offsets, data):
    return {"offsets": np.array(offsets, np.int64), "bytes": np.frombuffer(data, np.uint8)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, r"arrays: must be 'ints', or 'offsets' and 'bytes', got \[\]"),
        (
            {"ints": np.array([1]), "bytes": np.array([1])},
            r"arrays: must be 'ints', or 'offsets' and 'bytes', got \['bytes', 'ints'\]",
        ),
        ({"ints": np.array([1.0])}, "ints: must be a one-dimensional array of integers, got '1-d float64'"),
        ({"ints": np.array([[1]])}, "ints: must be a one-dimensional array of integers, got '2-d int64'"),
        ({"ints": np.array([2, 1])}, "ids: must ascend, id 1 follows 2, got 1"),
        ({"ints": np.array([1, 1])}, "ids: must ascend, id 1 follows 1, got 1"),
        (strings([], b""), "'offsets' must ascend from 0"),
        (strings([1, 2], b"ab"), "'offsets' must ascend from 0"),
        (strings([0, 3], b"ab"), "'offsets' must ascend from 0 to the number of bytes, 2"),
        (strings([0, 2, 1, 2], b"ab"), "'offsets' must ascend"),
        (strings([0, -5, 2], b"ab"), "'offsets' must ascend"),
        (strings([0, 1, 2], b"ba"), "ids: must ascend, one is not above the one before at id 1"),
        (strings([0, 1, 2], b"aa"), "ids: must ascend, one is not above the one before at id 1"),
        (strings([0, 1], b"\xff"), "bytes: must be valid UTF-8 at id 0"),
        (strings([0, 1, 2], b"\xc3\xa9"), "bytes: must be valid UTF-8 at id 0"),
        (strings([0, 3], b"\xed\xa0\x80"), "bytes: must be valid UTF-8 at id 0"),
        (
            {"offsets": np.array([0, 1], np.int32), "bytes": np.array([97], np.uint8)},
            r"offsets: must be one-dimensional int64, got ndarray of int32 and shape \(2,\)",
        ),
        (
            {"offsets": np.array([0, 1]), "bytes": np.array([97], np.int8)},
            r"bytes: must be one-dimensional uint8, got ndarray of int8 and shape \(1,\)",
        ),
    ],
)
def test_hostile_arrays_are_refused(arrays, message):
    with pytest.raises(DataError, match=message):
        Ids.from_arrays(arrays)


@given(st.lists(st.integers(0, 9)), st.lists(st.integers(0, 9)), st.booleans())
def test_union(mine, theirs, text):
    a, b = ([str(v) for v in values] if text else values for values in (mine, theirs))
    union = Ids.from_values(a).union(Ids.from_values(b))
    assert union.values.tolist() == sorted({*a, *b})
    assert union == Ids.from_values([*a, *b])


def test_union_of_other_kinds():
    numbers, texts = Ids.from_values([1]), Ids.from_values(["a"])
    with pytest.raises(DataError, match="mix"):
        numbers.union(texts)
    assert numbers.union(numbers) is numbers
    assert Ids.from_values([]).union(texts) is texts


def test_equality_and_repr():
    assert Ids.from_values(np.array([1, 2], np.int8)) == Ids.from_values(np.array([1, 2], np.uint64))
    assert Ids.from_values([1, 2]) != Ids.from_values([1, 3])
    assert Ids.from_values(["1"]) != Ids.from_values([1])
    assert Ids.from_values([1]) != [1]
    assert repr(Ids.from_values(range(9))) == "Ids(9 int64: 0, 1, 2, 3, 4, …)"
    assert repr(Ids.from_values([])) == "Ids(0 int64)"


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingExtraError, match=r'pyarrow, which is not installed: pip install "ferrec\[parquet\]"'
    ):
        require("pyarrow", "parquet")
    monkeypatch.delitem(sys.modules, "pyarrow.parquet", raising=False)  # another test may have imported it
    with pytest.raises(ImportError):
        require("pyarrow.parquet", "parquet")
