"""Top-K over dense vectors, the truncated SVD, alternating least squares."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from ferrec import _rust
from ferrec.errors import ParameterTypeError, ShapeError, checks_keywords
from ferrec.io.memory import require_memory
from ferrec.io.progress import bar
from ferrec.kernels.arguments import Progress, as_bool, as_float, as_int, one_of, threads
from ferrec.kernels.filters import column_filter
from ferrec.kernels.handles import Csr, Matrix, as_csr, as_dense, to_scipy


def require_lists(n_queries: int, k: int, n_items: int) -> None:
    """Refuse lists that do not fit; small ones are not looked at, which takes longer than to make one."""
    size = 8 * n_queries * min(k, n_items)
    if size > 1 << 30:
        require_memory(
            f"k: the {k:,} best of {n_items:,} items for {n_queries:,} queries", size, "ask for fewer"
        )


@checks_keywords
def top_k_factors(
    queries: "ArrayLike",
    items: "ArrayLike",
    k: int,
    *,
    exclude: "Matrix | ArrayLike | None" = None,
    allow: "Matrix | ArrayLike | None" = None,
    threshold: float | None = None,
    n_threads: int | None = None,
    progress: Progress = False,
) -> Csr:
    """The k items with the greatest inner product with each query: exact, without holding `queries @ items.T`.

    Items are visited by falling norm; a query is done when no later item can be long enough (Cauchy–Schwarz; as
    LEMP, Teflioudi et al., SIGMOD 2015), which pays where norms are skewed.

    Parameters
    ----------
    queries, items
        Dense arrays, queries × dimensions and items × dimensions, computed in float32.
    k
        Items kept for each query, at least 1.
    exclude, allow
        As in [`top_k_neighbors`][ferrec.kernels.top_k_neighbors]: a sparse matrix, queries × items, or a list of
        items for every query. Only what `allow` lists is computed.
    threshold
        Keep only inner products above it. By default all that are not exactly 0, negative ones too.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    csr_array
        float32, queries × items; rows best first. A score is the same bits in any batch on one machine.

    Raises
    ------
    ValueError, TypeError
        The shapes do not fit, a value is not finite in float32, or an argument makes no sense.
    MemoryError
        The answer would not fit: 8 bytes for each of the k best of every query.

    Examples
    --------
    >>> import numpy as np
    >>> from ferrec.kernels import top_k_factors
    >>> best = top_k_factors([[1.0, 0.5]], [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], k=2)
    >>> best.indices.tolist(), best.data.tolist()
    ([2, 0], [1.5, 1.0])
    """
    k = as_int("k", k, minimum=1)
    left, right = as_dense(queries, "queries"), as_dense(items, "items")
    require_lists(left[1], k, right[1])
    chosen = column_filter(right[1], exclude, allow, threshold)
    with bar(progress, "factors") as callback:
        parts = _rust.top_k_factors(left, right, k, chosen, threads(n_threads), callback)
    return to_scipy(parts, (left[1], right[1]))


@dataclass(frozen=True, eq=False)
class SVD:
    """The largest singular triplets of a matrix: ``x ≈ u @ diag(s) @ vt`` (plus `means`, if it was centered).

    Attributes
    ----------
    u : ndarray of float32, shape (users, rank)
        Left vectors, orthonormal columns.
    s : ndarray of float32, shape (rank,)
        Singular values, greatest first, all above 0.
    vt : ndarray of float32, shape (rank, items)
        Right vectors, orthonormal rows; the entry of each that is largest in magnitude (the first of equal ones)
        is positive.
    means : ndarray of float64, shape (items,), or None
        What centering subtracted.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import truncated_svd
    >>> svd = truncated_svd(sp.csr_array(np.diag([3.0, 1.0, 2.0])), n_factors=2)
    >>> svd.s.round(4).tolist(), svd.vt.round(4).tolist()
    ([3.0, 2.0], [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    >>> svd.transform(sp.csr_array(np.array([[6.0, 0.0, 0.0]]))).round(4).tolist()
    [[2.0, 0.0]]
    """

    u: NDArray[np.float32]
    s: NDArray[np.float32]
    vt: NDArray[np.float32]
    means: NDArray[np.float64] | None = None

    @checks_keywords
    def transform(self, x: Matrix) -> NDArray[np.float32]:
        """The rows of `u` that new users would have: ``(x - means) @ vt.T / s``.

        Parameters
        ----------
        x
            Sparse matrix, new users × the same items.

        Returns
        -------
        ndarray of float32, shape (new users, rank)
            Of a row of the decomposed matrix: its row of `u`, up to the tolerance.

        Raises
        ------
        ValueError, TypeError
            `x` is not sparse, not finite, or has other columns.
        """
        handle = as_csr(x, "x")
        if handle.shape[1] != self.vt.shape[1]:
            raise ShapeError("x", f"must have {self.vt.shape[1]} columns like the matrix", handle.shape[1])
        # In float64: great means leave little of either product.
        known: Any = to_scipy(handle).astype(np.float64)
        back = self.vt.T / self.s.astype(np.float64)
        projected = known @ back
        if self.means is not None:
            projected -= self.means @ back
        return np.asarray(projected, dtype=np.float32)


@checks_keywords
def truncated_svd(
    x: Matrix,
    n_factors: int,
    *,
    tol: float = 1e-4,
    centered: bool = False,
    seed: int = 0,
    n_threads: int | None = None,
    progress: Progress = False,
) -> SVD:
    """The k largest singular values of a sparse matrix and their vectors.

    Block Lanczos with thick restarts on the Gram matrix of the shorter side, which is never formed (Golub &
    Underwood, 1977; Wu & Simon, SIAM J. Matrix Anal. 2000; Chen et al. 2025, arXiv 2508.06486), with full
    reorthogonalization, followed by a Rayleigh–Ritz step on the matrix itself.

    Parameters
    ----------
    x
        Sparse matrix, users × items, real numbers (read as float32).
    n_factors
        Triplets wanted, at least 1.
    tol
        Accuracy, above 0 and below 1: every singular value is within ``10 * tol`` of the true one, relatively
        (usually far within). Below about 1e-5, and for values below a hundredth of the greatest, the work is
        done in float64.
    centered
        Subtract every item's mean first, as for a principal component analysis; `x` stays sparse.
    seed
        Of the random start, in 0 … 2**63 − 1. The result depends on it by no more than `tol`.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar]. Progress counts the triplets that are exact enough.

    Returns
    -------
    SVD
        `u`, `s`, `vt`, with fewer than k triplets where no more exist: singular values below a millionth of the
        greatest are taken for 0 and left out.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense, `x` has values that are not finite, or a singular value exceeds float32.

    Examples
    --------
    >>> import scipy.sparse as sp
    >>> from ferrec.kernels import truncated_svd
    >>> x = sp.csr_array([[2.0, 0.0, 2.0], [0.0, 1.0, 0.0]])
    >>> svd = truncated_svd(x, n_factors=5)
    >>> svd.s.astype(float).round(4).tolist()
    [2.8284, 1.0]
    """
    n_factors = as_int("n_factors", n_factors, minimum=1)
    seed = as_int("seed", seed, minimum=0)
    tol, centered = as_float("tol", tol), as_bool("centered", centered)
    handle = as_csr(x)
    with bar(progress, "svd") as callback:
        u, s, vt, means = _rust.truncated_svd(
            handle, n_factors, tol, centered, seed, threads(n_threads), callback
        )
    rank, (n_users, n_items) = len(s), handle.shape
    return SVD(u.reshape(n_users, rank), s, vt.reshape(rank, n_items), means if centered else None)


@dataclass(frozen=True, eq=False)
class ALSFactors:
    """Factors of users and items: ``users @ items.T`` is near 1 where the matrix has entries, and near 0 elsewhere.

    Attributes
    ----------
    users : ndarray of float32, shape (users, k)
        Exact, given the items.
    items : ndarray of float32, shape (items, k)
        Of the last pass.
    losses : ndarray of float64, shape (epochs,)
        The objective after each pass; empty unless asked for.
    objective : tuple of float
        `alpha`, `alpha0`, `reg`, `nu`.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import als
    >>> x = sp.csr_array(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32))
    >>> factors = als(x, n_factors=2, reg=0.01)
    >>> np.allclose(factors.transform(x), factors.users, atol=1e-5)
    True
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    losses: NDArray[np.float64]
    objective: tuple[float, float, float, float]

    @checks_keywords
    def transform(self, x: Matrix, *, n_threads: int | None = None) -> NDArray[np.float32]:
        """The exact factors of new users, given those of the items.

        Parameters
        ----------
        x
            Sparse matrix, new users × the same items.
        n_threads
            As in [`top_k_similar`][ferrec.kernels.top_k_similar].

        Returns
        -------
        ndarray of float32, shape (new users, k)

        Raises
        ------
        ValueError, TypeError
            `x` is not sparse, not finite, has negative values, or other columns.
        """
        return self._solve("x", x, self.items, n_threads)

    @checks_keywords
    def transform_items(self, x: Matrix, *, n_threads: int | None = None) -> NDArray[np.float32]:
        """The exact factors of new items, given those of the users.

        Parameters
        ----------
        x
            Sparse matrix, the same users × new items.
        n_threads
            As in [`top_k_similar`][ferrec.kernels.top_k_similar].

        Returns
        -------
        ndarray of float32, shape (new items, k)

        Raises
        ------
        ValueError, TypeError
            `x` is not sparse, not finite, has negative values, or other rows.
        """
        if not scipy.sparse.issparse(x):
            raise ParameterTypeError("x", "expected a SciPy sparse matrix", type(x))
        x = cast(Any, x)
        if x.ndim != 2 or x.shape[0] != len(self.users):
            raise ShapeError("x", f"must have {len(self.users)} rows, one for each user", x.shape)
        return self._solve("x", x.T.tocsr(), self.users, n_threads)

    def _solve(
        self, name: str, x: Matrix, factors: NDArray[np.float32], n_threads: int | None
    ) -> NDArray[np.float32]:
        handle, dense = as_csr(x, name), as_dense(factors, "factors")
        solved = _rust.fold_in_als(name, handle, dense, self.objective, threads(n_threads))
        return solved.reshape(handle.shape[0], dense[2])


def als_objective(alpha: float, alpha0: float, reg: float, nu: float) -> tuple[float, float, float, float]:
    """For the compiled kernels."""
    return (
        as_float("alpha", alpha),
        as_float("alpha0", alpha0),
        as_float("reg", reg),
        as_float("nu", nu),
    )


def solver_parts(solver: str, cg_steps: int, subspace_size: int) -> tuple[str, int, int]:
    """For the compiled kernels, checked."""
    one_of("solver", solver, ("cg", "cholesky", "ials++"))
    return (
        solver,
        as_int("cg_steps", cg_steps, minimum=1),
        as_int("subspace_size", subspace_size, minimum=1),
    )


def require_factors(what: str, x: _rust.Csr, n_factors: int) -> None:
    """Refuse k values for each row and column, once while they are learned and once to keep, that do not fit."""
    n = sum(x.shape)
    require_memory(
        f"{what} of {n:,} rows and columns (n_factors={n_factors})",
        8 * n * n_factors,
        "take a smaller n_factors",
    )


@checks_keywords
def als(
    x: Matrix,
    n_factors: int,
    *,
    alpha: float = 1.0,
    alpha0: float = 1.0,
    reg: float = 0.01,
    nu: float = 0.0,
    solver: str = "cg",
    cg_steps: int = 3,
    subspace_size: int = 32,
    epochs: int = 15,
    seed: int = 0,
    track_loss: bool = False,
    n_threads: int | None = None,
    progress: Progress = False,
) -> ALSFactors:
    """Factors of implicit feedback by alternating least squares (Hu, Koren & Volinsky, ICDM 2008).

    Minimizes ``Σ (alpha · x_ui + alpha0) (1 − p_u·q_i)²`` over the stored entries, plus
    ``alpha0 · Σ (p_u·q_i)²`` over all others, plus ``reg · Σ_u (n_u + alpha0 · items)^nu |p_u|²`` and the
    same of the items, with n the number of entries. The defaults are the objective of the paper.

    Parameters
    ----------
    x
        Sparse matrix, users × items, values at least 0 (computed in float32); stored zeros count as absent.
    n_factors
        Factors, at least 1.
    alpha, alpha0
        Weight of an entry for each unit of its value, and of every pair; at least 0. To give the weights
        yourself, put what they are above `alpha0` into `x`.
    reg, nu
        Regularization, and how far it grows with the number of entries: 0 not at all, 1 in proportion (Rendle et
        al., arXiv 2110.14037). At least 0.
    solver
        ``"cg"``: some conjugate gradients from where a vector stands (Takács, Pilászy & Tikk, RecSys 2011);
        ``"cholesky"``: exact; ``"ials++"``: exact in one block of factors after the other (Rendle et al., arXiv
        2110.14044). The last pass over the users is always exact.
    cg_steps
        Steps of ``"cg"``, at least 1.
    subspace_size
        Factors in a block of ``"ials++"``, rounded up to a multiple of 16.
    epochs
        Passes over items and users, at least 1.
    seed
        Of the random start, in 0 … 2**63 − 1.
    track_loss
        Compute the objective after every pass.
    n_threads, progress
        As in [`top_k_similar`][ferrec.kernels.top_k_similar]. Progress counts rows and columns solved.

    Returns
    -------
    ALSFactors
        `users`, `items`, `losses`; the same bits for any `n_threads`.

    Raises
    ------
    ValueError, TypeError
        An argument makes no sense, or `x` has negative values or such that are not finite.
    MemoryError
        The factors would not fit: 8 bytes for each of the k values of every row and column.

    Examples
    --------
    >>> import numpy as np, scipy.sparse as sp
    >>> from ferrec.kernels import als
    >>> x = sp.csr_array(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=np.float32))
    >>> factors = als(x, n_factors=2, reg=0.01, track_loss=True)
    >>> (factors.users @ factors.items.T).round(1).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    >>> bool(factors.losses[-1] < factors.losses[0])
    True
    """
    n_factors, epochs = as_int("n_factors", n_factors, minimum=1), as_int("epochs", epochs, minimum=1)
    seed = as_int("seed", seed, minimum=0)
    objective, wanted = als_objective(alpha, alpha0, reg, nu), as_bool("track_loss", track_loss)
    parts = solver_parts(solver, cg_steps, subspace_size)
    handle = as_csr(x)
    require_factors("als", handle, n_factors)
    with bar(progress, "als") as callback:
        users, items, losses = _rust.als(
            handle, n_factors, objective, parts, epochs, seed, wanted, threads(n_threads), callback
        )
    return ALSFactors(users.reshape(-1, n_factors), items.reshape(-1, n_factors), losses, objective)
