"""Purity against counts done by hand and by plain loops."""

import numpy as np
import pytest

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.purity import (
    label_at,
    leading_photos,
    majority,
    node_labels,
    object_shares,
    part_purity,
)
from explgraph.photos.masks import PartMasks
from tests.support.plain import plain_matches

HEAD, TAIL = 0, 1


def matches_of(yx, score, mirrored=None):
    n = len(score)
    facing = np.zeros(n) if mirrored is None else np.asarray(mirrored)
    return plain_matches((f"{i}.png" for i in range(n)), yx, score, mirrored=facing)


def masks_of(labels, n_parts):
    names = tuple(f"{i}.png" for i in range(len(labels)))
    return PartMasks(names, ("head", "tail")[:n_parts], tuple(labels))


def halves(n, side=4):
    """Masks whose left half is the head and whose right half is the tail, but for the top row."""
    masks = np.full((n, side, side), NONE, dtype=np.int8)
    masks[:, 1:, : side // 2] = HEAD
    masks[:, 1:, side // 2 :] = TAIL
    return masks_of(masks, 2)


def naive_best(score):
    order = sorted(range(len(score)), key=lambda i: (-score[i], i))
    taken, total = [], 0.0
    for i in order:
        taken.append(i)
        total += float(score[i])
        if total >= 0.3 * sum(map(float, score)):
            return taken
    return taken


def test_leading_photos__like_the_plain_loop(rng):
    for _ in range(50):
        score = rng.integers(0, 5, rng.integers(1, 30)).astype(np.float32)
        score[0] += 0.5  # at least one photo in which it fires
        assert leading_photos(score).tolist() == naive_best(score)


def test_leading_photos__none_for_a_silent_node():
    assert leading_photos(np.zeros(3)).tolist() == []


def test_majority__background_counts_against_the_part():
    assert majority(np.array([HEAD, NONE, HEAD, TAIL]), 2) == (HEAD, 0.5)
    assert majority(np.array([NONE, NONE]), 2) == (HEAD, 0.0)


def test_part_purity__follows_only_the_parts_under_the_node():
    # One node over the head in three photos and over the background in the fourth.
    yx = [[[0.6, 0.1]], [[0.6, 0.2]], [[0.6, 0.3]], [[0.1, 0.1]]]
    score = [[1.0], [1.0], [1.0], [1.0]]
    # 30 % of the total of 4 is reached by the first two photos.
    found = part_purity(matches_of(yx, score), halves(4))
    assert (found.nodes, found.purity, found.parts) == (1, 1.0, 1)
    assert found.chance == pytest.approx(0.5)
    # The fourth photo alone carries 30 % when it scores highest.
    found = part_purity(matches_of(yx, [[1.0], [1.0], [1.0], [9.0]]), halves(4))
    assert found.purity == 0.0


def test_part_purity__a_node_that_moves_with_the_part_beats_the_one_held_still():
    masks = np.full((4, 4, 4), NONE, dtype=np.int8)
    columns = [0, 3, 0, 3]
    for photo, column in enumerate(columns):
        masks[photo, :, column] = HEAD
    yx = [[[0.5, (column + 0.5) / 4]] for column in columns]
    score = [[1.0], [1.0], [0.1], [0.1]]
    found = part_purity(matches_of(yx, score), masks_of(masks, 1))
    assert found.purity == 1.0
    # Only the strongest photo counts at first; with equal scores two do, and their mean is empty.
    found = part_purity(matches_of(yx, np.ones((4, 1))), masks_of(masks, 1))
    assert (found.purity, found.frozen) == (1.0, 0.0)


def test_part_purity__the_node_held_still_is_mirrored_with_the_photo():
    masks = np.full((4, 4, 4), NONE, dtype=np.int8)
    masks[::2, :, 0] = HEAD
    masks[1::2, :, 3] = HEAD
    yx = [[[0.5, x]] for x in (0.1, 0.9, 0.1, 0.9)]
    found = part_purity(matches_of(yx, np.ones((4, 1)), [0, 1, 0, 1]), masks_of(masks, 1))
    assert found.frozen == 1.0


def test_part_purity__edges_of_the_photo_belong_to_its_last_pixels():
    found = part_purity(matches_of([[[1.0, 1.0]]], [[1.0]]), halves(1))
    assert found.purity == 1.0


def test_part_purity__passes_over_silent_nodes_and_takes_the_chosen():
    yx = np.full((2, 3, 2), 0.6)
    score = [[0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    assert part_purity(matches_of(yx, score), halves(2)).nodes == 2
    assert part_purity(matches_of(yx, score), halves(2), nodes=np.array([0, 1])).nodes == 1
    with pytest.raises(ExplGraphError, match="fires in at least one photo"):
        part_purity(matches_of(yx, score), halves(2), nodes=np.array([0]))


def test_part_purity__chance_is_the_parts_share_of_the_objects_of_the_best_photos():
    # The head takes 1 of 4 pixels of the first object, 3 of 3 of the second: background is none.
    labels = np.array([[[0, 1], [1, 1]], [[0, 0], [0, NONE]], [[1, 1], [1, 1]]])
    score = [[1.0], [1.0], [0.5]]  # 30 % of 2.5 is carried by the first photo alone
    found = part_purity(matches_of(np.zeros((3, 1, 2)), score), masks_of(labels, 2))
    assert found.chance == pytest.approx(0.25)
    score = [[1.0], [1.0], [5.0]]  # 30 % of 7 by the third
    found = part_purity(matches_of(np.zeros((3, 1, 2)), score), masks_of(labels, 2))
    assert found.chance == pytest.approx(1.0)


def test_part_purity__masks_may_be_of_any_size():
    """A mask of 2 x 6 pixels and one of 1 x 2: the middle of the right half is the tail's."""
    wide = np.array([[HEAD] * 3 + [TAIL] * 3] * 2)
    masks = masks_of([wide, np.array([[HEAD, TAIL]])], 2)
    found = node_labels(matches_of([[[0.9, 0.45]], [[0.1, 0.55]]], np.ones((2, 1))), masks)
    np.testing.assert_array_equal(found, [[HEAD], [TAIL]])


def test_label_at__outside_of_the_photo_is_background():
    """Where the network's input is filled up around the photo."""
    mask = np.array([[HEAD, TAIL]])
    places = np.array([[0.5, -0.01], [0.5, 1.01], [1.2, 0.1], [1.0, 1.0], [0.0, 0.0]])
    assert label_at(places, mask).tolist() == [NONE, NONE, NONE, TAIL, HEAD]


def test_object_shares__of_every_part_by_hand():
    labels = np.array([[[0, 1], [1, 1]], [[NONE, NONE], [NONE, NONE]]])
    np.testing.assert_allclose(object_shares(masks_of(labels, 2)), [[0.25, 0.75], [0, 0]])


def test_part_purity__refuses_masks_of_other_photos():
    matches = matches_of(np.full((2, 1, 2), 0.6), np.ones((2, 1)))
    with pytest.raises(ExplGraphError, match="masks are of 3 photos"):
        part_purity(matches, halves(3))
    swapped = PartMasks(("1.png", "0.png"), ("head",), (np.zeros((2, 2)),) * 2)
    with pytest.raises(ExplGraphError, match="in this order"):
        part_purity(matches, swapped)
