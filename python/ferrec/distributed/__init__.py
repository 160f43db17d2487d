"""`score_table` on a cluster that is there already: `ferrec.distributed.ray`, `ferrec.distributed.spark`.

Each is one function around one call of the engine: how rows get to the workers, what happens when one dies, and
where the answers go is the engine's business.
"""

from ferrec.errors import publish

__all__ = ["ray", "spark"]

publish(__name__)
