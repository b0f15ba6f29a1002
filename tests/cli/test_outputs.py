"""What a command shall write is checked before its work (C4), and a lack of memory is one line."""

import inspect

import pytest
import torch
import typer
from typer.testing import CliRunner

from explgraph.cli.app import app
from explgraph.cli.base import Report, add_command
from explgraph.cli.outputs import Written
from tests.support.commands import refused

COMMANDS = {command.callback.__name__: command.callback for command in app.registered_commands}
OUTPUTS = ("out", "heatmap", "arrays", "groups", "spool")
# What is asked of each, beside its outputs; none of these files is there.
REST = {
    "demo": [],
    "mine": ["photos", "--model", "net.py:net"],
    "match": ["graph", "photos"],
    "parts": ["graph", "photos", "--annotations", "a.csv"],
    "locate": ["parts", "photos"],
    "export": ["graph"],
    "gallery": ["graph", "photos"],
    "show": ["graph", "photo"],
    "report": ["graph", "photos"],
    "effects": ["graph", "photos"],
    "trace": ["graph", "photo"],
    "explain": ["photo", "--model", "net.py:net"],
    "visualize": ["net.py:net", "--target", "1"],
    "compare": ["graph", "graph", "photos"],
    "studio": ["photos", "--model", "net.py:net"],
    "texture": ["photos", "--model", "net.py:net"],
    "segments": ["photo", "--model", "net.py:net"],
}


def outputs(command):
    parameters = inspect.signature(command).parameters
    return {name: parameters[name].annotation for name in OUTPUTS if name in parameters}


CASES = [(command, name) for command in REST for name in outputs(COMMANDS[command])]


def test_outputs__every_option_is_marked():
    for command in COMMANDS.values():
        for name, annotation in outputs(command).items():
            marks = [m for m in annotation.__metadata__ if isinstance(m, Written)]
            assert len(marks) == 1, (command, name)
    assert {name for name, command in COMMANDS.items() if outputs(command)} == REST.keys()


@pytest.mark.parametrize(("command", "name"), CASES)
def test_outputs__checked_first_and_nothing_is_made(command, name, tmp_path, monkeypatch):
    """Before anything is read: the inputs are not even there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    others = {"out": "new/x.safetensors", "heatmap": "h.png", "arrays": "a.npz", "groups": "g.csv"}
    mark = next(m for m in outputs(COMMANDS[command])[name].__metadata__ if isinstance(m, Written))
    wrong = {"file/deep": "is a file"}
    if mark is Written.FOLDER:
        wrong["file"] = "is a file"
    else:
        wrong |= {"folder": "is a folder: give the name of a file in it"}
        wrong |= {256 * "x": "its name is too long"}
    for path, said in wrong.items():
        named = {} if name == "out" or command == "demo" else {"out": others["out"]}
        options = [
            part for key, value in {**named, name: path}.items() for part in (f"--{key}", value)
        ]
        message = refused(command, *REST[command], *options)
        assert message.startswith(f"error: --{name} {path} ")
        assert said in message or "a file is where a folder should be" in message
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_outputs__per_class_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    mine = ["mine", "photos", "--model", "net.py:net", "--per-class"]
    assert "photos does not exist" in refused(*mine, "--out", "folder")


def raising(error):
    def command(batch_size: int | None = None, spool: str | None = None) -> Report:
        raise error

    made = typer.Typer()
    add_command(made, command, "", "Start")
    return CliRunner().invoke(made, [])


def real_shortage():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**50, dtype=torch.uint8)
    return caught.value


class PanicException(BaseException):
    """As Rust's libraries raise it, where they get no memory."""


def while_closing():
    """An error of what is done because of the lack."""
    try:
        try:
            raise MemoryError
        finally:
            raise ValueError("I/O operation on closed file")
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        real_shortage(),
        RuntimeError("std::bad_alloc"),
        RuntimeError("can't start new thread"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        ImportError("x.so: failed to map segment from shared object"),
        OSError(12, "Cannot allocate memory"),
        OSError("out of memory when reading image file"),  # Pillow's
        while_closing(),
        PanicException("PyObject pointer is null"),
    ],
    ids=repr,
)
def test_memory__a_lack_of_it_is_one_line(error):
    """C4."""
    result = raising(error)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: there is not enough memory: ")
    assert "--batch-size" in line
    assert "--spool DIR" in line


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), KeyError("x"), ImportError("no x")]
)
def test_memory__other_errors_are_as_they_were(error):
    assert raising(error).exception is error
