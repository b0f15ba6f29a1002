"""Heat-maps of what nodes explain, as arrays and as pictures, on a network that shows its input.

Its layer's two filters are the photo's red and green at every second pixel: cell (h, w) is network
pixel (1 + 2 h, 1 + 2 w), of 16 by 24. The last column is a pixel further from the border than the
first, so that a mirrored photo's cells lie elsewhere than those of the photo as given.
"""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from explgraph import load_backbone
from explgraph.base.errors import ExplGraphError
from explgraph.drawing.pictures import VIRIDIS
from explgraph.explanations.explained import explained_maps
from explgraph.explanations.pictures.explained import draw_explained
from explgraph.networks.backbone import Backbone
from explgraph.networks.preprocess import Preprocess
from explgraph.photos.boxes import Box
from explgraph.photos.images import ImageItem, ImageSource, open_images
from explgraph.pipeline import match
from mining import MiningConfig
from tests.support.plain import plain_graph, plain_matches

HEIGHT, WIDTH = 16, 24
ROWS, COLUMNS = 7, 11
SPREAD = 2.0  # S of the nodes, network pixels
HOT = (5, 9)
CELL = (2, 4)  # of the hot pixel
FAR = (13, 21)
FAR_CELL = (6, 10)
STRETCHED = np.array([[0, 1 / HEIGHT], [0, 1 / WIDTH]])
# At the centre of a node, the odds against uniform noise are 16 * 24 / (2 pi 2^2) = 15.279, and of
# the response .9 * 15.279 / (.1 + .9 * 15.279) is explained.
EXPLAINED = 0.99278


def small_net(fit="stretch", scale=1.0):
    conv = nn.Conv2d(3, 2, 3, stride=2, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 1, 1] = conv.weight[1, 1, 1, 1] = scale
    module = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), nn.Linear(2 * ROWS * COLUMNS, 3))
    look = Preprocess((HEIGHT, WIDTH), fit=fit, mean=(0, 0, 0), std=(1, 1, 1))
    return Backbone(module, look, name="small", device="cpu")


def small_graph(net, places=(HOT,)):
    """Nodes of the red filter whose centres are those of network pixels."""
    count = len(places)
    graph = plain_graph(
        net.select(["1"]),
        (HEIGHT, WIDTH),
        statistics=((np.zeros(2),), (np.full(2, 0.5),)),
        nodes=(np.zeros(count), np.zeros(count), np.arange(count)),
        mu=np.array(places) + 0.5,
        header={
            "weight_hash": net.weight_hash,
            "config": MiningConfig(spread_start=SPREAD / HEIGHT).to_json(),
        },
    )
    return dataclasses.replace(graph, weight=np.full(count, 1 / count))


def photo_of(*spots, size=(HEIGHT, WIDTH)):
    """A black photo with some pixels (y, x, red, green), the rest as in the network's input."""
    pixels = np.zeros((*size, 3), dtype=np.uint8)
    for y, x, red, green in spots:
        pixels[y, x, :2] = red, green
    return pixels


def small_matches(graph, images, *, mirrored=0, frames=STRETCHED, size=(HEIGHT, WIDTH)):
    n, shape = len(images), (len(images), len(graph))
    return plain_matches(
        images,
        0,
        np.ones(shape),
        graph.node_layer,
        mirrored=np.broadcast_to(mirrored, n),
        photo_size=np.broadcast_to(size, (n, 2)),
        frames=np.broadcast_to(frames, (n, 2, 2)),
    )


@pytest.fixture(scope="module")
def net():
    return small_net()


def maps_of(net, photos, *, places=(HOT,), nodes=None, **about):
    graph, source = small_graph(net, places), open_images(photos)
    found = small_matches(graph, source.names, **about)
    return explained_maps(graph, net, source, found=found, nodes=nodes)


def only(shape, cells):
    """An array of zeros but for some cells."""
    array = np.zeros(shape)
    for cell, value in cells.items():
        array[cell] = value
    return array


# -- arrays ----------------------------------------------------------------------------------------


def test_maps__of_a_hot_pixel_by_hand(net):
    """Red 255 over s = .5 responds with 2; green has no node; pixels between cells do not count."""
    photo = photo_of((*HOT, 255, 0), (*FAR, 51, 204), (6, 10, 255, 255))  # the last is no cell's
    found = maps_of(net, photo[None])
    (maps,) = found.layers
    assert maps.layer.grid == (ROWS, COLUMNS)
    assert maps.layer.offset == (1.5, 1.5)
    one, other = 2 * EXPLAINED, 0.0
    np.testing.assert_allclose(
        maps.explained[0], only((ROWS, COLUMNS), {CELL: one, FAR_CELL: other}), atol=1e-4
    )
    np.testing.assert_allclose(
        maps.unexplained[0], only((ROWS, COLUMNS), {CELL: 2 - one, FAR_CELL: 0.4 + 1.6}), atol=1e-4
    )
    assert maps.share[0] == pytest.approx(one / 4, abs=1e-4)
    assert found.nodes is None
    assert maps.explained.dtype == np.float32
    assert not maps.explained.flags.writeable


def test_share__of_a_black_photo_is_nan(net):
    found = maps_of(net, np.stack([photo_of(), photo_of((*HOT, 255, 0))]))
    assert np.isnan(found.layers[0].share[0])
    assert found.layers[0].share[1] == pytest.approx(EXPLAINED, abs=1e-4)


def test_nodes__alone_explain_and_the_others_are_unexplained(net):
    """Two nodes of one filter share pi: .45 * 15.279 of .1 + that, far from each other: .98569."""
    photo = photo_of((*HOT, 255, 0), (*FAR, 255, 0))
    both, near, far = (
        maps_of(net, photo[None], places=(HOT, FAR), nodes=nodes).layers[0]
        for nodes in (None, [0], ["1/0/1"])
    )
    half = 2 * 0.98569
    np.testing.assert_allclose(both.explained[0, *CELL], half, atol=1e-3)
    np.testing.assert_allclose(near.explained[0], only((ROWS, COLUMNS), {CELL: half}), atol=1e-3)
    np.testing.assert_allclose(far.explained[0], only((ROWS, COLUMNS), {FAR_CELL: half}), atol=1e-3)
    np.testing.assert_allclose(near.unexplained[0, *FAR_CELL], 2, atol=1e-3)
    for maps in (near, far):
        total = maps.explained + maps.unexplained
        np.testing.assert_allclose(total, both.explained + both.unexplained, atol=1e-6)


def test_nodes__by_name_once_and_in_the_graphs_order(net):
    graph = small_graph(net, (HOT, FAR)).rename({1: "eye"})
    source = open_images(photo_of()[None])
    found = explained_maps(
        graph, net, source, found=small_matches(graph, source.names), nodes=["eye", 0, "1/0/1"]
    )
    assert found.nodes == (0, 1)
    assert repr(found) == "<ExplainedMaps of 1 photos, by 2 nodes, layers 1>"


def test_mirrored_photo__has_the_mirrored_maps(net):
    photo = photo_of((*HOT, 255, 0), (*FAR, 102, 0), (1, 3, 0, 255))
    (given,), (turned,) = (
        maps_of(net, pixels[None], mirrored=flag).layers
        for pixels, flag in ((photo, 0), (photo[:, ::-1], 1))
    )
    assert given.explained[0, *CELL] > 1
    np.testing.assert_array_equal(turned.explained, given.explained[..., ::-1])
    np.testing.assert_array_equal(turned.unexplained, given.unexplained[..., ::-1])


def test_photos__are_those_of_the_matches_in_their_order_and_of_several_batches(net):
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (70, HEIGHT, WIDTH, 3), dtype=np.uint8)
    order = rng.permutation(70)[:50]
    graph, source = small_graph(net), open_images(photos)
    flags = rng.integers(0, 2, 50)
    names = [source.names[i] for i in order]
    found = explained_maps(graph, net, source, found=small_matches(graph, names, mirrored=flags))
    assert found.images == tuple(names)
    assert len(found) == 50
    maps = found.layers[0]
    for row in (0, 31, 32, 49):
        alone = maps_of(net, photos[order[row]][None], mirrored=flags[row]).layers[0]
        np.testing.assert_allclose(maps.explained[row], alone.explained[0], rtol=1e-5, atol=1e-6)
    for row, i in enumerate(order):  # every filter's response, cell by cell
        seen = photos[i, :, ::-1] if flags[row] else photos[i]
        response = seen[1::2, 1::2, :2][:ROWS, :COLUMNS].sum(axis=2) / 255 / 0.5
        response = response[:, ::-1] if flags[row] else response
        total = maps.explained[row] + maps.unexplained[row]
        np.testing.assert_allclose(total, response, rtol=1e-5)


def test_found__is_matched_here_if_it_is_not_given(net):
    """The node is left of the middle: a photo whose hot pixel is right of it is seen mirrored."""
    photo = photo_of((5, 5, 255, 0), (13, 9, 40, 100))
    photos = np.stack([photo, photo[:, ::-1]])
    graph = small_graph(net, [(5, 5)])
    found = match(graph, net, photos, progress=False)
    assert found.mirrored.tolist() == [0, 1]
    one, other = explained_maps(graph, net, photos), explained_maps(graph, net, photos, found=found)
    np.testing.assert_array_equal(one.layers[0].explained, other.layers[0].explained)
    np.testing.assert_array_equal(one.mirrored, found.mirrored)
    np.testing.assert_array_equal(one.frames, found.frames)
    assert one.photo_size.tolist() == [[HEIGHT, WIDTH]] * 2


# -- on the photo ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("mirrored", "x"), [(0, HOT[1]), (1, WIDTH - 1 - HOT[1])])
def test_upsampled__has_a_hot_cell_at_its_very_pixel(net, mirrored, x):
    """Cells are two pixels apart: a pixel beside the centre has half, the next one nothing."""
    photo = photo_of((*HOT, 255, 0))
    photo = photo[:, ::-1] if mirrored else photo
    found = maps_of(net, photo[None], mirrored=mirrored)
    explained, unexplained = found.upsampled("1", 0)
    hat = np.array([0.5, 1, 0.5])
    expected = np.zeros((HEIGHT, WIDTH))
    expected[HOT[0] - 1 : HOT[0] + 2, x - 1 : x + 2] = hat[:, None] * hat
    np.testing.assert_allclose(explained, 2 * EXPLAINED * expected, atol=1e-4)
    np.testing.assert_allclose(unexplained, 2 * (1 - EXPLAINED) * expected, atol=1e-4)
    y, columns = found.centres(0, 0)
    assert y[CELL[0]] == pytest.approx((HOT[0] + 0.5) / HEIGHT)
    cell = COLUMNS - 1 - CELL[1] if mirrored else CELL[1]
    assert columns[cell] == pytest.approx((x + 0.5) / WIDTH)
    assert np.all(np.diff(columns) > 0)


def test_upsampled__beyond_the_outermost_centres_stays_as_it_is(net):
    found = maps_of(net, photo_of((1, 1, 255, 0))[None])
    rest = sum(found.upsampled(0, 0))
    np.testing.assert_allclose(rest[:2, :2], 2, rtol=1e-5)
    assert rest[2, 1] == pytest.approx(1, rel=1e-5)


def test_upsampled__of_a_letterboxed_photo(net):
    """12 columns lie in the middle of the input's 24: photo column 3 is network column 9."""
    boxed = small_net("letterbox")
    frame = np.array([[0, 1 / HEIGHT], [-6 / 12, 1 / 12]])
    photo = photo_of((5, 3, 255, 0), size=(HEIGHT, 12))
    explained, _ = maps_of(boxed, photo[None], frames=frame, size=(HEIGHT, 12)).upsampled(0, 0)
    assert explained.shape == (HEIGHT, 12)
    assert np.unravel_index(explained.argmax(), explained.shape) == (5, 3)
    assert explained[5, 3] == pytest.approx(2 * EXPLAINED, abs=1e-4)
    assert np.isfinite(explained).all()


def test_upsampled__of_a_cropped_photo_is_nan_where_nothing_was_seen():
    """Of 48 columns the network sees those from 12 to 35: column 21 is network column 9."""
    cropped = small_net("crop")
    frame = np.array([[0, 1 / HEIGHT], [12 / 48, 1 / 48]])
    photo = photo_of((5, 21, 255, 0), size=(HEIGHT, 48))
    explained, unexplained = maps_of(
        cropped, photo[None], frames=frame, size=(HEIGHT, 48)
    ).upsampled(0, 0)
    assert explained[5, 21] == pytest.approx(2 * EXPLAINED, abs=1e-4)
    for values in (explained, unexplained):
        assert np.isfinite(values[:, 12:36]).all()
        assert np.isnan(values[:, :12]).all()
        assert np.isnan(values[:, 36:]).all()


@pytest.fixture
def boxed(net):
    """Maps and source of a box of 16 by 24 pixels at (10, 20) of a photo of 40 by 60."""
    whole = photo_of((15, 29, 255, 0), size=(40, 60))
    box = ImageItem("p#0", 0, Box(10, 20, 26, 44))
    source = ImageSource([box], lambda i: Image.fromarray(whole))
    graph = small_graph(net)
    return explained_maps(graph, net, source, found=match(graph, net, source, mirror=False)), source


def test_upsampled__of_a_box_on_the_whole_photo_or_on_itself(boxed):
    maps, source = boxed
    explained, _ = maps.upsampled("1", "p#0")
    assert explained.shape == (40, 60)
    assert np.nanargmax(explained) == 15 * 60 + 29
    seen = np.isfinite(explained)
    assert seen[10:26, 20:44].all()
    assert seen.sum() == 16 * 24
    own, _ = maps.upsampled("1", "p#0", (HEIGHT, WIDTH), window=source.load(0).frame)
    np.testing.assert_allclose(own, explained[10:26, 20:44], atol=1e-6)


def test_save__writes_what_numpy_reads(net, tmp_path):
    photo = photo_of((*HOT, 255, 0))
    found = maps_of(net, np.stack([photo, photo[:, ::-1]]), mirrored=[0, 1])
    found.save(tmp_path / "new" / "maps.npz")
    with np.load(tmp_path / "new" / "maps.npz", allow_pickle=False) as arrays:
        assert sorted(arrays) == ["explained.1", "images", "unexplained.1", "x.1", "y.1"]
        assert arrays["images"].tolist() == list(found.images)
        np.testing.assert_array_equal(arrays["explained.1"], found.layers[0].explained)
        np.testing.assert_array_equal(arrays["unexplained.1"], found.layers[0].unexplained)
        np.testing.assert_allclose(arrays["y.1"], [(np.arange(ROWS) * 2 + 1.5) / HEIGHT] * 2)
        np.testing.assert_allclose(arrays["x.1"][0, CELL[1]], 9.5 / WIDTH)
        np.testing.assert_allclose(arrays["x.1"][1, COLUMNS - 1 - CELL[1]], 14.5 / WIDTH)
    with pytest.raises(ExplGraphError, match=r"must end in \.npz"):
        found.save(tmp_path / "maps.npy")


def test_errors__name_what_is_wrong(net):
    graph, source = small_graph(net), open_images(photo_of()[None])
    found = small_matches(graph, source.names)

    def maps(graph=graph, net=net, found=found, **options):
        return explained_maps(graph, net, source, found=found, **options)

    with pytest.raises(ExplGraphError, match="nodes is empty"):
        maps(nodes=[])
    with pytest.raises(ExplGraphError, match="unknown node '1/0/7'"):
        maps(nodes=["1/0/7"])
    with pytest.raises(ExplGraphError, match="mined from another network"):
        maps(net=small_net(scale=2.0))
    with pytest.raises(ExplGraphError, match="not this graph's 2"):
        maps(graph=small_graph(net, (HOT, FAR)))
    with pytest.raises(ExplGraphError, match="match the photos again"):
        maps(found=dataclasses.replace(found, frames=None))
    with pytest.raises(ExplGraphError, match="unknown photo of the matches: 'other'"):
        maps(found=small_matches(graph, ["other"]))
    result = dataclasses.replace(maps(), photo_size=None)
    with pytest.raises(ExplGraphError, match="give size"):
        result.upsampled(0, 0)
    with pytest.raises(ExplGraphError, match="there is no photo 1"):
        result.upsampled(0, 1)
    with pytest.raises(ExplGraphError, match="unknown layer '2'"):
        result.upsampled("2", 0)


@pytest.mark.shared
def test_real_network__maps_add_up_to_its_responses(shared):
    """Squeezenet's cells are 3 px nearer to the left than to the right of its input."""
    net = load_backbone("squeezenet1_0", weights=shared / "models" / "squeezenet1_0.safetensors")
    layers = net.select(["features.9", "features.12"])
    rng = np.random.default_rng(1)
    nodes = [(i, int(c)) for i in range(2) for c in np.sort(rng.choice(layers[i].channels, 40))]
    graph = plain_graph(
        layers,
        net.input_size,
        statistics=tuple(
            tuple(rng.uniform(*ends, layer.channels).astype(np.float32) for layer in layers)
            for ends in ((0, 0.2), (0.5, 2))
        ),
        nodes=(*np.array(nodes).T, np.zeros(len(nodes))),
        mu=rng.uniform(0, 224, (len(nodes), 2)),
        header={"weight_hash": net.weight_hash},
    )
    photo = sorted((shared / "animalpart" / "zebra").glob("*.jpg"))[0]
    found = match(graph, net, [photo], mirror=False, progress=False)
    found = dataclasses.replace(found, mirrored=np.ones(1))
    maps = explained_maps(graph, net, [photo], found=found)
    with Image.open(photo) as image:
        tensor = net.preprocess(image.convert("RGB"))[0][None].flip(3)
    outputs = net.capture(tensor, [layer.name for layer in layers])
    for i, layer in enumerate(layers):
        mean, scale = graph.channel_mean[i], graph.channel_scale[i]
        values = outputs[layer.name][0].numpy().transpose(1, 2, 0)
        total = np.maximum((values - mean) / scale, 0).sum(axis=2)[:, ::-1]
        given = maps.layers[i]
        np.testing.assert_allclose(given.explained[0] + given.unexplained[0], total, rtol=1e-4)
        assert 0.001 < given.share[0] < 0.9
    _, x = maps.centres("features.12", 0)
    np.testing.assert_allclose(x * 224, 224 - (17.5 + 16 * np.arange(13))[::-1])


# -- pictures --------------------------------------------------------------------------------------

BLACK = (60, 60, 60)  # what black becomes beneath the colours


def pixels_of(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def panels_of(picture):
    """Rows and columns (top, bottom, left, right) of the three panels of the only row.

    They are found by the black of the photo, which takes most of each panel's outline.
    """
    mask = (picture == BLACK).all(axis=2)
    columns = np.flatnonzero(mask.sum(axis=0) > 40)
    rows = np.flatnonzero(mask.sum(axis=1) > 100)
    runs = np.split(columns, np.flatnonzero(np.diff(columns) > 50) + 1)
    assert len(runs) == 3
    return [(rows[0], rows[-1] + 1, run[0], run[-1] + 1) for run in runs]


def is_yellow(pixels):
    red, green, blue = np.moveaxis(pixels, -1, 0)
    return (red > 180) & (green > 170) & (blue < 110)


@pytest.mark.parametrize("mirrored", [0, 1])
def test_picture__has_the_hot_cell_where_it_is_in_the_photo(net, tmp_path, mirrored):
    """The first hot pixel has a node, the second, a filter without nodes, has none."""
    other = (11, 17)
    photo = photo_of((*HOT, 255, 0), (*other, 0, 255))
    photo = photo[:, ::-1] if mirrored else photo
    found = maps_of(net, photo[None], mirrored=mirrored)
    draw_explained(found, photo[None], tmp_path / "new" / "a.png", 0)
    picture = pixels_of(tmp_path / "new" / "a.png")
    centres = []
    for top, bottom, left, right in panels_of(picture)[:2]:
        assert (right - left) / (bottom - top) == pytest.approx(WIDTH / HEIGHT, abs=0.02)
        y, x = np.nonzero(is_yellow(picture[top:bottom, left:right]))
        centres.append(((y.mean() + 0.5) / (bottom - top), (x.mean() + 0.5) / (right - left)))
    places = [(pixel[0], WIDTH - 1 - pixel[1] if mirrored else pixel[1]) for pixel in (HOT, other)]
    np.testing.assert_allclose(
        centres, [((y + 0.5) / HEIGHT, (x + 0.5) / WIDTH) for y, x in places], atol=0.01
    )


def test_picture__of_a_share(net, tmp_path):
    """Half of what responds at the hot pixel has a node: the middle of viridis, nearly opaque."""
    photo = photo_of((*HOT, 255, 255))
    found = maps_of(net, photo[None])
    assert found.layers[0].share[0] == pytest.approx(EXPLAINED / 2, abs=1e-4)
    draw_explained(found, photo_of()[None], tmp_path / "a.png", found.images[0])  # upon black
    picture = pixels_of(tmp_path / "a.png")
    top, bottom, left, right = panels_of(picture)[2]
    y, x = ((HOT[0] + 0.5) / HEIGHT, (HOT[1] + 0.5) / WIDTH)
    shown = picture[round(top + y * (bottom - top)), round(left + x * (right - left))]
    np.testing.assert_allclose(shown, 0.9 * np.array([0x21, 0x90, 0x8C]) + 0.1 * 60, atol=3)


def test_picture__of_chosen_nodes_has_a_scale_for_what_they_explain(net, tmp_path):
    """The chosen node explains little beside the rest, and is yellow all the same."""
    photo = photo_of((*HOT, 25, 0), (*FAR, 0, 255))
    for nodes, shown in ((None, False), ([0], True)):
        found = maps_of(net, photo[None], nodes=nodes)
        draw_explained(found, photo[None], tmp_path / "a.png", 0)
        picture = pixels_of(tmp_path / "a.png")
        top, bottom, left, right = panels_of(picture)[0]
        assert is_yellow(picture[top:bottom, left:right]).any() == shown


def test_picture__is_pale_where_the_network_saw_nothing(tmp_path):
    cropped = small_net("crop")
    frame = np.array([[0, 1 / HEIGHT], [12 / 48, 1 / 48]])
    photo = photo_of((5, 21, 255, 0), size=(HEIGHT, 48))
    found = maps_of(cropped, photo[None], frames=frame, size=(HEIGHT, 48))
    draw_explained(found, photo[None], tmp_path / "a.png", 0)
    picture = pixels_of(tmp_path / "a.png")
    for top, bottom, left, right in panels_of(picture):  # of what was seen
        width = right - left
        assert width == pytest.approx(135, abs=2)
        for x in (left - width // 4, right + width // 4):
            assert (picture[top + 5 : bottom - 5, x] == 216).all()  # 60 + .8 * 195


def test_picture__of_a_box_shows_the_box(boxed, tmp_path):
    maps, source = boxed
    draw_explained(maps, source, tmp_path / "a.png", "p#0")
    picture = pixels_of(tmp_path / "a.png")
    top, bottom, left, right = panels_of(picture)[0]
    assert (right - left, bottom - top) == (270, 180)  # all of it was seen
    y, x = np.nonzero(is_yellow(picture[top:bottom, left:right]))
    assert (y.mean() + 0.5) / (bottom - top) == pytest.approx((HOT[0] + 0.5) / HEIGHT, abs=0.01)
    assert (x.mean() + 0.5) / (right - left) == pytest.approx((HOT[1] + 0.5) / WIDTH, abs=0.01)
    draw_explained(maps, source, tmp_path / "a.jpg", 0)
    assert pixels_of(tmp_path / "a.jpg").shape == picture.shape


@pytest.mark.parametrize("size", [(16, 200), (300, 20), (1, 1), (40, 40)])
def test_picture__of_any_shape_names_and_nothing_that_responds(net, tmp_path, size):
    photo = np.zeros((*size, 3), dtype=np.uint8)
    source = ImageSource([ImageItem("写真\n\x00" * 60, 0)], lambda i: Image.fromarray(photo))
    graph = small_graph(net)
    found = explained_maps(graph, net, source)
    maps = found.layers[0]
    spec = dataclasses.replace(maps.layer, name="a.deep.module." * 9)
    found = dataclasses.replace(found, layers=(dataclasses.replace(maps, layer=spec),) * 2)
    draw_explained(found, source, tmp_path / "a.png", 0)
    both = pixels_of(tmp_path / "a.png").shape
    draw_explained(found, source, tmp_path / "b.png", 0, layers=[1])
    one = pixels_of(tmp_path / "b.png").shape
    assert both[0] > one[0] + 100
    assert both[1] == one[1] > 500


def test_picture__names_what_is_wrong(net, tmp_path):
    photos = photo_of((*HOT, 255, 0))[None]
    found = maps_of(net, photos)
    with pytest.raises(ExplGraphError, match="picture format"):
        draw_explained(found, photos, tmp_path / "a.svg", 0)
    with pytest.raises(ExplGraphError, match="there is no photo 2"):
        draw_explained(found, photos, tmp_path / "a.png", 2)
    with pytest.raises(ExplGraphError, match="layers is empty"):
        draw_explained(found, photos, tmp_path / "a.png", 0, layers=[])
    with pytest.raises(ExplGraphError, match="unknown layer 'x'"):
        draw_explained(found, photos, tmp_path / "a.png", 0, layers=["x"])
    other = ImageSource([ImageItem("other", 0)], lambda i: Image.fromarray(photos[0]))
    with pytest.raises(ExplGraphError, match="unknown photo of the matches"):
        draw_explained(found, other, tmp_path / "a.png", 0)
    assert not list(tmp_path.iterdir())


def test_colours__are_viridis():
    colormaps = pytest.importorskip("matplotlib").colormaps
    shares = np.linspace(0, 1, 201)
    table = np.linspace(0, 1, len(VIRIDIS))
    ours = np.stack([np.interp(shares, table, channel) for channel in VIRIDIS.T], axis=1) / 255
    np.testing.assert_allclose(ours, colormaps["viridis"](shares)[:, :3], atol=0.03)
