"""ferrec: events in, top-N recommendations out, at hardware speed.

Build an [`Interactions`][ferrec.Interactions], fit a model, ask for recommendations:

>>> import ferrec
>>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
>>> ferrec.ItemKNN(k=10).fit(data).recommend(3)[3]
[('milk', 0.8164966106414795)]

The kernels under the models are in [`ferrec.kernels`][ferrec.kernels].
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferrec._rust import __version__ as __version__
from ferrec.storage import registry

if TYPE_CHECKING:  # the public names, each loaded at its first use
    from ferrec import batch as batch
    from ferrec import datasets as datasets
    from ferrec import description as description
    from ferrec import distributed as distributed
    from ferrec import errors as errors
    from ferrec import evaluation as evaluation
    from ferrec import features as features
    from ferrec import kernels as kernels
    from ferrec import models as models
    from ferrec import preparation as preparation
    from ferrec import rankers as rankers
    from ferrec import storage as storage
    from ferrec import testing as testing
    from ferrec import two_stage as two_stage
    from ferrec.batch import BatchSummary as BatchSummary
    from ferrec.batch import score_batch as score_batch
    from ferrec.batch import score_table as score_table
    from ferrec.data import splits as split  # noqa: F401
    from ferrec.data.candidates import Candidates as Candidates
    from ferrec.data.ids import Ids as Ids
    from ferrec.data.interactions import Interactions as Interactions
    from ferrec.data.queries import Queries as Queries
    from ferrec.data.recommendations import Recommendations as Recommendations
    from ferrec.data.sequences import Sequences as Sequences
    from ferrec.description import Description as Description
    from ferrec.description import describe as describe
    from ferrec.errors import DataError as DataError
    from ferrec.errors import DuplicateEventsError as DuplicateEventsError
    from ferrec.errors import FerrecError as FerrecError
    from ferrec.errors import MissingExtraError as MissingExtraError
    from ferrec.errors import ModelFileError as ModelFileError
    from ferrec.errors import NotFittedError as NotFittedError
    from ferrec.errors import ParameterError as ParameterError
    from ferrec.errors import ParameterTypeError as ParameterTypeError
    from ferrec.errors import ShapeError as ShapeError
    from ferrec.errors import UnknownIdError as UnknownIdError
    from ferrec.errors import UnsupportedError as UnsupportedError
    from ferrec.evaluation import Comparison as Comparison
    from ferrec.evaluation import CrossValidation as CrossValidation
    from ferrec.evaluation import Evaluation as Evaluation
    from ferrec.evaluation import Tuning as Tuning
    from ferrec.evaluation import compare as compare
    from ferrec.evaluation import cross_validate as cross_validate
    from ferrec.evaluation import evaluate as evaluate
    from ferrec.evaluation import evaluate_ratings as evaluate_ratings
    from ferrec.evaluation import report as report
    from ferrec.evaluation import tune as tune
    from ferrec.kernels import Plan as Plan
    from ferrec.kernels import plan as plan
    from ferrec.models import ALS as ALS
    from ferrec.models import EASE as EASE
    from ferrec.models import SLIM as SLIM
    from ferrec.models import Bias as Bias
    from ferrec.models import BiasedMF as BiasedMF
    from ferrec.models import ContentKNN as ContentKNN
    from ferrec.models import ItemEmbeddings as ItemEmbeddings
    from ferrec.models import ItemKNN as ItemKNN
    from ferrec.models import ItemKNNRegressor as ItemKNNRegressor
    from ferrec.models import P3Alpha as P3Alpha
    from ferrec.models import Popularity as Popularity
    from ferrec.models import PureSVD as PureSVD
    from ferrec.models import Random as Random
    from ferrec.models import Recommender as Recommender
    from ferrec.models import RP3Beta as RP3Beta
    from ferrec.models import UserKNN as UserKNN
    from ferrec.models import UserKNNRegressor as UserKNNRegressor
    from ferrec.models.explanation import Explanation as Explanation
    from ferrec.models.explanation import HybridExplanation as HybridExplanation
    from ferrec.preparation import Prepare as Prepare
    from ferrec.rankers import LightGBMRanker as LightGBMRanker
    from ferrec.rankers import MLPRanker as MLPRanker
    from ferrec.rankers import Ranker as Ranker
    from ferrec.rankers import ReciprocalRankFusion as ReciprocalRankFusion
    from ferrec.rankers import WeightedBlend as WeightedBlend
    from ferrec.storage import load as load
    from ferrec.two_stage import Hybrid as Hybrid
    from ferrec.two_stage import Retrieval as Retrieval
    from ferrec.two_stage import rerank as rerank


def _public_names() -> dict[str, tuple[str, str]]:
    """The module and the name in it of each public name: read from the imports above, so that each stands once."""
    block = next(node for node in ast.parse(Path(__file__).read_bytes()).body if isinstance(node, ast.If))
    return {
        alias.asname or alias.name: (statement.module or "", alias.name)
        for statement in block.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }


_HOMES = _public_names()
__all__ = ["__version__", *_HOMES]

registry.provide("ferrec.models", "ferrec.rankers", "ferrec.features", "ferrec.two_stage")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        from ferrec.errors import did_you_mean

        advice = did_you_mean(name, __all__)
        raise AttributeError(f"module 'ferrec' has no attribute {name!r}" + (f"; {advice}" if advice else ""))
    module, original = _HOMES[name]
    home = None if module == "ferrec" else import_module(module)
    found = getattr(home, original, None) or import_module(f"{module}.{original}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
