"""`ferrec describe`."""

import argparse
from pathlib import Path

from ferrec.cli import common
from ferrec.description import describe

__all__ = ["add"]


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "describe",
        _run,
        "show what is in a table of events",
        """
        ferrec describe events.parquet --time ts
        ferrec describe log/ --time ts --event-type type --html page.html
        ferrec describe events.csv --json
        """,
    )
    common.add_events(parser)
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures (needs matplotlib)")
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: the name of the events)")
    common.add_columns(parser, weighted=False)
    common.add_output(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    found = describe(args.events, user=args.user, item=args.item, time=args.time, event_type=args.event_type)
    result, text = {"source": str(args.events), **found.to_dict()}, repr(found)
    if args.html is not None:
        found.to_html(args.html, title=args.title or Path(args.events).name)
        result["html"] = str(args.html)
        text += f"\n\npage written to {args.html}"
    return result, text
