"""What every feature has in common: it learns from the past, and then says something about each candidate.

A feature is a small class: a frozen state with what `fit` learned, and a `Feature` with two hooks, `learn` and
`compute`. Most say something about an item, or about a user, and need only say what: `ItemFeature`, `UserFeature`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError, ParameterTypeError, ShapeError
from ferrec.kernels.arguments import threads
from ferrec.models.estimator import Estimator, clone
from ferrec.models.state import Sides

Column: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FeatureState:
    """What `fit` learned; a feature adds its own fields. Saved and loaded field by field.

    Attributes
    ----------
    n_users, n_items : int
        Of the data.

    See Also
    --------
    Feature : what learns it.
    ferrec.models.State : what a model learns, and the types of fields.

    Examples
    --------
    >>> @dataclass(frozen=True, eq=False)
    ... class Ages(FeatureState):
    ...     ages: NDArray[np.float32]
    >>> Ages(2, 3, np.array([4.0, 5.0], np.float32)).n_items
    3
    """

    n_users: int
    n_items: int

    def __post_init__(self) -> None:
        """Check that the fields fit together: a loaded file may say anything."""
        sizes = {"users": self.n_users, "items": self.n_items}
        for name, hint in get_type_hints(type(self), include_extras=True).items():
            for sides in (mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Sides)):
                got, expected = getattr(self, name).shape, tuple(sizes[side] for side in sides)
                if got != expected:
                    raise ShapeError(name, f"must have shape {expected}, {' × '.join(sides)}", got)


StateT = TypeVar("StateT", bound=FeatureState)


class Feature(Estimator[StateT], ABC):
    """Something that is known about a candidate before it is shown: a scorer that nobody ranks by.

    The constructor stores keyword parameters and nothing else; `fit` learns from the past only. What is missing is
    said by a column of its own, 1 where it is missing, so that every column is finite.
    """

    _fit_call = "fit(interactions)"

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """The names of its columns."""

    @property
    def categories(self) -> list[str]:
        """Which of them are categories: whole numbers that are names, not quantities."""
        return []

    @abstractmethod
    def learn(self, data: Interactions) -> StateT:
        """Learn from the data, after checking the parameters."""

    @abstractmethod
    def compute(self, state: StateT, candidates: Candidates, n_threads: int) -> list[Column]:
        """The columns, in the order of `names`."""

    def fit(self, data: Interactions) -> Self:
        """Learn from what happened before the cut-off.

        Parameters
        ----------
        data : Interactions
            The past. Ages are counted from its latest event.

        Returns
        -------
        self

        Raises
        ------
        DataError
            The feature needs times or a column of a table that the data does not have.
        TypeError, ValueError
            A parameter makes no sense, or `data` is no `Interactions`.
        """
        if not isinstance(data, Interactions):
            raise ParameterTypeError("data", "expected Interactions", type(data))
        learner = clone(self)
        self.adopt(learner.learn(data), learner)
        return self

    def columns(self, candidates: Candidates, *, n_threads: int | None = None) -> dict[str, Column]:
        """What it says about each pair.

        Parameters
        ----------
        candidates : Candidates
            Of models that were fitted on the same data: the codes of users and items must mean the same.
            `FeatureSet` checks it; a feature alone only sees whether there are as many.
        n_threads : int, optional
            By default what CPU affinity and cgroup quota allow.

        Returns
        -------
        dict of str to ndarray of float32, shape (len(candidates),)
            By the `names`; finite.

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            The candidates are of another catalog, or of users that the feature does not know.
        """
        if not isinstance(candidates, Candidates):
            raise ParameterTypeError("candidates", "expected Candidates", candidates)
        frozen, state = self.settled
        if len(candidates.items) != state.n_items:
            raise DataError(
                "candidates",
                f"of {len(candidates.items)} items, but {type(self).__name__} was fitted on {state.n_items}",
                advice="fit the models and the features on the same data",
            )
        codes = candidates.queries.codes
        if codes is not None and len(codes) and codes.max() >= state.n_users:
            raise DataError(
                "candidates",
                f"of user {codes.max()}, but {type(self).__name__} was fitted on {state.n_users}",
                advice="fit the models and the features on the same data",
            )
        found = frozen.compute(state, candidates, threads(n_threads))
        return dict(zip(frozen.names, found, strict=True))


FeatureT: TypeAlias = Feature[Any]


@dataclass(frozen=True, eq=False)
class ValuesState(FeatureState):
    """Columns of numbers, one for each item or for each user."""

    values: tuple[NDArray[np.float32], ...]
    _side: ClassVar[str]

    def __post_init__(self) -> None:
        """Check the lengths."""
        super().__post_init__()
        for values in self.values:
            if len(values) != getattr(self, self._side):
                raise ShapeError("values", f"must have length {getattr(self, self._side)}", len(values))


@dataclass(frozen=True, eq=False)
class ItemValues(ValuesState):
    """One for each item."""

    _side = "n_items"


@dataclass(frozen=True, eq=False)
class UserValues(ValuesState):
    """One for each user."""

    _side = "n_users"


class ItemFeature(Feature[ItemValues]):
    """Says something about the item of a pair."""

    state_type = ItemValues

    @abstractmethod
    def values(self, data: Interactions) -> list[NDArray[Any]]:
        """A number for each item, for each of the `names`."""

    def learn(self, data: Interactions) -> ItemValues:
        return ItemValues(data.n_users, data.n_items, _float32(self.values(data)))

    def compute(self, state: ItemValues, candidates: Candidates, n_threads: int) -> list[Column]:
        return _rust.spread(candidates.pairs, state.values, True, n_threads)


class UserFeature(Feature[UserValues]):
    """Says something about the user of a pair."""

    state_type = UserValues

    @abstractmethod
    def values(self, data: Interactions) -> list[NDArray[Any]]:
        """A number for each user, for each of the `names`."""

    @abstractmethod
    def new_users(self, history: _rust.Csr) -> list[NDArray[Any] | float]:
        """The same of users who are known by their history only, or one number for all of them.

        Parameters
        ----------
        history : Csr, users × items
            What they have done.

        Returns
        -------
        list of ndarray of numbers, shape (n_users,), or float
            For each of the `names`.
        """

    def learn(self, data: Interactions) -> UserValues:
        return UserValues(data.n_users, data.n_items, _float32(self.values(data)))

    def compute(self, state: UserValues, candidates: Candidates, n_threads: int) -> list[Column]:
        queries = candidates.queries
        if queries.codes is None:
            found = self.new_users(queries.history)
            values = _float32([np.broadcast_to(one, len(queries)) for one in found])
        else:
            values = tuple(values[queries.codes] for values in state.values)
        return _rust.spread(candidates.pairs, values, False, n_threads)


def _float32(columns: list[NDArray[Any]]) -> tuple[Column, ...]:
    return tuple(np.ascontiguousarray(column, np.float32) for column in columns)


def times_of(data: Interactions, who: str) -> NDArray[np.int64]:
    """The latest time of each pair, or an error that says who wants to know."""
    if data.times is None:
        raise DataError(who, "needs times", advice="pass time= when reading the interactions")
    return data.times


def duration_name(seconds: float) -> str:
    """Seconds as the end of a name: "7d", "36h", "90s"."""
    for unit, size in (("d", 86400), ("h", 3600)):
        if seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
