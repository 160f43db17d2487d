"""The house rules that reading the sources can check; run by `make lint`."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SEARCHES = [
    ("pyo3 and numpy stay out of the core", "rust/core", r"\b(pyo3|numpy)\b(?!, no)", r"^\s*//"),
    (".detach( only in run.rs", "rust/py/src", r"\.detach\(", r"^$"),
    ("unsafe only in simd/ and arrays.rs", "rust", r"\bunsafe\b", r"^\s*//|unsafe_op_in_unsafe_fn"),
    (
        "no unwrap, expect, panic or assert in the binding",
        "rust/py",
        r"\.unwrap\(\)|\.expect\(|panic!|assert!",
        r"^$",
    ),
    ("no hasattr(self", "python", r"hasattr\(self", r"^$"),
    (
        "optional packages are imported inside functions",
        "python",
        r"^(import|from) (tensorflow|keras|ray|pyspark|sklearn|matplotlib|pandas|pyarrow|narwhals|tqdm|polars"
        r"|gensim|optuna|lightgbm)\b",
        r"^$",
    ),
]
"""Rule, folder, what must not be found in a line there, and lines that do not count."""

ALLOWED = {
    ".detach( only in run.rs": ("rust/py/src/run.rs",),
    "unsafe only in simd/ and arrays.rs": (
        "rust/core/src/simd/",
        "rust/py/src/arrays.rs",
        "rust/core/benches/peak.rs",  # what the machine can do
    ),
}
PACKAGE = "ferrec"
SHARED = {"_rust"}
"""The compiled module is private to users and open to every package."""


def found_by_search() -> Iterator[str]:
    """Lines that a search finds and that must not be there."""
    for rule, folder, pattern, ignored in SEARCHES:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix not in (".rs", ".py", ".toml") or name.startswith(ALLOWED.get(rule, ("\0",))):
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(pattern, line) and not re.search(ignored, line):
                    yield f"{name}:{number}: {rule}: {line.strip()}"


def private_imports(source: str, module: str) -> Iterator[tuple[int, str]]:
    """Private names and modules of another package that a module uses: the line, and what is used there.

    `module` is the dotted name, with `.__init__` for the file of a package. A package is what lies directly in
    `ferrec/`: a folder with all that is below it, or a single file. Names count that are imported
    (`from ferrec.io import _x`, `from ferrec.io._files import x`), and those that are taken from an imported module
    (`files._x`).
    """
    own = module.split(".")[1]
    modules: dict[str, str] = {}
    tree = ast.parse(source)
    for node in ast.walk(tree):
        targets = []
        if isinstance(node, ast.Import):
            for alias in node.names:
                targets.append(alias.name)
                modules[alias.asname or alias.name] = alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join([*module.split(".")[: -node.level], *filter(None, [base])])
            targets = [f"{base}.{alias.name}" for alias in node.names]
            modules |= {alias.asname or alias.name: f"{base}.{alias.name}" for alias in node.names}
        for target in targets:
            if _is_private(target, own):
                yield node.lineno, target
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            target = modules.get(ast.unparse(node.value))
            # A class is no module: its private names are for its subclasses.
            if (
                target
                and not target.rpartition(".")[2][:1].isupper()
                and _is_private(f"{target}.{node.attr}", own)
            ):
                yield node.lineno, f"{target}.{node.attr}"


def _is_private(target: str, own: str) -> bool:
    top, *path = target.split(".")
    if top != PACKAGE or path[:1] == [own] or (path and path[0] in SHARED):
        return False
    return any(name.startswith("_") and not name.endswith("__") for name in path)


def found_by_imports() -> Iterator[str]:
    """Imports of private names across packages."""
    for path in sorted((ROOT / "python" / PACKAGE).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "python").with_suffix("").parts)
        for number, target in private_imports(path.read_text(), module):
            yield f"{path.relative_to(ROOT)}:{number}: no private names of another package: {target}"


def circles(imports: dict[str, set[str]]) -> Iterator[list[str]]:
    """Modules that import each other, each circle once, from its first name on."""

    def paths(start: str, path: list[str]) -> Iterator[list[str]]:
        for name in sorted(imports.get(path[-1], ())):
            if name == start:
                yield path
            elif name > start and name not in path:
                yield from paths(start, [*path, name])

    for start in sorted(imports):
        yield from paths(start, [start])


def rust_imports(folder: Path) -> dict[str, set[str]]:
    """The modules that each module directly in `folder` imports; a folder of files is one module.

    The tests at the end of a file do not count.
    """
    imports: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.rs")):
        module = path.relative_to(folder).with_suffix("").parts[0]
        code = path.read_text().partition("#[cfg(test)]")[0]
        named = set(re.findall(r"^\s*(?!//).*?\bcrate::(\w+)", code, re.MULTILINE))
        imports.setdefault(module, set()).update(named - {module})
    return {module: {name for name in named if name in imports} for module, named in imports.items()}


def found_by_circles() -> Iterator[str]:
    """Modules of the core that import each other in a circle."""
    for circle in circles(rust_imports(ROOT / "rust/core/src")):
        yield f"rust/core/src: no circle of modules: {' → '.join([*circle, circle[0]])}"


def main() -> int:
    """Print what breaks a rule; 1 where anything does."""
    broken = [*found_by_search(), *found_by_imports(), *found_by_circles()]
    print("\n".join(broken) or f"{len(SEARCHES) + 2} house rules hold")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
