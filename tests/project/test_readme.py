"""The README does what it says: its scripts run as they stand, its commands exist."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import typer.main
from safetensors.torch import load_file
from torchvision.models import get_model_weights
from typer.testing import CliRunner

import explgraph as eg
from explgraph.cli.app import app
from tests.support.scripts import run_script

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = ("get-started.md", "reading.md", "parts.md", "measures.md", "faq.md")


def blocks(language, text=README):
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def command_lines(text=README):
    """Return the commands; one that goes over several lines counts as one."""
    joined = [re.sub(r"\s*\\\n\s*", " ", block) for block in blocks("sh", text)]
    return [line for block in joined for line in block.splitlines() if line.strip()]


def read_page(page):
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


def on_the_demo(lines):
    """Select the commands that need nothing but what the demo leaves behind."""
    own = ("photos", "zebra", "splits", "explgraph demo")
    return [
        line for line in lines if line.startswith("explgraph") and not any(o in line for o in own)
    ]


def run_command(line):
    done = CliRunner().invoke(app, shlex.split(line)[1:], catch_exceptions=False)
    assert done.exit_code == 0, f"{line}\n{done.output}"


@pytest.fixture(scope="module")
def folder(small_demo, tmp_path_factory):
    """A folder in which a smaller demo has been run, as README's examples expect."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(small_demo.out, folder / "out" / "demo")
    return folder


@pytest.fixture
def run_here(monkeypatch):
    """Run a script in a folder, in this process; return what it printed."""

    def run(script, folder):
        path = folder / "script.py"
        path.write_text(script)
        return run_script(path, folder=folder, monkeypatch=monkeypatch)

    return run


def test_python__demo_script_runs_as_it_stands(folder):
    """As a user's file: in another process, without a main guard, and warnings are errors."""
    script = next(block for block in blocks("python") if "out/demo" in block)
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "script.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    graph = eg.ExplanatoryGraph.load(folder / "fish.safetensors")
    assert f"(16, {len(graph)}, 2) (16, {len(graph)})" in done.stdout
    assert "<svg" in (folder / "fish.svg").read_text()


def test_python__the_script_of_node_facts_runs_as_it_stands(folder, run_here):
    script = next(block for block in blocks("python") if "node_facts" in block)
    printed = run_here(script, folder)
    assert "NodeKinds" in printed
    assert "in the graph's ranking." in printed


def test_python__the_scripts_of_parts_run_as_they_stand(folder, run_here):
    fit, estimator = (
        block for block in blocks("python") if "clicks.csv" in block or "Grid" in block
    )
    run_here(fit, folder)
    assert eg.Parts.load(folder / "parts.safetensors").names == ("head", "tail")
    assert "<svg" in (folder / "head.svg").read_text()
    assert (folder / "parts.png").stat().st_size > 10_000
    assert (folder / "parse.png").stat().st_size > 10_000
    assert "(16, 2)" in run_here(estimator, folder)


def keep_as_downloaded(weights, home):
    """Put weights where torchvision keeps those that it has downloaded: tests have no network."""
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    url = get_model_weights("squeezenet1_0").DEFAULT.url
    torch.save(load_file(weights), folder / url.rsplit("/", 1)[1])


@pytest.mark.slow
@pytest.mark.shared
def test_python__photo_script_runs_as_it_stands(shared, run_here, tmp_path, monkeypatch):
    script = next(block for block in blocks("python") if "photos/zebra" in block)
    keep_as_downloaded(shared / "models" / "squeezenet1_0.safetensors", tmp_path / "torch")
    for target, source, photos in (
        ("photos/zebra", "zebra", slice(0, 24)),
        ("photos/anything", "background", slice(0, 24)),
        ("new_photos", "zebra", slice(24, 28)),
    ):
        (tmp_path / target).mkdir(parents=True)
        for photo in sorted((shared / "animalpart" / source).rglob("*.jpg"))[photos]:
            (tmp_path / target / photo.name).symlink_to(photo)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    run_here(script, tmp_path)
    assert len(eg.ExplanatoryGraph.load(tmp_path / "zebra.safetensors")) > 100
    assert "<svg" in (tmp_path / "zebra.svg").read_text()


def test_python__the_script_of_the_files_page_runs(folder, run_here):
    script = blocks("python", (ROOT / "docs" / "files.md").read_text(encoding="utf-8"))[0]
    assert run_here(script, folder).startswith("graph (")


def test_commands__those_on_the_demo_run_in_their_order(folder, monkeypatch):
    monkeypatch.chdir(folder)
    lines = on_the_demo(command_lines())
    assert len(lines) >= 6
    for line in lines:
        run_command(line)
    assert (folder / "fish.graphml").stat().st_size > 1000
    report = CliRunner().invoke(app, ["info", "fish.safetensors", "--json"])
    assert json.loads(report.stdout)


@pytest.mark.parametrize("page", ["get-started.md", "faq.md"])
def test_docs__commands_on_the_demo_run(folder, monkeypatch, page):
    monkeypatch.chdir(folder)
    lines = set(on_the_demo(command_lines(read_page(page)))) - set(command_lines())
    assert lines
    for line in sorted(lines):
        run_command(line)


@pytest.mark.slow
def test_docs__scripts_on_the_demo_run_as_they_stand(folder, run_here):
    pages = ("get-started", "reading", "parts", "faq", "explain", "texture", "segments")
    scripts = [
        block
        for page in pages
        for block in blocks("python", read_page(f"{page}.md"))
        if "photos/zebra" not in block and "shared" not in block
    ]
    assert len(scripts) > len(pages)
    run_here("\n".join(scripts), folder)


ALL_COMMANDS = {
    line
    for text in (README, *map(read_page, DOCS))
    for line in command_lines(text)
    if line.startswith("explgraph")
}


@pytest.mark.parametrize("line", sorted(ALL_COMMANDS))
def test_commands__options_exist(line):
    _, name, *arguments = shlex.split(line)
    command = typer.main.get_command(app).commands[name]
    known = {option for parameter in command.params for option in parameter.opts}
    known |= {option for parameter in command.params for option in parameter.secondary_opts}
    assert {a for a in arguments if a.startswith("--")} <= known


def test_commands__every_command_is_in_the_readme():
    commands = typer.main.get_command(app).commands
    assert all(f"explgraph {name}" in README for name in commands)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_make__targets_exist(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    text = (ROOT / page).read_text(encoding="utf-8")
    named = re.findall(r"^make ([a-z]+)", "\n".join(command_lines(text)), flags=re.MULTILINE)
    assert named
    assert set(named) <= set(targets)


def test_make__the_demo_installs_the_package_alone():
    makefile = (ROOT / "Makefile").read_text()
    (needed,) = re.findall(r"^demo: (.+)$", makefile, flags=re.MULTILINE)
    (recipe,) = re.findall(rf"^{re.escape(needed)}:.*\n\t(.+)$", makefile, flags=re.MULTILINE)
    assert recipe == "$(INSTALL) -e ."


def test_make__the_ci_runs_the_readme_s_test_command():
    assert re.search(r"^make test\b", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize(
    "page",
    ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))],
)
def test_links__lead_to_files_of_the_project(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    made = re.findall(r'"(\w+\.md)": "', (ROOT / "docs" / "site_hooks.py").read_text())
    sources = {link: link.replace(".ipynb", ".py") for link in links}  # the site makes notebooks
    missing = {link for link in links if not ((ROOT / page).parent / sources[link]).exists()}
    assert missing <= (set(made) if page.startswith("docs/") else set())


def test_images__are_small():
    images = list((ROOT / "docs" / "images").iterdir())
    assert images
    assert all(image.stat().st_size < 400_000 for image in images)


def test_method__has_every_equation_that_the_code_names():
    sources = [
        p for package in ("explgraph", "mining", "aog") for p in (ROOT / package).rglob("*.py")
    ]
    named = set()
    for source in sources:
        for first, last in re.findall(r"Eq\. (\d+)(?:-(\d+))?", source.read_text(encoding="utf-8")):
            named |= set(range(int(first), int(last or first) + 1))
    method = (ROOT / "docs/method.md").read_text(encoding="utf-8")
    stated = re.findall(r"\\text\{\(Eq\. (\d+)\)\}$", method, re.MULTILINE)
    assert named
    assert named <= {int(number) for number in stated}
