"""The rankers: what they learn, what they refuse, and that Rust scores as Keras does."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array

import ferrec
from ferrec.candidates import Candidates
from ferrec.kernels import as_csr
from ferrec.labels import Labels
from ferrec.queries import Queries
from ferrec.rankers import MLPRanker

pytest.importorskip("tensorflow", reason="needs the extra tensorflow")


def pairs(n_queries=80, each=12, seed=0, n_items=40, columns=3, missing=False):
    """Pairs that come true when the first column is high and the category is odd; the others say nothing."""
    rng = np.random.default_rng(seed)
    n = n_queries * each
    items = np.sort(
        rng.permuted(np.tile(np.arange(n_items, dtype=np.int32), (n_queries, 1)), axis=1)[:, :each]
    )
    named = {f"number_{at}": rng.normal(3, 2, n).astype(np.float32) for at in range(columns)}
    named["kind"] = rng.integers(0, 7, n).astype(np.float32)
    logit = (named["number_0"] - 3) + 2 * (named["kind"] % 2) - 2.5
    labels = (rng.random(n) < 1 / (1 + np.exp(-2 * logit))).astype(np.float32)
    if missing:
        named["number_1"][rng.random(n) < 0.2] = np.nan
    queries = Queries(
        np.arange(n_queries), as_csr(csr_array((n_queries, n_items))), np.arange(n_queries, dtype=np.int32)
    )
    indptr = np.arange(n_queries + 1, dtype=np.int64) * each
    catalogue = Labels.from_values(range(n_items))
    return Candidates(queries, catalogue, indptr, items.ravel(), named), labels


def ranker(**params):
    return MLPRanker(**{"epochs": 3, "batch_size": 64, "min_count": 1, **params})


def auc(labels, scores):
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    positive = labels == 1
    return (ranks[positive].mean() - (positive.sum() + 1) / 2) / (~positive).sum()


def by_keras(model, candidates):
    state = model._fitted()
    at = np.arange(len(candidates))[:, None]
    from ferrec.rankers._base import Labelled

    labelled = Labelled(candidates, np.zeros(len(at), np.float32), None)
    ((inputs, _, _),) = state.batches(labelled, at, len(at))
    return model.keras_model.predict(inputs, verbose=0).ravel()


VARIANTS = {
    "plain": {},
    "ids": {"ids": ("user", "item"), "embedding_size": 3, "hidden": (5,)},
    "cross, hashed": {"cross_layers": 2, "hidden": (), "buckets": 3},
    "norm, every pair": {"batch_norm": True, "dropout": 0.2, "negatives": None},
    "pairwise": {"loss": "pairwise", "negatives": 3},
    "listwise": {"loss": "listwise", "negatives": 5},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_rust_scores_as_keras(variant):
    candidates, labels = pairs(missing=True)
    model = ranker(**VARIANTS[variant]).fit(candidates, labels, categories=["kind"])
    fresh, _ = pairs(seed=5, missing=True)
    fresh.columns["kind"][:5] = [99, np.nan, 2**23, 1.5, -3]  # what fit has not seen
    fresh.columns["number_0"][:3] = [np.nan, 1e30, -1e30]
    fresh.columns["number_2"][:2] = [np.inf, -np.inf]
    scores = model.score(fresh)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, by_keras(model, fresh), atol=1e-5, rtol=1e-5)
