"""How the site reads our docstrings: an extension of Griffe, which mkdocstrings collects with.

numpydoc lets one entry describe several parameters, takes prose for what a function returns, and
refers to names in single backticks. Griffe would give all of such parameters the first one's type,
take the prose for a type, and leave the names without a link.
"""

import re
from collections.abc import Iterator

import griffe

import explgraph

_SECTION = re.compile(r"^(\w+)\n-{3,}\n", flags=re.MULTILINE)
_SEVERAL = re.compile(r"^(\**\w+(?:, \**\w+)+)$\n((?:    .*\n?|\n)+)", flags=re.MULTILINE)
_NAME = re.compile(r"(?<!`)`(?:explgraph\.|eg\.)?(\w+)`(?!`)")


class DocstringStyle(griffe.Extension):
    """Rewrites each docstring as it is collected."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Rewrite the docstring of a module, class, function or attribute."""
        if obj.docstring is not None:
            obj.docstring.value = "".join(_sections(obj.docstring.value))


def _sections(text: str) -> Iterator[str]:
    """Yield the introduction, then each section's heading and what it says."""
    before, *rest = _SECTION.split(text)
    yield _linked(before)
    for heading, body in zip(rest[::2], rest[1::2], strict=True):
        yield f"{heading}\n{'-' * len(heading)}\n"
        if heading == "Examples":
            yield body
        else:
            yield _linked(_described(body) if heading == "Returns" else _apart(body))


def _apart(body: str) -> str:
    """Give each of several names that share a description one of its own."""
    return _SEVERAL.sub(
        lambda entry: "".join(f"{name}\n{entry[2].rstrip()}\n" for name in entry[1].split(", ")),
        body,
    )


def _described(body: str) -> str:
    """Mark what is returned as a description, the type being the signature's."""
    lines = body.rstrip().splitlines()
    if any(line.startswith("    ") for line in lines[1:2]):  # a name, then its description
        return body
    return "\n".join([":", *(f"    {line}".rstrip() for line in lines)]) + "\n\n"


def _linked(text: str) -> str:
    """Link the public names."""
    return _NAME.sub(
        lambda name: (
            f"[`{name[1]}`][explgraph.{name[1]}]" if name[1] in explgraph.__all__ else name[0]
        ),
        text,
    )
