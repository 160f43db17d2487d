"""How large blocks may be under a limit of memory, and how much memory is in use."""

import ctypes
import re
from contextlib import suppress
from pathlib import Path

from ferrec import _rust
from ferrec.batch._source import Size
from ferrec.batch.table import EXTRA, Scorer
from ferrec.errors import ParameterError, require
from ferrec.storage import folders

__all__ = ["blocks_within", "in_use", "tidy"]

_MIB = 1 << 20
DEFAULT = Size(rows=1 << 15, entries=1 << 23)
"""Without a limit."""
_LARGEST = Size(rows=1 << 15, entries=1 << 24)
_FEWEST_ROWS = 1 << 8
"""Below this the work between the blocks would outweigh that in them."""

# Bytes; from tests/test_batch_memory.py, which holds real processes against their limits.
_PROCESS = 192 * _MIB
"""Python with NumPy, SciPy and pyarrow."""
_ROW = 256
_ANSWER = 192
"""The answers of the block that is scored and of the one that is written, in all their forms."""
_ENTRY = 48
"""An entry of a history that was read: as it came, as a code, with its weight."""
_ACCUMULATOR = 16
"""Of each item, in each thread."""


def blocks_within(scorer: Scorer, limit: int | None, *, in_order: bool = True) -> Size:
    """Blocks that stay under the limit together with everything else; the same for the same question.

    `in_order` says that users come as the model has them.
    """
    if limit is None:
        return DEFAULT
    model = scorer.model
    items = model.state.shape_of("items")[0]
    threads = model._threads() or _rust.default_threads()
    # The kernels keep a copy of what belongs to the items, in the order that they like.
    fixed = _PROCESS + 2 * folders.resident_bytes(model) + threads * items * _ACCUMULATOR
    if not in_order and scorer.options.history is None:
        fixed += folders.looked_up_bytes(model)
    # One half is for what histories hold, the other for the rows and their answers.
    row = _ROW + scorer.options.n * _ANSWER
    rows = (limit - fixed) // 2 // row
    if rows < _FEWEST_ROWS:
        least = fixed + 2 * _FEWEST_ROWS * row
        raise ParameterError(
            "memory_limit",
            f"{limit / _MIB:,.0f} MiB is too little",
            advice=f"this model and n={scorer.options.n} need at least {-(-least // _MIB):,} MiB",
        )
    entries = (limit - fixed) // 2 // _ENTRY
    # Powers of two, so that a little more or less of anything makes no difference.
    return Size(min(_floor(rows), _LARGEST.rows), min(_floor(entries), _LARGEST.entries))


def _floor(value: int) -> int:
    return 1 << (value.bit_length() - 1)


def tidy(scorer: Scorer, limit: int | None) -> None:
    """Between two blocks, where memory comes near the limit: let go of what can be had again.

    That is what was mapped of the model, and what the allocators keep for later.
    """
    if limit is not None and in_use()[0] > limit // 4 * 3:
        folders.release(scorer.model)
        require("pyarrow", EXTRA).default_memory_pool().release_unused()
        _trim()


def _trim() -> None:
    with suppress(OSError, AttributeError):  # elsewhere than on Linux with glibc
        ctypes.CDLL(None).malloc_trim(0)


def in_use() -> tuple[int, int]:
    """Bytes of this process in memory now, and the most there have been; what the system does not say is 0."""
    status = Path("/proc/self/status")
    if status.exists():
        found = dict(re.findall(r"^(VmRSS|VmHWM):\s*(\d+) kB$", status.read_text(), re.MULTILINE))
        return int(found.get("VmRSS", 0)) << 10, int(found.get("VmHWM", 0)) << 10
    try:
        import resource
    except ImportError:  # Windows
        return 0, 0
    return 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS
