"""The rules that keep the code as it is: who imports whom, how long functions are, who prints."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import explgraph

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("explgraph", "mining", "aog")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

# Who stands on whom. A package imports packages of lower floors alone: not those beside it, and
# nothing above, be it in a function or for types.
FLOORS = (
    ("explgraph.base",),
    ("explgraph.networks", "explgraph.photos", "explgraph.graphs"),
    ("explgraph.peaks", "explgraph.drawing", "explgraph.groups"),
    ("mining", "aog", "explgraph.galleries"),
    ("explgraph.engines",),
    ("explgraph.pipeline", "explgraph.export", "explgraph.preprocess"),
    ("explgraph.explanations", "explgraph.estimator", "explgraph.labelling"),
    ("explgraph.evaluation",),
    ("explgraph.report",),
    ("explgraph.demo", "explgraph.studio"),
    ("explgraph.cli",),
)
FLOOR = {package: floor for floor, packages in enumerate(FLOORS) for package in packages}
# Arrays alone: what else mining and aog may know.
ARRAYS_ALONE = {
    "mining": {"explgraph.base", "explgraph.graphs", "explgraph.peaks.structures"},
    "aog": {"explgraph.base", "explgraph.graphs", "explgraph.photos"},
    "aog.drawing": {"explgraph.base", "explgraph.graphs", "explgraph.photos", "explgraph.drawing"},
}
# A data type may import late what wraps or shows it.
SHOW_THEMSELVES = {"explgraph.graphs.graph", "explgraph.graphs.matches", "explgraph.graphs.node"}
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
    "starlette",
    "torch",
    "typer",
    "uvicorn",
)
LONGEST = 40
MOST_PARAMETERS = 8
MOST_LINES = 450
MOST_MODULES = 25
FEW = 0.02  # of all functions may be longer: a kernel cannot be cut everywhere


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path) for path in FILES}


def imported_from(path, node):
    """Return the absolute name of the module that a ``from ... import`` names."""
    package = path.relative_to(ROOT).parts[:-1]
    base = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join([*base, *filter(None, [node.module])])


def imports_of(path, tree=None):
    """Yield the absolute names of the modules that a file imports, wherever it does so."""
    for node in ast.walk(tree or TREES[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = imported_from(path, node)
            for alias in node.names:
                inner = f"{stem}.{alias.name}"
                yield inner if inner in MODULES else stem


def package_of(module):
    """Return the package, or the single module of explgraph, that has a floor; None: foreign."""
    parts = module.split(".")
    names = (".".join(parts[:2]), parts[0])
    return next((name for name in names if name in FLOOR), None)


def breaches(path, tree=None):
    """Return the imports of a file that its floor does not allow."""
    ours, found = package_of(module_name(path)), []
    for name in imports_of(path, tree):
        theirs = package_of(name)
        own = name.split(".")[0] in PACKAGES
        if own and theirs != ours and (theirs is None or FLOOR[theirs] >= FLOOR[ours]):
            found.append(name)
    return found


def is_within(module, packages):
    return any(module == name or module.startswith(f"{name}.") for name in packages)


def knows_too_much(path, tree=None):
    """Return what a file of mining or aog imports beyond arrays and data types."""
    module = module_name(path)
    top = module.split(".")[0]
    allowed = ARRAYS_ALONE["aog.drawing" if is_within(module, ["aog.drawing"]) else top] | {top}
    foreign = () if module == "mining.cuda" else ("torch", "torchvision")  # memory, products
    return [
        name
        for name in imports_of(path, tree)
        if name.split(".")[0] in foreign
        or (name.split(".")[0] in PACKAGES and not is_within(name, allowed))
    ]


def functions(trees):
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path, node


def body_lines(function):
    """Count the lines of a function's body, its docstring left out."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def above_the_facade(path):
    return module_name(path) == "explgraph"  # it names everything


def test_imports__every_package_has_a_floor():
    found = {package_of(module) for module in MODULES - {"explgraph"}}
    assert found == set(FLOOR)


def test_imports__none_leads_up_or_to_a_neighbour():
    found = {module_name(p): breaches(p) for p in FILES if not above_the_facade(p)}
    assert not {name: wrong for name, wrong in found.items() if wrong}


def test_imports__mining_and_aog_know_arrays_and_data_types_alone():
    found = {
        module_name(p): knows_too_much(p)
        for p in FILES
        if module_name(p).split(".")[0] in ("mining", "aog")
    }
    assert not {name: wrong for name, wrong in found.items() if wrong}


PLANTED = {
    "at the top": "from {name} import something\n",
    "late": "def f():\n    import {name}\n",
    "for types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from {name} import X\n",
}


@pytest.mark.parametrize("how", PLANTED)
@pytest.mark.parametrize("package", FLOOR)
def test_imports__a_breach_is_found_in_every_package(package, how):
    """An import of the facade, of the top floor, of a neighbour; in any file, also of folders."""
    own = [p for p in FILES if package_of(module_name(p)) == package]
    others = [n for n in FLOOR if n != package and FLOOR[n] >= FLOOR[package]]
    assert own
    for path in (own[0], own[-1], max(own, key=lambda p: len(p.parts))):
        for name in ("explgraph", *others):
            assert name in breaches(path, ast.parse(PLANTED[how].format(name=name)))


@pytest.mark.parametrize("package", FLOOR)
def test_gates__see_the_files_of_every_package(package):
    """In each, down to the deepest folder, a file that breaks all rules breaks every gate."""
    own = [p for p in FILES if package_of(module_name(p)) == package]
    path = max(own, key=lambda p: len(p.parts))
    body = "".join(f"    x{i} = 1\n" for i in range(LONGEST + 1))
    many = ", ".join(f"p{i}" for i in range(MOST_PARAMETERS + 1))
    bad = ast.parse(f"import numba\ndef f({many}):\n{body}    print(numba.njit(cache=True))\n")
    assert path in TREES
    assert long_functions({path: bad})
    assert undocumented({path: bad})
    assert package == "explgraph.cli" or (printing({path: bad}) and crowded_functions({path: bad}))
    assert compiled_otherwise({path: ast.unparse(bad)})
    assert intrusions(path, ast.parse("def f(net):\n    return net._put(1)\n")) == ["net._put"]


def test_imports__relative_ones_are_resolved():
    tree = ast.parse("from .structures import Peaks\nfrom . import sheet\nfrom .. import base\n")
    names = set(imports_of(ROOT / "explgraph" / "galleries" / "photo.py", tree))
    assert names == {
        "explgraph.galleries.structures",
        "explgraph.galleries.sheet",
        "explgraph.base",
    }


def circles(graph):
    """Return the sets of modules that reach each other, of more than one module (Tarjan)."""
    index, low, stack, found = {}, {}, [], []

    def visit(module):
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            members = set(stack[stack.index(module) :])
            del stack[stack.index(module) :]
            if len(members) > 1:
                found.append(members)

    for module in graph:
        if module not in index:
            visit(module)
    return found


def test_imports__no_circles_late_and_type_only_imports_counted():
    """But a graph, its nodes and its matches give and show each other."""
    graph = {module_name(p): {n for n in imports_of(p) if n in MODULES} for p in FILES}
    graph["explgraph"] = set()  # the facade names all; nobody imports it
    beside = ("choice", "display", "graph_arrays", "naming")
    shown = {f"explgraph.graphs.{name}" for name in beside} | SHOW_THEMSELVES
    assert [c for c in circles(graph) if not c <= shown] == []
    for module in SHOW_THEMSELVES:
        graph[module] = set()
    assert circles(graph) == []


def test_imports__a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [{"a", "b", "c"}]


# Not private: what named tuples offer, and what PyTorch and os offer no other way to.
OFFERED = {"_asdict", "_exit", "_fields", "_replace", "_ops", "_schema"}
# Numba has no public place for a cache that is not its own.
NUMBAS = {"compiled._cache", "CompileResult._rebuild", "data._reduce"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in OFFERED


def is_self(node):
    is_super = isinstance(node, ast.Call) and ast.unparse(node.func) == "super"
    return is_super or (isinstance(node, ast.Name) and node.id in ("self", "cls"))


def members_of(owner):
    """Return the names that a class gives to its members, in its body or to ``self``."""
    names = {n.name for n in owner.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in owner.body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names |= {t.id for t in targets if isinstance(t, ast.Name)}
    return names | {
        n.attr
        for n in ast.walk(owner)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and is_self(n.value)
    }


def intrusions(path, tree=None):
    """Return the private names of other modules that a file imports, and of other classes it uses.

    Inside a class, its own private members of other instances are its own, too.
    """
    found = []

    def visit(node, own):
        if isinstance(node, ast.ClassDef):
            own = own | members_of(node)
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not is_self(node.value) and node.attr not in own:
                found.append(ast.unparse(node))
        elif isinstance(node, ast.ImportFrom):
            stem = imported_from(path, node)
            names = (f"{stem}.{alias.name}" for alias in node.names if is_private(alias.name))
            found.extend(name for name in names if name not in MODULES)
        for child in ast.iter_child_nodes(node):
            visit(child, own)

    visit(tree or TREES[path], frozenset())
    return found


def test_private_names__stay_where_they_are_defined():
    found = {module_name(path): set(intrusions(path)) for path in FILES}
    found["explgraph.base.kernel_cache"] -= NUMBAS
    assert not {name: wrong for name, wrong in found.items() if wrong}


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("def f(net):\n    return net._put(1)\n", ["net._put"]),
        ("def f(q):\n    q.net._put = q()._read\n", ["q.net._put", "q()._read"]),
        ("from explgraph.base.errors import _near\n", ["explgraph.base.errors._near"]),
        ("def f():\n    from .hooks import _near\n", ["explgraph.networks.hooks._near"]),
        ("class A:\n    def f(self, b):\n        return b._x\n", ["b._x"]),
        ("class A:\n    _x = 1\n\ndef f(a):\n    return a._x\n", ["a._x"]),
        ("class A:\n    _x: int\n    def f(self, b):\n        return b._x + self._y\n", []),
        ("class A:\n    def _x(self, b):\n        return b._x() + super()._y\n", []),
        ("class A:\n    def f(self, b):\n        self._x = b._x\n", []),
        ("from mining import _kernels\nx = a._replace(b=1).__dict__\n", []),
    ],
)
def test_private_names__an_intrusion_is_found(code, wrong):
    assert intrusions(ROOT / "explgraph" / "networks" / "backbone.py", ast.parse(code)) == wrong


def fresh_python(code):
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_import_explgraph__stays_fast():
    code = f"import sys, explgraph; print(*[m for m in {HEAVY} if m in sys.modules])"
    assert fresh_python(code) == []


def test_mining_and_matching__load_what_they_use_alone():
    """Each would make a person wait: PyTorch's compiler alone for a second."""
    code = """
import sys
import numpy as np
import explgraph as eg
photos = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
net = eg.load_backbone("explgraph.demo:network", device="cpu")
graph = eg.mine(net, photos, progress=False)
eg.match(graph, net, photos, progress=False)
heavy = ("torch._dynamo", "torchvision", "pandas", "sklearn", "networkx", "triton")
print(*[name for name in heavy if name in sys.modules])
"""
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


def long_functions(trees):
    return [
        f"{module_name(path)}.{node.name}: {body_lines(node)}"
        for path, node in functions(trees)
        if body_lines(node) > LONGEST
    ]


def test_functions__are_short():
    long, total = long_functions(TREES), sum(1 for _ in functions(TREES))
    assert len(long) <= FEW * total, f"{len(long)} of {total} functions are long: {long}"


def is_kernel(node):
    return any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)


def is_command_line(path):
    return is_within(module_name(path), ["explgraph.cli"])


def crowded_functions(trees):
    return [
        f"{module_name(path)}.{node.name}"
        for path, node in functions(trees)
        if len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]) > MOST_PARAMETERS
        and not is_kernel(node)
        and not is_command_line(path)  # an option of a command is a parameter
    ]


def test_functions__have_few_parameters_outside_kernels():
    assert not crowded_functions(TREES)


def is_public(node):
    overloads = ("overload", "typing.overload")
    return (
        isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not any(ast.unparse(d) in overloads for d in node.decorator_list)
    )


def undocumented(trees):
    missing = []
    for path, tree in trees.items():
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
    return missing


def test_public_names__have_docstrings():
    assert not undocumented(TREES)


def printing(trees):
    return [
        module_name(path)
        for path, tree in trees.items()
        if not is_command_line(path)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def test_print__is_for_the_command_line():
    assert not printing(TREES)


def compiled_otherwise(sources):
    """Return the files that import Numba and set its flags by themselves."""
    ways = ("njit", "fastmath", "cache=True", "prange")
    return [
        module_name(path)
        for path, source in sources.items()
        if module_name(path) != "explgraph.base.jit"
        and any(name.split(".")[0] == "numba" for name in imports_of(path, ast.parse(source)))
        and any(way in source for way in ways)
    ]


def test_kernels__are_compiled_in_one_way():
    """Numba's flags stand in one file: no cache that goes stale, no fast maths."""
    assert not compiled_otherwise({path: path.read_text(encoding="utf-8") for path in FILES})


def test_files__are_of_readable_length():
    long = {module_name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in FILES}
    assert not {name: lines for name, lines in long.items() if lines > MOST_LINES}


def test_folders__hold_few_modules():
    folders = {path.parent for path in FILES}
    full = {str(f.relative_to(ROOT)): len(list(f.glob("*.py"))) for f in folders}
    assert not {name: count for name, count in full.items() if count > MOST_MODULES}


def test_public_names__are_not_those_of_modules():
    """Importing such a module would put it in the place of what it is to give."""
    assert not {f"explgraph.{name}" for name in explgraph.__all__} & MODULES
