"""Two stages: several models propose a few hundred items to each user, and a ranker puts them in order."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data import splits
from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.data.sequences import Sequences
from ferrec.errors import DataError, ParameterError, ParameterTypeError, UnsupportedError
from ferrec.features import Feature, FeatureSet, defaults
from ferrec.io.arrays import joined, offsets_of
from ferrec.io.progress import Callback, bar
from ferrec.kernels.arguments import Progress, as_float, as_int
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts, rows_of
from ferrec.models import ItemKNN, Popularity, PureSVD
from ferrec.models.base import ExplanationParts, Recommender
from ferrec.models.estimator import clone
from ferrec.models.explanation import HybridExplanation
from ferrec.models.lookup import read_queries
from ferrec.models.search_space import Int, SearchSpace
from ferrec.models.state import State
from ferrec.rankers import MLPRanker, Ranker
from ferrec.rankers.contributions import contributions
from ferrec.two_stage.retrieval import Retrieval, named_models
from ferrec.two_stage.training import TrainingSet, rejoined, sampled_pairs


@dataclass(frozen=True, eq=False)
class HybridState(State):
    """The fitted stages."""

    retrieval: Retrieval
    features: FeatureSet
    ranker: Ranker[Any]

    def sequences_of(self, codes: NDArray[np.int32] | None = None) -> Sequences:
        """Those of a retriever that keeps them."""
        return self.retrieval.known.sequences_of(codes)

    def __post_init__(self) -> None:
        """Check that the stages speak of the same users and items."""
        super().__post_init__()
        for what, part in (("retrieval", self.retrieval), ("features", self.features.state)):
            if part.users != self.users or part.items != self.items:
                raise DataError(what, "was fitted on other users or items")


def default_ranker() -> MLPRanker:
    """The network that ranks where nothing else is said: it learns to tell the right one of 32 proposals.

    A list needs an order, not probabilities: the listwise loss ranked better than binary cross-entropy on every
    set of data of docs/hybrid.md.

    Examples
    --------
    >>> default_ranker()
    MLPRanker(dropout=0.2, loss='listwise', negatives=31, batch_size=1024)
    """
    return MLPRanker(loss="listwise", negatives=31, dropout=0.2, batch_size=1024)


class Hybrid(Recommender[HybridState]):
    """Retrievers propose, features describe, a ranker decides: the two stages of YouTube's recommender.

    `fit` takes the past and the future of one split. Retrievers and features see only the past, the ranker learns
    which of their proposals came true in the future; then retrievers and features are fitted again on everything.
    So no column that the ranker learns from knows its answer.

    Parameters
    ----------
    retrievers : sequence of Recommender, or mapping of str to Recommender, optional
        Not fitted; copies are. By default ``ItemKNN()``, ``PureSVD()`` and ``Popularity()``.
    n_candidates : int, or mapping of str to int
        How many items each of them proposes to a user.
    features : FeatureSet or sequence of Feature, optional
        What the ranker knows of each proposal besides the retrievers' scores and ranks. By default
        `ferrec.features.defaults`: one of each kind that the data has something for.
    ranker : Ranker, optional
        By default `default_ranker()`, a network, which needs the extra ``tensorflow`` to fit, and nothing to
        recommend.
    holdout_fraction : float
        Where `fit` gets no future: the latest share of the events that becomes it (a random share, where there
        are no times), in (0, 1).
    validation_fraction : float
        The latest share of the future that tells the ranker when to stop, in [0, 1). 0 for none.
    max_pairs : int
        The ranker learns from about so many pairs at most, of users drawn at random.
    block_size : int
        Users that are recommended to at a time; memory grows with it, results do not depend on it.
    seed : int
        For what is drawn at random here; models and ranker have their own.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow; the parts have their own, which this does not change.

    References
    ----------
    Covington, Adams & Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016.
    """

    state_type = HybridState
    _fit_call = "fit(past, future)"
    uses_order = True  # of features that look at the latest items, and of the split where there are no times

    search_space: ClassVar[SearchSpace] = {"n_candidates": Int(20, 500, log=True)}

    def __init__(
        self,
        *,
        retrievers: Sequence[Recommender[Any]] | Mapping[str, Recommender[Any]] | None = None,
        n_candidates: int | Mapping[str, int] = 100,
        features: FeatureSet | Sequence[Feature[Any]] | None = None,
        ranker: Ranker[Any] | None = None,
        holdout_fraction: float = 0.2,
        validation_fraction: float = 0.2,
        max_pairs: int = 3_000_000,
        block_size: int = 1024,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.retrievers = retrievers
        self.n_candidates = n_candidates
        self.features = features
        self.ranker = ranker
        self.holdout_fraction = holdout_fraction
        self.validation_fraction = validation_fraction
        self.max_pairs = max_pairs
        self.block_size = block_size
        self.seed = seed
        self.n_threads = n_threads

    # -- fit ------------------------------------------------------------------------------------------------

    def fit(
        self, past: Interactions, future: Interactions | None = None, *, progress: Progress = False
    ) -> Self:
        """Learn from the past what to propose, and from the future what came of it.

        Parameters
        ----------
        past : Interactions
            What retrievers and features learn from, at first.
        future : Interactions, optional
            What happened then: the other part of the same split, with the same users and items. By default the
            latest share of `past`, see `holdout_fraction`.
        progress : bool or callable
            True draws bars (extra ``progress``); a callable gets ``(done, total)`` of each part of the work.

        Returns
        -------
        self

        Raises
        ------
        TypeError, ValueError
            A parameter makes no sense, or the data are no `Interactions`.
        DataError
            The two are not of one split; none of the proposals came true; or there is too little to split.
        MissingExtraError
            The ranker needs a package that is not installed; says which extra brings it.

        Examples
        --------
        >>> import ferrec
        >>> users, items = np.random.default_rng(0).integers(0, (50, 30), (900, 2)).T
        >>> data = ferrec.Interactions.from_arrays(users, items, times=range(900))
        >>> past, future = ferrec.split.by_time(data, fraction=0.2)
        >>> model = ferrec.Hybrid(ranker=ferrec.ReciprocalRankFusion()).fit(past, future)
        >>> len(model.recommend(n=5))
        50
        """
        if future is None:
            return super().fit(past, progress=progress)
        for name, part in (("past", past), ("future", future)):
            if not isinstance(part, Interactions):
                raise ParameterTypeError(name, "expected Interactions", type(part))
        learner = clone(self)
        with bar(progress, "fit Hybrid") as callback:
            self.adopt(learner._learn(past, future, rejoined(past, future), callback), learner)
        return self

    def learn(self, data: Interactions, callback: Callback | None) -> HybridState:
        share = as_float("holdout_fraction", self.holdout_fraction)
        if data.events.times is None:
            past, future = splits.random(data, share, seed=as_int("seed", self.seed, minimum=0))
        else:
            past, future = splits.by_time(data, fraction=share)
        return self._learn(past, future, data, callback)

    def _learn(
        self, past: Interactions, future: Interactions, whole: Interactions, callback: Callback | None
    ) -> HybridState:
        retrieval, features, ranker = self._stages(past)
        learned = self._training_set(past, future, retrieval.fit(past), features.fit(past))
        ranker.fit(
            learned.pairs,
            learned.labels,
            categories=features.categories,
            validation=learned.validation,
            progress=callback or False,
        )
        retrieval, features = clone(retrieval).fit(whole), clone(features).fit(whole)
        return HybridState(whole.users, whole.items, whole.csr, retrieval, features, ranker)

    def _training_set(
        self, past: Interactions, future: Interactions, retrieval: Retrieval, features: FeatureSet
    ) -> TrainingSet:
        """What the ranker learns from: pairs with the columns of the past and the labels of the future."""
        fraction = as_float("validation_fraction", self.validation_fraction)
        if not 0 <= fraction < 1:
            raise ParameterError("validation_fraction", "must be in [0, 1)", fraction)
        seed = as_int("seed", self.seed, minimum=0)
        pairs = sampled_pairs(
            retrieval,
            features,
            past,
            future,
            max_pairs=as_int("max_pairs", self.max_pairs, minimum=1),
            block_size=as_int("block_size", self.block_size, minimum=1),
            seed=seed,
        )
        return TrainingSet.of(pairs, future, fraction, seed)

    def _stages(self, data: Interactions) -> tuple[Retrieval, FeatureSet, Ranker[Any]]:
        """The three stages, not fitted."""
        models = self.retrievers
        if models is None:
            models = [ItemKNN(), PureSVD(), Popularity()]
        models = named_models(models, "retrievers")
        retrieval = Retrieval(models, self.n_candidates, n_threads=self.n_threads)
        if self.features is None:
            features = defaults(data)
        elif isinstance(self.features, FeatureSet):
            features = clone(self.features)
        else:
            features = FeatureSet(self.features)
        ranker = default_ranker() if self.ranker is None else self.ranker
        if not isinstance(ranker, Ranker):
            raise ParameterTypeError("ranker", "expected a Ranker", ranker)
        return retrieval, features.set_params(n_threads=self.n_threads), clone(ranker)

    # -- recommend ------------------------------------------------------------------------------------------

    def rank(
        self, state: HybridState, queries: Queries, n: int, chosen: Filter, callback: Callback | None
    ) -> CsrParts:
        counts, codes, scores = [], [], []
        for part, at in self._blocks(queries):
            own = [part.history if one is queries.history else rows_of(one, at) for one in chosen.exclude]
            allow = None if chosen.allow is None else rows_of(chosen.allow, at)
            pairs = state.retrieval._propose(part, replace(chosen, exclude=own, allow=allow))
            pairs = state.features.add_to(pairs)
            best = pairs.top(state.ranker.score(pairs), n, n_threads=self.n_threads)
            counts.append(np.diff(best.indptr))
            codes.append(best.codes)
            scores.append(best.scores)
            if callback is not None:
                callback(int(at[-1]) + 1, len(queries))
        indptr = offsets_of(joined(counts, np.int64))
        return indptr, joined(codes, np.int32), joined(scores, np.float32)

    def score_pairs(self, state: HybridState, queries: Queries, pairs: _rust.Csr) -> NDArray[np.float32]:
        scores = []
        for part, at in self._blocks(queries):
            indptr, codes, _ = rows_of(pairs, at).parts()
            described = state.retrieval._score(Candidates(part, state.items, indptr, codes))
            scores.append(state.ranker.score(state.features.add_to(described)))
        return joined(scores, np.float32)

    def outcomes(self, test: Interactions) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Which of its proposals came true, and what the ranker gave them: the ranker seen as a classifier.

        Of all items that the retrievers propose to the users of the test data, not of the recommended ones only.

        Parameters
        ----------
        test : Interactions
            What happened after everything that `fit` was given: the other part of a split, with the same items.
            Users whom the model does not know are left out.

        Returns
        -------
        labels : ndarray of float32, shape (n_pairs,)
            1 for a proposal that has an event in the test data, 0 for the others.
        scores : ndarray of float32, shape (n_pairs,)
            Of the ranker. With ``MLPRanker(negatives=None)`` they are probabilities that
            `ferrec.evaluation.probability_metrics` and `Calibration` judge.

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            The test data has other items.

        Examples
        --------
        >>> import ferrec
        >>> users, items = np.random.default_rng(0).integers(0, (50, 30), (900, 2)).T
        >>> data = ferrec.Interactions.from_arrays(users, items, times=range(900))
        >>> train, test = ferrec.split.by_time(data, fraction=0.2)
        >>> labels, scores = ferrec.Hybrid(ranker=ferrec.ReciprocalRankFusion()).fit(train).outcomes(test)
        >>> labels.shape == scores.shape, labels.max()
        (True, np.float32(1.0))
        """
        state = self.state
        users = test.users.decode(np.flatnonzero(np.diff(test.csr.parts()[0])))
        codes = state.users.encode(users, name="test", unknown="ignore")
        codes = codes[codes >= 0].astype(np.int32)
        queries = state.queries(codes)
        labels, scores = [], []
        for part, _ in self._blocks(queries):
            pairs = state.features.add_to(state.retrieval._propose(part, Filter([part.history])))
            labels.append(pairs.hits(test))
            scores.append(state.ranker.score(pairs))
        return joined(labels, np.float32), joined(scores, np.float32)

    # -- explain --------------------------------------------------------------------------------------------

    def explain(self, user: object, item: object, *, history: object = None) -> HybridExplanation:
        """What a score is made of, through both stages.

        Parameters
        ----------
        user, item : id
            Whose score, for which item. With `history` (of one new user), `user` only names the answer.
        history
            As in `recommend`.

        Returns
        -------
        HybridExplanation
            Its parts sum to the score exactly.

        Raises
        ------
        UnknownIdError
            The user or the item is not in the fitted data.
        """
        plain = super().explain(user, item, history=history)
        state = self.state
        queries = read_queries(state, None if history is not None else [user], history)
        code = int(state.items.encode([item], name="item")[0])
        average, columns = self._columns(state, queries, code)
        retrievers = {}
        for name, model in state.retrieval.fitted.items():
            with suppress(UnsupportedError):
                retrievers[name] = model.explain(user, item, history=history)
        ordered = dict(sorted(columns.items(), key=lambda entry: -entry[1]))
        return HybridExplanation(
            **{name: getattr(plain, name) for name in ("user", "item", "score", "base", "items", "parts")},
            average=average,
            columns=ordered,
            retrievers=retrievers,
        )

    def _columns(self, state: HybridState, queries: Queries, item: int) -> tuple[float, dict[str, float]]:
        """The average score of the user's candidates, and what each column of the item adds to it."""
        own = Candidates(queries, state.items, np.array([0, 1]), np.array([item], np.int32))
        pair = state.features.add_to(state.retrieval._score(own))
        others = state.features.add_to(state.retrieval._propose(queries, Filter([queries.history])))
        average, parts = contributions(state.ranker, pair, others if len(others) else pair)
        return average, dict(zip(pair.columns, parts.tolist(), strict=True))

    def explain_parts(self, state: HybridState, queries: Queries, item: int) -> ExplanationParts:
        average, columns = self._columns(state, queries, item)
        shares = np.zeros(len(state.items))
        for name, model in state.retrieval.fitted.items():
            try:
                base, items, parts = model.frozen.explain_parts(model.state, queries, item)
            except UnsupportedError:  # what its columns add stays in the base
                continue
            sizes = np.abs(parts)
            whole = abs(base) + sizes.sum()
            if whole > 0:
                added = columns.pop(f"{name}_score") + columns.pop(f"{name}_rank")
                np.add.at(shares, items, added * sizes / whole)
                average += added * abs(base) / whole
        history = np.flatnonzero(shares).astype(np.int32)
        return average + sum(columns.values()), history, shares[history]

    def _blocks(self, queries: Queries) -> Iterator[tuple[Queries, NDArray[np.int32]]]:
        """The queries, some at a time, and where they are."""
        size = as_int("block_size", self.block_size, minimum=1)
        for start in range(0, len(queries), size):
            at = np.arange(start, min(start + size, len(queries)), dtype=np.int32)
            yield queries.take(at), at
