"""The command line: `ferrec fit`, `recommend`, `similar`, `evaluate`, `demo`.

Results go to standard output, as text or (`--json`) as one JSON object; all else goes to standard error.
Exit codes: 0 all went well; 1 the data, a model or a file is at fault, in one line; 2 the command was wrong;
130 and 143 interrupted by Ctrl-C and SIGTERM.
"""

import argparse
import ast
import importlib.util
import json
import os
import re
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any, NoReturn, TypeVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ferrec import _demo, storage
from ferrec._estimator import Estimator
from ferrec._progress import bar
from ferrec._rust import __version__
from ferrec.errors import DataError, FerrecError, UnknownIdError, require
from ferrec.evaluation import evaluate, evaluate_ratings
from ferrec.evaluation._ranking import METRICS
from ferrec.hybrid import Hybrid
from ferrec.interactions import Interactions
from ferrec.labels import Labels
from ferrec.models import MODELS
from ferrec.models._base import Recommender
from ferrec.rankers import RANKERS
from ferrec.recommendations import Recommendations, parquet_writer

__all__ = ["main"]

Result = dict[str, Any]

RATINGS = ("rmse", "mae")
_KINDS: dict[str, type[Recommender[Any]]] = {**MODELS, "Hybrid": Hybrid}
_NONE = {"none": None, "null": None, "true": True, "false": False}


class _Interrupted(KeyboardInterrupt):
    """A signal to stop. Python 3.11 notes a plain KeyboardInterrupt that passes through `exec` as unhandled, and
    then ends by SIGINT instead of with the exit code; it does not note a class derived from it.
    """


class _UsageError(Exception):
    """The command makes no sense: exit code 2."""


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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets at length
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


# -- fit ----------------------------------------------------------------------------------------------------


def _fit(args: argparse.Namespace) -> tuple[Result, str]:
    model = _make_model(args)
    output = Path(args.output)
    if output.exists() and not (output / "model.json").is_file():
        raise FileExistsError(
            f"{output}: exists and is no saved model; choose another folder"
        )  # before the work
    clock = _Clock()
    data = _read(args.events, args)
    clock.lap("read")
    with _arguments():
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


def _make_model(args: argparse.Namespace) -> Recommender[Any]:
    kind = _find("--model", args.model, _KINDS)
    model = kind()
    if isinstance(model, Hybrid):
        model.set_params(ranker=_find("--ranker", args.ranker or "mlp", RANKERS)())
        if args.retrievers is not None:
            names = args.retrievers.split(",")
            model.set_params(retrievers=tuple(_find("--retrievers", name, MODELS)() for name in names))
    elif args.ranker or args.retrievers:
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
        allowed = get_args(types[name]) or (types[name],)
        # A whole number will do for a float; True is no number.
        if type(value) not in allowed and not (type(value) is int and float in allowed):
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
    clock = _Clock()
    model = _load(args)
    users = None
    if args.users is not None:
        users = _read_ids(args.users, model.users, "users", args.user_column)
    excluded = None
    if args.exclude_items is not None:
        excluded = _read_ids(args.exclude_items, model.items, "exclude-items", args.item_column)
    clock.lap("load")

    names = args.user_column, args.item_column
    nobody = Recommendations(*_no_queries(model))
    with _arguments():
        schema = nobody.to_arrow(*names).schema
        # An unknown user is reported here, before the work and not after half of it.
        blocks = model.iter_recommend(
            users,
            args.n,
            block_size=args.block_size,
            exclude_seen=not args.include_seen,
            exclude_items=excluded,
        )
    n_users = len(model.users) if users is None else len(users)
    rows = done = 0
    with parquet_writer(args.output, schema) as writer, bar(_progress(args), "recommend") as callback:
        for recs in blocks:
            writer.write_table(recs.to_arrow(*names))
            rows, done = rows + len(recs.codes), done + len(recs)
            if callback is not None:
                callback(done, n_users)
    clock.lap("recommend")
    text = f"{rows:,} recommendations for {n_users:,} users written to {args.output}\n{clock}"
    return {
        "model": type(model).__name__,
        "output": str(args.output),
        "users": n_users,
        "rows": rows,
        "seconds": clock.seconds,
    }, text


def _no_queries(model: Recommender[Any]) -> tuple[NDArray[Any], Labels, Any, Any, Any]:
    none = np.empty(0, np.int32)
    return model.users.decode(none), model.items, np.zeros(1, np.int64), none, none


def _read_ids(source: str, labels: Labels, name: str, column: str) -> Any:
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


def _labels(texts: Sequence[str], labels: Labels, name: str) -> list[Any]:
    """Ids typed as text, in the type of the model's."""
    if "ints" not in labels.to_arrays():
        return list(texts)
    for text in texts:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise UnknownIdError(f"--{name}: {text!r} is unknown; the ids of this model are integers")
    return list(map(int, texts))


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
    metrics = [metric.strip() for metric in args.metrics.split(",") if metric.strip()]
    ranking = [metric for metric in metrics if metric not in RATINGS]
    test = _read(args.test, args)
    result: Result = {"model": type(model).__name__}
    lines = []
    if ranking or not metrics:
        with _arguments():
            found = evaluate(
                model,
                test,
                ranking,
                exclude_seen=not args.include_seen,
                n_threads=args.threads,
                progress=_progress(args),
            )
        result |= found.to_dict()
        lines.append(repr(found))
    if len(ranking) < len(metrics):
        errors = evaluate_ratings(model, test, progress=_progress(args))
        chosen = {name: errors[name] for name in RATINGS if name in metrics}
        result["metrics"] = result.get("metrics", {}) | chosen
        counts = {"rating_pairs": int(errors["pairs"]), "skipped_pairs": int(errors["skipped_pairs"])}
        result |= counts
        lines.append(f"Ratings({counts['rating_pairs']:,} pairs, {counts['skipped_pairs']:,} unknown)")
        lines += [f"  {name:<4}  {value:.4f}" for name, value in chosen.items()]
    return result, "\n".join(lines)


# -- demo ---------------------------------------------------------------------------------------------------


def _demonstrate(args: argparse.Namespace) -> tuple[Result, str]:
    def say(text: str) -> None:
        if not args.json:
            print(text, flush=True)

    return _demo.run(args.output, say, _progress(args), hybrid=args.hybrid), ""


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
    model = storage.load(args.model)
    threads = getattr(args, "threads", None)
    return model if threads is None else model.set_params(n_threads=threads)


def _read(path: str, args: argparse.Namespace) -> Interactions:
    """Events from CSV or Parquet, by the names of the files."""
    place = Path(path)
    names = sorted(place.rglob("*")) if place.is_dir() else [place]
    delimiters = {".csv": ",", ".tsv": "\t"}
    kinds = {suffix for name in names for suffix in name.suffixes[-2:] if suffix in delimiters}
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
        if not kinds:
            return Interactions.from_parquet(path, **columns)
        return Interactions.from_csv(path, delimiter=delimiters[min(kinds)], **columns)


def _parse_weight(text: str) -> tuple[Any, float]:
    kind, equals, weight = text.rpartition("=")
    try:
        if not equals:
            raise ValueError
        return kind, float(weight)
    except ValueError:
        raise _UsageError(f"--event-weight: expected TYPE=NUMBER, got {text!r}") from None


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
        """,
        extra=(
            "models and their parameters:\n" + "\n".join(map(_describe_model, _KINDS)) + "\n\n"
            "The hybrid learns from the latest fifth of the events what to make of the proposals of its\n"
            "retrievers. Its rankers: " + ", ".join(map(_kebab, RANKERS))
        ),
    )
    fit.add_argument("events", metavar="EVENTS", help="Parquet or CSV: a file, a folder, or a glob in quotes")
    fit.add_argument("--model", required=True, metavar="NAME", help="one of the models below")
    fit.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the model goes")
    fit.add_argument(
        "--param", action="append", default=[], metavar="NAME=VALUE", help="a parameter; may be repeated"
    )
    fit.add_argument("--retrievers", metavar="LIST", help="the hybrid's models, separated by commas")
    fit.add_argument("--ranker", metavar="NAME", help="the hybrid's ranker (default mlp)")
    _add_table(fit)
    _add_common(fit)

    recommend = _command(
        commands,
        "recommend",
        _recommend,
        "write the best items for every user, or for some, to a Parquet file",
        """
        ferrec recommend model/ -n 10 -o recs.parquet
        ferrec recommend model/ --users users.txt --exclude-items sold-out.txt -o recs.parquet
        cut -d, -f1 today.csv | ferrec recommend model/ --users - -o recs.parquet --json
        """,
        extra=(
            "Users are streamed in blocks, so that memory does not grow with them. The file appears under\n"
            "its name when it is complete; an interrupted run leaves an older file of that name as it was.\n"
            "Columns: user, item, score (float32), rank (int32, from 1)."
        ),
    )
    _add_model(recommend)
    recommend.add_argument("-o", "--output", required=True, metavar="FILE", help="the Parquet file to write")
    recommend.add_argument("-n", type=_positive, default=10, help="items for each user (default 10)")
    recommend.add_argument(
        "--users",
        metavar="FILE",
        help="only these: text with one id a line, Parquet, or - for standard input",
    )
    recommend.add_argument("--exclude-items", metavar="FILE", help="items for nobody; a file as for --users")
    recommend.add_argument(
        "--include-seen", action="store_true", help="recommend what users have touched, too"
    )
    recommend.add_argument(
        "--block-size", type=_positive, default=10_000, metavar="USERS", help="users at once (default 10000)"
    )
    recommend.add_argument("--user-column", default="user_id", metavar="NAME", help="(default user_id)")
    recommend.add_argument("--item-column", default="item_id", metavar="NAME", help="(default item_id)")
    _add_common(recommend)

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
        ferrec evaluate ratings-model/ test.csv --rating stars --metrics rmse,mae
        """,
        extra=(
            "metrics: precision@K recall@K f1@K hit_rate@K ndcg@K map@K mrr@K coverage@K, over all items;\n"
            "and for ratings: rmse mae"
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
    _add_table(evaluation)
    _add_common(evaluation)

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


def _describe_model(name: str) -> str:
    params = _KINDS[name]().get_params()
    shown = " ".join(f"{key}={value}" for key, value in params.items() if key != "n_threads")
    return f"  {_kebab(name):<20} {shown}".rstrip()


if __name__ == "__main__":
    sys.exit(main())
