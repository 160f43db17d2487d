"""What chance could do to a mean over users: intervals, tests, and the correction for many of them."""

from collections.abc import Mapping
from typing import Literal, TypeAlias, get_args

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.errors import ParameterError
from ferrec.kernels.arguments import as_float, as_int, one_of, threads

Test: TypeAlias = Literal["permutation", "t", "wilcoxon"]

Values: TypeAlias = NDArray[np.float64]


def mean(values: Values) -> float:
    """The mean of the values that are defined; NaN where none is."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else float("nan")


def intervals(
    columns: Mapping[str, Values], level: float, n_resamples: int, seed: int, n_threads: int | None
) -> dict[str, tuple[float, float]]:
    """Bootstrap intervals of the means of columns that are aligned: bias-corrected and accelerated (Efron 1987).

    Values that are NaN are left out. Of fewer than two values nothing can be said: NaN.
    """
    level, n_resamples = as_float("level", level), as_int("n_resamples", n_resamples, minimum=1)
    seed, pool = as_int("seed", seed, minimum=0), threads(n_threads)
    if not 0.0 < level < 1.0:
        raise ParameterError("level", "expected a number between 0 and 1, both excluded", level)
    groups: dict[bytes, list[str]] = {}
    for name, column in columns.items():
        groups.setdefault(np.isnan(column).tobytes(), []).append(name)
    found = {}
    for names in groups.values():  # those with the same gaps are drawn together
        table = np.stack([columns[name] for name in names], axis=1)
        table = table[~np.isnan(table[:, 0])]
        n = len(table)
        drawn = _rust.bootstrap_means(table.reshape(-1), len(names), n_resamples if n > 1 else 0, seed, pool)
        for name, values, means in zip(names, table.T, drawn.reshape(-1, len(names)).T, strict=True):
            found[name] = _bca(values, means, level) if n > 1 else (float("nan"), float("nan"))
    return {name: found[name] for name in columns}


def _bca(values: Values, means: Values, level: float) -> tuple[float, float]:
    center = values.mean()
    errors = values - center  # in proportion to the jackknife's, with the sign of their influence
    spread = float((errors**2).sum())
    if spread == 0.0:
        return float(center), float(center)
    acceleration = float((errors**3).sum()) / (6.0 * spread**1.5)
    below = (np.count_nonzero(means < center) + 0.5 * np.count_nonzero(means == center)) / len(means)
    # A share of 0 or 1 only says that there were too few resamples.
    bias = scipy.special.ndtri(np.clip(below, 0.5 / len(means), 1.0 - 0.5 / len(means)))
    tails = bias + scipy.special.ndtri([(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    shares = scipy.special.ndtr(bias + tails / (1.0 - acceleration * tails))
    low, high = np.quantile(means, shares)
    return float(low), float(high)


def p_value(differences: Values, method: Test, n_resamples: int, seed: int, n_threads: int | None) -> float:
    """How likely chance alone makes paired differences as large on average, on either side."""
    one_of("method", method, get_args(Test))
    n_resamples = as_int("n_resamples", n_resamples, minimum=1)
    seed = as_int("seed", seed, minimum=0)
    if len(differences) < 2 or not differences.any():
        return 1.0
    if method == "permutation":
        extreme = _rust.sign_flips(differences, n_resamples, seed, threads(n_threads))
        return (extreme + 1) / (n_resamples + 1)
    if method == "wilcoxon":
        from scipy import stats  # here, so that `import ferrec` stays quick

        return float(stats.wilcoxon(differences).pvalue)
    n = len(differences)
    error = differences.std(ddof=1) / np.sqrt(n)
    t = abs(differences.mean()) / error if error > 0.0 else np.inf
    return float(2.0 * scipy.special.stdtr(n - 1, -t))


def holm(p_values: Values) -> Values:
    """The p-values corrected for their number (Holm 1979)."""
    n = len(p_values)
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(n, 0, -1))
    corrected = np.empty(n)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected
