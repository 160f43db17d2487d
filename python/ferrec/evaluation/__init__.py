"""Evaluation: how good a fitted model's recommendations and ratings are on events that it has not seen."""

from ferrec.evaluation._ranking import Comparison, Evaluation, compare, evaluate
from ferrec.evaluation._ratings import evaluate_ratings

__all__ = ["Comparison", "Evaluation", "compare", "evaluate", "evaluate_ratings"]
