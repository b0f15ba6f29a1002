"""Changed files: told by a format, a seed and a number, each can be made again from these."""

import hashlib
import io
import json
import random
import struct
import zipfile
import zlib
from dataclasses import dataclass

import numpy as np

from . import hostile
from .arrays_file import WIDTHS, entries_of, put_together, seal, sealed_json, taken_apart

MANIFEST = "manifest.json"
_NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 2**24, 2**31 - 1, 2**31,
            2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
_VALUES = (0.0, -0.0, 1.0, -1.0, 1e-45, 0.5, 3.4e38, -3.4e38, 1e9, -1e9, 65504.0, 1e300, 2.0,
           127.0, 128.0, 2**31 - 1, 2**31, *map(float, ("nan", "inf", "-inf")))  # fmt: skip
_FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_INTS = {"I8": np.int8, "I32": np.int32, "I64": np.int64, "U8": np.uint8}


@dataclass(frozen=True)
class Case:
    """An input.

    ``files`` by name; ``whole`` is True where a checksum that a file of this format has cannot tell
    that something changed: it was made anew, or taken out. ``how`` says what was done.
    """

    files: dict[str, bytes]
    whole: bool
    how: str


def chance(name, seed, index):
    return random.Random(f"{name}:{seed}:{index}")


def mutated(name, seeds, seed, index):
    """Return the input of a number: a change of one file of one of the format's seeds."""
    rng = chance(name, seed, index)
    files = dict(rng.choice(seeds))
    file = rng.choice(sorted(files))
    others = [other[file] for other in seeds if file in other]
    structure, often = _STRUCTURES.get(file.rpartition(".")[2], (None, 0))
    if rng.random() >= often:
        files[file] = changed_bytes(rng, files[file], others)
        return Case(files, False, f"{file}: bytes")
    files[file], whole = structure(rng, files[file], others)
    if whole and MANIFEST in files:
        whole = told_in_manifest(files, file)
    return Case(
        files, whole, f"{file}: {structure.__name__.strip('_')}{', whole' if whole else ''}"
    )


# -- bytes -----------------------------------------------------------------------------------------


def changed_bytes(rng, data, others):
    """Return bytes with a change, or with some."""
    data = bytearray(data)
    for _ in range(1 if rng.random() < 0.6 else rng.randrange(2, 6)):
        rng.choice(_CHANGES)(rng, data, others)
    return bytes(data)


def _place(rng, data):
    """Anywhere, the beginning more often: heads are there."""
    reach = len(data) if rng.random() < 0.6 else min(len(data), 64)
    return rng.randrange(reach) if reach else 0


def _flip(rng, data, _):
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _byte(rng, data, _):
    if data:
        data[_place(rng, data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _number(rng, data, _):
    at, width = _place(rng, data), rng.choice((1, 2, 4, 8))
    number = rng.choice(_NUMBERS) % 256**width
    data[at : at + width] = number.to_bytes(width, rng.choice(("little", "big")))


def _cut(rng, data, _):
    del data[_place(rng, data) :]


def _remove(rng, data, _):
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 4, 8, rng.randrange(1, 64)))]


def _insert(rng, data, _):
    length = rng.choice((1, 2, 4, 8, rng.randrange(1, 64), 4096 if rng.random() < 0.05 else 3))
    filler = rng.choice((b"\0", b"\xff", b" ", rng.randbytes(1)))
    at = _place(rng, data)
    data[at:at] = rng.randbytes(length) if rng.random() < 0.3 else filler * length


def _repeat(rng, data, _):
    at, to = _place(rng, data), _place(rng, data)
    data[to:to] = data[at : at + rng.randrange(1, 256)]


def _splice(rng, data, others):
    other = rng.choice(others)
    at = rng.randrange(len(other) + 1)
    data[_place(rng, data) :] = other[at:]


def _swap(rng, data, _):
    width = rng.choice((1, 2, 4, 8, 16))
    at, to = _place(rng, data), _place(rng, data)
    data[at : at + width], data[to : to + width] = data[to : to + width], data[at : at + width]


def _append(rng, data, others):
    data += rng.choice((b"\0" * 8, rng.randbytes(32), rng.choice(others)))


_CHANGES = (
    _flip, _flip, _flip, _byte, _byte, _number, _number, _cut, _remove, _insert, _repeat, _splice,
    _swap, _append,
)  # fmt: skip


# -- structure -------------------------------------------------------------------------------------


def _arrays(rng, data, others):
    """Change a file of arrays; in most cases the digest is made anew."""
    file = taken_apart(data)
    kind = rng.randrange(10)
    entries, extra = None, b""
    if kind < 3 and file.said is not None:
        file.said = hostile.json_text(rng, json.loads(file.said))
    elif kind < 6:
        _change_values(rng, file)
    elif kind == 6:
        _change_names(rng, file, taken_apart(rng.choice(others)))
    elif kind == 7:
        _change_shape(rng, file)
    elif kind == 8 and file.said is not None:
        file.said = _without_digest(rng, file)
    else:
        entries, extra = _lies(rng, entries_of(file))
    whole = file.said is None or '"schema": 1' in file.said
    if file.said is not None and rng.random() < 0.7:
        whole = seal(file) or whole
    return put_together(file, entries) + extra, whole


def _without_digest(rng, file):
    """Make it a file of an earlier version, with a value changed."""
    said = {**json.loads(file.said), "schema": 1}
    said.pop("digest", None)
    if rng.random() < 0.5:
        _change_values(rng, file)
        return json.dumps(said)
    return hostile.json_text(rng, said)


def _change_values(rng, file):
    for name in rng.sample(
        sorted(file.tensors), k=min(len(file.tensors), rng.choice((1, 1, 1, 2)))
    ):
        tensor = file.tensors[name]
        kind = _FLOATS.get(tensor.dtype) or _INTS.get(tensor.dtype)
        values = np.frombuffer(tensor.data, kind).copy()
        if not values.size:
            continue
        with np.errstate(all="ignore"):
            if tensor.dtype in _FLOATS:
                new = np.array(rng.choice(_VALUES)).astype(kind)
            else:
                new = np.array(rng.choice(_NUMBERS) - rng.choice((0, 1, 2**31))).astype(kind)
            how = rng.randrange(6)
            if how < 3:
                values[rng.randrange(values.size)] = new
            elif how == 3:
                values[:] = new
            elif how == 4:
                values = rng.choice((np.negative, np.sort, np.flip))(values)
            else:
                values = (values.astype(float) * rng.choice((-1, 2, 0.5, 1e4))).astype(kind)
        tensor.data = np.ascontiguousarray(values).astype(kind).tobytes()


def _change_names(rng, file, other):
    name = rng.choice(sorted(file.tensors))
    kind = rng.randrange(5)
    if kind == 0:
        del file.tensors[name]
    elif kind == 1:
        fresh = rng.choice((f"{name}x", "", name.rpartition(".")[2], f"{name}.0", "\x00", "sketch"))
        file.tensors = {fresh if n == name else n: t for n, t in file.tensors.items()}
    elif kind == 2:
        second = rng.choice(sorted(file.tensors))
        file.tensors[name], file.tensors[second] = file.tensors[second], file.tensors[name]
    elif kind == 3:
        stranger = rng.choice(sorted(other.tensors))
        file.tensors[stranger] = other.tensors[stranger]
    else:
        prefix = rng.choice(
            ("facing", "contrast", "groups.yx", "views.maps", "mirrored.0.yx", "maps")
        )
        file.tensors[prefix] = file.tensors[name]


def _change_shape(rng, file):
    """Another shape or type, with the bytes that go with it."""
    name = rng.choice(sorted(file.tensors))
    tensor = file.tensors[name]
    width, kind = WIDTHS[tensor.dtype], rng.randrange(5)
    count = len(tensor.data) // width
    if kind == 0:
        tensor.shape = [count]
    elif kind == 1:
        tensor.shape = [*tensor.shape, 1]
    elif kind == 2 and tensor.shape and tensor.shape[0]:
        row = len(tensor.data) // tensor.shape[0]
        more = rng.random() < 0.5
        tensor.data = tensor.data + tensor.data[:row] if more else tensor.data[row:]
        tensor.shape = [tensor.shape[0] + (1 if more else -1), *tensor.shape[1:]]
    elif kind == 3:
        tensor.shape, tensor.data = [0, *tensor.shape[1:]], b""
    else:
        tensor.dtype = rng.choice(sorted(WIDTHS))
        tensor.data = (tensor.data * WIDTHS[tensor.dtype])[: count * WIDTHS[tensor.dtype]]


def _lies(rng, entries):
    """Entries that are not true of the arrays."""
    name = rng.choice(sorted(entries))
    entry, kind = entries[name], rng.randrange(6)
    if kind == 0:
        entry["data_offsets"] = [rng.choice(_NUMBERS), rng.choice(_NUMBERS)]
    elif kind == 1:
        entry["shape"] = [rng.choice((*_NUMBERS, -1, 1.5)) for _ in range(rng.randrange(5))]
    elif kind == 2:
        entry["dtype"] = rng.choice((*sorted(WIDTHS), "F128", "", 3, None))
    elif kind == 3:
        entry["data_offsets"] = rng.choice(list(entries.values()))["data_offsets"]
    elif kind == 4:
        entry.pop(rng.choice(sorted(entry)))
    else:
        entries = json.loads(json.dumps(entries).replace(name, rng.choice((f"{name} ", "a", "yx"))))
    return entries, rng.choice((b"", b"", b"\0" * 8, rng.randbytes(9)))


def _json(rng, data, others):
    text = hostile.json_text(rng, json.loads(data), ('"shard-00001.safetensors"', '"0" : 1'))
    made = sealed_json(text.encode()) if rng.random() < 0.7 else None
    older = b'"digest"' not in data or '"schema": 1' in text
    return (text.encode(), older) if made is None else (made, True)


def told_in_manifest(files, file):
    """Let a spool's manifest know of a changed shard."""
    if file == MANIFEST:
        return True
    said = json.loads(files[MANIFEST])
    for shard in said["shards"]:
        if shard["file"] == file:
            new = hashlib.sha256(files[file]).hexdigest()
            files[MANIFEST] = files[MANIFEST].replace(shard["sha256"].encode(), new.encode())
    made = sealed_json(files[MANIFEST])
    files[MANIFEST] = files[MANIFEST] if made is None else made
    return True


def _table(rng, data, _):
    return hostile.table(rng, data.decode()), True


def _lines(rng, data, _):
    return hostile.lines(rng, data.decode()), True


def _xml(rng, data, _):
    return hostile.xml(rng, data.decode()), True


def _archive(rng, data, others):
    """Change a member of a ZIP archive, whose checksums are made anew."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return changed_bytes(rng, data, others), False
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    name = rng.choice([n for n in held if n.endswith("data.pkl")] * 5 + sorted(held))
    kind = rng.randrange(8)
    if kind == 0:
        del held[name]
    elif kind == 1:
        held[rng.choice((f"{name}x", "data.pkl", "archive/../x"))] = held[name]
    else:
        held[name] = changed_bytes(rng, held[name], [held[name]])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for each, content in held.items():
            archive.writestr(zipfile.ZipInfo(each), content)
    return buffer.getvalue(), False


def _chunks(rng, data, others):
    """Change a chunk of a PNG, whose checksums are made anew; of others, lengths in their heads."""
    if not data.startswith(b"\x89PNG"):
        data = bytearray(data)
        at = rng.randrange(min(len(data), 40))
        data[at : at + 2] = struct.pack(rng.choice("<>") + "H", rng.choice((0, 1, 9, 999, 65535)))
        return bytes(data), False
    chunks, at = [], 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        chunks.append([data[at + 4 : at + 8], data[at + 8 : at + 8 + length]])
        at += length + 12
    chunk = rng.choice([*chunks, chunks[0], chunks[0]])
    kind = rng.randrange(6)
    if kind == 0:
        chunks.remove(chunk)
    elif kind == 1:
        chunks.insert(rng.randrange(len(chunks)), list(chunk))
    elif kind == 2:
        name = rng.choice((b"tRNS", b"gAMA", b"eXIf", b"zTXt", b"iTXt", b"acTL", b"fdAT", b"iCCP"))
        chunks.insert(rng.randrange(len(chunks)), [name, rng.randbytes(rng.randrange(40))])
    else:
        chunk[1] = changed_bytes(rng, chunk[1], [chunk[1]])
    return data[:8] + b"".join(_chunk(*each) for each in chunks), False


_TAR_FIELDS = ((0, 100), (100, 8), (124, 12), (124, 12), (124, 12), (136, 12), (156, 1), (156, 1),
               (157, 100), (257, 8), (345, 155))  # fmt: skip
_TAR_TEXTS = (b"", b"../x.png", b"/x.png", b"\xff.png", b"x.png", b"\x80" + b"\0" * 10 + b"\x05",
              b"\x80" + b"\xff" * 11, b"77777777777", b"-1", b"00000000001 ", b"9", b"1e3", b"L",
              b"x", b"g", b"S", b"2", b"5", b"0", b"K", b"V", b"ustar  \0",
              b"30 path=../y.png\n")  # fmt: skip


def _tar(rng, data, others):
    """Change a field of a header, whose checksum is made anew; or leave out or repeat blocks."""
    blocks = [data[i : i + 512] for i in range(0, len(data), 512)]
    heads = [i for i, block in enumerate(blocks) if block[257:262] == b"ustar"]
    at, kind = rng.choice(heads), rng.randrange(8)
    if kind == 0:
        del blocks[at]
    elif kind == 1:
        blocks[at:at] = blocks[rng.choice(heads) :][: rng.randrange(1, 4)]
    elif kind == 2:  # what an extended header says
        blocks[at + 1] = changed_bytes(rng, blocks[at + 1], [blocks[at + 1]])[:512].ljust(
            512, b"\0"
        )
    else:
        start, length = rng.choice(_TAR_FIELDS)
        said = rng.choice(_TAR_TEXTS)[:length].ljust(length, b"\0")
        block = bytearray(blocks[at])
        block[start : start + length] = said
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        blocks[at] = bytes(block)
    return b"".join(blocks), False


def _chunk(name, content):
    check = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + check


_STRUCTURES = {
    "safetensors": (_arrays, 0.6),
    "json": (_json, 0.6),
    "csv": (_table, 0.6),
    "txt": (_lines, 0.6),
    "xml": (_xml, 0.6),
    "pth": (_archive, 0.6),
    "tar": (_tar, 0.6),
    **dict.fromkeys(
        ("png", "jpg", "bmp", "gif", "tif", "webp", "jp2", "mat", "mpo"), (_chunks, 0.4)
    ),
}
"""By the ending of files: what knows their structure, and how often it is asked."""
