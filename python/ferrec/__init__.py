"""ferrec: events in, top-N recommendations out, at hardware speed.

Build an [`Interactions`][ferrec.Interactions], fit a model, ask for recommendations:

>>> import ferrec
>>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
>>> ferrec.ItemKNN(k=10).fit(data).recommend(3)[3]
[('milk', 0.8164966106414795)]

The kernels under the models are in [`ferrec.kernels`][ferrec.kernels].
"""

from ferrec import features, kernels, split
from ferrec._rust import __version__
from ferrec.candidates import Candidates
from ferrec.errors import (
    DataError,
    FerrecError,
    MissingExtraError,
    ModelFileError,
    NotFittedError,
    UnknownIdError,
    UnsupportedError,
)
from ferrec.evaluation import Comparison, Evaluation, compare, evaluate, evaluate_ratings
from ferrec.explanation import Explanation, HybridExplanation
from ferrec.hybrid import Hybrid
from ferrec.interactions import Interactions
from ferrec.labels import Labels
from ferrec.models import (
    ALS,
    EASE,
    SLIM,
    Bias,
    BiasedMF,
    ItemKNN,
    ItemKNNRegressor,
    P3Alpha,
    Popularity,
    PureSVD,
    Random,
    Recommender,
    RP3Beta,
    UserKNN,
    UserKNNRegressor,
)
from ferrec.planning import Plan, plan
from ferrec.rankers import LightGBMRanker, MLPRanker, Ranker, ReciprocalRankFusion, WeightedBlend
from ferrec.recommendations import Recommendations
from ferrec.retrieval import Retrieval
from ferrec.storage import load

__all__ = [
    "ALS",
    "EASE",
    "SLIM",
    "Bias",
    "BiasedMF",
    "Candidates",
    "Comparison",
    "DataError",
    "Evaluation",
    "Explanation",
    "FerrecError",
    "Hybrid",
    "HybridExplanation",
    "Interactions",
    "ItemKNN",
    "ItemKNNRegressor",
    "Labels",
    "LightGBMRanker",
    "MLPRanker",
    "MissingExtraError",
    "ModelFileError",
    "NotFittedError",
    "P3Alpha",
    "Plan",
    "Popularity",
    "PureSVD",
    "RP3Beta",
    "Random",
    "Ranker",
    "ReciprocalRankFusion",
    "Recommendations",
    "Recommender",
    "Retrieval",
    "UnknownIdError",
    "UnsupportedError",
    "UserKNN",
    "UserKNNRegressor",
    "WeightedBlend",
    "__version__",
    "compare",
    "evaluate",
    "evaluate_ratings",
    "features",
    "kernels",
    "load",
    "plan",
    "split",
]
