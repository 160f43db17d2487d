"""Benchmarks of the public kernels beside peers, at the 1m shape; also tests: every answer is compared.

pytest benches/python                          # timings
pytest benches/python --benchmark-disable      # once each, as tests

`compare.py` is the one to quote: fresh processes, larger shapes, memory, a record.
"""

import dataclasses
from pathlib import Path
from typing import Any

import compare
import factors
import numpy as np
import pytest
import scipy.sparse as sp
import shapes
import targets
from engines import NEIGHBORS, Inputs, items_work, recommend_work, users_work
from machine import package
from names import string_matching
from records import newest, read, record
from results import Ranking, differing_rows, is_best_first, ranking
from rows import ROWS
from shapes import load, matrix, save
from tables import memory_is_met, tables

from ferrec.kernels import top_k_similar

THREADS = 2
ROWS_1M = {name: row for name, row in ROWS.items() if "1m" in row.shapes and row.group != "models"}
MODELS = {name: row for name, row in ROWS.items() if row.group == "models"}


@pytest.fixture(scope="module")
def inputs() -> dict[bool, Inputs]:
    """By whether there are ratings; the similarity is that of the ratings."""
    ratings, binary = matrix("1m"), matrix("1m", ratings=False)
    return {
        True: Inputs(ratings, top_k_similar(ratings, NEIGHBORS, n_threads=THREADS)),
        False: Inputs(binary),
    }


@pytest.fixture(scope="module")
def ours(inputs: dict[bool, Inputs]) -> dict[str, Ranking]:
    """ferrec's answers, by row of the table."""
    answers = {}
    for name, row in ROWS_1M.items():
        if row.compared:
            result = row.engines[row.reference](inputs[row.ratings], THREADS)()
            assert is_best_first(result, row.k)
            answers[name] = ranking(result, result.shape[1], row.k, square=row.square)
    return answers


def engines(*, compared: bool) -> list[tuple[str, str]]:
    return [(name, e) for name, row in ROWS_1M.items() if row.compared is compared for e in row.engines]


@pytest.mark.filterwarnings("ignore")  # peers' own
@pytest.mark.parametrize(("name", "engine"), engines(compared=True))
def test_same_answer(benchmark, inputs, ours, name: str, engine: str) -> None:
    row = ROWS[name]
    if row.group == "peers" and engine != "ferrec":
        pytest.importorskip(engine)
    run = row.engines[engine](inputs[row.ratings], THREADS)
    benchmark.group = row.title
    benchmark.name = engine
    result = benchmark.pedantic(run, rounds=3, warmup_rounds=1)
    theirs = ranking(result, ours[name].n_cols, row.k, square=row.square)
    assert differing_rows(ours[name], theirs, row.k) == 0


@pytest.mark.parametrize("engine", ROWS["strings"].engines)
def test_same_names(benchmark, engine: str) -> None:
    if engine != "ferrec":
        pytest.importorskip(engine)
    queries, names = string_matching(300, 2000)
    inputs, row = Inputs(queries, names.T.tocsr()), ROWS["strings"]
    found = [row.engines[e](inputs, THREADS) for e in ("ferrec", engine)]
    ours, theirs = (
        ranking(run(), 2000, row.k, square=False) for run in (found[0], lambda: benchmark(found[1]))
    )
    assert ours.ids.size > 300
    assert differing_rows(ours, theirs, row.k) == 0


@pytest.mark.parametrize(("name", "engine"), engines(compared=False))
def test_best_first(benchmark, inputs, name: str, engine: str) -> None:
    row = ROWS[name]
    benchmark.group = row.title
    benchmark.name = engine
    run = row.engines[engine](inputs[row.ratings], THREADS)
    assert is_best_first(benchmark.pedantic(run, rounds=3, warmup_rounds=1), row.k)


# --- The models, on little data: the judges compare ---------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small shape; files of it are kept for the session."""
    folder = tmp_path_factory.getbasetemp() / "tiny"
    folder.mkdir(exist_ok=True)
    for module in (shapes, factors):
        monkeypatch.setattr(module, "cache", lambda: folder)
    monkeypatch.setitem(shapes.SHAPES, "tiny", (600, 400, 30_000))
    return "tiny"


@pytest.mark.filterwarnings("ignore")  # peers' own
@pytest.mark.parametrize(("name", "engine"), [(name, e) for name, row in MODELS.items() for e in row.engines])
def test_models_are_as_good_as_their_peers(benchmark, tiny, name: str, engine: str) -> None:
    pytest.importorskip(package(engine))
    row = ROWS[name]
    inputs = row.inputs(tiny)
    benchmark.group, benchmark.name = row.title, engine
    row.engines[engine](inputs.corner(), THREADS)()
    ours = row.engines[row.reference](inputs, THREADS)()
    timing: dict[str, Any] = {}
    compare.examine(timing, benchmark.pedantic(row.engines[engine](inputs, THREADS)), row, engine, tiny, ours)
    assert not compare.is_bad(timing), timing
    assert ("quality" in timing) == bool(row.judge)


SLOPPY = {
    "svd": lambda sigma: sigma * 1.001,
    "als": lambda parts: parts * 0.9,
    "embeddings": lambda vectors: vectors[::-1] + np.roll(vectors, 100, axis=0),
    "ease": lambda weights: weights + 0.01 * weights.max(),
    "slim": lambda weights: weights * 0.5,
}


@pytest.mark.parametrize("name", [name for name, row in MODELS.items() if row.judge])
def test_judges_see_a_worse_answer(tiny, name: str) -> None:
    row = ROWS[name]
    good = row.engines["ferrec"](row.inputs(tiny), THREADS)()
    assert row.judge(tiny, SLOPPY[name](good), good)[1]
    assert not row.judge(tiny, good, good)[1]


# --- The comparison itself, which must not wave everything through -----------------------------------------


SCORES = np.array([[0, 0.9, 0.5, 0.5, 0.1], [0.9, 0, 0.2, 0, 0]], dtype=np.float32)


def rank(scores: np.ndarray, k: int = 2) -> Ranking:
    return ranking(sp.csr_array(scores), scores.shape[1], k, square=True)


def test_ties_at_the_end_are_equal() -> None:
    other = SCORES.copy()
    other[0, 2] = 0  # holds item 3 instead of its equal, item 2
    assert differing_rows(rank(SCORES), rank(other), 2) == 0


@pytest.mark.parametrize("change", [(0, 1, 0.8), (0, 4, 0.6), (1, 2, 0.0), (1, 2, 0.2001)])
def test_changes_are_seen(change: tuple[int, int, float]) -> None:
    row, item, score = change
    other = SCORES.copy()
    other[row, item] = score
    assert differing_rows(rank(SCORES), rank(other), 2) == 1


def test_scores_that_swap_ids_are_seen() -> None:
    other = SCORES[:, [0, 2, 1, 3, 4]]
    assert differing_rows(rank(SCORES), rank(other), 2) == 2


def test_peers_padding_and_self_are_left_out() -> None:
    ids = np.array([[0, 1, 2, 3], [1, 0, 2, -1]])
    scores = np.array([[1.0, 0.9, 0.5, 0.5], [1.0, 0.9, 0.2, -3.4e38]])
    padded = ranking((ids, scores), 5, 2, square=True)
    assert differing_rows(rank(SCORES), padded, 2) == 0
    assert padded.ids.tolist() == [1, 2, 0, 2]


def test_best_first_is_checked() -> None:
    good = sp.csr_array((np.float32([3, 2, 5]), np.int32([1, 0, 2]), [0, 2, 2, 3]), shape=(3, 3))
    assert is_best_first(good, 2)
    assert not is_best_first(good, 1)
    good.data[:2] = good.data[1::-1].copy()
    assert not is_best_first(good, 2)


def test_files_keep_the_order_of_rows(tmp_path: Path) -> None:
    x = sp.csr_array((np.float32([3, 2]), np.int32([1, 0]), [0, 2]), shape=(1, 2))
    save(tmp_path / "x.npz", x)
    assert load(tmp_path / "x.npz").indices.tolist() == [1, 0]


def test_inputs_are_never_changed(inputs: dict[bool, Inputs]) -> None:
    small = dataclasses.replace(inputs[True], x=inputs[True].x[:300])
    before = small.x.copy()
    for row in ROWS_1M.values():
        row.engines[row.reference](small, THREADS)()
    assert (small.x != before).nnz == 0


def test_multiply_adds_are_those_of_the_naive_algorithm(inputs: dict[bool, Inputs]) -> None:
    small = dataclasses.replace(inputs[True], x=inputs[True].x[:50])
    ones = (small.x != 0).toarray().astype(int)
    near = (small.similarity != 0).toarray().astype(int)
    assert items_work(small) == (ones.T @ ones).sum()
    assert users_work(small) == (ones @ ones.T).sum()
    assert recommend_work(small) == (ones @ near).sum()


def test_a_sample_is_some_of_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(shapes, "cache", lambda: tmp_path)
    monkeypatch.setitem(shapes.SHAPES, "tiny", (100, 30, 600))
    monkeypatch.setitem(shapes.SAMPLES, "few", ("tiny", 10))
    few, whole = matrix("few"), matrix("tiny")
    assert few.shape == (10, 30)
    assert (few[[0, 9]] != whole[[0, 99]]).nnz == 0


# --- One run, its tables and its record -------------------------------------------------------------------


def run(engine: str, row: str = "items", **changes: object) -> dict[str, Any]:
    return compare.start(
        {
            "row": row,
            "shape": "1m",
            "engine": engine,
            "threads": 2,
            "budget": 0.0,
            "timeout": 100.0,
            "wait": 0.0,
            "similarity": None,
            "save": True,
            **changes,
        }
    )


def test_a_run_says_what_it_took(tmp_path: Path) -> None:
    timing = run("ferrec", out=str(tmp_path))
    assert timing["input"] == [6_040, 3_706, 1_000_000]
    assert timing["multiply_adds"] > 1e8
    assert len(timing["timings"]) == 1
    assert is_best_first(compare.answer(tmp_path / "result.npz"), NEIGHBORS)


def test_a_slow_engine_is_stopped(tmp_path: Path) -> None:
    assert run("ferrec", out=str(tmp_path), timeout=0.001) == {"over_seconds": 0.001}


def test_an_engine_that_fails_says_why(tmp_path: Path) -> None:
    assert "KeyError: 'nobody'" in run("nobody", out=str(tmp_path))["error"]


WHERE: dict[str, Any] = {
    "date": "2026-01-02",
    "cpu": "Some CPU (1)",
    "cores": 2,
    "memory_gib": 1.0,
    "system": "Linux",
    "python": "3.11",
    "threads": 2,
    "commit": "abc",
    "build_profile": "release",
    "simd": "avx2",
    "versions": {"ferrec": "0.1.0"},
}


def entry(row: str, shape: str, **seconds: float | None) -> dict[str, Any]:
    """A measured row; an engine without seconds was stopped after 120."""
    engines: dict[str, Any] = {}
    for name, took in seconds.items():
        timing = {"timings": [{"seconds": took}], "peak_mib": 50.0, "output_mib": 10.0, "rows": 3}
        engines[name.replace("_thread", " thread")] = {"over_seconds": 120.0} if took is None else timing
    compare.add_ratios(engines, next(iter(engines)))
    sizes = {"n_users": 6_040, "n_items": 3_706, "nnz": 1_000_000, "multiply_adds": 10**9}
    return {"row": row, "group": ROWS[row].group, "title": row, "shape": shape, **sizes, "engines": engines}


ENTRIES = [
    entry("items", "1m", ferrec=0.1, similaripy=0.5, irspack=None),
    entry("items", "20m", ferrec=1.0, similaripy=2.0, implicit=3.0),
    entry("measures", "1m", cosine=1.0, dot=1.4, lift=1.6),
    entry("threads-items", "1m", **{"2_threads": 1.0, "1_thread": 1.9}),
]


def test_tables_show_target_reached_and_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(targets.LIMITS, ("items", "20m"), "the memory")
    monkeypatch.setitem(targets.LIMITS, ("items", "1m"), "nothing")
    text = tables(WHERE, ENTRIES)
    assert "| items | 1m | ≥ 4 | **5.00** (similaripy) | yes | 5.00 |  | over 120 s (> 1200.0) |" in text
    assert "| items | 20m | ≥ 6 | **2.00** (similaripy) | **no** | 2.00 | 3.00 |  |" in text
    assert "items, 20m, is limited by: the memory" in text
    assert "nothing" not in text
    assert "| dot | ≤ 1.5 | 1.40 | yes |" in text
    assert "| lift | ≤ 1.5 | 1.60 | **no** |" in text
    assert "| threads-items | 1m | ≥ 1.8 | 1.90 | yes |" in text


def test_other_thread_counts_are_not_judged() -> None:
    assert "≥ 4 | **5.00** (similaripy) |  |" in tables(WHERE | {"threads": 1}, ENTRIES)


@pytest.mark.parametrize(("ours", "theirs", "met"), [(50, 60, True), (50, 40, False), (139, 900, False)])
def test_memory_is_held_against_threads_and_peers(ours: float, theirs: float, met: bool) -> None:
    measured = entry("items", "1m", ferrec=1.0, implicit=1.0)
    measured["engines"]["ferrec"]["peak_mib"] = ours
    measured["engines"]["implicit"]["peak_mib"] = theirs
    assert memory_is_met(measured, 2) is met


def test_every_row_beside_peers_has_targets() -> None:
    keys = [(name, shape) for name, row in ROWS.items() if row.group == "peers" for shape in row.shapes]
    assert all(targets.target(*key, "anybody") for key in keys)
    assert set(targets.RATIOS) <= set(ROWS)
    assert all(peer in ROWS[name].engines for name, peer in targets.AGAINST)


def test_a_peer_that_is_harder_to_beat_counts() -> None:
    measured = entry("svd", "1m", ferrec=1.0, scipy=4.0, sklearn=2.0)
    measured["engines"]["ferrec"]["quality"] = "σ off by 1e-5"
    measured["engines"]["sklearn"] |= {"quality": "σ off by 4e-2", "peak_mib": 60.0}
    text = tables(WHERE, [measured])
    assert (
        "| svd | 1m | ≥ 5 | **4.00** (scipy) | **no** | σ off by 1e-5 | 4.00 | 2.00 (σ off by 4e-2) |" in text
    )
    assert memory_is_met(measured, 2) is True
    measured["engines"]["sklearn"]["peak_mib"] = 40.0
    assert memory_is_met(measured, 2) is False


def test_a_record_grows_and_is_found(tmp_path: Path) -> None:
    first = record(WHERE, ENTRIES[1:2], tmp_path)
    assert record(WHERE, ENTRIES[:1], tmp_path) == first
    assert record(WHERE | {"commit": "old", "date": "2026-01-01"}, ENTRIES, tmp_path) != first
    assert newest(tmp_path) == [first]
    where, entries = read([first])
    assert where == WHERE
    assert [e["shape"] for e in entries] == ["1m", "20m"]


def test_a_row_measured_anew_leaves_the_others_their_commit(tmp_path: Path) -> None:
    path = record(WHERE, ENTRIES[:2], tmp_path)
    assert record(WHERE | {"commit": "def"}, ENTRIES[:1], tmp_path) == path
    where, entries = read([path])
    assert where["commit"] == "def"
    assert [e["commit"] for e in entries] == ["def", "abc"]
    row = f"{ENTRIES[1]['row']} {ENTRIES[1]['shape']}"
    assert f"Measured at commit abc: {row}." in path.with_suffix(".md").read_text()


def test_pictures_are_drawn(tmp_path: Path) -> None:
    report = pytest.importorskip("report", reason="matplotlib is missing", exc_type=ImportError)
    path = record(WHERE, ENTRIES, tmp_path)
    assert report.main([str(path), "--out", str(tmp_path / "img")]) == 0
    for name in ("throughput", "threads", "targets"):
        assert "<svg" in (tmp_path / "img" / f"{name}.svg").read_text()
