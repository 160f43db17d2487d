"""Scripts that run in a process of their own."""

import json
import os
import subprocess
import sys

HANGS = 250
"""Seconds after which a process counts as hanging: no bound of what it may take."""


def said_by(folder, text, *arguments, timeout=HANGS, **env):
    """Runs the text as a script in the folder; what its last line of output says, read as JSON."""
    script = folder / f"script-{abs(hash(text))}.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", script, *arguments],
        env=os.environ | env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
