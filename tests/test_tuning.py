"""Cross-validation, search spaces and tuning."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ferrec
from ferrec import DataError, Interactions, split
from ferrec.cli import main as cli
from ferrec.cli.splitting import SPLITS
from ferrec.evaluation import evaluate, evaluate_ratings
from ferrec.models import MODELS
from ferrec.models.search_space import Choice, Float, Int
from ferrec.testing import checkerboard
from ferrec.testing._checks import sample

NOTHING_TO_TUNE = ("Random",)


@pytest.fixture(scope="module")
def data() -> Interactions:
    rng = np.random.default_rng(0)
    n = 2500
    return Interactions.from_arrays(
        rng.integers(0, 80, n),
        rng.zipf(1.3, n) % 50,
        rng.integers(1, 6, n),
        rng.integers(0, 10**6, n),
        duplicates="last",
    )


# -- cross-validation -------------------------------------------------------------------------------------------


def test_every_fold_is_a_fit_and_an_evaluation(data: Interactions) -> None:
    model = ferrec.ItemKNN(k=9, shrink=2.0)
    result = ferrec.cross_validate(model, data, 3, ["ndcg@5", "coverage@5"])
    assert len(result.folds) == 3 and not model.is_fitted
    for fold, (train, test) in zip(result.folds, split.k_fold(data, 3), strict=True):
        alone = evaluate(ferrec.ItemKNN(k=9, shrink=2.0).fit(train), test, ["ndcg@5", "coverage@5"])
        assert fold.metrics == alone.metrics
        assert fold.evaluation is not None and fold.evaluation.n_users == alone.n_users
        assert (fold.train_events, fold.test_events) == (len(train), len(test))
    columns = [fold.metrics["ndcg@5"] for fold in result.folds]
    assert result["ndcg@5"] == result.metrics["ndcg@5"] == pytest.approx(np.mean(columns))
    assert result.deviations["ndcg@5"] == pytest.approx(np.std(columns, ddof=1))
    lines = repr(result).splitlines()
    assert lines[0].split() == ["ndcg@5", "coverage@5", "train", "test", "fit", "s"] and len(lines) == 6
    assert lines[-1].startswith("deviation") and all(line == line.rstrip() for line in lines)
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["metrics"]["ndcg@5"] == result["ndcg@5"] and len(plain["folds"]) == 3
    with pytest.raises(KeyError, match="there are ndcg@5, coverage@5"):
        result["ndcg@7"]


def test_splits_of_every_form(data: Interactions) -> None:
    pair = split.leave_last_out(data)
    forms: list[Any] = [
        pair,
        [pair],
        iter([pair]),
        split.leave_last_out,
        lambda data: [split.leave_last_out(data)],
    ]
    results = [ferrec.cross_validate(ferrec.Popularity(), data, form, "mrr@5") for form in forms]
    assert all(result.metrics == results[0].metrics and len(result.folds) == 1 for result in results)
    assert np.isnan(results[0].deviations["mrr@5"]) and results[0].to_dict()["deviations"] == {"mrr@5": None}
    rolled = ferrec.cross_validate(
        ferrec.Popularity(), data, lambda data: split.rolling(data, 10**5, 2), "mrr@5"
    )
    assert len(rolled.folds) == 2


def test_errors_of_ratings_beside_ranking_metrics(data: Interactions) -> None:
    result = ferrec.cross_validate(ferrec.Bias(), data, 2, ["rmse", "ndcg@5", "mse"])
    train, test = next(split.k_fold(data, 2))
    model = ferrec.Bias().fit(train)
    first = result.folds[0].metrics
    assert list(first) == ["rmse", "ndcg@5", "mse"]
    assert first["rmse"] == evaluate_ratings(model, test)["rmse"] and first["mse"] == pytest.approx(
        first["rmse"] ** 2
    )
    only = ferrec.cross_validate(ferrec.Bias(), data, 2, "mae")
    assert only.folds[0].evaluation is None and list(only.metrics) == ["mae"]


def test_bad_arguments_of_cross_validation(data: Interactions) -> None:
    model = ferrec.Popularity()
    with pytest.raises(ValueError, match=r"metrics: must be one of .*got 'ndgc@5'"):
        ferrec.cross_validate(model, data, 2, ["rmse", "ndgc@5"])
    with pytest.raises(ValueError, match="name at least one"):
        ferrec.cross_validate(model, data, 2, [])
    with pytest.raises(TypeError, match="data: expected Interactions, got list"):
        ferrec.cross_validate(model, [1], 2)  # type: ignore[arg-type]
    for bad in ([1, 2], "k_fold", 2.5, [(data,)], (data, 1)):
        with pytest.raises(TypeError, match="splits: expected pairs"):
            ferrec.cross_validate(model, data, bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="splits: there are none"):
        ferrec.cross_validate(model, data, [])
    with pytest.raises(ValueError, match="n_folds: expected an integer of 2 or more, got 1"):
        ferrec.cross_validate(model, data, 1)


# -- every model ------------------------------------------------------------------------------------------------

EVERY: dict[str, Callable[[], Any]] = {
    **MODELS,
    "Hybrid": lambda: ferrec.Hybrid(
        retrievers={"near": ferrec.ItemKNN(k=5), "popular": ferrec.Popularity()},
        features=[ferrec.features.ItemPopularity()],
        ranker=ferrec.ReciprocalRankFusion(),
        n_candidates=10,
    ),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_model_is_cross_validated_and_tuned(name: str) -> None:
    model, events = EVERY[name](), sample()
    before = repr(model)
    found = ferrec.cross_validate(model, events, 2, ["ndcg@5"])
    assert len(found.folds) == 2 and found["ndcg@5"] > 0
    space = model.search_space or {"n_threads": Choice(1, 2)}
    tuning = ferrec.tune(model, events, 2, "ndcg@5", n_trials=2, space=space)
    assert [trial.error for trial in tuning.trials] == [None, None]
    assert tuning.model.is_fitted and not model.is_fitted and repr(model) == before


def test_parameters_of_parts_are_tuned() -> None:
    pytest.importorskip("optuna")
    model = EVERY["Hybrid"]()
    tuning = ferrec.tune(
        model, sample(), 2, "ndcg@5", n_trials=2, space={"ranker__rank_constant": Float(1.0, 100.0)}
    )
    assert (
        tuning.model.ranker.rank_constant == tuning.best_params["ranker__rank_constant"]
        and model.ranker.rank_constant == 60.0
    )


# -- search spaces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in MODELS if name not in NOTHING_TO_TUNE])
def test_every_model_says_what_to_tune(name: str) -> None:
    kind = MODELS[name]
    assert kind.search_space, f"{name} declares no search_space"
    defaults = kind().get_params()
    for param, values in kind.search_space.items():
        assert defaults[param] is None or defaults[param] in values, "the default lies outside"


@pytest.mark.parametrize("name", [name for name in MODELS if name not in NOTHING_TO_TUNE])
def test_what_is_drawn_from_a_space_fits(name: str) -> None:
    optuna = pytest.importorskip("optuna")
    kind, events = MODELS[name], sample()
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(4):
        trial = study.ask()
        params = {param: values.suggest(trial, param) for param, values in kind.search_space.items()}
        assert all(value in kind.search_space[param] for param, value in params.items())
        kind().set_params(**params).fit(events)


def test_spaces_hold_their_values() -> None:
    assert 3 in Int(1, 3) and 4 not in Int(1, 3) and True not in Int(0, 3) and 2.0 not in Int(1, 3)
    assert (
        1 in Float(0.5, 2)
        and 2.5 not in Float(0.5, 2)
        and None not in Float(0, 1)
        and True not in Float(0, 1)
    )
    assert (
        None in Choice(None, 1)
        and 1 in Choice(None, 1)
        and True not in Choice(None, 1)
        and 1.0 not in Choice(1)
    )
    assert Choice(True, 1).values == (True, 1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Int(3, 1),
        lambda: Int(0, 5, log=True),
        lambda: Int(1, 2.5),  # type: ignore[arg-type]
        lambda: Float(0, 1, log=True),
        lambda: Float(2, 1),
        lambda: Float(0, float("inf")),
        lambda: Float("0", 1),  # type: ignore[arg-type]
        lambda: Choice(),
        lambda: Choice(1, 1),
    ],
)
def test_spaces_that_hold_nothing_are_refused(make: Any) -> None:
    with pytest.raises((ValueError, TypeError), match=r"Int|Float|Choice"):
        make()


# -- tuning -----------------------------------------------------------------------------------------------------


def test_tuning_finds_the_best_and_fits_it(data: Interactions) -> None:
    space = {"k": Int(1, 60, log=True), "measure": Choice("cosine", "jaccard")}
    found = ferrec.tune(
        ferrec.ItemKNN(shrink=1.0), data, split.leave_last_out, "mrr@10", n_trials=8, space=space
    )
    train, test = split.leave_last_out(data)
    values = {}
    for trial in found.trials:
        model = ferrec.ItemKNN(shrink=1.0, **trial.params).fit(train)  # type: ignore[arg-type]
        values[trial.number] = evaluate(model, test, "mrr@10")["mrr@10"]
        assert trial.value == values[trial.number] and trial.state == "complete" and trial.error is None
    assert len(found.trials) == 8 and found.best.number == max(values, key=lambda n: (values[n], -n))
    assert found.best_value == max(values.values()) and found.best_params == found.best.params
    assert found.model.get_params() == ferrec.ItemKNN(shrink=1.0, **found.best_params).get_params()  # type: ignore[arg-type]
    assert np.array_equal(np.diff(found.model.state.seen.parts()[0]), np.diff(data.matrix.indptr)), (
        "not all data"
    )
    assert found.trials[0].params["measure"] == "cosine"  # its own; k=100 lies outside
    assert repr(found).startswith(f"Tuning(mrr@10 {found.best_value:.4f} of 8 trials: k=")
    again = ferrec.tune(
        ferrec.ItemKNN(shrink=1.0), data, split.leave_last_out, "mrr@10", n_trials=8, space=space
    )
    assert [t.params for t in again.trials] == [t.params for t in found.trials]
    other = ferrec.tune(ferrec.ItemKNN(shrink=1.0), data, metric="mrr@10", n_trials=8, space=space, seed=1)
    assert [t.params for t in other.trials] != [t.params for t in found.trials]


def test_the_first_trial_is_the_model_as_it_is(data: Interactions) -> None:
    found = ferrec.tune(ferrec.EASE, data, n_trials=2)
    assert found.trials[0].params == {"reg": 500.0}
    assert found.best_value >= found.trials[0].value  # type: ignore[operator]


def test_errors_are_minimized(data: Interactions) -> None:
    found = ferrec.tune(ferrec.Bias, data, 2, "rmse", n_trials=6)
    assert found.best_value == min(
        t.value for t in found.trials if t.state == "complete" and t.value is not None
    )


def test_splits_are_made_once(data: Interactions) -> None:
    calls = []

    def splits(data: Interactions) -> Any:
        calls.append(1)
        return split.k_fold(data, 2)

    ferrec.tune(ferrec.Popularity, data, splits, "mrr@5", n_trials=3, space={"window": Float(1e5, 1e6)})
    assert calls == [1]


def test_hopeless_trials_are_given_up(data: Interactions) -> None:
    class Worse(ferrec.ItemKNN):
        """The later it is asked, the worse it is."""

        fits = 0

        def learn(self, data: Interactions, callback: Any) -> Any:
            Worse.fits += 1
            if Worse.fits > 15:  # after five trials of three folds
                data = data.select(data.events.items == 0)
            return super().learn(data, callback)

    found = ferrec.tune(Worse, data, 3, "recall@10", n_trials=8, space={"k": Int(1, 40)})
    states = [trial.state for trial in found.trials]
    assert states[:5] == ["complete"] * 5 and set(states[5:]) == {"pruned"}
    pruned = found.trials[-1]
    assert len(pruned.folds) == 1 and pruned.value == pruned.folds[0]
    assert "of 8 trials, 3 pruned" in repr(found)


def test_patience_and_repetition(data: Interactions) -> None:
    fits = []

    class Counted(ferrec.ItemKNN):
        def learn(self, data: Interactions, callback: Any) -> Any:
            fits.append(self.k)
            return super().learn(data, callback)

    space = {"k": Choice(5, 20)}
    found = ferrec.tune(Counted, data, metric="mrr@5", n_trials=40, space=space, patience=6)
    assert len(found.trials) == found.best.number + 7 < 40
    assert len(fits) <= 3, "what was tried before was computed again"  # both, and the best on all data
    calls: list[tuple[int, int]] = []
    ferrec.tune(
        ferrec.ItemKNN,
        data,
        metric="mrr@5",
        n_trials=3,
        space=space,
        progress=lambda *done: calls.append(done),
    )
    assert calls == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(DataError, match=r"none of 0 was completed.*the time was up"):
        ferrec.tune(ferrec.ItemKNN, data, metric="mrr@5", timeout=1e-9, space=space)


def test_failures_are_kept_and_named(data: Interactions) -> None:
    found = ferrec.tune(ferrec.ItemKNN, data, metric="mrr@5", n_trials=6, space={"k": Choice(0, 5, 6, 7)})
    failed = [trial for trial in found.trials if trial.state == "failed"]
    assert failed and all(trial.params["k"] == 0 and trial.value is None for trial in failed)
    assert failed[0].error is not None and failed[0].error.startswith("ParameterError: k: must be at least 1")
    assert f"{len(failed)} failed" in repr(found)
    untimed = Interactions.from_arrays([1, 1, 2, 2], [1, 2, 1, 2])
    with pytest.raises(DataError, match=r"none of 2 was completed; the first says: DataError: half_life"):
        ferrec.tune(ferrec.Popularity, untimed, n_trials=2)


def test_the_table_is_saved(data: Interactions, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import csv, parquet

    space = {"weighting": Choice(None, "bm25"), "k": Choice(3, "x"), "shrink": Float(0.0, 1.0)}
    found = ferrec.tune(ferrec.ItemKNN, data, 2, "mrr@5", n_trials=9, space=space)
    rows = found.to_dicts()
    assert list(rows[0]) == [
        "number",
        "state",
        "mrr@5",
        "fold_1",
        "fold_2",
        "seconds",
        "param_weighting",
        "param_k",
        "param_shrink",
        "error",
    ]
    for ending in ("parquet", "csv", "json"):
        found.save(tmp_path / f"trials.{ending}")
    assert json.loads((tmp_path / "trials.json").read_text()) == rows
    table = parquet.read_table(tmp_path / "trials.parquet")
    assert table.equals(found.to_arrow()) and table["param_k"].type == pyarrow.string()
    assert table["mrr@5"].to_pylist() == [row["mrr@5"] for row in rows]
    assert csv.read_csv(tmp_path / "trials.csv").column_names == list(rows[0])
    frame = found.to_pandas()
    assert frame["seconds"].tolist() == [row["seconds"] for row in rows]
    with pytest.raises(ValueError, match=r"trials.txt: expected a name that ends in .parquet, .csv or .json"):
        found.save(tmp_path / "trials.txt")


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_a_stopped_search_leaves_its_table(data: Interactions, tmp_path: Path, ending: str) -> None:
    kept = tmp_path / f"trials.{ending}"

    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    space = {"k": Int(1, 9)}
    with pytest.raises(KeyboardInterrupt):
        ferrec.tune(
            ferrec.ItemKNN, data, 2, "mrr@5", n_trials=9, space=space, seed=5, path=kept, progress=stop
        )
    whole = ferrec.tune(ferrec.ItemKNN, data, 2, "mrr@5", n_trials=3, space=space, seed=5)
    whole.save(tmp_path / f"whole.{ending}")
    assert trials_in(kept) == trials_in(tmp_path / f"whole.{ending}")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"trials.{ending}", f"whole.{ending}"]


def trials_in(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of trials, but for how long each took."""
    from pyarrow import csv, parquet

    if path.suffix == ".json":
        rows = json.loads(path.read_text())
    else:
        read = csv.read_csv if path.suffix == ".csv" else parquet.read_table
        rows = read(path).to_pylist()
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_table_that_cannot_be_written(data: Interactions, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trials.txt: expected a name that ends in"):
        ferrec.tune(ferrec.ItemKNN, data, path=tmp_path / "trials.txt")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ferrec.tune(ferrec.ItemKNN, data, n_trials=1, path=tmp_path / "nowhere" / "trials.json")


def test_bad_arguments_of_tuning(data: Interactions) -> None:
    with pytest.raises(ValueError, match="Random has nothing to tune"):
        ferrec.tune(ferrec.Random, data)
    with pytest.raises(ValueError, match="must name parameters of ItemKNN, got 'q'"):
        ferrec.tune(ferrec.ItemKNN, data, space={"q": Int(1, 2)})
    with pytest.raises(ValueError, match=r"must be one of .*got 'ndcg'"):
        ferrec.tune(ferrec.ItemKNN, data, metric="ndcg")
    with pytest.raises(ValueError, match="expected the name of one"):
        ferrec.tune(ferrec.ItemKNN, data, metric=["ndcg@5"])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="trials"):
        ferrec.tune(ferrec.ItemKNN, data, n_trials=0)
    with pytest.raises(ValueError, match="patience"):
        ferrec.tune(ferrec.ItemKNN, data, patience=0)
    with pytest.raises(TypeError, match="data: expected Interactions"):
        ferrec.tune(ferrec.ItemKNN, None)  # type: ignore[arg-type]


def test_tuning_of_the_checkerboard() -> None:
    """Any neighborhood finds the missing item; the answer is visible."""
    board = checkerboard()
    found = ferrec.tune(ferrec.ItemKNN, board, 3, "hit_rate@6", n_trials=3)
    assert found.best_value == 1.0
    recs = found.model.recommend(n=1)
    assert recs.items.decode(recs.codes).tolist() == recs.queries.tolist()


# -- on the command line ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events(data: Interactions, tmp_path_factory: pytest.TempPathFactory) -> str:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    found = data.events
    columns = {
        "user_id": found.users,
        "item_id": found.items,
        "stars": found.weights,
        "ts": found.times.view("datetime64[ns]"),
    }
    path = tmp_path_factory.mktemp("tuning") / "events.parquet"
    parquet.write_table(pyarrow.table(columns), path)
    return str(path)


def answer(capsys: pytest.CaptureFixture[str], *words: object) -> dict[str, Any]:
    assert cli.main([*map(str, words), "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


TABLE = ("--rating", "stars", "--time", "ts", "--duplicates", "last")


def test_tune_from_events_to_a_model(events: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, trials = tmp_path / "model", tmp_path / "trials.json"
    words = [
        "tune",
        "--model",
        "item-knn",
        events,
        *TABLE,
        "--trials",
        5,
        "--param",
        "measure=jaccard",
        "--threads",
        1,
    ]
    words += [
        "--metric",
        "mrr@5",
        "--split",
        "by-time:0.25",
        "--trials-table",
        trials,
        "--seed",
        3,
        "-o",
        model,
    ]
    result = answer(capsys, *words)
    read = Interactions.from_parquet(events, rating="stars", time="ts", duplicates="last")
    space = {name: values for name, values in ferrec.ItemKNN.search_space.items() if name != "measure"}
    base = ferrec.ItemKNN(measure="jaccard", n_threads=1)
    parts = split.by_time(read, fraction=0.25)
    found = ferrec.tune(base, read, parts, "mrr@5", n_trials=5, space=space, seed=3)
    assert result["params"] == found.model.get_params() and result["params"]["measure"] == "jaccard"
    assert (result["value"], result["trials"], result["split"]) == (found.best_value, 5, "by-time:0.25")
    rows = json.loads(trials.read_text())
    assert [row["mrr@5"] for row in rows] == [trial.value for trial in found.trials]
    saved, fitted = ferrec.load(model).recommend(n=3), found.model.recommend(n=3)
    assert np.array_equal(saved.codes, fitted.codes) and np.array_equal(saved.scores, fitted.scores)


def test_a_hybrid_is_tuned_and_cross_validated(
    events: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna")
    words = ["--model", "hybrid", "--retrievers", "item-knn,popularity", "--ranker", "reciprocal-rank-fusion"]
    words += [events, *TABLE, "--split", "by-time:0.25"]
    result = answer(capsys, "cross-validate", *words, "--metrics", "ndcg@5")
    assert result["metrics"]["ndcg@5"] > 0
    model = tmp_path / "model"
    result = answer(capsys, "tune", *words, "--metric", "ndcg@5", "--trials", 2, "-o", model)
    assert ferrec.load(model).n_candidates == result["params"]["n_candidates"]


def test_cross_validate_says_what_the_api_says(events: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "cross-validate",
        "--model",
        "bias",
        events,
        *TABLE,
        "--metrics",
        "rmse,mrr@5",
        "--split",
        "k-fold:3",
    ]
    result = answer(capsys, *words)
    read = Interactions.from_parquet(events, rating="stars", time="ts", duplicates="last")
    found = ferrec.cross_validate(ferrec.Bias(), read, 3, ["rmse", "mrr@5"])
    assert result["metrics"] == found.metrics and result["deviations"] == found.deviations
    assert len(result["folds"]) == 3 and result["model"] == "Bias"
    assert cli.main([*words]) == 0
    text = capsys.readouterr().out
    assert "Bias(), k-fold:3" in text and text.splitlines()[-1].startswith("deviation")


@pytest.mark.parametrize("name", SPLITS)
def test_every_split_by_name(name: str, events: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = ":3d" if name == "rolling" else ""
    words = [
        "cross-validate",
        "--model",
        "popularity",
        events,
        *TABLE,
        "--metrics",
        "mrr@5",
        "--include-seen",
    ]
    result = answer(capsys, *words, "--split", name + number)
    assert len(result["folds"]) == {"k-fold": 5, "rolling": 3}.get(name, 1)


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["--split", "nth"], 2, "--split: must be one of 'leave-last-out'"),
        (["--split", "k-fold:x"], 2, "--split: expected a whole number after k-fold:, got 'x'"),
        (["--split", "random:2"], 2, "--split: expected a number between 0 and 1, both excluded, got 2.0"),
        (["--metric", "ndgc@5"], 2, "--metric: must be one of"),
        (["--trials-table", "trials.txt"], 2, "trials.txt: expected a name that ends in"),
        (["--param", "reg=3"], 2, "EASE has nothing to tune"),
        (["--trials", "0"], 2, "expected a whole number of at least 1"),
        (["-o", "."], 1, "exists and is no saved model"),
    ],
)
def test_wrong_commands_say_so(
    words: list[str], code: int, problem: str, events: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["tune", "--model", "ease", events, "-o", str(tmp_path / "m")]
    assert cli.main(base + words) == code
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "m").exists()
