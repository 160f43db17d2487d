"""The house rules that need the package itself, and what the rules that read sources find."""

import json
import subprocess
import sys

import pytest
from docstrings import missing_sections, public_names, read_list
from house_rules import private_imports

import ferrec


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from ferrec.io import _files", ["ferrec.io._files"]),
        ("from ferrec.io._files import read", ["ferrec.io._files.read"]),
        ("from ferrec.io.files import _read", ["ferrec.io.files._read"]),
        ("import ferrec.io._files", ["ferrec.io._files"]),
        ("from ..io import _files", ["ferrec.io._files"]),
        ("from ferrec.io import files\nfiles._read()", ["ferrec.io.files._read"]),
        ("import ferrec.io\nferrec.io._read()", ["ferrec.io._read"]),
        ("def f():\n    from ferrec.io._files import read", ["ferrec.io._files.read"]),
        ("from ferrec.io import files\nfiles.read()", []),
        ("from ferrec.models._base import _check", []),  # its own package
        ("from ._base import _check", []),
        ("from ferrec import _rust", []),
        ("from numpy import _globals", []),
        ("from ferrec import __version__", []),
    ],
)
def test_private_imports_are_found(source, found):
    assert [target for _, target in private_imports(source, "ferrec.models.als")] == found


def test_docstrings_have_their_sections():
    """But for those in the list, which may only shrink: `python tests/docstrings.py` takes out what is written."""
    missing, listed = set(missing_sections()), set(read_list())
    assert not missing - listed, "write these sections"
    assert not listed - missing, "these are written: run `python tests/docstrings.py`"


def test_public_names_are_found():
    names = dict(public_names())
    assert {"ferrec.ItemKNN", "ferrec.kernels.top_k_similar", "ferrec.testing.check_recommender"} <= set(
        names
    )
    assert not any(part.startswith("_") for name in names for part in name.split("."))


def test_dir_shows_public_names_only():
    """Before and after everything has been used."""
    code = """
import json, ferrec
before = dir(ferrec)
for name in before:
    getattr(ferrec, name)
import ferrec.batch, ferrec.cli, ferrec.io
print(json.dumps([before, dir(ferrec), ferrec.__all__]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after, exported = json.loads(done.stdout)
    assert before == after == sorted(exported) == dir(ferrec)
    assert not [name for name in before if name.startswith("_") and name != "__version__"]
