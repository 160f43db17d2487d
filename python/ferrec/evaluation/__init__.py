"""Evaluation: how good a fitted model's recommendations and ratings are on events that it has not seen."""

from ferrec.errors import publish
from ferrec.evaluation._cross_validation import CrossValidation, Fold, cross_validate
from ferrec.evaluation._predictions import Calibration, probability_metrics, rating_metrics
from ferrec.evaluation._ranking import compare, evaluate
from ferrec.evaluation._ratings import evaluate_ratings
from ferrec.evaluation._report import report
from ferrec.evaluation._results import Comparison, Evaluation, Hits
from ferrec.evaluation._significance import Difference, Significance
from ferrec.evaluation.custom import Judged, add_metric
from ferrec.evaluation.tuning import Trial, Tuning, tune

__all__ = [
    "Calibration",
    "Comparison",
    "CrossValidation",
    "Difference",
    "Evaluation",
    "Fold",
    "Hits",
    "Judged",
    "Significance",
    "Trial",
    "Tuning",
    "add_metric",
    "compare",
    "cross_validate",
    "evaluate",
    "evaluate_ratings",
    "probability_metrics",
    "rating_metrics",
    "report",
    "tune",
]

publish(__name__)
