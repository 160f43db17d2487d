"""The steps of cleaning as the command line names them, for `ferrec prepare` and `ferrec pipeline`."""

import argparse
import ast
from collections.abc import Callable
from typing import Any, get_args

from ferrec.cli.common import add_repeated
from ferrec.errors import ParameterError
from ferrec.preparation.settings import Dedup, Method

__all__ = ["add_steps", "prepare_params"]


def add_steps(parser: argparse.ArgumentParser) -> None:
    """What `Prepare` may do."""
    steps = parser.add_argument_group("steps of cleaning")
    add_repeated(
        steps,
        "--missing",
        "COLUMN=POLICY",
        "drop, error, mean, median, mode, or a value to fill in; may be repeated",
    )
    steps.add_argument("--dedup", choices=get_args(Dedup), help="which repeats to leave out")
    steps.add_argument(
        "--activity", metavar="LOW,HIGH", help="quantiles of events a user to keep, as 0,0.999"
    )
    steps.add_argument("--k-core", metavar="K[,K]", help="items a user and users an item must have at least")
    add_repeated(steps, "--event-weight", "TYPE=WEIGHT", "none leaves the type out; may be repeated")
    steps.add_argument("--weight-by", metavar="COLUMN", help="numbers that multiply the weight")
    steps.add_argument("--half-life", metavar="TIME", help="after which an event weighs half, as 30d")
    add_repeated(steps, "--normalize", "COLUMN=METHOD", f"{', '.join(get_args(Method))}; may be repeated")
    steps.add_argument("--session-gap", metavar="TIME", help="a new session begins after it, as 30m")
    steps.add_argument("--unknown", choices=("drop", "keep"), default="drop", help="ids new to --load")


def prepare_params(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `Prepare`."""
    return {
        "user": args.user,
        "item": args.item,
        "time": args.time,
        "event_type": args.event_type,
        "missing": _pairs("missing", args.missing, _value),
        "dedup": args.dedup,
        "activity": args.activity and tuple(_numbers("activity", args.activity)),
        "k_core": args.k_core and _core(args.k_core),
        "event_weights": _pairs("event-weight", args.event_weight, _value),
        "weight_by": args.weight_by,
        "half_life": args.half_life and _value(args.half_life),
        "normalize": _pairs("normalize", args.normalize, str),
        "session_gap": args.session_gap and _value(args.session_gap),
        "unknown": args.unknown,
        "n_threads": args.threads,
    }


def _core(text: str) -> Any:
    numbers = [int(number) if number.is_integer() else number for number in _numbers("k-core", text)]
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


def _pairs(name: str, texts: list[str], convert: Callable[[str], Any]) -> dict[str, Any] | None:
    pairs = {}
    for text in texts:
        key, equals, value = text.rpartition("=")
        if not (equals and key and value):
            raise ParameterError(f"--{name}", "expected NAME=VALUE", text)
        pairs[key] = convert(value)
    return pairs or None


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise ParameterError(f"--{name}", "expected numbers with commas between", text) from None


def _value(text: str) -> Any:
    """A number, none, true, false, or text."""
    known = {"none": None, "true": True, "false": False}
    if text.lower() in known:
        return known[text.lower()]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return value if isinstance(value, int | float) else text
