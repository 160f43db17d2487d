"""The ranker seen as a classifier: how well it tells which proposals come true, on the grocery data.

    python benches/python/classifier.py

A hybrid of item neighbors, PureSVD and popularity learns from the first four fifths of a year of purchases
(`ferrec.datasets.complete_journey`, extra ``demo``) and is judged on all that it proposes to the households of the
last fifth. Writes the table of docs/hybrid.md and the training curves, docs/img/mlp-training.svg. Seed 0.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets at length
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from accuracy_page import filled
from hybrid_sets import holdout
from machine import REPOSITORY
from tables import markdown

import ferrec
from ferrec.evaluation import probability_metrics

THRESHOLDS = (0.5, 0.1)
SHOWN = ("accuracy", "precision", "recall", "f1", "auc", "log_loss", "calibration_error")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--docs", type=Path, default=REPOSITORY / "docs", help="(default: %(default)s)")
    docs = parser.parse_args().docs
    held = holdout("grocery", Path(), 0)
    rankers = {
        "every proposal": ferrec.MLPRanker(negatives=None, batch_size=1024),
        "4 that did not for each that did": ferrec.MLPRanker(),
    }
    rows, lines = [], []
    for name, ranker in rankers.items():
        model = ferrec.Hybrid(ranker=ranker).fit(held.learn, held.tune)
        fitted = model.state.ranker
        assert isinstance(fitted, ferrec.MLPRanker)
        labels, scores = model.outcomes(held.report)
        for threshold in THRESHOLDS:
            found = probability_metrics(labels, scores, threshold=threshold)
            rows.append([name, f"{threshold:g}", *(f"{found[metric]:.4f}" for metric in SHOWN)])
        if not lines:
            fitted.plot_training(docs / "img" / "mlp-training.svg")
            lines = [f"{len(labels):,} proposals, of which {labels.mean():.2%} came true."]
    table = markdown(["learned from", "threshold", *(name.replace("_", " ") for name in SHOWN)], rows)
    page = docs / "hybrid.md"
    text = filled(page.read_text(encoding="utf-8"), "classifier", [*table, "", *lines])
    page.write_text(text, encoding="utf-8")
    print("\n".join([*table, *lines]))


if __name__ == "__main__":
    main()
