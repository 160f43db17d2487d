"""Company-like names and their 3-grams: the string-matching shape, generated from a seed."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

ONSETS = [
    "b",
    "br",
    "c",
    "ch",
    "cl",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gr",
    "h",
    "j",
    "k",
    "l",
    "m",
    "n",
    "p",
    "pr",
    "qu",
    "r",
    "s",
    "sh",
    "st",
    "t",
    "tr",
    "v",
    "w",
]
VOWELS = ["a", "a", "e", "e", "i", "i", "o", "o", "u", "ai", "ea", "ee", "io", "ou"]
CODAS = ["", "", "", "n", "r", "s", "l", "t", "x", "nd", "rt", "ck", "m"]
SUFFIXES = ["", " inc", " llc", " ltd", " co", " corp", " gmbh", " group", " holdings", " limited", " & sons"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def names(n: int, rng: np.random.Generator) -> list[str]:
    """Two to four words of a vocabulary with a few very frequent ones, and often a legal form."""
    vocabulary = []
    for size in rng.choice([1, 2, 2, 3, 3, 4], 20_000):
        pieces = (rng.choice(part) for _ in range(size) for part in (ONSETS, VOWELS, CODAS))
        vocabulary.append("".join(pieces))
    words = np.minimum(rng.zipf(1.25, (n, 4)) - 1, 10**9) % len(vocabulary)
    rare = rng.integers(0, len(vocabulary), n)
    lengths, ends = rng.integers(1, 4, n), rng.integers(0, len(SUFFIXES), n)
    return [
        " ".join([vocabulary[r], *(vocabulary[w] for w in row[:length])]) + SUFFIXES[end]
        for r, row, length, end in zip(rare, words, lengths, ends, strict=True)
    ]


def misspelt(name: str, rng: np.random.Generator) -> str:
    """The name as somebody else typed it: other legal form, letters changed, dropped, doubled or swapped."""
    if rng.random() < 0.4:
        suffix = next((s for s in SUFFIXES[1:] if name.endswith(s)), "")
        name = name.removesuffix(suffix) + SUFFIXES[rng.integers(len(SUFFIXES))]
    for _ in range(rng.poisson(1.0)):
        at = int(rng.integers(0, max(len(name) - 1, 1)))
        head, one, tail = name[:at], name[at : at + 1], name[at + 1 :]
        kind = rng.integers(4)
        changed = [LETTERS[rng.integers(26)], "", one * 2, tail[:1] + one][kind]
        name = head + changed + (tail[1:] if kind == 3 else tail)
    return name


def grams(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For every character 3-gram, in order: its text's number, and the gram as one integer."""
    data = np.frombuffer("".join(texts).encode("ascii"), np.uint8).astype(np.int64)
    lengths = np.array([len(text) for text in texts])
    text = np.repeat(np.arange(len(texts)), lengths)
    codes = data[:-2] << 16 | data[1:-1] << 8 | data[2:]
    inside = text[:-2] == text[2:]
    return text[:-2][inside], codes[inside]


def string_matching(n_queries: int, n_names: int, seed: int = 0) -> tuple[sp.csr_array, sp.csr_array]:
    """TF-IDF of character 3-grams, rows of length 1 in float32: queries × grams, names × grams.

    As scikit-learn's `TfidfVectorizer(analyzer="char", ngram_range=(3, 3))` fitted on the names.
    """
    rng = np.random.default_rng(seed)
    known = names(n_names, rng)
    asked = [misspelt(known[at], rng) for at in rng.integers(0, n_names, n_queries)]
    rows, codes = grams(known)
    vocabulary, columns = np.unique(codes, return_inverse=True)
    right = counts(rows, columns, (n_names, len(vocabulary)))
    document_frequency = np.bincount(right.indices, minlength=len(vocabulary))
    idf = np.log((1 + n_names) / (1 + document_frequency)) + 1
    rows, codes = grams(asked)
    at = np.minimum(np.searchsorted(vocabulary, codes), len(vocabulary) - 1)
    seen = vocabulary[at] == codes
    left = counts(rows[seen], at[seen], (n_queries, len(vocabulary)))
    return weighted(left, idf), weighted(right, idf)


def counts(rows: NDArray[np.int64], columns: NDArray[np.int64], shape: tuple[int, int]) -> sp.csr_array:
    x = sp.coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()
    x.sort_indices()
    return x


def weighted(x: sp.csr_array, idf: NDArray[np.float64]) -> sp.csr_array:
    data = x.data * idf[x.indices]
    rows = np.repeat(np.arange(x.shape[0]), np.diff(x.indptr))
    norms = np.sqrt(np.bincount(rows, data**2, minlength=x.shape[0]))
    data = (data / norms[rows]).astype(np.float32)
    return sp.csr_array((data, x.indices.astype(np.int32), x.indptr.astype(np.int32)), shape=x.shape)
