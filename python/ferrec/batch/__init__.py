"""Scoring without end: any number of users in bounded memory, from Parquet to Parquet, resumable."""

from ferrec.batch._job import BatchSummary, score_batch
from ferrec.batch.table import score_table
from ferrec.errors import publish

__all__ = ["BatchSummary", "score_batch", "score_table"]

publish(__name__)
