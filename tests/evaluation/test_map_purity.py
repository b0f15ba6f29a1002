"""Purity of raw maps: a network whose maps are the photo's own colours, counted by hand."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explgraph.base.arrays import NONE
from explgraph.base.errors import ExplGraphError
from explgraph.evaluation.map_purity import map_purity
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from explgraph.peaks.extraction import extract_peaks
from explgraph.peaks.statistics import ChannelStatistics
from explgraph.photos.images import open_images
from explgraph.photos.masks import PartMasks

HEAD, TAIL = 0, 1
SIDE = 4
TOP = [[0] * SIDE] * SIDE


@pytest.fixture(scope="module")
def net():
    """Red, green and blue of every pixel, exactly."""
    conv = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[[0, 1, 2], [0, 1, 2], 1, 1] = 1
    module = nn.Sequential(conv, nn.ReLU())
    plain = Preprocess((SIDE, SIDE), mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(module, plain, name="colours", device="cpu")


def photos_of(*reds):
    """Photos whose red channel holds these values of 0..255; green and blue are black."""
    photos = np.zeros((len(reds), SIDE, SIDE, 3), np.uint8)
    photos[..., 0] = reds
    return photos


def peaks_of(net, photos):
    statistics = ChannelStatistics((np.zeros(3, np.float32),), (np.ones(3, np.float32),))
    options = {"mirror": False, "progress": False}
    return extract_peaks(net, open_images(photos), net.select(["1"]), statistics, options)


def masks_of(*labels):
    names = tuple(f"{i:06d}" for i in range(len(labels)))
    return PartMasks(names, ("head", "tail"), tuple(np.array(mask) for mask in labels))


def measure(net, photos, masks, **options):
    return map_purity(net, photos, peaks_of(net, photos), masks, progress=False, **options)


RED = [[0, 0, 0, 0], [0, 200, 120, 90], [0, 101, 99, 100], [0, 0, 0, 0]]
# Above half of 200 are three cells: 200 and 101 in the head's columns, 120 in the tail's.
COLUMNS = [[HEAD, HEAD, TAIL, TAIL]] * SIDE


def test_map_purity__counts_the_cells_above_half_of_the_maximum(net):
    found = measure(net, photos_of(RED), masks_of(COLUMNS))
    assert (found.nodes, found.parts) == (1, 1)  # green and blue never fire
    assert found.purity == pytest.approx(2 / 3)
    assert found.frozen == pytest.approx(2 / 3)  # the mean of one map is that map
    assert found.chance == 0.5


def test_map_purity__background_counts_against_the_part(net):
    rows = [[NONE] * SIDE, [HEAD, HEAD, NONE, NONE], [NONE] * SIDE, [TAIL] * SIDE]
    found = measure(net, photos_of(RED), masks_of(rows))
    assert found.purity == pytest.approx(1 / 3)  # of 200, 120 and 101 only the first
    assert found.chance == pytest.approx(2 / 6)


def test_map_purity__every_best_photo_counts_the_same_whatever_its_region(net):
    """Three cells of photo 0 (2/3 head), one cell of photo 1 (tail): head 1/3, tail 2/3."""
    small = [[0, 0, 0, 0], [0, 0, 0, 200], [0, 0, 0, 0], [0, 0, 0, 0]]
    # Two photos of 200 carry less than 30 % of the total, three more do not count: scores
    # 200, 200, 190, 190, 190 sum to 970, of which 30 % is 291: the first two photos.
    weak = [[190, 0, 0, 0], *TOP[1:]]
    found = measure(net, photos_of(RED, small, weak, weak, weak), masks_of(*[COLUMNS] * 5))
    assert found.purity == pytest.approx((1 / 3 + 1) / 2)
    # The mean of the two maps, each over its maximum: .5 (200), .3 (120) and .2525 (101) of photo
    # 0, .5 of photo 1. All four are above half of .5, and two of them are the tail's.
    assert found.frozen == pytest.approx(0.5)
    assert found.chance == 0.5


def test_map_purity__does_not_depend_on_the_batches(net, rng):
    photos = rng.integers(0, 255, (7, SIDE, SIDE, 3), dtype=np.uint8)
    masks = masks_of(*rng.integers(NONE, 2, (7, SIDE, SIDE)))
    assert measure(net, photos, masks, batch_size=2) == measure(net, photos, masks, batch_size=7)


def test_map_purity__of_one_cell_regions_is_that_of_the_strongest_peak(net, rng):
    """Against `part_purity` of the raw peaks, which shares neither maps nor cells with it."""
    from explgraph.evaluation.purity import part_purity
    from explgraph.evaluation.tables import raw_peaks

    photos = np.zeros((9, SIDE, SIDE, 3), np.uint8)
    for photo in photos:
        for channel in range(3):
            y, x = rng.integers(0, SIDE, 2)
            photo[y, x, channel] = rng.integers(100, 255)
    masks = masks_of(*rng.integers(NONE, 2, (9, SIDE, SIDE)))
    of_maps, of_peaks = (
        measure(net, photos, masks),
        part_purity(raw_peaks(peaks_of(net, photos)), masks),
    )
    assert (of_maps.nodes, of_maps.purity, of_maps.parts) == (3, of_peaks.purity, of_peaks.parts)
    assert of_maps.chance == pytest.approx(of_peaks.chance)


def test_map_purity__knows_photos_by_name_not_by_place(net, tmp_path):
    """A photo too many in the folder, and the peaks in another order."""
    for name, red in (("a", RED), ("b", TOP), ("c", RED)):
        Image.fromarray(photos_of(red)[0]).save(tmp_path / f"{name}.png")
    peaks = peaks_of(net, tmp_path).take(np.array([2, 1]))
    masks = PartMasks(("c.png", "b.png"), ("head", "tail"), (np.array(COLUMNS),) * 2)
    found = map_purity(net, tmp_path, peaks, masks, progress=False)
    assert found.purity == pytest.approx(2 / 3)


def test_map_purity__refuses_other_photos(net):
    photos = photos_of(RED, RED)
    peaks = peaks_of(net, photos)
    with pytest.raises(ExplGraphError, match="only 1 of the 2 photos"):
        map_purity(net, photos[:1], peaks, masks_of(COLUMNS, COLUMNS), progress=False)
    with pytest.raises(ExplGraphError, match="masks are of 1 photos"):
        map_purity(net, photos, peaks, masks_of(COLUMNS), progress=False)


def test_map_purity__no_filter_fires(net):
    with pytest.raises(ExplGraphError, match="a filter that fires"):
        measure(net, photos_of(TOP), masks_of(COLUMNS))
