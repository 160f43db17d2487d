"""How well new items are recommended by their attributes: items without any event, beside popularity and chance.

    python benches/python/cold_start.py                     # data from $FERREC_DATA or ../shared/data
    python benches/python/cold_start.py --data citeulike-a --part vali

Every data set is a list of events and a table of items. On citeulike-a the items of the test part are those that
its cold-start split keeps out of the training part (`--part vali` for those kept to choose parameters on); on the
others they are a fifth of the items, drawn with seed 0, with all their events. Shown twice: among all items that
the user has not had, and among the new items alone. Tags are taken as they are, also where a user of the test
part gave them.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from machine import DATA

import ferrec
from ferrec.kernels import ranking_metrics

METRICS = ("recall@20", "ndcg@20")


@dataclass(frozen=True)
class Case:
    """What is learned from, what is asked, and the models."""

    train: ferrec.Interactions
    test: ferrec.Interactions
    content: dict[str, ferrec.ContentKNN]


def citeulike(folder: Path, part: str) -> Case:
    names = {"user": "user", "item": "item"}
    train, test = (
        ferrec.Interactions.from_csv(folder / "splits" / f"coldstart.{name}.csv.gz", **names)
        for name in ("train", part)
    )
    tags = {"id": "item", "split": {"tags": " "}}
    return Case(
        train.with_items(folder / "items.csv", **tags), test, {"ContentKNN, tags": ferrec.ContentKNN()}
    )


def movielens(folder: Path, part: str) -> Case:
    import pandas as pd

    items = pd.read_csv(folder / "items.csv")
    tags = pd.read_csv(folder / "tags.csv").groupby("item")["tag"].agg(lambda tag: [t.lower() for t in tag])
    items["tags"] = items["item"].map(tags)
    data = ferrec.Interactions.from_csv(folder / "interactions.csv.gz", user="user", item="item")
    data = data.with_items(items.where(items.notna(), None), item="item", separators={"genres": "|"})
    text = ["title"]
    return cold_fifth(
        data,
        {
            "ContentKNN, genres": ferrec.ContentKNN(columns={"genres": 1.0}),
            "ContentKNN, genres, tags": ferrec.ContentKNN(columns={"genres": 1.0, "tags": 1.0}),
            "ContentKNN, genres, tags, title": ferrec.ContentKNN(text=text),
        },
    )


def steam(folder: Path, part: str) -> Case:
    data = ferrec.Interactions.from_csv(folder / "interactions.csv.gz", user="user", item="item")
    return cold_fifth(
        data.with_items(folder / "items.csv", item="item"),
        {"ContentKNN, title": ferrec.ContentKNN(text=["title"])},
    )


def cold_fifth(data: ferrec.Interactions, content: dict[str, ferrec.ContentKNN]) -> Case:
    new = np.random.default_rng(0).permutation(data.n_items) < data.n_items // 5
    mask = new[data.events.items]
    return Case(data.select(~mask), data.select(mask), content)


CASES: dict[str, Callable[[Path, str], Case]] = {
    "citeulike-a": citeulike,
    "ml-latest-small": movielens,
    "steam-200k": steam,
}


def measure(model: Any, case: Case) -> list[float]:
    """The metrics among all items, and among the new ones."""
    everything = ferrec.evaluate(model.fit(case.train), case.test, METRICS)
    asked = np.intersect1d(case.test.users.values[np.diff(case.test.matrix.indptr) > 0], model.users.values)
    entries = case.test.matrix.tocoo()
    new = case.test.items.decode(np.unique(entries.col))
    recs = model.recommend(asked, 20, allow_items=new)
    rows = case.test.users.encode(asked)
    columns = model.items.encode(case.test.items.values, name="items", unknown="ignore")
    truth = case.test.matrix[rows].tocoo()
    here = sp.coo_array((truth.data, (truth.row, columns[truth.col])), shape=(len(asked), len(model.items)))
    among = ranking_metrics(recs.to_csr(), here.tocsr(), [20])
    return [everything[name] for name in METRICS] + [float(among[name].mean()) for name in METRICS]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=",".join(CASES), help="comma-separated; of " + ", ".join(CASES))
    parser.add_argument("--part", default="test", choices=("test", "vali"), help="of citeulike-a")
    args = parser.parse_args()
    heads = [f"{where} {metric}" for where in ("all:", "new:") for metric in METRICS]
    for name in args.data.split(","):
        if not (DATA / name).is_dir():
            print(f"{name}: no folder {DATA / name}; skipped", file=sys.stderr)
            continue
        case = CASES[name](DATA / name, args.part)
        print(f"\n{name}: {case.train!r}\n\n| model | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
        models = {**case.content, "Popularity": ferrec.Popularity(), "Random": ferrec.Random()}
        for label, model in models.items():
            print(f"| {label} | {' | '.join(f'{value:.4f}' for value in measure(model, case))} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
