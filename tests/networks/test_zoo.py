"""Files of weights from anywhere: loaded, or one clear error; nothing in them runs."""

import os
import pickle
import random
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from explgraph.base.errors import ExplGraphError
from explgraph.networks.zoo import load_weights, read_weights
from tests.support.patience import at_once

N_CHANGES = int(os.environ.get("EXPLGRAPH_TEST_CHANGES", "200"))


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def pickled(value):
    return lambda path: path.write_bytes(pickle.dumps(value))


def saved(value):
    return lambda path: torch.save(value, path)


def converted(change):
    """Save a tensor of another kind, made when it is asked for: PyTorch warns of some."""
    return lambda path: torch.save({"a": change(torch.eye(2))}, path)


def archive(name, data):
    """A zip as torch.save makes it, with another pickle in it."""

    def make(path):
        with zipfile.ZipFile(path, "w") as file:
            file.writestr(name, data)
            file.writestr("a/version", b"3\n")

    return make


@pytest.mark.filterwarnings("ignore")  # of PyTorch, about what it reads
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path.write_bytes(b""), "not a whole file of weights"),
        (lambda path: path.write_bytes(b"\x80\x02}q\x00X\x02\x00\x00\x00\xff\xfeq\x01."), "whole"),
        (lambda path: path.write_bytes(b"\x80\x02h\x05."), "not a whole"),  # an unknown memo
        (lambda path: path.write_bytes(b"\x80\x02a."), "not a whole"),  # an empty stack
        (lambda path: path.write_bytes(b"\x80\x02J\x00"), "not a whole"),  # half of a number
        (archive("a/data.pkl", b"\x80\x02h\x05."), "not a whole"),
        (pickled(Evil()), "not a whole"),
        (saved({"a": Evil()}), "not a whole"),
        (saved({1: torch.ones(2)}), "no state dict"),
        (saved({None: torch.ones(2), "a": torch.ones(2)}), "no state dict"),
        (saved([torch.ones(2)]), "no state dict"),
        (saved({"state_dict": {}}), "no state dict"),
        (converted(torch.Tensor.to_sparse), "a is a sparse"),
        (converted(torch.Tensor.to_sparse_csr), "a is a sparse"),
        (
            converted(lambda plain: torch.quantize_per_tensor(plain, 0.1, 0, torch.qint8)),
            "a is a sparse, quantised",
        ),
        (saved({"a": torch.ones(2, device="meta")}), "a is a sparse, quantised or empty"),
    ],
)
def test_read_weights__what_is_wrong_is_one_error(tmp_path, monkeypatch, make, said):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "a.pth")
    with pytest.raises(ExplGraphError, match=said) as caught:
        read_weights(tmp_path / "a.pth")
    assert "a.pth" in str(caught.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
def test_read_weights__pipes_and_devices_are_refused_at_once(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with at_once(), pytest.raises(ExplGraphError, match="expected a regular file"):
            read_weights(tmp_path / f"{name}{suffix}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["zip", "pickle", "safetensors"])
def test_load_weights__damaged_files_are_loaded_or_refused_by_one_error(tmp_path, kind):
    path = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    if kind == "safetensors":
        save_file(small().state_dict(), path)
    else:
        torch.save(small().state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    whole, chance, refused = path.read_bytes(), random.Random(kind), 0
    for _ in range(N_CHANGES):
        data = bytearray(whole)
        place = chance.randrange(len(data))
        if chance.random() < 0.1:
            del data[place:]
        else:
            # A byte, or a length made enormous. The pickle of names and shapes is most of interest.
            data[place : place + chance.choice((1, 1, 1, 4))] = chance.randbytes(1)
        path.write_bytes(data)
        try:
            load_weights(small(), path)
        except ExplGraphError:
            refused += 1
    assert refused > N_CHANGES / 5


def test_load_weights__complex_numbers_fit_no_real_network(tmp_path):
    state = small().state_dict()
    state["0.weight"] = state["0.weight"].to(torch.complex64)
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ExplGraphError, match=r"0\.weight \(4, 3, 3, 3\) complex instead of \(4, "):
        load_weights(small(), tmp_path / "a.pth")


def test_read_weights__of_a_checkpoint_and_of_data_parallel(tmp_path):
    given = small()
    inner = {f"module.{name}": value for name, value in given.state_dict().items()}
    torch.save({"state_dict": inner, "epoch": 3}, tmp_path / "a.pth")
    found = small()
    load_weights(found, tmp_path / "a.pth")
    assert all(torch.equal(found.state_dict()[k], v) for k, v in given.state_dict().items())
