"""Scoring on Spark: `mapInArrow`."""

import os
from collections.abc import Iterator
from typing import Any, TypeAlias

from ferrec.batch.table import EXTRA, Scorer
from ferrec.distributed._worker import Job
from ferrec.errors import checks_keywords, publish, require
from ferrec.io.tables import missing_column
from ferrec.models.scoring import ScoringOptions, Unknown

__all__ = ["score"]

publish(__name__)

# Spark is optional, so its types cannot be named here.
DataFrame: TypeAlias = Any

_SQL = {
    "int8": "tinyint",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "string": "string",
    "float": "float",
}
"""Types of Arrow and what Spark calls them."""


@checks_keywords
def score(
    source: DataFrame,
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
) -> DataFrame:
    """The best n items for each row of a Spark data frame, by its Python workers, which open the model once each.

    Parameters
    ----------
    source : pyspark.sql.DataFrame
        One row for each query.
    model : path
        The folder of a saved model, where the driver and every worker find it: a shared disk or a copy on each.
    n, user, item, history, rating, exclude_seen, exclude_items, allow_items, unknown_users
        As in `ferrec.score_table`. A task uses as many threads as ``spark.task.cpus`` says.

    Returns
    -------
    pyspark.sql.DataFrame
        One row for each answer, as of `ferrec.score_table`: ids as Spark's integers or string, ``score`` (float),
        ``rank`` (int). Nothing has run yet.

    Raises
    ------
    DataError
        A column is missing, or its type is none of Spark's integers and string.
    FileNotFoundError, ModelFileError
        The model is not there or cannot be read, here or, while the job runs, on a worker; or it has been replaced
        since.
    MissingExtraError
        Spark is not installed.

    Examples
    --------
    >>> users = spark.read.parquet("s3://bucket/users/")  # doctest: +SKIP
    >>> score(users, "/mnt/models/model", n=20).write.parquet("s3://bucket/recs/")  # doctest: +SKIP
    """
    types = require("pyspark.sql.pandas.types", "spark")
    n_threads = int(source.sparkSession.sparkContext.getConf().get("spark.task.cpus", "1"))
    options = ScoringOptions(
        n, user, item, history, rating, exclude_seen, exclude_items, allow_items, unknown_users, n_threads
    )
    job = Job.of(model, options)
    scorer = Scorer(job.open(), options)
    for name in options.columns:
        if name not in source.columns:
            raise missing_column(name, source.columns, "the frame")
    rows = source.select(*options.columns)
    answers = _spoken(scorer.schema(types.to_arrow_schema(rows.schema).empty_table()))

    def run(batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            yield from job.score(batch).cast(answers).to_batches()

    return rows.mapInArrow(run, ", ".join(f"`{field.name}` {_SQL[str(field.type)]}" for field in answers))


def _spoken(schema: Any) -> Any:
    """The types that Spark speaks: no unsigned integers, no long strings."""
    pyarrow = require("pyarrow", EXTRA)

    def spoken(kind: Any) -> Any:
        if pyarrow.types.is_unsigned_integer(kind):
            return pyarrow.int64()
        return pyarrow.string() if pyarrow.types.is_large_string(kind) else kind

    return pyarrow.schema([pyarrow.field(field.name, spoken(field.type)) for field in schema])
