"""The batch job: one block is read while the one before it is scored and the one before that is written."""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from ferrec import _rust
from ferrec.batch._block_sizes import blocks_within, in_use, tidy
from ferrec.batch._source import Source, open_source
from ferrec.batch.sink import Sink, open_sink
from ferrec.batch.table import EXTRA, Model, Scorer
from ferrec.errors import ParameterError, checks_keywords, require
from ferrec.io.progress import Callback, bar
from ferrec.io.tables import as_path
from ferrec.kernels.arguments import Progress, as_int
from ferrec.models import Recommender
from ferrec.models.scoring import ScoringOptions, Unknown
from ferrec.storage import folders

__all__ = ["BatchSummary", "score_batch"]

logger = logging.getLogger("ferrec.batch")
"""Every event is logged here, with its values as the attribute `event` of the record."""

R = TypeVar("R")
_STALLED = 600.0
"""Seconds after which a read or a write that has not come back is given up."""
_GRACE = 0.5
"""Seconds that a write gets to finish when the job is interrupted."""
_TELL_EVERY = 1.0
"""Seconds between two events."""


@dataclass(frozen=True)
class BatchSummary:
    """What a batch job did, all of it, whether at once or after interruptions."""

    path: str
    users: int
    """Rows of the source, those of unknown users among them."""
    rows: int
    """Answers."""
    blocks: int
    resumed_blocks: int
    """Of them, those that an earlier run had committed."""
    unknown_users: int
    unknown_items: int
    """What was left out: rows of users, and entries of histories, that the model does not know."""
    seconds: float
    """Of this run."""
    peak_bytes: int
    """The most memory that this process has had; 0 where the system does not say."""
    checksum: str
    """SHA-256 over everything written; the same for the same job."""


@checks_keywords
def score_batch(
    model: Model,
    source: object,
    path: str | os.PathLike[str],
    *,
    n: int = 10,
    user: str = "user_id",
    item: str = "item_id",
    history: str | None = None,
    rating: str | None = None,
    exclude_seen: bool = True,
    exclude_items: object = None,
    allow_items: object = None,
    unknown_users: Unknown = "error",
    n_threads: int | None = None,
    memory_limit: int | None = None,
    block_size: int | None = None,
    resume: bool = False,
    compression: str = "zstd",
    progress: Progress = False,
) -> BatchSummary:
    """The best n items for any number of users, from Parquet to Parquet, in bounded memory.

    Users are read in blocks; each block is scored while the next one is read and the last one is written. In a
    folder every block is committed when it is on the disk: whatever stops the job, `resume` goes on after the
    last of them, and what is there in the end is the same to the byte.

    Parameters
    ----------
    model : Recommender or path
        A fitted model, or the folder of a saved one, whose checksums are verified.
    source : path, pyarrow.dataset.Dataset, pyarrow.Table or None
        Who is to be scored, one row each: Parquet (a file, a folder, a pattern, or a URL of a file system that
        pyarrow or fsspec knows, extra ``remote``), or a table. None: every user of the model.
    path : path
        A folder (or the URL of one), new or empty: Parquet files ``part-000000.parquet`` and on, in the order
        of the source, beside ``_manifest.json``. A name that ends with ``.parquet`` is one file, which appears
        when all is done and cannot be resumed.
    n, user, item, history, rating, exclude_seen, exclude_items, allow_items, unknown_users
        As in `score_table`.
    n_threads : int, optional
        By default the model's own.
    memory_limit : int, optional
        Bytes that the whole process may have resident. Blocks are made so small that it does, however many
        users there are. A model that looks at all users for each, such as `UserKNN`, needs room for all of them
        beside that.
    block_size : int, optional
        Rows of a block, instead of what `memory_limit` would make them.
    resume : bool
        Go on where an earlier run of the same job stopped; begin where there was none; do nothing where it was
        done.
    compression : str
        As in `Recommendations.to_parquet`.
    progress : bool or callable
        True draws a bar (extra ``progress``). A callable gets ``(users, all users)`` after each block; if it
        raises, the block in hand is committed and the job stops with its exception.

    Returns
    -------
    BatchSummary
        Users, rows, what was left out, time, memory, and a checksum of the output.

    Raises
    ------
    UnknownIdError
        A user is unknown and `unknown_users` is "error".
    DataError
        The source cannot be read, or has changed since the job began; another job was begun in the folder
        (names what differs).
    FileExistsError
        The folder holds something else, or a job and `resume` is False, or another process writes there.
    OSError
        The disk is full, or whatever else the system says. What was committed stays.
    ModelFileError, FileNotFoundError
        The model or the source is not there, or damaged.
    ValueError, TypeError
        An argument makes no sense, or `memory_limit` is too small for the model (says how much it needs).

    Examples
    --------
    >>> import ferrec, pyarrow.parquet, tempfile
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2, 2, 3], ["tea", "milk", "tea", "milk", "tea"])
    >>> model = ferrec.ItemKNN(k=10).fit(data)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = ferrec.score_batch(model, None, f"{folder}/recs", n=1)
    ...     pyarrow.parquet.read_table(f"{folder}/recs").to_pylist()
    [{'user_id': 3, 'item_id': 'milk', 'score': 0.8164966106414795, 'rank': 1}]
    >>> done.users, done.rows
    (3, 1)
    """
    if block_size is not None and memory_limit is not None:
        raise ParameterError(
            "block_size, memory_limit", "give one of them", advice="a limit chooses the size of blocks"
        )
    if not isinstance(model, Recommender):
        model = folders.load(model, verify=True)
    as_path("path", path)  # a URL stays text
    options = ScoringOptions(
        n, user, item, history, rating, exclude_seen, exclude_items, allow_items, unknown_users, n_threads
    )
    scorer = Scorer(model, options)
    limit = None if memory_limit is None else as_int("memory_limit", memory_limit, minimum=1)
    size = blocks_within(scorer, limit, in_order=source is None)
    if block_size is not None:
        size = replace(size, rows=as_int("block_size", block_size, minimum=1))
    rows = open_source(source, scorer)
    job = _job(scorer, rows, compression)
    schema = scorer.schema(rows.empty())
    with (
        open_sink(path, schema, job, size, resume=resume, compression=compression) as parts,
        bar(progress, "recommend", unit="users") as callback,
    ):
        telling = _Telling(os.fspath(path), rows.rows, parts, callback)
        if limit is not None and (parts.size.rows > size.rows or parts.size.entries > size.entries):
            raise ParameterError(
                "memory_limit",
                f"{limit >> 20:,} MiB allows blocks of {size.rows:,} rows, this job's have {parts.size.rows:,}",
                advice="give the limit that it was begun with",
            )
        if not parts.finished:
            telling.begins()
            _score(scorer, rows, parts, limit, telling)
    return telling.ends(limit)


def _job(scorer: Scorer, source: Source, compression: str) -> dict[str, Any]:
    """What tells this job from any other whose output would differ."""
    options = scorer.options
    allowed = options.allowed(scorer.model.items)
    return {
        "ferrec": _rust.__version__,
        "pyarrow": require("pyarrow", EXTRA).__version__,
        "model": type(scorer.model).__name__,
        "model_checksum": folders.checksum(scorer.model),
        "source": source.identity(),
        "n": options.n,
        "user": options.user,
        "item": options.item,
        "history": options.history,
        "rating": options.rating,
        "exclude_seen": options.exclude_seen,
        "items": "all" if allowed is None else hashlib.sha256(allowed.tobytes()).hexdigest(),
        "unknown_users": options.unknown_users,
        "compression": compression,
    }


class _Aside(Generic[R]):
    """A call on a thread of its own, which does not keep the process alive."""

    def __init__(self, what: str, call: Callable[[], R]) -> None:
        self._what, self._call = what, call
        self._over = threading.Event()
        self._result: list[R] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"ferrec-{what}", daemon=True)

    def start(self) -> None:
        """Apart from making it: whom Ctrl-C stops in here must know already what to wait for."""
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result.append(self._call())
        except BaseException as error:  # raised where the result is asked for
            self._error = error
        finally:
            del self._call  # and with it the block
            self._over.set()

    def result(self, timeout: float | None = None) -> R:
        if not self._over.wait(_STALLED if timeout is None else timeout):
            raise TimeoutError(f"{self._what}: nothing has come back for {_STALLED:g} s")
        if self._error is not None:
            raise self._error
        return self._result.pop()


def _score(scorer: Scorer, source: Source, sink: Sink, limit: int | None, telling: "_Telling") -> None:
    """Everything that has not been committed yet."""
    # Entries known by number already take less than half of what read ones do.
    scorer.entries = 2 * sink.size.entries
    blocks = map(scorer.read, source.blocks(sink.totals["users"], sink.size))
    reading = _Aside("reading the source", lambda: next(blocks, None))
    reading.start()
    writing: _Aside[None] | None = None
    try:
        while (block := reading.result()) is not None:
            reading = _Aside("reading the source", lambda: next(blocks, None))
            reading.start()
            scored = scorer.rank(block)
            first = writing is None
            if writing is not None:
                writing.result()
            writing = _Aside("writing to the sink", partial(sink.write, scored))
            writing.start()
            del block, scored
            tidy(scorer, limit)
            if not first:
                telling.block()
        if writing is not None:
            writing.result()
            telling.block()
    except BaseException as error:
        if writing is not None:
            # A block that is scored need not be lost; but who presses Ctrl-C does not wait for long.
            with suppress(Exception):
                writing.result(_GRACE if isinstance(error, KeyboardInterrupt) else None)
        raise


class _Telling:
    """Says how far the job is: to a progress bar, and as events to the log."""

    def __init__(self, path: str, total: int, sink: Sink, callback: Callback | None) -> None:
        self._path, self._total, self._sink, self._callback = path, total, sink, callback
        self._started = self._told = time.perf_counter()
        self._resumed, self._users_before = len(sink.parts), sink.totals["users"]

    def begins(self) -> None:
        text = f"{self._total:,} users in blocks of {self._sink.size.rows:,}"
        if self._resumed:
            text += f"; {self._users_before:,} of them were done before"
        self._log("started", text, **self._far(), block_size=self._sink.size.rows, path=self._path)

    def block(self) -> None:
        """After each block; events come about once a second."""
        far = self._far()
        if time.perf_counter() - self._told >= _TELL_EVERY:
            self._told = time.perf_counter()
            speed, left = far["users_per_second"], far["eta_seconds"]
            text = (
                f"{far['users']:,} of {self._total:,} users, {speed:,.0f} a second, {left or 0:,.0f} s left"
            )
            self._log("progress", text, **far)
        if self._callback is not None:
            self._callback(far["users"], self._total)

    def ends(self, limit: int | None) -> BatchSummary:
        most = in_use()[1]
        summary = BatchSummary(
            path=self._path,
            **self._sink.totals,
            blocks=len(self._sink.parts),
            resumed_blocks=self._resumed,
            seconds=round(time.perf_counter() - self._started, 3),
            peak_bytes=most,
            checksum=self._sink.checksum(),
        )
        if limit is not None and most > limit:
            text = f"memory: {most >> 20:,} MiB at the peak, and memory_limit is {limit >> 20:,} MiB"
            logger.warning(
                text, extra={"event": {"event": "over_limit", "peak_bytes": most, "memory_limit": limit}}
            )
        text = f"{summary.rows:,} recommendations for {summary.users:,} users written to {self._path}"
        self._log("finished", text, **asdict(summary))
        return summary

    def _far(self) -> dict[str, Any]:
        users, seconds = self._sink.totals["users"], time.perf_counter() - self._started
        speed = (users - self._users_before) / seconds if seconds else 0.0
        return {
            "users": users,
            "total_users": self._total,
            "rows": self._sink.totals["rows"],
            "blocks": len(self._sink.parts),
            "seconds": round(seconds, 3),
            "users_per_second": round(speed, 1),
            "eta_seconds": round((self._total - users) / speed, 1) if speed else None,
            "memory_bytes": in_use()[0],
        }

    def _log(self, event: str, text: str, **values: Any) -> None:
        logger.info(text, extra={"event": {"event": event, **values}})
