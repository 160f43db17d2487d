"""`ferrec tune`."""

import argparse
from pathlib import Path

from ferrec.cli import common
from ferrec.cli.models import add_training, make_model, model_folder, parse_param
from ferrec.cli.splitting import SPLITS_HELP, add_splitting, parse_split
from ferrec.evaluation import tune
from ferrec.evaluation.tuning import check_ending

__all__ = ["add"]


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "tune",
        _run,
        "find the parameters under which a model does best, and save it fitted with them",
        """
        ferrec tune --model item-knn events.parquet --trials 30 -o model/
        ferrec tune --model als events.parquet --param nu=0 --patience 15 --trials-table trials.csv -o model/
        ferrec tune --model biased-mf ratings.csv --rating stars --metric rmse --split random:0.1 -o model/
        """,
        extra=SPLITS_HELP + '\n\nneeds: pip install "ferrec[tune]"',
    )
    add_training(parser)
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER", help="where the model goes")
    add_splitting(parser, "leave-last-out:1")
    parser.add_argument(
        "--metric", default="ndcg@10", metavar="NAME", help="what to improve (default ndcg@10)"
    )
    parser.add_argument(
        "--trials", type=common.positive, default=50, metavar="N", help="at most (default 50)"
    )
    parser.add_argument(
        "--patience", type=common.positive, metavar="N", help="stop after N trials without a better one"
    )
    parser.add_argument(
        "--timeout", type=common.duration, metavar="TIME", help="start no trial later, as 3600 or 1h"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the search (default 0)")
    parser.add_argument(
        "--trials-table",
        metavar="FILE",
        help="a .parquet, .csv or .json file of all trials, written after each",
    )
    common.add_columns(parser)
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    model, output, splits = make_model(args), model_folder(args), parse_split(args.split)
    fixed = {parse_param(text)[0] for text in args.param}
    clock = common.Clock()
    if args.trials_table is not None:
        check_ending(Path(args.trials_table))
    data = common.read_events(args.events, args)
    clock.lap("read")
    found = tune(
        model,
        data,
        splits,
        args.metric,
        n_trials=args.trials,
        space={name: values for name, values in model.search_space.items() if name not in fixed},
        patience=args.patience,
        timeout=args.timeout,
        exclude_seen=not args.include_seen,
        seed=args.seed,
        path=args.trials_table,
        progress=common.wants_progress(args),
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
        "path": str(output),
        "seconds": clock.seconds,
    }, f"{data!r}\n{found!r}\n{found.model!r} fitted on everything and saved to {output}\n{clock}"
