"""`ferrec recommend`: the best items of all users, or of some, in blocks."""

import argparse
import json
import logging
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ferrec.batch import score_batch
from ferrec.batch.sink import is_file
from ferrec.cli import common
from ferrec.cli.models import add_model
from ferrec.data.ids import Ids
from ferrec.errors import DataError, require
from ferrec.io.files import PARQUET
from ferrec.io.progress import bar
from ferrec.models.base import Recommender
from ferrec.storage import folders

__all__ = ["add", "size_in_bytes"]


def add(commands: common.Commands) -> None:
    """The command and its options."""
    parser = common.add_command(
        commands,
        "recommend",
        _run,
        "write the best items for every user, or for some, to Parquet",
        """
        ferrec recommend model/ -n 10 -o recs.parquet
        ferrec recommend model/ -o recs/2026-11-25 --memory-limit 2GiB --resume --json
        ferrec recommend model/ --users today/ --history basket -o recs/today
        ferrec recommend model/ --users users.txt --exclude-items sold-out.txt -o recs.parquet
        cut -d, -f1 today.csv | ferrec recommend model/ --users - -o recs.parquet --json
        """,
        extra=(
            "Users are streamed in blocks, so that memory does not grow with them. A file appears under its\n"
            "name when it is complete; an interrupted run leaves an older file of that name as it was. In a\n"
            "folder every block is committed as part-*.parquet when it is on the disk, and --resume goes on\n"
            "after the last: the result is the same to the byte. SIGTERM commits the block in hand (exit 143).\n"
            "Columns: user, item, score (float32), rank (int32, from 1). With --json: events, a line each."
        ),
    )
    add_model(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="PLACE", help="a folder, its URL, or a file *.parquet"
    )
    parser.add_argument("-n", type=common.positive, default=10, help="items for each user (default 10)")
    parser.add_argument(
        "--users",
        metavar="SOURCE",
        help="only these: Parquet (a file, a folder, a pattern, a URL), text with one id a line, or - for "
        "standard input",
    )
    parser.add_argument("--user", default="user_id", metavar="NAME", help="(default user_id)")
    parser.add_argument(
        "--history",
        metavar="NAME",
        help="a column of lists: the history of each, instead of what the model knows",
    )
    parser.add_argument("--rating", metavar="NAME", help="a column of lists: the weights of those items")
    parser.add_argument(
        "--unknown-users", choices=("error", "skip"), default="error", help="who the model does not know"
    )
    parser.add_argument("--item", default="item_id", metavar="NAME", help="(default item_id)")
    parser.add_argument("--exclude-items", metavar="FILE", help="items for nobody: text or Parquet")
    parser.add_argument(
        "--include-seen", action="store_true", help="recommend the items of the histories, too"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on where the same job stopped, begin where there was none"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--memory-limit",
        type=size_in_bytes,
        metavar="SIZE",
        help="what may be resident, such as 2GiB or 800MB",
    )
    size.add_argument("--block-size", type=common.positive, metavar="USERS", help="users at once")
    common.add_common(parser)


def _run(args: argparse.Namespace) -> common.Answer:
    model = folders.load(args.model, verify=True)
    excluded = None
    if args.exclude_items is not None:
        excluded = _read_ids(args.exclude_items, model.items, "exclude-items", args.item)
    with (
        _events(args.json),
        _until_sigterm(args.output) as check,
        bar(common.wants_progress(args), "recommend", unit="users") as draw,
    ):

        def after_block(done: int, total: int) -> None:
            if draw is not None:
                draw(done, total)
            check()

        summary = score_batch(
            model,
            _source(args, model),
            args.output,
            n=args.n,
            user=args.user,
            item=args.item,
            history=args.history,
            rating=args.rating,
            exclude_seen=not args.include_seen,
            exclude_items=excluded,
            unknown_users=args.unknown_users,
            n_threads=args.threads,
            memory_limit=args.memory_limit,
            block_size=args.block_size,
            resume=args.resume,
            progress=after_block,
        )
    result = asdict(summary)
    lines = [f"{summary.rows:,} recommendations for {summary.users:,} users written to {summary.path}"]
    if summary.resumed_blocks:
        lines.append(f"{summary.resumed_blocks:,} of {summary.blocks:,} blocks had been done before")
    for count, what in (
        (summary.unknown_users, "rows of users"),
        (summary.unknown_items, "entries of histories"),
    ):
        if count:
            lines.append(f"left out, unknown to the model: {count:,} {what}")
    lines.append(
        f"{summary.seconds:.1f} s, {summary.peak_bytes >> 20:,} MiB at the peak, sha256 {summary.checksum}"
    )
    return {"event": "finished", "model": type(model).__name__, **result}, "\n".join(lines)


def _source(args: argparse.Namespace, model: Recommender[Any]) -> object:
    """None for everybody, a table for a list of ids, and what is left is Parquet somewhere."""
    place = args.users
    if (
        place is None
        or "://" in place
        or Path(place).is_dir()
        or place.endswith(PARQUET)
        or re.search(r"[*?\[]", place)
    ):
        return place
    ids = _read_ids(place, model.users, "users", args.user)
    return require("pyarrow", "parquet").table({args.user: ids})


class _Events(logging.Handler):
    """Prints what a job says of itself, one JSON object a line; the last one is the command's result."""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "event", None)
        if event is not None and event["event"] != "finished":
            print(json.dumps(event, allow_nan=False, default=common.plain), flush=True)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """A reader of the events that has gone is no reason to stop."""


@contextmanager
def _events(wanted: bool) -> Iterator[None]:
    """With `--json`, events on standard output while the block runs, and the error that ends it."""
    log, handler = logging.getLogger("ferrec.batch"), _Events()
    if not wanted:
        yield
        return
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        text = str(error) or "interrupted"
        log.error(text, extra={"event": {"event": "failed", "error": text}})
        raise
    finally:
        log.setLevel(before)
        log.removeHandler(handler)


@contextmanager
def _until_sigterm(output: str) -> Iterator[Callable[[], None]]:
    """SIGTERM ends a job that can be resumed after the block in hand; a second one at once, as Ctrl-C does.

    Yields what to call after each block.
    """
    if is_file(output) or threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received = []

    def note(number: int, _: object) -> None:
        received.append(number)
        signal.signal(signal.SIGTERM, before)

    def check() -> None:
        if received:
            raise common.Stopped("stopped by SIGTERM; what is done is committed, and --resume goes on")

    before = signal.signal(signal.SIGTERM, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGTERM, before)


def _read_ids(source: str, ids: Ids, name: str, column: str) -> Any:
    """Ids from a file with one on each line, standard input ("-"), or a Parquet file."""
    if source.endswith(PARQUET):
        if not Path(source).is_file():
            raise FileNotFoundError(f"{source}: no such file")
        try:
            table = require("pyarrow.parquet", "parquet").read_table(source)
        except ValueError as error:  # pyarrow's errors of a bad file are ValueErrors
            raise DataError(str(source), f"is no Parquet file: {error}") from error
        if column not in table.column_names and table.num_columns == 1:
            column = table.column_names[0]
        if column not in table.column_names:
            raise DataError(
                str(source),
                f"has no column {column!r}",
                advice=f"its columns are {', '.join(table.column_names)}",
            )
        return table.column(column)
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(source), f"is not UTF-8 text with one id on each line: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    return common.parse_ids([line for line in lines if line], ids, name)


def size_in_bytes(text: str) -> int:
    """`2GiB` and the like."""
    units = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
    units |= {f"{unit}i": 1 << (10 * power) for power, unit in enumerate(units) if unit}
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([kmgt]i?|)b?", text.lower())
    if found is None or float(found[1]) * units[found[2]] < 1:
        raise argparse.ArgumentTypeError(f"expected a size such as 2GiB or 800MB, got {text!r}")
    return int(float(found[1]) * units[found[2]])
