"""`ferrec pipeline`: raw events to clean ones, a page about them, models and a page of these."""

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ferrec.cli import common
from ferrec.cli.models import find_class, kebab
from ferrec.cli.steps import add_steps, prepare_params
from ferrec.data import splits
from ferrec.data.event_columns import EventColumns
from ferrec.data.interactions import Interactions
from ferrec.datasets import complete_journey
from ferrec.description import describe
from ferrec.errors import ParameterError
from ferrec.evaluation import compare, report, tune
from ferrec.evaluation.metrics import LOWER_IS_BETTER, WHOLE, parse_metrics
from ferrec.io.files import csv_delimiter, read_csv
from ferrec.io.tables import PathLike, refuse_repeated
from ferrec.kernels.arguments import Progress
from ferrec.models import MODELS, Popularity
from ferrec.models.base import Recommender
from ferrec.models.estimator import clone
from ferrec.preparation import Prepare

__all__ = ["add", "run_pipeline"]

METRICS = ("ndcg@10", "recall@10", "precision@10", "coverage@10", "novelty@10")
BASELINE = "popularity"
SHARE = 0.2
"""Of the events, the latest: what is judged on, and of the rest, what is tuned on."""
_NOTES = """\
Writes events.html (what is in the events), prepare/ (the cleaning, for new data), trials-MODEL.json, report.html
(the tuned models beside the popular items, on the latest fifth of the events, of users known before), model/ (the
best, fitted on all) and summary.json. Without --time the parts are random."""


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "pipeline",
        _run,
        "clean events, look at them, tune models, compare them, keep the best: in one folder",
        """
        ferrec pipeline grocery -o grocery/ --dedup exact --k-core 5
        ferrec pipeline ratings.csv -o out/ --time timestamp --k-core 5 --model ease --model als --trials 20
        """,
        extra=_NOTES,
    )
    common.add_events(parser, "; or grocery, the data of ferrec demo")
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
    parser.add_argument(
        "--item-names", metavar="FILE", help="CSV of items and what to call them, in two columns"
    )
    common.add_columns(parser, weighted=False)
    add_steps(parser)
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    kinds = [find_class("--model", name, MODELS) for name in args.model or ("item-knn", "ease")]
    threads = {} if args.threads is None else {"n_threads": args.threads}
    table, title, names = _inputs(args)
    summary = run_pipeline(
        table,
        args.output,
        {kebab(kind.__name__): kind(**threads) for kind in kinds},
        Prepare(**prepare_params(args)),
        metrics=common.parse_names(args.metrics),
        n_trials=args.trials,
        title=title,
        item_names=names,
        seed=args.seed,
        say=common.sayer(args),
        progress=common.wants_progress(args),
    )
    return {"path": str(args.output), **summary}, ""


def _inputs(args: argparse.Namespace) -> tuple[object, str, dict[Any, str] | None]:
    """The events, what the pages call them, and what they call items."""
    table, names, title = args.events, None, args.title or Path(args.events).name
    if args.events == "grocery":
        journey = complete_journey()
        args.time = "time"
        table, title = journey.transactions, args.title or "The Complete Journey, groceries of 2017"
        names = dict(zip(*(journey.products[name].to_pylist() for name in ("item_id", "name")), strict=True))
    elif (delimiter := csv_delimiter(args.events)) is not None:
        columns = EventColumns(args.user, args.item, time=args.time, event_type=args.event_type)
        header, table = read_csv(args.events, columns.ids, delimiter)
        refuse_repeated(header)
    if args.item_names is not None:
        (first, second, *_), read = read_csv(args.item_names, [], csv_delimiter(args.item_names) or ",")
        names = dict(zip(read[first].to_pylist(), read[second].to_pylist(), strict=True))
    return table, title, names


def run_pipeline(
    source: object,
    path: PathLike,
    models: Mapping[str, Recommender[Any]],
    prepare: Prepare,
    *,
    metrics: Sequence[str] = METRICS,
    n_trials: int = 10,
    title: str = "Events",
    item_names: Mapping[Any, str] | None = None,
    seed: int = 0,
    say: Callable[[str], object] = print,
    progress: Progress = False,
) -> dict[str, Any]:
    """From raw events to a tuned model, in one folder.

    The latest fifth of the clean events is kept for judging, and seen only once; where there are no times, a random
    fifth. Of the others again a fifth is what models are tuned on. Users who begin in that fifth are left out:
    nothing is known of them, and all models would be judged by what they do with nothing. In the end the model that
    is best in validation is fitted on everything. Which users and items are too sparse is learned from all events,
    the latest fifth included.

    Parameters
    ----------
    source : table or path
        As in `Prepare.fit`.
    path : path
        The folder: ``events.html``, ``prepare/``, ``trials-….json``, ``report.html``, ``model/``, ``summary.json``.
    models : mapping of str to Recommender
        What to tune, by the names that the pages show.
    prepare : Prepare
        How to clean.
    metrics : sequence of str
        Of `evaluate`; the first is tuned for: one with values per user of which more is better.
    n_trials : int
        Of each model.
    title : str
        What the pages call the data.
    item_names : mapping of item to str, optional
        What to call items on the page.
    seed : int
        Of tuning and of random splits.
    say : callable
        Gets the text as it comes.
    progress : bool or callable
        True draws bars (extra ``progress``).

    Returns
    -------
    dict
        What ``summary.json`` holds.

    Raises
    ------
    ValueError
        A metric is unknown, or the first cannot be tuned for.
    DataError
        As `Prepare.fit`; a part would be empty.
    """
    kind, _ = next(iter(parse_metrics(metrics).values()))
    if kind in (*WHOLE, *LOWER_IS_BETTER):
        raise ParameterError(
            "metrics", "cannot be tuned for", metrics[0], advice=f"put another first, such as {METRICS[0]}"
        )
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    clock = common.Clock()

    columns = {
        name: value for name in ("user", "item", "time", "event_type") if (value := getattr(prepare, name))
    }
    describe(source, **columns).to_html(folder / "events.html", title=title)
    prepare.fit(source)
    data = prepare.interactions(source, duplicates="max")
    prepare.save(folder / "prepare")
    clock.lap("prepare")
    say(f"Cleaned, as {folder / 'events.html'} suggests looking at it first:\n{prepare.report!r}\n{data!r}")

    past, future = _split(data, seed)
    tuned = {}
    for name, model in models.items():
        found = tune(
            model,
            past,
            lambda part: _split(part, seed),
            metrics[0],
            n_trials=n_trials,
            seed=seed,
            progress=progress,
        )
        rows = json.dumps(found.to_dicts(), indent=1)
        (folder / f"trials-{name}.json").write_text(rows, encoding="utf-8")
        tuned[name] = found
        say(f"{name}: {metrics[0]} {found.best_value:.4f} in validation with {found.best_params}")
    clock.lap("tune")

    fitted: dict[str, Recommender[Any]] = {name: found.model for name, found in tuned.items()}
    fitted[BASELINE] = Popularity().fit(past)
    compared = compare(fitted, future, metrics, progress=progress)
    # Chosen by validation: what is judged on must not choose too.
    best = max(tuned, key=lambda name: tuned[name].best_value)
    some = compared[best].users[:5]
    examples = {name: fitted[name].recommend(some) for name in (best, BASELINE)}
    report(
        compared,
        folder / "report.html",
        metric=metrics[0],
        title=title,
        examples=examples,
        item_names=item_names,
    )
    clock.lap("compare")
    say(f"\nOn {len(future):,} events that no model above has seen:\n{compared!r}")

    final = clone(fitted[best]).fit(data, progress=progress)
    final.save(folder / "model")
    clock.lap("fit")
    summary = {
        "data": data.summary(),
        "train_events": len(past),
        "test_events": len(future),
        "best": best,
        "tuned": {
            name: {"validation": one.best_value, "params": one.best_params, "trials": len(one.trials)}
            for name, one in tuned.items()
        },
        "test": compared.to_dict(),
        "seconds": clock.seconds,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, default=str), encoding="utf-8")
    say(
        f"\n{best} is best; fitted on everything: {folder / 'model'}\nPages: events.html, report.html in {folder}"
    )
    return summary


def _split(data: Interactions, seed: int) -> tuple[Interactions, Interactions]:
    if data.events.times is None:
        return splits.random(data, SHARE, seed=seed)
    past, future = splits.by_time(data, fraction=SHARE)
    known = np.bincount(past.events.users, minlength=data.n_users) > 0
    return past, future.select(known[future.events.users])
