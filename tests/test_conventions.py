"""Public signatures and options against the table of names in docs/conventions.md."""

import argparse
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ferrec
from ferrec.cli.parser import make_parser

PAGE = Path(__file__).parents[1] / "docs" / "conventions.md"

FORBIDDEN = re.compile(
    r"N|num_.*|n_jobs|threads|num_threads|random_state|n_iter|n_epochs|iterations|factors|event|trials|.*_column"
    r"|table|input|output|sink|share|touched|newcomers|lesson|.*neighbour.*|.*centre.*|.*colour.*"
)
"""Names of parameters that have another name here."""

LIBRARIES = {
    "num_cpus": "Ray's own name",
    "num_leaves": "LightGBM's own name",
}
"""Forbidden names that are right where they are, and why."""

OWN = {
    "advice": "errors: what to do",
    "argument": "errors: the name of what is wrong",
    "a": "left factor of a product",
    "absent": "value of a pair without an event",
    "activity": "quantiles of events a user",
    "age": "column of the age of an example, the paper's word",
    "allow": "kernels: matrix of what may be recommended",
    "alpha": "exponent or weight that the paper of each measure or model calls alpha",
    "alpha0": "iALS: weight of pairs that are not in the data",
    "arrays": "stored arrays by name",
    "b": "right factor of a product; BM25's b",
    "baseline": "the model that others are compared with",
    "batch_norm": "Keras' word",
    "beta": "the paper's beta",
    "between": "callable between pieces of work",
    "bins": "number of bins, or their edges",
    "buckets": "hash buckets of a category",
    "build": "callable that makes what is checked",
    "callback": "gets (done, total); the hooks' form of progress",
    "center": "what deviations are taken from",
    "centered": "subtract column means",
    "cg_steps": "ALS: steps of conjugate gradients",
    "chosen": "the Filter of a hook",
    "codes": "positions of ids",
    "compression": "Parquet's codec",
    "context_smoothing": "exponent of context frequencies (Levy et al.)",
    "counts": "co-occurrence counts",
    "cutoff": "the first moment of the test part",
    "cross_layers": "DCN-v2's layers",
    "dedup": "which repeats to drop",
    "delta": "BM25+'s delta",
    "dropout": "share of outputs left out in training",
    "dtype": "NumPy's word",
    "eigenvalue_weight": "exponent of singular values (Levy et al.)",
    "embedded_ids": "whose ids the network embeds",
    "embedding_size": "dimensions of the network's embeddings",
    "encoder": "texts to vectors",
    "entries": "a saved report",
    "estimator": "any estimator, to clone",
    "event_mask": "which events to keep",
    "pair_mask": "which pairs to keep",
    "events": "the log itself, as Events",
    "examples": "recommendations to show on a page",
    "exclude": "kernels: matrix of what may not be recommended",
    "extend": "whether new items become items",
    "fields": "of a stored state",
    "function": "the formula of a metric",
    "groups": "how users or items are grouped",
    "handle": "what a compiled kernel made",
    "hidden": "sizes of hidden layers",
    "ids": "the ids of queries",
    "item_ids": "ids of the columns of a matrix",
    "item_table": "attributes of items",
    "k1": "BM25's k1",
    "k_core": "least numbers of a core",
    "k_items": "least users of an item in a core",
    "k_users": "least items of a user in a core",
    "l1": "SLIM's penalty",
    "l2": "SLIM's and the blend's penalty",
    "last": "how many latest items count",
    "learning_rate": "Keras' and LightGBM's word",
    "level": "of confidence",
    "lists": "one list of item codes for each row",
    "log": "logarithm of the values",
    "lower_is_better": "direction of a metric",
    "make": "callable that makes a model",
    "mask": "which rows to keep",
    "matrix": "interactions as a matrix",
    "max_pairs": "training pairs at most",
    "min_child_samples": "LightGBM's own name",
    "min_count": "pairs of a value that has an embedding of its own",
    "min_similarity": "least similarity of a neighbor",
    "missing": "what to do with nulls, by column",
    "n_estimators": "LightGBM's own name",
    "name": "of one thing, in messages or as a column",
    "names": "of columns",
    "negatives": "negatives beside each positive",
    "nnz": "SciPy's word",
    "normalize": "how columns are scaled",
    "num_cpus": "Ray's own name",
    "nu": "iALS: exponent of the regularization's frequency",
    "num_leaves": "LightGBM's own name",
    "offsets": "where each row of flat arrays begins",
    "other": "the second of two",
    "pairs": "pairs to score, as a matrix",
    "parts": "of a compressed matrix",
    "positive": "SLIM: weights of at least 0",
    "predicted": "ratings that a model predicts",
    "probabilities": "scores in [0, 1]",
    "rank_constant": "the k of reciprocal rank fusion",
    "ranker": "the second stage",
    "recommended": "lists as a matrix",
    "reference": "the matrix that weights are taken from",
    "results": "evaluations to show",
    "resume": "go on where a job stopped",
    "retrieval": "the first stage",
    "retrievers": "models of the first stage",
    "row": "position of one row",
    "rows": "which rows",
    "sample_weight": "scikit-learn's word",
    "scalars": "of a stored state",
    "scale": "how a number is scaled",
    "scores": "one for each pair",
    "sequence": "the order of a query's events",
    "shape": "NumPy's word",
    "shift": "of PPMI: negative samples for each pair",
    "shrink": "added to a measure's denominator",
    "similarity": "items × items",
    "size": "users and items of the checkerboard",
    "smoothing": "share of the other distribution in calibration",
    "space": "what to tune",
    "state": "what fit made",
    "strength": "of re-ranking, from 0 to 1",
    "subspace_size": "iALS++: factors in a block",
    "text": "columns of text",
    "track_loss": "whether als keeps the loss of each pass",
    "trial": "Optuna's trial",
    "truth": "what came true, or was rated",
    "user_columns": "weights of users' columns",
    "user_ids": "ids of the rows of a matrix",
    "user_table": "attributes of users",
    "validation": "pairs that say when to stop",
    "values": "a column, or choices",
    "vectors": "of the items",
    "weight_by": "column that multiplies weights",
    "weights": "weights of columns in a blend",
    "workers": "processes of a cluster",
    "with_ratings": "whether synthetic data have ratings",
}
"""Parameters that belong to one model or function, or to the hooks, and what they are."""

MEANINGS = {
    "categories": "names of columns; in calibrate the column itself",
    "columns": "names of columns, or what is said of each by name",
    "features": "a FeatureSet, or the features of one",
    "history": "a column in a batch, else the histories themselves; the handle in a hook",
    "item": "a column, or one id; its code in a hook",
    "items": "Ids; ids of events; in kernels arrays",
    "max_gap": "a duration; in kernels in the unit of `times`",
    "model": "a recommender; in a batch its folder too",
    "n_candidates": "one number, or one for each retriever",
    "queries": "Queries; in kernels their rows",
    "users": "Ids; ids of events; in kernels arrays",
    "validation": "labeled pairs, or the parts of them",
}
"""Names with two types among public signatures, and what both have in common."""


def table_names() -> set[str]:
    """The names of the table of parameters."""
    rows = PAGE.read_text(encoding="utf-8").split("## Parameters")[1].split("## Other options")[0]
    cells = [line.split("|")[1] for line in rows.splitlines() if line.startswith("| `")]
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


def shown_options() -> set[str]:
    """The options in the last column of the table of parameters, and in the table of other options."""
    text = PAGE.read_text(encoding="utf-8").split("## Parameters")[1].split("## Words")[0]
    above, below = text.split("## Other options")
    cells = [line.split("|")[-2] for line in above.splitlines() if line.startswith("| `")]
    cells += [line.split("|")[1] for line in below.splitlines() if line.startswith("| `")]
    return set(re.findall(r"`(--?[a-z][a-z-]*)", " ".join(cells)))


def packages() -> Iterator[Any]:
    """`ferrec`, its modules and its packages, without the command line."""
    yield ferrec
    yield from filter(inspect.ismodule, (getattr(ferrec, name) for name in ferrec.__all__))
    yield from (importlib.import_module(f"ferrec.distributed.{name}") for name in ("ray", "spark"))
    for found in pkgutil.iter_modules(ferrec.__path__, "ferrec."):
        if found.ispkg and found.name != "ferrec.cli":
            yield importlib.import_module(found.name)


def callables() -> Iterator[tuple[str, Any, str]]:
    """Every public function, constructor and method: where it is, the function or its class, the method's name."""
    seen = set()
    for package in packages():
        for name in getattr(package, "__all__", []):
            value = getattr(package, name)
            if id(value) in seen or inspect.ismodule(value) or not callable(value):
                continue
            seen.add(id(value))
            if not inspect.isclass(value):
                yield name, value, ""
                continue
            if not dataclasses.is_dataclass(value) and not issubclass(value, Exception):
                yield name, value, ""
            for method, member in vars(value).items():
                function = getattr(member, "__func__", member)
                if not method.startswith("_") and inspect.isfunction(function):
                    yield f"{name}.{method}", value, method


def signatures() -> Iterator[tuple[str, inspect.Signature]]:
    """Every public function, constructor and method."""
    for where, value, method in callables():
        member = vars(value)[method] if method else value
        yield from signature(where, getattr(member, "__func__", member))


def signature(name: str, value: Callable[..., Any]) -> Iterator[tuple[str, inspect.Signature]]:
    """The signature, of what has one."""
    try:
        yield name, inspect.signature(value)
    except (TypeError, ValueError):
        return


def parameters() -> Iterator[tuple[str, inspect.Parameter]]:
    """Where a parameter is, and the parameter."""
    for where, found in signatures():
        for name, parameter in found.parameters.items():
            variadic = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if name not in ("self", "cls") and not variadic:
                yield where, parameter


def kind(annotation: Any) -> str:
    """What an annotation allows besides None, roughly: the words that may not meet under one name."""
    text = annotation if isinstance(annotation, str) else str(annotation)
    if annotation is object or text in ("Any", "typing.Any") or "TypeVar" in text or "~" in text:
        return "anything"
    if "timedelta" in text:
        return "duration"
    for word, pattern in (
        ("callable", r"Callable"),
        ("path", r"PathLike"),
        ("mapping", r"Mapping|dict\["),
        ("array", r"ndarray|ArrayLike|csr_array|_Csr\b|_rust\.Csr|Matrix|_Buffer"),
        ("sequence", r"Sequence|tuple\[|list\["),
        ("text", r"\bstr\b|Literal"),
        ("flag", r"\bbool\b"),
        ("number", r"\bint\b|\bfloat\b"),
    ):
        if re.search(pattern, text):
            return word
    return "object"


def options() -> Iterator[tuple[str, argparse.Action]]:
    """Every option of every command."""
    parser = make_parser()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command, chosen in action.choices.items():
                for option in chosen._actions:
                    yield command, option
        else:
            yield "ferrec", action


def test_every_parameter_is_in_the_table() -> None:
    known = table_names() | set(OWN)
    strange = sorted({f"{where}({p.name})" for where, p in parameters() if p.name not in known})
    assert not strange, f"not in docs/conventions.md, nor with a reason in OWN: {strange}"


def test_the_lists_of_reasons_name_what_there_is() -> None:
    used = {parameter.name for _, parameter in parameters()}
    assert sorted(set(OWN) - used) == []
    assert sorted(set(OWN) & table_names()) == []


def test_no_other_word_for_the_same() -> None:
    wrong = sorted(
        f"{where}({p.name})"
        for where, p in parameters()
        if FORBIDDEN.fullmatch(p.name) and p.name not in LIBRARIES
    )
    assert not wrong, f"another name is used for this: {wrong}"


def test_k_is_no_number_of_factors() -> None:
    factors = {"ALS", "BiasedMF", "PureSVD", "ItemEmbeddings", "als", "truncated_svd"}
    assert not [where for where, p in parameters() if where in factors and p.name == "k"]


def test_one_name_has_one_type() -> None:
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    for where, p in parameters():
        found = kind(p.annotation)
        if found != "anything" and p.annotation is not p.empty:
            kinds[p.name].setdefault(found, where)
    several = {name: where for name, where in kinds.items() if len(where) > 1 and name not in MEANINGS}
    assert not several, f"one name, several types: {several}"
    needless = [name for name in MEANINGS if len(kinds[name]) == 1]
    assert not needless, f"one type now: {needless}"


def test_labels_are_targets() -> None:
    allowed = {"Ranker.fit", "Calibration.of", "probability_metrics", "LabeledPairs"}
    assert {where for where, p in parameters() if re.search("label", p.name)} <= allowed
    named = [where for where, _ in signatures() if re.search(r"\blabels?\b", where)]
    assert not named


def test_every_option_is_on_the_page() -> None:
    there = {text for _, option in options() for text in option.option_strings}
    assert sorted(there - shown_options()) == [], "not in docs/conventions.md"
    assert sorted(shown_options() - there) == [], "docs/conventions.md shows options that there are not"


def test_a_row_with_an_option_is_of_a_parameter() -> None:
    names = {parameter.name for _, parameter in parameters()}
    rows = (
        PAGE.read_text(encoding="utf-8").split("## Parameters")[1].split("## Other options")[0].splitlines()
    )
    with_option = [row.split("|") for row in rows if row.startswith("| `") and "`-" in row.split("|")[-2]]
    assert len(with_option) > 20
    assert [row[1] for row in with_option if not set(re.findall(r"`(\w+)`", row[1])) & names] == []


def test_an_option_has_no_other_word_than_its_parameter() -> None:
    allowed = {"threads", "trials", "output"}  # without `n_`; `path`, which -o names as other programs do
    for command, option in options():
        for text in option.option_strings:
            name = text.lstrip("-").replace("-", "_")
            assert name in allowed or not FORBIDDEN.fullmatch(name), f"{command} {text}"
            assert not text.startswith("--n-"), f"{command} {text}: without n-"
