"""From raw events to a tuned model and its pages."""

import json

import numpy as np
import pytest

import ferrec
from ferrec.cli import main as cli
from ferrec.cli import pipeline
from ferrec.datasets import synthetic


@pytest.fixture(scope="module")
def events():
    matrix = synthetic(200, 60, 4_000, seed=3).tocoo()
    order = np.random.default_rng(0).permutation(matrix.nnz)
    return {
        "user_id": matrix.row[order],
        "item_id": matrix.col[order],
        "ts": np.arange(matrix.nnz) * 3_600,
    }


def test_everything_is_written_and_the_model_is_the_best_one(events, tmp_path):
    said = []
    prepare = ferrec.Prepare(time="ts", k_core=3)
    models = {"item-knn": ferrec.ItemKNN(), "ease": ferrec.EASE()}
    summary = pipeline.run_pipeline(events, tmp_path, models, prepare, n_trials=3, say=said.append)
    assert summary == json.loads((tmp_path / "summary.json").read_text())
    assert set(summary["test"]) == {*models, "popularity"}
    validation = {name: one["validation"] for name, one in summary["tuned"].items()}
    assert summary["best"] == max(validation, key=validation.get)
    model = ferrec.load(tmp_path / "model")
    assert model.get_params().items() >= summary["tuned"][summary["best"]]["params"].items()
    assert len(model.users) == summary["data"]["users"]
    for name in models:
        assert len(json.loads((tmp_path / f"trials-{name}.json").read_text())) == 3
    for page in ("events.html", "report.html"):
        assert (tmp_path / page).read_text().startswith("<!doctype html>")
    assert ferrec.Prepare.load(tmp_path / "prepare").get_params() == prepare.get_params()


def test_the_test_part_chooses_nothing(events, tmp_path, monkeypatch):
    """Swapping what the test part says of the models changes the report, and not the choice."""
    models = {"item-knn": ferrec.ItemKNN(), "ease": ferrec.EASE()}
    best = []
    for folder, turned in (("a", False), ("b", True)):

        def judge(fitted, future, *rest, turned=turned, **options):
            found = ferrec.compare(fitted, future, *rest, **options)
            if turned:
                one, other = (found.evaluations[name] for name in models)
                found.evaluations.update(zip(models, (other, one), strict=True))
            return found

        monkeypatch.setattr(pipeline, "compare", judge)
        prepare = ferrec.Prepare(time="ts")
        summary = pipeline.run_pipeline(events, tmp_path / folder, models, prepare, n_trials=1, say=str)
        best.append(summary["best"])
    assert best[0] == best[1]


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (["gini@10"], "metrics: cannot be tuned for, got 'gini@10'; put another first, such as ndcg@10"),
        (["popularity@5", "ndcg@10"], "cannot be tuned for, got 'popularity@5'"),
        (["ndcg@10", "ndgc@10"], "must be one of .*got 'ndgc@10'"),
    ],
)
def test_metrics_are_refused_before_any_work(metrics, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        pipeline.run_pipeline(
            {}, tmp_path / "out", {"ease": ferrec.EASE()}, ferrec.Prepare(), metrics=metrics
        )
    assert not (tmp_path / "out").exists()


def test_a_repeated_column_is_named(tmp_path, capsys):
    csv = tmp_path / "twice.csv"
    csv.write_text("user_id,item_id,user_id\n1,2,3\n")
    assert cli.main(["pipeline", str(csv), "-o", str(tmp_path / "out")]) != 0
    assert "columns appear more than once: 'user_id'" in capsys.readouterr().err


def test_the_test_part_is_later_and_its_users_are_known(events):
    data = ferrec.Interactions.from_table(events, time="ts")
    past, future = pipeline._split(data, 0)
    assert past.events.times.max() < future.events.times.min()
    assert set(future.events.users.tolist()) <= set(past.events.users.tolist())
    past, future = pipeline._split(ferrec.Interactions.from_table(events), 0)
    assert len(past) + len(future) == len(data)


def test_the_command_reads_csv_and_names(events, tmp_path, capsys):
    rows = zip(*(column.tolist() for column in events.values()), strict=True)
    csv, names = tmp_path / "events.csv", tmp_path / "names.csv"
    csv.write_text("user_id,item_id,ts\n" + "\n".join(",".join(map(str, row)) for row in rows) + "\n")
    names.write_text("id,title\n" + "\n".join(f"{item},Thing {item}" for item in range(60)) + "\n")
    out = tmp_path / "out"
    arguments = ["pipeline", str(csv), "-o", str(out), "--time", "ts", "--k-core", "2", "--trials", "2"]
    assert cli.main([*arguments, "--item-names", str(names), "--model", "item-knn", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["best"] == "item-knn" and said["path"] == str(out)
    assert "Thing " in (out / "report.html").read_text()
    assert "events.csv" in (out / "events.html").read_text()


def test_an_unknown_model_is_a_wrong_command(tmp_path, capsys):
    assert cli.main(["pipeline", "x.csv", "-o", str(tmp_path / "out"), "--model", "nonsense"]) == 2
    assert "got 'nonsense'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
