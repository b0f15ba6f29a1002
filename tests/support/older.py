"""Files as earlier versions wrote them, made of those of this one."""

import json

import numpy as np
from safetensors.numpy import save

from tests.support.damage import contents

LATER = {
    "graph": ("edge_correlation", "contrast", "facing", "photo_sureness", "groups.", "effects."),
    "matches": ("facing", "peak_yx"),
    "parts": ("part.0.trait", "part.0.clicked.", "graph.edge_correlation"),
    "peaks": ("maps", "photo_size"),
}
OTHERS = {
    "graph": {"edge_coactivation": np.ones(7, np.float32)},
    "parts": {"graph.edge_coactivation": np.ones(7, np.float32)},
    "peaks": {"sketch": np.ones((4, 9), np.float32)},
}


def as_before(path, kind):
    """Write a file again without a digest and later arrays, with what is not read any more."""
    arrays, header = contents(path)
    kept = {n: a for n, a in arrays.items() if not n.startswith(LATER[kind])}
    header.pop("group_names", None)
    for about in header.get("parts", ()):
        del about["clicked"], about["trait_share"]
        about["visible_from"] = -np.inf
    if kind == "parts":
        kept["part.0.clicks"] = kept["part.0.clicks"].round().astype(np.int32)
        del header["config"]["view"]
        header["config"]["facing"] = 14.0
    text = json.dumps({**header, "kind": kind, "schema": 1}, sort_keys=True)
    path.write_bytes(save(kept | OTHERS.get(kind, {}), metadata={"explgraph": text}))
