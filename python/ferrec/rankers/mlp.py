"""The neural ranker: Keras trains it, Rust scores with it."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ferrec import _rust
from ferrec.data.candidates import Candidates
from ferrec.errors import ParameterError, ParameterTypeError, require
from ferrec.io.progress import Callback
from ferrec.kernels.arguments import as_float, as_int, one_of, threads
from ferrec.rankers import _network
from ferrec.rankers._groups import Groups
from ferrec.rankers._inputs import IDS, Batch, Inputs
from ferrec.rankers._network import Stream
from ferrec.rankers.base import LabeledPairs, Ranker

Loss = Literal["binary", "pairwise", "listwise"]
LOSSES = ("binary", "pairwise", "listwise")


@dataclass(frozen=True, eq=False)
class MLPState(Inputs):
    """The network as arrays, and as Keras wrote it."""

    width: int
    """Of the embeddings."""
    tables: tuple[NDArray[np.float32], ...]
    crosses: tuple[NDArray[np.float32], ...]
    layers: tuple[NDArray[np.float32], ...]
    sigmoid: bool
    loss: NDArray[np.float32]
    """On the training pairs after every epoch."""
    later_loss: NDArray[np.float32]
    """On the validation pairs."""
    network: bytes = field(metadata={"file": "ranker.keras"})

    def __post_init__(self) -> None:
        """Check that the parts fit together: a loaded file may say anything."""
        _ = self.scorer

    @cached_property
    def scorer(self) -> _rust.Mlp:
        """The network in Rust."""
        scaling = (self.mean, self.scale, _network.CLIP, self.marked.tolist())
        tables = zip(self.lookups, self.tables, strict=True)
        embeddings = [(lookup, rows, self.width) for lookup, rows in tables]
        return _rust.Mlp(scaling, embeddings, _in_twos(self.crosses), _in_twos(self.layers), self.sigmoid)


def _in_twos(arrays: Sequence[NDArray[np.float32]]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    return list(zip(arrays[::2], arrays[1::2], strict=True))


class MLPRanker(Ranker[MLPState]):
    """A small neural network over the columns of candidates, as in the second stage of YouTube's recommender.

    Keras trains it on TensorFlow (extra ``tensorflow``); scoring and loading need neither, and run in Rust on
    all threads. Numbers are scaled to mean 0 and standard deviation 1 within the network and cut off at 10
    standard deviations. A missing number (NaN) becomes the mean of the training pairs, and in columns that had
    missing ones there, "missing" is an input of its own. Categories become embeddings.

    Parameters
    ----------
    hidden : sequence of int
        Neurons of each hidden layer, with ReLU. May be empty: a logistic regression.
    embedded_ids : sequence of {"user", "item"}
        Whose ids to embed: the network learns what no column says of them. New users and new items have the
        embedding of the unknown.
    embedding_size : int
        Dimensions of each embedding, of ids and of the categories that `fit` is told of.
    buckets : int
        Embeddings of an id or a category, at most; where there are more values, they share them by hash.
    min_count : int
        Values seen in fewer training pairs share the embedding of the unknown ones, and teach it.
    cross_layers : int
        Layers that multiply the inputs with each other, before the hidden ones (DCN-v2, Wang et al. 2021).
    dropout : float
        Share of every hidden layer's outputs that training leaves out, in [0, 1).
    batch_norm : bool
        Normalize before each ReLU. It costs nothing at scoring: it is folded into the weights.
    loss : {"binary", "pairwise", "listwise"}
        Cross-entropy of every pair; of each positive against each of its negatives (RankNet, Burges et al.
        2005); of the positive among its negatives (softmax). The first scores a probability, the others a
        number on a scale of their own.
    negatives : int or None
        How many pairs that did not come true to set beside each that did, drawn anew in every epoch from the
        same query: the balance of the classes, and hard ones, since the retrievers proposed them. None takes
        every pair as it comes (``"binary"`` only).
    age : str, optional
        A column that says how old the example is. Training reads it, scoring takes 0 and does not want it:
        the ranker learns what was fashionable when, and scores for now ("example age" of the paper).
    epochs : int
        Passes over the positives, at most.
    patience : int
        With a validation part: stop after so many epochs without a lower loss on it, and go back to the best.
    batch_size : int
        Pairs in a step.
    learning_rate : float
        Of Adam.
    seed : int
        The same seed gives the same network, on one machine and version of TensorFlow.
    n_threads : int, optional
        Threads for scoring; by default what affinity and cgroup allow.

    References
    ----------
    Covington, Adams & Sargin, "Deep Neural Networks for YouTube Recommendations", RecSys 2016.
    """

    state_type = MLPState

    def __init__(
        self,
        *,
        hidden: Sequence[int] = (64, 32),
        embedded_ids: Sequence[str] = (),
        embedding_size: int = 16,
        buckets: int = 100_000,
        min_count: int = 2,
        cross_layers: int = 0,
        dropout: float = 0.0,
        batch_norm: bool = False,
        loss: Loss = "binary",
        negatives: int | None = 4,
        age: str | None = None,
        epochs: int = 40,
        patience: int = 3,
        batch_size: int = 256,
        learning_rate: float = 1e-3,
        seed: int = 0,
        n_threads: int | None = None,
    ) -> None:
        self.hidden = hidden
        self.embedded_ids = embedded_ids
        self.embedding_size = embedding_size
        self.buckets = buckets
        self.min_count = min_count
        self.cross_layers = cross_layers
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.loss = loss
        self.negatives = negatives
        self.age = age
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.seed = seed
        self.n_threads = n_threads

    def learn(
        self, train: LabeledPairs, validation: LabeledPairs | None, callback: Callback | None
    ) -> MLPState:
        size = self._check()
        inputs = Inputs.of(
            train.candidates, self.embedded_ids, train.categories, self.age, self.buckets, self.min_count
        )
        plan = _network.Architecture(
            mean=inputs.mean,
            scale=inputs.scale,
            marked=inputs.marked,
            rows=[int(lookup.max(initial=0)) + 1 for lookup in inputs.lookups],
            width=self.embedding_size,
            hidden=self.hidden,
            crosses=self.cross_layers,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
            sigmoid=self.loss == "binary",
            seed=self.seed,
        )
        model = _network.build(plan)
        group = 1 + (size or 0)
        step = max(1, self.batch_size // group)

        def stream(pairs: LabeledPairs, part: int, again: bool) -> Stream:
            groups = Groups.of(pairs, size)

            def one_pass(number: int) -> Iterator[Batch]:
                return inputs.batches(pairs, groups.draw((self.seed, part, again * number)), step)

            return Stream(one_pass, -(-len(groups) // step))

        if validation is not None:
            inputs.check_items(validation.candidates)
        history = _network.train(
            model,
            stream(train, 0, again=True),
            None if validation is None else stream(validation, 1, again=False),
            loss=self.loss,
            group=group,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            patience=self.patience,
            callback=callback,
        )
        weights = _network.take_apart(model, plan)
        return MLPState(
            **vars(inputs),
            width=self.embedding_size,
            tables=weights.tables,
            crosses=weights.crosses,
            layers=weights.layers,
            sigmoid=plan.sigmoid,
            loss=np.array(history["loss"], np.float32),
            later_loss=np.array(history.get("val_loss", []), np.float32),
            network=_network.to_bytes(model),
        )

    def _check(self) -> int | None:
        """Refuse parameters that make no sense; the number of negatives."""
        if isinstance(self.hidden, str) or not isinstance(self.hidden, Sequence):
            raise ParameterTypeError("hidden", "expected numbers of neurons", self.hidden)
        for n in self.hidden:
            as_int("hidden", n, minimum=1)
        if isinstance(self.embedded_ids, str) or not isinstance(self.embedded_ids, Sequence):
            raise ParameterTypeError(
                "embedded_ids", f"expected some of {', '.join(map(repr, IDS))}", self.embedded_ids
            )
        for name in self.embedded_ids:
            one_of("embedded_ids", name, IDS)
        for name in ("embedding_size", "buckets", "min_count", "epochs", "patience", "batch_size"):
            as_int(name, getattr(self, name), minimum=1)
        as_int("cross_layers", self.cross_layers, minimum=0)
        as_int("seed", self.seed, minimum=0)
        if not 0 <= as_float("dropout", self.dropout) < 1:
            raise ParameterError("dropout", "must be in [0, 1)", self.dropout)
        if not 0 < as_float("learning_rate", self.learning_rate) < np.inf:
            raise ParameterError("learning_rate", "must be above 0 and finite", self.learning_rate)
        one_of("loss", self.loss, LOSSES)
        if self.negatives is None and self.loss != "binary":
            raise ParameterError("negatives", f"loss={self.loss!r} needs at least 1", None)
        return None if self.negatives is None else as_int("negatives", self.negatives, minimum=1)

    def score_pairs(self, state: MLPState, candidates: Candidates) -> NDArray[np.float32]:
        state.check_items(candidates)
        numbers, codes = state.read_numbers(candidates), state.read_codes(candidates)
        return state.scorer.score(numbers, codes, len(candidates), threads(self.n_threads), None)

    @property
    def losses(self) -> dict[str, NDArray[np.float32]]:
        """The mean loss of every epoch: ``"training"``, and ``"validation"`` where there was such a part.

        Raises
        ------
        NotFittedError
            Before `fit`.
        """
        state = self.state
        found = {"training": state.loss, "validation": state.later_loss}
        return {name: losses for name, losses in found.items() if len(losses)}

    def plot_training(self, path: str | os.PathLike[str]) -> None:
        """Draw the losses of every epoch (extra ``plot``).

        Parameters
        ----------
        path : path
            The picture; its ending says of what kind: ``.svg``, ``.png``.

        Raises
        ------
        NotFittedError
            Before `fit`.
        MissingExtraError
            matplotlib is not installed.
        """
        losses = self.losses
        figure = require("matplotlib.figure", "plot").Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.subplots()
        for name, values in losses.items():
            axes.plot(range(1, len(values) + 1), values, marker="o", markersize=3, label=name)
        if "validation" in losses:
            best = int(losses["validation"].argmin())
            axes.axvline(
                best + 1, color="gray", linewidth=0.8, linestyle=":", label=f"kept: epoch {best + 1}"
            )
        axes.set_xlabel("epoch")
        axes.set_ylabel(f"{self.frozen.loss} loss")
        axes.legend(frameon=False)
        figure.savefig(path)

    @property
    def keras_model(self) -> Any:
        """The network as a Keras model, to look at or to train on (extra ``tensorflow``).

        Its inputs are ``columns``, the numbers as they come, float32 of shape (n, numbers), and ``rows``, the
        rows of the embeddings, int32 of shape (n, ids and categories): each only where there are some.

        Raises
        ------
        NotFittedError
            Before `fit`.
        MissingExtraError
            TensorFlow is not installed.
        """
        return _network.from_bytes(self.state.network)
