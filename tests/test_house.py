"""The house rules that need the package itself, and what the rules that read sources find."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

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


PUBLIC_MODULES = {
    name: module
    for name, module in ((name, getattr(ferrec, name)) for name in ferrec.__all__)
    if isinstance(module, ModuleType)
} | {"distributed.ray": ferrec.distributed.ray, "distributed.spark": ferrec.distributed.spark}


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_public_modules_show_public_names_only(name):
    module = PUBLIC_MODULES[name]
    assert dir(module) == sorted(module.__all__)
    assert all(hasattr(module, each) for each in dir(module))
    wanted = max(dir(module), key=len)
    with pytest.raises(
        AttributeError, match=f"module 'ferrec.{name}' has no attribute .*; did you mean '{wanted}'"
    ):
        getattr(module, wanted + "e")


def test_public_packages_are_reached_without_an_import():
    page = (Path(__file__).parents[1] / "docs" / "conventions.md").read_text()
    packages = set(re.findall(r"`ferrec\.(\w+)`", page.partition("## Parameters")[0])) - {"__all__"}
    assert packages <= set(ferrec.__all__)


def _public_callables():
    """Every public function, and every public method written by hand, by its dotted name."""
    for name, thing in public_names():
        if inspect.isfunction(thing):
            yield name, thing
        elif name in ("ferrec.Sequences", "ferrec.Interactions", "ferrec.evaluation.Comparison"):
            for method, value in vars(thing).items():
                if not method.startswith("_") and callable(getattr(thing, method)):
                    yield f"{name}.{method}", getattr(value, "__func__", value)


PLUMBING = {
    "ferrec.models.as_csr": "what models are written with: called for each of their calls",
    "ferrec.models.rank_scores": "what models are written with",
    "ferrec.models.to_scipy": "what models are written with",
}


def test_unknown_keywords_are_answered():
    found = dict(_public_callables())
    assert len(found) > 50
    for name, function in found.items():
        parameters = list(inspect.signature(function).parameters.values())
        keywords = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty]
        if not keywords or name in PLUMBING or any(p.kind is p.VAR_KEYWORD for p in parameters):
            continue
        wanted = max(keywords, key=len)
        with pytest.raises(ferrec.ParameterTypeError, match="has no such argument, it has"):
            function(**{f"{wanted}_": None})
