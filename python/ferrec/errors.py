"""The errors that ferrec raises, and the one way to import an optional package.

Every error derives from `FerrecError`, and also from the built-in class that callers already catch:
a bad table is a `ValueError`, an unknown id a `KeyError`, a missing package an `ImportError`.
"""

import importlib
from types import ModuleType

__all__ = [
    "DataError",
    "FerrecError",
    "MissingExtraError",
    "ModelFileError",
    "NotFittedError",
    "UnknownIdError",
    "UnsupportedError",
    "require",
]


class FerrecError(Exception):
    """The base of every error of ferrec.

    Examples
    --------
    >>> issubclass(DataError, FerrecError)
    True
    """


class DataError(FerrecError, ValueError):
    """A table, an array or a matrix that cannot be used: the message says which rows, and why.

    Examples
    --------
    >>> raise DataError("column 'user_id': 3 of 10 rows are null")
    Traceback (most recent call last):
    ferrec.errors.DataError: column 'user_id': 3 of 10 rows are null
    """


class UnknownIdError(FerrecError, KeyError):
    """An id that the model or the data has never seen.

    Examples
    --------
    >>> str(UnknownIdError("users: 1 of 2 is unknown"))
    'users: 1 of 2 is unknown'
    """

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


class ModelFileError(FerrecError):
    """A saved model that is incomplete, altered, or written by a version that this one cannot read.

    Examples
    --------
    >>> issubclass(ModelFileError, FerrecError)
    True
    """


class UnsupportedError(FerrecError, NotImplementedError):
    """A request that makes sense in general but not for this model.

    Examples
    --------
    >>> issubclass(UnsupportedError, NotImplementedError)
    True
    """


class MissingExtraError(FerrecError, ImportError):
    """An optional package is not installed: the message says what to install.

    Examples
    --------
    >>> issubclass(MissingExtraError, ImportError)
    True
    """


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
            raise MissingExtraError(message, name=package) from error
        raise MissingExtraError(f"{package} needs {error.name}, which is not installed: {remedy}") from error
    except ImportError as error:
        raise MissingExtraError(f"{package} is installed but does not import ({error}): {remedy}") from error
