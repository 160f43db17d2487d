"""The tables of docs/accuracy.md, from what is recorded. The words around them are written by hand."""

import json
import re
from pathlib import Path

from contestants import CONTESTANTS, Json
from holdouts import RATINGS, SETS
from tables import markdown

CUTS = {"lastfm-hetrec": 10}
"""Cut-offs that are not 20, where published figures have another."""

PUBLISHED = {
    "biases": (0.944, 0.748),
    "k-NN baseline": (0.931, 0.733),
    "SVD": (0.934, 0.737),
    "SVD++": (0.919, 0.721),
}
"""RMSE and MAE in Surprise's README: MovieLens-100K, five folds of its own."""


def write_page(page: Path, record: Path) -> None:
    """Replace the tables between the page's marks; those of what is not recorded stay."""
    text = page.read_text()
    for name in (*SETS, RATINGS):
        path = record / f"{name}.json"
        if path.exists():
            models = json.loads(path.read_text())["models"]
            rows = ratings_table(models) if name == RATINGS else ranking_table(name, models)
            text = filled(text, name, rows)
    page.write_text(filled(text, "grids", grids_table()))
    print(f"wrote {page}")


def filled(text: str, name: str, rows: list[str]) -> str:
    """The text with the rows between `<!-- name -->` and `<!-- end -->`."""
    block = re.compile(rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not block.search(text):
        return text
    inside = "\n".join(["", *rows, "", ""])
    return block.sub(lambda found: f"{found[1]}{inside}{found[2]}", text)


def ranking_table(name: str, models: Json) -> list[str]:
    cut = CUTS.get(name, 20)
    known = {model: models[model] for model in CONTESTANTS if "report" in models.get(model, {})}
    if not known:
        return []
    order = sorted(known, key=lambda model: -known[model]["report"][f"recall@{cut}"])
    rows = [
        [
            model,
            f"{CONTESTANTS[model].package} {known[model]['version']}",
            *(f"{known[model]['report'][f'{metric}@{cut}']:.4f}" for metric in ("recall", "ndcg")),
            str(len(known[model]["trials"])),
            values(known[model]["report"]["params"]),
        ]
        for model in order
    ]
    users, error = (max(known[model]["report"][key] for model in order) for key in ("users", "error"))
    columns = ["model", "library", f"Recall@{cut}", f"NDCG@{cut}", "trials", "chosen"]
    return [
        *markdown(columns, rows),
        "",
        f"{users:,} users; standard error of a Recall@20 at most {error:.4f}.",
    ]


def ratings_table(models: Json) -> list[str]:
    rows = []
    for name, one in models.items():
        rmse, mae = one["report"]["rmse"], one["report"]["mae"]
        rows.append(
            [name, f"ferrec {one['version']}", f"{rmse:.3f}", f"{mae:.3f}", values(one["report"]["params"])]
        )
    rows += [[name, "published", f"{rmse:.3f}", f"{mae:.3f}", ""] for name, (rmse, mae) in PUBLISHED.items()]
    rows.sort(key=lambda row: -float(row[2]))
    return markdown(["model", "library", "RMSE", "MAE", "parameters"], rows)


def grids_table() -> list[str]:
    rows = []
    for name, one in CONTESTANTS.items():
        tried = {key: list(dict.fromkeys(point[key] for point in one.grid)) for key in one.grid[0]}
        shown = "; ".join(f"{key} of {', '.join(map(str, options))}" for key, options in tried.items())
        rows.append([name, one.package, str(len(one.grid)), shown or "nothing"])
    return markdown(["model", "library", "trials", "tried"], rows)


def values(params: Json) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items())
