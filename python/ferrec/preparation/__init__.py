"""Preparation: raw events to clean ones, with a report of what went and why."""

from ferrec.errors import publish
from ferrec.preparation._prepare import Prepare
from ferrec.preparation._report import Report, Step

__all__ = ["Prepare", "Report", "Step"]

publish(__name__)
