"""`ferrec inspect`: what a saved model is."""

import argparse
from collections.abc import Mapping
from typing import Any

from ferrec.cli.common import Answer, Commands, add_command
from ferrec.cli.models import add_model
from ferrec.io.text import aligned
from ferrec.storage import folders

__all__ = ["add"]


def add(commands: Commands) -> None:
    """The command and its options."""
    parser = add_command(
        commands,
        "inspect",
        _run,
        "show what a saved model is: parameters, data, sizes, checksum",
        """
        ferrec inspect model/
        ferrec inspect model/ --verify --json
        """,
    )
    add_model(parser)
    parser.add_argument(
        "--verify", action="store_true", help="read everything, and compare it with the checksums"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")


def _run(args: argparse.Namespace) -> Answer:
    info = folders.inspect(args.model, verify=args.verify)
    params = " ".join(f"{name}={value}" for name, value in info["params"].items())
    rows = [
        ("model", f"{info['model']} {params}".rstrip()),
        ("saved", f"{info['saved']} by ferrec {info['ferrec']}"),
        ("data", f"{info['users']:,} users × {info['items']:,} items, {info['pairs']:,} pairs"),
        ("checksum", info["checksum"] + (" (verified)" if info["verified"] else "")),
        ("size", f"{info['bytes']:,} bytes"),
    ]
    rows += [(f"  {name}", _described(entry)) for name, entry in info["files"].items()]
    return info, "\n".join(aligned(rows))


def _described(entry: Mapping[str, Any]) -> str:
    """An array, or the index of a model that is part of this one, or another file."""
    size = f"{entry['bytes']:,} bytes"
    return f"{entry['dtype']} × {'×'.join(map(str, entry['shape']))}, {size}" if "dtype" in entry else size
