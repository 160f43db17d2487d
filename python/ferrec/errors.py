"""The errors that ferrec raises, the one form of their text, and the one way to import an optional package.

Every error derives from `FerrecError`, and also from the built-in class that callers already catch:
a bad parameter or table is a `ValueError`, an unknown id a `KeyError`, a missing package an `ImportError`.

The text is made of parts, `argument: problem, got VALUE at PLACE; advice`, and the parts stay with the error:
whoever wants one reads `error.argument` or `error.value`, never the text.
"""

import copy
import difflib
import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any, NoReturn, ParamSpec, Self, TypeVar, cast

__all__ = [
    "DataError",
    "DuplicateEventsError",
    "FerrecError",
    "MissingExtraError",
    "ModelFileError",
    "NotFittedError",
    "ParameterError",
    "ParameterTypeError",
    "ShapeError",
    "UnknownIdError",
    "UnsupportedError",
]

Args = ParamSpec("Args")
Out = TypeVar("Out")


class _Value(Enum):
    """In place of a value where there is none to show: None may be the value."""

    NONE = "none"


class FerrecError(Exception):
    """The base of every error of ferrec.

    Parameters
    ----------
    argument : str
        What the error is about: an argument, a column, a file. Without `problem` it is the whole text.
    problem : str, optional
        What is wrong, or what the argument must be.
    value : object, optional
        The value that is to blame.
    place : mapping of str to int, optional
        Where in the argument it stands, for example ``{"row": 3, "column": 5}``.
    advice : str, optional
        What to do about it.
    kind : str, optional
        The sort of problem.

    Attributes
    ----------
    argument : str or None
        What the error is about; None where the text says it all.
    problem : str
        What is wrong.
    value : object
        The value that is to blame; None also where there is none.
    place : dict of str to int
        Where in the argument the value stands; mostly empty.
    advice : str
        What to do about it; empty where there is nothing to say.
    kind : str
        The sort of problem: "parameter", "choice", "values", "layout", "shape", "overflow", "duplicates", ….

    Examples
    --------
    >>> error = FerrecError("n", "must be at least 1", 0, advice="ask for one item")
    >>> print(error)
    n: must be at least 1, got 0; ask for one item
    >>> error.argument, error.value
    ('n', 0)
    >>> print(error.renamed("--top"))
    --top: must be at least 1, got 0; ask for one item
    """

    kind = "other"

    def __init__(
        self,
        argument: str,
        problem: str = "",
        value: object = _Value.NONE,
        *,
        place: Mapping[str, int] | None = None,
        advice: str = "",
        kind: str = "",
    ) -> None:
        self.argument = argument if problem else None
        self.problem = problem or argument
        self._value = value
        self.place = dict(place or {})
        self.advice = advice
        if kind:
            self.kind = kind
        super().__init__(self._text())

    @property
    def value(self) -> object:
        """The value that is to blame."""
        return None if self._value is _Value.NONE else self._value

    def renamed(self, argument: str) -> Self:
        """The same error about an argument of another name; a text without parts stays as it is.

        Parameters
        ----------
        argument : str
            The other name.

        Returns
        -------
        FerrecError
            Of the same class, with the same parts.

        Examples
        --------
        >>> ShapeError("x", "must have 3 columns", 2).renamed("data")
        ShapeError('data: must have 3 columns, got 2')
        """
        if self.argument is None:
            return self
        other = copy.copy(self)
        other.argument = argument
        other.args = (other._text(),)
        return other

    def advised(self, advice: str) -> Self:
        """The same error with other advice.

        Parameters
        ----------
        advice : str
            What to do about it.

        Returns
        -------
        FerrecError
            Of the same class, with the same other parts.

        Examples
        --------
        >>> DataError("column 'time'", "must hold numbers", "text").advised("parse it first")
        DataError("column 'time': must hold numbers, got 'text'; parse it first")
        """
        other = copy.copy(self)
        other.advice = advice
        other.args = (other._text(),)
        return other

    def _text(self) -> str:
        text = self.problem if self.argument is None else f"{self.argument}: {self.problem}"
        if self._value is not _Value.NONE:
            text += f", got {shown(self._value)}"
        if self.place:
            text += " at " + ", ".join(f"{axis} {index}" for axis, index in self.place.items())
        return f"{text}; {self.advice}" if self.advice else text


class ParameterError(FerrecError, ValueError):
    """A parameter has a value that makes no sense, or does not go with another.

    See Also
    --------
    ParameterTypeError : The type is wrong.
    DataError : The data is to blame.

    Examples
    --------
    >>> raise ParameterError("n", "must be at least 1", 0)
    Traceback (most recent call last):
    ferrec.errors.ParameterError: n: must be at least 1, got 0
    """

    kind = "parameter"


class ParameterTypeError(FerrecError, TypeError):
    """A parameter is of a type that nothing can be made of, or there is no parameter of that name.

    See Also
    --------
    ParameterError : The value is wrong.

    Examples
    --------
    >>> raise ParameterTypeError("n", "must be an integer", "ten")
    Traceback (most recent call last):
    ferrec.errors.ParameterTypeError: n: must be an integer, got 'ten'
    """

    kind = "type"


class DataError(FerrecError, ValueError):
    """A table, an array or a matrix that cannot be used: the message says which rows, and why.

    Examples
    --------
    >>> raise DataError("column 'user_id'", "3 of 10 rows are null")
    Traceback (most recent call last):
    ferrec.errors.DataError: column 'user_id': 3 of 10 rows are null
    """

    kind = "values"


class ShapeError(DataError):
    """Arrays, matrices or tables that do not fit together in shape.

    See Also
    --------
    DataError : Their values are to blame.

    Examples
    --------
    >>> raise ShapeError("history", "must have 3 columns, one for each item", 2)
    Traceback (most recent call last):
    ferrec.errors.ShapeError: history: must have 3 columns, one for each item, got 2
    """

    kind = "shape"


class DuplicateEventsError(DataError):
    """The same user and item came together more than once, and ``duplicates="error"`` forbids it.

    Attributes
    ----------
    count : int
        How many events repeat the pair of an earlier one.
    user, item : object
        The first pair that is repeated.

    See Also
    --------
    DataError : Anything else in the data.

    Examples
    --------
    >>> raise DuplicateEventsError(2, "ann", "tea")
    Traceback (most recent call last):
    ferrec.errors.DuplicateEventsError: events: 2 repeat the pair of an earlier one, the first user 'ann' and item \
'tea'; drop the repeats, or give duplicates='sum', 'last', 'max' or 'count'
    """

    kind = "duplicates"

    def __init__(self, count: int, user: object, item: object) -> None:
        self.count, self.user, self.item = count, user, item
        super().__init__(
            "events",
            f"{count:,} repeat the pair of an earlier one, the first user {user!r} and item {item!r}",
            advice="drop the repeats, or give duplicates='sum', 'last', 'max' or 'count'",
        )

    def __reduce__(self) -> Any:
        return type(self), (self.count, self.user, self.item)


class UnknownIdError(FerrecError, KeyError):
    """An id that the model or the data has never seen.

    Examples
    --------
    >>> str(UnknownIdError("users: 1 of 2 is unknown"))
    'users: 1 of 2 is unknown'
    """

    kind = "unknown"

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; this message is a sentence, not a key.
        return Exception.__str__(self)


class NotFittedError(FerrecError, AttributeError, ValueError):
    """A model was asked for results before `fit`.

    It is an `AttributeError` and a `ValueError`, as scikit-learn's error of the same name is.

    Examples
    --------
    >>> issubclass(NotFittedError, (AttributeError, ValueError))
    True
    """

    kind = "not fitted"


class ModelFileError(FerrecError):
    """A saved model that is incomplete, altered, or written by a version that this one cannot read.

    Examples
    --------
    >>> issubclass(ModelFileError, FerrecError)
    True
    """

    kind = "file"


class UnsupportedError(FerrecError, NotImplementedError):
    """A request that makes sense in general but not for this model.

    Examples
    --------
    >>> issubclass(UnsupportedError, NotImplementedError)
    True
    """

    kind = "unsupported"


class MissingExtraError(FerrecError, ImportError):
    """An optional package is not installed: the message says what to install.

    Examples
    --------
    >>> issubclass(MissingExtraError, ImportError)
    True
    """

    kind = "extra"


def shown(value: object) -> str:
    """A value as messages show it: its repr, on one line and not endless; a type by its name, an array by shape.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        At most 80 characters.

    Examples
    --------
    >>> shown("zz"), shown(range(3)), len(shown("z" * 1000))
    ("'zz'", 'range(0, 3)', 80)
    >>> import numpy as np
    >>> shown(np.zeros((2, 3))), shown(np.float32(0.5)), shown(list)
    ('ndarray of float64 and shape (2, 3)', '0.5', 'list')
    """
    if isinstance(value, type):  # where the type is to blame
        return value.__name__
    array: Any = value
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and isinstance(shape, tuple):
        if shape != ():
            return f"{type(value).__name__} of {dtype} and shape {shape}"
        value = (
            str(value).removesuffix(".000000000") if dtype.kind in "mM" else array.item()
        )  # 0.5, not np.float64(0.5)
    elif type(value).__module__.partition(".")[0] in ("numpy", "pyarrow"):
        return str(value)  # the type of a column
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:79]}…"


PEERS: dict[str, tuple[str, ...]] = {
    # how long the list is, and how many neighbors are kept
    "N": ("n",),
    "K": ("k", "n"),
    "k": ("n", "n_factors"),
    "top_k": ("n", "k"),
    "topk": ("n", "k"),
    "top_n": ("n",),
    "num_items": ("n",),
    "n_neighbors": ("k",),
    "n_neighbours": ("k",),
    "num_neighbors": ("k",),
    # factor models
    "factors": ("n_factors", "k"),
    "n_components": ("n_factors", "k"),
    "no_components": ("n_factors", "k"),
    "num_factors": ("n_factors", "k"),
    "embedding_dim": ("n_factors", "k"),
    "iterations": ("epochs", "max_iter"),
    "n_epochs": ("epochs",),
    "num_epochs": ("epochs",),
    "n_iter": ("epochs", "max_iter"),
    "regularization": ("reg", "l2"),
    "lambda_": ("reg", "l2"),
    "l2_reg": ("reg", "l2"),
    "l2": ("reg",),
    "l1_reg": ("l1",),
    # everywhere
    "n_jobs": ("n_threads",),
    "num_threads": ("n_threads",),
    "nthreads": ("n_threads",),
    "random_state": ("seed",),
    "metric": ("measure", "metrics"),
    "similarity": ("measure",),
    "user_col": ("user",),
    "item_col": ("item",),
    "rating_col": ("rating",),
    "timestamp_col": ("time",),
    "timestamp": ("time",),
    "filter_already_liked_items": ("exclude_seen",),
    "filter_seen": ("exclude_seen",),
    "remove_seen": ("exclude_seen",),
    "filter_items": ("exclude_items",),
    "items_to_recommend": ("allow_items",),
    "whitelist": ("allow_items",),
    "blacklist": ("exclude_items",),
    "user_items": ("history",),
    "userid": ("users",),
    "user_ids": ("users",),
    # methods
    "predict": ("score", "predict_pairs"),
    "predict_proba": ("score",),
    "rank_items": ("recommend",),
    "recommend_all": ("recommend",),
    "partial_fit": ("update", "fit"),
    "fit_partial": ("update", "fit"),
    "recalculate_user": ("recommend",),
    "similar": ("similar_items",),
    "get_similar_items": ("similar_items",),
    "fit_transform": ("fit",),
}
"""What others call what is called otherwise here; of several words the first that is known is meant."""


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """What may have been meant by an unknown name, as advice; empty where nothing is near.

    Parameters
    ----------
    name : object
        The unknown name.
    known : iterable of str
        The names that there are.

    Returns
    -------
    str
        The one that others call so (`PEERS`), else the nearest in spelling to what it or others call it; empty
        where there is none.

    Examples
    --------
    >>> did_you_mean("cosinus", ["dot", "cosine"])
    "did you mean 'cosine'?"
    >>> did_you_mean("random_state", ["k", "seed"])
    "did you mean 'seed'?"
    >>> did_you_mean("n_job", ["k", "n_threads"])
    "did you mean 'n_threads'?"
    >>> did_you_mean("zz", ["dot", "cosine"])
    ''
    """
    by_lower = {each.lower(): each for each in known}
    here = set(by_lower.values())
    theirs = {other: next(filter(here.__contains__, words), "") for other, words in PEERS.items()}
    meant = theirs.get(str(name))
    if not meant:
        words = {other: word for other, word in theirs.items() if word} | by_lower
        near = difflib.get_close_matches(str(name).lower(), words, n=1, cutoff=0.75)
        meant = words[near[0]] if near else ""
    return f"did you mean {meant!r}?" if meant else ""


def publish(module: str, name: str = "") -> None:
    """Have a module show its ``__all__`` only, and answer an unknown name with the one that may be meant.

    Parameters
    ----------
    module : str
        The ``__name__`` of the module. What its ``__all__`` names and nothing has imported is a submodule of it,
        imported at its first use.
    name : str, optional
        The name under which the module is public, if that is another.

    Examples
    --------
    >>> import ferrec
    >>> dir(ferrec.storage)
    ['checksum', 'inspect', 'load']
    >>> ferrec.storage.chksum
    Traceback (most recent call last):
    AttributeError: module 'ferrec.storage' has no attribute 'chksum'; did you mean 'checksum'?
    """
    namespace = vars(sys.modules[module])
    exported: list[str] = namespace["__all__"]

    def missing(wanted: str) -> Any:
        if wanted in exported:
            return importlib.import_module(f"{module}.{wanted}")
        advice = "" if wanted.startswith("_") else did_you_mean(wanted, exported)
        text = f"module {name or module!r} has no attribute {wanted!r}"
        raise AttributeError(f"{text}; {advice}" if advice else text)

    # Not defined in each module: a checker of types takes any name of a module that defines `__getattr__`.
    namespace.update(__getattr__=missing, __dir__=lambda: sorted(exported))


def checks_keywords(function: Callable[Args, Out]) -> Callable[Args, Out]:
    """Make a function answer a keyword that it does not have with the one that may be meant.

    Parameters
    ----------
    function : callable
        Without ``**kwargs``; its signature stays as it is.

    Returns
    -------
    callable
        The same, but for a better `TypeError`.

    Raises
    ------
    ParameterTypeError
        When it is called: there is no argument of that name.

    Examples
    --------
    >>> @checks_keywords
    ... def recommend(users, n=10):
    ...     return n
    >>> recommend([1], N=5)
    Traceback (most recent call last):
    ferrec.errors.ParameterTypeError: N: recommend() has no such argument, it has users, n; did you mean 'n'?
    """
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return function
    known = [name for name in parameters if name not in ("self", "cls")]
    by_place = [one for one in parameters.values() if one.kind not in (one.KEYWORD_ONLY, one.VAR_KEYWORD)]
    most = len(by_place)
    if any(one.kind is one.VAR_POSITIONAL for one in by_place):
        most = sys.maxsize

    def refuse_place(args: tuple[object, ...]) -> NoReturn:
        what = type(args[0]).__name__ if function.__name__ == "__init__" else function.__name__
        names = [name for name in known if name not in {one.name for one in by_place}]
        advice = f"write {names[0]}=…" if names else ""
        problem = "this argument must have its name" if names else "this is an argument too many"
        raise ParameterTypeError(f"{what}()", problem, args[most], advice=advice)

    def refuse(name: str, first: object) -> NoReturn:
        what = type(first).__name__ if function.__name__ == "__init__" else function.__name__
        problem = f"{what}() has no such argument, it has {', '.join(known) or 'none'}"
        raise ParameterTypeError(name, problem, advice=did_you_mean(name, known))

    def checked(*args: Args.args, **kwargs: Args.kwargs) -> Out:
        for name in kwargs:
            if name not in known:
                refuse(name, args[0] if args else None)
        if len(args) > most:
            refuse_place(args)
        return function(*args, **kwargs)

    # With the globals of the function's own module: doctest looks at no others.
    same = FunctionType(
        checked.__code__, function.__globals__, function.__name__, closure=checked.__closure__
    )
    return cast(Callable[Args, Out], functools.wraps(function)(same))


def unknown_name(argument: str, value: object, known: Iterable[str]) -> ParameterError:
    """The error about a name that is none of the known ones.

    Parameters
    ----------
    argument : str
        What the name was given for.
    value : object
        The name.
    known : iterable of str
        The names that there are.

    Returns
    -------
    ParameterError
        To raise; it advises the name that may be meant.

    Examples
    --------
    >>> raise unknown_name("measure", "cosinus", ["dot", "cosine"])
    Traceback (most recent call last):
    ferrec.errors.ParameterError: measure: must be one of 'dot', 'cosine', got 'cosinus'; did you mean 'cosine'?
    """
    known = list(known)
    problem = f"must be one of {', '.join(map(repr, known))}"
    return ParameterError(argument, problem, value, advice=did_you_mean(value, known), kind="choice")


_OF_KERNELS: dict[str, type[FerrecError]] = {
    "parameter": ParameterError,
    "values": DataError,
    "layout": DataError,
    "shape": ShapeError,
    "overflow": DataError,
}


def from_kernel(
    kind: str,
    argument: str,
    problem: str,
    value: object,
    place: Mapping[str, int],
    advice: str,
    details: Any,
) -> FerrecError:
    """The exception for an error of the compiled side; called by it.

    Parameters
    ----------
    kind, argument, problem, value, place, advice
        The parts; `value` is None where there is none.
    details : tuple
        The choices of a "choice"; count, user code and item code of "duplicates"; else empty.

    Returns
    -------
    FerrecError
        For the compiled side to raise.

    Examples
    --------
    >>> from_kernel("shape", "pairs", "must have shape (2, 3)", (2, 2), {}, "", ())
    ShapeError('pairs: must have shape (2, 3), got (2, 2)')
    """
    if kind == "choice":
        return unknown_name(argument, value, details)
    if kind == "duplicates":
        return DuplicateEventsError(*details)
    got = _Value.NONE if value is None else value
    return _OF_KERNELS[kind](argument, problem, got, place=place, advice=advice, kind=kind)


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package where it is used, or say what to install.

    Parameters
    ----------
    module : str
        The dotted name of the module, for example ``"pyarrow.parquet"``.
    extra : str
        The extra of ferrec that brings it, for example ``"parquet"``.

    Returns
    -------
    ModuleType
        The imported module.

    Raises
    ------
    MissingExtraError
        The package is not installed, or is installed and fails to import.

    Examples
    --------
    >>> require("math", "parquet").sqrt(4.0)
    2.0
    >>> require("polarsx", "parquet")
    Traceback (most recent call last):
    ferrec.errors.MissingExtraError: this needs polarsx, which is not installed: pip install "ferrec[parquet]"
    """
    package = module.partition(".")[0]
    remedy = f'pip install "ferrec[{extra}]"'
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == package:
            message = f"this needs {package}, which is not installed: {remedy}"
            missing = MissingExtraError(message)
            missing.name = package
            raise missing from error
        raise MissingExtraError(f"{package} needs {error.name}, which is not installed: {remedy}") from error
    except ImportError as error:
        raise MissingExtraError(f"{package} is installed but does not import ({error}): {remedy}") from error


publish(__name__)
