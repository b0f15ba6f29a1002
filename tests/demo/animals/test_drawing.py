"""The drawn animals: the same for the same seed, with masks and centres that agree."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from explgraph.base.errors import ExplGraphError
from explgraph.demo.animals.drawing import SEEDS, SPECIES, draw_animal, draw_background
from tests.support.world import unseen_drawings

# Where the head of the first measured drawing is, and the picture's mean colour.
FROZEN = {
    "bird": ((0.2052, 0.0946), (132.1, 163.9, 170.4)),
    "cat": ((0.7358, 0.1994), (80.3, 110.8, 88.7)),
    "elephant": ((0.4606, 0.2910), (131.6, 150.7, 164.5)),
    "fish": ((0.3214, 0.5633), (134.5, 138.6, 102.1)),
    "turtle": ((0.6707, 0.0802), (107.0, 113.5, 113.5)),
    "zebra": ((0.2492, 0.2587), (104.5, 130.1, 116.9)),
}


@pytest.fixture(params=SPECIES)
def species(request):
    return request.param


def fingerprint(drawing):
    return hashlib.sha256(drawing.image.tobytes() + drawing.part_mask.tobytes()).hexdigest()


def naive_centre(mask, part):
    """Mean of the centres of a part's pixels, one by one; None where there are none."""
    height, width = mask.shape
    places = [(y, x) for y in range(height) for x in range(width) if mask[y, x] == part]
    if not places:
        return None
    y, x = (sum(place[axis] for place in places) / len(places) for axis in (0, 1))
    return (y + 0.5) / height, (x + 0.5) / width


def part_centres(species, part):
    return np.array(
        [drawing.centres[drawing.parts.index(part)] for drawing in unseen_drawings(species)]
    )


def test_drawing__has_the_stated_arrays(species):
    drawing = unseen_drawings(species)[0]
    assert drawing.image.shape == (128, 128, 3)
    assert drawing.image.dtype == np.uint8
    assert drawing.part_mask.shape == (128, 128)
    assert drawing.part_mask.dtype == np.int8
    assert drawing.centres.shape == (len(drawing.parts), 2)
    assert drawing.centres.dtype == np.float64
    assert drawing.part_mask.min() == -1
    assert drawing.part_mask.max() < len(drawing.parts)


def test_drawing__is_the_same_for_the_same_seed(species):
    np.random.seed(1)  # noqa: NPY002
    first = fingerprint(draw_animal(species, 5))
    np.random.seed(2)  # noqa: NPY002
    assert fingerprint(draw_animal(species, 5)) == first
    assert fingerprint(draw_animal(species, 6)) != first


def test_drawing__is_the_same_in_another_process():
    code = (
        "import hashlib; from explgraph.demo.animals.drawing import SPECIES, draw_animal\n"
        "for name in SPECIES:\n"
        "    d = draw_animal(name, 11)\n"
        "    print(hashlib.sha256(d.image.tobytes() + d.part_mask.tobytes()).hexdigest())"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert printed == [fingerprint(draw_animal(name, 11)) for name in SPECIES]


def test_drawings__are_frozen(species):
    """Figures measured on the drawings stay comparable, on any platform up to its rounding."""
    drawing = draw_animal(species, SEEDS["measure"].start)
    head, colour = FROZEN[species]
    np.testing.assert_allclose(drawing.centres[0], head, atol=0.005)
    np.testing.assert_allclose(drawing.image.mean(axis=(0, 1)), colour, atol=1.0)


def test_drawing__does_not_need_torch():
    code = "import sys, explgraph.demo.animals.drawing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_centres__are_the_centroids_of_the_masks(species):
    for drawing in unseen_drawings(species)[:6]:
        for part, centre in enumerate(drawing.centres):
            expected = naive_centre(drawing.part_mask, part)
            if expected is None:
                assert np.isnan(centre).all()
            else:
                np.testing.assert_allclose(centre, expected, rtol=0, atol=1e-12)


def test_visible__says_whether_any_pixel_of_a_part_is_seen():
    hidden = 0
    for name in SPECIES:
        for drawing in unseen_drawings(name):
            seen = np.isin(np.arange(len(drawing.parts)), drawing.part_mask)
            np.testing.assert_array_equal(drawing.visible, seen)
            np.testing.assert_array_equal(np.isfinite(drawing.centres), seen[:, None] & [[1, 1]])
            hidden += int((~seen).sum())
    assert hidden > 0, "no part of any drawing was hidden: the test shows nothing"


def test_parts__are_seen_in_most_drawings(species):
    seen = np.array([drawing.visible for drawing in unseen_drawings(species)]).mean(axis=0)
    assert {"head", "torso", "tail"} <= set(unseen_drawings(species)[0].parts)
    assert seen.min() >= 0.9


def test_mask__lies_where_the_animal_was_painted():
    """A mask drawn apart from the picture would pass every other test."""
    contrast = []
    for drawing in unseen_drawings("turtle"):
        inside = drawing.part_mask == drawing.parts.index("torso")
        mean_in = drawing.image[inside].astype(float).mean(axis=0)
        mean_out = drawing.image[drawing.part_mask == -1].astype(float).mean(axis=0)
        contrast.append(np.abs(mean_in - mean_out).max())
    assert np.median(contrast) > 40


def test_mirrored__animals_face_right_and_the_others_left(species):
    head, torso = part_centres(species, "head"), part_centres(species, "torso")
    mirrored = np.array([drawing.mirrored for drawing in unseen_drawings(species)])
    both = np.isfinite(head[:, 1]) & np.isfinite(torso[:, 1])
    faces_right = head[both, 1] > torso[both, 1]
    assert (faces_right == mirrored[both]).mean() >= 0.98
    assert 0.25 < mirrored.mean() < 0.75


def test_head__moves_about(species):
    spread = np.nanstd(part_centres(species, "head"), axis=0)
    assert (spread >= 0.12).all()


def test_animal__fills_the_picture_as_object_crops_do(species):
    sides = []
    for drawing in unseen_drawings(species):
        y, x = np.nonzero(drawing.part_mask >= 0)
        sides.append(max(np.ptp(y), np.ptp(x)) / 128)
    assert 0.6 < np.mean(sides) < 0.95
    assert np.std(sides) > 0.05


def test_size__changes_the_resolution_only(species):
    small, large = draw_animal(species, 3, size=64), draw_animal(species, 3, size=128)
    assert small.mirrored == large.mirrored
    coarse = large.part_mask[::2, ::2]
    assert (coarse == small.part_mask).mean() > 0.93
    np.testing.assert_allclose(small.centres, large.centres, atol=0.03)


def test_background__is_deterministic_and_varied():
    first = draw_background(3)
    assert first.shape == (128, 128, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(draw_background(3), first)
    assert (draw_background(4) != first).mean() > 0.5


def test_seeds__are_handed_out_once():
    seen = [seed for seeds in SEEDS.values() for seed in seeds]
    assert len(seen) == len(set(seen)) > 1000
    with pytest.raises(TypeError):
        SEEDS["train"] = range(3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: draw_animal("zebar", 0), "zebra"),
        (lambda: draw_animal("cat", -1), "negative"),
        (lambda: draw_animal("cat", 0, size=8), "at least 32"),
        (lambda: draw_background(-1), "negative"),
    ],
)
def test_bad_input__is_explained(call, message):
    with pytest.raises(ExplGraphError, match=message):
        call()
