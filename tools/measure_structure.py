"""Print the structure of a source tree: packages, imports between them, cycles, and lengths.

    python tools/measure_structure.py [FOLDER ...]

FOLDER is a package's source, `src/deepgllim` by default; the totals of several are printed side by side. A room is a
folder or a module directly in the package, with all below it. An import is counted once for each pair of rooms, at the
top of a module or within a function; imports for annotations only (`if TYPE_CHECKING`) count for cycles of modules
and for nothing else.
"""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

LONG_FUNCTION, LONG_MODULE = 40, 300
Graph = dict[str, set[str]]


class Structure(NamedTuple):
    """What is measured.

    Attributes:
        rooms: the lines of each room.
        folders: the lines of each folder, without those below it.
        arrows: pairs of different rooms, of which the first imports the second.
        room_cycles: groups of rooms that import each other in a circle.
        module_cycles: groups of modules that import each other in a circle.
        long_functions: functions with more than 40 lines, without their docstrings.
        long_modules: modules with more than 300 lines.
        modules: the number of modules.
    """

    rooms: Counter[str]
    folders: Counter[str]
    arrows: set[tuple[str, str]]
    room_cycles: list[list[str]]
    module_cycles: list[list[str]]
    long_functions: list[str]
    long_modules: list[str]
    modules: int


def measure(package: Path) -> Structure:
    """Measure the package in a folder."""
    texts = {_module(package, path): path.read_text(encoding="utf-8") for path in sorted(package.rglob("*.py"))}
    folders = {_module(package, path) for path in package.rglob("__init__.py")}
    trees = {name: ast.parse(text) for name, text in texts.items()}
    imports = {name: set(_imports(tree, package.name, texts)) - {name} for name, tree in trees.items()}
    annotated = {
        name: set(_imports(tree, package.name, texts, annotations=True)) - {name} for name, tree in trees.items()
    }
    lines = {name: text.count("\n") for name, text in texts.items()}
    rooms: Counter[str] = Counter()
    inside: Counter[str] = Counter()
    for name, count in lines.items():
        rooms[_room(name)] += count
        inside[name if name in folders else name.rpartition(".")[0] or name] += count
    graph: Graph = {room: set() for room in rooms}
    for name, targets in imports.items():
        graph[_room(name)] |= {_room(target) for target in targets} - {_room(name)}
    return Structure(
        rooms=rooms,
        folders=inside,
        arrows={(room, target) for room, targets in graph.items() for target in targets},
        room_cycles=cycles(graph),
        module_cycles=cycles(annotated),
        long_functions=[f"{name}.{found}" for name, tree in trees.items() for found in _long_functions(tree)],
        long_modules=[name for name, count in lines.items() if count > LONG_MODULE],
        modules=len(texts),
    )


def _module(package: Path, path: Path) -> str:
    """Return the dotted name of a file below the package; the package itself is "(top)"."""
    parts = path.relative_to(package).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__") or "(top)"


def _room(module: str) -> str:
    """Return the room of a module: the first part of its name."""
    return module.split(".")[0]


def _imports(tree: ast.AST, package: str, modules: Mapping[str, str], annotations: bool = False) -> Iterator[str]:
    """Yield the modules of the package that a file imports, those for annotations only if asked for."""
    for node in ast.iter_child_nodes(tree):
        if not annotations and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (name for alias in node.names if (name := _inside(alias.name, package)) in modules)
        elif isinstance(node, ast.ImportFrom) and (base := _inside(node.module or "", package)) in modules:
            submodules = {f"{base}.{alias.name}".removeprefix("(top).") for alias in node.names} & set(modules)
            yield from submodules or {base}
        else:
            yield from _imports(node, package, modules, annotations)


def _inside(name: str, package: str) -> str:
    """Return a full module name as the name below the package, or "" if it is outside."""
    return "(top)" if name == package else name.removeprefix(f"{package}.") if name.startswith(f"{package}.") else ""


def _long_functions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _code_lines(node) > LONG_FUNCTION:
            yield f"{node.name} ({_code_lines(node)})"


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the number of lines of a function without its docstring."""
    length = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return length - ((first.end_lineno or first.lineno) - first.lineno + 1 if documented else 0)


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other, sorted.

    Example:
        >>> cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}})
        [['b', 'c']]
    """
    reached = {node: _reachable(graph, node) for node in graph}
    groups = {
        frozenset(other for other in reached[node] if node in reached.get(other, set()))
        for node in graph
        if node in reached[node]
    }
    return sorted(sorted(group) for group in groups)


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph.get(node, ())
    return found


def summary(structures: Mapping[str, Structure]) -> str:
    """Return the Markdown table of the totals, with a column for each tree."""
    measures: dict[str, Callable[[Structure], int]] = {
        "lines": lambda each: sum(each.rooms.values()),
        "modules": lambda each: each.modules,
        "rooms": lambda each: len(each.rooms),
        "arrows between rooms": lambda each: len(each.arrows),
        "cycles of rooms": lambda each: len(each.room_cycles),
        "cycles of modules (imports for annotations included)": lambda each: len(each.module_cycles),
        "functions over 40 lines (without docstring)": lambda each: len(each.long_functions),
        "modules over 300 lines": lambda each: len(each.long_modules),
    }
    rows = {name: [measure_of(each) for each in structures.values()] for name, measure_of in measures.items()}
    head = [f"| | {' | '.join(structures)} |", "|---|" + "---|" * len(structures)]
    return "\n".join([*head, *(f"| {name} | {' | '.join(f'{n:,}' for n in row)} |" for name, row in rows.items())])


def details(structure: Structure) -> str:
    """Return the lines of each folder, and the names behind the other counts."""
    lines = [f"{count:6} {folder}" for folder, count in sorted(structure.folders.items())]
    for name in ("room_cycles", "module_cycles", "long_functions", "long_modules"):
        lines += [f"{name}:", *(f"  {found}" for found in getattr(structure, name))]
    return "\n".join(lines)


def main() -> None:
    """Measure the folders of the command line and print the tables."""
    folders = [Path(word) for word in sys.argv[1:]] or [Path(__file__).parents[1] / "src" / "deepgllim"]
    structures = {str(folder): measure(folder) for folder in folders}
    print(summary(structures))
    for name, structure in structures.items():
        print(f"\n{name}\n{details(structure)}")


if __name__ == "__main__":
    main()
