"""The public functions speak one language: order, names, and what their docstrings say."""

import inspect
import re

import pytest

import explgraph as eg
from explgraph.report.writing import PageOptions

FUNCTIONS = {
    name: getattr(eg, name) for name in eg.__all__ if inspect.isfunction(getattr(eg, name))
}

ORDER = ("graph", "found", "net", "images", "path")
"""Of positional arguments; what is not needed is left out."""

OTHER_ORDER: dict[str, str] = {}
"""Name: why. None: `net` leads in `mine` and `explain` because there is no graph before it."""

OLD_WORDS = {"matches": "found", "matches_a": "found_a", "matches_b": "found_b", "photos": "images"}
"""What arguments are no more called, and what they are called."""

NUMBERS = ("photos", "nodes")
"""A number of them is n_photos and n_nodes; the words alone choose which."""

PICTURES = [name for name in FUNCTIONS if re.match("draw_|.*_sheet$|.*_gallery$", name)]
OLD_NAMES = {
    "contact_sheet": "draw_nodes",
    "explanation_sheet": "draw_explanations",
    "filter_gallery": "draw_filter",
    "node_gallery": "draw_node",
    "part_sheet": "draw_answers",
}


NEVER_REFUSE = {
    "available_methods": "what is not possible is its answer",
    "node_kinds": "what cannot be told is its answer",
    "to_networkx": "every graph can be turned",
    "write_annotations": "annotations are checked when they are made",
}


def positional(function):
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind in kinds]


def in_order(names):
    places = [ORDER.index(name) for name in names if name in ORDER]
    return places == sorted(places)


def test_arguments__come_in_one_order():
    wrong = {name for name, f in FUNCTIONS.items() if not in_order(positional(f))}
    assert wrong == set(OTHER_ORDER)
    assert not in_order(["graph", "images", "found"])


def test_arguments__one_name_for_one_thing():
    for name, function in FUNCTIONS.items():
        assert not OLD_WORDS.keys() & inspect.signature(function).parameters.keys(), name


def test_arguments__numbers_are_called_so():
    for name, function in FUNCTIONS.items():
        for parameter in inspect.signature(function).parameters.values():
            assert not (parameter.name in NUMBERS and parameter.annotation == "int"), name


def test_arguments__options_have_no_number_by_another_name():
    """What a report has is in a dictionary of types, which no signature shows."""
    numbers = {name for name, kind in PageOptions.__annotations__.items() if "int" in str(kind)}
    assert numbers == {"n_nodes", "n_photos"}


def test_arguments__nothing_is_required_after_the_path():
    for name, function in FUNCTIONS.items():
        names = positional(function)
        if "path" in names and not name.startswith(("read_", "write_")):
            later = names[names.index("path") + 1 :]
            parameters = inspect.signature(function).parameters
            assert all(parameters[one].default is not inspect.Parameter.empty for one in later)


@pytest.mark.parametrize("name", PICTURES)
def test_pictures__are_returned_and_need_no_file(name):
    signature = inspect.signature(FUNCTIONS[name])
    assert signature.parameters["path"].default is None
    assert signature.return_annotation in ("Image.Image", "Drawing")


def test_old_names__are_the_new_functions():
    assert len(PICTURES) > 10
    for old, new in OLD_NAMES.items():
        assert getattr(eg, old) is getattr(eg, new)


def section(function, title):
    """Return a section's lines without their indentation, or None where there is none."""
    found = re.search(
        rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=\n\w[\w ]*\n-{{3,}}\n|\Z)",
        inspect.getdoc(function),
        re.DOTALL | re.MULTILINE,
    )
    return None if found is None else found.group(1)


def described(function):
    """Return the names of the arguments that a docstring describes."""
    text = section(function, "Parameters") or ""
    lines = re.findall(r"^([*\w][\w, *]*)$", text, re.MULTILINE)
    return [name.strip().lstrip("*") for line in lines for name in line.split(",")]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring__describes_every_argument_once(name):
    assert sorted(described(FUNCTIONS[name])) == sorted(
        inspect.signature(FUNCTIONS[name]).parameters
    )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring__says_in_a_line_what_the_function_does(name):
    first, *rest = inspect.getdoc(FUNCTIONS[name]).split("\n")
    assert first.endswith(".")
    assert not rest or not rest[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring__says_what_is_returned_and_refused(name):
    function = FUNCTIONS[name]
    returned = inspect.signature(function).return_annotation != "None"
    assert (section(function, "Returns") is not None) == returned
    assert (section(function, "Raises") is None) == (name in NEVER_REFUSE)


VERBS = ("extract", "mine", "match", "fit_parts", "locate", "explain")


@pytest.mark.parametrize("name", VERBS)
def test_verbs__show_how_they_are_used(name):
    assert f"{name}(" in section(FUNCTIONS[name], "Examples")
