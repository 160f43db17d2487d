"""What everything with a `fit` shares: stored parameters, one frozen state, one place that says "not fitted"."""

import inspect
import os
import re
from typing import Any, ClassVar, Generic, Self, TypeVar

from ferrec.errors import NotFittedError
from ferrec.storage import folders
from ferrec.storage.registry import register

StateT = TypeVar("StateT")


class Estimator(Generic[StateT]):
    """Keyword parameters that the constructor only stores, and what `fit` learned as one frozen object."""

    _state: StateT | None = None
    state_type: ClassVar[type[Any]]
    _fit_call: ClassVar[str]
    """What to call first, for the message."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Make the class known to `ferrec.load`."""
        super().__init_subclass__(**kwargs)
        register(cls)

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
                part.set_params(**{inner: value})
            elif name in known:
                setattr(self, name, value)
            else:
                raise ValueError(
                    f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}"
                )
        return self

    def __repr__(self) -> str:
        """The class with the parameters that differ from the defaults."""
        defaults = {p.name: p.default for p in inspect.signature(type(self)).parameters.values()}
        shown = [f"{k}={v!r}" for k, v in self.get_params(deep=False).items() if v != defaults[k]]
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def state(self) -> StateT:
        """What `fit` learned, frozen; `NotFittedError` before."""
        if self._state is None:
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call {self._fit_call} first")
        return self._state

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a folder: `model.json` and arrays, no pickle; `ferrec.load` reads it.

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
    """Another one with the same parameters, not fitted."""
    return type(estimator)(**estimator.get_params(deep=False))


def snake_name(estimator: Estimator[Any]) -> str:
    """Its class as the beginning of a column's name: "item_knn" of an `ItemKNN`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", type(estimator).__name__)
    return words.lower()
