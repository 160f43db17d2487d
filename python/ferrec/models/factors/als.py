"""Factors of implicit feedback by alternating least squares."""

import warnings
from typing import Any, ClassVar, Self

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.data.queries import Queries
from ferrec.errors import DataError, ParameterTypeError
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_int
from ferrec.kernels.factors import als_objective, require_factors, solver_parts
from ferrec.kernels.handles import DenseParts, as_csr, to_scipy
from ferrec.models.base import ExplanationParts
from ferrec.models.factor_model import FactorModel, UserFactorState
from ferrec.models.search_space import Float, Int, SearchSpace


class ALS(FactorModel[UserFactorState]):
    """Recommends by vectors of users and items whose inner products explain who had what (Hu, Koren &
    Volinsky, ICDM 2008; with the regularization of Rendle et al., RecSys 2022).

    Minimizes ``Σ (alpha · x_ui + alpha0) (1 − p_u·q_i)²`` over the pairs that are in the data, plus
    ``alpha0 · Σ (p_u·q_i)²`` over all others, plus ``reg · Σ_u (n_u + alpha0 · items)^nu |p_u|²`` and the
    same of the items. Given the items, the vectors of all users, old and new, are exact.

    Parameters
    ----------
    n_factors : int, default 64
        Factors.
    alpha : float, default 1
        Weight of a pair for each unit of its value, at least 0. Values must be at least 0; a 0 is no pair.
    alpha0 : float, default 0.03
        Weight of a pair that is not in the data, at least 0. Hu et al. have 1 here and `alpha` about 40.
    reg : float, default 0.003
        Regularization, at least 0.
    nu : float, default 1
        How far it grows with the number of events: 0 not at all (Hu et al.), 1 in proportion.
    solver : {"cg", "cholesky", "ials++"}
        How each vector is computed from the other side's: by some steps of conjugate gradients from where it stands
        (Takács, Pilászy & Tikk, RecSys 2011), exactly, or exactly in one block of factors after the other (Rendle
        et al., arXiv 2110.14044). The last pass over the users is always exact.
    cg_steps : int, default 3
        Steps of ``"cg"``.
    subspace_size : int, default 32
        Factors in a block of ``"ials++"``, rounded up to a multiple of 16.
    epochs : int, default 15
        Passes over the items and the users.
    seed : int, default 0
        Of the random start.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    See Also
    --------
    BiasedMF : Factors of ratings.
    ferrec.kernels.als : The kernel.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> ferrec.ALS(n_factors=2).fit(data).recommend(3)[3][0][0]
    'milk'
    """

    state_type = UserFactorState

    search_space: ClassVar[SearchSpace] = {
        "n_factors": Int(16, 512, log=True),
        "alpha": Float(0.1, 100.0, log=True),
        "alpha0": Float(0.001, 1.0, log=True),
        "reg": Float(1e-4, 1.0, log=True),
        "nu": Float(0.0, 1.0),
        "epochs": Int(5, 30),
    }

    def __init__(
        self,
        *,
        n_factors: int = 64,
        alpha: float = 1.0,
        alpha0: float = 0.03,
        reg: float = 0.003,
        nu: float = 1.0,
        solver: str = "cg",
        cg_steps: int = 3,
        subspace_size: int = 32,
        epochs: int = 15,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.n_factors = n_factors
        self.alpha = alpha
        self.alpha0 = alpha0
        self.reg = reg
        self.nu = nu
        self.solver = solver
        self.cg_steps = cg_steps
        self.subspace_size = subspace_size
        self.epochs = epochs
        self.seed = seed
        self.n_threads = n_threads

    @property
    def _objective(self) -> tuple[float, float, float, float]:
        return als_objective(self.alpha, self.alpha0, self.reg, self.nu)

    def learn(self, data: Interactions, callback: Callback | None) -> UserFactorState:
        solver = solver_parts(self.solver, self.cg_steps, self.subspace_size)
        n_factors, epochs = (
            as_int("n_factors", self.n_factors, minimum=1),
            as_int("epochs", self.epochs, minimum=1),
        )
        seed = as_int("seed", self.seed, minimum=0)
        require_factors("ALS", data.csr, n_factors)
        users, items, _ = _rust.als(
            data.csr, n_factors, self._objective, solver, epochs, seed, False, self._threads(), callback
        )
        return UserFactorState(data.users, data.items, data.csr, items, users)

    def _vectors(self, state: UserFactorState, queries: Queries) -> DenseParts:
        if queries.codes is not None:
            return state.of_users(queries.codes)
        rows = _rust.fold_in_als("history", queries.history, state.dense, self._objective, self._threads())
        return rows, len(queries), state.table.shape[1]

    def explain_parts(self, state: UserFactorState, queries: Queries, item: int) -> ExplanationParts:
        """A user's vector is linear in what each item of the history pulls (Hu et al., section 5)."""
        alpha, alpha0, reg, nu = self._objective
        _, seen, values = queries.history.parts()
        seen, values = seen[values != 0.0], values[values != 0.0]
        every: NDArray[Any] = state.table.astype(np.float64)
        own, weights = every[seen], alpha * values.astype(np.float64)
        matrix = alpha0 * (every.T @ every) + own.T @ (own * weights[:, None])
        matrix.flat[:: len(matrix) + 1] += reg * (len(seen) + alpha0 * len(every)) ** nu
        pulled = own @ np.linalg.lstsq(matrix, every[item])[0]
        return 0.0, seen, (weights + alpha0) * pulled

    def add_items(self, data: Interactions) -> Self:
        """Learn new items without fitting anew.

        The vectors of the new items are the exact ones given the users', then those of the users are computed
        once more from all items. Known items stay as they are.

        Parameters
        ----------
        data : Interactions
            Who has had the new items. Events of users or with items that need no learning (unknown users,
            known items) are left out with a warning.

        Returns
        -------
        self
            With the new items among `items`; the events count as seen.

        Raises
        ------
        NotFittedError
            Before `fit`.
        TypeError, DataError
            `data` is no `Interactions`, or its ids are of another kind than the model's.
        ValueError
            `data` has negative values.

        Examples
        --------
        >>> import ferrec
        >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
        >>> model = ferrec.ALS(n_factors=2).fit(data)
        >>> new = ferrec.Interactions.from_arrays([1, 2], ["honey", "honey"])
        >>> sorted(item for item, _ in model.add_items(new).recommend(3)[3])
        ['honey', 'milk']
        """
        frozen, state = self.settled
        if not isinstance(data, Interactions):
            raise ParameterTypeError("data", "expected Interactions", type(data))
        for side, mine, given in (("users", state.users, data.users), ("items", state.items, data.items)):
            if len(mine) and len(given) and mine.kind != given.kind:
                raise DataError("data", f"its {side} are {given.kind}, those of the model are {mine.kind}")
        users = state.users.encode(data.users.values, name="users", unknown="ignore")
        known = state.items.encode(data.items.values, name="items", unknown="ignore")
        entries = data.matrix.tocoo()
        counts = (users[entries.row] >= 0) & (known[entries.col] < 0)
        if not counts.all():
            left = int((~counts).sum())
            text = f"data: {left} of {len(counts)} pairs have unknown users or known items; left out"
            warnings.warn(text, UserWarning, stacklevel=2)
        rows, values = users[entries.row[counts]], entries.data[counts]
        new, columns = np.unique(entries.col[counts], return_inverse=True)
        ids = data.items.decode(new)
        items = Ids.from_values(np.concatenate([state.items.values, ids])) if len(new) else state.items
        old_at = items.encode(state.items.values, name="items")
        new_at = items.encode(ids, name="items")
        n_users, rank = len(state.users), state.table.shape[1]

        histories: Any = scipy.sparse.coo_array((values, (columns, rows)), shape=(len(new), n_users))
        vectors = (state.user_factors, n_users, rank)
        objective, threads = frozen._objective, frozen._threads()
        found = _rust.fold_in_als("data", as_csr(histories.tocsr()), vectors, objective, threads)
        table = np.empty((len(items), rank), np.float32)
        table[old_at], table[new_at] = state.table, found.reshape(len(new), rank)

        before: Any = to_scipy(state.seen).tocoo()
        both = (np.concatenate([before.row, rows]), np.concatenate([old_at[before.col], new_at[columns]]))
        merged: Any = scipy.sparse.coo_array(
            (np.concatenate([before.data, values]), both), shape=(n_users, len(items))
        )
        seen, flat = as_csr(merged.tocsr()), table.reshape(-1)
        parts = (flat, *table.shape)
        moved = _rust.fold_in_als("data", seen, parts, objective, threads)
        self.adopt(UserFactorState(state.users, items, seen, flat, moved), frozen)
        return self
