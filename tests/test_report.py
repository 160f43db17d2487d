"""The page of an evaluation: everything asked for is on it, and nothing needs the network."""

import json
import re

import numpy as np
import pytest

import ferrec
from ferrec.cli import main as cli
from ferrec.datasets import synthetic

METRICS = ["ndcg@10", "recall@10", "coverage@10", "novelty@10"]


@pytest.fixture(scope="module")
def parts():
    data = ferrec.Interactions.from_csr(synthetic(300, 80, 4_000, seed=1))
    train, test = ferrec.split.random(data, 0.25, seed=2)
    models = {"item-knn": ferrec.ItemKNN(k=20).fit(train), "<popular>": ferrec.Popularity().fit(train)}
    return train, test, models, ferrec.compare(models, test, METRICS)


def test_the_page_holds_metrics_intervals_tests_groups_and_examples(parts, tmp_path):
    _, _, models, found = parts
    recs = models["item-knn"].recommend([3, 4], n=3)
    path = tmp_path / "report.html"
    names = {item: f"thing & {item}" for item in models["item-knn"].items.values.tolist()}
    page = ferrec.report(found, path, title="A <b>test</b>", examples={"item-knn": recs}, item_names=names)
    assert path.read_text(encoding="utf-8") == page
    for name, one in found.evaluations.items():
        low, high = one.intervals()["ndcg@10"]
        text = f"{one['ndcg@10']:.4f}"
        assert re.search(rf"{re.escape(text)}( ★)? \({low:.4f}–{high:.4f}\)", page), name
    corrected = next(iter(found.significance("ndcg@10", baseline="<popular>"))).difference
    assert f"{corrected:+.4f}" in page
    for heading in ("Users by activity", "Items by popularity", "against coverage@10", "against novelty@10"):
        assert heading in page
    first = recs[3][0][0]
    assert f"thing &amp; {first}" in page
    assert "&lt;popular&gt;" in page and "<popular>" not in page and "A &lt;b&gt;test" in page


def test_the_page_needs_nothing_else(parts):
    page = ferrec.report(parts[3])
    assert not re.search(r"<script|<link|<img|@import|url\(\s*['\"]?http", page)
    assert "prefers-color-scheme: dark" in page and 'name="viewport"' in page
    assert page == ferrec.report(parts[3])


def test_a_single_evaluation_and_a_chosen_metric(parts):
    _, test, models, _ = parts
    one = ferrec.evaluate(models["item-knn"], test, METRICS)
    page = ferrec.report(one, metric="recall@10")
    assert f"{one['recall@10']:.4f}" in page and "Is the best one better" not in page


def test_bad_arguments_are_named(parts):
    found = parts[3]
    with pytest.raises(ValueError, match=r"metric: 'coverage@10' has no values per user; there are ndcg@10"):
        ferrec.report(found, metric="coverage@10")
    with pytest.raises(TypeError, match="results: expected an Evaluation or a Comparison, got dict"):
        ferrec.report({})


def test_evaluate_writes_the_page(parts, tmp_path, capsys):
    _, test, models, found = parts
    models["item-knn"].save(tmp_path / "knn")
    models["<popular>"].save(tmp_path / "pop")
    events = test.events
    users, items = test.users.decode(events.users), test.items.decode(events.items)
    csv = tmp_path / "test.csv"
    rows = "\n".join(f"{u},{i}" for u, i in zip(users.tolist(), items.tolist(), strict=True))
    csv.write_text(f"user_id,item_id\n{rows}\n")
    page = tmp_path / "page.html"
    arguments = ["evaluate", str(tmp_path / "knn"), str(csv), "--against", str(tmp_path / "pop")]
    assert cli.main([*arguments, "--metrics", ",".join(METRICS), "--report", str(page), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["report"] == str(page)
    assert said["metrics"]["ndcg@10"] == pytest.approx(found["item-knn"]["ndcg@10"])
    assert said["against"]["pop"]["metrics"]["ndcg@10"] == pytest.approx(found["<popular>"]["ndcg@10"])
    text = page.read_text(encoding="utf-8")
    assert "Evaluation on test.csv" in text and "Examples of knn" in text and "Examples of pop" in text
    assert np.isfinite(said["metrics"]["ndcg@10"])
