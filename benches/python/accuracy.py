"""How good the models are on real data, beside other libraries' models; writes the tables of docs/accuracy.md.

    python benches/python/accuracy.py                                  # everything, then the page
    python benches/python/accuracy.py --sets gowalla --models ALS,SLIM
    python benches/python/accuracy.py --ml100k DIR                     # with the ratings of MovieLens-100K

Every model is fitted with each point of its grid on a part of what may be learned and judged by Recall@20 on the
rest of it; the best point is fitted once more on all of it and judged on the part that is reported. What has been
measured is kept in benches/record/accuracy, a file for each set of data: a stopped run goes on where it was; one
with nothing left to do only writes the page. To measure a model anew take it out of these files. Peers that are not
installed are left out.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from accuracy_page import write_page
from contestants import CONTESTANTS, PATIENCE, Contestant, Json
from holdouts import RATINGS, SETS, Holdout, ratings
from machine import DATA, REPOSITORY
from records import write
from threadpoolctl import threadpool_limits

import ferrec
from ferrec.evaluation import evaluate_ratings
from ferrec.kernels import ranking_metrics

ML100K = Path(os.environ.get("FERREC_ML100K", DATA / RATINGS))
CUTS = (10, 20)
TUNED_BY = "recall@20"
FOLDS = 5
GIB = 1 << 30


# --- What is kept ---------------------------------------------------------------------------------------------


class Record:
    """One set of data: for each model its version, its trials, and its report."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.models: Json = {}
        if path.exists():
            kept = json.loads(path.read_text())
            if kept["seed"] != seed:
                made = f"{path} was made with --seed {kept['seed']}, not {seed}"
                raise SystemExit(f"{made}: name another --record")
            self.models = kept["models"]
        self.seed = seed

    def of(self, model: str, version: str) -> Json:
        """What is known of a model; nothing where it is of another version."""
        if self.models.get(model, {}).get("version") != version:
            self.models[model] = {"version": version, "trials": []}
        return dict(self.models[model])

    def keep(self, model: str, known: Json) -> None:
        self.models[model] = known
        write(self.path, {"seed": self.seed, "models": self.models})


# --- Measuring ------------------------------------------------------------------------------------------------


def measure(one: Contestant, x: sp.csr_array, truth: sp.csr_array, params: Json, threads: int) -> Json:
    """The metrics, as LightGCN and BARS have them: every item that the user has not is ranked."""
    users = np.flatnonzero(np.diff(truth.indptr))
    start = time.perf_counter()
    with threadpool_limits(threads, "blas"):
        lists = one.recommend(x, params, users, threads)
    seconds = time.perf_counter() - start
    if (lists.astype(bool).multiply(x[users].astype(bool))).nnz:
        raise AssertionError(f"{params}: what the user has was recommended")
    values = ranking_metrics(lists, truth[users], CUTS, n_threads=threads)
    names = [f"{metric}@{k}" for metric in ("recall", "ndcg") for k in CUTS]
    found = {name: float(values[name].mean()) for name in names}
    error = float(values[TUNED_BY].std() / np.sqrt(len(users)))
    return {**found, "error": error, "users": len(users), "seconds": round(seconds, 1)}


def run(name: str, one: Contestant, held: Holdout, record: Record, threads: int) -> None:
    """Tune and report one model, but for what is recorded."""
    known = record.of(name, importlib.metadata.version(one.package))
    points = one.points(held.learn.shape[1])
    for params in points:
        if not any(trial["params"] == params for trial in known["trials"]):
            found = measure(one, held.learn, held.tune, params, threads)
            known["trials"].append({"params": params, **found})
            say(record, name, params, found)
            record.keep(name, known)
    trials = [trial for trial in known["trials"] if trial["params"] in points]
    best = max(trials, key=lambda trial: float(trial[TUNED_BY]))["params"]
    if known.get("report", {}).get("params") != best:
        found = measure(one, held.learned, held.report, best, threads)
        known |= {"report": {"params": best, **found}}
        say(record, f"{name}, reported", best, found)
        record.keep(name, known)


def run_ratings(folder: Path, record: Record, threads: int) -> None:
    """RMSE and MAE over the folds, of models as they come, but for what is recorded."""
    data = ratings(folder)
    for kind in (ferrec.Bias, ferrec.ItemKNNRegressor, ferrec.UserKNNRegressor, ferrec.BiasedMF):
        known = record.of(kind.__name__, ferrec.__version__)
        params = {key: v for key, v in kind().get_params().items() if key != "n_threads" and v is not None}
        if known.get("report", {}).get("params") == params:
            continue
        folds = [
            evaluate_ratings(kind(n_threads=threads).fit(train), test)
            for train, test in ferrec.split.k_fold(data, FOLDS, seed=record.seed)
        ]
        found = {metric: float(np.mean([fold[metric] for fold in folds])) for metric in ("rmse", "mae")}
        known |= {"report": {"params": params, **found}}
        say(record, kind.__name__, params, found)
        record.keep(kind.__name__, known)


def say(record: Record, name: str, params: Json, found: Json) -> None:
    figures = ", ".join(f"{metric} {value:.4g}" for metric, value in found.items())
    print(f"{record.path.stem}: {name} {params}: {figures}", flush=True)


def missing(one: Contestant, held: Holdout, limit: float) -> str | None:
    """Why a model cannot be measured."""
    if importlib.util.find_spec(one.package) is None:
        return f"{one.package} is not installed"
    n_items = held.learn.shape[1]
    if one.most is not None and n_items > one.most:
        return f"with more than {one.most:,} items one point takes longer than {PATIENCE} minutes"
    needed = one.bytes_per_pair * n_items**2 / GIB
    return f"it needs {needed:.0f} GiB, --memory is {limit:g}" if needed > limit else None


# --- The command ------------------------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    models = chosen(options.models, list(CONTESTANTS), "--models")
    for name in chosen(options.sets, [*SETS, RATINGS], "--sets"):
        folder, option = (options.ml100k, "--ml100k") if name == RATINGS else (options.data / name, "--data")
        if not folder.is_dir():
            print(f"{name} is absent: no folder {folder}; see {option}", file=sys.stderr)
            continue
        record = Record(options.record / f"{name}.json", options.seed)
        if name == RATINGS:
            run_ratings(folder, record, options.threads)
            continue
        held = SETS[name](folder, options.seed)
        for model in models:
            reason = missing(CONTESTANTS[model], held, options.memory)
            if reason:
                print(f"{name}: {model} is left out: {reason}", file=sys.stderr)
            else:
                run(model, CONTESTANTS[model], held, record, options.threads)
    write_page(options.page, options.record)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    about = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=about)
    option, default = parser.add_argument, " (default: %(default)s)"
    option("--data", type=Path, default=DATA, help=f"folder of the sets of data{default}")
    option("--ml100k", type=Path, default=ML100K, help=f"folder of MovieLens-100K{default}")
    option("--sets", help=f"of {','.join(SETS)},{RATINGS}")
    option("--models", help=f"of {','.join(CONTESTANTS)}")
    option("--seed", type=int, default=0, help=f"of the random parts{default}")
    option("--threads", type=int, default=2, help=default)
    option("--memory", type=float, default=9.0, help=f"GiB that a model may take{default}")
    option("--record", type=Path, default=REPOSITORY / "benches" / "record" / "accuracy", help=default)
    option("--page", type=Path, default=REPOSITORY / "docs" / "accuracy.md", help=default)
    return parser.parse_args(arguments)


def chosen(names: str | None, declared: list[str], option: str) -> list[str]:
    """Those that were asked for, or all, in the order in which they are declared."""
    wanted = declared if names is None else names.split(",")
    for name in wanted:
        if name not in declared:
            raise SystemExit(f"{option}: {name!r} is unknown; there are {', '.join(declared)}")
    return [name for name in declared if name in wanted]


if __name__ == "__main__":
    main()
