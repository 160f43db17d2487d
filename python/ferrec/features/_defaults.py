"""The features that some data offers."""

from typing import Any

from ferrec.data.attributes import Categories, Columns, Lists, Numbers
from ferrec.data.interactions import Interactions, check_interactions
from ferrec.errors import checks_keywords
from ferrec.features.activity import ItemPopularity, ItemStatistics, UserActivity, UserStatistics
from ferrec.features.affinity import CategoryAffinity, NumberAffinity
from ferrec.features.attributes import ItemCategory, ItemNumber, UserCategory, UserNumber
from ferrec.features.base import Feature
from ferrec.features.feature_set import FeatureSet
from ferrec.features.recency import ItemRecency, PairHistory, UserRecency
from ferrec.features.similarity import ItemSimilarity

_DAY = 86400.0


@checks_keywords
def defaults(data: Interactions) -> FeatureSet:
    """A feature of each kind that the data has something for: a start.

    Counts, means and similarities always; with times, recency and the popularity of the last week and of late;
    with tables, every column of numbers, of lists, and of categories whose values come more than once on average
    (a title is a name, not a category).

    Parameters
    ----------
    data : Interactions
        What the models are to be fitted on, or a part of it; looked at for what it has, not fitted.

    Returns
    -------
    FeatureSet
        Not fitted.

    Raises
    ------
    ParameterTypeError
        `data` is no Interactions.

    Examples
    --------
    >>> import ferrec
    >>> data = ferrec.Interactions.from_arrays([1, 1, 2], ["tea", "milk", "tea"])
    >>> defaults(data).names[:3]
    ['item_popularity', 'item_weight', 'item_repeats']
    """
    check_interactions("data", data)
    found: list[Feature[Any]] = [ItemPopularity(), ItemStatistics(), UserActivity(), UserStatistics()]
    if data.times is not None:
        found += [ItemPopularity(window=7 * _DAY), ItemPopularity(half_life=30 * _DAY)]
        found += [ItemRecency(), UserRecency(), PairHistory()]
    found.append(ItemSimilarity())
    for name, column in data.item_table.items():
        if isinstance(column, Numbers):
            found += [ItemNumber(column=name, scale="quantile"), NumberAffinity(column=name, log=True)]
        elif isinstance(column, Lists):
            found.append(CategoryAffinity(column=name))
        elif _recurs(data.item_table, name):
            found += [ItemCategory(column=name), CategoryAffinity(column=name)]
    for name, column in data.user_table.items():
        if isinstance(column, Numbers):
            found.append(UserNumber(column=name, scale="quantile"))
        elif _recurs(data.user_table, name):
            found.append(UserCategory(column=name))
    return FeatureSet(found)


def _recurs(table: Columns, name: str) -> bool:
    column = table[name]
    return isinstance(column, Categories) and 2 * len(column.ids) <= int((~column.missing).sum())
