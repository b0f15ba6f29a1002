"""Explanations that know nothing of the network: what a method has to beat."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from .explanation_checks import Explanation
from .questions import Question
from .structures import F8

_CENTRE = 0.25  # deviation of the bump in the middle, as a share of the side


def random_order(question: Question) -> F8:
    """Return noise (H_in, W_in): the same for the same photo's name and seed."""
    rng = np.random.default_rng([question.seed, zlib.crc32(question.name.encode())])
    return rng.random(question.net.input_size)


def centre(question: Question) -> F8:
    """Return a bump (H_in, W_in) in the middle of the network's input, where most objects are."""
    y, x = (
        ((np.arange(length) + 0.5) / length - 0.5) / _CENTRE for length in question.net.input_size
    )
    return np.asarray(np.exp(-(y[:, None] ** 2 + x**2) / 2))


def edges(question: Question) -> F8:
    """Return how strongly the photo's brightness changes at each pixel (H_in, W_in).

    An edge detector has never seen the network, yet people take its pictures for explanations
    (Adebayo et al., 2018).
    """
    brightness = question.inputs[0].mean(dim=0).cpu().double().numpy()
    found: F8 = np.hypot(*np.gradient(brightness))
    return found[:, ::-1] if question.mirrored else found


CONTROLS: Mapping[str, Explanation] = MappingProxyType(
    {"random": random_order, "centre": centre, "edges": edges}
)
"""By the name of their row."""
