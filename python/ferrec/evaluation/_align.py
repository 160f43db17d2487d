"""Test data meets a model: ids become the model's codes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.errors import ParameterTypeError
from ferrec.models.base import Recommender


@dataclass(frozen=True, eq=False)
class Aligned:
    """Test interactions in the codes of a model."""

    users: NDArray[np.int32]
    """The known users that have a true item, ascending."""
    truth: Any
    """Their items: csr_array, users × the model's items."""
    known_users: int
    skipped_users: int
    skipped_items: int
    skipped_pairs: int


def check_model(model: object, argument: str = "model") -> None:
    """Refuse what is no recommender."""
    if not isinstance(model, Recommender):
        raise ParameterTypeError(argument, "expected a Recommender", model)


def align(model: Recommender[Any], test: Interactions) -> Aligned:
    """The test pairs whose user and item the model knows, and counts of the others."""
    matrix = test.matrix
    user_codes = _codes(test.users, model.users, np.diff(matrix.indptr) > 0)
    occurs = np.zeros(test.n_items, np.bool_)
    occurs[matrix.indices] = True
    item_codes = _codes(test.items, model.items, occurs)

    rows = np.repeat(user_codes, np.diff(matrix.indptr))
    columns = item_codes[matrix.indices]
    known = (rows >= 0) & (columns >= 0)
    shape = (len(model.users), len(model.items))
    truth = scipy.sparse.coo_array((matrix.data[known], (rows[known], columns[known])), shape=shape).tocsr()
    users = np.flatnonzero(np.diff(truth.indptr)).astype(np.int32)
    return Aligned(
        users=users,
        truth=truth[users],
        known_users=int((user_codes >= 0).sum()),
        skipped_users=int((user_codes == -1).sum()),
        skipped_items=int((item_codes == -1).sum()),
        skipped_pairs=int((~known).sum()),
    )


def _codes(ids: Ids, known: Ids, occurs: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The other side's code of each id that occurs; -1 where it is unknown, -2 where it does not occur."""
    codes = np.full(len(ids), -2, np.int32)
    if ids == known:  # parts of one split share their ids
        codes[occurs] = np.flatnonzero(occurs)
    else:
        codes[occurs] = known.encode(ids.decode(np.flatnonzero(occurs)), unknown="ignore")
    return codes


def without(truth: Any, seen: Any) -> tuple[Any, int]:
    """The entries of `truth` that are not in `seen`, and how many were."""
    n_items = max(truth.shape[1], 1)
    rows = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))
    own = rows * n_items + truth.indices
    others = np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)) * n_items + seen.indices
    kept = ~np.isin(own, others)
    entries = (truth.data[kept], (rows[kept], truth.indices[kept]))
    return scipy.sparse.coo_array(entries, shape=truth.shape).tocsr(), int((~kept).sum())
