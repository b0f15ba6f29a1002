"""The rules that keep the code as it is: who imports whom, how long functions are, who prints."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import explgraph

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("explgraph", "mining", "aog")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).glob("*.py"))]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

# The facade: the only files of explgraph that know mining or aog.
FACADE = {
    "__init__",
    "demo",
    "estimator",
    "export",
    "feature_matching",
    "heatmaps",
    "part_drawing",
    "part_files",
    "part_layout",
    "part_locator",
    "part_network",
    "part_photos",
    "part_reliability",
    "part_sketch",
    "pipeline",
    "protocol",
    "report_figures",
    "study_explained",
    "study_stability",
}
# What mining and aog may know of explgraph: data types, errors, files, the compiler's flags,
# threads.
FOUNDATION = {
    "explgraph",
    "explgraph._jit",
    "explgraph.clicks",
    "explgraph.errors",
    "explgraph.firing",
    "explgraph.graph",
    "explgraph.halves",
    "explgraph.markup",
    "explgraph.matches",
    "explgraph.peak_source",
    "explgraph.pooling",
    "explgraph.stages",
    "explgraph.storage",
    "explgraph.structures",
    "explgraph.threads",
}
HEAVY = (
    "matplotlib",
    "mining",
    "networkx",
    "numba",
    "pandas",
    "pygraphviz",
    "rich",
    "scipy",
    "sklearn",
    "torch",
    "typer",
)
LONGEST = 40
MOST_PARAMETERS = 8
FEW = 0.02  # of all functions may be longer: a kernel cannot be cut everywhere


def module_name(path):
    return f"{path.parent.name}.{path.stem}".removesuffix(".__init__")


def imports_of(path, tree=None):
    """Yield the absolute names of the modules that a file imports, wherever it does so."""
    for node in ast.walk(tree or TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = path.parent.name if node.level else ""
            stem = ".".join(part for part in (base, node.module) if part)
            siblings = [f"{stem}.{alias.name}" for alias in node.names]
            known = [name for name in siblings if name in MODULES]
            yield from known or [stem]


MODULES = {module_name(path) for path in FILES}


def functions():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def body_lines(function):
    """Count the lines of a function's body, its docstring left out."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def is_facade(path):
    return path.parent.name == "explgraph" and (path.stem in FACADE or path.stem.startswith("cli"))


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name == "explgraph"], ids=module_name
)
def test_imports__explgraph_knows_the_others_only_in_its_facade(path):
    others = {name for name in imports_of(path) if name.split(".")[0] in ("mining", "aog")}
    assert is_facade(path) or not others


@pytest.mark.parametrize(
    "path", [p for p in FILES if p.parent.name != "explgraph"], ids=module_name
)
def test_imports__siblings_know_the_data_types_alone(path):
    names = set(imports_of(path))
    sibling = {"mining": "aog", "aog": "mining"}[path.parent.name]
    network = () if path.stem == "cuda" else ("torch", "torchvision")  # memory, matrix products
    assert not {name for name in names if name.split(".")[0] in (sibling, *network)}
    assert {name for name in names if name.split(".")[0] == "explgraph"} <= FOUNDATION


def test_imports__the_contract_would_catch_a_breach():
    tree = ast.parse("def f():\n    from aog import localize\n    import explgraph.backbones\n")
    names = set(imports_of(ROOT / "mining" / "em.py", tree))
    assert names == {"aog", "explgraph.backbones"}
    relative = ast.parse("from .structures import Peaks\nfrom . import sheet\n")
    names = set(imports_of(ROOT / "explgraph" / "graph.py", relative))
    assert names == {"explgraph.structures", "explgraph.sheet"}


def test_imports__no_cycle_at_import_time():
    """What counts is imported at a file's top level, not in functions or for type checking."""
    graph = {}
    for path, tree in TREES.items():
        top = ast.Module([n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)], [])
        graph[module_name(path)] = set(imports_of(path, top)) & MODULES
    done, path = set(), []

    def visit(module):
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for other in graph[module]:
            visit(other)
        path.pop()
        done.add(module)

    for module in graph:
        visit(module)


def fresh_python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_explgraph__stays_fast():
    code = f"import sys, explgraph; print(*[m for m in {HEAVY} if m in sys.modules])"
    assert fresh_python(code) == []


def test_import_data_types__needs_no_network_and_no_compiler():
    heavy = [name for name in HEAVY if name not in ("mining",)]
    code = (
        "import sys; from explgraph import ExplanatoryGraph, Matches; "
        f"print(*[m for m in {heavy} if m in sys.modules])"
    )
    assert fresh_python(code) == []


@pytest.mark.parametrize("first", PACKAGES)
def test_imports__any_package_may_be_imported_first(first):
    others = "; ".join(f"import {name}" for name in PACKAGES if name != first)
    assert fresh_python(f"import {first}; {others}; import explgraph as eg; eg.mine") == []


def test_packages__say_whose_they_are():
    assert fresh_python("import mining, aog; print(mining.DISTRIBUTION, aog.DISTRIBUTION)") == [
        "explgraph",
        "explgraph",
    ]


def test_functions__are_short():
    long = [
        f"{module_name(path)}.{node.name}: {body_lines(node)}"
        for path, node in functions()
        if body_lines(node) > LONGEST
    ]
    total = sum(1 for _ in functions())
    assert len(long) <= FEW * total, f"{len(long)} of {total} functions are long: {long}"


def test_functions__have_few_parameters_outside_kernels():
    many = [
        f"{module_name(path)}.{node.name}"
        for path, node in functions()
        if len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) > MOST_PARAMETERS
        and not is_kernel(node)
        and not path.stem.startswith("cli")  # an option of a command is a parameter
    ]
    assert not many


def is_kernel(node):
    return any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)


def is_public(node):
    overloads = ("overload", "typing.overload")
    return (
        isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not any(ast.unparse(d) in overloads for d in node.decorator_list)
    )


def test_public_names__have_docstrings():
    missing = []
    for path, tree in TREES.items():
        if ast.get_docstring(tree) is None:
            missing.append(module_name(path))
        for owner in [tree, *(n for n in tree.body if isinstance(n, ast.ClassDef))]:
            if isinstance(owner, ast.ClassDef) and owner.name.startswith("_"):
                continue
            missing += [
                f"{module_name(path)}.{node.name}"
                for node in owner.body
                if is_public(node) and ast.get_docstring(node) is None
            ]
    assert not missing


@pytest.mark.parametrize(
    "path", [p for p in FILES if not p.stem.startswith("cli")], ids=module_name
)
def test_print__is_for_the_command_line(path):
    calls = [n for n in ast.walk(TREES[path]) if isinstance(n, ast.Call)]
    assert not [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "print"]


@pytest.mark.parametrize("path", FILES, ids=module_name)
def test_kernels__are_compiled_in_one_way(path):
    """Numba's flags stand in `_jit.py` alone: no cache that goes stale, no fast maths."""
    names = {name.split(".")[0] for name in imports_of(path)}
    if "numba" in names and path.stem != "_jit":
        source = path.read_text(encoding="utf-8")
        assert "njit" not in source
        assert "fastmath" not in source
        assert "cache=True" not in source
        assert "prange" not in source


def test_files__are_of_readable_length():
    long = {module_name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert not {name: lines for name, lines in long.items() if lines > 450}


def test_public_names__are_not_those_of_modules():
    """Importing such a module would put it in the place of what it is to give."""
    assert not {f"explgraph.{name}" for name in explgraph.__all__} & MODULES
