"""The command line: `ferrec describe`, `prepare`, `pipeline`, `fit`, `recommend`, `inspect`, `similar`, `evaluate`,
`cross-validate`, `tune`, `demo`.

Results go to standard output, as text or (`--json`) as one JSON object; all else goes to standard error. Before its
result, `recommend --json` prints events, one JSON object a line.
Exit codes: 0 all went well; 1 the data, a model or a file is at fault, in one line; 2 the command was wrong;
130 and 143 interrupted by Ctrl-C and SIGTERM (a job that can be resumed commits the block in hand at SIGTERM).
"""

import argparse
import ast
import importlib.util
import json
import logging
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from ferrec._rust import __version__
from ferrec.batch import score_batch
from ferrec.batch.sink import is_file
from ferrec.cli import data_commands, demo
from ferrec.data import splits
from ferrec.data.ids import Ids
from ferrec.data.interactions import Interactions
from ferrec.errors import DataError, FerrecError, UnknownIdError, require
from ferrec.evaluation import compare, cross_validate, evaluate_ratings, report, tune
from ferrec.evaluation.metrics import METRICS, RATINGS
from ferrec.evaluation.tuning import check_ending
from ferrec.io.files import csv_delimiter
from ferrec.io.progress import bar
from ferrec.models import MODELS
from ferrec.models.base import Recommender
from ferrec.models.estimator import Estimator
from ferrec.rankers import RANKERS
from ferrec.storage import folders
from ferrec.two_stage.hybrid import Hybrid, default_ranker

__all__ = ["main"]

Result = dict[str, Any]

_KINDS: dict[str, type[Recommender[Any]]] = {**MODELS, "Hybrid": Hybrid}
_NONE = {"none": None, "null": None, "true": True, "false": False}


class _Interrupted(KeyboardInterrupt):
    """A signal to stop. Python 3.11 notes a plain KeyboardInterrupt that passes through `exec` as unhandled, and
    then ends by SIGINT instead of with the exit code; it does not note a class derived from it.
    """


class _UsageError(Exception):
    """The command makes no sense: exit code 2."""


class _Stopped(Exception):  # noqa: N818  # no error
    """SIGTERM came, and what was in hand is done: exit code 143."""


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
        args = _parser().parse_args(argv)
    except SystemExit as stop:  # --help, --version, or wrong arguments, which argparse has explained
        return int(stop.code or 0)
    # TensorFlow greets at length, and says so of oneDNN whatever the level; the small networks here do without.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    with _termination() as received, warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            result, text = args.run(args)
            if args.json:
                result = {"command": args.command, **result}
                print(json.dumps(result, ensure_ascii=False, allow_nan=False, default=_plain))
            elif text:
                print(text)
            sys.stdout.flush()
            return 0
        except _UsageError as error:
            return _fail(f"{error} (see ferrec {args.command} --help)", 2)
        except _Stopped as stop:
            return _fail(str(stop), 128 + signal.SIGTERM)
        except KeyboardInterrupt:
            return _fail("interrupted", 128 + (received[0] if received else signal.SIGINT))
        except BrokenPipeError:
            # The reader has gone, as in `ferrec similar … | head`; Python must not flush at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except (FerrecError, OSError) as error:
            return _fail(str(error), 1)
        except MemoryError as error:
            return _fail(f"out of memory {error}".strip(), 1)


def _fail(message: str, code: int) -> int:
    print(f"ferrec: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    print(f"ferrec: warning: {message}", file=sys.stderr)


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Estimator):
        return repr(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


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


@contextmanager
def _arguments() -> Iterator[None]:
    """What the API refuses as an argument was typed on the command line."""
    try:
        yield
    except FerrecError:
        raise
    except (ValueError, TypeError) as error:
        raise _UsageError(str(error)) from error


# -- describe and prepare -----------------------------------------------------------------------------------


def _describe(args: argparse.Namespace) -> tuple[Result, str]:
    with _arguments():
        return data_commands.run_describe(args)


def _prepare(args: argparse.Namespace) -> tuple[Result, str]:
    with _arguments():
        return data_commands.run_prepare(args, _progress(args))


def _pipeline(args: argparse.Namespace) -> tuple[Result, str]:
    def say(text: str) -> None:
        if not args.json:
            print(text, flush=True)

    kinds = [_find("--model", name, MODELS) for name in args.model or ("item-knn", "ease")]
    threads = {} if args.threads is None else {"n_threads": args.threads}
    models = {_kebab(kind.__name__): kind(**threads) for kind in kinds}
    with _arguments():
        return data_commands.run_pipeline(args, models, say, _progress(args))


# -- fit ----------------------------------------------------------------------------------------------------


def _fit(args: argparse.Namespace) -> tuple[Result, str]:
    model, output = _make_model(args), _model_folder(args)
    clock = _Clock()
    data = _read(args.events, args)
    with _arguments():
        if args.item_table is not None:
            split, delimiter = dict(map(_parse_separator, args.split)), _delimiter(args.item_table)
            data = data.with_items(args.item_table, id=args.item, split=split, delimiter=delimiter)
        if args.user_table is not None:
            data = data.with_users(args.user_table, id=args.user, delimiter=_delimiter(args.user_table))
        clock.lap("read")
        model.fit(data, progress=_progress(args))
    clock.lap("fit")
    model.save(output)
    clock.lap("save")
    text = f"{data!r}\n{model!r} fitted and saved to {output}\n{clock}"
    return {
        "model": type(model).__name__,
        "params": model.get_params(deep=False),
        "output": str(output),
        "users": data.n_users,
        "items": data.n_items,
        "events": len(data),
        "pairs": data.nnz,
        "seconds": clock.seconds,
    }, text


def _model_folder(args: argparse.Namespace) -> Path:
    """Where the model will go; what may not be replaced is refused before the work."""
    output = Path(args.output)
    if output.exists() and not (output / "model.json").is_file():
        raise FileExistsError(f"{output}: exists and is no saved model; choose another folder")
    return output


def _make_model(args: argparse.Namespace) -> Recommender[Any]:
    kind = _find("--model", args.model, _KINDS)
    model = kind()
    ranker, retrievers = getattr(args, "ranker", None), getattr(args, "retrievers", None)
    if isinstance(model, Hybrid):
        model.set_params(ranker=_find("--ranker", ranker, RANKERS)() if ranker else default_ranker())
        if retrievers is not None:
            names = retrievers.split(",")
            model.set_params(retrievers=tuple(_find("--retrievers", name, MODELS)() for name in names))
    elif ranker or retrievers:
        raise _UsageError(f"--ranker and --retrievers: are for the hybrid, {_kebab(kind.__name__)} has none")
    params = dict(map(_parse_param, args.param))
    if args.threads is not None:
        params["n_threads"] = args.threads
    try:
        model.set_params(**params)
    except ValueError as error:
        raise _UsageError(f"--param: {error}") from error
    types = _types(model)
    for name, value in params.items():
        allowed = [get_origin(one) or one for one in get_args(types[name]) or (types[name],)]
        # A whole number will do for a float; True is no number; a list is a sequence, and text is none.
        fits = type(value) in allowed or (type(value) is int and float in allowed)
        if not (fits or (isinstance(value, list | dict) and isinstance(value, tuple(allowed)))):
            expected = " or ".join("none" if one is NoneType else one.__name__ for one in allowed)
            raise _UsageError(f"--param: {name} must be {expected}, got {value!r}")
    return model


Kind = TypeVar("Kind", bound=type[Estimator[Any]])


def _find(option: str, wanted: str, kinds: Mapping[str, Kind]) -> Kind:
    """A class by its name, written in any way; a ranker's may leave out that it is one."""
    for name, kind in kinds.items():
        if _flat(wanted) in (_flat(name), _flat(name).removesuffix("ranker")):
            return kind
    raise _UsageError(f"{option}: {wanted!r} is unknown; there are {', '.join(map(_kebab, kinds))}")


def _types(model: Estimator[Any]) -> dict[str, Any]:
    """The types of its parameters, and of those of the models among them."""
    types = get_type_hints(type(model).__init__)
    for name, value in model.get_params(deep=False).items():
        if isinstance(value, Estimator):
            types |= {f"{name}__{inner}": one for inner, one in _types(value).items()}
    return types


def _parse_param(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise _UsageError(f"--param: expected NAME=VALUE, got {text!r}")
    name = name.replace("-", "_").replace(".", "__")
    if value.lower() in _NONE:
        return name, _NONE[value.lower()]
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _kebab(name: str) -> str:
    """`ItemKNNRegressor` as item-knn-regressor, `RP3Beta` as rp3-beta."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()


def _flat(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


# -- recommend ----------------------------------------------------------------------------------------------


def _recommend(args: argparse.Namespace) -> tuple[Result, str]:
    model = folders.load(args.model, verify=True)
    excluded = None
    if args.exclude_items is not None:
        excluded = _read_ids(args.exclude_items, model.items, "exclude-items", args.item_column)
    with (
        _events(args.json),
        _until_sigterm(args.output) as check,
        bar(_progress(args), "recommend", unit="users") as draw,
        _arguments(),
    ):

        def after_block(done: int, total: int) -> None:
            if draw is not None:
                draw(done, total)
            check()

        summary = score_batch(
            model,
            _source(args, model),
            args.output,
            n=args.n,
            user=args.user_column,
            item=args.item_column,
            history=args.history,
            rating=args.rating,
            exclude_seen=not args.include_seen,
            exclude_items=excluded,
            unknown_users=args.unknown_users,
            n_threads=args.threads,
            memory_limit=args.memory_limit,
            block_size=args.block_size,
            resume=args.resume,
            progress=after_block,
        )
    result = asdict(summary)
    lines = [f"{summary.rows:,} recommendations for {summary.users:,} users written to {summary.output}"]
    if summary.resumed_blocks:
        lines.append(f"{summary.resumed_blocks:,} of {summary.blocks:,} blocks had been done before")
    for count, what in (
        (summary.unknown_users, "rows of users"),
        (summary.unknown_items, "entries of histories"),
    ):
        if count:
            lines.append(f"left out, unknown to the model: {count:,} {what}")
    lines.append(
        f"{summary.seconds:.1f} s, {summary.peak_bytes >> 20:,} MiB at the peak, sha256 {summary.checksum}"
    )
    return {"event": "finished", "model": type(model).__name__, **result}, "\n".join(lines)


def _source(args: argparse.Namespace, model: Recommender[Any]) -> object:
    """None for everybody, a table for a list of ids, and what is left is Parquet somewhere."""
    place = args.users
    if (
        place is None
        or "://" in place
        or Path(place).is_dir()
        or re.search(r"[*?\[]|\.(parquet|parq|pq)$", place)
    ):
        return place
    ids = _read_ids(place, model.users, "users", args.user_column)
    return require("pyarrow", "parquet").table({args.user_column: ids})


class _Events(logging.Handler):
    """Prints what a job says of itself, one JSON object a line; the last one is the command's result."""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event is not None and event["event"] != "finished":
            print(json.dumps(event, allow_nan=False, default=_plain), flush=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A reader of the events that has gone is no reason to stop."""


@contextmanager
def _events(wanted: bool) -> Iterator[None]:
    """With `--json`, events on standard output while the block runs, and the error that ends it."""
    log, handler = logging.getLogger("ferrec.batch"), _Events()
    if not wanted:
        yield
        return
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        text = str(error) or "interrupted"
        log.error(text, extra={"event": {"event": "failed", "error": text}})
        raise
    finally:
        log.setLevel(before)
        log.removeHandler(handler)


@contextmanager
def _until_sigterm(output: str) -> Iterator[Callable[[], None]]:
    """SIGTERM ends a job that can be resumed after the block in hand; a second one at once, as Ctrl-C does.

    Yields what to call after each block.
    """
    if is_file(output) or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received = []

    def note(number: int, _: object) -> None:
        received.append(number)
        signal.signal(signal.SIGTERM, before)

    def check() -> None:
        if received:
            raise _Stopped("stopped by SIGTERM; what is done is committed, and --resume goes on")

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGTERM, before)


def _read_ids(source: str, labels: Ids, name: str, column: str) -> Any:
    """Ids from a file with one on each line, standard input ("-"), or a Parquet file."""
    if source.endswith((".parquet", ".parq", ".pq")):
        if not Path(source).is_file():
            raise FileNotFoundError(f"{source}: no such file")
        try:
            table = require("pyarrow.parquet", "parquet").read_table(source)
        except ValueError as error:  # pyarrow's errors of a bad file are ValueErrors
            raise DataError(f"{source}: is no Parquet file: {error}") from error
        if column not in table.column_names and table.num_columns == 1:
            column = table.column_names[0]
        if column not in table.column_names:
            raise DataError(
                f"{source}: has no column {column!r}; its columns are {', '.join(table.column_names)}"
            )
        return table.column(column)
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: is not UTF-8 text with one id on each line: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    return _labels([line for line in lines if line], labels, name)


def _labels(texts: Sequence[str], labels: Ids, name: str) -> list[Any]:
    """Ids typed as text, in the type of the model's."""
    if labels.kind == "strings":
        return list(texts)
    for text in texts:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise UnknownIdError(f"--{name}: {text!r} is unknown; the ids of this model are integers")
    return list(map(int, texts))


# -- inspect ------------------------------------------------------------------------------------------------


def _inspect(args: argparse.Namespace) -> tuple[Result, str]:
    info = folders.describe(args.model, verify=args.verify)
    params = " ".join(f"{name}={value}" for name, value in info["params"].items())
    rows = [
        ("model", f"{info['model']} {params}".rstrip()),
        ("saved", f"{info['saved']} by ferrec {info['ferrec']}"),
        ("data", f"{info['users']:,} users × {info['items']:,} items, {info['pairs']:,} pairs"),
        ("checksum", info["checksum"] + (" (verified)" if info["verified"] else "")),
        ("size", f"{info['bytes']:,} bytes"),
    ]
    rows += [
        (f"  {name}", f"{entry['dtype']} × {'×'.join(map(str, entry['shape']))}, {entry['bytes']:,} bytes")
        for name, entry in info["files"].items()
    ]
    width = max(len(name) for name, _ in rows)
    return info, "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


# -- similar ------------------------------------------------------------------------------------------------


def _similar(args: argparse.Namespace) -> tuple[Result, str]:
    model = _load(args)
    if args.item is not None:
        side, recs = "item", model.similar_items(_labels(args.item, model.items, "item"), args.n)
    else:
        side, recs = "user", model.similar_users(_labels(args.user, model.users, "user"), args.n)
    blocks, results = [], []
    for query, answers in recs:
        width = max((len(str(label)) for label, _ in answers), default=0)
        lines = [f"{label!s:<{width}}  {score:.4f}" for label, score in answers] or ["nothing"]
        blocks.append("\n  ".join([f"similar to {side} {query}:", *lines]))
        results.append({side: query, "similar": [{side: label, "score": score} for label, score in answers]})
    return {"model": type(model).__name__, "results": results}, "\n".join(blocks)


# -- evaluate -----------------------------------------------------------------------------------------------


def _evaluate(args: argparse.Namespace) -> tuple[Result, str]:
    model = _load(args)
    others = {path: folders.load(path) for path in args.against}
    metrics = [metric.strip() for metric in args.metrics.split(",") if metric.strip()]
    ranking = [metric for metric in metrics if metric not in RATINGS]
    test = _read(args.test, args)
    result: Result = {"model": type(model).__name__}
    lines = []
    if ranking or not metrics:
        options = {
            "exclude_seen": not args.include_seen,
            "n_threads": args.threads,
            "progress": _progress(args),
        }
        with _arguments():
            models = _named({args.model: model, **others})
            found = compare(models, test, ranking, **options)
            first = next(iter(found.evaluations.values()))
            if args.report is not None:
                examples = {
                    name: one.recommend(first.users[:5], exclude_seen=not args.include_seen)
                    for name, one in models.items()
                }
                report(found, args.report, title=f"Evaluation on {Path(args.test).name}", examples=examples)
                result["report"] = args.report
        result |= first.to_dict()
        if others:
            result["against"] = {name: found.to_dict()[name] for name in list(models)[1:]}
        lines.append(repr(found if others else first))
        if args.report is not None:
            lines.append(f"Wrote {args.report}")
    if len(ranking) < len(metrics):
        errors = evaluate_ratings(model, test, progress=_progress(args))
        chosen = {name: errors[name] for name in RATINGS if name in metrics}
        result["metrics"] = result.get("metrics", {}) | chosen
        counts = {"rating_pairs": int(errors["pairs"]), "skipped_pairs": int(errors["skipped_pairs"])}
        result |= counts
        lines.append(f"Ratings({counts['rating_pairs']:,} pairs, {counts['skipped_pairs']:,} unknown)")
        lines += [f"  {name:<4}  {value:.4f}" for name, value in chosen.items()]
    return result, "\n".join(lines)


def _named(models: dict[str, Recommender[Any]]) -> dict[str, Recommender[Any]]:
    """Models by the names of their folders, or by the paths as given where names repeat."""
    names = [Path(path).resolve().name for path in models]
    unique = len(set(names)) == len(names)
    return dict(zip(names if unique else models, models.values(), strict=True))


# -- cross-validate and tune ----------------------------------------------------------------------------------

_SPLITS: dict[str, tuple[Callable[..., Any], type, Any, str]] = {
    "leave-last-out": (splits.leave_last_out, int, 1, "the last N events of each user"),
    "leave-k-out": (splits.leave_k_out, int, 1, "N random events of each user"),
    "random": (splits.random, float, 0.2, "a random share N of the events"),
    "k-fold": (splits.k_fold, int, 5, "N random parts, each in turn"),
    "by-time": (
        lambda data, share: splits.by_time(data, fraction=share),
        float,
        0.2,
        "the latest share N of the events",
    ),
    "rolling": (
        lambda data, days: splits.rolling(data, round(days * 86_400)),
        float,
        7.0,
        "three windows of N days",
    ),
    "cold-users": (splits.cold_users, float, 0.2, "all events of a random share N of the users"),
    "cold-items": (splits.cold_items, float, 0.2, "all events of a random share N of the items"),
}


def _parse_split(text: str) -> Callable[[Interactions], Any]:
    name, _, number = text.partition(":")
    if name not in _SPLITS:
        raise _UsageError(f"--split: {name!r} is unknown; there are {', '.join(_SPLITS)}")
    function, kind, default, _ = _SPLITS[name]
    try:
        value = kind(number) if number else default
    except ValueError:
        expected = "a whole number" if kind is int else "a number"
        raise _UsageError(f"--split: expected {expected} after {name}:, got {number!r}") from None
    return lambda data: function(data, value)


def _cross_validate(args: argparse.Namespace) -> tuple[Result, str]:
    model, splits = _make_model(args), _parse_split(args.split)
    metrics = [metric.strip() for metric in args.metrics.split(",") if metric.strip()]
    data = _read(args.events, args)
    with _arguments():
        found = cross_validate(
            model, data, splits, metrics, exclude_seen=not args.include_seen, progress=_progress(args)
        )
    result = {"model": type(model).__name__, "params": model.get_params(), "split": args.split}
    return result | found.to_dict(), f"{data!r}\n{model!r}, {args.split}\n{found!r}"


def _tune(args: argparse.Namespace) -> tuple[Result, str]:
    model, output, splits = _make_model(args), _model_folder(args), _parse_split(args.split)
    fixed = {_parse_param(text)[0] for text in args.param}
    clock = _Clock()
    with _arguments():
        if args.table is not None:
            check_ending(Path(args.table))
        data = _read(args.events, args)
        clock.lap("read")
        found = tune(
            model,
            data,
            splits,
            args.metric,
            trials=args.trials,
            space={name: values for name, values in model.search_space.items() if name not in fixed},
            patience=args.patience,
            timeout=args.timeout,
            exclude_seen=not args.include_seen,
            seed=args.seed,
            table=args.table,
            progress=_progress(args),
        )
    clock.lap("tune")
    found.model.save(output)
    clock.lap("save")
    return {
        "model": type(found.model).__name__,
        "params": found.model.get_params(),
        "split": args.split,
        "metric": found.metric,
        "value": found.best_value,
        "trials": len(found.trials),
        "output": str(output),
        "seconds": clock.seconds,
    }, f"{data!r}\n{found!r}\n{found.model!r} fitted on everything and saved to {output}\n{clock}"


# -- demo ---------------------------------------------------------------------------------------------------


def _demonstrate(args: argparse.Namespace) -> tuple[Result, str]:
    def say(text: str) -> None:
        if not args.json:
            print(text, flush=True)

    return demo.run(args.output, say, _progress(args), hybrid=args.hybrid), ""


# -- what the commands share --------------------------------------------------------------------------------


class _Clock:
    """Seconds of each part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now

    def __str__(self) -> str:
        return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())


def _load(args: argparse.Namespace) -> Recommender[Any]:
    model: Recommender[Any] = folders.load(args.model)
    threads = getattr(args, "threads", None)
    return model if threads is None else model.set_params(n_threads=threads)


def _read(path: str, args: argparse.Namespace) -> Interactions:
    """Events from CSV or Parquet, by the names of the files."""
    delimiter = csv_delimiter(path)
    with _arguments():
        columns: dict[str, Any] = {
            "user": args.user,
            "item": args.item,
            "rating": args.rating,
            "time": args.time,
            "event": args.event,
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
        raise _UsageError(f"--event-weight: expected TYPE=NUMBER, got {text!r}") from None


def _delimiter(path: str) -> str:
    return "\t" if ".tsv" in Path(path).suffixes else ","


def _parse_separator(text: str) -> tuple[str, str]:
    name, equals, separator = text.partition("=")
    if not (name and equals and separator):
        raise _UsageError(f"--split: expected COLUMN=SEPARATOR, got {text!r}")
    return name, separator


def _progress(args: argparse.Namespace) -> bool:
    """Asked for, or on a terminal where tqdm is there to draw it."""
    if args.progress is not None:
        return bool(args.progress)
    return sys.stderr.isatty() and importlib.util.find_spec("tqdm") is not None


# -- the arguments ------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferrec",
        description="Recommendations at hardware speed: events in, top-N out.",
        epilog="exit codes: 0 ok · 1 data, model or file at fault · 2 wrong command · 130/143 interrupted",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ferrec {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    describe = _command(
        commands,
        "describe",
        _describe,
        "show what is in a table of events",
        data_commands.DESCRIBE_EXAMPLES,
    )
    data_commands.add_describe(describe)
    _add_output(describe)

    prepare = _command(
        commands,
        "prepare",
        _prepare,
        "clean a table of events, and say what was removed and why",
        data_commands.PREPARE_EXAMPLES,
        extra=data_commands.PREPARE_NOTES,
    )
    data_commands.add_prepare(prepare)
    _add_common(prepare)

    pipeline = _command(
        commands,
        "pipeline",
        _pipeline,
        "clean events, look at them, tune models, compare them, keep the best: in one folder",
        data_commands.PIPELINE_EXAMPLES,
        extra=data_commands.PIPELINE_NOTES,
    )
    data_commands.add_pipeline(pipeline)
    _add_common(pipeline)

    fit = _command(
        commands,
        "fit",
        _fit,
        "fit a model on a table of events and save it",
        """
        ferrec fit --model item-knn events.parquet -o model/
        ferrec fit --model item-knn --param k=50 --param measure=jaccard events.parquet -o model/
        ferrec fit --model popularity --param half_life=604800 --time ts clicks.csv -o model/
        ferrec fit --model item-knn-regressor --rating stars --duplicates last ratings/ -o model/
        ferrec fit --model hybrid --time ts --param ranker.epochs=5 events.parquet -o model/
        ferrec fit --model hybrid --retrievers item-knn,ease --ranker lightgbm --time ts log/ -o model/
        ferrec fit --model rp3-beta --event type --event-weight view=1 --event-weight buy=5 log/ -o model/
        ferrec fit --model content-knn --item-table items.csv --split "genres=|" events.parquet -o model/
        """,
        extra=(
            "models and their parameters:\n" + "\n".join(map(_describe_model, _KINDS)) + "\n\n"
            "The hybrid learns from the latest fifth of the events what to make of the proposals of its\n"
            "retrievers. Its rankers: " + ", ".join(map(_kebab, RANKERS))
        ),
    )
    _add_training(fit)
    fit.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the model goes")
    fit.add_argument("--retrievers", metavar="LIST", help="the hybrid's models, separated by commas")
    fit.add_argument(
        "--ranker", metavar="NAME", help="the hybrid's ranker (default: an mlp with a listwise loss)"
    )
    _add_table(fit)
    group = fit.add_argument_group("tables of attributes, whose ids stand in the columns named above")
    group.add_argument(
        "--item-table", metavar="FILE", help="what else is known about the items: Parquet or CSV"
    )
    group.add_argument("--user-table", metavar="FILE", help="the same of the users")
    group.add_argument(
        "--split",
        action="append",
        default=[],
        metavar="COLUMN=SEPARATOR",
        help="a column of the item table whose text is a list; may be repeated",
    )
    _add_common(fit)

    recommend = _command(
        commands,
        "recommend",
        _recommend,
        "write the best items for every user, or for some, to Parquet",
        """
        ferrec recommend model/ -n 10 -o recs.parquet
        ferrec recommend model/ -o recs/2026-11-25 --memory-limit 2GiB --resume --json
        ferrec recommend model/ --users today/ --history basket -o recs/today
        ferrec recommend model/ --users users.txt --exclude-items sold-out.txt -o recs.parquet
        cut -d, -f1 today.csv | ferrec recommend model/ --users - -o recs.parquet --json
        """,
        extra=(
            "Users are streamed in blocks, so that memory does not grow with them. A file appears under its\n"
            "name when it is complete; an interrupted run leaves an older file of that name as it was. In a\n"
            "folder every block is committed as part-*.parquet when it is on the disk, and --resume goes on\n"
            "after the last: the result is the same to the byte. SIGTERM commits the block in hand (exit 143).\n"
            "Columns: user, item, score (float32), rank (int32, from 1). With --json: events, a line each."
        ),
    )
    _add_model(recommend)
    recommend.add_argument(
        "-o", "--output", required=True, metavar="PLACE", help="a folder, its URL, or a file *.parquet"
    )
    recommend.add_argument("-n", type=_positive, default=10, help="items for each user (default 10)")
    recommend.add_argument(
        "--users",
        metavar="SOURCE",
        help="only these: Parquet (a file, a folder, a pattern, a URL), text with one id a line, or - for "
        "standard input",
    )
    recommend.add_argument("--user-column", default="user_id", metavar="NAME", help="(default user_id)")
    recommend.add_argument(
        "--history",
        metavar="NAME",
        help="a column of lists: what each has touched, instead of what the model knows",
    )
    recommend.add_argument("--rating", metavar="NAME", help="a column of lists: the weights of those items")
    recommend.add_argument(
        "--unknown-users", choices=("error", "skip"), default="error", help="who the model does not know"
    )
    recommend.add_argument("--item-column", default="item_id", metavar="NAME", help="(default item_id)")
    recommend.add_argument("--exclude-items", metavar="FILE", help="items for nobody: text or Parquet")
    recommend.add_argument(
        "--include-seen", action="store_true", help="recommend what users have touched, too"
    )
    recommend.add_argument(
        "--resume", action="store_true", help="go on where the same job stopped, begin where there was none"
    )
    size = recommend.add_mutually_exclusive_group()
    size.add_argument(
        "--memory-limit", type=_bytes, metavar="SIZE", help="what may be resident, such as 2GiB or 800MB"
    )
    size.add_argument("--block-size", type=_positive, metavar="USERS", help="users at once")
    _add_common(recommend)

    inspect = _command(
        commands,
        "inspect",
        _inspect,
        "show what a saved model is: parameters, data, sizes, checksum",
        """
        ferrec inspect model/
        ferrec inspect model/ --verify --json
        """,
    )
    _add_model(inspect)
    inspect.add_argument(
        "--verify", action="store_true", help="read everything, and compare it with the checksums"
    )
    inspect.add_argument("--json", action="store_true", help="one JSON object on standard output")

    similar = _command(
        commands,
        "similar",
        _similar,
        "show the most similar items of an item, or users of a user",
        """
        ferrec similar model/ --item 995242 -n 5
        ferrec similar model/ --item tea milk --json
        ferrec similar user-model/ --user ann
        """,
    )
    _add_model(similar)
    side = similar.add_mutually_exclusive_group(required=True)
    side.add_argument("--item", nargs="+", metavar="ID", help="similar items of these")
    side.add_argument("--user", nargs="+", metavar="ID", help="similar users of these")
    similar.add_argument("-n", type=_positive, default=10, help="answers for each (default 10)")
    _add_common(similar)

    evaluation = _command(
        commands,
        "evaluate",
        _evaluate,
        "measure a model on events that it has not seen",
        """
        ferrec evaluate model/ test.parquet
        ferrec evaluate model/ test.parquet --metrics ndcg@10,recall@20,coverage@10 --json
        ferrec evaluate model/ test.parquet --against popularity/ --report report.html
        ferrec evaluate ratings-model/ test.csv --rating stars --metrics rmse,mae
        """,
        extra=(
            "metrics, over all items: precision@K recall@K f1@K hit_rate@K accuracy@K ndcg@K graded_ndcg@K\n"
            "map@K mrr@K novelty@K serendipity@K popularity@K popularity_lift@K coverage@K gini@K auc\n"
            "sampled_auc@N; and for ratings: rmse mae mse"
        ),
    )
    _add_model(evaluation)
    evaluation.add_argument("test", metavar="TEST", help="events, as for ferrec fit")
    evaluation.add_argument(
        "--metrics",
        default=",".join(METRICS),
        metavar="LIST",
        help="separated by commas (default: each of those below at 10)",
    )
    evaluation.add_argument(
        "--include-seen", action="store_true", help="recommend what users have touched, and count it"
    )
    evaluation.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="MODEL",
        help="another model's folder to set beside the first; may be given several times",
    )
    evaluation.add_argument(
        "--report",
        metavar="FILE",
        help="write a page of metrics, intervals, tests, groups and examples (HTML; extra plot)",
    )
    _add_table(evaluation)
    _add_common(evaluation)

    splits = "splits, with a number after a colon:\n" + "\n".join(
        f"  {name + ':' + str(default):<20} {about}" for name, (_, _, default, about) in _SPLITS.items()
    )
    validation = _command(
        commands,
        "cross-validate",
        _cross_validate,
        "fit and measure a model on several splits of a table of events",
        """
        ferrec cross-validate --model item-knn events.parquet
        ferrec cross-validate --model ease --param reg=300 --split rolling:7 --time ts events.parquet
        ferrec cross-validate --model biased-mf ratings.csv --rating stars --duplicates last --metrics rmse,mae
        """,
        extra=splits,
    )
    _add_training(validation)
    _add_splitting(validation, "k-fold:5")
    validation.add_argument(
        "--metrics", default=",".join(METRICS), metavar="LIST", help="as for ferrec evaluate"
    )
    _add_table(validation)
    _add_common(validation)

    tuning = _command(
        commands,
        "tune",
        _tune,
        "find the parameters under which a model does best, and save it fitted with them",
        """
        ferrec tune --model item-knn events.parquet --trials 30 -o model/
        ferrec tune --model als events.parquet --param solver=cholesky --patience 15 --table trials.csv -o model/
        ferrec tune --model biased-mf ratings.csv --rating stars --metric rmse --split random:0.1 -o model/
        """,
        extra=splits + '\n\nneeds: pip install "ferrec[tune]"',
    )
    _add_training(tuning)
    tuning.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the model goes")
    _add_splitting(tuning, "leave-last-out:1")
    tuning.add_argument(
        "--metric", default="ndcg@10", metavar="NAME", help="what to improve (default ndcg@10)"
    )
    tuning.add_argument("--trials", type=_positive, default=50, metavar="N", help="at most (default 50)")
    tuning.add_argument(
        "--patience", type=_positive, metavar="N", help="stop after N trials without a better one"
    )
    tuning.add_argument("--timeout", type=_positive, metavar="SECONDS", help="start no trial later than this")
    tuning.add_argument("--seed", type=int, default=0, metavar="N", help="of the search (default 0)")
    tuning.add_argument(
        "--table", metavar="FILE", help="a .parquet, .csv or .json file of all trials, written after each"
    )
    _add_table(tuning)
    _add_common(tuning)

    demo = _command(
        commands,
        "demo",
        _demonstrate,
        "a year of grocery purchases, from events to explained recommendations",
        """
        ferrec demo
        ferrec demo --hybrid
        ferrec demo -o groceries.parquet --json
        """,
        extra='needs: pip install "ferrec[demo]", and for the hybrid "ferrec[demo,tensorflow]"',
    )
    demo.add_argument(
        "--hybrid", action="store_true", help="put a neural ranker behind the models, which takes longer"
    )
    demo.add_argument(
        "-o",
        "--output",
        default="recs.parquet",
        metavar="FILE",
        help="the Parquet file to write or replace (default %(default)s)",
    )
    _add_output(demo)
    return parser


def _command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], tuple[Result, str]],
    summary: str,
    examples: str,
    extra: str = "",
) -> argparse.ArgumentParser:
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


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="the folder that ferrec fit wrote")


def _add_training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "events", metavar="EVENTS", help="Parquet or CSV: a file, a folder, or a glob in quotes"
    )
    parser.add_argument("--model", required=True, metavar="NAME", help="as ferrec fit --help lists them")
    parser.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter; may be repeated"
    )


def _add_splitting(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--split", default=default, metavar="NAME[:N]", help=f"as below (default {default})")
    parser.add_argument(
        "--include-seen", action="store_true", help="recommend what users have touched, and count it"
    )


def _add_table(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("columns of the table")
    group.add_argument("--user", default="user_id", metavar="NAME", help="(default user_id)")
    group.add_argument("--item", default="item_id", metavar="NAME", help="(default item_id)")
    group.add_argument("--rating", metavar="NAME", help="weights (default: 1 for each event)")
    group.add_argument("--time", metavar="NAME", help="unix seconds or datetimes")
    group.add_argument("--event", metavar="NAME", help="event types, weighed by --event-weight")
    group.add_argument(
        "--event-weight", action="append", default=[], metavar="TYPE=WEIGHT", help="may be repeated"
    )
    group.add_argument(
        "--duplicates",
        choices=("sum", "last", "max", "count", "error"),
        default="sum",
        help="what several events of one user with one item make (default sum)",
    )


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads", type=_positive, metavar="N", help="(default: what affinity and cgroup allow)"
    )
    _add_output(parser)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    parser.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="bars on standard error (default: on a terminal)",
    )


def _positive(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _bytes(text: str) -> int:
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
    units |= {f"{unit}i": 1 << (10 * power) for power, unit in enumerate(units) if unit}
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]i?|)b?", text.lower())
    if found is None or float(found[1]) * units[found[2]] < 1:
        raise argparse.ArgumentTypeError(f"expected a size such as 2GiB or 800MB, got {text!r}")
    return int(float(found[1]) * units[found[2]])


def _describe_model(name: str) -> str:
    params = _KINDS[name]().get_params()
    shown = " ".join(f"{key}={value}" for key, value in params.items() if key != "n_threads")
    return f"  {_kebab(name):<20} {shown}".rstrip()
