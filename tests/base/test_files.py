"""Files: any memory order in, equal bytes out, and one clear error for what is no whole file."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

from explgraph.base.errors import ExplGraphError
from explgraph.base.files import SCHEMA, read_arrays, write_arrays

HEADER = {"b": [1, 2.5, None], "a": {"x": "ä"}}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "some.safetensors"


def test_arrays__come_back_whatever_their_memory_order(path, rng):
    whole = rng.normal(0, 1, (6, 8, 10)).astype(np.float32)
    arrays = {
        "plain": whole,
        "transposed": whole.T,
        "fortran": np.asfortranarray(whole),
        "every_other": whole[::2, 1::3],
        "backwards": whole[:, ::-1],
        "swapped": np.swapaxes(whole, 0, 1),
        "broadcast": np.broadcast_to(whole[0, 0], (4, 10)),
        "empty": whole[:0],
        "scalar_like": np.array([7], dtype=np.int64),
        "bytes": rng.integers(0, 255, 9).astype(np.uint8)[::-1],
    }
    write_arrays(path, "test", arrays, HEADER)
    found, header = read_arrays(path, "test")
    assert header == HEADER
    assert found.keys() == arrays.keys()
    mapped, _ = read_arrays(path, "test", mapped=True)
    for name, array in arrays.items():
        for own in (found[name], mapped[name]):
            assert own.dtype == array.dtype
            assert np.array_equal(own, array), name


@pytest.mark.parametrize("seed", range(20))
def test_file__is_as_safetensors_writes_it(path, seed):
    """Without holding all of it once more."""
    rng = np.random.default_rng(seed)
    kinds = ["float16", "float32", "float64", "int8", "int32", "int64", "uint8"]
    arrays = {
        "".join(rng.choice(list('azAZ_.0\u00e9"\\ \t'), 4)) + str(k): np.asarray(
            rng.random(tuple(rng.integers(0, 4, 1 + k % 3))) * 9
        ).astype(rng.choice(kinds))
        for k in range(rng.integers(0, 12))
    }
    write_arrays(path, "test", arrays, {"a": '\u00e9\n"'})
    with safe_open(path, framework="numpy") as file:
        said = file.metadata()
    assert path.read_bytes() == save(arrays, metadata=said)


def test_mapped__stays_in_the_file_and_is_checked(path):
    array = np.arange(3000, dtype=np.float32).reshape(3, 1000)
    write_arrays(path, "test", {"a": array, "b": array.astype(np.float16)}, HEADER)
    found, _ = read_arrays(path, "test", mapped=True)
    assert all(isinstance(own, np.memmap) and not own.flags.writeable for own in found.values())
    write_arrays(path, "test", {"a": array[:1]}, HEADER)  # in its place, not into it
    assert np.array_equal(found["a"], array)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ExplGraphError, match="its digest is another"):
        read_arrays(path, "test", mapped=True)


def test_file__has_one_metadata_key_that_is_sorted_json(path):
    write_arrays(path, "test", {"a": np.zeros(2)}, HEADER)
    with safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert list(metadata) == ["explgraph"]
    digest = json.loads(metadata["explgraph"])["digest"]
    expected = {**HEADER, "digest": digest, "kind": "test", "schema": SCHEMA}
    assert metadata["explgraph"] == json.dumps(expected, sort_keys=True)


def test_file__equal_content_gives_equal_bytes(path):
    first, second = np.arange(6.0).reshape(2, 3), np.arange(3)
    write_arrays(path, "test", {"a": first, "b": second}, {"x": 1, "y": 2})
    before = path.read_bytes()
    other = {"b": second.copy(), "a": np.asfortranarray(first)}
    write_arrays(path, "test", other, {"y": 2, "x": 1})
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_write__a_header_that_json_cannot_hold_is_refused(path, value):
    with pytest.raises(ExplGraphError, match="the header of a test cannot be written"):
        write_arrays(path, "test", {"a": np.zeros(3)}, {"deep": [{"x": value}]})
    assert not path.exists()


def test_digest__is_not_in_the_header_and_missing_in_files_of_earlier_versions(path):
    write_arrays(path, "test", {"a": np.zeros(3)}, {"digest_of_mine": "", "x": {"digest": ""}})
    assert read_arrays(path, "test")[1] == {"digest_of_mine": "", "x": {"digest": ""}}
    text = json.dumps({"kind": "test", "schema": 1, "x": 1})
    path.write_bytes(save({"a": np.ones(3)}, metadata={"explgraph": text}))
    arrays, header = read_arrays(path, "test")
    assert arrays["a"].tolist() == [1, 1, 1]
    assert header == {"x": 1}


@pytest.mark.parametrize("digest", ["", "0" * 64, 5, ["a"], {}])
def test_digest__that_is_another_is_refused(path, digest):
    write_arrays(path, "test", {"a": np.zeros(3)}, {})
    with safe_open(path, framework="numpy") as file:
        header = json.loads(file.metadata()["explgraph"])
    text = json.dumps(header | {"digest": digest})
    path.write_bytes(save({"a": np.zeros(3)}, metadata={"explgraph": text}))
    with pytest.raises(ExplGraphError, match=r"some\.safetensors .* its digest is another"):
        read_arrays(path, "test")


def test_read__an_array_of_a_type_of_others_is_refused(path):
    text = json.dumps({"kind": "test", "schema": 1})
    path.write_bytes(save({"a": np.zeros(3, bool)}, metadata={"explgraph": text}))
    with pytest.raises(ExplGraphError, match="a has the type BOOL, which is none of ours"):
        read_arrays(path, "test")


# -- what is refused -------------------------------------------------------------------------------


def tensors(metadata):
    """Bytes of a safetensors file with these metadata."""
    return save({"a": np.zeros(3)}, metadata)


def ours(**header):
    return tensors({"explgraph": json.dumps({"kind": "graph", "schema": SCHEMA} | header)})


WHOLE = ours()
NOT_JSON = "its header is no JSON object"
NOT_WHOLE, NOT_OURS = "not a whole explgraph graph file", "not one that explgraph wrote"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file"),
        *((WHOLE[: int(share * len(WHOLE))], NOT_WHOLE) for share in (0, 0.01, 0.3, 0.9, 0.999)),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), NOT_WHOLE),
        (b"{}", NOT_WHOLE),
        (bytes(8), NOT_WHOLE),
        (b"\xff" * 99, NOT_WHOLE),
        (tensors(None), NOT_OURS),
        (tensors({"format": "pt"}), NOT_OURS),
        (ours(kind="peaks"), "holds 'peaks', expected 'graph'"),
        *((ours(schema=s), f"has schema {s}, this version reads") for s in (SCHEMA + 1, None, "1")),
        *((tensors({"explgraph": text}), NOT_WHOLE) for text in ("{", "")),
        *((tensors({"explgraph": text}), NOT_JSON) for text in ("[]", "3", "null")),
    ],
)
def test_read__what_is_no_whole_file_of_this_kind(path, content, message):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExplGraphError, match=message):
        read_arrays(path, "graph")


def test_read__a_folder_is_no_file(path):
    with pytest.raises(ExplGraphError, match="is not a file"):
        read_arrays(path.parent, "graph")
