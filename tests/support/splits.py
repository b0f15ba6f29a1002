"""Photos to click, drawn at random."""

import numpy as np


def draw_splits(annotations, part, clicks, seeds):
    """Draw images of a part, one of a group; fewer clicks are the first of more.

    Returns part -> number of clicks -> seed -> names of images.
    """
    image_of = dict(zip(annotations.of(part).group, annotations.of(part).image, strict=True))
    images = sorted(image_of.values())
    orders = {seed: np.random.default_rng(seed).permutation(images).tolist() for seed in seeds}
    return {part: {k: {seed: order[:k] for seed, order in orders.items()} for k in clicks}}
