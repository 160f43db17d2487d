"""Does a training set know the future? Change the future and see what else changes."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from ferrec.data.candidates import Candidates
from ferrec.data.interactions import Events, Interactions
from ferrec.errors import checks_keywords

Build: TypeAlias = Callable[[Interactions, Interactions], tuple[Candidates, Any]]


@checks_keywords
def check_no_leak(build: Build, past: Interactions, future: Interactions, *, seed: int = 0) -> None:
    """Hold the making of a training set against futures that did not happen.

    Candidates and their columns may depend on the past only. So they are made twice more with other futures, in
    which the same users did other things at the same times: everything must come out the same, except the labels.
    This finds a model or a feature that was fitted on more than the past, a table that was computed from all the
    data inside `build`, and pairs that were put among the candidates because they came true.

    Parameters
    ----------
    build : callable
        Takes past and future, gives candidates and labels, as
        [`training_pairs`][ferrec.two_stage.training_pairs] does. Whatever it knows of the future must come from its
        second argument: what it got from elsewhere cannot be changed here.
    past, future : Interactions
        The two parts of a split.
    seed : int
        Of the other futures.

    Raises
    ------
    AssertionError
        The candidates or a column know the future, says which; or nothing came true in one of the futures, so that
        nothing was tested.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.features import FeatureSet, ItemPopularity
    >>> from ferrec.two_stage import training_pairs
    >>> from ferrec.testing import check_no_leak, checkerboard
    >>> past, future = ferrec.split.leave_last_out(checkerboard(12))
    >>> retrieval = ferrec.Retrieval([ferrec.Popularity()])
    >>> features = FeatureSet([ItemPopularity()])
    >>> check_no_leak(lambda past, future: training_pairs(retrieval, features, past, future), past, future)
    """
    rng = np.random.default_rng(seed)
    made, labels = build(past, future)
    expected = np.array(labels)
    assert expected.any(), "no candidate came true: nothing to test on; widen the retrieval or the future"
    changed = False
    for items in (rng.permutation(future.events.items), rng.integers(0, future.n_items, len(future))):
        other, others = build(past, _with_items(future, items))
        assert np.array_equal(made.queries.ids, other.queries.ids), "the queries depend on the future"
        same = np.array_equal(made.indptr, other.indptr) and np.array_equal(made.codes, other.codes)
        assert same, "which pairs are candidates depends on the future"
        assert list(made.columns) == list(other.columns), "which columns there are depends on the future"
        for name, column in made.columns.items():
            differ = int((column != other.columns[name]).sum())
            assert not differ, f"column {name!r} knows the future: {differ} of {len(column)} values follow it"
        changed |= not np.array_equal(expected, np.asarray(others))
    assert changed, "the labels do not depend on the future: they are not what came true"


def _with_items(data: Interactions, items: Any) -> Interactions:
    """The same events of the same users, with other items."""
    events = data.events
    other = Events(events.users, np.ascontiguousarray(items, np.int32), events.weights, events.times)
    duplicates = "sum" if data.duplicates == "error" else data.duplicates
    return Interactions(data.users, data.items, other, duplicates, data.user_table, data.item_table)
