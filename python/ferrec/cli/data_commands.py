"""`ferrec prepare` and `ferrec describe`: their arguments, and what they do."""

import argparse
import ast
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from ferrec.cli import pipeline
from ferrec.cli.pipeline import METRICS
from ferrec.datasets import complete_journey
from ferrec.description import describe
from ferrec.io.files import csv_delimiter, parquet_writer, read_csv
from ferrec.io.tables import refuse_repeated
from ferrec.models.base import Recommender
from ferrec.preparation import Prepare, Report
from ferrec.preparation.settings import Dedup, Method

Result = dict[str, Any]

PREPARE_EXAMPLES = """
    ferrec prepare events.parquet -o clean.parquet --time ts --dedup exact --k-core 5 --report
    ferrec prepare log/ -o clean.parquet --event type --event-weight view=1 --event-weight buy=5 --save prepared/
    ferrec prepare new.parquet -o clean.parquet --load prepared/
    ferrec prepare views.csv -o clean.parquet --time ts --missing seconds=median --normalize seconds=log1p \\
    --weight-by seconds --half-life 30d --session-gap 30m --activity 0,0.999
    """
PREPARE_NOTES = """\
Rows without user, item, time or event type are left out unless --missing says otherwise. Steps come in this
order, whatever that of the options: missing, event types, dedup, activity, k-core, normalize, weight, sessions.
Parquet is streamed; CSV is read whole. The file appears under its name when it is complete."""
PIPELINE_EXAMPLES = """
    ferrec pipeline grocery -o grocery/ --dedup exact --k-core 5
    ferrec pipeline ratings.csv -o out/ --time timestamp --k-core 5 --model ease --model als --trials 20
    """
PIPELINE_NOTES = """\
Writes events.html (what is in the events), prepare/ (the cleaning, for new data), trials-MODEL.json, report.html
(the tuned models beside the popular items, on the latest fifth of the events, of users known before), model/ (the
best, fitted on all) and summary.json. Without --time the parts are random."""
DESCRIBE_EXAMPLES = """
    ferrec describe events.parquet --time ts
    ferrec describe log/ --time ts --event type --html page.html
    ferrec describe events.csv --json
    """


def add_columns(parser: argparse.ArgumentParser) -> None:
    """The columns of a table of events."""
    group = parser.add_argument_group("columns of the table")
    group.add_argument("--user", default="user_id", metavar="NAME", help="(default user_id)")
    group.add_argument("--item", default="item_id", metavar="NAME", help="(default item_id)")
    group.add_argument("--time", metavar="NAME", help="unix seconds or datetimes")
    group.add_argument("--event", metavar="NAME", help="event types")


def add_prepare(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ferrec prepare`."""
    parser.add_argument(
        "events", metavar="EVENTS", help="Parquet or CSV: a file, a folder, or a glob in quotes"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the Parquet file to write")
    parser.add_argument("--report", action="store_true", help="show what every step removed, and why")
    parser.add_argument("--save", metavar="FOLDER", help="keep what was learned, for new data")
    parser.add_argument("--load", metavar="FOLDER", help="do what was kept there; no other steps")
    add_columns(parser)
    add_steps(parser)


def add_steps(parser: argparse.ArgumentParser) -> None:
    """What `Prepare` may do."""
    steps = parser.add_argument_group("steps of cleaning")
    steps.add_argument(
        "--missing",
        action="append",
        default=[],
        metavar="COLUMN=POLICY",
        help="drop, error, mean, median, mode, or a value to fill in; may be repeated",
    )
    steps.add_argument("--dedup", choices=get_args(Dedup), help="which repeats to leave out")
    steps.add_argument(
        "--activity", metavar="LOW,HIGH", help="quantiles of events a user to keep, as 0,0.999"
    )
    steps.add_argument("--k-core", metavar="K[,K]", help="items a user and users an item must have at least")
    steps.add_argument(
        "--event-weight",
        action="append",
        default=[],
        metavar="TYPE=WEIGHT",
        help="none leaves the type out; may be repeated",
    )
    steps.add_argument("--weight-by", metavar="COLUMN", help="numbers that multiply the weight")
    steps.add_argument("--half-life", metavar="TIME", help="after which an event weighs half, as 30d")
    steps.add_argument(
        "--normalize",
        action="append",
        default=[],
        metavar="COLUMN=METHOD",
        help=f"{', '.join(get_args(Method))}; may be repeated",
    )
    steps.add_argument("--session-gap", metavar="TIME", help="a new session begins after it, as 30m")
    steps.add_argument("--unknown", choices=("drop", "keep"), default="drop", help="ids new to --load")


def add_pipeline(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ferrec pipeline`."""
    parser.add_argument(
        "events",
        metavar="EVENTS",
        help="Parquet or CSV: a file, a folder, or a glob in quotes; or grocery, the data of ferrec demo",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where everything goes")
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="to tune; may be repeated (default item-knn, ease)"
    )
    parser.add_argument("--trials", type=int, default=10, metavar="N", help="of each model (default 10)")
    parser.add_argument(
        "--metrics", default=",".join(METRICS), metavar="LIST", help=f"the first is tuned for ({METRICS[0]})"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="(default 0)")
    parser.add_argument("--title", metavar="TEXT", help="of the pages (default: the name of the events)")
    parser.add_argument("--names", metavar="FILE", help="CSV of items and what to call them, in two columns")
    add_columns(parser)
    add_steps(parser)


def add_describe(parser: argparse.ArgumentParser) -> None:
    """The arguments of `ferrec describe`."""
    parser.add_argument(
        "events", metavar="EVENTS", help="Parquet or CSV: a file, a folder, or a glob in quotes"
    )
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures (needs matplotlib)")
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: the name of the events)")
    add_columns(parser)


def run_prepare(args: argparse.Namespace, progress: bool) -> tuple[Result, str]:
    """Clean a table of events; a ValueError is a wrong argument."""
    prepare = _loaded(args) if args.load else Prepare(**_params(args))
    delimiter = csv_delimiter(args.events)
    if delimiter is not None:
        report = _prepare_csv(prepare, args, delimiter)
    elif args.load:
        report = prepare.transform_parquet(args.events, args.output, progress=progress)
    else:
        report = prepare.fit_transform_parquet(args.events, args.output, progress=progress)
    if args.save:
        prepare.save(args.save)
    found = report.to_dict()
    before, after = found["before"]["rows"], found["after"]["rows"]
    text = f"{after:,} of {before:,} rows written to {args.output}"
    if args.save:
        text += f"; what was learned, to {args.save}"
    return {"output": str(args.output), **found}, f"{report}\n{text}" if args.report else text


def run_pipeline(
    args: argparse.Namespace,
    models: Mapping[str, Recommender[Any]],
    say: Callable[[str], object],
    progress: bool,
) -> tuple[Result, str]:
    """Events to clean events, tuned models and pages; a ValueError is a wrong argument."""
    table, names, title = args.events, None, args.title or Path(args.events).name
    if args.events == "grocery":
        journey = complete_journey()
        table, args.time, title = (
            journey.transactions,
            "time",
            args.title or "The Complete Journey, groceries of 2017",
        )
        names = dict(zip(*(journey.products[name].to_pylist() for name in ("item_id", "name")), strict=True))
    elif (delimiter := csv_delimiter(args.events)) is not None:
        ids = [name for name in (args.user, args.item, args.event) if name is not None]
        columns, table = read_csv(args.events, ids, delimiter)
        refuse_repeated(columns)
    if args.names is not None:
        (first, second, *_), read = read_csv(args.names, [], csv_delimiter(args.names) or ",")
        names = dict(zip(read[first].to_pylist(), read[second].to_pylist(), strict=True))
    summary = pipeline.run(
        table,
        args.output,
        models,
        Prepare(**_params(args)),
        metrics=[metric.strip() for metric in args.metrics.split(",") if metric.strip()],
        trials=args.trials,
        title=title,
        names=names,
        seed=args.seed,
        say=say,
        progress=progress,
    )
    return {"output": str(args.output), **summary}, ""


def _loaded(args: argparse.Namespace) -> Prepare:
    given = [name for name, value in _params(args).items() if value != Prepare().get_params()[name]]
    if given or args.save:
        raise ValueError(
            f"--load: {', '.join(given) or '--save'} cannot be given with it: it knows its steps"
        )
    return Prepare.load(args.load)


def _prepare_csv(prepare: Prepare, args: argparse.Namespace, delimiter: str) -> Report:
    ids = [name for name in (prepare.user, prepare.item, prepare.event) if name is not None]
    names, table = read_csv(args.events, ids, delimiter)
    refuse_repeated(names)
    if args.load:
        clean, report = prepare._transform(table)
    else:
        clean, report = prepare.fit_transform(table), prepare.report
    with parquet_writer(args.output, clean.schema) as writer:
        writer.write_table(clean)
    return report


def _params(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `Prepare`."""
    return {
        "user": args.user,
        "item": args.item,
        "time": args.time,
        "event": args.event,
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
            raise ValueError(f"--{name}: expected NAME=VALUE, got {text!r}")
        pairs[key] = convert(value)
    return pairs or None


def _numbers(name: str, text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise ValueError(f"--{name}: expected numbers with commas between, got {text!r}") from None


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


def run_describe(args: argparse.Namespace) -> tuple[Result, str]:
    """Describe a table of events."""
    found = describe(args.events, user=args.user, item=args.item, time=args.time, event=args.event)
    result, text = {"input": str(args.events), **found.to_dict()}, repr(found)
    if args.html is not None:
        found.to_html(args.html, title=args.title or Path(args.events).name)
        result["html"] = str(args.html)
        text += f"\n\npage written to {args.html}"
    return result, text
