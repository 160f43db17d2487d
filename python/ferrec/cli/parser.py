"""The tree of commands."""

import argparse
import re
from typing import Any, NoReturn

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
from ferrec.errors import did_you_mean

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


class _Parser(argparse.ArgumentParser):
    """Says what may have been meant by a wrong command, choice or option; its commands are parsers of its kind."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse an unknown option where it was typed, by the command that knows its own."""
        parsed, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return parsed, rest

    def error(self, message: str) -> NoReturn:
        """End with the usage, the message and the advice."""
        wrong = re.search(r"invalid choice: '(.*?)' \(choose from (.*)\)", message)
        option = re.search(r"unrecognized arguments: (-[^\s=]+)", message)
        advice = ""
        if wrong:
            advice = did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2]))
        elif option:
            advice = did_you_mean(option[1], self._option_string_actions)
        super().error(f"{message}; {advice}" if advice else message)


def make_parser() -> argparse.ArgumentParser:
    """What reads the command line; a command's function is in ``run``."""
    parser = _Parser(
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
