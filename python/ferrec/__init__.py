"""ferrec: events in, top-N recommendations out, at hardware speed.

Build an [`Interactions`][ferrec.Interactions], fit a model, ask for recommendations:

>>> import ferrec
>>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
>>> ferrec.ItemKNN(k=10).fit(data).recommend(3)[3]
[('milk', 0.8164966106414795)]

The kernels under the models are in [`ferrec.kernels`][ferrec.kernels].
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ferrec import kernels, split
from ferrec._rust import __version__
from ferrec.errors import (
    DataError,
    FerrecError,
    MissingExtraError,
    ModelFileError,
    NotFittedError,
    UnknownIdError,
    UnsupportedError,
)
from ferrec.explanation import Explanation, HybridExplanation
from ferrec.interactions import Interactions
from ferrec.labels import Labels
from ferrec.models import (
    ALS,
    EASE,
    SLIM,
    Bias,
    BiasedMF,
    ContentKNN,
    ItemEmbeddings,
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
from ferrec.recommendations import Recommendations
from ferrec.storage import load

if TYPE_CHECKING:
    from ferrec import features
    from ferrec.batch import BatchSummary, score_batch, score_table
    from ferrec.candidates import Candidates
    from ferrec.description import Description, describe
    from ferrec.evaluation import (
        Comparison,
        CrossValidation,
        Evaluation,
        Tuning,
        compare,
        cross_validate,
        evaluate,
        evaluate_ratings,
        report,
        tune,
    )
    from ferrec.hybrid import Hybrid
    from ferrec.preparation import Prepare
    from ferrec.rankers import LightGBMRanker, MLPRanker, Ranker, ReciprocalRankFusion, WeightedBlend
    from ferrec.retrieval import Retrieval

__all__ = [
    "ALS",
    "EASE",
    "SLIM",
    "BatchSummary",
    "Bias",
    "BiasedMF",
    "Candidates",
    "Comparison",
    "ContentKNN",
    "CrossValidation",
    "DataError",
    "Description",
    "Evaluation",
    "Explanation",
    "FerrecError",
    "Hybrid",
    "HybridExplanation",
    "Interactions",
    "ItemEmbeddings",
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
    "Prepare",
    "PureSVD",
    "RP3Beta",
    "Random",
    "Ranker",
    "ReciprocalRankFusion",
    "Recommendations",
    "Recommender",
    "Retrieval",
    "Tuning",
    "UnknownIdError",
    "UnsupportedError",
    "UserKNN",
    "UserKNNRegressor",
    "WeightedBlend",
    "__version__",
    "compare",
    "cross_validate",
    "describe",
    "evaluate",
    "evaluate_ratings",
    "features",
    "kernels",
    "load",
    "plan",
    "report",
    "score_batch",
    "score_table",
    "split",
    "tune",
]

# What `import ferrec` leaves for its first use: who only wants kernels and models does not wait for the rest.
_LATER = {
    "batch": ("BatchSummary", "score_batch", "score_table"),
    "candidates": ("Candidates",),
    "description": ("Description", "describe"),
    "evaluation": (
        "Comparison",
        "CrossValidation",
        "Evaluation",
        "Tuning",
        "compare",
        "cross_validate",
        "evaluate",
        "evaluate_ratings",
        "report",
        "tune",
    ),
    "features": (),
    "hybrid": ("Hybrid",),
    "preparation": ("Prepare",),
    "rankers": ("LightGBMRanker", "MLPRanker", "Ranker", "ReciprocalRankFusion", "WeightedBlend"),
    "retrieval": ("Retrieval",),
}
_HOMES = {name: module for module, names in _LATER.items() for name in names}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return import_module(f"ferrec.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'ferrec' has no attribute {name!r}")
    found = getattr(import_module(f"ferrec.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
