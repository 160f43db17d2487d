"""Which sections the docstrings of public names must have, and which of them are still missing.

`python tests/docstrings.py` rewrites `docstrings_missing.txt`, the list of what is missing. `test_house.py`
compares it with the sources: nothing may be added to it, and what has been written must leave it.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

LIST = Path(__file__).with_name("docstrings_missing.txt")
FIRST_CALLED = ("fit", "recommend", "score", "explain", "similar_users")
"""Methods that need an example each, as exported functions and classes do."""


def public_names() -> Iterator[tuple[str, Any]]:
    """Every class and function that `ferrec` and its public modules export, once, with its dotted name."""
    import ferrec

    seen: set[int] = set()
    waiting: list[tuple[str, ModuleType]] = [("ferrec", ferrec)]
    for prefix, module in waiting:  # grows while it is read
        names = getattr(module, "__all__", None)
        for name in names if names is not None else _defined_in(module):
            thing = getattr(module, name)
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            if inspect.ismodule(thing):
                waiting.append((f"{prefix}.{name}", thing))
            elif inspect.isclass(thing) or inspect.isfunction(thing):
                yield f"{prefix}.{name}", thing


def _defined_in(module: ModuleType) -> list[str]:
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__
    ]


def missing_sections() -> list[str]:
    """`name: section` of every section that a public docstring lacks, sorted."""
    found = []
    for name, thing in public_names():
        if inspect.isclass(thing):
            found += [f"{name}: {section}" for section in _missing_of_class(thing)]
            for method_name, method in _methods(thing):
                needs_example = method_name in FIRST_CALLED
                sections = _missing_of_function(method, example=needs_example)
                found += [f"{name}.{method_name}: {section}" for section in sections]
        else:
            found += [f"{name}: {section}" for section in _missing_of_function(thing, example=True)]
    return sorted(found)


def _missing_of_class(cls: type) -> Iterator[str]:
    doc = inspect.getdoc(cls) if "__doc__" in vars(cls) else None
    if not doc:
        yield "docstring"
        return
    if not _has(doc, "Attributes") and _undocumented_attributes(cls, doc):
        yield "Attributes"
    if not _has(doc, "See Also"):
        yield "See Also"
    if not _has(doc, "Examples"):
        yield "Examples"


def _undocumented_attributes(cls: type, doc: str) -> list[str]:
    """Public fields that the docstring does not describe, and properties without one of their own."""
    fields = [field.name for field in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else []
    described = {
        name for line in re.findall(r"^(\w[\w, ]*) : ", doc, re.MULTILINE) for name in line.split(", ")
    }
    properties = [
        name for name, value in vars(cls).items() if isinstance(value, property) and not value.__doc__
    ]
    return [name for name in (*fields, *properties) if not name.startswith("_") and name not in described]


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    """Public methods that the class itself introduces; one that overrides another keeps to its sections."""
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        overrides = any(name in vars(base) for base in cls.__mro__[1:])
        if not name.startswith("_") and inspect.isfunction(function) and not overrides:
            yield name, function


def _missing_of_function(function: Any, *, example: bool) -> Iterator[str]:
    doc = inspect.getdoc(function)
    if not doc:
        yield "docstring"
        return
    signature = inspect.signature(function)
    if set(signature.parameters) - {"self", "cls"} and not _has(doc, "Parameters"):
        yield "Parameters"
    returns = str(signature.return_annotation)
    if returns not in ("None", "Self", "NoReturn") and not (_has(doc, "Returns") or _has(doc, "Yields")):
        yield "Returns"
    if _raises(function) and not _has(doc, "Raises"):
        yield "Raises"
    if example and not _has(doc, "Examples"):
        yield "Examples"


def _raises(function: Any) -> bool:
    """Whether the body raises something itself, or checks an argument."""
    source = inspect.getsource(inspect.unwrap(function))
    body = source.replace(inspect.getdoc(function) or "", "")
    return bool(re.search(r"^\s+raise\b|\b_?(check|require)\w*\(", body, re.MULTILINE))


def _has(doc: str, section: str) -> bool:
    return re.search(rf"^{section}\n-+$", doc, re.MULTILINE) is not None


def read_list() -> list[str]:
    """The committed list."""
    return LIST.read_text().splitlines()


if __name__ == "__main__":
    LIST.write_text("".join(f"{line}\n" for line in missing_sections()))
