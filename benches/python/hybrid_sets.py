"""Real data for the hybrid's table: what is learned, what the parameters are chosen by, what is reported on."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

import ferrec
from ferrec import split
from ferrec.datasets import complete_journey

Split: TypeAlias = Callable[[ferrec.Interactions, int], tuple[ferrec.Interactions, ferrec.Interactions]]
"""Of data and a seed: what comes before, and what comes after."""

SHARE = 0.2
"""Of the events: so many are held out for the test, and of the others for validation."""


@dataclass(frozen=True)
class Holdout:
    """Three parts of one set of data."""

    learn: ferrec.Interactions  # what is known while tuning, and what the ranker's columns know
    tune: ferrec.Interactions  # what parameters are chosen by, and the ranker's labels come from
    learned: ferrec.Interactions  # both
    report: ferrec.Interactions  # looked at once


def at_random(data: ferrec.Interactions, seed: int) -> tuple[ferrec.Interactions, ferrec.Interactions]:
    return split.random(data, SHARE, seed=seed)


def by_time(data: ferrec.Interactions, seed: int) -> tuple[ferrec.Interactions, ferrec.Interactions]:
    return split.by_time(data, fraction=SHARE)


def last_five(data: ferrec.Interactions, seed: int) -> tuple[ferrec.Interactions, ferrec.Interactions]:
    return split.leave_last_out(data, 5)


def movielens(folder: Path) -> ferrec.Interactions:
    """Who rated what with 4 stars or more, and the genres."""
    data = ferrec.Interactions.from_csv(
        folder / "interactions.csv.gz", user="user", item="item", rating="rating", time="timestamp"
    )
    some = data.events
    assert some.weights is not None and some.times is not None
    liked = some.weights >= 4.0
    users, items = data.users.decode(some.users[liked]), data.items.decode(some.items[liked])
    return ferrec.Interactions.from_arrays(
        users, items, times=some.times[liked].view("datetime64[ns]")
    ).with_items(
        folder / "items.csv", item="item", columns=["genres"], separators={"genres": "|"}, extend=False
    )


def events(folder: Path) -> ferrec.Interactions:
    """Who had to do with what, once or often."""
    name = "interactions.csv.gz" if (folder / "interactions.csv.gz").exists() else "train.csv.gz"
    return ferrec.Interactions.from_csv(folder / name, user="user", item="item", duplicates="max")


def groceries(folder: Path) -> ferrec.Interactions:
    """Who bought what, once or often, with category, department and brand; the folder is not needed."""
    journey = complete_journey()
    products = journey.products.select(["item_id", "category", "department", "brand"])
    return journey.interactions(duplicates="max").with_items(products, extend=False)


SETS: dict[str, tuple[Callable[[Path], ferrec.Interactions], Split, str]] = {
    "ml-latest-small": (movielens, last_five, "the last 5 of each user"),
    "gowalla": (events, at_random, "a random fifth"),
    "lastfm-hetrec": (events, at_random, "a random fifth"),
    "grocery": (groceries, by_time, "the latest fifth"),
    "steam-200k": (events, at_random, "a random fifth"),
}


def holdout(name: str, folder: Path, seed: int) -> Holdout:
    """The parts of a set of data."""
    read, cut, _ = SETS[name]
    learned, report = cut(read(folder), seed + 1)
    learn, tune = cut(learned, seed)
    return Holdout(learn, tune, learned, known(learned, report))


def known(past: ferrec.Interactions, future: ferrec.Interactions) -> ferrec.Interactions:
    """The future without users who begin in it: nothing is known of them, and most retrievers answer nothing."""
    begun = np.bincount(past.events.users, minlength=past.n_users) > 0
    return future.select(begun[future.events.users])
