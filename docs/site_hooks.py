"""MkDocs hooks: the repository's files become pages, formulas MathML; pictures are enlarged."""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[\[(](.*?)\\[\])]</\1>', re.DOTALL)
PAGES = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's own pages, with links as seen from the folder docs, and the examples."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    for script in sorted((ROOT / "docs" / "examples").glob("*.py")):
        text = page_of_cells(script.read_text(encoding="utf-8"))
        links = (
            f"[{script.name}]({script.name}), cell by cell; as a [notebook]({script.stem}.ipynb)"
        )
        text += f"\nThis page is the script {links}.\n"
        files.append(File.generated(config, f"examples/{script.stem}.md", content=text))
        notebook = notebook_of_cells(script.read_text(encoding="utf-8"))
        files.append(File.generated(config, f"examples/{script.stem}.ipynb", content=notebook))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lead to an example's page; in the repository the link leads to the script."""
    if page.parent is None:  # a tab of its own: a list of one page at the side says nothing
        page.meta["hide"] = ["navigation"]
    markdown = re.sub(r"\]\(examples/(\w+)\.py\)", r"](examples/\1.md)", markdown)
    if page.file.src_uri == "log.md":  # its entries can be linked to
        return re.sub(r"^\*\*(\d+[a-z]?)\. ", r'<a id="\1"></a>\g<0>', markdown, flags=re.MULTILINE)
    return re.sub(r"\(log, ([\d, a-z-]+)\)", _linked, markdown)


def on_page_content(content: str, **_: object) -> str:
    """Write formulas as MathML, and make each picture a link to itself, in its full size."""
    content = _FORMULA.sub(_mathml, content)
    return re.sub(
        r'<img [^>]*src="([^"]+)"[^>]*>', r'<a href="\1" title="Full size">\g<0></a>', content
    )


def _linked(entries: re.Match[str]) -> str:
    """Link "(log, 35-43)" to the first entry, "(log, 33, 81)" to each."""
    each = [re.sub(r"^(\d+[a-z]?)", r"[\1](log.md#\1)", one) for one in entries[1].split(", ")]
    return f"(log, {', '.join(each)})"


def _mathml(formula: re.Match[str]) -> str:
    """Take a formula in LaTeX to MathML: browsers draw it, without a script or a font of ours."""
    display = "block" if formula[1] == "div" else "inline"
    return convert(html.unescape(formula[2]).strip(), display=display)


def page_of_cells(script: str) -> str:
    """Turn a script in percent cells into Markdown: text as text, code as blocks of code."""
    parts = [
        body if kind == "markdown" else f"```python\n{body}\n```" for kind, body in _cells(script)
    ]
    return "\n\n".join(parts) + "\n"


def notebook_of_cells(script: str) -> str:
    """Turn a script in percent cells into a notebook for Jupyter."""
    cells = [
        {
            "cell_type": kind,
            "id": f"cell-{i}",
            "metadata": {},
            "source": body.splitlines(keepends=True),
        }
        | ({"execution_count": None, "outputs": []} if kind == "code" else {})
        for i, (kind, body) in enumerate(_cells(script))
    ]
    language = {"language_info": {"name": "python"}}
    return json.dumps({"cells": cells, "metadata": language, "nbformat": 4, "nbformat_minor": 5})


def _cells(script: str) -> Iterator[tuple[str, str]]:
    """Yield kind, "markdown" or "code", and text of each cell."""
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if kind.strip() == "[markdown]":
            yield "markdown", re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE)
        else:
            yield "code", body.strip()
