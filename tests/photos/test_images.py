"""Pictures of every kind become upright RGB; collections keep their order; boxes are cut out."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from explgraph.base.errors import ExplGraphError
from explgraph.photos.decoding import UnreadableImageError
from explgraph.photos.images import ImageItem, ImageSource, open_images

HEIGHT, WIDTH = 5, 7
# What the EXIF standard says of the stored picture: where its first row and first column are seen.
EXIF_SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}


@pytest.fixture
def seen(rng):
    """What a person sees, (5, 7, 3), all pixels different."""
    return rng.permutation(256)[: HEIGHT * WIDTH * 3].reshape(HEIGHT, WIDTH, 3).astype(np.uint8)


def stored_for(seen, orientation):
    """The array that a camera stores so that `seen` is seen: pixel by pixel, by the standard."""
    row_side, column_side = EXIF_SIDES[orientation]
    height, width = seen.shape[:2]
    turned = row_side in ("left", "right")
    stored = np.zeros((width, height, 3) if turned else (height, width, 3), np.uint8)
    for r in range(stored.shape[0]):
        for c in range(stored.shape[1]):
            place = {}
            for side, k in ((row_side, r), (column_side, c)):
                axis, last = ("y", height - 1) if side in ("top", "bottom") else ("x", width - 1)
                place[axis] = k if side in ("top", "left") else last - k
            stored[r, c] = seen[place["y"], place["x"]]
    return stored


def mode_of(path):
    with Image.open(path) as image:
        return image.mode


def loaded(path):
    image = open_images(path).load(0).image
    assert image.mode == "RGB"
    return np.asarray(image)


# ---- pixels


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_load__exif_orientation(tmp_path, seen, orientation, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"photo.{suffix}"
    options = {"lossless": True, "exact": True} if suffix == "webp" else {}
    Image.fromarray(stored_for(seen, orientation)).save(path, exif=exif, **options)
    np.testing.assert_array_equal(loaded(path), seen)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_load__what_is_upright_is_not_turned_again(tmp_path, seen, suffix):
    """A user's transform may ask for the orientation itself, as it would of a file."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a{suffix}"
    Image.fromarray(stored_for(seen, 6)).save(path, exif=exif)
    upright = open_images(path).load(0).image
    assert np.array_equal(ImageOps.exif_transpose(upright), upright)


def test_load__exif_orientation_of_a_jpeg_camera_file(tmp_path):
    seen = np.zeros((16, 32, 3), np.uint8)
    seen[:8, :16] = 255  # white top left corner
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored_for(seen, 6)).save(tmp_path / "a.jpg", exif=exif, quality=100)
    found = loaded(tmp_path / "a.jpg")
    assert found.shape == (16, 32, 3)
    np.testing.assert_allclose(found.astype(int), seen, atol=3)


def test_load__damaged_exif_is_no_reason_to_lose_a_photo(tmp_path, seen):
    Image.fromarray(seen).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\x7fgarbage")
    np.testing.assert_array_equal(loaded(tmp_path / "a.png"), seen)


def test_load__grey(tmp_path, seen):
    Image.fromarray(seen[..., 0]).save(tmp_path / "a.png")
    np.testing.assert_array_equal(loaded(tmp_path / "a.png"), np.repeat(seen[..., :1], 3, axis=2))


def test_load__one_bit(tmp_path, seen):
    bits = seen[..., 0] > 128
    Image.fromarray(bits).save(tmp_path / "a.png")
    assert mode_of(tmp_path / "a.png") == "1"
    np.testing.assert_array_equal(
        loaded(tmp_path / "a.png"), np.repeat(bits[..., None], 3, 2) * 255
    )


def test_load__palette(tmp_path):
    colours = np.array([[10, 20, 30], [200, 100, 50], [0, 255, 7]], np.uint8)
    index = np.array([[0, 1, 2], [2, 2, 1]], np.uint8)
    picture = Image.fromarray(index).convert("P")
    picture.putdata(index.ravel().tolist())
    picture.putpalette(colours.ravel().tolist())
    picture.save(tmp_path / "a.png")
    assert mode_of(tmp_path / "a.png") == "P"
    np.testing.assert_array_equal(loaded(tmp_path / "a.png"), colours[index])


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_load__palette_with_a_transparent_colour_is_laid_over_white(tmp_path, suffix):
    colours = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    index = np.array([[0, 1, 1], [1, 0, 0]], np.uint8)
    picture = Image.new("P", (3, 2))
    picture.putdata(index.ravel().tolist())
    picture.putpalette(colours.ravel().tolist())
    path = tmp_path / f"a.{suffix}"
    picture.save(path, transparency=1)
    expected = np.where((index == 1)[..., None], 255, colours[index])
    np.testing.assert_array_equal(loaded(path), expected)


def test_load__palette_with_partly_transparent_colours(tmp_path):
    picture = Image.new("P", (2, 1))
    picture.putdata([0, 1])
    picture.putpalette([100, 0, 0, 0, 100, 0])
    picture.save(tmp_path / "a.png", transparency=bytes([255, 51]))
    # 51/255 = 1/5 of (0, 100, 0) and 4/5 of white.
    np.testing.assert_allclose(
        loaded(tmp_path / "a.png")[0].astype(int), [[100, 0, 0], [204, 224, 204]], atol=1
    )


@pytest.mark.parametrize("grey", [False, True])
def test_load__alpha_is_laid_over_white(tmp_path, rng, grey):
    channels = 2 if grey else 4
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, channels), dtype=np.uint8)
    pixels[0, 0, -1], pixels[0, 1, -1] = 0, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    alpha = pixels[..., -1:] / 255
    expected = alpha * pixels[..., :-1] + (1 - alpha) * 255
    expected = np.repeat(expected, 3, axis=2) if grey else expected
    np.testing.assert_allclose(loaded(tmp_path / "a.png").astype(int), expected, atol=1)


def test_load__rgb_with_a_transparent_colour(tmp_path, seen):
    key = tuple(int(v) for v in seen[2, 3])
    Image.fromarray(seen).save(tmp_path / "a.png", transparency=key)
    expected = seen.copy()
    expected[2, 3] = 255
    np.testing.assert_array_equal(loaded(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("suffix", ["tif", "jpg"])
def test_load__cmyk(tmp_path, suffix):
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[..., 0], inks[8:, :, 3] = 255, 128  # cyan, black ink below
    Image.fromarray(inks, mode="CMYK").save(tmp_path / f"a.{suffix}")
    found = loaded(tmp_path / f"a.{suffix}").astype(int)
    np.testing.assert_allclose(found[:7], np.broadcast_to([0, 255, 255], (7, 16, 3)), atol=2)
    np.testing.assert_allclose(found[9:], np.broadcast_to([0, 127, 127], (7, 16, 3)), atol=2)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_load__16_bit_grey_is_scaled_not_clipped(tmp_path, suffix):
    values = np.array([[0, 257, 32896, 65535], [128, 129, 40000, 65406]], np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    expected = np.floor(values / 257.0 + 0.5)
    np.testing.assert_array_equal(loaded(tmp_path / f"a.{suffix}")[..., 1], expected)


def test_load__16_bit_grey_turned(tmp_path):
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257 * 20
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(values).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(loaded(tmp_path / "a.png")[..., 0], values[::-1, ::-1] // 257)


def test_load__big_endian_16_bit_tiff(tmp_path):
    values = np.array([[0, 257 * 3, 257 * 200]], np.uint16)
    Image.frombytes("I;16B", (3, 1), values.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes()[:2] == b"MM"
    np.testing.assert_array_equal(loaded(tmp_path / "a.tif")[0, :, 0], [0, 3, 200])


def test_load__16_bit_colour(tmp_path):
    values = np.array([[[0, 0x80FF, 0xFFFF], [0x1234, 0x5678, 0x9ABC]]], ">u2")

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + values.tobytes())
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    np.testing.assert_allclose(loaded(tmp_path / "a.png"), values / 257, atol=1)


def test_load__float_grey(tmp_path):
    values = np.array([[0, 0.5, 1.0]], np.float32)
    Image.fromarray(values).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(loaded(tmp_path / "a.tif")[0, :, 0], [0, 128, 255])


@pytest.mark.parametrize(
    "values",
    [np.array([[0, 70000]], np.int32), np.array([[0.0, 80.0]], np.float32), np.array([[np.nan]])],
)
def test_load__deep_grey_without_a_known_white_is_unreadable(tmp_path, values):
    values = values.astype(np.float32) if values.dtype.kind == "f" else values
    Image.fromarray(values).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableImageError, match=r"a\.tif.*are not in 0\.\."):
        loaded(tmp_path / "a.tif")


def test_load__colour_space_that_cannot_be_converted_is_unreadable():
    source = open_images([Image.new("La", (4, 4))])
    with pytest.raises(UnreadableImageError, match="000000"):
        source.load(0)


def test_load__first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(loaded(tmp_path / "a.gif")[0, 0], [255, 0, 0])


def damaged(folder, rng):
    noise = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    for suffix in ("jpg", "png"):
        path = folder / f"cut.{suffix}"
        Image.fromarray(noise).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("no picture")
    return ["cut.jpg", "cut.png", "empty.jpg", "text.png"]


def test_load__damaged_files_are_unreadable_and_named(tmp_path, rng):
    names = damaged(tmp_path, rng)
    source = open_images(tmp_path)
    assert source.names == tuple(names)
    for index, name in enumerate(names):
        with pytest.raises(UnreadableImageError, match=f"cannot read image '{name}'") as caught:
            source.load(index)
        assert caught.value.name == name
        assert caught.value.reason
    assert isinstance(caught.value, ExplGraphError)


def test_load__file_that_is_gone_since_it_was_listed(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    source = open_images(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(UnreadableImageError, match=r"a\.png"):
        source.load(0)


# ---- collections


def test_open_images__folder_in_plain_order_with_sub_folders(tmp_path):
    names = ["B.PNG", "a10.png", "a2.png", "sub/deep/c.jpeg", "sub/z.bmp", "sub-a/z.tif"]
    others = [".hidden.png", ".cache/x.png", "notes.txt", "sub/readme.md", "noend"]
    for name in names + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path, format="PNG")
    (tmp_path / "folder.png").mkdir()
    source = open_images(tmp_path)
    assert source.names == tuple(sorted(names))
    assert len(source) == len(names)
    assert [source.load(i).image.size for i in range(len(source))] == [(2, 2)] * len(names)
    assert open_images(str(tmp_path)).names == source.names


def test_open_images__pictures_of_kinds_that_are_not_read_are_counted(tmp_path, caplog):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    open_images(tmp_path)
    for name in ("b.heic", "sub/C.HEIC", "d.avif", ".hidden.heic", "notes.txt", "e.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert caplog.messages == []
    assert open_images(tmp_path).names == ("a.png",)
    (message,) = caplog.messages
    assert message.startswith("3 pictures in ")
    assert message.endswith("not read, and left out: .avif 1, .heic 2")


def test_open_images__hidden_parents_do_not_hide_the_folder(tmp_path):
    folder = tmp_path / ".data"
    folder.mkdir()
    Image.new("RGB", (2, 2)).save(folder / "a.png")
    assert open_images(folder).names == ("a.png",)


def test_open_images__single_file(tmp_path):
    Image.new("RGB", (3, 2)).save(tmp_path / "a.png")
    source = open_images(tmp_path / "a.png")
    assert source.names == ("a.png",)
    assert source.load(0).photo_size == (2, 3)


def test_open_images__list_keeps_its_order_and_duplicates(tmp_path, monkeypatch):
    for number, name in enumerate(("x/b.png", "y/a.dat")):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (number + 1, 2)).save(tmp_path / name, format="PNG")
    monkeypatch.chdir(tmp_path)
    source = open_images(["y/a.dat", tmp_path / "x" / "b.png", "y/a.dat"])
    assert source.names == ("y/a.dat", "x/b.png", "y/a.dat")
    assert [source.load(i).photo_size[1] for i in range(3)] == [2, 1, 2]
    assert open_images(("y/a.dat",)).names == ("a.dat",)


def test_open_images__no_images_names_folder_and_suffixes(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(ExplGraphError, match=r"no images in the folder") as caught:
        open_images(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert ".jpeg" in str(caught.value)
    assert ".png" in str(caught.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("no/such/folder", "does not exist"),
        ([], "no images in an empty list"),
        (["nowhere/a.png"], "1 of the 1 listed images are not files, the first is nowhere"),
        (np.zeros((0, 4, 4, 3), np.uint8), "no images"),
        (np.zeros((4, 4, 3), np.uint8), r"images\[None\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), "moveaxis"),
        (np.zeros(4, np.uint8), "shape"),
        (7, "got int"),
        ((x for x in ()), "got generator"),
    ],
)
def test_open_images__what_is_no_collection(images, message):
    with pytest.raises(ExplGraphError, match=message):
        open_images(images)


def test_open_images__source_comes_back(tmp_path):
    source = ImageSource([ImageItem("a", 0)], lambda index: Image.new("RGB", (2, 2)))
    assert open_images(source) is source
    with pytest.raises(ExplGraphError, match="first opened"):
        open_images(source, boxes=tmp_path / "boxes.csv")


def test_open_images__label_needs_boxes(tmp_path):
    with pytest.raises(ExplGraphError, match="give `boxes`"):
        open_images(tmp_path, label="cat")


# ---- arrays, tensors, datasets


def test_open_images__uint8_array(rng):
    pixels = rng.integers(0, 256, (12, HEIGHT, WIDTH, 3), dtype=np.uint8)
    source = open_images(pixels)
    assert source.names[:2] == ("000000", "000001")
    assert source.names[-1] == "000011"
    for index, expected in enumerate(pixels):
        np.testing.assert_array_equal(np.asarray(source.load(index).image), expected)


def test_open_images__grey_and_float_arrays(rng):
    grey = rng.integers(0, 256, (2, HEIGHT, WIDTH), dtype=np.uint8)
    for array in (grey, grey[..., None], grey / 255.0, (grey / 255).astype(np.float32)):
        found = np.asarray(open_images(array).load(1).image)
        np.testing.assert_array_equal(found, np.repeat(grey[1][..., None], 3, axis=2))


def test_open_images__float_array_that_is_not_in_0_1(rng):
    for array in (rng.normal(size=(1, 8, 8, 3)), 255 * rng.random((1, 8, 8, 3))):
        with pytest.raises(ExplGraphError, match=r"expected 0\.\.1.*255.*normalisation") as caught:
            open_images(array).load(0)
        assert not isinstance(caught.value, UnreadableImageError)


def test_open_images__nan_in_an_array_is_unreadable():
    array = np.full((1, 4, 5), 0.5)
    array[0, 1, 1] = np.nan
    with pytest.raises(UnreadableImageError, match=r"000000.*not finite"):
        open_images(array).load(0)


class Listed(torch.utils.data.Dataset):
    def __init__(self, items):
        self.listed = items

    def __len__(self):
        return len(self.listed)

    def __getitem__(self, index):
        return self.listed[index]


def test_open_images__torch_dataset_of_every_kind(seen):
    tensor = torch.from_numpy(seen).permute(2, 0, 1)
    kinds = [
        Image.fromarray(seen),
        (Image.fromarray(seen), 3),
        (tensor, torch.tensor(1)),
        [tensor.float() / 255, {"label": "cat"}],
        tensor.float().requires_grad_() / 255,
        seen,
    ]
    source = open_images(Listed(kinds))
    assert source.names[-1] == "000005"
    for index in range(len(kinds)):
        np.testing.assert_array_equal(np.asarray(source.load(index).image), seen)


def test_open_images__tensor_batch_and_grey_tensors(seen):
    batch = torch.from_numpy(seen).permute(2, 0, 1)[None]
    np.testing.assert_array_equal(np.asarray(open_images(batch).load(0).image), seen)
    grey = open_images(batch[:, :1]).load(0).image
    np.testing.assert_array_equal(np.asarray(grey)[..., 2], seen[..., 0])
    flat = open_images(batch[:, 0]).load(0).image
    np.testing.assert_array_equal(np.asarray(flat), np.asarray(grey))


def test_open_images__list_of_pil_images_with_exif(seen):
    turned = Image.fromarray(stored_for(seen, 6))
    turned.getexif()[0x0112] = 6
    np.testing.assert_array_equal(np.asarray(open_images([turned]).load(0).image), seen)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"image": 1}, "got dict"),
        ((), "got tuple"),
        (torch.zeros(3, 4), None),
        (torch.zeros(2, 4, 4), "shape"),
        (np.zeros((4, 4, 3), np.int64), "uint8 or float"),
        (np.zeros((0, 4, 3), np.uint8), "shape"),
    ],
)
def test_open_images__dataset_items_that_are_no_pictures(item, message):
    source = open_images(Listed([item]))
    if message is None:
        assert source.load(0).image.size == (4, 3)
        return
    with pytest.raises(ExplGraphError, match=message) as caught:
        source.load(0)
    assert "000000" in str(caught.value)
    assert not isinstance(caught.value, UnreadableImageError)


def test_open_images__dataset_without_length():
    class Stream(torch.utils.data.IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(ExplGraphError, match=r"Dataset with a length.*got Stream"):
        open_images(Stream())


def test_open_images__dataset_whose_file_is_damaged():
    class Broken(Listed):
        def __getitem__(self, index):
            raise OSError("image file is truncated")

    with pytest.raises(UnreadableImageError, match="truncated"):
        open_images(Broken([0])).load(0)


# ---- boxes


def boxed(tmp_path, boxes, pixels, name="photo.png"):
    folder = tmp_path / "photos"
    folder.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(folder / name)
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\n" + boxes)
    return folder, tmp_path / "boxes.csv"


def test_load__whole_photo_has_the_identity_frame(seen):
    item = open_images(seen[None]).load(0)
    np.testing.assert_array_equal(item.frame, [[0, 1], [0, 1]])
    assert item.frame.dtype == np.float64
    assert item.photo_size == (HEIGHT, WIDTH)


def test_load__box_is_cut_out_and_its_frame_leads_back(tmp_path, rng):
    pixels = rng.permutation(20 * 31).reshape(20, 31)  # every pixel knows where it is
    rgb = np.stack([pixels // 256, pixels % 256, 0 * pixels], axis=-1).astype(np.uint8)
    # Columns 4..9 and rows 10..12 (centre 6.5, 11); a box of fractions; one beyond the edge.
    text = "photo.png,6.5,11,6,3\nphoto.png,10.2,5.1,3.3,2.9\nphoto.png,29,1,9,7\n"
    folder, boxes = boxed(tmp_path, text, rgb)
    source = open_images(folder, boxes=boxes)
    assert source.names == ("photo.png#0", "photo.png#1", "photo.png#2")
    # By hand: 10.2 + .5 - 1.65 = 9.05 to 12.35; 5.1 + .5 - 1.45 = 4.15 to 7.05.
    for index, (x0, x1, y0, y1) in enumerate([(4, 10, 10, 13), (9, 13, 4, 8), (25, 31, 0, 5)]):
        item = source.load(index)
        cut = np.asarray(item.image)
        np.testing.assert_array_equal(cut, rgb[y0:y1, x0:x1])
        assert item.photo_size == (20, 31)
        for r in range(cut.shape[0]):
            for c in range(cut.shape[1]):
                unit = np.array([(r + 0.5) / cut.shape[0], (c + 0.5) / cut.shape[1]])
                y, x = item.frame[:, 0] + item.frame[:, 1] * unit
                # The centre of that pixel in the photo, found by its value.
                row, column = np.argwhere((rgb == cut[r, c]).all(axis=-1))[0]
                assert (y * 20, x * 31) == pytest.approx((row + 0.5, column + 0.5))


def test_load__box_refers_to_the_upright_photo(tmp_path, seen):
    exif = Image.Exif()
    exif[0x0112] = 6
    folder, boxes = boxed(tmp_path, "photo.png,5,1,2,2\n", seen)
    Image.fromarray(stored_for(seen, 6)).save(folder / "photo.png", exif=exif)
    item = open_images(folder, boxes=boxes).load(0)
    # Centre 5 is 5.5 from the edge: columns 4.5..6.5 touch pixels 4, 5, 6; rows .5..2.5 touch 0..2.
    np.testing.assert_array_equal(np.asarray(item.image), seen[0:3, 4:7])


def test_open_images__photos_without_a_box_are_left_out_and_logged(tmp_path, seen, caplog):
    folder, boxes = boxed(tmp_path, "c.png,1,1,2,2\na.png,1,1,2,2\nc.png,3,2,2,2\n", seen, "a.png")
    for name in ("b.png", "c.png"):
        Image.fromarray(seen).save(folder / name)
    source = open_images(folder, boxes=boxes)
    assert source.names == ("a.png#0", "c.png#0", "c.png#1")
    assert "1 of 3 photos have no box" in caplog.text
    assert "b.png" in caplog.text


def test_open_images__box_of_an_unknown_image_names_the_nearest(tmp_path, seen):
    folder, boxes = boxed(tmp_path, "zebra_01.jpg,1,1,2,2\n", seen, "zebra_01.png")
    with pytest.raises(ExplGraphError, match=r"'zebra_01.jpg'; the nearest are zebra_01\.png"):
        open_images(folder, boxes=boxes)


def test_load__box_outside_of_its_photo_is_an_error_not_a_skip(tmp_path, seen):
    folder, boxes = boxed(tmp_path, "photo.png,30,1,2,2\n", seen)
    with pytest.raises(ExplGraphError, match=r"photo\.png#0.*outside") as caught:
        open_images(folder, boxes=boxes).load(0)
    assert not isinstance(caught.value, UnreadableImageError)


def test_open_images__boxes_in_an_array(tmp_path, seen):
    (tmp_path / "boxes.csv").write_text("image,x,y,width,height\n000001,0.5,0.5,2,2\n")
    source = open_images(np.stack([seen, seen[::-1]]), boxes=tmp_path / "boxes.csv")
    assert source.names == ("000001#0",)
    np.testing.assert_array_equal(np.asarray(source.load(0).image), seen[::-1][:2, :2])


# ---- some images of a source, renamed or joined


def shades(*values):
    return open_images(np.array(values, dtype=np.uint8)[:, None, None].repeat(2, 1).repeat(2, 2))


def shown(source):
    return [source.load(i).image.getpixel((0, 0))[0] for i in range(len(source))]


def test_take__some_images_in_any_order():
    some = shades(0, 10, 20).take([2, 0])
    assert some.names == ("000002", "000000")
    assert shown(some) == [20, 0]
    assert len(some.take([])) == 0


def test_named__by_name_in_any_order_or_names_the_nearest():
    source = shades(0, 10, 20)
    assert shown(source.named(["000001", "000000"], of="matches")) == [10, 0]
    with pytest.raises(ExplGraphError, match=r"unknown photo of the matches: '7'.*3 images were g"):
        source.named(["000001", "7"], of="matches")


def test_renamed__errors_too_and_boxes_stay(tmp_path, seen):
    folder, boxes = boxed(tmp_path, "photo.png,1,1,2,2\n", seen)
    (folder / "photo.png").write_bytes(b"nothing")
    source = open_images(folder, boxes=boxes)
    other = source.renamed(["other"])
    assert (source.names, other.names) == (("photo.png#0",), ("other",))
    assert other.items[0].box == source.items[0].box
    for one in (source, other):
        with pytest.raises(UnreadableImageError) as caught:
            one.load(0)
        assert caught.value.name == one.names[0]
    with pytest.raises(ValueError, match="zip"):
        source.renamed([])


def test_add__each_image_comes_from_its_own_source():
    a, b = shades(0, 10, 20).take([2, 1]), shades(30, 40).renamed(["x", "y"])
    both = a + b.take([1, 0])
    assert both.names == ("000002", "000001", "y", "x")
    assert shown(both) == [20, 10, 40, 30]
    assert shown(a.take([]) + b) == [30, 40]
    assert shown((a + b) + shades(50)) == [20, 10, 30, 40, 50]


def test_photo_sizes__of_photos_and_of_boxes_in_them(tmp_path, seen):
    folder, boxes = boxed(tmp_path, "c.png,1,1,2,2\na.png,1,1,2,2\na.png,2,2,1,1\n", seen, "a.png")
    Image.fromarray(seen[:3]).save(folder / "c.png")
    source = open_images(folder, boxes=boxes)
    small, large = (3, seen.shape[1]), seen.shape[:2]
    found = source.photo_sizes(["c.png", "a.png#1", "a.png", "b.png"])
    assert found == {"a.png": large, "a.png#1": large, "c.png": small}
    assert list(found) == ["a.png", "a.png#1", "c.png"]


def test_photo_sizes__a_photo_called_like_a_box_is_itself():
    photos = {"a": (4, 4), "a#1": (3, 2)}
    sizes = list(photos.values())
    items = [ImageItem(name, i) for i, name in enumerate(photos)]
    source = ImageSource(items[::-1], lambda i: Image.new("RGB", sizes[i]))
    assert source.photo_sizes(["a#1", "a"]) == {"a#1": (2, 3), "a": (4, 4)}
