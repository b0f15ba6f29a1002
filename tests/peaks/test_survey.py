"""What photos are like before they are mined, against plain loops and photos made for it."""

from collections import deque
from dataclasses import replace

import numpy as np
import pytest

from explgraph.base.formats.material import Material
from explgraph.peaks import survey as module
from explgraph.peaks.structures import GROUP, Peaks
from explgraph.peaks.survey import survey
from tests.support.planted_peaks import planted_peaks


@pytest.fixture(scope="module")
def peaks():
    return planted_peaks(n_images=30, strides=(8, 16), channels=40, seed=5).peaks


def with_photos(peaks, rows):
    """Photos by index, in this order, with names of their own."""
    taken = peaks.take(np.asarray(rows))
    return replace(taken, images=tuple(f"{i}.png" for i in range(len(rows))))


def altered(peaks, change):
    """Every layer's weight and yx, of both views, as ``change`` returns them."""

    def each(layers):
        return tuple(Peaks(p.layer, *change(p.yx.copy(), p.weight.copy())) for p in layers)

    return replace(peaks, peaks=each(peaks.peaks), mirrored=each(peaks.mirrored))


def expected_likeness(peaks):
    """Of each photo the largest share of filters at one place: a plain loop over all filters."""
    result = np.zeros(len(peaks))
    for i in range(len(peaks)):
        for j in range(i):
            for views in (peaks.peaks, peaks.mirrored):
                both = either = 0
                for given, other in zip(peaks.peaks, views, strict=True):
                    for c in range(given.layer.channels):
                        a, b = given.weight[i, c, 0] > 0, other.weight[j, c, 0] > 0
                        away = (given.yx[i, c, 0] - other.yx[j, c, 0]) / peaks.input_size
                        either += a or b
                        both += a and b and np.hypot(*away) <= 0.05
                result[i] = max(result[i], both / max(either, 1))
    return result


def test_survey__different_photos_are_no_copies(peaks):
    found = survey(peaks)
    assert found == Material(dead_filters=found.dead_filters)


def test_likeness__is_that_of_a_plain_loop(peaks):
    copies = with_photos(peaks, [0, 1, 2, 1, 3, 0, 4])
    rng = np.random.default_rng(0)

    def shaken(yx, weight):
        return yx + rng.normal(0, 4, yx.shape), weight

    shaken_copies = altered(copies, shaken)

    found = module._likeness(shaken_copies, deque())
    expected = expected_likeness(shaken_copies)
    assert 0.2 < expected[5] < 1
    kept = expected >= 0.3  # others are let go after some filters
    np.testing.assert_array_equal(found[kept], expected[kept])
    assert (found[~kept] <= expected[~kept]).all()


def test_survey__copies_are_counted_and_named(peaks):
    found = survey(with_photos(peaks, [0, 1, 2, 1, 1, 3, 0, 0]))
    assert (found.repeats, found.repeated) == (4, ("3.png", "4.png", "6.png"))


def test_survey__mirrored_copies_are_found(peaks):
    def swapped(photo):
        one = peaks.take([photo])
        return replace(one, peaks=one.mirrored, mirrored=one.peaks)

    first, second = peaks.take([0, 1]), swapped(0)

    def joined(name):
        pairs = zip(getattr(first, name), getattr(second, name), strict=True)
        return tuple(
            Peaks(a.layer, np.concatenate([a.yx, b.yx]), np.concatenate([a.weight, b.weight]))
            for a, b in pairs
        )

    both = replace(peaks.take([0, 1, 2]), peaks=joined("peaks"), mirrored=joined("mirrored"))
    assert survey(both).repeats == 1


def test_survey__does_not_depend_on_how_photos_are_grouped(peaks, monkeypatch):
    rows = np.arange(GROUP + 50) % 30
    many = with_photos(peaks, rows)
    monkeypatch.setattr(module, "EARLIER", 40)
    expected = survey(many)
    assert expected.repeats == len(rows) - 30

    class Otherwise:
        layers = many.layers

        def groups(self):
            for start in range(0, len(many), 7):
                yield many.take(slice(start, start + 7))

    assert survey(Otherwise()) == expected


def test_survey__photos_in_which_nothing_fires(peaks):
    def silent(yx, weight):
        weight[[2, 5]] = 0
        return yx, weight

    found = survey(altered(peaks, silent))
    assert (found.silent, found.silenced) == (2, (peaks.images[2], peaks.images[5]))
    assert found.repeats == 0  # nothing is at no place


def test_survey__filters_that_never_fire_by_layer(peaks):
    def dead(yx, weight):
        weight[:, :4] = 0
        return yx, weight

    before = survey(peaks).dead_filters
    assert np.array_equal(survey(altered(peaks, dead)).dead_filters, np.array(before) + 4)


@pytest.mark.parametrize(("pixels", "small"), [(0.2, 30), (0.3, 0)])
def test_survey__small_photos(peaks, pixels, small):
    """So many ``pixels`` for one of the network along the height, half as many along the width."""
    height, width = peaks.input_size
    size = np.round([height * pixels, width * pixels / 2])
    frames = np.tile([[0, 1 / height], [0, 1 / width]], (30, 1, 1))
    sized = replace(peaks, frames=frames, photo_size=np.tile(size, (30, 1)))
    assert survey(sized).enlarged == small
    assert survey(replace(sized, photo_size=None)).enlarged == 0
