"""`ferrec evaluate`."""

import argparse
from pathlib import Path
from typing import Any

from ferrec.cli import common
from ferrec.cli.models import add_model, load_model
from ferrec.evaluation import compare, evaluate_ratings, report
from ferrec.evaluation.metrics import METRICS, RATINGS
from ferrec.models.base import Recommender
from ferrec.storage import folders

__all__ = ["add"]


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "evaluate",
        _run,
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
    add_model(parser)
    parser.add_argument("test", metavar="TEST", help="events, as for ferrec fit")
    parser.add_argument(
        "--metrics",
        default=",".join(METRICS),
        metavar="LIST",
        help="separated by commas (default: each of those below at 10)",
    )
    parser.add_argument(
        "--include-seen", action="store_true", help="recommend the items of the histories too, and count them"
    )
    common.add_repeated(
        parser,
        "--against",
        "MODEL",
        "another model's folder to set beside the first; may be given several times",
    )
    parser.add_argument(
        "--report",
        metavar="FILE",
        help="write a page of metrics, intervals, tests, groups and examples (HTML; extra plot)",
    )
    common.add_columns(parser)
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    model = load_model(args)
    others = {path: folders.load(path) for path in args.against}
    metrics = common.parse_names(args.metrics)
    ranking = [metric for metric in metrics if metric not in RATINGS]
    test = common.read_events(args.test, args)
    result: dict[str, Any] = {"model": type(model).__name__}
    lines = []
    if ranking or not metrics:
        options = {
            "exclude_seen": not args.include_seen,
            "n_threads": args.threads,
            "progress": common.wants_progress(args),
        }
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
        errors = evaluate_ratings(model, test, progress=common.wants_progress(args))
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
