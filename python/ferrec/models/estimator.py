"""What everything with a `fit` shares: stored parameters, a frozen fit, one place that says "not fitted"."""

import inspect
import os
import re
from collections.abc import Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from ferrec.errors import NotFittedError, ParameterError, ParameterTypeError, checks_keywords, did_you_mean
from ferrec.storage import folders
from ferrec.storage.registry import register

StateT = TypeVar("StateT")

_CALLED_FIRST = {
    "__init__",
    "explain",
    "fit",
    "iter_recommend",
    "recommend",
    "score",
    "similar_items",
    "similar_users",
}
"""What people call by the keywords that they know from other libraries."""


class Estimator(Generic[StateT]):
    """Keyword parameters that the constructor only stores, and what `fit` learned as one frozen object.

    A fit is frozen whole: the state together with the parameters that it was learned with. What answers a call are
    the state and the `frozen` estimator, so that `set_params` changes nothing before the next `fit`.

    Attributes
    ----------
    state_type : type
        A class attribute: the frozen dataclass that `fit` learns. Its fields are saved, each by its type.
    n_threads : int or None
        None, where the estimator has no such parameter.
    """

    state_type: ClassVar[type[Any]]
    n_threads: int | None = None
    _fitted: tuple[Self, StateT] | None = None
    """What `adopt` was given."""
    _twin: tuple[Self, Self] | None = None
    """What learned, and the same with another number of threads."""
    _fit_call: ClassVar[str]
    """What to call first, for the message."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the class known to `ferrec.load`."""
        super().__init_subclass__(**kwargs)
        for name in _CALLED_FIRST:
            method = getattr(cls, name, None)
            if isinstance(method, FunctionType) and not hasattr(method, "__wrapped__"):
                setattr(cls, name, checks_keywords(method))
        register(cls)

    if not TYPE_CHECKING:  # else any name would do

        def __getattr__(self, name: str) -> Any:
            """Say what ferrec calls what is not there."""
            if hasattr(type(self), name):  # a property has raised: once more, for its own error
                return object.__getattribute__(self, name)
            advice = "" if name.startswith("_") else did_you_mean(name, dir(type(self)))
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}" + (f"; {advice}" if advice else ""),
                name=name,
                obj=self,
            )

    @classmethod
    def _parameters(cls) -> list[str]:
        return [name for name in inspect.signature(cls).parameters if name != "self"]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters, as scikit-learn wants them.

        Parameters
        ----------
        deep : bool
            With the parameters of parameters that are estimators, as ``"ranker__epochs"``.

        Returns
        -------
        dict
            Names and values.
        """
        params = {name: getattr(self, name) for name in self._parameters()}
        if deep:
            for name, value in list(params.items()):
                if isinstance(value, Estimator):
                    params |= {f"{name}__{inner}": one for inner, one in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Change parameters; they count at the next `fit`.

        Parameters
        ----------
        **params
            By name; ``ranker__epochs`` is the parameter `epochs` of the parameter `ranker`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            The model has no such parameter; says which it has.
        """
        known = self._parameters()
        for name, value in params.items():
            outer, nested, inner = name.partition("__")
            part = getattr(self, outer) if nested and outer in known else None
            if isinstance(part, Estimator):
                try:
                    part.set_params(**{inner: value})
                except ParameterError as error:
                    raise error.renamed(f"{outer}__{error.argument}") from None
            elif name in known:
                setattr(self, name, value)
            else:
                raise ParameterError(
                    name,
                    f"{type(self).__name__} has no such parameter, it has {', '.join(known)}",
                    advice=did_you_mean(name, known),
                )
        return self

    def __repr__(self) -> str:
        """The class with the parameters that differ from the defaults."""
        defaults = {p.name: p.default for p in inspect.signature(type(self)).parameters.values()}
        shown = [f"{k}={v!r}" for k, v in self.get_params(deep=False).items() if v != defaults[k]]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def is_fitted(self) -> bool:
        """Whether there is a `state`."""
        return self._fitted is not None

    @property
    def state(self) -> StateT:
        """What `fit` learned, frozen; `NotFittedError` before."""
        return self._settled()[1]

    @property
    def frozen(self) -> Self:
        """The estimator as it was fitted: what hooks are called on. `NotFittedError` before `fit`.

        A copy with the parameters that the state was learned with. Only `n_threads`, which changes no answer, is
        the present one.
        """
        return self.settled[0]

    @property
    def settled(self) -> tuple[Self, StateT]:
        """`frozen` and `state`, which belong together also while another thread fits anew."""
        fitted = self._settled()
        return fitted if fitted[0].n_threads == self.n_threads else (self._threaded(fitted[0]), fitted[1])

    def _threaded(self, learner: Self) -> Self:
        """The same with the present number of threads; another one, since somebody may be ranking with this."""
        present = self._twin
        if present is None or present[0] is not learner or present[1].n_threads != self.n_threads:
            twin = clone(learner)
            twin.n_threads = self.n_threads
            present = self._twin = learner, twin
        return present[1]

    def adopt(self, state: StateT, learner: Self | None = None) -> None:
        """Become fitted.

        Parameters
        ----------
        state : State
            What was learned.
        learner : Estimator, optional
            Of the same class, with the parameters that it was learned with; it is kept, so nobody else may change
            it. By default a copy of this one.
        """
        self._fitted = clone(self) if learner is None else learner, state

    def _settled(self) -> tuple[Self, StateT]:
        if self._fitted is None:
            raise NotFittedError(type(self).__name__, "is not fitted", advice=f"call {self._fit_call} first")
        return self._fitted

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a folder: `model.json` and arrays, no pickle; `ferrec.load` reads it.

        The parameters written are those of the fit.

        The folder appears under its name only when it is complete. A model that is there is replaced; any
        other folder or file is refused.

        Parameters
        ----------
        path : path
            The folder.

        Raises
        ------
        NotFittedError
            Before `fit`.
        FileExistsError
            Something that is no model is there.
        """
        folders.save(self, path)


EstimatorT = TypeVar("EstimatorT", bound=Estimator[Any])


def clone(estimator: EstimatorT) -> EstimatorT:
    """Another one with the same parameters, not fitted.

    Estimators among the parameters are cloned too, also within lists, tuples and mappings; arrays are copied.
    Anything else is shared, since it may be code or of any size: the encoder of a `ContentKNN`, for example.

    Parameters
    ----------
    estimator : Estimator
        A model, ranker, feature; fitted or not.

    Returns
    -------
    Estimator
        Of the same class.

    Raises
    ------
    ParameterTypeError
        `estimator` is no Estimator.

    Examples
    --------
    >>> import ferrec
    >>> model = ferrec.Hybrid(retrievers=[ferrec.ItemKNN(k=5)])
    >>> twin = clone(model)
    >>> twin.retrievers, twin.retrievers[0] is model.retrievers[0]
    ([ItemKNN(k=5)], False)
    """
    if not isinstance(estimator, Estimator):
        raise ParameterTypeError("estimator", "expected an Estimator", estimator)
    params = estimator.get_params(deep=False)
    return type(estimator)(**{name: _copied(value) for name, value in params.items()})


def _copied(value: Any) -> Any:
    if isinstance(value, Estimator):
        return clone(value)
    if isinstance(value, Mapping):
        return {name: _copied(one) for name, one in value.items()}
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(map(_copied, value))
    return value.copy() if isinstance(value, np.ndarray) else value


def snake_name(estimator: Estimator[Any]) -> str:
    """Its class as the beginning of a column's name: "item_knn" of an `ItemKNN`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(estimator).__name__)
    return words.lower()
