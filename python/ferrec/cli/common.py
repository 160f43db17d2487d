"""What the commands share: options, the table of events, ids typed as text, errors of use, progress, clock."""

import argparse
import importlib.util
import re
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.errors import ParameterError, UnknownIdError
from ferrec.io.files import csv_delimiter
from ferrec.kernels.arguments import as_seconds
from ferrec.models.estimator import Estimator

__all__ = [
    "Answer",
    "Clock",
    "Commands",
    "Stopped",
    "add_columns",
    "add_command",
    "add_common",
    "add_events",
    "add_output",
    "add_repeated",
    "duration",
    "parse_ids",
    "parse_names",
    "plain",
    "positive",
    "read_events",
    "sayer",
    "wants_progress",
]

Answer = tuple[dict[str, Any], str]
"""What a command returns: the JSON object, and the text."""

Commands = Any  # argparse's own type of the sub-parsers is private


class Stopped(Exception):  # noqa: N818  # no error
    """SIGTERM came, and what was in hand is done: exit code 143."""


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], Answer],
    summary: str,
    examples: str,
    extra: str = "",
) -> argparse.ArgumentParser:
    """A command with examples at the end of its help."""
    shown = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"examples:\n{shown}" + (f"\n\n{extra}" if extra else ""),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def add_events(parser: argparse.ArgumentParser, more: str = "") -> None:
    """The table of events."""
    parser.add_argument(
        "events", metavar="EVENTS", help="Parquet or CSV: a file, a folder, or a glob in quotes" + more
    )


def add_columns(parser: argparse.ArgumentParser, *, weighted: bool = True) -> None:
    """The columns of the table of events; `weighted` with those that make weights, and what becomes of repeats."""
    group = parser.add_argument_group("columns of the table")
    group.add_argument("--user", default="user_id", metavar="NAME", help="(default user_id)")
    group.add_argument("--item", default="item_id", metavar="NAME", help="(default item_id)")
    if weighted:
        group.add_argument("--rating", metavar="NAME", help="weights (default: 1 for each event)")
    group.add_argument("--time", metavar="NAME", help="unix seconds or datetimes")
    group.add_argument(
        "--event-type",
        metavar="NAME",
        help="event types" + (", weighed by --event-weight" if weighted else ""),
    )
    if not weighted:
        return
    add_repeated(group, "--event-weight", "TYPE=WEIGHT", "may be repeated")
    group.add_argument(
        "--duplicates",
        choices=("sum", "last", "max", "count", "error"),
        default="sum",
        help="what several events of one user with one item make (default sum)",
    )


def add_repeated(parser: argparse._ActionsContainer, option: str, metavar: str, about: str) -> None:
    """An option that may be given several times."""
    parser.add_argument(option, action="append", default=[], metavar=metavar, help=about)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Threads, and the options of `add_output`."""
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="(default: what affinity and cgroup allow)"
    )
    add_output(parser)


def add_output(parser: argparse.ArgumentParser) -> None:
    """How results and progress are shown."""
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="bars on standard error (default: on a terminal)",
    )


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def duration(text: str) -> float:
    """Seconds, as a number or as text with a unit: ``90``, ``36h``, ``7d``."""
    try:
        return as_seconds("duration", float(text))
    except ValueError:
        return as_seconds("duration", text)


def parse_names(text: str) -> list[str]:
    """Names with commas between, such as those of metrics."""
    return [name.strip() for name in text.split(",") if name.strip()]


def parse_ids(texts: Sequence[str], ids: Ids, name: str) -> list[Any]:
    """Ids typed as text, in the type of the model's."""
    if ids.kind == "strings":
        return list(texts)
    for text in texts:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise UnknownIdError(f"--{name}", "must be an integer, as the ids of this model are", text)
    return list(map(int, texts))


def read_events(path: str, args: argparse.Namespace) -> Interactions:
    """Events from CSV or Parquet, by the names of the files."""
    delimiter = csv_delimiter(path)
    columns: dict[str, Any] = {
        "user": args.user,
        "item": args.item,
        "rating": args.rating,
        "time": args.time,
        "event_type": args.event_type,
        "event_weights": dict(map(_parse_weight, args.event_weight)) or None,
        "duplicates": args.duplicates,
    }
    if delimiter is None:
        return Interactions.from_parquet(path, **columns)
    return Interactions.from_csv(path, delimiter=delimiter, **columns)


def _parse_weight(text: str) -> tuple[Any, float]:
    kind, equals, weight = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return kind, float(weight)
    except ValueError:
        raise ParameterError("--event-weight", "expected TYPE=NUMBER", text) from None


def wants_progress(args: argparse.Namespace) -> bool:
    """Asked for, or on a terminal where tqdm is there to draw it."""
    if args.progress is not None:
        return bool(args.progress)
    return sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None


def sayer(args: argparse.Namespace) -> Callable[[str], None]:
    """What prints text as it comes; with `--json` nothing."""

    def say(text: str) -> None:
        if not args.json:
            print(text, flush=True)

    return say


class Clock:
    """Seconds of each part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """A part has ended."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())


def plain(value: object) -> object:
    """What `json` does not know, in what it does."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Estimator):
        return repr(value)
    raise TypeError(f"no JSON for {type(value).__name__}")
