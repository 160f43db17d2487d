"""The rankers: one file each. A new one is a file here and a line in `__all__`."""

from typing import Any

from ferrec.rankers.base import Ranker
from ferrec.rankers.blend import ReciprocalRankFusion, WeightedBlend
from ferrec.rankers.lightgbm import LightGBMRanker
from ferrec.rankers.mlp import MLPRanker

__all__ = ["LightGBMRanker", "MLPRanker", "Ranker", "ReciprocalRankFusion", "WeightedBlend"]

RANKERS: dict[str, type[Ranker[Any]]] = {name: globals()[name] for name in __all__ if name != "Ranker"}
"""Every ranker by its class name."""
