"""The pairs that a ranker learns from: what was proposed at the cut-off, and which of it came true."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ferrec.data import splits
from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Events, Interactions, check_interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError, checks_keywords
from ferrec.features.feature_set import FeatureSet
from ferrec.io.arrays import joined, offsets_of
from ferrec.kernels.arguments import Progress
from ferrec.kernels.filters import Filter
from ferrec.models.lookup import read_queries
from ferrec.models.scoring import ScoringOptions
from ferrec.two_stage.retrieval import Retrieval

__all__ = ["TrainingSet", "rejoined", "sampled_pairs", "training_pairs"]


@checks_keywords
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
    check_interactions("past", past)
    check_interactions("future", future)
    _refuse_other_ids(past, future)
    _refuse_mixed_times(past, future)
    retrieval.fit(past, progress=progress)
    if features is not None:
        features.fit(past)
    if users is None:
        users = future.users.decode(_asking(future))
    options = ScoringOptions(exclude_seen=exclude_seen, exclude_items=exclude_items, allow_items=allow_items)
    queries = read_queries(retrieval.known, users, None)
    pairs = _described(retrieval, features, queries, options.filters(past.items)(queries))
    return pairs, pairs.hits(future)


def sampled_pairs(
    retrieval: Retrieval,
    features: FeatureSet,
    past: Interactions,
    future: Interactions,
    *,
    max_pairs: int,
    block_size: int,
    seed: int,
) -> Candidates:
    """The proposals to users drawn at random of whom some came true, up to about `max_pairs` of them.

    The stages are fitted on the past already.
    """
    asking = np.random.default_rng(seed).permutation(_asking(future))
    blocks: list[Candidates] = []
    for start in range(0, len(asking), block_size):
        queries = past.queries(np.sort(asking[start : start + block_size]))
        blocks.append(_described(retrieval, features, queries, Filter([queries.history]), future))
        if sum(map(len, blocks)) >= max_pairs:
            break
    pairs = _joined(past, blocks)
    if not len(pairs):
        raise DataError(
            "future",
            f"none of the proposals to {len(asking)} users came true",
            advice="raise n_candidates, take other retrievers, or a longer future",
        )
    return pairs


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Pairs and their labels, and where there are any those that tell a ranker when to stop."""

    pairs: Candidates
    labels: NDArray[np.float32]
    validation: tuple[Candidates, NDArray[np.float32]] | None = None

    @classmethod
    def of(cls, pairs: Candidates, future: Interactions, fraction: float, seed: int) -> "TrainingSet":
        """The pairs with the labels of the earlier part of the future, and with those of its latest fraction."""
        if fraction and len(future) > 1:
            early, late = _early_and_late(future, fraction, seed)
            now, then = pairs.hits(early) == 1, pairs.hits(late) == 1
            if now.any() and (then & ~now).any():
                train, rest = pairs.select(now | ~then), pairs.select(~now)
                return cls(train, train.hits(early), (rest, rest.hits(late)))
        return cls(pairs, pairs.hits(future))


def _early_and_late(future: Interactions, fraction: float, seed: int) -> tuple[Interactions, Interactions]:
    if future.events.times is None:
        return splits.random(future, fraction, seed=seed)
    # The quantile, but exact: 64-bit times do not fit into the floats that NumPy's goes through.
    times, at = future.events.times, int(np.ceil((len(future) - 1) * (1 - fraction)))
    first = np.partition(times, at)[at]
    later = times >= max(first, times.min() + 1)
    return future.select(~later), future.select(later)


def _asking(future: Interactions) -> NDArray[np.int32]:
    """The users of whom one knows what they took."""
    return np.flatnonzero(np.diff(future.csr.parts()[0])).astype(np.int32)


def _described(
    retrieval: Retrieval,
    features: FeatureSet | None,
    queries: Queries,
    chosen: Filter,
    future: Interactions | None = None,
) -> Candidates:
    """The proposals with their columns; with a future only to those queries to whom one came true."""
    pairs = retrieval._propose(queries, chosen)
    if future is not None:
        hits = np.bincount(pairs.rows, pairs.hits(future), len(queries))
        pairs = pairs.select(hits[pairs.rows] > 0)
    return pairs if features is None else features.add_to(pairs)


def _joined(data: Interactions, blocks: list[Candidates]) -> Candidates:
    """The pairs of several blocks of users of the data."""
    users = joined([block.queries.codes for block in blocks if block.queries.codes is not None], np.int32)
    queries = data.queries(users)
    lengths = joined([np.diff(block.indptr) for block in blocks], np.int64)
    names = blocks[0].columns if blocks else ()
    columns = {name: joined([block.columns[name] for block in blocks], np.float32) for name in names}
    codes = joined([block.codes for block in blocks], np.int32)
    return Candidates(queries, data.items, offsets_of(lengths), codes, columns)


def rejoined(past: Interactions, future: Interactions) -> Interactions:
    """The events of both parts of a split."""
    _refuse_other_ids(past, future)
    one, two = past.events, future.events
    if (one.times is None) != (two.times is None):
        raise DataError("past" if one.times is None else "future", "has no times, but the other part has")
    events = Events(
        np.concatenate([one.users, two.users]),
        np.concatenate([one.items, two.items]),
        None
        if one.weights is None and two.weights is None
        else np.concatenate([_weights(one), _weights(two)]),
        None if one.times is None or two.times is None else np.concatenate([one.times, two.times]),
        one.ordered and two.ordered,
    )
    return Interactions(past.users, past.items, events, past.duplicates, past.user_table, past.item_table)


def _weights(events: Events) -> NDArray[np.float32]:
    return np.ones(len(events), np.float32) if events.weights is None else events.weights


def _refuse_other_ids(past: Interactions, future: Interactions) -> None:
    """The two parts of one split have the same users and items."""
    for side in ("users", "items"):
        mine, theirs = getattr(past, side), getattr(future, side)
        if mine is not theirs and mine != theirs:
            raise DataError(
                "past, future",
                f"have different {side}, {len(mine)} and {len(theirs)}",
                advice="take both from one split",
            )


def _refuse_mixed_times(past: Interactions, future: Interactions) -> None:
    """Nobody's past may go on after their future has begun."""
    if past.events.times is None or future.events.times is None:
        return
    last, first = np.zeros(past.n_users, np.int64), np.full(past.n_users, np.iinfo(np.int64).max)
    np.maximum.at(last, past.events.users, past.events.times)
    np.minimum.at(first, future.events.users, future.events.times)
    wrong = np.flatnonzero(last > first)
    if len(wrong):
        raise DataError(
            "past",
            f"goes on after the future has begun for {len(wrong)} of {past.n_users} users, "
            f"the first is {past.users.decode(wrong[:1]).tolist()[0]!r}",
            advice="split by time, or leave the last out",
        )
