"""The demo's input, modules of Python's standard library, and what is looked for in them.

`merges` says what one module adds to the shared keys, and `expected` computes what these must hold in the end by plain
Python, without pgstate: the demo compares the two.
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgstate import ops

COUNT = 24


@dataclass(frozen=True, slots=True)
class Found:
    """What one module's source holds."""

    module: str
    lines: int
    functions: int
    classes: int
    names: frozenset[str]
    imports: frozenset[str]


def choose(count: int = COUNT) -> dict[str, Path]:
    """The modules with the longest sources, as a mapping of names to files in the order of the names.

    Only public ones that are a single file, so that a name and a file mean the same. Raises FileNotFoundError where
    this Python came without sources.
    """
    library = Path(sysconfig.get_path("stdlib"))
    files = {name: library / f"{name}.py" for name in sys.stdlib_module_names if not name.startswith("_")}
    sizes = {name: path.stat().st_size for name, path in files.items() if path.is_file()}
    if len(sizes) < count:
        raise FileNotFoundError(f"there are only {len(sizes)} modules with source in {library}; the demo reads {count}")
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:count]
    return {name: files[name] for name in sorted(largest)}


def analyse(module: str, path: Path) -> Found:
    """Parses a module's source. Blocks."""
    source = path.read_bytes()
    tree = ast.parse(source, filename=str(path))
    nodes = list(ast.walk(tree))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return Found(
        module=module,
        lines=len(source.splitlines()),
        functions=sum(isinstance(node, definitions[:2]) for node in nodes),
        classes=sum(isinstance(node, ast.ClassDef) for node in nodes),
        names=frozenset(n.name for n in tree.body if isinstance(n, definitions) and not n.name.startswith("_")),
        imports=frozenset(name for node in nodes for name in _imported(node)),
    )


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.partition(".")[0]]
    return []


def merges(found: Found) -> list[dict[str, Any]]:
    """What a module adds to the shared keys, as operations for `State.apply`."""
    summary = {"lines": found.lines, "functions": found.functions, "classes": found.classes}
    return [
        ops.merge("totals/modules", 1, "add"),
        ops.merge("totals/lines", found.lines, "add"),
        ops.merge("totals/functions", found.functions, "add"),
        ops.merge("totals/classes", found.classes, "add"),
        ops.merge("totals/longest", found.lines, "max"),
        ops.merge("totals/shortest", found.lines, "min"),
        ops.merge("names", sorted(found.names), "union"),
        ops.merge("modules", {found.module: summary}, "merge"),
        *(ops.merge(f"imports/{name}", 1, "add") for name in sorted(found.imports)),
    ]


def expected(all_found: Iterable[Found]) -> dict[str, Any]:
    """Keys and values that must come out, whoever merged what when."""
    found = list(all_found)
    imported = Counter(name for one in found for name in one.imports)
    return {
        "totals/modules": len(found),
        "totals/lines": sum(one.lines for one in found),
        "totals/functions": sum(one.functions for one in found),
        "totals/classes": sum(one.classes for one in found),
        "totals/longest": max(one.lines for one in found),
        "totals/shortest": min(one.lines for one in found),
        "names": sorted({name for one in found for name in one.names}),
        "modules": {
            one.module: {"lines": one.lines, "functions": one.functions, "classes": one.classes} for one in found
        },
        **{f"imports/{name}": count for name, count in imported.items()},
    }
