"""What the compiled module offers; `stubtest` holds this file against it in CI."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]
I32: TypeAlias = NDArray[np.int32]
I64: TypeAlias = NDArray[np.int64]
U64: TypeAlias = NDArray[np.uint64]
CsrParts: TypeAlias = tuple[I64, I32, F32]
Progress: TypeAlias = Callable[[int, int], object] | None

__version__: str
build_profile: str
measures: list[str]
metrics: list[str]

@final
class Csr:
    def __new__(cls, indptr: I64, indices: I32, data: F32, n_cols: int, *, name: str = "x") -> Csr: ...
    @property
    def shape(self) -> tuple[int, int]: ...
    @property
    def nnz(self) -> int: ...
    def parts(self) -> CsrParts: ...
    def transpose(self) -> Csr: ...

def encode_ints(values: I64, n_threads: int = 0) -> tuple[I32, I64]: ...
def build_csr(
    users: I32,
    items: I32,
    weights: F32 | None,
    times: I64 | None,
    n_users: int,
    n_items: int,
    duplicates: str,
) -> tuple[I64, I32, F32, I64 | None]: ...
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
    progress: Progress,
) -> CsrParts: ...
def top_k_product(
    a: Csr, b: Csr, k: int, filter: Any, names: tuple[str, str], n_threads: int, progress: Progress
) -> CsrParts: ...
def score_product(a: Csr, b: Csr, pairs: Csr, n_threads: int) -> F32: ...
def top_k_ratings(
    a: Csr,
    b: Csr,
    weights_left: bool,
    baseline: Any,
    k: int,
    filter: Any,
    n_threads: int,
    progress: Progress,
) -> CsrParts: ...
def score_ratings(a: Csr, b: Csr, weights_left: bool, baseline: Any, pairs: Csr, n_threads: int) -> F32: ...
def top_k_common(
    scores: F32, n_rows: int, k: int, filter: Any, n_threads: int, progress: Progress
) -> CsrParts: ...
def top_k_random(
    seed: int, keys: U64, n_cols: int, k: int, filter: Any, n_threads: int, progress: Progress
) -> CsrParts: ...
def score_random(seed: int, keys: U64, pairs: Csr, n_threads: int) -> F32: ...
def weight(
    x: Csr, kind: str, by_items: bool, bm25: tuple[float, float, float], n_threads: int
) -> F32: ...
def biases(
    x: Csr, reg_users: float, reg_items: float, epochs: int, n_threads: int
) -> tuple[float, F32, F32]: ...
def ranking_metrics(
    indptr: I64, indices: I32, truth: Csr, ks: Sequence[int], n_threads: int
) -> tuple[F64, I64, I64]: ...
def default_threads() -> int: ...
def simd_level() -> str: ...
