"""The models: one file each. A new one is a file here and a line in `__all__`; the conformance tests of
`ferrec.testing`, the CLI and `ferrec.load` find it by that line.
"""

from typing import Any

from ferrec.models.base import Recommender
from ferrec.models.baselines.bias import Bias
from ferrec.models.baselines.popularity import Popularity
from ferrec.models.baselines.random import Random
from ferrec.models.content.content_knn import ContentKNN
from ferrec.models.factors.als import ALS
from ferrec.models.factors.biased_mf import BiasedMF
from ferrec.models.factors.item_embeddings import ItemEmbeddings
from ferrec.models.factors.pure_svd import PureSVD
from ferrec.models.linear.ease import EASE
from ferrec.models.linear.slim import SLIM
from ferrec.models.neighbors.item_knn import ItemKNN
from ferrec.models.neighbors.item_knn_regressor import ItemKNNRegressor
from ferrec.models.neighbors.user_knn import UserKNN
from ferrec.models.neighbors.user_knn_regressor import UserKNNRegressor
from ferrec.models.walks.p3alpha import P3Alpha
from ferrec.models.walks.rp3beta import RP3Beta

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
