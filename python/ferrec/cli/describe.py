"""`ferrec describe`."""

import argparse
from pathlib import Path

from ferrec.cli.common import Answer, Commands, add_columns, add_command, add_events, add_output, usage_errors
from ferrec.description import describe

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(
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
    add_events(parser)
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures (needs matplotlib)")
    parser.add_argument("--title", metavar="TEXT", help="of the page (default: the name of the events)")
    add_columns(parser, weighted=False)
    add_output(parser)


def _run(args: argparse.Namespace) -> Answer:
    with usage_errors():
        found = describe(
            args.events, user=args.user, item=args.item, time=args.time, event_type=args.event_type
        )
        result, text = {"source": str(args.events), **found.to_dict()}, repr(found)
        if args.html is not None:
            found.to_html(args.html, title=args.title or Path(args.events).name)
            result["html"] = str(args.html)
            text += f"\n\npage written to {args.html}"
    return result, text
