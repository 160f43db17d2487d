"""What is known about a candidate before it is shown: of the item, of the user, and of the two together.

A feature learns from the past only (`fit`), and then gives columns of numbers for any candidates (`columns`). A new
one is a class in a file here and a line in `__all__`; `ferrec.load` finds it by that line.

>>> import ferrec
>>> from ferrec.features import FeatureSet, ItemPopularity, ItemSimilarity
>>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
>>> pairs = ferrec.Retrieval([ferrec.ItemKNN()]).fit(data).candidates()
>>> features = FeatureSet([ItemPopularity(), ItemSimilarity(last=5)]).fit(data)
>>> pairs = features.add_to(pairs)
>>> pairs.columns["item_popularity"].round(3)
array([0.693, 0.693, 0.693, 0.693], dtype=float32)
"""

import inspect
from typing import Any

from ferrec.errors import publish
from ferrec.features._defaults import defaults
from ferrec.features.activity import ItemPopularity, ItemStatistics, UserActivity, UserStatistics
from ferrec.features.affinity import CategoryAffinity, NumberAffinity
from ferrec.features.attributes import ItemCategory, ItemNumber, UserCategory, UserNumber
from ferrec.features.base import Feature, FeatureState, ItemFeature, UserFeature
from ferrec.features.feature_set import FeatureSet
from ferrec.features.recency import ItemRecency, PairHistory, UserRecency
from ferrec.features.similarity import EmbeddingSimilarity, ItemSimilarity, ModelScore
from ferrec.models.estimator import Estimator

__all__ = [
    "CategoryAffinity",
    "EmbeddingSimilarity",
    "Feature",
    "FeatureSet",
    "FeatureState",
    "ItemCategory",
    "ItemFeature",
    "ItemNumber",
    "ItemPopularity",
    "ItemRecency",
    "ItemSimilarity",
    "ItemStatistics",
    "ModelScore",
    "NumberAffinity",
    "PairHistory",
    "UserActivity",
    "UserCategory",
    "UserFeature",
    "UserNumber",
    "UserRecency",
    "UserStatistics",
    "defaults",
]

publish(__name__)

FEATURES: dict[str, type[Estimator[Any]]] = {
    name: kind
    for name, kind in ((name, globals()[name]) for name in __all__)
    if isinstance(kind, type) and issubclass(kind, Estimator) and not inspect.isabstract(kind)
}
"""Every feature, and the set of features, by its class name."""
