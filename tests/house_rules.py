"""The rules of the house that a search can check; run by `make lint`."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RULES = [
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
ALLOWED = {
    ".detach( only in run.rs": ("rust/py/src/run.rs",),
    "unsafe only in simd/ and arrays.rs": (
        "rust/core/src/simd/",
        "rust/py/src/arrays.rs",
        "rust/core/benches/peak.rs",  # what the machine can do
    ),
}


def main() -> int:
    broken = []
    for rule, folder, pattern, ignored in RULES:
        for path in sorted((ROOT / folder).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix not in (".rs", ".py", ".toml") or name.startswith(ALLOWED.get(rule, ("\0",))):
                continue
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(pattern, line) and not re.search(ignored, line):
                    broken.append(f"{name}:{number}: {rule}: {line.strip()}")
    print("\n".join(broken) or f"{len(RULES)} house rules hold")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
