"""What does not fit: entries of files and of arrays changed by hand."""

from explgraph.base.files import read_arrays, write_arrays


def rewrite(path, kind, entry, change=None):
    """Write a file again with one array or entry of its header changed, or without it."""
    arrays, header = read_arrays(path, kind)
    holder = header if entry in header else arrays
    value = holder.pop(entry, None)
    if change is not None:
        holder[entry] = change(value)
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
