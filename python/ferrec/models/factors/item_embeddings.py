"""Vectors of items from what is near what in users' sequences."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.interactions import Events, Interactions
from ferrec.data.queries import Queries
from ferrec.data.sequences import Sequences
from ferrec.errors import DataError, ParameterError, ShapeError, require
from ferrec.io.arrays import read_only
from ferrec.io.progress import Callback
from ferrec.io.times import ticks
from ferrec.kernels.arguments import Duration, as_float, as_int, as_seconds, one_of
from ferrec.kernels.counts import nearness
from ferrec.kernels.handles import DenseParts
from ferrec.models.base import ExplanationParts
from ferrec.models.factor_model import FactorModel, FactorState
from ferrec.models.search_space import Float, Int, SearchSpace

_LONGEST = 10_000
"""Words that gensim reads of a sentence; it leaves out the rest without a word."""


@dataclass(frozen=True, eq=False)
class ItemEmbeddingsState(FactorState):
    """The vectors of the items, beside those that they are scored against (`factors`, the contexts)."""

    vectors: NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check that there are as many values in both."""
        super().__post_init__()
        got, expected = len(self.vectors), len(self.factors)
        if got != expected:
            raise ShapeError("vectors", f"must have {expected} values like factors", got)

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """Items × dimensions."""
        return self.vectors.reshape(self.table.shape)


class ItemEmbeddings(FactorModel[ItemEmbeddingsState]):
    """Recommends what is often near the user's items, by vectors: item2vec (Barkan & Koenigstein, MLSP 2016)
    without a training loop.

    How often two items are near each other in users' sequences becomes a shifted positive pointwise mutual
    information M ([`shifted_ppmi`][ferrec.kernels.shifted_ppmi]), and its truncated singular value decomposition
    ``U · S · Vᵀ`` gives each item a vector ``U · S^p`` and a context ``V · S^(1−p)``: what skip-gram with negative
    sampling looks for by stochastic gradients (Levy & Goldberg, NIPS 2014; Levy, Goldberg & Dagan, TACL 2015). The
    score of an item is the inner product of its context with the sum of the vectors of the user's items, by weight.
    Similar are items whose vectors have a great cosine.

    Parameters
    ----------
    n_factors : int, default 64
        Dimensions. Fewer are used where the data have fewer.
    window_size : int, optional
        Two events are near if they are at most so many events of the user apart, at least 1. Needs times. By
        default all events of a sequence are near.
    max_gap : duration, optional
        At least 0; a longer pause ends a sequence. Needs times. By default a user's events are one
        sequence.
    shift : int, default 1
        Negative samples for each pair, at least 1: an entry of M counts if it is above their logarithm.
    context_smoothing : float, default 0.5
        Exponent of the contexts' frequencies, in 0 … 1: the smaller, the more popular the items that come first.
    eigenvalue_weight : float, default 0.5
        p, in 0 … 1. It shapes vectors and their similarity; scores do not depend on it.
    solver : {"svd", "word2vec"}, default "svd"
        ``"word2vec"`` trains skip-gram with negative sampling by gensim (extra ``word2vec``), on one thread, so
        that a seed gives the same model twice.
    tol : float, default 1e-3
        Accuracy of [`truncated_svd`][ferrec.kernels.truncated_svd].
    epochs : int, default 10
        Of ``"word2vec"``.
    seed : int, default 0
        Of the random start, below 2**32.
    n_threads : int, optional
        By default what CPU affinity and cgroup quota allow.

    Notes
    -----
    Every event counts once, whatever it weighs; events that weigh 0 or less are left out.

    Raises
    ------
    DataError
        From `fit`: `window_size` or `max_gap` is given and the events have no times.
    MissingExtraError
        From `fit`: ``solver="word2vec"`` without gensim.

    Examples
    --------
    >>> import ferrec
    >>> users, items = [1, 1, 2, 2, 3, 4, 4], ["tea", "milk", "tea", "milk", "tea", "nail", "saw"]
    >>> model = ferrec.ItemEmbeddings(n_factors=4).fit(ferrec.Interactions.from_arrays(users, items))
    >>> model.recommend(3, n=1)[3][0][0]
    'milk'
    >>> model.embeddings.shape
    (4, 4)
    """

    state_type = ItemEmbeddingsState

    search_space: ClassVar[SearchSpace] = {
        "n_factors": Int(16, 256, log=True),
        "shift": Int(1, 10),
        "context_smoothing": Float(0.2, 0.8),
    }

    def __init__(
        self,
        *,
        n_factors: int = 64,
        window_size: int | None = None,
        max_gap: Duration | None = None,
        shift: int = 1,
        context_smoothing: float = 0.5,
        eigenvalue_weight: float = 0.5,
        solver: str = "svd",
        tol: float = 1e-3,
        epochs: int = 10,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.n_factors = n_factors
        self.window_size = window_size
        self.max_gap = max_gap
        self.shift = shift
        self.context_smoothing = context_smoothing
        self.eigenvalue_weight = eigenvalue_weight
        self.solver = solver
        self.tol = tol
        self.epochs = epochs
        self.seed = seed
        self.n_threads = n_threads

    @property
    def embeddings(self) -> NDArray[np.float32]:
        """The vectors: float32, items × dimensions, read-only. Row i is that of ``items.values[i]``.

        Raises
        ------
        NotFittedError
            Before `fit`.

        Examples
        --------
        To a file that needs no ferrec:

        >>> import io, numpy as np, ferrec
        >>> model = ferrec.ItemEmbeddings(n_factors=2).fit(ferrec.Interactions.from_arrays([1, 1], [10, 20]))
        >>> file = io.BytesIO()
        >>> np.savez(file, items=model.items.values, embeddings=model.embeddings)
        """
        return read_only(self.state.embeddings)

    @property
    def uses_order(self) -> bool:
        """Whether anything but who did what together counts: a window, a gap, or the order of training.

        Examples
        --------
        >>> import ferrec
        >>> ferrec.ItemEmbeddings().uses_order, ferrec.ItemEmbeddings(max_gap=60).uses_order
        (False, True)
        """
        return self.window_size is not None or self.max_gap is not None or self.solver == "word2vec"

    def learn(self, data: Interactions, callback: Callback | None) -> ItemEmbeddingsState:
        checked = self._checked()
        for name, value in (("window_size", self.window_size), ("max_gap", self.max_gap)):
            if value is not None and data.events.times is None:
                raise DataError(name, "needs times", advice="pass time= when reading the interactions")
        learn = self._decompose if self.solver == "svd" else self._train
        vectors, contexts = learn(checked, _positive(data.events), (data.n_users, data.n_items), callback)
        parts = (np.ascontiguousarray(one, dtype=np.float32).reshape(-1) for one in (contexts, vectors))
        return ItemEmbeddingsState(data.users, data.items, data.csr, *parts)

    def _gap(self) -> int | None:
        """`max_gap` in the unit of times."""
        return None if self.max_gap is None else ticks(as_seconds("max_gap", self.max_gap, zero=True))

    def _checked(self) -> "_Checked":
        """The parameters, also those that the other solver takes."""
        one_of("solver", self.solver, ("svd", "word2vec"))
        return _Checked(
            n_factors=as_int("n_factors", self.n_factors, minimum=1),
            near=nearness(self.window_size, self._gap()),
            shift=as_int("shift", self.shift, minimum=1),
            smoothing=_share("context_smoothing", self.context_smoothing),
            weight=_share("eigenvalue_weight", self.eigenvalue_weight),
            tol=_tolerance(self.tol),
            epochs=as_int("epochs", self.epochs, minimum=1),
            seed=as_int("seed", self.seed, minimum=0, maximum=2**32 - 1),
        )

    def _decompose(
        self, by: "_Checked", events: Events, sizes: tuple[int, int], callback: Callback | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        n_threads = self._threads()
        counts = _rust.cooccurrence(
            events.users, events.items, events.times, sizes, by.near, n_threads, callback
        )
        information = _rust.shifted_ppmi(counts, by.shift, by.smoothing, n_threads)
        u, s, vt, _ = _rust.truncated_svd(
            information, by.n_factors, by.tol, False, by.seed, n_threads, callback
        )
        wide: NDArray[Any] = s.astype(np.float64)
        left, right = u.reshape(sizes[1], len(s)), vt.reshape(len(s), sizes[1]).T
        return left * wide**by.weight, right * wide ** (1.0 - by.weight)

    def _train(
        self, by: "_Checked", events: Events, sizes: tuple[int, int], callback: Callback | None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        word2vec = require("gensim.models", "word2vec").Word2Vec
        vectors, contexts = (
            np.zeros((sizes[1], by.n_factors), np.float32),
            np.zeros((sizes[1], by.n_factors), np.float32),
        )
        if len(events) == 0:
            return vectors, contexts
        window_size, max_gap = by.near
        sentences = _Sentences(events, sizes, max_gap, self.n_threads)
        model = word2vec(
            sentences,
            vector_size=by.n_factors,
            window=sentences.longest if window_size is None else window_size,
            shrink_windows=False,
            sg=1,
            negative=by.shift,
            ns_exponent=by.smoothing,
            sample=0.0,
            min_count=1,
            epochs=by.epochs,
            seed=by.seed,
            workers=1,
        )
        known = np.array(model.wv.index_to_key, dtype=np.int64)
        vectors[known], contexts[known] = model.wv.vectors, model.syn1neg
        return vectors, contexts

    def _directions(self, state: ItemEmbeddingsState) -> NDArray[np.float32]:
        return state.embeddings

    def _vectors(self, state: ItemEmbeddingsState, queries: Queries) -> DenseParts:
        shape = state.embeddings.shape
        rows = _rust.fold_in(queries.history, (state.vectors, *shape), self._threads())
        return rows, len(queries), shape[1]

    def explain_parts(self, state: ItemEmbeddingsState, queries: Queries, item: int) -> ExplanationParts:
        _, seen, weights = queries.history.parts()
        vectors: NDArray[Any] = state.embeddings[seen].astype(np.float64)
        parts = weights.astype(np.float64) * (vectors @ state.table[item].astype(np.float64))
        counts = parts != 0.0
        return 0.0, seen[counts], parts[counts]


class _Checked(NamedTuple):
    """The parameters as the solvers take them."""

    n_factors: int
    near: tuple[int | None, int | None]
    shift: int
    smoothing: float
    weight: float
    tol: float
    epochs: int
    seed: int


class _Sentences:
    """Sequences of items as gensim reads them, again in every epoch: lists of words."""

    def __init__(
        self, events: Events, sizes: tuple[int, int], max_gap: int | None, n_threads: int | None
    ) -> None:
        rows = Sequences.from_events(
            events.users, events.items, events.times, n_users=sizes[0], n_items=sizes[1], n_threads=n_threads
        )
        begins = np.zeros(len(events), np.bool_)
        begins[rows.offsets[:-1][rows.lengths > 0]] = True
        if max_gap is not None and rows.times is not None:
            begins[1:] |= np.diff(rows.times) > max_gap
        ends = [*np.flatnonzero(begins).tolist(), len(events)]
        self._starts = [start for begin, end in pairwise(ends) for start in range(begin, end, _LONGEST)]
        self._starts.append(len(events))
        self._words = rows.items.astype(str).tolist()
        self.longest = int(np.diff(self._starts).max())

    def __iter__(self) -> Iterator[list[str]]:
        return (self._words[start:end] for start, end in pairwise(self._starts))


def _positive(events: Events) -> Events:
    """Without the events that weigh nothing."""
    weights, times = events.weights, events.times
    if weights is None or (weights > 0.0).all():
        return events
    kept = weights > 0.0
    return Events(events.users[kept], events.items[kept], None, None if times is None else times[kept])


def _tolerance(value: float) -> float:
    number = as_float("tol", value)
    if not 0.0 < number < 1.0:
        raise ParameterError("tol", "must be above 0 and below 1", value)
    return number


def _share(name: str, value: float) -> float:
    number = as_float(name, value)
    if not 0.0 <= number <= 1.0:
        raise ParameterError(name, "must be in 0 … 1", value)
    return number
