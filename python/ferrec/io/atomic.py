"""Files and folders that appear under their name only when they are whole."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ferrec.io.tables import PathLike, as_path

__all__ = ["new_folder", "replacing", "sync_file"]


@contextmanager
def replacing(path: PathLike) -> Iterator[BinaryIO]:
    """A file to write that appears under its name only when all went well.

    Whatever interrupts the block, Ctrl-C too, removes the temporary file and leaves an older one as it was.
    """
    target = as_path("path", path)
    if target.is_dir():
        raise IsADirectoryError(f"{target}: is a folder; name a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"{target.parent}: no such folder")
    # A new file gets the permissions of the umask, which one from tempfile would not.
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            sync_file(file)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):  # what went wrong is the news
            temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


@contextmanager
def new_folder(path: PathLike) -> Iterator[Path]:
    """A folder to fill that appears under its name only when all went well, in the place of an older one.

    Parents are made. Whatever interrupts the block leaves an older folder as it was.
    """
    target = as_path("path", path)
    target.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield made
        made.chmod(0o755)  # one from tempfile is its owner's alone
        _put_in_place(made, target)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _put_in_place(made: Path, target: Path) -> None:
    """Rename; a folder that is there steps aside first and is removed last."""
    if not target.exists():
        made.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent)) / "old"
    target.rename(aside)
    try:
        made.rename(target)
    except BaseException:
        aside.rename(target)
        raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)


def sync_file(file: BinaryIO) -> None:
    """Bring what was written to the disk."""
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name last; only POSIX can open a folder."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
