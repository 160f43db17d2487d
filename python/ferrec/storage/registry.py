"""Every class that can be saved, by the name that its folder bears.

Classes register themselves when they are defined, so that `storage` never imports a model. A class of ferrec is
known by its name, any other by ``module:qualified.name``; a file can only choose among classes that this process
has defined, and never has a module imported.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar, Protocol, Self, TypeGuard, runtime_checkable
from weakref import WeakSet

from ferrec.errors import ModelFileError
from ferrec.storage.mapped import Mapped

__all__ = [
    "LazyState",
    "Storable",
    "find",
    "is_storable",
    "is_storable_class",
    "known",
    "name_of",
    "provide",
    "register",
]


class Storable(Protocol):
    """What `storage` needs of an object: its parameters, and what it has learned as one frozen dataclass."""

    state_type: ClassVar[type[Any]]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's parameters."""

    @property
    def state(self) -> Any:
        """What it has learned, or `NotFittedError`."""

    @property
    def frozen(self) -> "Storable":
        """The object with the parameters that it has learned with."""

    def adopt(self, state: Any) -> None:
        """Have learned this, with the present parameters."""


@runtime_checkable
class LazyState(Protocol):
    """A state whose fields may stay in their files until they are used."""

    @classmethod
    def stored(cls, fields: Mapping[str, Mapped], scalars: Mapping[str, Any]) -> Self:
        """One whose fields are read when they are first used."""

    @classmethod
    def sides_of(cls, name: str) -> tuple[str, ...]:
        """What the dimensions of a field are: "users" or "items" each."""

    def shape_of(self, name: str) -> tuple[int, ...]:
        """The shape of a field, which is not read for it."""


_classes: dict[str, type[Storable]] = {}
"""What a name means now."""
_registered: WeakSet[type[Storable]] = WeakSet()
"""All of them, with those that have been replaced: what was made of one before can still be saved."""
_providers: list[str] = []


def register(cls: type[Storable]) -> None:
    """Make a class known; one of the same name and module that was there, as in a notebook, is replaced."""
    _classes[name_of(cls)] = cls
    _registered.add(cls)


def provide(*modules: str) -> None:
    """Name modules that define classes when they are imported; they are, once a name is not found without."""
    _providers.extend(modules)


def known() -> dict[str, type[Storable]]:
    """Every class that is known now, by the name under which it is saved."""
    return dict(_classes)


def name_of(cls: type[Storable]) -> str:
    """The name under which a class is saved.

    Examples
    --------
    >>> import ferrec
    >>> name_of(ferrec.ItemKNN)
    'ItemKNN'
    """
    if cls.__module__.partition(".")[0] == "ferrec":
        return cls.__name__
    return f"{cls.__module__}:{cls.__qualname__}"


def is_storable(value: object) -> TypeGuard[Storable]:
    """Whether a value is an instance of a class that can be saved."""
    return is_storable_class(type(value))


def is_storable_class(kind: type[Any]) -> TypeGuard[type[Storable]]:
    """Whether a class can be saved, or is the base of such classes."""
    return kind in _registered


def find(name: object) -> type[Storable]:
    """The class that is saved under a name.

    Parameters
    ----------
    name : str
        As `name_of` gives it.

    Returns
    -------
    type

    Raises
    ------
    ModelFileError
        No such class is known; says which are, and for a class from elsewhere which module to import first.

    Examples
    --------
    >>> find("EASE")
    <class 'ferrec.models.linear.ease.EASE'>
    """
    if not isinstance(name, str):
        raise ModelFileError(f"model: expected a name, got {str(name)[:80]!r}")
    if name not in _classes:
        for module in _providers:
            import_module(module)
    if name in _classes:
        return _classes[name]
    module, _, kind = name.partition(":")
    if kind and len(name) <= 200 and all(part.isidentifier() for part in module.split(".")):
        hint = f"import {module}, which defines it, before you load (ferrec --import {module} on the command line)"
        if module == "__main__":
            hint = "it was defined in a script or notebook: define it again before you load"
        raise ModelFileError(f"model: unknown class {kind!r}; {hint}")
    own = sorted(one for one in _classes if ":" not in one)
    raise ModelFileError(f"model: unknown name {name[:80]!r}; there are {', '.join(own)}")
