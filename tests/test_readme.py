"""The README is run: its Python as it stands, and the commands it names exist; so is write-your-own.md."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from scripts import HANGS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("at", range(len(PYTHON)))
def test_python_of_the_readme_runs(at, tmp_path):
    code = PYTHON[at]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    for line, expected in re.findall(r"print\((.*)\)\s+# (\[.*\])", code):
        pattern = re.escape(expected).replace("…", r"\d*")
        assert re.search(pattern, done.stdout), f"{line} printed {done.stdout!r}, not {expected}"


def test_python_of_write_your_own_runs(tmp_path):
    """The blocks of the page, one after another, as one script."""
    pytest.importorskip("optuna")
    page = (ROOT / "docs" / "write-your-own.md").read_text()
    script = tmp_path / "page.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL)))
    command = [sys.executable, "-W", "error", script]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_commands_of_the_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"
    for command in set(re.findall(r"^ferrec ([a-z-]+)", README, re.MULTILINE)):
        done = subprocess.run(
            [sys.executable, "-m", "ferrec.cli", command, "--help"],
            capture_output=True,
            text=True,
            timeout=HANGS,
        )
        assert done.returncode == 0, done.stderr


def test_links_of_the_documentation_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
