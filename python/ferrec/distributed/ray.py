"""Scoring on Ray Data: `map_batches` with a pool of actors."""

import os
from typing import Any, TypeAlias

from ferrec.batch.table import ArrowTable
from ferrec.distributed._worker import Job
from ferrec.errors import checks_keywords, publish, require
from ferrec.models.scoring import ScoringOptions, Unknown

__all__ = ["score"]

publish(__name__)

# Ray is optional, so its types cannot be named here.
Dataset: TypeAlias = Any


class _Scorer:
    """An actor: one process of the cluster that has the model open."""

    def __init__(self, job: Job) -> None:
        job.open()
        self._job = job

    def __call__(self, table: ArrowTable) -> ArrowTable:
        return self._job.score(table)


@checks_keywords
def score(
    source: Dataset,
    model: str | os.PathLike[str],
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
    workers: int | tuple[int, int] = 1,
    num_cpus: int = 1,
    batch_size: int = 8192,
) -> Dataset:
    """The best n items for each row of a Ray data set, by actors that open the model once.

    Parameters
    ----------
    source : ray.data.Dataset
        One row for each query.
    model : path
        The folder of a saved model, where every worker finds it: a shared disk, or a copy on each machine.
    n, user, item, history, rating, exclude_seen, exclude_items, allow_items, unknown_users
        As in `ferrec.score_table`.
    workers : int or (int, int)
        How many actors, or the fewest and the most that Ray may start.
    num_cpus : int
        Processors of each, which are also its threads.
    batch_size : int
        Rows at once.

    Returns
    -------
    ray.data.Dataset
        One row for each answer, as of `ferrec.score_table`; nothing has run yet. Write it with `write_parquet`. Ray
        keeps the order only if it is told to (`DataContext.execution_options.preserve_order`).

    Raises
    ------
    FileNotFoundError, ModelFileError
        The model is not there or cannot be read, here or, while the job runs, on a worker; or it has been replaced
        since.
    MissingExtraError
        Ray is not installed.

    Examples
    --------
    >>> import ray  # doctest: +SKIP
    >>> users = ray.data.read_parquet("s3://bucket/users/")  # doctest: +SKIP
    >>> recs = score(users, "/mnt/models/model", n=20, workers=64, num_cpus=4)  # doctest: +SKIP
    >>> recs.write_parquet("s3://bucket/recs/")  # doctest: +SKIP
    """
    data = require("ray.data", "ray")
    options = ScoringOptions(
        n, user, item, history, rating, exclude_seen, exclude_items, allow_items, unknown_users, num_cpus
    )
    job = Job.of(model, options)
    fewest, most = (workers, workers) if isinstance(workers, int) else workers
    return source.map_batches(
        _Scorer,
        fn_constructor_args=[job],
        batch_format="pyarrow",
        batch_size=batch_size,
        num_cpus=num_cpus,
        compute=data.ActorPoolStrategy(min_size=fewest, max_size=most),
    )
