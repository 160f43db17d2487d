"""Columns of a table as one sparse matrix of features, whose inner products are weighted means of cosines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.attributes import Categories, Columns, Lists, Numbers
from ferrec.data.ids import Ids, factorize
from ferrec.errors import DataError, ParameterError, ParameterTypeError, require
from ferrec.kernels.handles import as_csr, to_scipy
from ferrec.kernels.weights import weight

Encoder: TypeAlias = Callable[[list[str]], Any]
"""Texts to a matrix with a row for each, sparse or dense."""

_KNOTS = 10
"""Quantiles between which a number is interpolated."""


@dataclass(frozen=True, eq=False)
class FeatureBlock:
    """What one column says: rows × its own features, rows of length 1 or, where nothing is known, 0."""

    values: Any
    names: list[str]


def features(
    table: Columns, weights: Mapping[str, float], text: Sequence[str], encoder: Encoder | None
) -> tuple[_rust.Csr, Ids]:
    """Rows × features, and the features' names.

    The inner product of two rows is the weighted mean of the cosines of their columns, of which one that is missing
    counts as 0.
    """
    blocks = [_block(table, name, name in text, encoder) for name in weights]
    shares = np.array(list(weights.values()), np.float64)
    scales = np.sqrt(shares / shares.sum()).astype(np.float32)
    scaled = [scale * block.values for scale, block in zip(scales, blocks, strict=True)]
    codes, names = factorize([name for block in blocks for name in block.names], "features")
    entries: Any = scipy.sparse.hstack(scaled, format="coo")
    placed = (entries.data, (entries.row, codes[entries.col]))
    return as_csr(scipy.sparse.coo_array(placed, shape=(table.n_rows, len(names))).tocsr(), "features"), names


def check_weights(columns: Mapping[str, float] | None, table: Columns, name: str) -> Mapping[str, float]:
    """The weight of each column that counts; 1 for all where none are given."""
    if columns is None:
        return dict.fromkeys(table, 1.0)
    if not isinstance(columns, Mapping):
        raise ParameterTypeError(name, "expected a mapping of column names to weights", columns)
    if not columns:
        raise ParameterError(name, "names none", advice=f"there are {', '.join(map(repr, table))}")
    for column, value in columns.items():
        table[column]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < np.inf:
            raise ParameterError(name, f"the weight of {column!r} must be a positive number", value)
    return columns


def _block(table: Columns, name: str, is_text: bool, encoder: Encoder | None) -> FeatureBlock:
    column = table[name]
    if is_text:
        if not isinstance(column, Categories):
            raise DataError("text", f"column {name!r} holds {type(column).__name__}, not text")
        return _words(column, name) if encoder is None else _encoded(column, name, encoder)
    if isinstance(column, Numbers):
        return _between_quantiles(column, name)
    values: Any = column.to_csr()
    if isinstance(column, Lists):  # rare values say more
        values = weight(values, "tfidf")
    return FeatureBlock(weight(values, "l2"), [f"{name}={key}" for key in column.ids.values.tolist()])


def _words(column: Categories, name: str) -> FeatureBlock:
    """TF-IDF of the words, by scikit-learn."""
    text = require("sklearn.feature_extraction.text", "text")
    vectorizer = text.TfidfVectorizer(sublinear_tf=True)
    try:
        found = vectorizer.fit_transform(column.ids.values)
    except ValueError as error:  # nothing but stop words, or nothing at all
        raise DataError("text", f"column {name!r}: {error}") from error
    words = [f"{name}={word}" for word in vectorizer.get_feature_names_out().tolist()]
    return FeatureBlock(column.to_csr() @ found, words)


def _encoded(column: Categories, name: str, encoder: Encoder) -> FeatureBlock:
    """What the encoder makes of every distinct text."""
    texts = [str(key) for key in column.ids.values.tolist()]
    given: Any = encoder(texts)
    matrix: Any = given if scipy.sparse.issparse(given) else np.asarray(given)
    if matrix.ndim != 2 or matrix.shape[0] != len(texts) or matrix.dtype.kind not in "fiub":
        got = f"{matrix.dtype} of shape {matrix.shape}"
        raise DataError("encoder", f"gave {got} for the {len(texts)} texts of column {name!r}")
    found = as_csr(scipy.sparse.csr_array(matrix), f"encoder: column {name!r}")
    width = len(str(found.shape[1] - 1))
    rows: Any = column.to_csr() @ to_scipy(found)
    return FeatureBlock(weight(rows, "l2"), [f"{name}[{at:0{width}}]" for at in range(found.shape[1])])


def _between_quantiles(column: Numbers, name: str) -> FeatureBlock:
    """A number as its place between two of the column's quantiles: near numbers share both, far ones none."""
    present = np.flatnonzero(~column.missing)
    values: NDArray[Any] = column.values[present].astype(np.float64)
    knots = np.unique(np.quantile(values, np.linspace(0.0, 1.0, _KNOTS))) if len(values) else np.empty(0)
    if len(knots) < 2:  # all the same: it tells nothing from anything
        return FeatureBlock(scipy.sparse.csr_array((len(column), 0), dtype=np.float32), [])
    left = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
    beyond = (values - knots[left]) / (knots[left + 1] - knots[left])
    entries = np.concatenate([1.0 - beyond, beyond]), (np.tile(present, 2), np.concatenate([left, left + 1]))
    rows: Any = scipy.sparse.coo_array(entries, shape=(len(column), len(knots))).tocsr()
    rows.eliminate_zeros()
    return FeatureBlock(weight(rows, "l2"), [f"{name}≈{knot!r}" for knot in knots.tolist()])
