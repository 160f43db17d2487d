"""Progress: whoever works reports `(done, total)`, tqdm draws it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from ferrec.errors import require

Callback = Callable[[int, int], object]

_SHARE = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
_COUNT = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt} of {total_fmt}{unit}, {rate_fmt}, {elapsed}<{remaining}"


def bar(
    progress: bool | Callback, label: str, *, unit: str | None = None
) -> AbstractContextManager[Callback | None]:
    """The callback for a kernel: the caller's own, one that draws a bar (`True`), or none (`False`).

    The bar shows shares of the work or, where there is a unit, how many are done and how many a second.
    """
    if callable(progress):
        return nullcontext(progress)
    return _drawn(label, unit) if progress else nullcontext()


@contextmanager
def _drawn(label: str, unit: str | None) -> Iterator[Callback]:
    tqdm = require("tqdm", extra="progress").tqdm
    settings: dict[str, Any] = {"total": 100.0, "unit": "%", "bar_format": _SHARE}
    if unit is not None:
        settings = {"total": None, "unit": f" {unit}", "unit_scale": True, "bar_format": _COUNT}
    with tqdm(desc=label, **settings) as drawn:

        def draw(done: int, total: int) -> None:
            if total:
                drawn.total = total if unit is not None else 100.0
                drawn.update(drawn.total * done / total - drawn.n)

        yield draw
        drawn.update((drawn.total or 0) - drawn.n)
