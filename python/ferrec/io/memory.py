"""How much memory there is, and the refusal of what does not fit."""

import os
from pathlib import Path

_GIB = 1 << 30


def require_memory(what: str, size: int, advice: str) -> None:
    """Refuse work that needs more bytes than are free: before hours are lost, and before the system kills."""
    free = free_bytes()
    if free is not None and size > free:
        raise MemoryError(f"{what} needs {size / _GIB:.1f} GiB, and {free / _GIB:.1f} GiB are free; {advice}")


def free_bytes(proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that this process can have without swapping, where the system says.

    The least of what the machine has free and of what each control group (version 1 or 2) that the process is in
    has left. What the kernel only caches for files counts as free.
    """
    known = [_machine(proc), *_control_groups(proc, groups)]
    return min((free for free in known if free is not None), default=None)


def _machine(proc: Path) -> int | None:
    fields = _fields(proc / "meminfo")
    if "MemAvailable:" in fields:
        return fields["MemAvailable:"] * 1024
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _control_groups(proc: Path, groups: Path) -> list[int]:
    """What is left in the process's own group and in those around it."""
    found = []
    for line in _read(proc / "self" / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            root, names = groups, ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            root, names = groups / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        own = root / path.lstrip("/")
        # In a container the path may be the host's, while only the own group can be seen, as the root.
        while root in own.parents or own == root:
            left = _left(own, *names)
            if left is not None:
                found.append(left)
            own = own.parent
    return found


def _left(group: Path, limit: str, usage: str, prefix: str) -> int | None:
    try:
        most, used = int(_read(group / limit)), int(_read(group / usage))
    except ValueError:  # no such file, or "max"
        return None
    stat = _fields(group / "memory.stat")
    cached = sum(stat.get(f"{prefix}{kind}_file", 0) for kind in ("active", "inactive"))
    return max(most - used + cached, 0)


def _fields(path: Path) -> dict[str, int]:
    """A file of lines with a name and a number."""
    lines = (line.split() for line in _read(path).splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
