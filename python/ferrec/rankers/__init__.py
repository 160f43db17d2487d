"""The rankers: one file each. A new one is a file here and a line in `__all__`.

One of your own is a class of `Ranker` with a `RankerState`; docs/write-your-own.md has one.
"""

import inspect
from typing import Any

from ferrec.errors import publish
from ferrec.rankers.base import LabeledPairs, Ranker, RankerState
from ferrec.rankers.blend import ReciprocalRankFusion, WeightedBlend
from ferrec.rankers.lightgbm import LightGBMRanker
from ferrec.rankers.mlp import MLPRanker

__all__ = [
    "LabeledPairs",
    "LightGBMRanker",
    "MLPRanker",
    "Ranker",
    "RankerState",
    "ReciprocalRankFusion",
    "WeightedBlend",
]

publish(__name__)

RANKERS: dict[str, type[Ranker[Any]]] = {
    name: kind
    for name, kind in ((name, globals()[name]) for name in __all__)
    if issubclass(kind, Ranker) and not inspect.isabstract(kind)
}
"""Every ranker by its class name."""
