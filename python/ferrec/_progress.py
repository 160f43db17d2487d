"""Progress bars: a kernel reports `(done, total)`, tqdm draws it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from ferrec.errors import require

Callback = Callable[[int, int], object]


def bar(progress: bool | Callback, label: str) -> AbstractContextManager[Callback | None]:
    """The callback for a kernel: the caller's own, one that draws a bar (`True`), or none (`False`)."""
    if callable(progress):
        return nullcontext(progress)
    return _drawn(label) if progress else nullcontext()


@contextmanager
def _drawn(label: str) -> Iterator[Callback]:
    tqdm = require("tqdm", extra="progress").tqdm
    with tqdm(
        desc=label,
        total=100.0,
        unit="%",
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}",
    ) as t:

        def draw(done: int, total: int) -> None:
            if total:
                t.update(100.0 * done / total - t.n)

        yield draw
        t.update(100.0 - t.n)
