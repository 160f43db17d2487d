"""`ferrec similar`."""

import argparse

from ferrec.cli import common
from ferrec.cli.models import add_model, load_model
from ferrec.io.text import aligned

__all__ = ["add"]


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "similar",
        _run,
        "show the most similar items of an item, or users of a user",
        """
        ferrec similar model/ --items 995242 -n 5
        ferrec similar model/ --items tea milk --json
        ferrec similar user-model/ --users ann
        """,
    )
    add_model(parser)
    side = parser.add_mutually_exclusive_group(required=True)
    side.add_argument("--items", nargs="+", metavar="ID", help="similar items of these")
    side.add_argument("--users", nargs="+", metavar="ID", help="similar users of these")
    parser.add_argument("-n", type=common.positive, default=10, help="answers for each (default 10)")
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    model = load_model(args)
    if args.items is not None:
        side, recs = "item", model.similar_items(common.parse_ids(args.items, model.items, "items"), args.n)
    else:
        side, recs = "user", model.similar_users(common.parse_ids(args.users, model.users, "users"), args.n)
    blocks, results = [], []
    for query, answers in recs:
        lines = aligned((str(key), f"{score:.4f}") for key, score in answers) or ["nothing"]
        blocks.append("\n  ".join([f"similar to {side} {query}:", *lines]))
        results.append({side: query, "similar": [{side: key, "score": score} for key, score in answers]})
    return {"model": type(model).__name__, "results": results}, "\n".join(blocks)
