"""What many tests need: made once, when first asked for, and never written into."""

from functools import cache

from explgraph.demo.animals.drawing import SEEDS, draw_animal
from explgraph.demo.run import DemoSizes

N_UNSEEN = 40
SMALL_DEMO = DemoSizes(mined=16, background=8, unseen=16)


@cache
def unseen_drawings(species):
    """Drawings that the demo network was not trained on."""
    return tuple(draw_animal(species, seed) for seed in SEEDS["test"][:N_UNSEEN])
