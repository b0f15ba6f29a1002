"""When a node fires."""

import numpy as np

from explgraph.graphs.matches import fires


def test_fires__from_half_of_the_mean_on_and_never_at_zero():
    """Node 0 has the mean 4: it fires from 2 on. Node 1 never scored in mining."""
    score = np.array([[1.9, 2, 8], [0, 0.1, 0]])
    assert fires(score, np.array([4, 0])).tolist() == [[False, True, True], [False, True, False]]
