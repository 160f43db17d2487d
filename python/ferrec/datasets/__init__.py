"""Data to try things on: real purchases, and interactions made up to measure."""

from ferrec.datasets._complete_journey import CompleteJourney, complete_journey
from ferrec.errors import publish
from ferrec.kernels.synthetic import synthetic

__all__ = ["CompleteJourney", "complete_journey", "synthetic"]

publish(__name__)
