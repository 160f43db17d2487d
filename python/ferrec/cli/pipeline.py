"""The work behind `ferrec pipeline`: raw events to clean ones, a page about them, models and a page of these."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ferrec.data import splits
from ferrec.data.interactions import Interactions
from ferrec.evaluation import compare, report, tune
from ferrec.evaluation.metrics import LOWER_IS_BETTER, WHOLE, parse_metrics
from ferrec.io.tables import PathLike
from ferrec.kernels.arguments import Progress
from ferrec.models import Popularity
from ferrec.models.base import Recommender
from ferrec.preparation import Prepare

__all__ = ["run"]

METRICS = ("ndcg@10", "recall@10", "precision@10", "coverage@10", "novelty@10")
BASELINE = "popularity"
SHARE = 0.2
"""Of the events, the latest: what is judged on, and of the rest, what is tuned on."""


def run(
    table: object,
    output: PathLike,
    models: Mapping[str, Recommender[Any]],
    prepare: Prepare,
    *,
    metrics: Sequence[str] = METRICS,
    trials: int = 10,
    title: str = "Events",
    names: Mapping[Any, str] | None = None,
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
    table : table or path
        As in `Prepare.fit`.
    output : path
        The folder: ``events.html``, ``prepare/``, ``trials-….json``, ``report.html``, ``model/``, ``summary.json``.
    models : mapping of str to Recommender
        What to tune, by the names that the pages show.
    prepare : Prepare
        How to clean.
    metrics : sequence of str
        Of `evaluate`; the first is tuned for: one with values per user of which more is better.
    trials : int
        Of each model.
    title : str
        What the pages call the data.
    names : mapping of item to str, optional
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
    from ferrec.description import describe

    kind, _ = next(iter(parse_metrics(metrics).values()))
    if kind in (*WHOLE, *LOWER_IS_BETTER):
        raise ValueError(
            f"metrics: {metrics[0]!r} cannot be tuned for; put another first, such as {METRICS[0]}"
        )
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    clock = _Clock()

    columns = {name: value for name in ("user", "item", "time", "event") if (value := getattr(prepare, name))}
    describe(table, **columns).to_html(folder / "events.html", title=title)
    prepare.fit(table)
    data = prepare.interactions(table, duplicates="max")
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
            trials=trials,
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
    report(compared, folder / "report.html", metric=metrics[0], title=title, examples=examples, names=names)
    clock.lap("compare")
    say(f"\nOn {len(future):,} events that no model above has seen:\n{compared!r}")

    final = type(fitted[best])(**fitted[best].get_params()).fit(data, progress=progress)
    final.save(folder / "model")
    clock.lap("fit")
    summary = {
        "data": data.describe(),
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


class _Clock:
    """Seconds of the steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name], self._last = round(now - self._last, 3), now
