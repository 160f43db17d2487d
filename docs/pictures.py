"""Draw the pictures of `docs/preparation.md` into `docs/img`: the description of a year of grocery purchases.

python docs/pictures.py
"""

from pathlib import Path

from ferrec import describe
from ferrec.datasets import complete_journey
from ferrec.description._page import figures
from ferrec.io.html import svg

IMAGES = Path(__file__).parent / "img"


def main() -> None:
    """One SVG for each figure of the page, in light and dark."""
    found = describe(complete_journey().transactions, time="time")
    for name, heading, _, figure in figures(found.to_dict()):
        (IMAGES / f"describe-{name}.svg").write_text(
            svg(figure, heading, alone=True) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
