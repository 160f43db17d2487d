"""Two stages: retrievers propose a few hundred items to each user, and a ranker puts them in order."""

from ferrec.errors import publish
from ferrec.two_stage.hybrid import Hybrid
from ferrec.two_stage.retrieval import Retrieval
from ferrec.two_stage.training import training_pairs

__all__ = ["Hybrid", "Retrieval", "training_pairs"]

publish(__name__)
