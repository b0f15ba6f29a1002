"""Our files of arrays taken apart and put together again, with a digest that fits: nothing of the
library is used, but what docs/files.md says."""

import hashlib
import json
import struct
from dataclasses import dataclass, field

KEY = "explgraph"
NAMES = {"F16": "float16", "F32": "float32", "F64": "float64", "I8": "int8", "I16": "int16",
         "I32": "int32", "I64": "int64", "U8": "uint8", "BOOL": "bool", "U16": "uint16",
         "U32": "uint32", "U64": "uint64"}  # fmt: skip
WIDTHS = {"F16": 2, "F32": 4, "F64": 8, "I8": 1, "I16": 2, "I32": 4, "I64": 8, "U8": 1, "BOOL": 1,
          "U16": 2, "U32": 4, "U64": 8, "BF16": 2, "F8_E4M3": 1}  # fmt: skip
_PIECE = 2**20


@dataclass
class Tensor:
    dtype: str
    shape: list
    data: bytes


@dataclass
class ArraysFile:
    """``said`` is the header's JSON text, or None of files that are not ours."""

    said: str | None
    tensors: dict[str, Tensor] = field(default_factory=dict)


def taken_apart(data):
    (length,) = struct.unpack("<Q", data[:8])
    entries, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    said = entries.pop("__metadata__", {}).get(KEY)
    tensors = {
        name: Tensor(e["dtype"], e["shape"], body[slice(*e["data_offsets"])])
        for name, e in entries.items()
    }
    return ArraysFile(said, tensors)


def put_together(file, entries=None):
    """Return the bytes of a file; ``entries`` in place of what is true of its arrays."""
    head = {} if file.said is None else {"__metadata__": {KEY: file.said}}
    text = json.dumps(head | (entries_of(file) if entries is None else entries)).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(t.data for t in file.tensors.values())


def entries_of(file):
    entries, at = {}, 0
    for name, tensor in file.tensors.items():
        ends = [at, at + len(tensor.data)]
        entries[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": ends}
        at = ends[1]
    return entries


def digest_of(text, tensors):
    whole = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name in sorted(tensors):
        tensor = tensors[name]
        line = f"\n{name} {NAMES.get(tensor.dtype, tensor.dtype)} {list(tensor.shape)}\n"
        whole.update(line.encode("utf-8", "surrogatepass"))
        for start in range(0, len(tensor.data), _PIECE):
            whole.update(hashlib.sha256(tensor.data[start : start + _PIECE]).digest())
    return whole.hexdigest()


def seal(file):
    """Put the digest of what a file holds into it; False if its header has no place for one."""
    try:
        said = json.loads(file.said)
        assert isinstance(said["digest"], str)
        old, blank = (f'"digest": {json.dumps(d)}' for d in (said["digest"], ""))
        assert file.said.count(old) == 1
        text = file.said.replace(old, blank)
        file.said = text.replace(blank, f'"digest": "{digest_of(text, file.tensors)}"')
    except (AssertionError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return True


def sealed_json(text):
    """Return a manifest's text with a digest that fits; None if it has no place for one."""
    try:
        said = json.loads(text)["digest"]
        old, blank = f'"digest": "{said}"'.encode(), b'"digest": ""'
        assert text.count(old) == 1
        text = text.replace(old, blank)
        return text.replace(blank, f'"digest": "{hashlib.sha256(text).hexdigest()}"'.encode())
    except (AssertionError, ValueError, KeyError, TypeError, RecursionError):
        return None
