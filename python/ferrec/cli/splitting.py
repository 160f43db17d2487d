"""Splits as the command line names them: `--split NAME[:N]`."""

import argparse
from collections.abc import Callable
from typing import Any

from ferrec.cli.common import duration
from ferrec.data import splits
from ferrec.data.interactions import Interactions
from ferrec.errors import ParameterError, unknown_name

__all__ = ["SPLITS", "SPLITS_HELP", "add_splitting", "parse_split"]


SPLITS: dict[str, tuple[Callable[..., Any], Callable[[str], Any], Any, str]] = {
    "leave-last-out": (splits.leave_last_out, int, 1, "the last N events of each user"),
    "leave-k-out": (splits.leave_k_out, int, 1, "N random events of each user"),
    "random": (splits.random, float, 0.2, "a random fraction N of the events"),
    "k-fold": (splits.k_fold, int, 5, "N random parts, each in turn"),
    "by-time": (
        lambda data, fraction: splits.by_time(data, fraction=fraction),
        float,
        0.2,
        "the latest fraction N of the events",
    ),
    "rolling": (
        splits.rolling,
        duration,
        "7d",
        "three windows of N seconds, or as long as text such as 7d",
    ),
    "cold-users": (splits.cold_users, float, 0.2, "all events of a random fraction N of the users"),
    "cold-items": (splits.cold_items, float, 0.2, "all events of a random fraction N of the items"),
}

SPLITS_HELP = "splits, with a value after a colon:\n" + "\n".join(
    f"  {name + ':' + str(default):<20} {about}" for name, (_, _, default, about) in SPLITS.items()
)


def add_splitting(parser: argparse.ArgumentParser, default: str) -> None:
    """Which split, and what counts in its test part."""
    parser.add_argument("--split", default=default, metavar="NAME[:N]", help=f"as below (default {default})")
    parser.add_argument(
        "--include-seen", action="store_true", help="recommend the items of the histories too, and count them"
    )


def parse_split(text: str) -> Callable[[Interactions], Any]:
    """What splits, as `rolling:7d` names it."""
    name, _, number = text.partition(":")
    if name not in SPLITS:
        raise unknown_name("--split", name, SPLITS)
    function, kind, default, _ = SPLITS[name]
    try:
        value = kind(number) if number else default
    except ValueError:
        expected = (
            "a duration such as 7d" if kind is duration else "a whole number" if kind is int else "a number"
        )
        raise ParameterError("--split", f"expected {expected} after {name}:", number) from None

    def split(data: Interactions) -> Any:
        try:
            return function(data, value)
        except ParameterError as error:
            raise error.renamed("--split") from None

    return split
