"""The first stage: several models propose items, and then each of them scores everything that was proposed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec._progress import bar
from ferrec.candidates import Candidates
from ferrec.errors import DataError
from ferrec.interactions import Interactions
from ferrec.kernels import Progress, as_int, threads
from ferrec.labels import Labels
from ferrec.models._base import Recommender, _encode, _item_filter
from ferrec.queries import Queries, rows_of

__all__ = ["Retrieval"]

Model: TypeAlias = Recommender[Any]


class Retrieval:
    """The union of what several models propose, scored by all of them.

    Each model proposes its best `n` items to every user. Then each model scores every pair that any of them
    proposed, so that its two columns have no holes: ``<name>_score``, the model's own score, and
    ``<name>_rank``, from 1 within the query and among its candidates.

    Parameters
    ----------
    models : sequence of Recommender, or mapping of str to Recommender
        The models, with the names of their columns. In a sequence a model is named by its class,
        ``"item_knn"``; a second one of the same class is ``"item_knn_2"``. They may be fitted already, on
        interactions with the same users and items.
    n : int, or mapping of str to int
        How many items each model proposes, at least 1; by name, or the same for all.
    n_threads : int, optional
        For joining and ranking; the models have their own. By default what CPU affinity and cgroup quota allow.

    Raises
    ------
    TypeError, ValueError
        There is no model, one is no `Recommender`, or `n` does not name the models.

    References
    ----------
    Covington, Adams & Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016: two stages.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "jam", "tea"])
    >>> retrieval = ferrec.Retrieval([ferrec.ItemKNN(), ferrec.Popularity()], n=1).fit(data)
    >>> pairs = retrieval.candidates(3)
    >>> pairs.items.decode(pairs.codes).tolist()
    ['jam']
    >>> {name: column.tolist() for name, column in pairs.columns.items()}["popularity_score"]
    [1.0]
    """

    def __init__(
        self,
        models: Sequence[Model] | Mapping[str, Model],
        n: int | Mapping[str, int] = 100,
        *,
        n_threads: int | None = None,
    ) -> None:
        self.models = _named(models)
        self.n = _quotas(self.models, n)
        self.n_threads = n_threads

    def __repr__(self) -> str:
        """The models by name, and how many items each proposes."""
        shown = [f"{name}: {self.n[name]} of {model!r}" for name, model in self.models.items()]
        return f"Retrieval({'; '.join(shown)})"

    def fit(self, data: Interactions, *, progress: Progress = False) -> Self:
        """Fit every model.

        Parameters
        ----------
        data : Interactions
            The past: what came before the labels that a ranker will learn from.
        progress : bool or callable
            As in `Recommender.fit`.

        Returns
        -------
        self
        """
        for model in self.models.values():
            model.fit(data, progress=progress)
        return self

    @property
    def columns(self) -> list[str]:
        """The names of the columns that its candidates have."""
        return [f"{name}_{what}" for name in self.models for what in ("score", "rank")]

    @property
    def users(self) -> Labels:
        """The ids of the users the models were fitted on."""
        return self._first.users

    @property
    def items(self) -> Labels:
        """The ids of the items they can propose."""
        return self._first.items

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
        first = self._checked()
        queries = first._queries(first._fitted(), users, history)
        return self._propose(queries, (exclude_seen, exclude_items, allow_items))

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
        first, size = self._checked(), as_int("block_size", block_size, minimum=1)
        state = first._fitted()
        codes = _encode(state.users, users, "users")
        rules = (exclude_seen, exclude_items, allow_items)

        def blocks() -> Iterator[Candidates]:
            with bar(progress, "candidates") as callback:
                for start in range(0, len(codes), size):
                    some = codes[start : start + size]
                    queries = Queries(state.users.decode(some), rows_of(state.seen, some), some)
                    yield self._propose(queries, rules)
                    if callback is not None:
                        callback(start + len(some), len(codes))

        return blocks()

    def _propose(self, queries: Queries, rules: tuple[bool, object, object]) -> Candidates:
        chosen = _item_filter(self._first._fitted(), queries, *rules)
        lists = [
            model._rank(model._fitted(), queries, self.n[name], chosen, None)[:2]
            for name, model in self.models.items()
        ]
        n_threads = threads(self.n_threads)
        indptr, codes = _rust.union(lists, len(self.items), n_threads)
        pairs = Candidates(queries, self.items, indptr, codes)
        columns: dict[str, NDArray[np.float32]] = {}
        for name, model in self.models.items():
            scores = model._pairs(model._fitted(), queries, pairs.pairs)
            columns[f"{name}_score"] = scores
            columns[f"{name}_rank"] = _rust.ranks(indptr, scores, n_threads)
        return pairs.with_columns(columns)

    @property
    def _first(self) -> Model:
        return next(iter(self.models.values()))

    def _checked(self) -> Model:
        """The first model, after a look at whether all speak of the same users and items."""
        threads(self.n_threads)
        first, *others = self.models.items()
        for name, model in others:
            for side in ("users", "items"):
                mine, theirs = getattr(first[1], side), getattr(model, side)
                if theirs is not mine and theirs != mine:
                    raise DataError(
                        f"models: {first[0]!r} and {name!r} were fitted on different {side}, {len(mine)} and "
                        f"{len(theirs)}; fit all on one Interactions"
                    )
        first[1]._fitted()
        return first[1]


def _named(models: Sequence[Model] | Mapping[str, Model]) -> dict[str, Model]:
    if not isinstance(models, Sequence | Mapping) or not models:
        raise TypeError(f"models: expected some models, got {models!r}")
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        named = {}
        for model in models:
            kind = re.sub(
                r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(model).__name__
            ).lower()
            same = sum(type(other) is type(model) for other in named.values())
            named[f"{kind}_{same + 1}" if same else kind] = model
    for name, model in named.items():
        if not isinstance(model, Recommender) or not isinstance(name, str):
            raise TypeError(f"models: expected a Recommender with a name, got {model!r} as {name!r}")
    return named


def _quotas(models: Mapping[str, Model], n: int | Mapping[str, int]) -> dict[str, int]:
    if not isinstance(n, Mapping):
        return dict.fromkeys(models, as_int("n", n, minimum=1))
    if set(n) != set(models):
        raise ValueError(
            f"n: must name the models {', '.join(models)}, got {', '.join(map(str, n)) or 'none'}"
        )
    return {name: as_int(f"n[{name!r}]", n[name], minimum=1) for name in models}
