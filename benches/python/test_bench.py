"""Benchmarks of the public kernels beside peers, at the 1m shape; also tests: every answer is compared.

pytest benches/python                          # timings
pytest benches/python --benchmark-disable      # once each, as tests

`compare.py` is the one to quote: fresh processes, larger shapes, memory, a record.
"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from engines import NEIGHBORS, ROWS, Inputs
from names import string_matching
from results import Ranking, differing_rows, is_best_first, ranking
from shapes import load, matrix, save

from ferrec.kernels import top_k_similar

THREADS = 2
ROWS_1M = {name: row for name, row in ROWS.items() if "1m" in row.shapes}


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
        result = row.engines["ferrec"](inputs[row.ratings], THREADS)()
        assert is_best_first(result, row.k)
        answers[name] = ranking(result, result.shape[1], row.k, square=row.square)
    return answers


@pytest.mark.filterwarnings("ignore")  # peers' own
@pytest.mark.parametrize(
    ("name", "engine"), [(name, engine) for name, row in ROWS_1M.items() for engine in row.engines]
)
def test_same_answer(benchmark, inputs, ours, name: str, engine: str) -> None:
    if engine != "ferrec":
        pytest.importorskip(engine)
    row = ROWS[name]
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
        row.engines["ferrec"](small, THREADS)()
    assert (small.x != before).nnz == 0
