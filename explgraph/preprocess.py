"""Where `Preprocess` was until 0.1: factories of networks may still import it from here."""

import warnings

from explgraph.networks.preprocess import Preprocess as Preprocess

warnings.warn(
    "explgraph.preprocess goes with the next release: from explgraph import Preprocess",
    DeprecationWarning,
    stacklevel=2,
)
