"""The network of `MLPRanker` in Keras: building it, training it, taking it apart. Only here is Keras needed."""

import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ferrec.errors import require
from ferrec.io.progress import Callback
from ferrec.rankers._inputs import Batch

EXTRA = "tensorflow"
CLIP = 10.0
"""Standard deviations from the mean beyond which a column says no more."""

# Keras is optional, so its types cannot be named here.
Model: TypeAlias = Any


@dataclass(frozen=True)
class Architecture:
    """What the network looks like."""

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    marked: NDArray[np.int32]
    """Columns for which "missing" is an input of its own."""
    rows: Sequence[int]
    """Rows of each embedding."""
    width: int
    """Of every embedding."""
    hidden: Sequence[int]
    crosses: int
    dropout: float
    batch_norm: bool
    sigmoid: bool
    seed: int


@dataclass(frozen=True)
class Weights:
    """A trained network as arrays, batch normalization folded into the layer before it."""

    tables: tuple[NDArray[np.float32], ...]
    crosses: tuple[NDArray[np.float32], ...]
    """Weights and bias of one cross layer after the other; weights are output × input, flat."""
    layers: tuple[NDArray[np.float32], ...]


@contextmanager
def keras() -> Iterator[Any]:
    """Keras, or an error that says what to install."""
    require("tensorflow", EXTRA)
    with warnings.catch_warnings():
        # Keras asks TensorFlow for arrays in a way that NumPy 2 has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        yield require("keras", EXTRA)


def build(plan: Architecture) -> Model:
    """The network, untrained. Its inputs: ``columns``, float32, as they come, and ``rows`` of embeddings, int32."""
    with keras() as k:
        seeds = itertools.count(1000 * plan.seed)

        def dense(n: int, name: str, **options: Any) -> Any:
            start = k.initializers.GlorotUniform(seed=next(seeds))
            return k.layers.Dense(n, kernel_initializer=start, name=name, **options)

        inputs, parts = {}, []
        if len(plan.mean):
            columns = inputs["columns"] = k.Input((len(plan.mean),), name="columns")
            scaling = k.layers.Normalization(mean=plan.mean, variance=plan.scale**-2.0, name="scaling")
            scaled = scaling(columns)
            missing = k.ops.isnan(scaled)
            parts.append(k.ops.clip(k.ops.where(missing, 0.0, scaled), -CLIP, CLIP))
            if len(plan.marked):
                parts.append(k.ops.cast(k.ops.take(missing, plan.marked, axis=1), "float32"))
        if plan.rows:
            rows = inputs["rows"] = k.Input((len(plan.rows),), dtype="int32", name="rows")
            for at, n in enumerate(plan.rows):
                start = k.initializers.RandomUniform(-0.05, 0.05, seed=next(seeds))
                table = k.layers.Embedding(
                    n, plan.width, embeddings_initializer=start, name=f"embedding_{at}"
                )
                parts.append(table(rows[:, at]))
        first = x = k.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]
        for at in range(plan.crosses):
            x = k.layers.Add()([k.layers.Multiply()([first, dense(first.shape[1], f"cross_{at}")(x)]), x])
        for at, n in enumerate(plan.hidden):
            x = dense(n, f"hidden_{at}")(x)
            if plan.batch_norm:
                x = k.layers.BatchNormalization(name=f"norm_{at}")(x)
            x = k.layers.ReLU()(x)
            if plan.dropout:
                x = k.layers.Dropout(plan.dropout, seed=next(seeds))(x)
        score = dense(1, "score", activation="sigmoid" if plan.sigmoid else None)(x)
        model = k.Model(inputs, score, name="ranker")
        for at in range(len(plan.rows)):  # what is unknown says nothing until something rare teaches it
            table = model.get_layer(f"embedding_{at}")
            values = table.get_weights()[0]
            values[0] = 0.0
            table.set_weights([values])
        return model


def losses(k: Any, kind: str, group: int) -> Any:
    """The loss by name. Groups of pairs come flat, the positive first; its row carries the loss of all of them."""
    ops = k.ops
    if kind == "binary":
        return k.losses.BinaryCrossentropy()

    def grouped(_: Any, scores: Any) -> Any:
        scores = ops.reshape(scores, (-1, group))
        positive, negatives = scores[:, :1], scores[:, 1:]
        if kind == "pairwise":  # Burges et al., ICML 2005
            each = ops.mean(ops.softplus(negatives - positive), axis=1, keepdims=True)
        else:  # softmax over the group: Cao et al., ICML 2007, with one positive
            each = ops.logsumexp(scores, axis=1, keepdims=True) - positive
        padded = ops.concatenate([group * each, ops.zeros_like(negatives)], axis=1)
        return ops.reshape(padded, (-1,))

    return grouped


@dataclass(frozen=True)
class Stream:
    """Batches without end: one pass over the data after the other."""

    start: Callable[[int], Iterator[Batch]]
    """The batches of a pass, by its number."""
    steps: int
    """Batches in a pass."""

    def __call__(self) -> Iterator[Batch]:
        """Every pass in turn."""
        return itertools.chain.from_iterable(map(self.start, itertools.count()))


def train(
    model: Model,
    pairs: Stream,
    later: Stream | None,
    *,
    loss: str,
    group: int,
    learning_rate: float,
    epochs: int,
    patience: int,
    callback: Callback | None,
) -> dict[str, list[float]]:
    """Train in place; the losses after every epoch.

    With `later` it stops when the loss there has not fallen for `patience` epochs, and goes back to the best.
    """
    tf = require("tensorflow", EXTRA)
    with keras() as k:
        spec = {one.name: tf.TensorSpec(one.shape, one.dtype) for one in model.inputs}
        row = tf.TensorSpec((None,), tf.float32)

        def dataset(stream: Stream) -> Any:
            return tf.data.Dataset.from_generator(stream, output_signature=(spec, row, row)).prefetch(2)

        watchers = []
        if later is not None:
            watchers.append(k.callbacks.EarlyStopping(patience=patience, restore_best_weights=True))
        if callback is not None:
            watchers.append(k.callbacks.LambdaCallback(on_epoch_end=lambda at, _: callback(at + 1, epochs)))
        model.compile(
            optimizer=k.optimizers.Adam(learning_rate), loss=losses(k, loss, group), jit_compile=False
        )
        history = model.fit(
            dataset(pairs),
            epochs=epochs,
            steps_per_epoch=pairs.steps,
            validation_data=None if later is None else dataset(later),
            validation_steps=None if later is None else later.steps,
            callbacks=watchers,
            shuffle=False,
            verbose=0,
        )
        return {name: [float(v) for v in values] for name, values in history.history.items()}


def take_apart(model: Model, plan: Architecture) -> Weights:
    """The trained weights as arrays."""

    def layer(name: str, norm: str | None = None) -> list[NDArray[np.float32]]:
        kernel, bias = (w.astype(np.float64) for w in model.get_layer(name).get_weights())
        if norm is not None:
            batch = model.get_layer(norm)
            gamma, beta, mean, variance = (w.astype(np.float64) for w in batch.get_weights())
            by = gamma / np.sqrt(variance + batch.epsilon)
            kernel, bias = kernel * by, (bias - mean) * by + beta
        return [np.ascontiguousarray(kernel.T, np.float32).ravel(), bias.astype(np.float32)]

    with keras():
        tables = (model.get_layer(f"embedding_{at}").get_weights()[0].ravel() for at in range(len(plan.rows)))
        crosses = (layer(f"cross_{at}") for at in range(plan.crosses))
        hidden = [
            layer(f"hidden_{at}", f"norm_{at}" if plan.batch_norm else None) for at in range(len(plan.hidden))
        ]
        return Weights(
            tuple(tables),
            tuple(itertools.chain.from_iterable(crosses)),
            tuple(itertools.chain.from_iterable([*hidden, layer("score")])),
        )


def to_bytes(model: Model) -> bytes:
    """The model as a `.keras` file."""
    with keras(), tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return path.read_bytes()


def from_bytes(data: bytes) -> Model:
    """The model of a `.keras` file; without its training state."""
    with keras() as k, tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(data)
        return k.models.load_model(path, compile=False)
