"""Positions through preprocessing: a bright dot is put at a known place and found again."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

from explgraph.base.errors import ExplGraphError
from explgraph.networks.preprocess import Preprocess, TransformPreprocess


def photo_with_dot(width, height, unit_yx, radius):
    ys = (np.arange(height)[:, None] + 0.5) - unit_yx[0] * height
    xs = (np.arange(width)[None, :] + 0.5) - unit_yx[1] * width
    value = np.exp(-(ys**2 + xs**2) / (2 * radius**2))
    return Image.fromarray(np.repeat((value * 255).astype(np.uint8)[..., None], 3, axis=2))


def dot_px(tensor):
    """Centre of mass of the brightest spot, continuous pixels."""
    plane = tensor.double().mean(0)
    weight = (plane - plane.min() - 0.6 * (plane.max() - plane.min())).clamp_min(0)
    ys, xs = torch.arange(plane.shape[0]) + 0.5, torch.arange(plane.shape[1]) + 0.5
    return np.array([float((weight.sum(1) * ys).sum()), float((weight.sum(0) * xs).sum())]) / float(
        weight.sum()
    )


def check_dot(preprocess, width, height, tolerance=0.35, yx=(0.42, 0.57)):
    tensor, frame = preprocess(photo_with_dot(width, height, yx, max(4, min(width, height) / 40)))
    assert tensor.dtype == torch.float32 and tuple(tensor.shape) == (3, *preprocess.input_size)
    expected = (np.array(yx) - frame[:, 0]) / frame[:, 1]
    np.testing.assert_allclose(dot_px(tensor), expected, atol=tolerance)
    return frame


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "crop"])
@pytest.mark.parametrize("size", [(224, 224), (500, 333), (301, 640), (60, 90)])
def test_fits__map_positions_to_the_photo(fit, size):
    check_dot(Preprocess((96, 128), fit=fit), *size)


def test_stretch__shows_exactly_the_whole_photo():
    _, frame = Preprocess((100, 50))(Image.new("RGB", (333, 77)))
    np.testing.assert_allclose(frame, [[0, 1 / 100], [0, 1 / 50]])


def test_grey__is_luma_and_pads_with_its_mean():
    photo = Image.new("RGB", (200, 100), (255, 0, 0))
    tensor, frame = Preprocess((80, 80), fit="letterbox", mean=[0.5], std=[0.25])(photo)
    assert tuple(tensor.shape) == (1, 80, 80) and (tensor[:, :20] == 0).all()
    assert tensor[0, 40, 40].item() == pytest.approx((0.299 - 0.5) / 0.25, abs=0.01)
    np.testing.assert_array_equal(frame, Preprocess((80, 80), fit="letterbox")(photo)[1])


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (1, 1, 1)), ((0.5, 0.5), (1, 1)), ((), ())])
def test_means_and_deviations__are_three_or_one(mean, std):
    with pytest.raises(ExplGraphError, match=r"three values each \(RGB\) or one \(grey\)"):
        Preprocess(mean=mean, std=std)


def test_grey_transform__is_followed():
    steps = [transforms.Resize((96, 128)), transforms.Grayscale(), transforms.ToTensor()]
    preprocess = TransformPreprocess(transforms.Compose(steps))
    assert preprocess.channels == 1
    tensor, frame = preprocess(photo_with_dot(300, 200, (0.42, 0.57), 5))
    expected = (np.array((0.42, 0.57)) - frame[:, 0]) / frame[:, 1]
    np.testing.assert_allclose(dot_px(tensor), expected, atol=0.35)


def test_letterbox__pads_with_the_mean_colour_and_keeps_the_aspect():
    tensor, frame = Preprocess((80, 80), fit="letterbox")(Image.new("RGB", (200, 100), "white"))
    assert (tensor[:, :20] == 0).all() and (tensor[:, 60:] == 0).all()
    assert (tensor[:, 20:60] > 1).all()
    np.testing.assert_allclose(frame, [[-0.5, 1 / 40], [0, 1 / 80]])


def test_crop__cuts_the_middle_out():
    _, frame = Preprocess((80, 80), fit="crop")(Image.new("RGB", (200, 100)))
    np.testing.assert_allclose(frame, [[0, 1 / 80], [0.25, 1 / 160]])


def test_values__are_normalised_as_torchvision_does(rng):
    photo = Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    ours, _ = Preprocess((64, 64))(photo)
    theirs = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    torch.testing.assert_close(ours, theirs(photo))


def test_fit__unknown_is_refused():
    with pytest.raises(ExplGraphError, match="stretch, letterbox, crop, got 'squash'"):
        Preprocess(fit="squash")


NORMALISE = [
    transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
]
BICUBIC = transforms.InterpolationMode.BICUBIC
SIZES = [(224, 224), (500, 375), (375, 500), (1600, 900), (120, 90)]


@pytest.mark.parametrize(
    ("steps", "sizes"),
    [
        ([transforms.Resize((224, 224)), *NORMALISE], SIZES),
        ([transforms.ToTensor(), transforms.Resize((224, 224), antialias=False)], SIZES[-2:]),
        ([transforms.Resize((96, 200), BICUBIC), *NORMALISE], SIZES[-2:]),
        (
            [transforms.Resize((128, 128)), transforms.Grayscale(3), transforms.ToTensor()],
            SIZES[:2],
        ),
        ([transforms.Resize((100, 100)), transforms.Pad((10, 20, 30, 0)), *NORMALISE], SIZES[-2:]),
        ([v2.ToImage(), v2.Resize((64, 80)), v2.ToDtype(torch.float32, scale=True)], SIZES[1:3]),
    ],
    ids=["resize", "no antialias", "bicubic", "grey", "pad", "v2"],
)
def test_transform__resizing_is_inverted(steps, sizes, caplog):
    preprocess = TransformPreprocess(transforms.Compose(steps))
    for size in sizes:
        check_dot(preprocess, *size)
    assert not caplog.records


@pytest.mark.parametrize("size", SIZES)
def test_transform__resize_is_the_whole_photo(size):
    preprocess = TransformPreprocess(
        transforms.Compose([transforms.Resize((224, 224)), *NORMALISE])
    )
    _, frame = preprocess(Image.new("RGB", size))
    np.testing.assert_allclose(frame[:, 0], 0, atol=1.5e-3)
    np.testing.assert_allclose(frame[:, 0] + 224 * frame[:, 1], 1, atol=1.5e-3)


def test_transform__crop_is_inverted_and_warned_about_once(caplog):
    steps = [transforms.Resize(256), transforms.CenterCrop(224), *NORMALISE]
    preprocess = TransformPreprocess(transforms.Compose(steps))
    frame = check_dot(preprocess, 500, 375)
    check_dot(preprocess, 375, 500)
    assert len(caplog.records) == 1
    assert "88 % of the height and 66 % of the width" in caplog.text
    # 500 x 375 becomes 341 x 256; torchvision's crop begins at row 16, column round(58.5).
    np.testing.assert_allclose(frame[:, 0] / frame[:, 1], [16, 58], atol=0.3)
    np.testing.assert_allclose(1 / frame[:, 1], [256, 341], atol=0.5)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (transforms.RandomHorizontalFlip(1.0), "flips photos horizontally"),
        (transforms.RandomVerticalFlip(1.0), "flips photos vertically"),
        (transforms.RandomHorizontalFlip(0.5), "random"),
        (transforms.RandomCrop(100), "random"),
        (transforms.RandomRotation((20, 20)), "rotates"),
        (transforms.Lambda(lambda x: x.transpose(Image.Transpose.ROTATE_90)), "rotates"),
        (transforms.Lambda(lambda x: x.transpose(Image.Transpose.TRANSPOSE)), "rotates"),
        (transforms.ColorJitter(brightness=0.5), "random"),
        (transforms.Lambda(lambda x: Image.eval(x, lambda v: (v * 7) % 256)), "bends|follow"),
        (
            transforms.Lambda(
                lambda x: transforms.functional.perspective(
                    x,
                    [[0, 0], [128, 0], [128, 128], [0, 128]],
                    [[0, 0], [128, 40], [128, 88], [0, 128]],
                )
            ),
            "bends|rotates",
        ),
        (transforms.Lambda(lambda x: Image.new("RGB", x.size)), "does not depend on the photo"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_transform__others_are_refused(step, message):
    torch.manual_seed(3)
    transform = transforms.Compose([transforms.Resize((128, 128)), step, transforms.ToTensor()])
    with pytest.raises(ExplGraphError, match=message):
        TransformPreprocess(transform)(Image.new("RGB", (300, 200)))


RESIZE = transforms.Resize((64, 64))
TWO_CHANNELS = [transforms.ToTensor(), lambda x: x[:2]]
OTHER_SIZE = r"inputs of \(64, 64\), but input_size is \(32, 32\)"


@pytest.mark.parametrize(
    ("transform", "size", "message"),
    [
        (transforms.Compose([transforms.Resize(64), *NORMALISE]), None, "different sizes"),
        (RESIZE, None, "must return a tensor"),
        (transforms.Compose([RESIZE, transforms.PILToTensor()]), None, "must return floats"),
        (transforms.Compose([RESIZE, *TWO_CHANNELS]), None, r"got \(2, 64, 64\)"),
        (lambda x: 1 / 0, None, "the transform failed on an RGB photo of 320 x 240"),
        (transforms.Compose([RESIZE, *NORMALISE]), (32, 32), OTHER_SIZE),
    ],
)
def test_transform__that_makes_no_input_is_refused(transform, size, message):
    with pytest.raises(ExplGraphError, match=message):
        TransformPreprocess(transform, size)


def test_transform__is_probed_once_per_size_from_many_threads():
    calls = []
    steps = transforms.Compose([transforms.Resize((32, 32)), transforms.ToTensor()])
    preprocess = TransformPreprocess(lambda image: calls.append(image.size) or steps(image))
    calls.clear()
    photo = Image.new("RGB", (50, 40))
    threads = [threading.Thread(target=preprocess, args=(photo,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    probes = len(calls) - 8
    preprocess(photo)
    assert len(calls) == probes + 8 + 1 and probes < 16


def test_to_json__names_what_was_done_without_paths():
    assert Preprocess((8, 9), fit="crop").to_json() == {
        "fit": "crop",
        "input_size": [8, 9],
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
    }
    transform = transforms.Compose([transforms.Resize((32, 48)), transforms.ToTensor()])
    assert TransformPreprocess(transform).to_json() == {
        "fit": "transform",
        "input_size": [32, 48],
        "transform": "Compose",
    }
