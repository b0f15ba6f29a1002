"""The colours of maps, as the bars beside them show them."""

import numpy as np

from explgraph.drawing.pictures import AGAINST, FOR, VIRIDIS, scale


def test_scale__goes_from_the_lowest_colour_to_the_highest():
    for signed, (low, high) in ((True, (AGAINST, FOR)), (False, VIRIDIS[[0, -1]])):
        bar = np.asarray(scale((101, 8), signed=signed))
        assert bar.shape == (8, 101, 3)
        assert (bar == bar[:1]).all()
        assert bar[0, 0].tolist() == list(low)
        assert bar[0, -1].tolist() == list(high)
    assert np.asarray(scale((101, 1), signed=True))[0, 50].tolist() == [235, 235, 235]
