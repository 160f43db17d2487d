"""The command line: its output, its exit code, what it writes; as a process where that is the point."""

import contextlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple, cast
from unittest import mock

import numpy as np
import pytest
from scripts import HANGS

import ferrec
from ferrec import split
from ferrec.cli import main as cli
from ferrec.cli.models import kebab
from ferrec.cli.recommend import size_in_bytes
from ferrec.evaluation import evaluate, evaluate_ratings
from ferrec.models import MODELS

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COMMAND = [sys.executable, "-m", "ferrec.cli"]
TABLE = {"user": "who", "item": "what", "rating": "stars", "time": "ts"}
COLUMNS = [word for name, column in TABLE.items() for word in (f"--{name}", column)]


class Done(NamedTuple):
    """What came of a command."""

    returncode: int
    stdout: str
    stderr: str


def ferrec_cli(*words: object, cwd: Path, stdin: str = "", process: bool = False) -> Done:
    """Run a command in a folder: in a process of its own, or, which is quicker, by a call in this one."""
    argv = list(map(str, words))
    if process:
        done = subprocess.run(
            [*COMMAND, *argv], cwd=cwd, input=stdin, capture_output=True, text=True, timeout=HANGS
        )
        return Done(done.returncode, done.stdout, done.stderr)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("default")  # as in a process of its own
        stack.enter_context(contextlib.chdir(cwd))
        stack.enter_context(contextlib.redirect_stdout(out))
        stack.enter_context(contextlib.redirect_stderr(err))
        stack.enter_context(mock.patch.dict(os.environ))
        stack.enter_context(mock.patch("sys.stdin", io.StringIO(stdin)))
        code = cli.main(argv)
    return Done(code, out.getvalue(), err.getvalue())


def answer(*words: object, cwd: Path, stdin: str = "", process: bool = False) -> dict[str, Any]:
    """The last JSON object of a command that succeeds without a word; only `recommend` has others before it."""
    done = ferrec_cli(*words, "--json", cwd=cwd, stdin=stdin, process=process)
    assert (done.returncode, done.stderr) == (0, ""), done
    *events, result = map(json.loads, done.stdout.splitlines())
    assert result["command"] == words[0] and (not events or words[0] == "recommend")
    return cast("dict[str, Any]", result)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with events of 300 users (integers) and 80 items (strings), and a model fitted on them."""
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    n = 6000
    table = pyarrow.table(
        {
            "who": pyarrow.array(rng.integers(1000, 1300, n), pyarrow.int32()),
            "what": [f"item {i}" for i in rng.integers(0, 80, n)],
            "stars": rng.integers(1, 6, n).astype(np.float64),
            "ts": rng.integers(0, 10**6, n),
        }
    )
    parquet.write_table(table.slice(0, 5000), folder / "train.parquet")
    parquet.write_table(table.slice(5000), folder / "test.parquet")
    rows = [f"item {i},kind {i % 7},{i % 3}|x" for i in range(82)]
    (folder / "items.csv").write_text("\n".join(["what,kind,tags", *rows, ""]))
    words = ["--model", "item-knn", "--param", "k=20", "train.parquet", *COLUMNS, "-o", "model"]
    done = ferrec_cli("fit", *words, cwd=folder, process=True)
    assert done.returncode == 0 and "ItemKNN(k=20) fitted and saved to model" in done.stdout, done
    return folder


@pytest.fixture(scope="module")
def model(home: Path) -> ferrec.Recommender[Any]:
    return ferrec.ItemKNN(k=20).fit(ferrec.Interactions.from_parquet(home / "train.parquet", **TABLE))


def test_fit_says_what_it_did(home: Path, tmp_path: Path) -> None:
    words = ["--param", "k=7", "--param", "measure=jaccard", "--param", "weighting=none", "--threads", 1]
    result = answer(
        "fit", "--model", "item-knn", home / "train.parquet", *words, *COLUMNS, "-o", "m", cwd=tmp_path
    )
    assert result["params"]["k"] == 7 and result["params"]["measure"] == "jaccard"
    assert result["params"]["weighting"] is None and result["params"]["n_threads"] == 1
    assert (result["model"], result["users"], result["items"], result["events"]) == ("ItemKNN", 300, 80, 5000)
    assert set(result["seconds"]) == {"read", "fit", "save"}
    assert repr(ferrec.load(tmp_path / "m")) == "ItemKNN(k=7, measure='jaccard', n_threads=1)"


@pytest.mark.parametrize("name", MODELS)
def test_every_model_from_fit_to_recommend(name: str, home: Path, tmp_path: Path) -> None:
    spelling = kebab(name)
    assert spelling == spelling.lower() and "-" not in (spelling[0], spelling[-1])
    for spelled in (spelling, name):
        argv = ["fit", "--model", spelled, str(home / "train.parquet"), *COLUMNS, "-o", str(tmp_path / "m")]
        argv += ["--item-table", str(home / "items.csv")] if name == "ContentKNN" else []
        assert cli.main(argv) == 0
    assert cli.main(["recommend", str(tmp_path / "m"), "-n", "3", "-o", str(tmp_path / "r.parquet")]) == 0
    expected = ferrec.load(tmp_path / "m").recommend(n=3).to_arrow()
    assert parquet.read_table(tmp_path / "r.parquet").equals(expected)


def test_tables_of_attributes(home: Path, tmp_path: Path) -> None:
    (tmp_path / "people.tsv").write_text("who\ttown\n1000\tUlm\n7\tUlm\n")
    words = ["--item-table", home / "items.csv", "--separator", "tags=|", "--user-table", "people.tsv"]
    words += ["--param", "columns={'kind': 2, 'tags': 1}", "--param", "k=9"]
    result = answer(
        "fit", "--model", "content-knn", home / "train.parquet", *words, *COLUMNS, "-o", "m", cwd=tmp_path
    )
    assert (result["users"], result["items"]) == (301, 82)
    assert result["params"]["columns"] == {"kind": 2, "tags": 1}
    data = ferrec.Interactions.from_parquet(home / "train.parquet", **TABLE)
    data = data.with_items(home / "items.csv", item="what", separators={"tags": "|"})
    expected = ferrec.ContentKNN(columns={"kind": 2, "tags": 1}, k=9).fit(data)
    loaded = ferrec.load(tmp_path / "m")
    assert loaded.similar_items("item 81")["item 81"] == expected.similar_items("item 81")["item 81"]
    assert loaded.recommend([7])[7], "who is alike has a history"


def test_csv_and_event_types(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user_id,item_id,type\n1,a,view\n1,b,buy\n2,a,buy\n2,b,view\n")
    words = ["--event-type", "type", "--event-weight", "view=1", "--event-weight", "buy=5"]
    result = answer("fit", "--model", "popularity", "log.csv", *words, "-o", "m", cwd=tmp_path)
    assert (result["users"], result["items"], result["pairs"]) == (2, 2, 4)
    (tmp_path / "log.tsv").write_text((tmp_path / "log.csv").read_text().replace(",", "\t"))
    again = answer("fit", "--model", "popularity", "log.tsv", *words, "-o", "m", cwd=tmp_path)
    assert again["pairs"] == 4


@pytest.mark.parametrize("block", [1, 7, 300, 10_000])
def test_recommend_equals_the_api(
    block: int, home: Path, model: ferrec.Recommender[Any], tmp_path: Path
) -> None:
    """From another folder, in blocks of any size."""
    words = ["recommend", home / "model", "-n", 4, "-o", "r.parquet", "--block-size", block]
    result = answer(*words, cwd=tmp_path, process=block == 7)
    table = parquet.read_table(tmp_path / "r.parquet")
    assert table.equals(model.recommend(n=4).to_arrow())
    assert result["users"] == 300 and result["rows"] == table.num_rows and result["path"] == "r.parquet"
    assert [file.name for file in tmp_path.iterdir()] == ["r.parquet"]


def test_recommend_for_some(home: Path, model: ferrec.Recommender[Any], tmp_path: Path) -> None:
    some, gone = [1200, 1003, 1100], ["item 5", "item 7"]
    expected = model.recommend(some, 5, exclude_items=gone, exclude_seen=False)
    (tmp_path / "gone.txt").write_text("item 5\nitem 7\n\n", encoding="utf-8-sig")
    parquet.write_table(pyarrow.table({"who": some}), tmp_path / "users.parquet")
    words = [
        "-n",
        5,
        "--exclude-items",
        "gone.txt",
        "--include-seen",
        "--user",
        "who",
        "-o",
        "r.parquet",
    ]
    for users in ("-", "users.parquet"):
        stdin = "".join(f"{user}\n" for user in some)
        result = answer(
            "recommend",
            home / "model",
            "--users",
            users,
            *words,
            "-o",
            "r.parquet",
            cwd=tmp_path,
            stdin=stdin,
            process=users == "-",
        )
        assert parquet.read_table(tmp_path / "r.parquet").equals(expected.to_arrow("who"))
        assert result["users"] == 3
    done = ferrec_cli("recommend", home / "model", "-o", "all.parquet", cwd=tmp_path)
    assert done.returncode == 0 and "recommendations for 300 users written to all.parquet" in done.stdout


def test_similar(home: Path, model: ferrec.Recommender[Any], tmp_path: Path) -> None:
    result = answer("similar", home / "model", "--items", "item 3", "item 4", "-n", 2, cwd=tmp_path)
    expected = model.similar_items(["item 3", "item 4"], 2)
    found = {
        row["item"]: [(one["item"], one["score"]) for one in row["similar"]] for row in result["results"]
    }
    assert found == dict(expected)
    done = ferrec_cli("similar", home / "model", "--items", "item 3", "-n", 2, cwd=tmp_path, process=True)
    assert done.stdout.splitlines()[0] == "similar to item item 3:" and len(done.stdout.splitlines()) == 3


def test_similar_users_by_number(home: Path, tmp_path: Path) -> None:
    answer("fit", "--model", "user-knn", home / "train.parquet", *COLUMNS, "-o", "m", cwd=tmp_path)
    result = answer("similar", "m", "--users", "1003", "-n", 2, cwd=tmp_path)
    assert result["results"][0]["user"] == 1003 and len(result["results"][0]["similar"]) == 2


def test_evaluate(home: Path, model: ferrec.Recommender[Any], tmp_path: Path) -> None:
    test = ferrec.Interactions.from_parquet(home / "test.parquet", **TABLE)
    words = ["evaluate", home / "model", home / "test.parquet", *COLUMNS]
    result = answer(*words, "--metrics", "ndcg@5, recall@20,rmse", cwd=tmp_path)
    expected = evaluate(model, test, ["ndcg@5", "recall@20"])
    assert result["metrics"] == {**expected.metrics, "rmse": evaluate_ratings(model, test)["rmse"]}
    assert result["n_users"] == expected.n_users and result["seen_pairs"] == expected.seen_pairs
    seen = answer(*words, "--metrics", "ndcg@5", "--include-seen", cwd=tmp_path)
    assert seen["metrics"] == evaluate(model, test, ["ndcg@5"], exclude_seen=False).metrics
    done = ferrec_cli(*words, cwd=tmp_path, process=True)
    assert done.stdout.strip() == repr(evaluate(model, test))


@pytest.mark.parametrize("command", ["fit", "recommend", "inspect", "similar", "evaluate", "demo"])
def test_help_has_examples(command: str, tmp_path: Path) -> None:
    done = ferrec_cli(command, "--help", cwd=tmp_path, process=True)
    assert done.returncode == 0 and done.stderr == ""
    assert "examples:\n  " in done.stdout and f"ferrec {command}" in done.stdout
    if command == "fit":
        assert all(kebab(name) in done.stdout for name in MODELS)


def test_version_and_no_command(tmp_path: Path) -> None:
    assert ferrec_cli("--version", cwd=tmp_path, process=True).stdout == f"ferrec {ferrec.__version__}\n"
    assert ferrec_cli(cwd=tmp_path, process=True).returncode == 2


FIT = ["fit", "--model", "item-knn", "-o", "new"]
CONTENT = ["fit", "--model", "content-knn", "-o", "new"]
WRONG = {
    "an unknown model": (
        2,
        ["fit", "--model", "nope", "-o", "x", "TRAIN"],
        "got 'nope'",
    ),
    "an unknown parameter": (
        2,
        [*FIT, "TRAIN", "--param", "kk=1"],
        "--param kk: ItemKNN has no such parameter",
    ),
    "a parameter without value": (2, [*FIT, "TRAIN", "--param", "k"], "expected NAME=VALUE, got 'k'"),
    "a parameter out of range": (
        2,
        [*FIT, "TRAIN", "--param", "k=0", *COLUMNS],
        "must be at least 1, got 0",
    ),
    "a parameter of the wrong type": (
        2,
        [*FIT, "TRAIN", "--param", "shrink=x"],
        "--param shrink: must be float",
    ),
    "two weights": (
        2,
        [*FIT, "TRAIN", "--rating", "stars", "--event-type", "ts"],
        "--rating, --event-type: both",
    ),
    "a weight that is none": (2, [*FIT, "TRAIN", "--event-weight", "buy=x"], "expected TYPE=NUMBER"),
    "no output": (2, ["fit", "--model", "item-knn", "TRAIN"], "required: -o/--output"),
    "a bad number": (2, ["recommend", "MODEL", "-o", "new", "-n", "0"], "at least 1, got '0'"),
    "an unknown metric": (2, ["evaluate", "MODEL", "TEST", "--metrics", "x@1", *COLUMNS], "got 'x@1'"),
    "clashing columns": (2, ["recommend", "MODEL", "-o", "new", "--user", "rank"], "one name"),
    "a missing table": (1, [*FIT, "nowhere.parquet"], "nowhere.parquet: no such file"),
    "a missing column": (1, [*FIT, "TRAIN"], "column 'user_id': is not in the table; its columns are 'who'"),
    "no table at all": (1, [*FIT, "junk.parquet"], "junk.parquet: cannot be read as Parquet"),
    "an output that is there": (
        1,
        ["fit", "--model", "bias", "-o", "junk.parquet", "TRAIN"],
        "no saved model",
    ),
    "a missing model": (1, ["recommend", "nowhere", "-o", "new"], "nowhere: no such folder"),
    "a folder that is no model": (1, ["similar", ".", "--items", "x"], "is no saved model"),
    "an output in no folder": (1, ["recommend", "MODEL", "-o", "nowhere/new.pq"], "nowhere: no such folder"),
    "an output with other files": (1, ["recommend", "MODEL", "-o", "."], "holds something else"),
    "an unknown user": (
        1,
        ["recommend", "MODEL", "-o", "new.pq", "--users", "ids.txt"],
        "got 99999 at position",
    ),
    "a size that is none": (2, ["recommend", "MODEL", "-o", "new", "--memory-limit", "2XB"], "such as 2GiB"),
    "two sizes": (
        2,
        ["recommend", "MODEL", "-o", "new", "--memory-limit", "2GB", "--block-size", "5"],
        "not allowed with",
    ),
    "a limit that is too small": (
        2,
        ["recommend", "MODEL", "-o", "new", "--memory-limit", "1M"],
        "--memory-limit: 1 MiB is too little",
    ),
    "a file to resume": (2, ["recommend", "MODEL", "-o", "new.pq", "--resume"], "resume: new.pq is one file"),
    "histories of nobody": (
        2,
        ["recommend", "MODEL", "-o", "new", "--history", "h"],
        "is a column of a source",
    ),
    "no list of users": (1, ["recommend", "MODEL", "-o", "new", "--users", "nowhere.txt"], "nowhere.txt"),
    "a list that is no text": (1, ["recommend", "MODEL", "-o", "new", "--users", "junk.bin"], "is not UTF-8"),
    "an unknown item": (1, ["similar", "MODEL", "--items", "x"], "got 'x' at position"),
    "an id of another type": (
        1,
        ["similar", "MODEL", "--users", "x"],
        "must be an integer, as the ids of this model are",
    ),
    "no similarity of users": (1, ["similar", "MODEL", "--users", "1003"], "UserKNN does"),
    "no table of items": (1, [*CONTENT, "TRAIN", *COLUMNS], "ContentKNN needs attributes of the items"),
    "no such table of items": (
        1,
        [*CONTENT, "TRAIN", *COLUMNS, "--item-table", "no.csv"],
        "no.csv: no such file",
    ),
    "a split of nothing": (
        2,
        [*CONTENT, "TRAIN", *COLUMNS, "--item-table", "x", "--separator", "a="],
        "got 'a='",
    ),
    "a number for a mapping": (
        2,
        [*CONTENT, "TRAIN", "--param", "columns=3"],
        "--param columns: must be Mapping or none",
    ),
    "text for a list": (
        2,
        [*CONTENT, "TRAIN", "--param", "text=title"],
        "--param text: must be Sequence or none",
    ),
    "a file for a model": (1, ["inspect", "junk.parquet"], "junk.parquet: is a file, and"),
    "no times to split by": (
        1,
        ["cross-validate", "--model", "bias", "TRAIN", *COLUMNS[:4], "--split", "by-time"],
        "name the column of times with --time",
    ),
    "types without weights": (
        2,
        ["fit", "--model", "bias", "-o", "m", "TRAIN", *COLUMNS[:4], "--event-type", "stars"],
        "--event-type, --event-weight: go together, got ('stars', None); as in --event-type type --event-weight",
    ),
    "repeats": (
        1,
        ["fit", "--model", "bias", "-o", "m", "TRAIN", *COLUMNS, "--duplicates", "error"],
        "give --duplicates sum, last, max or count",
    ),
    "a wrong parameter of a part": (
        2,
        ["fit", "--model", "hybrid", "-o", "m", "TRAIN", *COLUMNS, "--param", "ranker.epochs=x"],
        "--param ranker.epochs: must be int",
    ),
    "an unknown parameter of a part": (
        2,
        ["fit", "--model", "hybrid", "-o", "m", "TRAIN", *COLUMNS, "--param", "ranker.epochz=5"],
        "--param ranker.epochz: MLPRanker has no such parameter",
    ),
    "similar users of a model of items": (1, ["similar", "MODEL", "--users", "1003"], "error: --users: "),
    "a wrong command": (2, ["fitt"], "did you mean 'fit'?"),
    "a wrong option": (2, [*FIT, "TRAIN", "--usr", "who"], "did you mean '--user'?"),
    "a wrong choice": (2, [*FIT, "TRAIN", "--duplicates", "sums"], "did you mean 'sum'?"),
    "nothing in common": (1, ["evaluate", "MODEL", "other.csv"], "that the model does not know"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(case: str, home: Path, tmp_path: Path) -> None:
    code, words, message = WRONG[case]
    (tmp_path / "junk.parquet").write_text("no Parquet")
    (tmp_path / "junk.bin").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "ids.txt").write_text("1003\n99999\n")
    (tmp_path / "other.csv").write_text("user_id,item_id\n5,soap\n")
    before = sorted(tmp_path.iterdir())
    places = {"TRAIN": home / "train.parquet", "TEST": home / "test.parquet", "MODEL": home / "model"}
    process = case in ("an unknown model", "a missing table")  # a wrong command, a wrong file
    done = ferrec_cli(*[places.get(word, word) for word in words], cwd=tmp_path, process=process)
    assert (done.returncode, done.stdout) == (code, ""), done
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ferrec") and ": error: " in last and message in last
    assert "Traceback" not in done.stderr and sorted(tmp_path.iterdir()) == before
    # argparse shows the usage first; everything else is one line.
    assert done.stderr.startswith("usage: ") or done.stderr.count("\n") == 1


def test_progress_goes_to_standard_error(home: Path, tmp_path: Path) -> None:
    pytest.importorskip("tqdm")
    words = ["recommend", home / "model", "-o", "r.parquet"]
    done = ferrec_cli(*words, "--progress", "--json", cwd=tmp_path, process=True)
    assert "100%" in done.stderr and "300 users" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["users"] == 300
    quiet = ferrec_cli(*words, cwd=tmp_path, process=True)
    assert quiet.stderr == ""


def test_recommend_into_a_folder(home: Path, model: ferrec.Recommender[Any], tmp_path: Path) -> None:
    """From a folder of histories, with events for a scheduler, and nothing left to do the second time.

    In processes, since the limit is of all that a process has.
    """
    lists = [["item 5", "item 7"], ["item 7", "soap"], []]
    table = pyarrow.table({"who": ["ann", "bob", "cat"], "basket": lists, "stars": [[1, 2], [3, 4], []]})
    (tmp_path / "today").mkdir()
    parquet.write_table(table, tmp_path / "today" / "0.parquet")
    words = ["recommend", home / "model", "--users", "today", "--history", "basket", "--rating", "stars"]
    words += ["--user", "who", "-n", 3, "-o", "out/today", "--memory-limit", "0.5GiB", "--resume"]
    result = answer(*words, cwd=tmp_path, process=True)
    assert (result["event"], result["users"], result["unknown_items"]) == ("finished", 3, 1)
    found = parquet.read_table(tmp_path / "out" / "today")
    options = {"user": "who", "history": "basket", "rating": "stars", "n": 3}
    with pytest.warns(UserWarning, match="1 entries"):
        assert found.equals(ferrec.score_table(model, table, **options))
    again = answer(*words, cwd=tmp_path, process=True)
    assert again["resumed_blocks"] == 1 and again["checksum"] == result["checksum"]
    done = ferrec_cli(*words, cwd=tmp_path, process=True)
    assert "1 of 1 blocks had been done before" in done.stdout and result["checksum"] in done.stdout
    assert "left out, unknown to the model: 1 entries of histories" in done.stdout
    done = ferrec_cli(*words, "--include-seen", "--json", cwd=tmp_path, process=True)
    failed = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1 and failed["event"] == "failed"
    assert "another job was begun there: exclude_seen was True and is False" in failed["error"]


def test_inspect(home: Path, model: ferrec.Recommender[Any], tmp_path: Path) -> None:
    for words in ([], ["--verify"]):
        info = answer("inspect", home / "model", *words, cwd=tmp_path)
        assert info["params"] == model.get_params() and (info["users"], info["items"]) == (300, 80)
        assert info["verified"] is bool(words)
    done = ferrec_cli("inspect", home / "model", "--verify", cwd=tmp_path, process=True)
    assert done.stdout.startswith("model") and f"{info['checksum']} (verified)" in done.stdout
    assert "300 users × 80 items" in done.stdout and "similarity.data" in done.stdout
    shutil.copytree(home / "model", tmp_path / "m")
    scores = tmp_path / "m" / "similarity.data.npy"
    scores.write_bytes(scores.read_bytes()[:-1] + b"?")
    assert ferrec_cli("inspect", "m", cwd=tmp_path).returncode == 0
    for command in (["inspect", "m", "--verify"], ["recommend", "m", "-o", "new"]):
        done = ferrec_cli(*command, cwd=tmp_path)
        assert done.returncode == 1 and "similarity.data.npy: does not match its checksum" in done.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5", 5),
        ("2GiB", 2 << 30),
        ("1.5 kib", 1536),
        ("800MB", 8 * 10**8),
        ("2g", 2 * 10**9),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert size_in_bytes(text) == expected


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_sigterm_ends_after_the_block_in_hand(tmp_path: Path) -> None:
    users = np.arange(40_000)
    ferrec.Popularity().fit(ferrec.Interactions.from_arrays(users, users % 50)).save(tmp_path / "model")
    command = [*COMMAND, "recommend", "model", "-o", "out", "--resume"]
    process = subprocess.Popen(
        [*command, "--block-size", "1"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        limit = time.monotonic() + HANGS
        while not (tmp_path / "out" / "part-000003.parquet").exists():
            assert process.poll() is None and time.monotonic() < limit
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=HANGS)
    finally:
        process.kill()
    assert process.returncode == 143 and "stopped by SIGTERM; what is done is committed" in stderr
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_text())
    names = {part["file"] for part in manifest["parts"]}
    assert {file.name for file in (tmp_path / "out").iterdir()} == names | {"_manifest.json"}
    assert 4 <= len(names) < 40_000


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    users = np.arange(40_000)
    data = ferrec.Interactions.from_arrays(users, users % 50)
    ferrec.Popularity().fit(data).save(tmp_path / "model")
    older = tmp_path / "older.parquet"
    older.write_text("as it was")
    for output in ("new.parquet", "older.parquet"):
        # One user at a time takes far longer than the test waits.
        command = [*COMMAND, "recommend", "model", "-o", output, "--block-size", "1"]
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        try:
            limit = time.monotonic() + HANGS
            while not list(tmp_path.glob(".*.tmp")):
                assert process.poll() is None and time.monotonic() < limit
                time.sleep(0.01)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=HANGS)
        finally:
            process.kill()
        assert (process.returncode, stderr) == (128 + number, "ferrec: error: interrupted\n")
        assert sorted(file.name for file in tmp_path.iterdir()) == ["model", "older.parquet"]
    assert older.read_text() == "as it was"


def test_a_reader_that_goes_away(home: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "similar", str(home / "model"), "--items", *[f"item {i}" for i in range(80)], "-n", "80"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b"" and process.wait(timeout=HANGS) == 1
    process.stderr.close()


def test_split_then_fit_and_evaluate_in_process(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`main` is also callable: it returns the code and does not exit."""
    data = ferrec.Interactions.from_parquet(home / "train.parquet", **TABLE)
    train, _ = split.random(data, 0.2)
    ferrec.Popularity().fit(train).save(tmp_path / "m")
    assert cli.main(["similar", str(tmp_path / "m"), "--items", "item 1"]) == 1
    assert "Popularity knows no similarity of items" in capsys.readouterr().err
    assert cli.main(["nonsense"]) == 2
    assert cli.main(["--help"]) == 0


# -- describe and prepare -----------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text(
        "who,what,ts,did,secs\n1,a,2024-01-01T00:00:00,view,10\n1,a,2024-01-01T00:00:00,view,10\n"
        "1,b,2024-01-01T02:00:00,buy,\n2,a,2024-01-02T00:00:00,view,30\n2,b,2024-01-02T00:00:10,buy,20\n"
        "3,c,2024-01-03T00:00:00,view,5\n,a,2024-01-03T00:00:00,view,5\n"
    )
    from pyarrow import csv

    parquet.write_table(csv.read_csv(tmp_path / "log.csv"), tmp_path / "log.parquet")
    return tmp_path


LOG = ["--user", "who", "--item", "what", "--time", "ts", "--event-type", "did"]


def test_describe(log: Path) -> None:
    result = answer("describe", "log.parquet", *LOG, "--html", "page.html", cwd=log)
    wanted = ferrec.describe(
        log / "log.parquet", user="who", item="what", time="ts", event_type="did"
    ).to_dict()
    assert {name: result[name] for name in wanted} == wanted and result["missing"] == {"who": 1}
    assert "<h1>log.parquet</h1>" in (log / "page.html").read_text()
    done = ferrec_cli("describe", "log.csv", *LOG, cwd=log, process=True)
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("events      6\nmissing ")


@pytest.mark.parametrize("source", ["log.parquet", "log.csv"])
def test_prepare(source: str, log: Path) -> None:
    steps = ["--dedup", "exact", "--k-core", "2", "--missing", "secs=median", "--weight-by", "secs"]
    steps += [
        "--event-weight",
        "view=1",
        "--event-weight",
        "buy=5",
        "--half-life",
        "1d",
        "--session-gap",
        "1h",
    ]
    words = ["prepare", source, "-o", "clean.parquet", *LOG, *steps]
    result = answer(*words, "--save", "prepared", cwd=log)
    assert result["before"]["rows"] == 7 and result["after"] == {"rows": 4, "users": 2, "items": 2}
    clean = parquet.read_table(log / "clean.parquet")
    assert clean["session_id"].to_pylist() == [0, 1, 2, 2] and clean["secs"].to_pylist() == [10, 10, 30, 20]
    again = answer("prepare", source, "-o", "again.parquet", *LOG[:0], "--load", "prepared", cwd=log)
    assert again["after"] == result["after"]
    assert parquet.read_table(log / "again.parquet").equals(clean)
    done = ferrec_cli(*words, "--report", cwd=log, process=True)
    assert done.returncode == 0 and done.stdout.endswith("4 of 7 rows written to clean.parquet\n")
    assert re.search(r"^k-core +4  −1 +2  −1 +2  −1  users of fewer than 2 items", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--missing", "secs"], 2, "--missing: expected NAME=VALUE, got 'secs'"),
        (["--k-core", "two"], 2, "--k-core: expected numbers with commas between, got 'two'"),
        (["--k-core", "1,2,3"], 2, "--k-core: expected an integer, got (1, 2, 3)"),
        (["--activity", "0.9,0.1"], 2, "--activity: expected quantiles"),
        (["--normalize", "secs=robust"], 2, "--normalize secs: must be one of"),
        (
            ["--half-life", "long"],
            2,
            "--half-life: expected seconds above 0",
        ),
        (
            ["--load", "x", "--k-core", "2"],
            2,
            "--load: user, item, time, event_type, k_core cannot be given with it",
        ),
        (["--event-weight", "view=1"], 1, "event_weights names 'view', but not 'buy' (2 rows)"),
        (["--weight-by", "price"], 1, "column 'price': is not in the table"),
    ],
)
def test_prepare_refuses(words: list[str], code: int, message: str, log: Path) -> None:
    done = ferrec_cli("prepare", "log.parquet", "-o", "clean.parquet", *LOG, *words, cwd=log)
    assert done.returncode == code and message in done.stderr and not (log / "clean.parquet").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--retrievers", "item-knn,popularity", "--ranker", "weighted-blend"], "ranker=WeightedBlend()"),
        (["--param", "ranker.epochs=1", "--param", "n_candidates=20"], "loss='listwise'"),
        (["--ranker", "mlp", "--param", "ranker.epochs=1"], "ranker=MLPRanker(epochs=1)"),
    ],
)
def test_hybrid_from_events_to_recommendations(
    home: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    if "weighted-blend" not in words and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs the extra tensorflow")
    fit = ["fit", "--model", "hybrid", home / "train.parquet", *words, *COLUMNS, "-o", "m"]
    done = ferrec_cli(*fit, cwd=tmp_path, process="mlp" in words)
    assert (done.returncode, done.stderr) == (0, ""), done  # not a word of TensorFlow
    assert said in done.stdout
    result = answer("recommend", "m", "-n", 5, "-o", "recs.parquet", cwd=tmp_path)
    table = parquet.read_table(tmp_path / "recs.parquet")
    assert result["rows"] == table.num_rows == 5 * len(table["user_id"].unique())


def test_wrong_second_stages(home: Path, tmp_path: Path) -> None:
    for words, message in (
        (
            ["--model", "hybrid", "--ranker", "oracle"],
            "--ranker: must be one of 'light-gbm-ranker'",
        ),
        (["--model", "hybrid", "--retrievers", "oracle"], "--retrievers: must be one of 'als'"),
        (
            ["--model", "ease", "--ranker", "mlp"],
            "--ranker, --retrievers: are for the hybrid, ease has none",
        ),
    ):
        done = ferrec_cli("fit", *words, home / "train.parquet", *COLUMNS, "-o", "m", cwd=tmp_path)
        assert done.returncode == 2 and message in done.stderr, done


def test_advice_is_that_of_the_api() -> None:
    """Each pattern of the table still meets an advice in the sources, as it is written there."""
    sources = (
        "".join(
            path.read_text() for path in Path(ferrec.__file__).parent.rglob("*.py") if path.name != "main.py"
        )
        .replace("{{{name!r}:", "{'x':")
        .replace("}}", "}")
    )
    assert not [pattern for pattern in cli._ADVICE if not re.search(pattern, sources)]


def test_models_from_elsewhere(home: Path, tmp_path: Path) -> None:
    """By their name or with their module, as models and as retrievers."""
    (tmp_path / "my_own_models.py").write_text(
        "import ferrec\n\n\nclass BestTogether(ferrec.ItemKNN):\n"
        "    def __init__(self, *, k: int = 3) -> None:\n        super().__init__(k=k)\n"
    )
    fit = ["--import", "my_own_models", "fit", home / "train.parquet", *COLUMNS, "-o", "m"]
    with mock.patch.object(sys, "path", [str(tmp_path), *sys.path]):
        for name in ("best-together", "BestTogether", "my_own_models:BestTogether"):
            done = ferrec_cli(*fit, "--model", name, "--param", "k=5", cwd=tmp_path)
            assert done.returncode == 0 and "BestTogether(k=5)" in done.stdout, done
            shutil.rmtree(tmp_path / "m")
        done = ferrec_cli(*fit, "--model", "best-togethr", cwd=tmp_path)
    assert done.returncode == 2 and "did you mean 'best-together'?" in done.stderr, done
