"""A model of somebody else's: the page's own model, what breaks it, and what the protocol promises."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from scipy import sparse
from scripts import HANGS

import ferrec
from ferrec.cli import main as cli
from ferrec.errors import DataError, ModelFileError, NotFittedError, UnsupportedError
from ferrec.evaluation import add_metric
from ferrec.features import ItemFeature
from ferrec.models import (
    DenseRecommender,
    Filter,
    Float,
    ItemItem,
    Recommender,
    State,
    as_csr,
    clone,
    dense,
    rank_scores,
    to_scipy,
)
from ferrec.rankers import Ranker, RankerState
from ferrec.storage import checksum
from ferrec.testing import CHECKS, check_recommender, checkerboard
from ferrec.testing._checks import sample


@dataclass(frozen=True, eq=False)
class TogetherState(State):
    """What is bought with what."""

    together: ItemItem


class Together(DenseRecommender[TogetherState]):
    """The page's model."""

    state_type = TogetherState
    search_space: ClassVar = {"damping": Float(0.0, 1.0)}

    def __init__(self, *, damping=0.5, n_threads=None):
        self.damping = damping
        self.n_threads = n_threads

    def learn(self, data, callback):
        if not 0 <= self.damping <= 1:
            raise ValueError(f"damping: must be in [0, 1], got {self.damping!r}")
        bought = data.matrix.sign()
        together = (bought.T @ bought).tocsr()
        together.data /= bought.sum(axis=0)[together.indices] ** self.damping
        return TogetherState(data.users, data.items, data.csr, as_csr(together, "together"))

    def score_items(self, state, queries):
        scores = (to_scipy(queries.history) @ to_scipy(state.together)).toarray()
        return np.where(scores > 0, scores, np.nan)


@pytest.fixture
def fitted():
    return Together(damping=0.3).fit(sample())


# -- the contract -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS)
def test_contract(check):
    CHECKS[check](Together)


@pytest.mark.parametrize("check", CHECKS)
def test_contract_in_blocks_of_one_query(check, monkeypatch):
    monkeypatch.setattr(dense, "_CELLS", 1)
    CHECKS[check](Together)


class ReadsGlobal(Together):
    """Answers depend on what is set after the fit, by a way around the parameters."""

    now: float = 0.0

    def set_params(self, **params):
        ReadsGlobal.now += 1.0
        return super().set_params(**params)

    def score_items(self, state, queries):
        return super().score_items(state, queries) + ReadsGlobal.now


class Blockwise(Together):
    """The score of a query depends on its neighbors in the block."""

    def score_items(self, state, queries):
        return super().score_items(state, queries) + len(queries)


class TiesReversed(Together):
    """Equal scores in the reverse order of the items."""

    def rank(self, state, queries, n, chosen, callback):
        indptr, items, scores = super().rank(state, queries, n, chosen, callback)
        order = np.lexsort((-items, -scores, np.repeat(np.arange(len(queries)), np.diff(indptr))))
        return indptr, items[order], scores[order]


class Forgetful(Together):
    """What it learns is not in the state."""

    def learn(self, data, callback):
        self.scale = 2.0
        return super().learn(data, callback)

    def score_items(self, state, queries):
        return super().score_items(state, queries) * getattr(self, "scale", 1.0)


class OtherScore(Together):
    """`score` is not what `recommend` shows."""

    def score_pairs(self, state, queries, pairs):
        return super().score_pairs(state, queries, pairs) + np.float32(1)


class Unfiltered(Together):
    """Recommends what is excluded."""

    def rank(self, state, queries, n, chosen, callback):
        return super().rank(state, queries, n, Filter(), callback)


class Misfit(Together):
    """Ignores what it is fitted on."""

    def learn(self, data, callback):
        return super().learn(checkerboard(), callback)


class Guessing(Together):
    """Beats no baseline."""

    def score_items(self, state, queries):
        return super().score_items(state, queries) * 0 + np.arange(len(state.items)) % 7


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (ReadsGlobal, "parameters_count_at_the_next_fit"),
        (Blockwise, "batch_equals_single"),
        (TiesReversed, "recommends_to_everybody"),
        (Forgetful, "files_give_it_back"),
        (OtherScore, "score_equals_recommend"),
        (Unfiltered, "exclusions_hold"),
        (Misfit, "fit_returns_self"),
        (Guessing, "beats_the_baselines"),
    ],
)
def test_broken_models_are_caught(broken, check):
    with pytest.raises(AssertionError):
        CHECKS[check](broken)
    with pytest.raises(AssertionError):
        check_recommender(broken)


def test_what_a_model_does_not_have_says_so(fitted):
    for ask in (lambda: fitted.explain(fitted.users.values[0], fitted.items.values[0]), fitted.similar_items):
        with pytest.raises(UnsupportedError, match="Together"):
            ask()


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (
            lambda shape: np.zeros((shape[0], shape[1] + 1)),
            r"score_items: expected numbers, shape \(60, 40\)",
        ),
        (lambda shape: np.full(shape, "high"), "score_items: expected numbers"),
        (lambda shape: np.full(shape, np.inf), "score_items: holds inf"),
        (lambda shape: np.full(shape, 1e300), "score_items: holds inf"),
    ],
)
def test_scores_that_make_no_sense_are_refused(scores, message, fitted, monkeypatch):
    monkeypatch.setattr(
        Together, "score_items", lambda self, state, queries: scores((len(queries), len(state.items)))
    )
    n_users = len(fitted.users)
    assert n_users == 60
    with pytest.raises(ValueError, match=message):
        fitted.recommend(n=3)


# -- ranking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_rank_scores_against_sorting(seed):
    rng = np.random.default_rng(seed)
    q, m, n = (int(x) for x in rng.integers(1, (8, 30, 40)))
    scores = rng.integers(-3, 4, (q, m)).astype(float)
    scores[rng.random((q, m)) < 0.2] = np.nan
    scores[rng.random((q, m)) < 0.1] = -np.inf

    def rows(share):
        return as_csr(sparse.csr_array((rng.random((q, m)) < share).astype(np.float32)))

    lists, allow = [rows(0.2) for _ in range(rng.integers(0, 3))], rows(0.7) if seed % 2 else None
    allowed, threshold = rng.random(m) < 0.8 if seed % 3 else None, -1.0 if seed % 5 == 0 else None
    chosen = Filter(lists, allow, allowed, threshold)
    indptr, items, values = rank_scores(scores, n, chosen, n_threads=1 + seed % 3)
    for at in range(q):
        expected = []
        for item in np.lexsort((np.arange(m), -np.nan_to_num(scores[at], nan=-np.inf))):
            score = scores[at, item]
            passes = np.isfinite(score) and (threshold is None or score > threshold)
            passes &= not any(to_scipy(one)[[at], [item]][0] for one in lists)
            passes &= allow is None or bool(to_scipy(allow)[[at], [item]][0])
            if passes and (allowed is None or allowed[item]):
                expected.append((int(item), score))
        got = slice(indptr[at], indptr[at + 1])
        assert list(zip(items[got].tolist(), values[got].tolist(), strict=True)) == expected[:n]
    for at in range(q):
        part = chosen.take(np.array([at]))
        assert np.array_equal(part.mask(1, m), chosen.mask(q, m)[[at]])


def test_rank_scores_of_nothing():
    for shape in ((0, 5), (3, 0)):
        indptr, items, scores = rank_scores(np.zeros(shape), 4)
        assert indptr.tolist() == [0] * (shape[0] + 1) and len(items) == len(scores) == 0


# -- frozen fits ------------------------------------------------------------------------------------------------


def test_parameters_of_parts_count_at_the_next_fit():
    model = ferrec.Hybrid(
        retrievers=[ferrec.ItemKNN(k=5), ferrec.Popularity()],
        features=[ferrec.features.ItemPopularity()],
        ranker=ferrec.ReciprocalRankFusion(rank_constant=1.0),
        n_candidates=5,
    ).fit(sample())
    before, digest = model.recommend(n=5).to_lists(), checksum(model)
    why = model.explain(model.users.values[0], model.items.values[0])
    model.set_params(ranker__rank_constant=1e6, n_candidates=9, block_size=1)
    model.retrievers[0].set_params(k=1)
    model.retrievers.pop()
    assert model.recommend(n=5).to_lists() == before and checksum(model) == digest
    assert model.explain(model.users.values[0], model.items.values[0]).columns == why.columns
    assert model.frozen.ranker.rank_constant == 1.0 and len(model.frozen.retrievers) == 2
    assert model.fit(sample()).recommend(n=5).to_lists() != before


def test_parameters_of_rankers_and_features_count_at_the_next_fit():
    data = sample()
    pairs = ferrec.Retrieval([ferrec.ItemKNN(), ferrec.Popularity()], n_candidates=10).fit(data).candidates()
    labels = np.arange(len(pairs)) % 2
    for ranker in (ferrec.ReciprocalRankFusion(), ferrec.WeightedBlend()):
        scores = ranker.fit(pairs, labels).score(pairs)
        ranker.set_params(**{name: object() for name in ranker.get_params() if name != "n_threads"})
        assert np.array_equal(ranker.score(pairs), scores)
    feature = ferrec.features.ItemStatistics().fit(data)
    number = ferrec.features.UserNumber(column="age").fit(
        data.with_users({"user_id": data.users.values, "age": np.arange(data.n_users)})
    )
    for one in (feature, number):
        columns = one.columns(pairs)
        one.set_params(**{name: object() for name in one.get_params()})
        again = one.columns(pairs)
        assert list(again) == list(columns)
        assert all(np.array_equal(again[name], columns[name]) for name in columns)


def test_threads_are_the_present_ones(fitted):
    twin = fitted.frozen
    assert twin is fitted.frozen and twin.n_threads is None
    fitted.set_params(n_threads=2)
    assert fitted.frozen.n_threads == 2 and fitted.frozen is fitted.frozen
    assert twin.n_threads is None, "somebody may be ranking with it"
    fitted.set_params(damping=0.9).fit(sample(seed=1))
    frozen, state = fitted.settled
    assert (frozen.n_threads, frozen.damping) == (2, 0.9) and state is fitted.state
    fitted.set_params(n_threads=3)
    assert fitted.settled[0].damping == 0.9 and fitted.settled[1] is state


def test_clone_is_deep():
    encoder = object()
    model = ferrec.Hybrid(
        retrievers={"a": ferrec.ContentKNN(encoder=encoder), "b": Together(damping=0.1).fit(sample())},
        ranker=ferrec.WeightedBlend(weights={"a_score": 1.0}),
    )
    twin = clone(model)
    assert repr(twin) == repr(model)
    assert twin.retrievers["b"] is not model.retrievers["b"] and not twin.retrievers["b"].is_fitted
    assert twin.ranker.weights == model.ranker.weights and twin.ranker.weights is not model.ranker.weights
    assert twin.retrievers["a"].encoder is encoder, "code is shared"


# -- files ------------------------------------------------------------------------------------------------------


def test_a_model_from_elsewhere_is_saved_by_its_module(fitted, tmp_path, capsys):
    fitted.save(tmp_path / "model")
    index = json.loads((tmp_path / "model" / "model.json").read_text())
    assert index["model"] == f"{__name__}:Together" and index["params"]["damping"] == 0.3
    twin = ferrec.load(tmp_path / "model", verify=True)
    assert type(twin) is Together and checksum(twin) == checksum(fitted)
    summary = ferrec.score_batch(tmp_path / "model", None, tmp_path / "out.parquet", n=5)
    assert summary.users == len(fitted.users)
    table = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "out.parquet")
    expected = fitted.recommend(n=5).to_arrow("user_id", "item_id")
    assert table.select(expected.column_names).to_pydict() == expected.to_pydict()
    assert cli.main(["inspect", str(tmp_path / "model"), "--verify"]) == 0
    assert f"{__name__}:Together" in capsys.readouterr().out


def test_a_hybrid_of_it(tmp_path, capsys):
    model = ferrec.Hybrid(
        retrievers=[Together(), ferrec.ItemKNN(k=5)], ranker=ferrec.ReciprocalRankFusion(), n_candidates=10
    ).fit(sample())
    model.save(tmp_path / "model")
    twin = ferrec.load(tmp_path / "model")
    assert twin.recommend(n=5).to_lists() == model.recommend(n=5).to_lists()
    assert checksum(twin) == checksum(model)
    user, item = model.users.values[0], model.items.values[3]
    why = model.explain(user, item)
    assert set(why.retrievers) == {"item_knn"}, "the other explains nothing"
    assert why.score == model.score([user], [item])[0]
    ferrec.score_batch(tmp_path / "model", None, tmp_path / "out.parquet", n=5)
    assert cli.main(["inspect", str(tmp_path / "model")]) == 0
    ferrec.cross_validate(model, sample(), 2, ["ndcg@5"])


SCRIPT = """
import sys
from dataclasses import dataclass
import numpy as np, ferrec
from ferrec.models import DenseRecommender, PerItem, State

@dataclass(frozen=True, eq=False)
class Fixed(State):
    scores: PerItem

class Constant(DenseRecommender[Fixed]):
    state_type = Fixed
    personalized = False
    def __init__(self, *, n_threads=None):
        self.n_threads = n_threads
    def learn(self, data, callback):
        return Fixed(data.users, data.items, data.csr, np.arange(data.n_items, dtype=np.float32))
    def score_items(self, state, queries):
        return np.broadcast_to(state.scores, (len(queries), len(state.items)))

if sys.argv[1] == "save":
    data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "jam", "tea"])
    Constant().fit(data).save("model")
print(ferrec.load("model").recommend(2)[2])
"""


def run(folder: Path, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )


def test_a_model_of_a_script_and_of_a_module(tmp_path):
    (tmp_path / "shop.py").write_text(SCRIPT)
    for how in ("save", "load"):
        done = run(tmp_path, "shop.py", how)
        assert done.returncode == 0 and done.stdout == "[('jam', 0.0)]\n", done.stderr
    with pytest.raises(ModelFileError, match="defined in a script or notebook"):
        ferrec.load(tmp_path / "model")
    saved = run(tmp_path, "-c", "import sys; sys.argv = ['', 'save']; import shop")
    assert saved.returncode == 0, saved.stderr
    with pytest.raises(ModelFileError, match="unknown class 'Constant'; import shop, which defines it"):
        ferrec.load(tmp_path / "model")
    alone = run(tmp_path, "-m", "ferrec.cli", "inspect", "model")
    assert alone.returncode == 1 and "ferrec --import shop" in alone.stderr
    (tmp_path / "shop.py").write_text(SCRIPT[: SCRIPT.index("if sys.argv")])
    told = run(
        tmp_path, "-m", "ferrec.cli", "--import", "shop", "inspect", "model", PYTHONPATH=_path(tmp_path)
    )
    assert told.returncode == 0 and "shop:Constant" in told.stdout, told.stderr
    wrong = run(tmp_path, "-m", "ferrec.cli", "--import", "shopp", "inspect", "model")
    assert wrong.returncode == 2 and "--import: No module named 'shopp'" in wrong.stderr


def _path(folder: Path) -> str:
    return os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])


def test_a_class_that_is_defined_anew_is_the_one_that_is_loaded(fitted, tmp_path):
    """As where the cell of a notebook is run again: also for models that are saved already."""
    fitted.save(tmp_path / "model")
    try:
        anew = type("Together", (Together,), {"__module__": __name__, "__qualname__": "Together"})
        assert type(ferrec.load(tmp_path / "model")) is anew
        anew.learn = Together.learn
        again = anew(damping=0.3).fit(sample())
        again.save(tmp_path / "model")
        assert type(ferrec.load(tmp_path / "model")) is anew
        # What was fitted before the cell was run again is saved too, also within another model.
        fitted.save(tmp_path / "model")
        ferrec.Retrieval([fitted]).save(tmp_path / "retrieval")
        assert type(ferrec.load(tmp_path / "retrieval").fitted["together"]) is anew
    finally:
        ferrec.storage.registry.register(Together)
    assert type(ferrec.load(tmp_path / "model")) is Together


@pytest.mark.parametrize(
    "name",
    [
        "os:system",
        "os.path:join",
        "subprocess:Popen",
        "builtins:eval",
        "../../etc:passwd",
        "shop\x1b[31m:Model",
        "a" * 10_000 + ":Model",
        ":Model",
        "shop:",
        "ferrec.models:ItemKNN",
        "__import__('os').system('true'):x",
    ],
)
def test_a_hostile_name_imports_nothing(name, fitted, tmp_path):
    fitted.save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    index = json.loads(path.read_text()) | {"model": name}
    path.write_text(json.dumps(index))
    modules = set(sys.modules)
    with pytest.raises(ModelFileError) as found:
        ferrec.load(tmp_path / "model")
    text = str(found.value)
    assert text.isprintable() and len(text) < 1500
    assert {one for one in set(sys.modules) - modules if not one.startswith("ferrec")} <= set()


def test_states_of_other_sizes_are_refused(fitted):
    wrong = as_csr(sparse.csr_array((3, 3), dtype=np.float32))
    with pytest.raises(DataError, match="together: must have shape"):
        TogetherState(fitted.users, fitted.items, fitted.state.seen, wrong)


# -- metrics, features, rankers ---------------------------------------------------------------------------------


def test_a_metric_of_ones_own_is_ferrecs_where_the_formula_is():
    data = sample()
    train, test = ferrec.split.leave_last_out(data)
    model = ferrec.ItemKNN(k=10).fit(train)
    add_metric("my_hits", lambda judged: judged.sums(judged.hits) > 0)
    add_metric("my_precision", lambda judged: judged.sums(judged.hits) / judged.k)
    add_metric("my_misses", lambda judged: judged.sums(~judged.hits), lower_is_better=True)
    names = ["hit_rate@3", "my_hits@3", "precision@7", "my_precision@7", "my_misses@2"]
    found = ferrec.evaluate(model, test, names)
    assert found["my_hits@3"] == found["hit_rate@3"] > 0
    assert found["my_precision@7"] == pytest.approx(found["precision@7"])
    assert list(found.metrics) == names and len(found.per_user["my_hits@3"]) == found.n_users
    validated = ferrec.cross_validate(model, data, 2, ["my_hits@3"])
    assert 0 < validated["my_hits@3"] < 1
    pytest.importorskip("optuna")
    tuning = ferrec.tune(Together, data, metric="my_misses@2", n_trials=3)
    assert tuning.best_value == min(trial.value for trial in tuning.trials)


@pytest.mark.parametrize("name", ["ndcg", "coverage", "auc", "rmse", "novelty", "my metric", "", "A", 3])
def test_names_of_metrics_that_are_refused(name):
    with pytest.raises(ValueError, match="name: "):
        add_metric(name, lambda judged: judged.users)


@pytest.mark.parametrize("wrong", [lambda judged: 1.0, lambda judged: judged.items, lambda judged: ["a"] * 9])
def test_a_metric_that_returns_something_else_is_refused(wrong):
    train, test = ferrec.split.leave_last_out(sample())
    add_metric("wrong", wrong)
    with pytest.raises(ValueError, match="wrong: must return a number for each of"):
        ferrec.evaluate(ferrec.Popularity().fit(train), test, ["wrong@5"])


class Shown(ItemFeature):
    """The page's kind of feature."""

    names: ClassVar = ["shown"]

    def values(self, data):
        return [np.bincount(data.csr.parts()[1], minlength=data.n_items)]


@dataclass(frozen=True, eq=False)
class FirstState(RankerState):
    """Nothing but the columns."""


class First(Ranker[FirstState]):
    """Scores by the first column."""

    state_type = FirstState

    def __init__(self, *, sign=1.0):
        self.sign = sign

    def learn(self, train, validation, callback):
        return FirstState(tuple(train.candidates.columns))

    def score_pairs(self, state, candidates):
        return np.float32(self.sign) * candidates.columns[state.columns[0]]


def test_features_and_rankers_of_ones_own_are_saved(tmp_path):
    model = ferrec.Hybrid(
        retrievers=[Together()], features=[Shown()], ranker=First(sign=-1.0), n_candidates=10
    ).fit(sample())
    model.set_params(ranker__sign=1.0)
    model.save(tmp_path / "model")
    twin = ferrec.load(tmp_path / "model")
    assert twin.recommend(n=5).to_lists() == model.recommend(n=5).to_lists()
    assert "shown" in twin.state.features.names and twin.state.ranker.sign == -1.0
    with pytest.raises(NotFittedError):
        First().score(None)


def test_the_protocol_is_all_in_one_place():
    """Everything that the page's model needs is public, and the hooks of the base say what they get and return."""
    assert isinstance(Together, type) and issubclass(Together, Recommender)
    for hook in ("learn", "rank", "score_pairs", "explain_parts", "rank_similar_items", "rank_similar_users"):
        doc = getattr(Recommender, hook).__doc__
        assert "Parameters\n" in doc and "Returns\n" in doc
