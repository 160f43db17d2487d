"""The models, and the protocol that one of your own fills; docs/write-your-own.md has one of 30 lines.

The life of a model:

1. ``Model(**parameters)`` stores its keyword parameters as they are, and checks nothing.
2. ``fit(data)`` copies the model and has the copy `learn`: parameters are checked, and what the data taught is
   returned as a `State`, a frozen dataclass. The model then holds the state and the copy (``model.frozen``).
3. ``recommend``, ``score``, ``explain``, ``similar_items`` and ``similar_users`` turn the caller's ids into
   `Queries` and rules into a `Filter`, and call a hook of the copy: `rank`, `score_pairs`, `explain_parts`,
   `rank_similar_items`, `rank_similar_users`. So ``set_params`` changes nothing before the next ``fit``; only
   ``n_threads``, which changes no answer, counts at once.
4. ``save`` writes the parameters of the fit, and the state field by field; `ferrec.load` reads them, and finds the
   class by its name: ``ItemKNN``, or ``module:qualified.name`` of a class from elsewhere, whose module must have
   been imported.

A model writes `learn`, `rank` and `score_pairs` (`Recommender`), or `learn` and `score_items` (`DenseRecommender`).
The other hooks are optional; without them the calls raise `UnsupportedError`. Hooks other than `learn` may run in
several threads at once; they change neither the state nor the model.

Fields of a state are saved by their type, and checked against the users and items when they are loaded:

=================  ============================================================================================
`PerUser`          float32, one for each user
`PerItem`          float32, one for each item
`UserRows`         float32, flat: as many for each user, one user after another
`ItemRows`         float32, flat: as many for each item
`UserItem`         a sparse matrix, users × items
`UserUser`         a sparse matrix, users × users
`UserSequences`    the items of each user in the order of the events: `Interactions.sequences`
`ItemItem`         a sparse matrix, items × items
``int, float``     numbers; also ``bool``, and ``tuple[str, ...]``
``NDArray[...]``   any flat array of numbers
an estimator       a model within the model, as a folder within its folder
=================  ============================================================================================

Sparse fields are handles, frozen and checked once, which the kernels take as they are: `as_csr` makes one of a
SciPy matrix, `to_scipy` views one as a SciPy array.

A new model of ferrec's own is a file here and a line in `__all__`; the conformance tests of `ferrec.testing`, the
CLI and `ferrec.load` find it by that line.
"""

import inspect
from typing import Any

from ferrec.data.queries import Queries
from ferrec.errors import publish
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, as_csr, to_scipy
from ferrec.models.base import ExplanationParts, Recommender
from ferrec.models.baselines.bias import Bias
from ferrec.models.baselines.popularity import Popularity
from ferrec.models.baselines.random import Random
from ferrec.models.content.content_knn import ContentKNN
from ferrec.models.dense import DenseRecommender, rank_scores
from ferrec.models.estimator import clone
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
from ferrec.models.search_space import Choice, Float, Int, SearchSpace
from ferrec.models.state import (
    ItemItem,
    ItemRows,
    PerItem,
    PerUser,
    State,
    UserItem,
    UserRows,
    UserSequences,
    UserUser,
)
from ferrec.models.walks.p3alpha import P3Alpha
from ferrec.models.walks.rp3beta import RP3Beta

__all__ = [
    "ALS",
    "EASE",
    "SLIM",
    "Bias",
    "BiasedMF",
    "Choice",
    "ContentKNN",
    "CsrParts",
    "DenseRecommender",
    "ExplanationParts",
    "Filter",
    "Float",
    "Int",
    "ItemEmbeddings",
    "ItemItem",
    "ItemKNN",
    "ItemKNNRegressor",
    "ItemRows",
    "P3Alpha",
    "PerItem",
    "PerUser",
    "Popularity",
    "PureSVD",
    "Queries",
    "RP3Beta",
    "Random",
    "Recommender",
    "SearchSpace",
    "State",
    "UserItem",
    "UserKNN",
    "UserKNNRegressor",
    "UserRows",
    "UserSequences",
    "UserUser",
    "as_csr",
    "clone",
    "rank_scores",
    "to_scipy",
]

publish(__name__)

MODELS: dict[str, type[Recommender[Any]]] = {
    name: kind
    for name, kind in ((name, globals()[name]) for name in __all__)
    if isinstance(kind, type) and issubclass(kind, Recommender) and not inspect.isabstract(kind)
}
"""Every model by its class name."""
