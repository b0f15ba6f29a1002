"""The command line as a whole, ``explgraph layers`` and ``explgraph demo``."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import explgraph as eg
from tests.support.commands import ok, refused

COMMANDS = (
    *("demo", "layers", "mine", "match", "export", "info", "compare", "evaluate", "parts"),
    *("locate", "studio"),
)


@pytest.fixture(scope="module")
def model(files):
    return files.small_model


def test_version_is_the_packages():
    assert ok("--version").stdout == f"explgraph {eg.__version__}\n"


def test_help_lists_every_command():
    text = ok("--help").stdout
    assert all(f" {name} " in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name):
    text = " ".join(ok(name, "--help").stdout.split())
    assert f"Example: explgraph {name} " in text


def test_help_imports_nothing_heavy():
    code = (
        "import sys\nfrom explgraph.cli.app import app\n"
        "try:\n    app(['mine', '--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'torch', 'torchvision', 'numba', 'pandas', 'matplotlib', 'networkx', 'scipy', "
        "'sklearn'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_interrupt_ends_with_130(files, model, tmp_path):
    command = [sys.executable, "-c", "from explgraph.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "mine", str(files.zoo / "fish"), "--model", model.replace(":net", ":slow"),
         "--out", str(tmp_path / "never.safetensors")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    watchdog = threading.Timer(100, process.kill)
    watchdog.start()
    try:
        while process.stderr.readline() != "ready\n":  # after lines of progress
            assert process.poll() is None
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    finally:
        watchdog.cancel()
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("interrupted: nothing is kept")
    assert not (tmp_path / "never.safetensors").exists()


def test_stdout_of_a_process_is_json_alone(model):
    command = [sys.executable, "-c", "from explgraph.cli import main; main()"]
    done = subprocess.run(
        [*command, "layers", model, "--json"], capture_output=True, text=True, check=True
    )
    assert "noise on stdout" in done.stderr
    assert json.loads(done.stdout)["model"] == "net.py:net"


# --- layers ---------------------------------------------------------------------------------------


def test_layers_lists_what_a_network_has():
    data = json.loads(ok("layers", "squeezenet1_0", "--json").stdout)
    found = {layer["name"]: layer for layer in data["layers"]}
    assert data["input_size"] == [224, 224]
    automatic = [name for name, layer in found.items() if layer["automatic"]]
    assert automatic == ["features.8", "features.9", "features.10", "features.12"]
    last = found["features.12"]
    assert (last["channels"], last["grid"], last["stride"]) == (512, [13, 13], [16.0, 16.0])
    assert last["global_context"] is False


def test_layers_marks_the_automatic_choice_in_the_table():
    lines = ok("layers", "squeezenet1_0").stdout.splitlines()
    heading = next(line for line in lines if "channels" in line)
    for word in ("layer", "grid", "stride", "receptive field", "context"):
        assert word in heading
    row = next(line.split() for line in lines if " features.12 " in line)
    assert row[:3] == ["*", "features.12", "512"]
    assert "features.0" in next(line for line in lines if " features.0 " in line).split()[0]


def test_layers_reads_the_weights_it_is_given(squeezenet):
    assert "does not fit" in refused("layers", "squeezenet1_0", "--weights", squeezenet[0])
    ok("layers", "squeezenet1_1", "--weights", squeezenet[0])


def test_layers_of_gated_networks_say_global():
    lines = ok("layers", "mobilenet_v3_small").stdout.splitlines()
    assert any(line.endswith("global") for line in map(str.rstrip, lines))


U_NET = """
import torch
from torch import nn
from torch.nn.functional import interpolate

class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3, 1, 1), nn.Conv2d(4, 8, 3, 2, 1)
        self.c, self.out = nn.Conv2d(12, 4, 3, 1, 1), nn.Conv2d(4, 2, 1)

    def forward(self, x):
        fine = self.a(x).relu()
        risen = interpolate(self.b(fine).relu(), size=fine.shape[2:])
        return self.out(self.c(torch.cat([fine, risen], 1)).relu())
"""


def test_layers_of_a_grey_u_net__notes_and_a_warning_in_one_line(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(U_NET)
    code = "from explgraph.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "layers", f"{file}:UNet"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split() for line in done.stdout.splitlines()]
    (out, c) = (next(row for row in rows if name in row) for name in ("out", "c"))
    assert (out[-1], c[-1]) == ("read-out", "upsampled")
    assert [row[1] for row in rows if row[:1] == ["*"] and len(row) > 5] == ["a", "b"]
    (warning,) = [line for line in done.stderr.splitlines() if "warning" in line.lower()]
    assert warning.startswith("warning: of this network's layers a, b were chosen")
    assert "UserWarning" not in done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("squeezenet1_9", "squeezenet1_0"),
        ("vit_b_16", "convolutional"),
        ("nowhere.py:net", "nowhere.py"),
        ("no_such_module:net", "no_such_module"),
    ],
)
def test_layers__wrong_model(name, said):
    assert said in refused("layers", name)


# --- demo -----------------------------------------------------------------------------------------


def test_demo_runs_the_demo(tmp_path, monkeypatch):
    calls = []

    class Result:
        def to_json(self):
            return {"nodes": 7}

        def report(self):
            return "seven nodes"

    def run_demo(out, *, species, seed, progress):
        print("chatter")
        calls.append((out, species, seed, progress))
        return Result()

    monkeypatch.setattr("explgraph.demo.run.run_demo", run_demo)
    result = ok("demo", "--out", tmp_path, "--species", "cat", "--seed", 2, "--json")
    assert json.loads(result.stdout) == {"nodes": 7}
    assert result.stderr == "chatter\n"
    assert ok("demo").stdout == "seven nodes\n"
    assert calls == [(tmp_path, "cat", 2, True), (Path("out/demo"), "fish", 0, True)]


def test_demo__out_is_a_file(files):
    assert "is a file" in refused("demo", "--out", files.clicks)


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "2000"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None"), ({"GOMP_SPINCOUNT": "9"}, "9")],
)
def test_main__pytorch_is_told_to_spin_but_shortly_before_it_is_loaded(given, expected):
    code = (
        "import os, sys\n"
        "import explgraph.cli.app as app\n"
        "app.app = lambda: print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)\n"
        "from explgraph.cli import main\n"
        "main()"
    )
    own = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {k: v for k, v in os.environ.items() if k not in own} | given
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [expected, "False"]
