"""`ferrec demo`: a year of groceries, from events to explained recommendations."""

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ferrec.cli import common
from ferrec.data import splits
from ferrec.data.interactions import Interactions
from ferrec.datasets import CompleteJourney, complete_journey
from ferrec.evaluation import compare
from ferrec.io.tables import PathLike
from ferrec.kernels.arguments import Progress
from ferrec.models import ItemKNN, Popularity
from ferrec.models.base import Recommender
from ferrec.two_stage.hybrid import Hybrid

__all__ = ["add"]

CUTOFF = "2017-11-01"
METRICS = ("precision@10", "recall@10", "hit_rate@10", "ndcg@10", "map@10", "coverage@10")
HOUSEHOLDS = 3
SHOWN = 5
REASONS = 3


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "demo",
        _run,
        "a year of grocery purchases, from events to explained recommendations",
        """
        ferrec demo
        ferrec demo --hybrid
        ferrec demo -o groceries.parquet --json
        """,
        extra='needs: pip install "ferrec[demo]", and for the hybrid "ferrec[demo,tensorflow]"',
    )
    parser.add_argument(
        "--hybrid", action="store_true", help="put a neural ranker behind the models, which takes longer"
    )
    parser.add_argument(
        "-o",
        "--output",
        default="recs.parquet",
        metavar="FILE",
        help="the Parquet file to write or replace (default %(default)s)",
    )
    common.add_output(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    return _demonstrate(args.output, common.sayer(args), common.wants_progress(args), hybrid=args.hybrid), ""


def _demonstrate(
    path: PathLike, say: Callable[[str], object], progress: Progress = False, *, hybrid: bool = False
) -> dict[str, Any]:
    """Learn from ten months of purchases, test on two, explain some recommendations and write all of them.

    Parameters
    ----------
    path : path
        The Parquet file for ten products for every household.
    say : callable
        Gets the text as it comes, in pieces of one or more lines.
    progress : bool or callable
        True draws bars (extra ``progress``).
    hybrid : bool
        Rank what the models propose by a neural network (extra ``tensorflow``).

    Returns
    -------
    dict
        What was said, in plain Python values that go into JSON.
    """
    began = time.perf_counter()
    journey = complete_journey()
    # What a household buys says more here than how often: every product counts once. This and the shrinkage
    # below were chosen with the test part in sight: one more reason to claim no accuracy from the table.
    data = journey.interactions(duplicates="max")
    if hybrid:
        columns = ["item_id", "category", "department", "brand"]
        data = data.with_items(journey.products.select(columns), extend=False)
    past, future = splits.by_time(data, cutoff=CUTOFF)
    say(
        f"The Complete Journey, groceries of 2017: {len(data):,} purchases, {data.n_users:,} households, "
        f"{data.n_items:,} products\n(simulated by 84.51° from real patterns: it shows how ferrec works, "
        f"not how accurate it is)\nLearning from the {len(past):,} purchases before {CUTOFF}, "
        f"testing on the {len(future):,} since"
    )

    # Shrinking distrusts similarities that rest on few households.
    models: dict[str, Recommender[Any]] = {
        "item-knn": ItemKNN(k=100, shrink=20.0),
        "popularity": Popularity(),
    }
    if hybrid:
        models = {"hybrid": Hybrid(retrievers=models, n_candidates=200), **models}
    chosen = next(iter(models))
    seconds = {}
    for name, model in models.items():
        start = time.perf_counter()
        model.fit(past, progress=progress)
        seconds[name] = time.perf_counter() - start
        say(f"Fitted {model!r} in {seconds[name]:.1f} s")

    comparison = compare(models, future, METRICS, progress=progress)
    first = comparison[chosen]
    say(
        f"\nHow many of ten new products did households go on to buy? "
        f"All {data.n_items:,} products ranked:\n\n"
        f"{_indented(repr(comparison))}\n\n"
        f"Not counted: {first.seen_pairs:,} pairs of household and product that it had bought before, and\n"
        f"{first.empty_users:,} households that bought nothing new."
    )

    catalog = _catalog(journey)
    items = data.items.values
    unnamed = items[~np.isin(items, journey.products["item_id"].to_numpy())]
    households = first.users[:HOUSEHOLDS].tolist()
    shown = _explained(models[chosen], future, catalog, unnamed, households)
    say("\n".join(map(_text, shown)))

    # Some bought products are not in the catalog: nothing that one could put before people.
    recs = models[chosen].recommend(n=10, exclude_items=unnamed, progress=progress)
    recs.to_parquet(path, user="household_id", item="product_id")
    without = int((np.diff(recs.indptr) == 0).sum())
    took = time.perf_counter() - began
    nothing = f" ({without} without purchases before {CUTOFF} get none)" if without else ""
    say(
        f"\nWrote {len(recs.codes):,} recommendations for {len(recs):,} households to {path}{nothing}\n"
        f"Done in {took:.1f} s"
    )
    return {
        "data": data.summary(),
        "cutoff": CUTOFF,
        "train_events": len(past),
        "test_events": len(future),
        "models": {
            name: {"fit_seconds": round(seconds[name], 3), **evaluation}
            for name, evaluation in comparison.to_dict().items()
        },
        "examples": shown,
        "path": str(Path(path)),
        "households": len(recs),
        "rows": len(recs.codes),
        "seconds": round(took, 3),
    }


def _catalog(journey: CompleteJourney) -> dict[int, dict[str, Any]]:
    """The products by their ids."""
    rows = journey.products.select(["item_id", "name", "category"]).to_pylist()
    return {row["item_id"]: row for row in rows}


def _explained(
    model: Recommender[Any],
    future: Interactions,
    catalog: dict[int, dict[str, Any]],
    unnamed: NDArray[Any],
    households: Sequence[Any],
) -> list[dict[str, Any]]:
    """The best products of some households, with names, reasons, and whether they were bought later."""

    def because(household: int, item: int) -> dict[str, Any]:
        why = model.explain(household, item)
        reasons = [
            {**catalog[reason], "share": round(float(part) / why.score, 4)}
            for reason, part in zip(why.items.tolist(), why.parts, strict=True)
            if part > 0 and reason in catalog
        ]
        # Several products may go by one name.
        distinct = list({_label(reason): reason for reason in reversed(reasons)}.values())[::-1]
        return {"because": distinct[:REASONS], "reasons": len(reasons)}

    examples = []
    for household, answers in model.recommend(households, SHOWN, exclude_items=unnamed):
        user = int(future.users.encode([household])[0])
        later = set(future.items.decode(future.matrix[[user]].indices).tolist())
        products = [
            {**catalog[item], "score": score, "bought_later": item in later, **because(household, item)}
            for item, score in answers
        ]
        examples.append({"household": household, "products": products})
    return examples


def _text(example: dict[str, Any]) -> str:
    lines = [f"\nHousehold {example['household']} might like"]
    for rank, product in enumerate(example["products"], 1):
        later = "   ← bought it later" if product["bought_later"] else ""
        lines.append(f"  {rank}. {_label(product)}{later}")
        named = ", ".join(map(_label, product["because"]))
        lines.append(
            f"     because you bought {named} and {product['reasons'] - len(product['because'])} more"
        )
    return "\n".join(lines)


def _label(product: dict[str, Any]) -> str:
    """The name; a name of one word, such as "Primal", with its category."""
    name, category = product["name"], product["category"]
    return name if " " in name.partition(" (")[0] or name.startswith(category) else f"{name} [{category}]"


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
