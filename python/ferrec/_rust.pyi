"""What the compiled module offers; `stubtest` holds this file against it in CI."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

_Bool: TypeAlias = NDArray[np.bool_]
_F32: TypeAlias = NDArray[np.float32]
_F64: TypeAlias = NDArray[np.float64]
_I32: TypeAlias = NDArray[np.int32]
_I64: TypeAlias = NDArray[np.int64]
_U32: TypeAlias = NDArray[np.uint32]
_U64: TypeAlias = NDArray[np.uint64]
_CsrParts: TypeAlias = tuple[_I64, _I32, _F32]
_SequenceParts: TypeAlias = tuple[_I64, _I32, _I64 | None]
_Strings: TypeAlias = tuple[_I64, NDArray[np.uint8]]
_Dense: TypeAlias = tuple[_F32, int, int]
_Lists: TypeAlias = tuple[_I64, _I32, int]
_Rows: TypeAlias = tuple[_I64, _F32]
_Progress: TypeAlias = Callable[[int, int], object] | None

__all__ = [
    "Csr",
    "Mlp",
    "Sequences",
    "__version__",
    "als",
    "auc",
    "best",
    "biased_factors",
    "biases",
    "bootstrap_means",
    "build_csr",
    "build_profile",
    "calibrate",
    "category_affinity",
    "check_ragged",
    "cooccurrence",
    "default_threads",
    "embedding_features",
    "encode_ints",
    "event_runs",
    "exposure",
    "find_strings",
    "flaw_of_strings",
    "fold_in",
    "fold_in_als",
    "fold_in_biased",
    "gram_size",
    "hit_ranks",
    "inverse_gram",
    "k_core",
    "latest",
    "latest_items",
    "list_diversity",
    "list_means",
    "measures",
    "metrics",
    "min_max",
    "mmr",
    "number_affinity",
    "places",
    "plan_similar",
    "rank_metrics",
    "ranks",
    "sample_others",
    "score_factors",
    "score_product",
    "score_random",
    "score_ratings",
    "serendipity",
    "shifted_ppmi",
    "sign_flips",
    "simd_level",
    "simd_levels",
    "similarity_features",
    "slim",
    "spread",
    "top_k_common",
    "top_k_factors",
    "top_k_product",
    "top_k_random",
    "top_k_ratings",
    "top_k_similar",
    "truncated_svd",
    "union",
    "values_at",
    "weight",
    "weightings",
]

__version__: str
build_profile: str
measures: list[str]
simd_levels: list[str]
metrics: list[str]
weightings: list[str]

@final
class Csr:
    def __new__(cls, indptr: _I64, indices: _I32, data: _F32, n_cols: int, *, name: str = "x") -> Csr: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def nnz(self) -> int: ...
    def parts(self) -> _CsrParts: ...
    def rows(self, rows: NDArray[np.int32]) -> Csr: ...
    @staticmethod
    def checked_rows(parts: _CsrParts, n_cols: int, rows: _I32, name: str) -> Csr: ...
    def transpose(self) -> Csr: ...

@final
class Mlp:
    def __new__(
        cls,
        scaling: tuple[_F32, _F32, float, Sequence[int]],
        embeddings: Sequence[tuple[_I32, _F32, int]],
        crosses: Sequence[tuple[_F32, _F32]],
        layers: Sequence[tuple[_F32, _F32]],
        sigmoid: bool,
    ) -> Mlp: ...
    def score(
        self,
        columns: Sequence[_F32],
        codes: Sequence[_I32],
        n_pairs: int,
        n_threads: int,
        progress: _Progress,
    ) -> _F32: ...

@final
class Sequences:
    def __new__(
        cls, offsets: _I64, items: _I32, times: _I64 | None, n_items: int, *, name: str = "sequences"
    ) -> Sequences: ...
    @staticmethod
    def from_events(
        users: _I32, items: _I32, times: _I64 | None, n_users: int, n_items: int, n_threads: int
    ) -> Sequences: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def n_events(self) -> int: ...
    def parts(self) -> _SequenceParts: ...
    def rows(self, rows: _I32) -> Sequences: ...
    @staticmethod
    def checked_rows(parts: _SequenceParts, n_items: int, rows: _I32, name: str) -> Sequences: ...
    def counts(self) -> Csr: ...

def encode_ints(values: _I64, n_threads: int = 0) -> tuple[_I32, _I64]: ...
def find_strings(ids: _Strings, wanted: _Strings) -> _I32: ...
def flaw_of_strings(ids: _Strings) -> tuple[str, int] | None: ...
def build_csr(
    users: _I32,
    items: _I32,
    weights: _F32 | None,
    times: _I64 | None,
    n_users: int,
    n_items: int,
    duplicates: str,
) -> tuple[_I64, _I32, _F32, _I64 | None]: ...
def event_runs(
    users: _I32,
    n_users: int,
    items: _I32 | None,
    times: _I64 | None,
    kinds: _I32 | None,
    gap: int,
    n_threads: int,
) -> tuple[_U32, _Bool]: ...
def k_core(x: Csr, k_users: int, k_items: int, n_threads: int) -> tuple[_Bool, _Bool]: ...
def top_k_similar(
    x: Csr,
    queries: Csr | None,
    k: int,
    measure: str,
    axis: str,
    shrink: float,
    alpha: float | None,
    beta: float | None,
    threshold: float | None,
    n_threads: int,
    progress: _Progress,
) -> _CsrParts: ...
def plan_similar(
    x: Csr,
    k: int,
    measure: str,
    axis: str,
    alpha: float | None,
    beta: float | None,
    n_threads: int,
) -> tuple[int, int, int, float, int, int]: ...
def top_k_product(
    a: Csr, b: Csr, k: int, filter: Any, names: tuple[str, str], n_threads: int, progress: _Progress
) -> _CsrParts: ...
def score_product(a: Csr, b: Csr, pairs: Csr, n_threads: int) -> _F32: ...
def top_k_ratings(
    a: Csr,
    b: Csr,
    weights_left: bool,
    baseline: Any,
    k: int,
    filter: Any,
    n_threads: int,
    progress: _Progress,
) -> _CsrParts: ...
def score_ratings(a: Csr, b: Csr, weights_left: bool, baseline: Any, pairs: Csr, n_threads: int) -> _F32: ...
def top_k_common(
    scores: _F32, n_rows: int, k: int, filter: Any, n_threads: int, progress: _Progress
) -> _CsrParts: ...
def top_k_random(
    seed: int, keys: _U64, n_cols: int, k: int, filter: Any, n_threads: int, progress: _Progress
) -> _CsrParts: ...
def score_random(seed: int, keys: _U64, pairs: Csr, n_threads: int) -> _F32: ...
def weight(
    name: str,
    x: Csr,
    weighting: str,
    by_items: bool,
    bm25: tuple[float, float, float],
    reference: Csr | None,
    n_threads: int,
) -> _F32: ...
def biases(
    x: Csr, reg_users: float, reg_items: float, epochs: int, n_threads: int
) -> tuple[float, _F32, _F32]: ...
def gram_size(x: Csr, enough: int, n_threads: int) -> int: ...
def inverse_gram(x: Csr, reg: float, single: bool, n_threads: int, progress: _Progress) -> _F32 | _F64: ...
def cooccurrence(
    users: _I32,
    items: _I32,
    times: _I64 | None,
    sizes: tuple[int, int],
    near: tuple[int | None, int | None],
    n_threads: int,
    progress: _Progress,
) -> Csr: ...
def shifted_ppmi(x: Csr, shift: float, smoothing: float, n_threads: int) -> Csr: ...
def slim(
    x: Csr,
    candidates: Csr | None,
    settings: tuple[float, float, bool, float, int, int],
    n_threads: int,
    progress: _Progress,
) -> tuple[Csr, int]: ...
def top_k_factors(
    queries: _Dense, items: _Dense, k: int, filter: Any, n_threads: int, progress: _Progress
) -> _CsrParts: ...
def score_factors(queries: _Dense, items: _Dense, pairs: Csr, n_threads: int) -> _F32: ...
def fold_in(history: Csr, items: _Dense, n_threads: int) -> _F32: ...
def als(
    x: Csr,
    k: int,
    objective: tuple[float, float, float, float],
    solver: tuple[str, int, int],
    epochs: int,
    seed: int,
    loss: bool,
    n_threads: int,
    progress: _Progress,
) -> tuple[_F32, _F32, _F64]: ...
def fold_in_als(
    name: str, x: Csr, factors: _Dense, objective: tuple[float, float, float, float], n_threads: int
) -> _F32: ...
def biased_factors(
    x: Csr,
    k: int,
    penalties: tuple[float, float, float],
    epochs: int,
    seed: int,
    n_threads: int,
    progress: _Progress,
) -> tuple[float, _F32, _F32]: ...
def fold_in_biased(
    x: Csr, items: _Dense, mean: float, penalties: tuple[float, float, float], n_threads: int
) -> _F32: ...
def truncated_svd(
    x: Csr, k: int, tol: float, center: bool, seed: int, n_threads: int, progress: _Progress
) -> tuple[_F32, _F32, _F32, _F64]: ...
def hit_ranks(recommended: _Lists, truth: Csr, n_threads: int) -> _I32: ...
def exposure(recommended: _Lists, ks: Sequence[int], n_threads: int) -> _I64: ...
def rank_metrics(
    indptr: _I64, ranks: _I32, gains: _F32, n_items: int, ks: Sequence[int], n_threads: int
) -> tuple[_F64, _I64]: ...
def list_means(recommended: _Lists, values: _F64, ks: Sequence[int], n_threads: int) -> _F64: ...
def list_diversity(recommended: _Lists, features: Csr, ks: Sequence[int], n_threads: int) -> _F64: ...
def serendipity(truth: Csr, ranks: _I32, expected: _Lists, ks: Sequence[int], n_threads: int) -> _F64: ...
def auc(positives: _Rows, negatives: _Rows, n_threads: int) -> _F64: ...
def sample_others(exclude: Csr, n: int, seed: int, keys: _U64, n_threads: int) -> tuple[_I64, _I32]: ...
def bootstrap_means(table: _F64, n_cols: int, n_resamples: int, seed: int, n_threads: int) -> _F64: ...
def sign_flips(values: _F64, n_resamples: int, seed: int, n_threads: int) -> int: ...
def latest(users: _I32, keys: _I64 | None, n_users: int, n: int) -> NDArray[np.bool_]: ...
def check_ragged(indptr: _I64, codes: _I32, n_cols: int) -> None: ...
def union(lists: Sequence[tuple[_I64, _I32]], n_cols: int, n_threads: int) -> tuple[_I64, _I32]: ...
def ranks(indptr: _I64, scores: _F32, n_threads: int) -> _F32: ...
def best(lists: tuple[_I64, _I32], n_cols: int, scores: _F32, n: int, n_threads: int) -> _CsrParts: ...
def places(lists: tuple[_I64, _F32], indptr: _I64, scores: _F32, n_threads: int) -> _F32: ...
def min_max(indptr: _I64, scores: _F32, n_threads: int) -> _F32: ...
def mmr(
    lists: tuple[_I64, _I32],
    n_cols: int,
    scores: _F32,
    n: int,
    near: Csr | None,
    vectors: _Dense,
    strength: float,
    n_threads: int,
) -> _CsrParts: ...
def calibrate(
    lists: tuple[_I64, _I32],
    scores: _F32,
    n: int,
    histories: Csr,
    categories: Csr,
    strength: float,
    smoothing: float,
    n_threads: int,
) -> _CsrParts: ...
def values_at(pairs: Csr, matrix: Csr, rows: _I32, absent: float, n_threads: int) -> _F32: ...
def spread(pairs: Csr, columns: Sequence[_F32], of_items: bool, n_threads: int) -> list[_F32]: ...
def category_affinity(pairs: Csr, histories: Csr, categories: Csr, n_threads: int) -> list[_F32]: ...
def number_affinity(pairs: Csr, histories: Csr, numbers: _F32, n_threads: int) -> list[_F32]: ...
def latest_items(history: Csr, times: _I64, n: int, n_threads: int) -> Csr: ...
def similarity_features(
    pairs: Csr, recent: tuple[Csr, _I32, bool], similarity: Csr, n_threads: int
) -> list[_F32]: ...
def embedding_features(
    pairs: Csr, recent: tuple[Csr, _I32, bool], vectors: _Dense, n_threads: int
) -> list[_F32]: ...
def default_threads() -> int: ...
def simd_level() -> str: ...
