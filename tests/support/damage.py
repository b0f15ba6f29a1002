"""What does not fit: entries of files and of arrays changed by hand."""

import json

import numpy as np
from safetensors import safe_open

from explgraph.base.files import write_arrays


def contents(path):
    """The arrays of one of our files, and its header but for kind, schema and digest, unchecked."""
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["explgraph"])
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    own = ("kind", "schema", "digest")
    return arrays, {name: value for name, value in header.items() if name not in own}


def rewrite(path, kind, entry, change=None):
    """Write a file again, its digest right, but one array or entry of its header changed.

    Without a change it is left out.
    """
    arrays, header = contents(path)
    value = arrays.pop(entry, None) if entry in arrays else header.pop(entry, None)
    if change is not None:
        new = change(value)
        (arrays if isinstance(new, np.ndarray) else header)[entry] = new
    write_arrays(path, kind, arrays, header)


def put(index, value):
    """Change one value of an array, counted in reading order."""

    def change(array):
        array = array.copy()
        array.flat[index] = value
        return array

    return change


def cut(array):
    """All but the first row."""
    return array[1:]
