"""MkDocs hooks: files of the repository become pages of the site, and pictures can be enlarged."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the repository's own pages, with links as seen from the folder docs, and the examples."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    for script in sorted((ROOT / "docs" / "examples").glob("*.py")):
        text = page_of_cells(script.read_text(encoding="utf-8"))
        text += f"\nThis page is the script [{script.name}]({script.name}), cell by cell.\n"
        files.append(File.generated(config, f"examples/{script.stem}.md", content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Lead to an example's page; in the repository the link leads to the script."""
    return re.sub(r"\]\(examples/(\w+)\.py\)", r"](examples/\1.md)", markdown)


def on_page_content(html: str, **_: object) -> str:
    """Make each picture a link to itself: there it is seen in its full size."""
    return re.sub(
        r'<img [^>]*src="([^"]+)"[^>]*>', r'<a href="\1" title="Full size">\g<0></a>', html
    )


def page_of_cells(script: str) -> str:
    """Turn a script in percent cells into Markdown: text as text, code as blocks of code."""
    parts = []
    for cell in re.split(r"^# %%", script, flags=re.MULTILINE)[1:]:
        kind, _, body = cell.partition("\n")
        if kind.strip() == "[markdown]":
            parts.append(re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE))
        else:
            parts.append(f"```python\n{body.strip()}\n```")
    return "\n\n".join(parts) + "\n"
