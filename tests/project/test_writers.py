"""All files are written by one function: whole, or not at all."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("explgraph", "mining", "aog")
WRITING = {"write_bytes", "write_text", "to_csv", "to_json", "to_parquet", "tofile", "savefig"}
WRITING |= {"savez", "savez_compressed", "savetxt", "save_file", "imsave", "mkstemp"}
# Pictures for Graphviz, in a folder of the process alone; and JSON values, which are no files.
ALLOWED = {("explgraph/drawing/thumbnails.py", "write_bytes"), ("", "to_json")}
HOME = "explgraph/base/writing.py"


def opens_to_write(call):
    """Tell whether a call is an open() for writing."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    modes = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    texts = [m.value for m in modes if isinstance(m, ast.Constant) and isinstance(m.value, str)]
    return name == "open" and any(set(t) <= set("rwxab+t") and set(t) & set("wxa+") for t in texts)


def writes(tree, file):
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", "")
        allowed = {(file, name), ("", name)} & ALLOWED
        in_memory = [getattr(argument, "id", "") for argument in call.args[:1]] == ["buffer"]
        if (name in WRITING and not allowed and not in_memory) or opens_to_write(call):
            yield f"{file}:{call.lineno}"


def test_files__are_written_by_one_function():
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            if file != HOME:
                found += writes(ast.parse(path.read_text(encoding="utf-8")), file)
    assert not found, f"these write files by themselves, not by explgraph.base.writing: {found}"


def test_check__sees_what_writes():
    lines = ["open(p, 'w')", "p.open('wb')", "p.write_text('x')", "np.savez(p, a)", "f.to_csv(p)"]
    lines += ["p.write_bytes(b'')", "open(p, mode='a')", "p.open('r+')"]
    harmless = ["write_bytes(p, b'')", "open(p)", "p.open('rb')", "Image.open(p)", "x.save(buffer)"]
    for line in lines:
        assert list(writes(ast.parse(line), "a.py")) == ["a.py:1"], line
    for line in harmless:
        assert not list(writes(ast.parse(line), "a.py")), line
