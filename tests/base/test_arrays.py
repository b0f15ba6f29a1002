"""Arrays: numbers of another precision."""

import numpy as np

from explgraph.base.arrays import singles


def test_singles__every_finite_half_to_the_last_bit():
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)].reshape(2, -1)
    expected = halves.astype(np.float32)
    assert (singles(halves).view(np.uint32) == expected.view(np.uint32)).all()
    room = np.empty_like(expected)
    assert singles(halves, room) is room
    assert (room.view(np.uint32) == expected.view(np.uint32)).all()
    assert singles(halves[:, ::3]).tolist() == expected[:, ::3].tolist()
