"""Scoring without end: any number of users in bounded memory, from Parquet to Parquet, resumable."""

from ferrec.batch._job import BatchSummary, score_batch
from ferrec.batch.table import score_table

__all__ = ["BatchSummary", "score_batch", "score_table"]
