"""Several features as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ferrec.data.candidates import Candidates
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError, ParameterError, ParameterTypeError, ShapeError
from ferrec.features.base import Column, Feature
from ferrec.models.estimator import Estimator, clone
from ferrec.models.state import PerUser


@dataclass(frozen=True, eq=False)
class FeatureSetState:
    """The fitted features, and what they were fitted on."""

    users: Ids
    items: Ids
    history_lengths: PerUser
    """How many items each user had had: candidates must come from the same past."""
    features: tuple[Feature[Any], ...]

    def __post_init__(self) -> None:
        """Check that all speak of the same users and items."""
        if self.history_lengths.shape != (len(self.users),):
            raise ShapeError(
                "history_lengths",
                f"must have length {len(self.users)}, one for each user",
                self.history_lengths.shape,
            )
        for feature in self.features:
            known = (feature.state.n_users, feature.state.n_items)
            if known != (len(self.users), len(self.items)):
                raise DataError(
                    "features",
                    f"{type(feature).__name__} was fitted on {known} users and items, others on more or less",
                )


class FeatureSet(Estimator[FeatureSetState]):
    """Features as one: fitted together, computed together, saved together.

    Parameters
    ----------
    features : sequence of Feature
        No two may have a column of the same name.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.features import FeatureSet, ItemPopularity, UserActivity
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> pairs = ferrec.Retrieval([ferrec.Popularity()]).fit(data).candidates()
    >>> features = FeatureSet([ItemPopularity(), UserActivity()]).fit(data)
    >>> list(features.add_to(pairs).columns)
    ['popularity_score', 'popularity_rank', 'item_popularity', 'user_activity']
    """

    state_type = FeatureSetState
    _fit_call = "fit(interactions)"

    def __init__(self, features: Sequence[Feature[Any]], *, n_threads: int | None = None) -> None:
        self.features = features
        self.n_threads = n_threads

    def __len__(self) -> int:
        """The number of features."""
        return len(self.features)

    def __iter__(self) -> Iterator[Feature[Any]]:
        """The features as given; the fitted ones are copies."""
        return iter(self.features)

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return [name for feature in self._present for name in feature.names]

    @property
    def categories(self) -> list[str]:
        """Which of them are categories: what a ranker embeds instead of scaling."""
        return [name for feature in self._present for name in feature.categories]

    @property
    def _present(self) -> Sequence[Feature[Any]]:
        """The features of the fit, before it those given."""
        return self.state.features if self.is_fitted else self.features

    def fit(self, data: Interactions) -> Self:
        """Learn from what happened before the cut-off.

        Parameters
        ----------
        data : Interactions
            The past: what the models that propose candidates were fitted on.

        Returns
        -------
        self

        Raises
        ------
        DataError, TypeError, ValueError
            As `Feature.fit`; `features` are no features, or two have a column of the same name.
        """
        for feature in self.features:
            if not isinstance(feature, Feature):
                raise ParameterTypeError("features", "expected features", feature)
        learner = clone(self)
        twice = {name for name in learner.names if learner.names.count(name) > 1}
        if twice:
            raise ParameterError(
                "features", f"two have a column {min(twice)!r}", advice="name one of them otherwise"
            )
        fitted = tuple(clone(feature).fit(data) for feature in learner.features)
        history_lengths = np.diff(data.csr.parts()[0]).astype(np.float32)
        self.adopt(FeatureSetState(data.users, data.items, history_lengths, fitted), learner)
        return self

    def columns(self, candidates: Candidates) -> dict[str, Column]:
        """What the features say about each pair.

        Parameters
        ----------
        candidates : Candidates
            Of models that were fitted on the same data.

        Returns
        -------
        dict of str to ndarray of float32, shape (len(candidates),)
            Of all features, by the `names`; finite.

        Raises
        ------
        NotFittedError
            Before `fit`.
        DataError
            The candidates are of other users or items, or the users have other histories: the models were fitted
            on more than the features, or on less, and one of the two would know the future.
        """
        state = self.state
        _check_same(state, candidates)
        found: dict[str, Column] = {}
        for feature in state.features:
            found |= feature.columns(candidates, n_threads=self.n_threads)
        return found

    def add_to(self, candidates: Candidates) -> Candidates:
        """The candidates, knowing what the features say.

        Parameters
        ----------
        candidates : Candidates
            As in `columns`.

        Returns
        -------
        Candidates

        Raises
        ------
        NotFittedError, DataError
            As in `columns`.
        ValueError
            The candidates have a column of the same name already.
        """
        columns = self.columns(candidates)
        return candidates.with_columns(columns)


def _check_same(state: FeatureSetState, candidates: Candidates) -> None:
    if not isinstance(candidates, Candidates):
        raise ParameterTypeError("candidates", "expected Candidates", type(candidates))
    remedy = "fit the models and the features on the same data"
    if candidates.items is not state.items and candidates.items != state.items:
        raise DataError("candidates", "of other items than the features were fitted on", advice=remedy)
    queries = candidates.queries
    if queries.codes is None or not len(queries):
        return
    if queries.codes.max() >= len(state.users) or (state.users.decode(queries.codes) != queries.ids).any():
        raise DataError("candidates", "of other users than the features were fitted on", advice=remedy)
    lengths = np.diff(queries.history.parts()[0])
    differ = np.flatnonzero(lengths != state.history_lengths[queries.codes])
    if len(differ):
        user, at = queries.ids.tolist()[differ[0]], differ[0]
        raise DataError(
            "candidates",
            f"the history of {len(differ)} users is not the one that the features were fitted on: "
            f"user {user!r} has {lengths[at]} items instead of "
            f"{state.history_lengths[queries.codes[at]]:g}",
            advice=remedy,
        )
