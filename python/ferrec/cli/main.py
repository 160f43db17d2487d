"""The entry of the command line: runs one command, prints its result, turns errors into exit codes.

Results go to standard output, as text or (`--json`) as one JSON object; all else goes to standard error. Before its
result, `recommend --json` prints events, one JSON object a line.
Exit codes: 0 all went well; 1 the data, a model or a file is at fault, in one line; 2 the command was wrong;
130 and 143 interrupted by Ctrl-C and SIGTERM (a job that can be resumed commits the block in hand at SIGTERM).
"""

import argparse
import json
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import NoReturn

from ferrec.cli.common import Stopped, plain
from ferrec.cli.models import param_option
from ferrec.cli.parser import make_parser
from ferrec.errors import FerrecError, ParameterError, ParameterTypeError

__all__ = ["main"]


class _Interrupted(KeyboardInterrupt):
    """A signal to stop. Python 3.11 notes a plain KeyboardInterrupt that passes through `exec` as unhandled, and
    then ends by SIGINT instead of with the exit code; it does not note a class derived from it.
    """


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; by default those of the process.

    Returns
    -------
    int
        The exit code: 0, 1 (data, model or file at fault), 2 (wrong command), 130 or 143 (interrupted).

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    ferrec ...
    0
    """
    try:
        args = make_parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version, or wrong arguments, which argparse has explained
        return int(stop.code or 0)
    # TensorFlow greets at length, and says so of oneDNN whatever the level; the small networks here do without.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with _termination() as received, warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            _import(args.modules)
            result, text = args.run(args)
            if args.json:
                result = {"command": args.command, **result}
                print(json.dumps(result, ensure_ascii=False, allow_nan=False, default=plain))
            elif text:
                print(text)
            sys.stdout.flush()
            return 0
        except (ParameterError, ParameterTypeError) as error:
            return _fail(f"{_as_typed(error, args)} (see ferrec {args.command} --help)", 2)
        except Stopped as stop:
            return _fail(str(stop), 128 + signal.SIGTERM)
        except KeyboardInterrupt:
            return _fail("interrupted", 128 + (received[0] if received else signal.SIGINT))
        except BrokenPipeError:
            # The reader has gone, as in `ferrec similar … | head`; Python must not flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except FerrecError as error:
            return _fail(str(_as_typed(error, args)), 1)
        except OSError as error:
            return _fail(str(error), 1)
        except MemoryError as error:
            return _fail(f"out of memory {error}".strip(), 1)


def _import(modules: Sequence[str]) -> None:
    """Import what defines models of the user's own."""
    for name in modules:
        try:
            import_module(name)
        except ImportError as error:
            raise ParameterError("--import", str(error), advice="is its folder in PYTHONPATH?") from None


_QUOTES = "]'\""
_OPTIONS = {
    "n_threads": "threads",
    "event_weights": "event_weight",
    "similar_items": "items",
    "similar_users": "users",
}
"""Options that are named otherwise than the argument or the method."""

_ADVICE = {
    r"pass time= when reading the interactions": "name the column of times with --time",
    r"give time=": "give --time",
    r"give event_type=": "give --event-type",
    r'as in event_type="type", event_weights={"buy": 5}': "as in --event-type type --event-weight buy=5",
    r"give duplicates='sum', 'last', 'max' or 'count'": "give --duplicates sum, last, max or count",
    r"give missing={'(.*)': \"drop\"}": r"give --missing '\1=drop'",
    r"add them by data\.with_items\(table\)": "add them with --item-table",
    r"take dtype='float64'": "give --param dtype=float64",
}
"""What the API advises, and the same on the command line."""


def _as_typed(error: FerrecError, args: argparse.Namespace) -> FerrecError:
    """What the API says of an argument, as of the option that was typed, and its advice likewise."""

    def option(argument: str) -> str:
        name, bracket, key = argument.partition("[")
        there = _OPTIONS.get(name, name)
        if hasattr(args, there):
            dashes = "--" if len(there) > 1 else "-"
            return f"{dashes}{there.replace('_', '-')}" + (f" {key.strip(_QUOTES)}" if bracket else "")
        return param_option(argument) if hasattr(args, "param") else argument

    advice = error.advice
    for pattern, typed in _ADVICE.items():
        advice = re.sub(pattern, typed, advice)
    if advice != error.advice:
        error = error.advised(advice)
    # What is wrong in the data bears the name of a column or a table, which may be that of an option, too.
    wrong_use = isinstance(error, ParameterError | ParameterTypeError) or error.argument in _OPTIONS
    if error.argument is None or error.argument.startswith("-") or not wrong_use:
        return error
    return error.renamed(", ".join(map(option, error.argument.split(", "))))


def _fail(message: str, code: int) -> int:
    print(f"ferrec: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"ferrec: warning: {message}", file=sys.stderr)


@contextmanager
def _termination() -> Iterator[list[int]]:
    """SIGTERM unwinds as Ctrl-C does, so that temporary files go; yields the signals received."""
    received: list[int] = []

    def interrupt(number: int, _: object) -> NoReturn:
        received.append(number)
        raise _Interrupted

    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield received
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, interrupt)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else somebody ignores or handles it
        before[signal.SIGINT] = signal.signal(signal.SIGINT, interrupt)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
