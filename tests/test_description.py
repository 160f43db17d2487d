"""What `describe` finds against loops, and the page that it makes."""

import json
import math
import re
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.spatial.distance
from hypothesis import given, settings
from hypothesis import strategies as st

import ferrec
from ferrec import DataError, Interactions
from ferrec.description import _text, _times, describe
from ferrec.kernels.metrics import gini

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

Event = tuple[str, int, int, str]
DAY = 86_400

logs = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "zoë"]),
        st.integers(0, 4),
        st.sampled_from([0, 1, 59, 3600, DAY, 8 * DAY, 40 * DAY, 500 * DAY, 4000 * DAY]),
        st.sampled_from(["view", "cart", "buy"]),
    ),
    min_size=1,
    max_size=50,
)


def table_of(log: list[Event]) -> dict[str, list[Any]]:
    columns = list(zip(*log, strict=True)) or [()] * 4
    return {
        name: list(column) for name, column in zip(("user_id", "item_id", "at", "did"), columns, strict=True)
    }


@settings(max_examples=60)
@given(log=logs)
def test_counts_equal_loops(log: list[Event]) -> None:
    found = describe(table_of(log)).to_dict()
    pairs = Counter((user, item) for user, item, *_ in log)
    users, items = Counter(event[0] for event in log), Counter(event[1] for event in log)
    assert (found["events"], found["users"], found["items"], found["pairs"]) == (
        len(log), len(users), len(items), len(pairs),
    )  # fmt: skip
    assert found["density"] == pytest.approx(len(pairs) / (len(users) * len(items)))
    assert found["density"] + found["sparsity"] == 1
    assert found["repeats"] == {
        "of_events": pytest.approx(1 - len(pairs) / len(log)),
        "of_pairs": pytest.approx(sum(n > 1 for n in pairs.values()) / len(pairs)),
        "most": max(pairs.values()),
    }
    for name, counts in (("per_user", users), ("per_item", items)):
        numbers = list(counts.values())
        differences = sum(abs(a - b) for a in numbers for b in numbers)
        assert found[name]["gini"] == pytest.approx(
            differences / (2 * max(len(numbers) - 1, 1) * sum(numbers))
        )
        assert found[name]["mean"] == pytest.approx(np.mean(numbers)) and found[name]["max"] == max(numbers)
        bins = Counter(2 ** int(math.log2(number)) for number in numbers)
        assert {e: c for e, c in zip(*found[name]["histogram"].values(), strict=True) if c} == bins
    ordered = sorted(items.values(), reverse=True)
    for part, share in found["popularity"]["top"].items():
        k = max(round(int(part[:-1]) / 100 * len(items)), 1)
        assert share == pytest.approx(sum(ordered[:k]) / len(log))
    assert found["popularity"]["once"] == pytest.approx(ordered.count(1) / len(items))
    curve = found["popularity"]["curve"]
    assert curve["items"][-1] == curve["events"][-1] == 1.0
    assert found["times"] is None and found["conversion"] is None and found["missing"] == {}


@settings(max_examples=60)
@given(log=logs)
def test_times_equal_loops(log: list[Event]) -> None:
    found = describe(table_of(log), time="at").to_dict()["times"]
    of_user = defaultdict(list)
    for user, _, at, _ in log:
        of_user[user].append(at)
    seconds = [b - a for times in map(sorted, of_user.values()) for a, b in pairwise(times)]
    apart = [gap for gap in seconds if gap]
    assert found["gaps"]["together"] == pytest.approx(1 - len(apart) / len(seconds) if seconds else 0)
    assert sum(found["gaps"]["histogram"].values()) == len(apart)
    assert found["gaps"]["histogram"]["< 1 minute"] == sum(gap < 60 for gap in apart)
    assert found["gaps"]["histogram"]["< 1 week"] == sum(DAY <= gap < 7 * DAY for gap in apart)
    assert found["gaps"]["histogram"]["longer"] == sum(gap >= 365 * DAY for gap in apart)
    assert found["gaps"]["median"] == (pytest.approx(np.median(apart)) if apart else None)

    moments = [datetime.fromtimestamp(at, UTC) for _, _, at, _ in log]
    for (day, hour), count in np.ndenumerate(found["rhythm"]["weekday_hours"]):
        assert count == sum((m.weekday(), m.hour) == (day, hour) for m in moments)
    assert sum(found["rhythm"]["hours"]) == sum(found["rhythm"]["weekdays"]) == len(log)

    grown = found["growth"]
    span = max(at for _, _, at, _ in log) - min(at for _, _, at, _ in log)
    assert grown["period"] == (
        "hour" if span <= 3 * DAY else "day" if span <= 90 * DAY else "week" if span <= 730 * DAY
        else "month" if span <= 3650 * DAY else "year"
    )  # fmt: skip
    starts = [datetime.fromisoformat(_whole_date(start)).replace(tzinfo=UTC) for start in grown["start"]]
    period = [max(at for at, start in enumerate(starts) if start <= moment) for moment in moments]
    assert grown["events"] == [period.count(at) for at in range(len(starts))]
    users_seen: set[str] = set()
    items_seen: set[int] = set()
    for at in range(len(starts)):
        users = {event[0] for event, p in zip(log, period, strict=True) if p == at}
        items = {event[1] for event, p in zip(log, period, strict=True) if p == at}
        assert grown["users"][at] == len(users)
        assert grown["new_users"][at] == len(users - users_seen)
        assert grown["new_items"][at] == len(items - items_seen)
        users_seen |= users
        items_seen |= items
    assert found["drift"] is None  # too few


def _whole_date(start: str) -> str:
    return start + {4: "-01-01", 7: "-01", 10: "", 13: ":00"}[len(start)]


@settings(max_examples=60)
@given(log=logs, timed=st.booleans())
def test_conversion_equals_loops(log: list[Event], timed: bool) -> None:
    found = describe(table_of(log), time="at" if timed else None, event_type="did").to_dict()["conversion"]
    kinds = Counter(event[3] for event in log)
    assert {name: facts["events"] for name, facts in found["types"].items()} == kinds
    when = defaultdict(list)
    for user, item, at, did in log:
        when[did, user, item].append(at if timed else 0)
    pairs = {(user, item) for user, item, *_ in log}
    for a in kinds:
        there = [pair for pair in pairs if (a, *pair) in when]
        assert found["types"][a]["pairs"] == len(there)
        assert found["types"][a]["users"] == len({user for user, *_, did in log if did == a})
        assert found["types"][a]["items"] == len({item for _, item, _, did in log if did == a})
        for b in kinds:
            if a != b:
                after = [p for p in there if (b, *p) in when and max(when[b, *p]) >= min(when[a, *p])]
                assert found["to"][a][b] == pytest.approx(len(after) / len(there))


@settings(max_examples=50)
@given(
    p=st.lists(st.integers(0, 9), min_size=3, max_size=30).filter(any),
    q=st.lists(st.integers(0, 9), min_size=30, max_size=30),
)
def test_divergences_equal_their_definitions(p: list[int], q: list[int]) -> None:
    first = np.array(p) / sum(p)
    second = np.array(q[: len(p)], float)
    if not second.sum():
        return
    second /= second.sum()
    wanted = scipy.spatial.distance.jensenshannon(first, second, base=2) ** 2
    assert _times.jensen_shannon(first, second) == pytest.approx(np.nan_to_num(wanted), abs=1e-12)
    assert _times.psi(first, first) == pytest.approx(0)
    if second[first > 0].sum():
        assert _times.psi(first, second) >= -1e-12
    else:
        assert _times.psi(first, second) is None


def test_psi_of_two_groups_by_hand() -> None:
    """Two items with half of the events each, of which one falls to a quarter."""
    before, after = np.array([0.5, 0.5, 0.0]), np.array([0.2, 0.6, 0.2])
    assert _times.psi(before, after) == pytest.approx(
        (0.25 - 0.5) * math.log(0.5) + (0.75 - 0.5) * math.log(1.5)
    )


def test_drift_is_seen_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    n = 20_000
    table = {"user_id": rng.integers(0, 500, n), "item_id": rng.integers(0, 100, n), "at": np.arange(n)}
    still = describe(table, time="at")["times"]["drift"]
    assert still["jensen_shannon"][-1] == pytest.approx(still["jensen_shannon_by_chance"], rel=0.2)
    assert (
        still["new_items"] == 0 and len(still["start"]) == 10 and still["start"][0] == "1970-01-01T00:00:00Z"
    )
    table["item_id"] = (table["item_id"] + np.arange(n) // 200) % 300
    moved = describe(table, time="at")["times"]["drift"]
    assert moved["jensen_shannon"][-1] > 5 * moved["jensen_shannon_by_chance"]
    assert moved["new_items"] > 0.5
    assert describe({**table, "at": np.zeros(n, int)}, time="at")["times"]["drift"] is None


def test_every_kind_of_input_gives_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    n = 2000
    table = {
        "user_id": rng.integers(0, 50, n),
        "item_id": [f"item {i}" for i in rng.integers(0, 40, n)],
        "at": rng.integers(0, 10**7, n),
        "did": rng.choice(["view", "buy"], n),
    }
    arrow = pyarrow.table(table)
    parquet.write_table(arrow, tmp_path / "a.parquet")
    arrow.to_pandas().to_csv(tmp_path / "a.csv", index=False)
    arrow.to_pandas().to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    (tmp_path / "many").mkdir()
    parquet.write_table(arrow.slice(0, 999), tmp_path / "many" / "1.parquet")
    parquet.write_table(arrow.slice(999), tmp_path / "many" / "2.parquet")
    wanted = describe(table, time="at", event_type="did").to_dict()
    sources: list[Any] = [arrow, arrow.to_pandas(), polars.from_arrow(arrow), polars.from_arrow(arrow).lazy()]
    sources += [tmp_path / name for name in ("a.parquet", "a.csv", "a.tsv", "many")]
    for source in sources:
        assert describe(source, time="at", event_type="did").to_dict() == wanted
    data = Interactions.from_table(arrow, time="at")
    assert describe(data).to_dict() == {**wanted, "conversion": None}
    half = data.select(data.events.users < 25)
    assert describe(half)["users"] == 25, "ids without an event do not count"


def test_rows_with_something_missing_are_counted_and_left_out() -> None:
    table = {"user_id": ["ann", None, "bob", "bob"], "item_id": [1, None, None, 2], "at": [0, 1, 2, None]}
    found = describe(table, time="at")
    assert found["missing"] == {"user_id": 1, "item_id": 2, "at": 1} and found["events"] == 1
    assert "missing     user_id in 1 rows, item_id in 2 rows, at in 1 rows; left out here" in repr(found)
    with pytest.raises(DataError, match="column 'at': is not in the table"):
        describe({"user_id": [1], "item_id": [1]}, time="at")
    with pytest.raises(ValueError, match="must be different columns"):
        describe(table, user="item_id")


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_and_one_event(n: int, tmp_path: Path) -> None:
    table = {"user_id": ["ann"] * n, "item_id": [7] * n, "at": [5] * n, "did": ["buy"] * n}
    found = describe(table, time="at", event_type="did")
    assert found["events"] == n and found["density"] == n
    json.dumps(found.to_dict(), allow_nan=False)
    assert repr(found).startswith(f"events      {n}\nusers       {n}")
    assert "<h1>Events</h1>" in found.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == found.to_html()


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects what could load or run something."""

    VOID = ("meta", "br", "path", "use", "rect")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[tuple[str, str]] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta",):
            self.open.append(tag)
        self.outside += [
            (tag, name) for name, _ in attrs if name in ("src", "href", "srcset", "onload", "action")
        ]
        self.outside += [(tag, tag)] * (tag in ("script", "link", "iframe", "img", "object"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [
            (tag, str(v))
            for name, v in attrs
            if name.endswith(("href", "src")) and not str(v).startswith("#")
        ]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page() -> str:
    rng = np.random.default_rng(2)
    n = 3000
    table = {
        "user_id": rng.integers(0, 300, n),
        "item_id": (rng.random(n) ** 3 * 200).astype(int),
        "at": rng.integers(1_700_000_000, 1_710_000_000, n),
        "did": rng.choice(["view", "<script>alert(1)</script>", "buy & pay"], n),
    }
    return describe(table, time="at", event_type="did").to_html(title="Shop <b>&</b>")


def test_the_page_is_whole_and_needs_nothing_else(page: str) -> None:
    reader = Reader()
    reader.feed(page)
    assert reader.open == [] and reader.outside == []
    assert (
        "<script" not in page
        and "&lt;script&gt;" in page
        and "<h1>Shop &lt;b&gt;&amp;&lt;/b&gt;</h1>" in page
    )
    outside = re.findall(r"https?://[^\"' )]+", page)
    assert {url.split("/")[2] for url in outside} <= {"www.w3.org"}, "only names of XML"
    assert page == page.strip() + "\n" and 'name="viewport"' in page and "prefers-color-scheme: dark" in page


def test_every_figure_is_drawn_in_the_colors_of_the_page(page: str) -> None:
    figures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(figures) == 9
    for figure in figures:
        ET.fromstring(figure)
        colors = set(re.findall(r"(?:fill|stroke): ?(#[0-9a-f]+)", figure))
        assert not colors, "these would not change from light to dark"
        used = set(re.findall(r'(?:href="|url\()#(\w+)', figure))
        assert used <= set(re.findall(r' id="(\w+)"', figure)), "parts that are drawn from elsewhere"
        assert "var(--" in figure and "DejaVu" not in figure and 'role="img"' in figure
    assert len(page) < 400_000


def test_words_for_numbers() -> None:
    assert [_text.percent(x) for x in (0, 0.00001, 0.00051, 0.0123, 0.5, 1)] == [
        "0 %", "< 0.01 %", "0.051 %", "1.2 %", "50 %", "100 %",
    ]  # fmt: skip
    assert [_text.duration(s) for s in (0, 45, 90, 7200, 200_000, 10**8)] == [
        "0 s", "45 s", "1.5 min", "2 h", "2.31 days", "3.17 years",
    ]  # fmt: skip
    assert [_text.number(x) for x in (0, 3, 2.5, 1234.5, 1e6)] == ["0", "3", "2.5", "1,234", "1,000,000"]


def test_the_page_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(ferrec.MissingExtraError, match=r'pip install "ferrec\[plot\]"'):
        describe({"user_id": [1], "item_id": [1]}).to_html()


def test_gini_of_extremes() -> None:
    assert gini(np.array([5, 5, 5])) == pytest.approx(0)
    assert gini(np.array([10**9] + [1] * 999)) == pytest.approx(0.999, abs=1e-3)
