"""The wheel holds what the installed package needs, and nothing else."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import explgraph

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without the network from a copy of what is in the checkout."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("building a wheel without the network needs setuptools")
    import setuptools

    needed = int(re.search(r"setuptools>=(\d+)", (ROOT / "pyproject.toml").read_text())[1])
    if int(setuptools.__version__.split(".")[0]) < needed:
        pytest.skip(f"building a wheel needs setuptools {needed}, here is {setuptools.__version__}")
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    for name in ("explgraph", "mining", "aog", "data", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--wheel-dir", str(out), str(source)],
        check=True,
    )  # fmt: skip
    return next(out.glob("explgraph-*.whl"))


@pytest.fixture(scope="module")
def files(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.getinfo(name).file_size for name in archive.namelist()}


def test_wheel__has_every_module(files):
    for package in ("explgraph", "mining", "aog"):
        own = {p.relative_to(ROOT).as_posix() for p in (ROOT / package).rglob("*.py")}
        packed = {n for n in files if n.startswith(f"{package}/") and n.endswith(".py")}
        assert own
        assert {name for name in packed if "demo_data" not in name} == own
        assert f"{package}/py.typed" in files


def test_wheel__has_the_assets_of_pages(files):
    own = sorted((ROOT / "explgraph").glob("*/assets/*"))
    assert {path.parent.parent.name for path in own} == {"report", "studio"}
    for path in own:
        assert files[path.relative_to(ROOT).as_posix()] == path.stat().st_size


def test_wheel__has_the_demo_network(files):
    source = ROOT / "data" / "demo" / "demo_net.safetensors"
    assert files["explgraph/demo_data/demo_net.safetensors"] == source.stat().st_size
    assert "explgraph/demo_data/demo_net.json" in files
    assert "explgraph/demo_data/__init__.py" in files


def test_wheel__has_no_tests_and_no_stray_packages(files):
    tops = {name.split("/")[0] for name in files}
    info = f"explgraph-{explgraph.__version__}.dist-info"
    assert tops == {"explgraph", "mining", "aog", info}
    assert not [name for name in files if Path(name).name.startswith("test")]


def test_wheel__has_the_console_script_and_the_licence(wheel, files):
    info = f"explgraph-{explgraph.__version__}.dist-info"
    with zipfile.ZipFile(wheel) as archive:
        assert "explgraph = explgraph.cli:main" in archive.read(f"{info}/entry_points.txt").decode()
    assert f"{info}/licenses/LICENSE" in files


def test_wheel__is_small(wheel):
    assert wheel.stat().st_size < 5_000_000


def test_version__is_stated_once_more_in_the_project():
    assert PROJECT["version"] == explgraph.__version__
    assert f"## [{explgraph.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_extras__all_has_every_one_but_those_for_developers_and_other_machines():
    extras = PROJECT["optional-dependencies"]
    named = re.findall(r"\[(.*)\]", extras["all"][0])[0].split(",")
    assert set(named) == set(extras) - {
        *("all", "docs", "test", "dev"),
        *("cloud", "cuda", "dask", "ray"),
    }


def test_dependencies__cover_every_import():
    """Each distribution that the packages import by name is declared."""
    homes = {
        "PIL": "pillow",
        "array_api_compat": "array-api-compat",
        "sklearn": "scikit-learn",
    }
    own = {"explgraph", "mining", "aog"}
    extras = PROJECT["optional-dependencies"]
    lines = [*PROJECT["dependencies"], *extras["timm"], *extras["cuda"], *extras["cloud"]]
    lines += extras["studio"]
    found_by_others = {"numba-cuda", "aiohttp", "gcsfs", "s3fs", "uvicorn"}  # Numba, fsspec, name
    declared = {re.split(r"[<>=\[]", d)[0] for d in lines} - found_by_others
    found = set()
    for package in own:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            names = re.findall(
                r"^\s*(?:from|import) ([A-Za-z_]\w*)[\w.]* *(?:import|as|$)", text, re.M
            )
            found |= set(names)
    foreign = {n for n in found if n not in sys.stdlib_module_names and n not in own}
    assert {homes.get(name, name) for name in foreign} == declared
