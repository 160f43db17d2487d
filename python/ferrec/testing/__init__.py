"""The contract of a recommender as checks that any model can be held against, ferrec's own and yours.

>>> import ferrec
>>> from ferrec.testing import check_recommender
>>> check_recommender(lambda: ferrec.ItemKNN(k=10))

With pytest, one test for each check:

.. code-block:: python

    @pytest.mark.parametrize("check", CHECKS)
    def test_my_model(check):
        CHECKS[check](MyModel)
"""

from ferrec.errors import publish
from ferrec.testing._checks import CHECKS, check_recommender, checkerboard, grouped
from ferrec.testing._leaks import check_no_leak

__all__ = ["CHECKS", "check_no_leak", "check_recommender", "checkerboard", "grouped"]

publish(__name__)
