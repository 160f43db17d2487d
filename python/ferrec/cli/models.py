"""Models as the command line names them: `--model`, `--param`, and the folder they go to or come from."""

import argparse
import ast
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from ferrec.cli.common import add_events, add_repeated
from ferrec.errors import ParameterError, ParameterTypeError, unknown_name
from ferrec.models import MODELS
from ferrec.models.base import Recommender
from ferrec.models.estimator import Estimator
from ferrec.rankers import RANKERS, Ranker
from ferrec.storage import folders, registry
from ferrec.two_stage.hybrid import Hybrid, default_ranker

__all__ = [
    "KINDS",
    "add_model",
    "add_training",
    "find_class",
    "kebab",
    "load_model",
    "make_model",
    "model_folder",
    "param_option",
    "parse_param",
]


KINDS: dict[str, type[Recommender[Any]]] = {**MODELS, "Hybrid": Hybrid}
_NONE = {"none": None, "null": None, "true": True, "false": False}


def add_model(parser: argparse.ArgumentParser) -> None:
    """A saved model."""
    parser.add_argument("model", metavar="MODEL", help="the folder that ferrec fit wrote")


def add_training(parser: argparse.ArgumentParser) -> None:
    """The events, and the model to fit on them."""
    add_events(parser)
    parser.add_argument("--model", required=True, metavar="NAME", help="as ferrec fit --help lists them")
    add_repeated(parser, "--param", "NAME=VALUE", "a parameter; may be repeated")
    parser.add_argument("--retrievers", metavar="LIST", help="the hybrid's models, separated by commas")
    parser.add_argument(
        "--ranker", metavar="NAME", help="the hybrid's ranker (default: an mlp with a listwise loss)"
    )


def make_model(args: argparse.Namespace) -> Recommender[Any]:
    """The model of `--model` with the parameters of `--param`."""
    kind = find_class("--model", args.model, KINDS)
    model = kind()
    ranker, retrievers = args.ranker, args.retrievers
    if isinstance(model, Hybrid):
        model.set_params(ranker=find_class("--ranker", ranker, RANKERS)() if ranker else default_ranker())
        if retrievers is not None:
            names = retrievers.split(",")
            model.set_params(retrievers=tuple(find_class("--retrievers", name, MODELS)() for name in names))
    elif ranker or retrievers:
        raise ParameterError("--ranker, --retrievers", f"are for the hybrid, {kebab(kind.__name__)} has none")
    params = dict(map(parse_param, args.param))
    if args.threads is not None:
        params["n_threads"] = args.threads
    model.set_params(**params)
    types = _types(model)
    for name, value in params.items():
        if name not in types:  # a model of the user's own may not say
            continue
        allowed = [get_origin(one) or one for one in get_args(types[name]) or (types[name],)]
        # A whole number will do for a float; True is no number; a list is a sequence, and text is none.
        fits = type(value) in allowed or (type(value) is int and float in allowed)
        if not (fits or (isinstance(value, list | dict) and isinstance(value, tuple(allowed)))):
            expected = " or ".join("none" if one is NoneType else one.__name__ for one in allowed)
            raise ParameterTypeError(param_option(name), f"must be {expected}", value)
    return model


Kind = TypeVar("Kind", bound=type[Estimator[Any]])


def find_class(option: str, wanted: str, kinds: Mapping[str, Kind]) -> Kind:
    """A class by its name, written in any way; a ranker's may leave out that it is one.

    After those of ferrec come the user's own of the same sort, which `--import` has made known: by name, or as
    ``module:Class``, which is how their saved models name them.
    """
    own = _foreign(Ranker if kinds is RANKERS else Recommender)
    if wanted in own:
        return cast(Kind, own[wanted])
    for known in (kinds, {name: cast(Kind, kind) for name, kind in own.items()}):
        found = {
            name: kind
            for name, kind in known.items()
            if _flat(wanted) in (_flat(kind.__name__), _flat(kind.__name__).removesuffix("ranker"))
        }
        if len(found) > 1:
            raise ParameterError(option, "names several classes", wanted, advice=f"give {' or '.join(found)}")
        if found:
            return found.popitem()[1]
    raise unknown_name(option, wanted, [*map(kebab, kinds), *(kebab(kind.__name__) for kind in own.values())])


def _foreign(base: type[Any]) -> dict[str, type[Any]]:
    """The classes from elsewhere that derive from a class of ferrec, as ``module:Class``."""
    return {
        name: kind
        for name, kind in registry.known().items()
        if ":" in name and issubclass(kind, base) and not inspect.isabstract(kind)
    }


def param_option(name: str) -> str:
    """A parameter as `--param` has it: ``ranker__epochs`` as ``--param ranker.epochs``."""
    return f"--param {name.replace('__', '.')}"


def _types(model: Estimator[Any]) -> dict[str, Any]:
    """The types of its parameters, and of those of the models among them."""
    types = get_type_hints(type(model).__init__)
    for name, value in model.get_params(deep=False).items():
        if isinstance(value, Estimator):
            types |= {f"{name}__{inner}": one for inner, one in _types(value).items()}
    return types


def parse_param(text: str) -> tuple[str, Any]:
    """`ranker.epochs=5` as ("ranker__epochs", 5)."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ParameterError("--param", "expected NAME=VALUE", text)
    name = name.replace("-", "_").replace(".", "__")
    if value.lower() in _NONE:
        return name, _NONE[value.lower()]
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def kebab(name: str) -> str:
    """`ItemKNNRegressor` as item-knn-regressor, `RP3Beta` as rp3-beta."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _flat(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def load_model(args: argparse.Namespace) -> Recommender[Any]:
    """The saved model, with the threads of `--threads`."""
    model: Recommender[Any] = folders.load(args.model)
    threads = getattr(args, "threads", None)
    return model if threads is None else model.set_params(n_threads=threads)


def model_folder(args: argparse.Namespace) -> Path:
    """Where the model will go; what may not be replaced is refused before the work."""
    output = Path(args.output)
    folders.MODELS.refuse_other(output)
    return output
