"""Where a record was made: machine, commit, build, versions."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("FERREC_DATA", REPOSITORY.parent / "shared" / "data"))
"""Real data, which is not part of ferrec."""
PACKAGES = (
    "ferrec",
    "numpy",
    "scipy",
    "sklearn",
    "similaripy",
    "sparse_dot_topn",
    "implicit",
    "lenskit",
    "irspack",
    "faiss",
    "gensim",
)
DISTRIBUTIONS = {"sklearn": "scikit-learn", "faiss": "faiss-cpu"}
"""Where they have another name than the package."""


def machine(threads: int) -> Json:
    from ferrec import _rust

    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "threads": threads,
        "commit": commit(),
        "build_profile": _rust.build_profile,
        "simd": _rust.simd_level(),
        "versions": {name: version(name) for name in PACKAGES if installed(name)},
    }


def package(engine: str) -> str:
    """Whose an engine is: "ferrec-cholesky" is ferrec's."""
    return engine.partition("-")[0]


def version(package: str) -> str:
    return importlib.metadata.version(DISTRIBUTIONS.get(package, package))


def installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        fields = r"^(model name|cpu family|model)\s*:\s*(.+)$"
        found = dict(re.findall(fields, info.read_text(), re.MULTILINE))
        if "model name" in found:
            return f"{found['model name']} (family {found.get('cpu family')}, model {found.get('model')})"
    return platform.processor() or platform.machine()


def commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/record")
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + ("-dirty" if changed else "")
