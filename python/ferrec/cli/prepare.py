"""`ferrec prepare`."""

import argparse

from ferrec.cli import common
from ferrec.cli.steps import add_steps, prepare_params
from ferrec.data.event_columns import EventColumns
from ferrec.errors import ParameterError
from ferrec.io.files import csv_delimiter, parquet_writer, read_csv
from ferrec.io.tables import refuse_repeated
from ferrec.preparation import Prepare, Report

__all__ = ["add"]

_EXAMPLES = """
    ferrec prepare events.parquet -o clean.parquet --time ts --dedup exact --k-core 5 --report
    ferrec prepare log/ -o clean.parquet --event-type type --event-weight view=1 --event-weight buy=5 --save kept/
    ferrec prepare new.parquet -o clean.parquet --load kept/
    ferrec prepare views.csv -o clean.parquet --time ts --missing seconds=median --normalize seconds=log1p \\
    --weight-by seconds --half-life 30d --session-gap 30m --activity 0,0.999
    """
_NOTES = """\
Rows without user, item, time or event type are left out unless --missing says otherwise. Steps come in this
order, whatever that of the options: missing, event types, dedup, activity, k-core, normalize, weight, sessions.
Parquet is streamed; CSV is read whole. The file appears under its name when it is complete."""


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "prepare",
        _run,
        "clean a table of events, and say what was removed and why",
        _EXAMPLES,
        extra=_NOTES,
    )
    common.add_events(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the Parquet file to write")
    parser.add_argument("--report", action="store_true", help="show what every step removed, and why")
    parser.add_argument("--save", metavar="FOLDER", help="keep what was learned, for new data")
    parser.add_argument("--load", metavar="FOLDER", help="do what was kept there; no other steps")
    common.add_columns(parser, weighted=False)
    add_steps(parser)
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    report = _clean(args, common.wants_progress(args))
    found = report.to_dict()
    before, after = found["before"]["rows"], found["after"]["rows"]
    text = f"{after:,} of {before:,} rows written to {args.output}"
    if args.save:
        text += f"; what was learned, to {args.save}"
    return {"path": str(args.output), **found}, f"{report}\n{text}" if args.report else text


def _clean(args: argparse.Namespace, progress: bool) -> Report:
    prepare = _loaded(args) if args.load else Prepare(**prepare_params(args))
    delimiter = csv_delimiter(args.events)
    if delimiter is not None:
        report = _prepare_csv(prepare, args, delimiter)
    elif args.load:
        report = prepare.transform_parquet(args.events, args.output, progress=progress)
    else:
        report = prepare.fit_transform_parquet(args.events, args.output, progress=progress)
    if args.save:
        prepare.save(args.save)
    return report


def _loaded(args: argparse.Namespace) -> Prepare:
    given = [name for name, value in prepare_params(args).items() if value != Prepare().get_params()[name]]
    if given or args.save:
        raise ParameterError(
            "--load", f"{', '.join(given) or '--save'} cannot be given with it, it knows its steps"
        )
    return Prepare.load(args.load)


def _prepare_csv(prepare: Prepare, args: argparse.Namespace, delimiter: str) -> Report:
    columns = EventColumns(prepare.user, prepare.item, time=prepare.time, event_type=prepare.event_type)
    names, table = read_csv(args.events, columns.ids, delimiter)
    refuse_repeated(names)
    if args.load:
        clean, report = prepare._transform(table)
    else:
        clean, report = prepare.fit_transform(table), prepare.report
    with parquet_writer(args.output, clean.schema) as writer:
        writer.write_table(clean)
    return report
