"""The first stage: several models propose items, and then each of them scores everything that was proposed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.candidates import Candidates
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError, NotFittedError, ParameterError, ParameterTypeError
from ferrec.io.progress import bar
from ferrec.kernels.arguments import Progress, as_int, threads
from ferrec.kernels.filters import Filter
from ferrec.kernels.handles import CsrParts
from ferrec.models.base import Recommender
from ferrec.models.estimator import Estimator, clone, snake_name
from ferrec.models.lookup import encode_ids, read_queries
from ferrec.models.scoring import ScoringOptions
from ferrec.models.state import State

__all__ = ["Retrieval"]

Model: TypeAlias = Recommender[Any]


@dataclass(frozen=True, eq=False)
class RetrievalState:
    """The fitted models, and the names of their columns."""

    names: tuple[str, ...]
    models: tuple[Recommender[Any], ...]

    def __post_init__(self) -> None:
        """Check that all speak of the same users and items."""
        if not self.models or len(self.names) != len(self.models):
            raise DataError("models", f"{len(self.models)} with {len(self.names)} names")
        first = self.models[0]
        for name, model in zip(self.names, self.models, strict=True):
            for side in ("users", "items"):
                mine, theirs = getattr(first, side), getattr(model, side)
                if theirs is not mine and theirs != mine:
                    raise DataError(
                        "models",
                        f"{self.names[0]!r} and {name!r} have different {side}, {len(mine)} and {len(theirs)}",
                        advice="fit all on one Interactions",
                    )


class Retrieval(Estimator[RetrievalState]):
    """The union of what several models propose, scored by all of them.

    Each model proposes its best `n_candidates` items to every user. Then each model scores every pair that any of
    them proposed, so that its two columns have no holes: ``<name>_score``, the model's own score, and
    ``<name>_rank``, the place that the score would have among the model's `n_candidates` best unseen items for that
    query: from 1, up to n_candidates + 1 for what lies below them. Neither depends on the other models, nor on the
    rules.

    Parameters
    ----------
    models : sequence of Recommender, or mapping of str to Recommender
        The models, with the names of their columns. In a sequence a model is named by its class,
        ``"item_knn"``; a second one of the same class is ``"item_knn_2"``. Models that are fitted already, on
        interactions with the same users and items, need no `fit`.
    n_candidates : int, or mapping of str to int
        How many items each model proposes, at least 1; by name, or the same for all.
    n_threads : int, optional
        For joining and ranking; the models have their own. By default what CPU affinity and cgroup quota allow.

    References
    ----------
    Covington, Adams & Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016: two stages.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> retrieval = ferrec.Retrieval([ferrec.ItemKNN(), ferrec.Popularity()], n_candidates=1).fit(data)
    >>> pairs = retrieval.candidates(3)
    >>> pairs.items.decode(pairs.codes).tolist()
    ['jam']
    >>> {name: column.tolist() for name, column in pairs.columns.items()}["popularity_score"]
    [1.0]
    """

    state_type = RetrievalState
    _fit_call = "fit(interactions)"

    def __init__(
        self,
        models: Sequence[Model] | Mapping[str, Model],
        n_candidates: int | Mapping[str, int] = 100,
        *,
        n_threads: int | None = None,
    ) -> None:
        self.models = models
        self.n_candidates = n_candidates
        self.n_threads = n_threads

    def fit(self, data: Interactions, *, progress: Progress = False) -> Self:
        """Fit a model of each kind; those that were given stay as they are.

        Parameters
        ----------
        data : Interactions
            The past: what came before the labels that a ranker will learn from.
        progress : bool or callable
            As in `Recommender.fit`.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            A parameter makes no sense.
        """
        learner = clone(self)
        named = named_models(learner.models)
        _quotas(named, learner.n_candidates)
        fitted = tuple(clone(model).fit(data, progress=progress) for model in named.values())
        self.adopt(RetrievalState(tuple(named), fitted), learner)
        return self

    def _settled(self) -> tuple[Self, RetrievalState]:
        """What `fit` made, or the models given where they are fitted."""
        if not self.is_fitted:
            named = named_models(self.models)
            for name, model in named.items():
                if not model.is_fitted:
                    raise NotFittedError(
                        name, "is not fitted, nor this Retrieval", advice=f"call {self._fit_call} first"
                    )
            self.adopt(RetrievalState(tuple(named), tuple(named.values())))
        return super()._settled()

    @property
    def fitted(self) -> dict[str, Model]:
        """The fitted models by name."""
        state = self.state
        return dict(zip(state.names, state.models, strict=True))

    @property
    def columns(self) -> list[str]:
        """The names of the columns that its candidates have."""
        names = self.state.names if self.is_fitted else named_models(self.models)
        return [f"{name}_{what}" for name in names for what in ("score", "rank")]

    @property
    def known(self) -> State:
        """What a fitted model knows of the users: one that keeps the order of their events, where there is any."""
        states: list[State] = [model.state for model in self.state.models]
        return next((state for state in states if state.sequence_field()), states[0])

    @property
    def users(self) -> Ids:
        """The ids of the users the models were fitted on."""
        return self.state.models[0].users

    @property
    def items(self) -> Ids:
        """The ids of the items they can propose."""
        return self.state.models[0].items

    def candidates(
        self,
        users: object = None,
        *,
        history: object = None,
        exclude_seen: bool = True,
        exclude_items: object = None,
        allow_items: object = None,
    ) -> Candidates:
        """What the models propose to each user.

        Parameters
        ----------
        users, history, exclude_seen, exclude_items, allow_items
            As in `Recommender.recommend`. The rules count for every model, so that no pair breaks them.

        Returns
        -------
        Candidates
            With the columns of every model. A query to whom nobody has anything to propose has no pairs.

        Raises
        ------
        NotFittedError
            A model is not fitted.
        DataError
            The models were fitted on different users or items.
        UnknownIdError, ValueError, TypeError
            As in `Recommender.recommend`.
        """
        state = self.known
        rules = ScoringOptions(
            exclude_seen=exclude_seen, exclude_items=exclude_items, allow_items=allow_items
        )
        queries = read_queries(state, users, history)
        return self._propose(queries, rules.filters(state.items)(queries))

    def iter_candidates(
        self,
        users: object = None,
        *,
        block_size: int = 4096,
        exclude_seen: bool = True,
        exclude_items: object = None,
        allow_items: object = None,
        progress: Progress = False,
    ) -> Iterator[Candidates]:
        """`candidates` in blocks of users, so that memory does not grow with their number.

        Parameters
        ----------
        users, exclude_seen, exclude_items, allow_items
            As in `candidates`.
        block_size : int
            Users in a block, at least 1. A block takes 4 bytes for each pair and column.
        progress : bool or callable
            Of users. True draws a bar (extra ``progress``); a callable gets ``(done, total)``.

        Yields
        ------
        Candidates
            Of the next users, in the order asked for; together the same as one `candidates`.

        Raises
        ------
        NotFittedError, DataError, UnknownIdError, ValueError, TypeError
            As `candidates`, before the first block.

        Examples
        --------
        >>> import ferrec
        >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
        >>> retrieval = ferrec.Retrieval([ferrec.Popularity()]).fit(data)
        >>> [len(block.queries) for block in retrieval.iter_candidates(block_size=2)]
        [2, 1]
        """
        size = as_int("block_size", block_size, minimum=1)
        state = self.known
        codes = encode_ids(state.users, users, "users")
        rules = ScoringOptions(
            exclude_seen=exclude_seen, exclude_items=exclude_items, allow_items=allow_items
        )
        chosen = rules.filters(state.items)
        _quotas(self.fitted, self.frozen.n_candidates)

        def blocks() -> Iterator[Candidates]:
            with bar(progress, "candidates") as callback:
                for start in range(0, len(codes), size):
                    some = codes[start : start + size]
                    queries = state.queries(some)
                    yield self._propose(queries, chosen(queries))
                    if callback is not None:
                        callback(start + len(some), len(codes))

        return blocks()

    def _propose(self, queries: Queries, chosen: Filter) -> Candidates:
        """The union of the models' lists under some rules, with their columns."""
        own = self._lists(queries, Filter([queries.history]))
        only_unseen = len(chosen.exclude) == 1 and chosen.exclude[0] is queries.history
        default = only_unseen and chosen.allow is None and chosen.allowed is None
        lists = own if default else self._lists(queries, chosen)
        proposed = [one[:2] for one in lists.values()]
        indptr, codes = _rust.union(proposed, len(self.items), threads(self.n_threads))
        return self._with_scores(Candidates(queries, self.items, indptr, codes), own)

    def _score(self, pairs: Candidates) -> Candidates:
        """Any pairs, with the columns that they have as candidates."""
        return self._with_scores(pairs, self._lists(pairs.queries, Filter([pairs.queries.history])))

    def _lists(self, queries: Queries, chosen: Filter) -> dict[str, CsrParts]:
        models = self.fitted
        n_candidates = _quotas(models, self.frozen.n_candidates)
        return {
            name: model.frozen.rank(model.state, queries, n_candidates[name], chosen, None)
            for name, model in models.items()
        }

    def _with_scores(self, pairs: Candidates, own: Mapping[str, CsrParts]) -> Candidates:
        n_threads = threads(self.n_threads)
        columns: dict[str, NDArray[np.float32]] = {}
        for name, model in self.fitted.items():
            scores = model.frozen.score_pairs(model.state, pairs.queries, pairs.pairs)
            columns[f"{name}_score"] = scores
            indptr, _, best = own[name]
            columns[f"{name}_rank"] = _rust.places((indptr, best), pairs.indptr, scores, n_threads)
        return pairs.with_columns(columns)


def named_models(models: Sequence[Model] | Mapping[str, Model], argument: str = "models") -> dict[str, Model]:
    """The models by the names of their columns; errors speak of the argument."""
    if not isinstance(models, Sequence | Mapping) or not models:
        raise ParameterTypeError(argument, "expected some models", models)
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        named = {}
        for model in models:
            if not isinstance(model, Recommender):
                raise ParameterTypeError(argument, "expected a Recommender", model)
            kind = snake_name(model)
            same = sum(type(other) is type(model) for other in named.values())
            named[f"{kind}_{same + 1}" if same else kind] = model
    for name, model in named.items():
        if not isinstance(model, Recommender) or not isinstance(name, str):
            raise ParameterTypeError(argument, "expected a Recommender with a name", {name: model})
    return named


def _quotas(models: Mapping[str, Model], n_candidates: int | Mapping[str, int]) -> dict[str, int]:
    if not isinstance(n_candidates, Mapping):
        return dict.fromkeys(models, as_int("n_candidates", n_candidates, minimum=1))
    if set(n_candidates) != set(models):
        raise ParameterError("n_candidates", f"must name the models {', '.join(models)}", list(n_candidates))
    return {name: as_int(f"n_candidates[{name!r}]", n_candidates[name], minimum=1) for name in models}
