"""The models: one file each. A new one is a file here and a line in `__all__`; the conformance tests of
`ferrec.testing`, the CLI and `ferrec.load` find it by that line.
"""

from typing import Any

from ferrec.models._base import Recommender
from ferrec.models.als import ALS
from ferrec.models.bias import Bias
from ferrec.models.biased_mf import BiasedMF
from ferrec.models.content_knn import ContentKNN
from ferrec.models.ease import EASE
from ferrec.models.item_embeddings import ItemEmbeddings
from ferrec.models.item_knn import ItemKNN
from ferrec.models.item_knn_regressor import ItemKNNRegressor
from ferrec.models.p3alpha import P3Alpha
from ferrec.models.popularity import Popularity
from ferrec.models.pure_svd import PureSVD
from ferrec.models.random import Random
from ferrec.models.rp3beta import RP3Beta
from ferrec.models.slim import SLIM
from ferrec.models.user_knn import UserKNN
from ferrec.models.user_knn_regressor import UserKNNRegressor

__all__ = [
    "ALS",
    "EASE",
    "SLIM",
    "Bias",
    "BiasedMF",
    "ContentKNN",
    "ItemEmbeddings",
    "ItemKNN",
    "ItemKNNRegressor",
    "P3Alpha",
    "Popularity",
    "PureSVD",
    "RP3Beta",
    "Random",
    "Recommender",
    "UserKNN",
    "UserKNNRegressor",
]

MODELS: dict[str, type[Recommender[Any]]] = {
    name: globals()[name] for name in __all__ if name != "Recommender"
}
"""Every model by its class name."""
