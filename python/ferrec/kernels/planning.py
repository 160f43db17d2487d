"""What a similarity is going to cost, before anything runs."""

import time
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from ferrec import _rust
from ferrec.errors import checks_keywords
from ferrec.kernels.arguments import as_int, one_of, optional_float, threads
from ferrec.kernels.handles import Matrix, as_csr

__all__ = ["Plan", "plan"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Plan:
    """The cost of [`top_k_similar`][ferrec.kernels.top_k_similar]; `str` shows it as a table."""

    multiply_adds: int
    """Of the naive loops: for every user (or item) the square of its number of entries. Exact."""
    dense: int
    """Multiply-adds that dense blocks of the most popular items take over, about 30 to 300 times as quick."""
    scattered: int
    """Products that remain to be scattered, estimated."""
    bytes: int
    """Peak memory above the input and the answer, estimated."""
    answer_bytes: int
    """Memory of the answer, at most."""
    seconds: float
    """Estimated from a calibration on this machine with as many threads; see `plan` for how far to trust it."""
    n_threads: int

    def __str__(self) -> str:
        rows = (
            ("naive multiply-adds", f"{self.multiply_adds:,}"),
            ("  in dense blocks", f"{self.dense:,}"),
            ("  scattered", f"{self.scattered:,}"),
            ("memory above input and answer", f"{self.bytes / _MIB:,.0f} MiB"),
            ("answer", f"{self.answer_bytes / _MIB:,.0f} MiB"),
            (f"time on {self.n_threads} threads", f"about {self.seconds:.2g} s"),
        )
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


@checks_keywords
def plan(
    x: Matrix,
    k: int = 100,
    *,
    measure: str = "cosine",
    axis: Literal["items", "users"] = "items",
    alpha: float | None = None,
    beta: float | None = None,
    n_threads: int | None = None,
) -> Plan:
    """What `top_k_similar(x, k, …)` is going to cost, from the matrix's row and column lengths alone.

    The first call with a measure's kind of values and a number of threads runs a small similarity of its own
    to calibrate (about a tenth of a second); later calls read `x` once.

    Parameters
    ----------
    x, k, measure, axis, alpha, beta, n_threads
        As in [`top_k_similar`][ferrec.kernels.top_k_similar].

    Returns
    -------
    Plan
        Multiply-adds (exact), memory in bytes and time in seconds (estimates: the order of magnitude of the
        time; the memory within a quarter, mostly from above).

    Raises
    ------
    ValueError, TypeError
        As `top_k_similar`.

    Examples
    --------
    >>> import ferrec
    >>> from ferrec.kernels.synthetic import synthetic
    >>> x = synthetic(1000, 500, 20_000)
    >>> cost = ferrec.plan(x, k=20)
    >>> cost.multiply_adds == int((x.astype(bool).sum(axis=1) ** 2).sum())
    True
    """
    k = as_int("k", k, minimum=1)
    one_of("axis", axis, ("items", "users"))
    one_of("measure", measure, _rust.measures)
    n_threads = threads(n_threads) or _rust.default_threads()
    alpha, beta = optional_float("alpha", alpha), optional_float("beta", beta)
    handle = as_csr(x)
    adds, dense, scattered, work, size, answer = _rust.plan_similar(
        handle, k, measure, axis, alpha, beta, n_threads
    )
    seconds = work * _seconds_per_unit(n_threads)
    return Plan(adds, dense, scattered, size, answer, seconds, n_threads)


@cache
def _seconds_per_unit(n_threads: int) -> float:
    """Seconds of a unit of work on this machine: the best of three runs on a matrix made for it."""
    from ferrec.kernels.synthetic import synthetic

    x = as_csr(synthetic(6000, 4000, 600_000))
    work = _rust.plan_similar(x, 100, "cosine", "items", None, None, n_threads)[3]

    def once() -> float:
        start = time.perf_counter()
        _rust.top_k_similar(x, None, 100, "cosine", "items", 0.0, None, None, None, n_threads, None)
        return time.perf_counter() - start

    return float(np.min([once() for _ in range(3)])) / work
