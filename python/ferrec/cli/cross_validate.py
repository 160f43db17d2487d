"""`ferrec cross-validate`."""

import argparse

from ferrec.cli import common
from ferrec.cli.models import add_training, make_model
from ferrec.cli.splitting import SPLITS_HELP, add_splitting, parse_split
from ferrec.evaluation import cross_validate
from ferrec.evaluation.metrics import METRICS

__all__ = ["add"]


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "cross-validate",
        _run,
        "fit and measure a model on several splits of a table of events",
        """
        ferrec cross-validate --model item-knn events.parquet
        ferrec cross-validate --model ease --param reg=300 --split rolling:7d --time ts events.parquet
        ferrec cross-validate --model biased-mf ratings.csv --rating stars --duplicates last --metrics rmse,mae
        """,
        extra=SPLITS_HELP,
    )
    add_training(parser)
    add_splitting(parser, "k-fold:5")
    parser.add_argument("--metrics", default=",".join(METRICS), metavar="LIST", help="as for ferrec evaluate")
    common.add_columns(parser)
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    model, splits = make_model(args), parse_split(args.split)
    metrics = common.parse_names(args.metrics)
    data = common.read_events(args.events, args)
    found = cross_validate(
        model,
        data,
        splits,
        metrics,
        exclude_seen=not args.include_seen,
        progress=common.wants_progress(args),
    )
    result = {"model": type(model).__name__, "params": model.get_params(), "split": args.split}
    return result | found.to_dict(), f"{data!r}\n{model!r}, {args.split}\n{found!r}"
