"""What values of a model's parameters are worth trying: each model declares them, `ferrec.tune` draws from them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ferrec.errors import ParameterError, ParameterTypeError

__all__ = ["Choice", "Float", "Int", "SearchSpace"]

Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included.

    Parameters
    ----------
    low, high : int
        The ends.
    log : bool, default False
        Every doubling is as likely as any other; needs ``low`` of at least 1.

    Raises
    ------
    ValueError, TypeError
        The ends make no range.

    See Also
    --------
    Float, Choice : other values worth trying.
    ferrec.tune : draws from them.

    Examples
    --------
    >>> 100 in Int(10, 1000, log=True)
    True
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        """Check the ends."""
        if type(self.low) is not int or type(self.high) is not int:
            raise ParameterTypeError(f"{self!r}", "the ends must be whole numbers")
        if self.low > self.high or (self.log and self.low < 1):
            raise ParameterError(f"{self!r}", "expected low ≤ high, and low of at least 1 with log")

    def __contains__(self, value: object) -> bool:
        """Whether a value is one of them."""
        return type(value) is int and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """The least and the greatest."""
        return self.low, self.high

    def suggest(self, trial: Any, name: str) -> Scalar:
        """A value for an Optuna trial.

        Parameters
        ----------
        trial : optuna.Trial
            Asks the sampler.
        name : str
            Of the parameter.

        Returns
        -------
        int
        """
        value: int = trial.suggest_int(name, self.low, self.high, log=self.log)
        return value


@dataclass(frozen=True)
class Float:
    """Numbers from `low` to `high`.

    Parameters
    ----------
    low, high : float
        The ends.
    log : bool, default False
        Every factor of ten is as likely as any other; needs ``low`` above 0.

    Raises
    ------
    ValueError, TypeError
        The ends make no range.

    See Also
    --------
    Int, Choice : other values worth trying.
    ferrec.tune : draws from them.

    Examples
    --------
    >>> 0.5 in Float(0.01, 1.0, log=True), None in Float(0.01, 1.0)
    (True, False)
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """Check the ends."""
        for end in (self.low, self.high):
            if type(end) not in (int, float):
                raise ParameterTypeError(f"{self!r}", "the ends must be numbers")
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ParameterError(f"{self!r}", "expected finite ends, low ≤ high")
        if self.log and self.low <= 0.0:
            raise ParameterError(f"{self!r}", "expected low above 0 with log")

    def __contains__(self, value: object) -> bool:
        """Whether a value is one of them."""
        return isinstance(value, int | float) and type(value) is not bool and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """The least and the greatest."""
        return self.low, self.high

    def suggest(self, trial: Any, name: str) -> Scalar:
        """A value for an Optuna trial.

        Parameters
        ----------
        trial : optuna.Trial
            Asks the sampler.
        name : str
            Of the parameter.

        Returns
        -------
        float
        """
        value: float = trial.suggest_float(name, self.low, self.high, log=self.log)
        return value


@dataclass(frozen=True, init=False)
class Choice:
    """One of some values.

    Parameters
    ----------
    *values : None, bool, int, float or str
        At least one, without repetitions.

    Raises
    ------
    ValueError
        There are none, or one comes twice.

    Attributes
    ----------
    values : tuple
        As given.

    See Also
    --------
    Int, Float : other values worth trying.
    ferrec.tune : draws from them.

    Examples
    --------
    >>> Choice("cosine", "jaccard")
    Choice('cosine', 'jaccard')
    """

    values: tuple[Scalar, ...]

    def __init__(self, *values: Scalar) -> None:
        if not values or len(set(map(repr, values))) != len(values):
            raise ParameterError(f"Choice{values!r}", "expected at least one value, and none twice")
        object.__setattr__(self, "values", values)

    def __contains__(self, value: object) -> bool:
        """Whether a value is one of them."""
        return any(value == one and type(value) is type(one) for one in self.values)

    def __repr__(self) -> str:
        """The values."""
        return f"Choice({', '.join(map(repr, self.values))})"

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """All of them."""
        return self.values

    def suggest(self, trial: Any, name: str) -> Scalar:
        """A value for an Optuna trial.

        Parameters
        ----------
        trial : optuna.Trial
            Asks the sampler.
        name : str
            Of the parameter.

        Returns
        -------
        one of the values
        """
        value: Scalar = trial.suggest_categorical(name, self.values)
        return value


SearchSpace: TypeAlias = Mapping[str, Int | Float | Choice]
"""What to try, by the name of the parameter."""
