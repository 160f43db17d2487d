"""Columns of text for the terminal."""

from collections.abc import Iterable, Sequence

__all__ = ["aligned", "table"]


def table(rows: Sequence[Sequence[str]], *, words: bool = False) -> str:
    """Columns side by side, the first to the left, the others to the right; with `words` the last to the left, too.

    A column in which nothing stands is left out.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = {0, len(widths) - 1} if words else {0}
    return "\n".join(
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            if width or at == 0
        ).rstrip()
        for row in rows
    )


def aligned(pairs: Iterable[tuple[str, str]], indent: str = "") -> list[str]:
    """Lines of a name and a text each, the texts below each other."""
    pairs = list(pairs)
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"{indent}{name:<{width}}  {text}" for name, text in pairs]
