"""The named inputs of the benchmarks, generated once and kept outside the repository."""

import hashlib
import os
import sys
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from names import string_matching

from ferrec.datasets import synthetic

# name: users, items, interactions
SHAPES = {
    "1m": (6_040, 3_706, 1_000_000),  # MovieLens-1M's
    "20m": (138_493, 26_744, 20_000_000),  # MovieLens-20M's
    "long": (1_000_000, 200_000, 23_000_000),  # a long tail: 1.3 G multiply-adds in XᵀX
    "strings": (200_000, 50_000, 6_653_372),  # queries, names, 3-grams of the queries: 40 G multiply-adds
}

# name: the shape whose users are sampled evenly, and how many
SAMPLES = {"20m-users": ("20m", 20_000)}  # few enough for all pairs of users
NAMES = (*SHAPES, *SAMPLES)


def cache() -> Path:
    """The folder for generated files: `$XDG_CACHE_HOME/ferrec`, by default `~/.cache/ferrec`."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferrec"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(path: Path, x: sp.csr_array) -> None:
    """Writes the parts as they are (rows may be best first) under a temporary name, then renames."""
    part = path.with_name(f"{path.stem}.{os.getpid()}.npz")
    np.savez(part, data=x.data, indices=x.indices, indptr=x.indptr, shape=np.array(x.shape))
    part.replace(path)


def load(path: Path) -> sp.csr_array:
    with np.load(path, allow_pickle=False) as parts:
        return sp.csr_array(
            (parts["data"], parts["indices"], parts["indptr"]), shape=tuple(parts["shape"].tolist())
        )


def path_of(shape: str) -> Path:
    """The file of a named shape, generated where it is missing; another generator gives another file."""
    if shape in SAMPLES:
        return sample(*SAMPLES[shape])
    n_users, n_items, nnz = SHAPES[shape]
    generator = string_matching if shape == "strings" else synthetic
    source = Path(sys.modules[generator.__module__].__file__ or "").read_bytes()
    version = hashlib.sha256(source + repr(SHAPES[shape]).encode()).hexdigest()[:10]
    path = cache() / f"synthetic-{shape}-{version}.npz"
    if not path.exists():
        if shape == "strings":
            queries, known = string_matching(n_users, n_items)
            save(names_of(path), known.T.tocsr())
            save(path, queries)
        else:
            save(path, synthetic(n_users, n_items, nnz, seed=0))
    return path


def names_of(path: Path) -> Path:
    """Beside the queries of the shape `strings`: the matrix 3-grams × names."""
    return path.with_name(f"names-{path.name}")


def sample(shape: str, n_users: int) -> Path:
    """The file of a shape with every n-th user only."""
    whole = path_of(shape)
    path = whole.with_stem(f"{whole.stem}-{n_users}-users")
    if not path.exists():
        x = load(whole)
        save(path, x[np.linspace(0, x.shape[0] - 1, n_users).astype(np.int64)])
    return path


def matrix(shape: str, *, ratings: bool = True) -> sp.csr_array:
    """Users × items, float32 and int32; the same pairs with and without ratings."""
    x = load(path_of(shape))
    if not ratings:
        x.data[:] = 1.0
    return x
