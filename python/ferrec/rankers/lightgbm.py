"""Gradient-boosted trees as a ranker."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferrec.data.candidates import Candidates
from ferrec.errors import ModelFileError, ParameterError, require
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_float, as_int, one_of, threads
from ferrec.rankers.base import LabeledPairs, Ranker, RankerState

EXTRA = "lightgbm"
LOSSES = {"binary": "binary", "listwise": "lambdarank"}


@dataclass(frozen=True, eq=False)
class LightGBMState(RankerState):
    """The trees as LightGBM writes them."""

    trees: bytes = field(metadata={"file": "trees.txt"})

    @cached_property
    def booster(self) -> Any:
        """The trees, ready to score."""
        library = require("lightgbm", EXTRA)
        try:
            booster = library.Booster(model_str=self.trees.decode())
        except (library.basic.LightGBMError, UnicodeDecodeError) as error:
            raise ModelFileError(f"trees.txt: LightGBM cannot read it: {error}") from error
        if booster.num_feature() != len(self.columns):
            raise ModelFileError(
                f"trees.txt: has {booster.num_feature()} columns, expected {len(self.columns)}"
            )
        return booster


class LightGBMRanker(Ranker[LightGBMState]):
    """Gradient-boosted trees over the columns of candidates: no scaling, missing values (NaN) as they are.

    Fitting and scoring need LightGBM (extra ``lightgbm``). It often ranks as well as a neural network on a few
    dozen columns, and trains in seconds.

    Parameters
    ----------
    loss : {"binary", "listwise"}
        Cross-entropy of every pair, whose score is a probability, or LambdaMART (Burges 2010) over the pairs of
        each query, whose score is a number on a scale of its own.
    n_estimators : int
        How many at most.
    num_leaves : int
        Of each tree, at most; at least 2.
    learning_rate : float
        What each tree counts.
    min_child_samples : int
        Pairs in a leaf at least.
    patience : int
        With a validation part: stop after so many trees without a gain on it, and go back to the best.
    seed : int
        The same seed gives the same trees, on one machine and version of LightGBM.
    n_threads : int, optional
        By default what CPU affinity and cgroup allow.

    References
    ----------
    Ke et al., "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017. Burges, "From RankNet
    to LambdaRank to LambdaMART", 2010.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.ItemKNN()]).fit(data).candidates()
    >>> ranker = ferrec.LightGBMRanker(n_estimators=5, min_child_samples=1).fit(pairs, [1, 0, 0, 1])
    >>> ranker.score(pairs).shape
    (4,)
    """

    state_type = LightGBMState

    def __init__(
        self,
        *,
        loss: Literal["binary", "listwise"] = "listwise",
        n_estimators: int = 300,
        num_leaves: int = 31,
        learning_rate: float = 0.05,
        min_child_samples: int = 20,
        patience: int = 30,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.loss = loss
        self.n_estimators = n_estimators
        self.num_leaves = num_leaves
        self.learning_rate = learning_rate
        self.min_child_samples = min_child_samples
        self.patience = patience
        self.seed = seed
        self.n_threads = n_threads

    def learn(
        self, train: LabeledPairs, validation: LabeledPairs | None, callback: Callback | None
    ) -> LightGBMState:
        params = self._params()
        library = require("lightgbm", EXTRA)
        names = tuple(train.candidates.columns)

        def dataset(pairs: LabeledPairs, reference: Any = None) -> Any:
            sizes = np.diff(pairs.candidates.indptr)
            return library.Dataset(
                pairs.candidates.matrix(names),
                pairs.labels,
                weight=pairs.weights,
                group=sizes[sizes > 0] if self.loss == "listwise" else None,
                categorical_feature=[names.index(name) for name in train.categories],
                reference=reference,
                params=params,
                free_raw_data=True,
            )

        ours = dataset(train)
        watchers = []
        if validation is not None:
            watchers.append(library.early_stopping(self.patience, verbose=False))
        if callback is not None:
            watchers.append(lambda env: callback(env.iteration + 1, self.n_estimators))
        booster = library.train(
            params,
            ours,
            num_boost_round=self.n_estimators,
            valid_sets=None if validation is None else [dataset(validation, ours)],
            callbacks=watchers,
        )
        return LightGBMState(
            names, booster.model_to_string(num_iteration=booster.best_iteration or -1).encode()
        )

    def _params(self) -> dict[str, Any]:
        for name, least in (
            ("n_estimators", 1),
            ("num_leaves", 2),
            ("min_child_samples", 1),
            ("patience", 1),
            ("seed", 0),
        ):
            as_int(name, getattr(self, name), minimum=least)
        if not 0 < as_float("learning_rate", self.learning_rate) < np.inf:
            raise ParameterError("learning_rate", "must be above 0 and finite", self.learning_rate)
        return {
            "objective": LOSSES[one_of("loss", self.loss, tuple(LOSSES))],
            "metric": "binary_logloss" if self.loss == "binary" else "ndcg",
            "eval_at": [10],
            "num_leaves": self.num_leaves,
            "learning_rate": self.learning_rate,
            "min_data_in_leaf": self.min_child_samples,
            "seed": self.seed,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": threads(self.n_threads),
            "verbosity": -1,
        }

    def score_pairs(self, state: LightGBMState, candidates: Candidates) -> NDArray[np.float32]:
        if not len(candidates):
            return np.empty(0, np.float32)
        rows = candidates.matrix(state.columns)
        scores = state.booster.predict(rows, num_threads=threads(self.n_threads))
        return np.asarray(scores, np.float32)
