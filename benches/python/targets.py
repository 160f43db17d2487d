"""What the tables are held against, and what is to be said about single rows; the only place for either.

Ratios of time hold at two threads. A row that misses its target says in `LIMITS` what limits it, with the
profile that shows it.
"""

THREADS = 2

# Row → shape → time of the peer / time of ferrec, at least, for every peer.
RATIOS: dict[str, dict[str, float]] = {
    "items": {"1m": 4.0, "20m": 6.0, "long": 3.0},
    "items-binary": {"1m": 5.0, "20m": 8.0, "long": 4.0},
    "users": {"1m": 4.0, "20m-users": 4.0},
    "recommend": {"1m": 6.0, "20m": 6.0, "long": 4.0},
    "strings": {"any": 3.0},
    "latency": {"1m": 10.0},
    "latency-rows": {"1m": 10.0},
    "factors": {"20m": 1.5},
    "factors-unseen": {"20m": 4.0},
    "factors-svd": {"20m": 3.0},
    "ease": {"1m": 1.5},
    "slim": {"1m": 5.0},
}

# (row, peer) → the same where it depends on the peer and not on the shape.
AGAINST: dict[tuple[str, str], float] = {
    ("svd", "scipy"): 5.0,
    ("svd", "sklearn"): 1.0,
    ("als", "implicit"): 3.0,
    ("als", "irspack"): 2.0,
}

# (row, shape) → seconds of ferrec, at most.
SECONDS: dict[tuple[str, str], float] = {("latency", "1m"): 100e-6}

SCALING = 1.8
"""Time on one thread / time on two, at least."""

MEASURES = 1.5
"""Time of a measure / time of cosine, at most."""

MIB_PER_THREAD = 64.0
"""Peak memory of a kernel above input and answer for each thread, at most; and never above the best peer's."""

MEMORY: dict[str, str] = {"svd": "sklearn"}
"""Row of a model → the peer whose peak memory is not to be exceeded."""

# (row, shape) → what limits a row that misses its target. The shares were read off `perf record` by hand.
LIMITS: dict[tuple[str, str], str] = {
    ("items", "20m"): (
        "of the samples (perf) 25 % are in the scatter loop, 14 % in the panel's additions, 9 % in prefetches:"
        " users' rows come from memory; what was tried is in docs/decisions/0007-pairs.md"
    ),
    ("items-binary", "1m"): (
        "of the samples (perf) 20 % count bits, 7 % sort rows, and two threads are busy for 1.7 (perf stat): half"
        " of the time is preparation, in many short parallel steps"
    ),
    ("items-binary", "long"): (
        "no line has more than a tenth of the samples (perf): counting, listing places, scoring them in groups, and"
        " rewriting 23 M entries share the time; 6 % clear new pages; two threads are busy for 1.66 (perf stat)"
    ),
    ("recommend", "1m"): "dense additions of the head, scatter of the tail: docs/decisions/0004-products.md",
    ("recommend", "20m"): "as at 1m",
    ("latency", "1m"): (
        "55 % of the samples in libpython, 12 % in NumPy, 21 % in the kernel (16 µs): ids to codes and back,"
        " checks; the peer knows rows only"
    ),
    ("svd", "1m"): (
        "1.7 threads busy (process time / time): the decompositions of T are sequential; of the samples (perf) 28 %"
        " are in the products of the matrix, the rest in many short dense steps"
    ),
    ("als", "1m"): (
        "80 % of the samples (perf) are in the conjugate gradients of single rows, on both threads: a row of 64"
        " factors is four registers, and sums wait for each other"
    ),
    ("factors", "20m"): (
        "the tile of products, as in the row that leaves out what was seen; with AVX2 it is at three quarters of"
        " the peak (make bench-peak), and half as fast again as faiss would be more than nine tenths of it"
    ),
    ("factors-unseen", "20m"): (
        "87 % of the kernel's samples (perf) are in the tile of products, which reaches 69 % of the peak of"
        " AVX-512 and three quarters of that of AVX2 (make bench-peak)"
    ),
    ("latency-rows", "1m"): "the kernel takes 16 µs; SciPy's constructor of the answer alone takes 18 µs",
}

# The same for the time on one thread beside two.
SCALING_LIMITS: dict[tuple[str, str], str] = {
    ("threads-items", "1m"): (
        "1.76 threads busy (perf stat), and 7 % more CPU time than on one: preparation in short steps, shared"
        " caches"
    ),
    (
        "threads-items",
        "20m",
    ): "1.77 threads busy (perf stat): what is left is the reading of the input in order",
    (
        "threads-users",
        "1m",
    ): "1.83 threads busy (perf stat), groups of 16 users are the smallest piece of work",
    ("threads-recommend", "1m"): (
        "both threads are busy, and use a tenth more CPU time than one (the JSON file): they share caches"
    ),
}

# Measure → the same for its time beside cosine's.
_FLOATS = (
    "its values are no small codes: rows of 6 bytes an entry instead of 3, float sums; a third of the samples"
    " (perf, 20m) is in their scattered products, and dense blocks of floats are four times slower than of bytes"
)
MEASURE_LIMITS: dict[str, str] = dict.fromkeys(("p3alpha", "rp3beta", "adjusted_cosine", "pearson"), _FLOATS)

# The same for memory.
_COPY = "the matrix anew in the order of popularity, by rows and by columns, is what the speed rests on"
MEMORY_LIMITS: dict[tuple[str, str], str] = {
    ("items", "20m"): f"{_COPY}: 3 bytes an entry each way",
    ("items", "long"): f"{_COPY}: 5 bytes an entry and 5 again; below every peer",
    ("items-binary", "long"): f"{_COPY}; below every peer",
    ("users", "1m"): "11 MiB are lists of candidates, one for each user, and 8 MiB the matrix transposed",
    (
        "users",
        "20m-users",
    ): "35 MiB are lists of candidates, one for each user, and 22 MiB the matrix transposed",
    ("recommend", "1m"): "the similarity, packed in cache lines",
    ("recommend", "long"): (
        "the similarity three times: as given, best first; in order; packed in cache lines, 8 entries in 64 bytes"
    ),
    ("strings", "strings"): "the names once more, packed for the search",
    ("latency", "1m"): "the similarity is packed once it has been read often; it stays so",
    ("latency-rows", "1m"): "as above",
}

# (row, engine) → what is to be known about a peer's number.
PEERS: dict[tuple[str, str], str] = {
    ("items", "lenskit"): (
        "always centers ratings; a subclass leaves that out, so that it answers with the same cosine, and its time"
        " is without centering"
    ),
}


def target(row: str, shape: str, peer: str) -> float | None:
    """The least ratio to the peer, where one is set."""
    ratios = RATIOS.get(row, {})
    return AGAINST.get((row, peer), ratios.get(shape, ratios.get("any")))
