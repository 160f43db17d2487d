"""The tree of commands."""

import argparse

from ferrec._rust import __version__
from ferrec.cli import (
    cross_validate,
    demo,
    describe,
    evaluate,
    fit,
    inspect,
    pipeline,
    prepare,
    recommend,
    similar,
    tune,
)

__all__ = ["make_parser"]

_COMMANDS = (
    describe,
    prepare,
    pipeline,
    fit,
    recommend,
    inspect,
    similar,
    evaluate,
    cross_validate,
    tune,
    demo,
)


def make_parser() -> argparse.ArgumentParser:
    """What reads the command line; a command's function is in ``run``."""
    parser = argparse.ArgumentParser(
        prog="ferrec",
        description="Recommendations at hardware speed: events in, top-N out.",
        epilog="exit codes: 0 ok · 1 data, model or file at fault · 2 wrong command · 130/143 interrupted",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ferrec {__version__}")
    parser.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="import a module first: one that defines models of your own; may be repeated",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.add(commands)
    return parser
