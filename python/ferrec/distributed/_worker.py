"""What the engines share: a job for their workers, and what a worker keeps between two tables, the open model."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from ferrec.batch.table import ArrowTable, answer_table
from ferrec.errors import ModelFileError
from ferrec.models import Recommender
from ferrec.models.scoring import ScoringOptions
from ferrec.storage.folders import checksum, load

__all__ = ["Job"]


@dataclass(frozen=True)
class Job:
    """A question to a saved model; travels to the workers."""

    model: str
    checksum: str
    options: ScoringOptions

    @classmethod
    def of(cls, model: str | os.PathLike[str], options: ScoringOptions) -> "Job":
        """The question to the model as it is now."""
        path = Path(model).absolute()
        return cls(str(path), checksum(load(path)), options)

    def open(self) -> Recommender[Any]:
        """The model, opened once in a process."""
        return _opened(self.model, self.checksum)

    def score(self, table: ArrowTable) -> ArrowTable:
        """The answers for a table."""
        return answer_table(self.open(), table, self.options)


@lru_cache(maxsize=1)
def _opened(path: str, expected: str) -> Recommender[Any]:
    model: Recommender[Any] = load(path)
    if checksum(model) != expected:
        raise ModelFileError(f"{path}: is another model than when the job began")
    return model
