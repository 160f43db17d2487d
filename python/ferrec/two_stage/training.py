"""The pairs that a ranker learns from."""

import numpy as np
from numpy.typing import NDArray

from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError
from ferrec.features.feature_set import FeatureSet
from ferrec.kernels.arguments import Progress
from ferrec.two_stage.retrieval import Retrieval


def training_pairs(
    retrieval: Retrieval,
    features: FeatureSet | None,
    past: Interactions,
    future: Interactions,
    *,
    users: object = None,
    exclude_seen: bool = True,
    exclude_items: object = None,
    allow_items: object = None,
    progress: Progress = False,
) -> tuple[Candidates, NDArray[np.float32]]:
    """Candidates with their columns as they were known at the cut-off, and which of them came true.

    The models and the features are fitted on the past, and see nothing else; the future only says which of the
    proposed pairs came true. So no column knows its pair, or anything later.

    Parameters
    ----------
    retrieval : Retrieval
        Fitted on `past` here.
    features : FeatureSet, optional
        Likewise. None leaves the columns of the models.
    past, future : Interactions
        The two parts of one split, by time or by leaving the last out: they share users and items.
    users : array-like of ids, optional
        Whose pairs. By default those of every user who has an event in the future: of the others one does not know
        what they would have taken.
    exclude_seen, exclude_items, allow_items
        The rules, as in `Recommender.recommend`: the same as when recommending.
    progress : bool or callable
        As in `Recommender.fit`.

    Returns
    -------
    candidates : Candidates
    labels : ndarray of float32, shape (len(candidates),)
        1 for a pair that has an event in the future, 0 for the others.

    Raises
    ------
    DataError
        The parts have different users or items, or somebody's past goes on after their future has begun, so that
        features would know it.
    UnknownIdError
        A user is not in the data.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.features import FeatureSet, ItemPopularity
    >>> data = ferrec.Interactions.from_arrays(
    ...     [1, 1, 2, 2, 3, 1, 3], ["tea", "milk", "tea", "jam", "tea", "jam", "milk"], times=range(7)
    ... )
    >>> past, future = ferrec.split.by_time(data, cutoff=5)
    >>> retrieval = ferrec.Retrieval([ferrec.ItemKNN(), ferrec.Popularity()])
    >>> pairs, labels = training_pairs(retrieval, FeatureSet([ItemPopularity()]), past, future)
    >>> pairs.queries.ids[pairs.rows], pairs.items.decode(pairs.codes), labels
    (array([1, 3, 3]), array(['jam', 'jam', 'milk'], dtype=object), array([1., 0., 1.], dtype=float32))
    """
    _check_parts(past, future)
    if users is None:
        users = future.users.decode(np.flatnonzero(np.diff(future.csr.parts()[0])))
    retrieval.fit(past, progress=progress)
    pairs = retrieval.candidates(
        users, exclude_seen=exclude_seen, exclude_items=exclude_items, allow_items=allow_items
    )
    if features is not None:
        pairs = features.fit(past).add_to(pairs)
    return pairs, pairs.hits(future)


def _check_parts(past: Interactions, future: Interactions) -> None:
    for side in ("users", "items"):
        mine, theirs = getattr(past, side), getattr(future, side)
        if mine is not theirs and mine != theirs:
            raise DataError(
                f"past and future have different {side}, {len(mine)} and {len(theirs)}; take both from one split"
            )
    if past.events.times is None or future.events.times is None:
        return
    last, first = np.zeros(past.n_users, np.int64), np.full(past.n_users, np.iinfo(np.int64).max)
    np.maximum.at(last, past.events.users, past.events.times)
    np.minimum.at(first, future.events.users, future.events.times)
    wrong = np.flatnonzero(last > first)
    if len(wrong):
        raise DataError(
            f"past: goes on after the future has begun for {len(wrong)} of {past.n_users} users, the first is "
            f"{past.users.decode(wrong[:1]).tolist()[0]!r}; split by time, or leave the last out"
        )
