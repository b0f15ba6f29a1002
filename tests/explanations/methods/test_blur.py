"""Blur integrated gradients, on functions whose integral is known."""

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import load_file
from scipy.ndimage import gaussian_filter
from torch import nn

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.explanations.answers import answer, explain
from explgraph.explanations.methods.blur import blurrer, integrate_blur
from explgraph.explanations.questions import ask


def integral(function, photo, steps=8, sigma=6.0, batch_size=3):
    inputs = torch.from_numpy(photo)[None]
    return integrate_blur(function, inputs, steps=steps, max_sigma=sigma, batch_size=batch_size)


def wave(y, x, size=(20, 30)):
    """A cosine that fits the grid; a Gaussian of sigma lowers it to ``left(sigma)`` of itself."""
    rows, columns = ((np.arange(n) + 0.5) / n for n in size)
    photo = np.cos(np.pi * y * rows)[:, None] * np.cos(np.pi * x * columns)
    square = (np.pi * y / size[0]) ** 2 + (np.pi * x / size[1]) ** 2
    return np.stack([photo] * 3), lambda sigma: np.exp(-(sigma**2) * square / 2)


@pytest.mark.parametrize("sigma", [0.0, 1.5, 4.0])
def test_blurrer__is_scipys_gaussian_with_mirrored_borders(rng, sigma):
    photo = rng.normal(size=(3, 40, 50))
    photo = gaussian_filter(photo, (0, 1, 1), mode="reflect")  # sampled Gaussians differ on noise
    want = gaussian_filter(photo, (0, sigma, sigma), mode="reflect", truncate=8)
    np.testing.assert_allclose(blurrer(photo)(sigma), want, atol=2e-3)


def test_blurrer__keeps_the_mean_and_adds_up(rng):
    photo = rng.normal(size=(3, 17, 24))
    blurred = blurrer(photo)(5.0)
    np.testing.assert_allclose(blurred.mean((1, 2)), photo.mean((1, 2)), atol=1e-12)
    np.testing.assert_allclose(blurrer(blurrer(photo)(3.0))(4.0), blurred, atol=1e-12)


def test_integrate_blur__of_a_linear_function_is_weight_times_what_the_blur_takes(rng):
    photo, left = wave(2, 3)
    weight = rng.normal(size=photo.shape)
    found = integral(lambda x: (x * torch.from_numpy(weight)).sum((1, 2, 3)), photo, steps=1)
    np.testing.assert_allclose(found.values, weight * photo * (1 - left(6.0)), atol=1e-6)
    assert found.end == pytest.approx(float((weight * photo).sum()))


def test_integrate_blur__of_a_square_function_is_half_the_difference_of_squares():
    photo, left = wave(1, 2)
    for steps in (1, 7):
        found = integral(lambda x: (x**2).sum((1, 2, 3)) / 2, photo, steps=steps)
        want = photo**2 * (1 - left(6.0) ** 2) / 2
        np.testing.assert_allclose(found.values, want, atol=1e-6)


def test_integrate_blur__fine_steps_come_near_a_cubic_function():
    photo, left = wave(1, 1)
    want = photo**3 * (1 - left(6.0) ** 3)
    error = [
        np.abs(integral(lambda x: (x**3).sum((1, 2, 3)), photo, steps=steps).values - want).max()
        for steps in (20, 200)
    ]
    assert error[1] < 1e-4
    assert error[1] < error[0] / 50  # as the trapezoidal rule: ten times the steps, 1/100


def test_integrate_blur__follows_scale_space_and_no_straight_line():
    """F = a b of the amplitudes of two waves, which rise as s and s^4 while s goes from 0 to 1.

    The first has the integral of b da = s^4 ds, 1/5, and the second that of a db = 4 s^4 ds, 4/5;
    on a straight line each would have 1/2.
    """
    first, second = wave(0, 2)[0], wave(0, 4)[0]
    shapes = [torch.from_numpy(w / (w * w).sum()) for w in (first, second)]

    def product(x):
        return (x * shapes[0]).sum((1, 2, 3)) * (x * shapes[1]).sum((1, 2, 3))

    found = integral(product, first + second, steps=400, sigma=30.0)
    # The gradient by pixel i is b shapes[0]_i + a shapes[1]_i, and dL_i = first_i da + second_i db.
    ab = [shape.numpy() for shape in shapes]
    want = first * (ab[0] / 5 + ab[1] / 2) + second * (ab[0] / 2 + ab[1] * 4 / 5)
    np.testing.assert_allclose(found.values, want, atol=1e-4 * np.abs(want).max())


@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_integrate_blur__does_not_depend_on_the_batches(rng, batch_size):
    photo = rng.normal(size=(3, 12, 16))
    want = integral(lambda x: (x**3).sum((1, 2, 3)), photo, batch_size=9).values
    found = integral(lambda x: (x**3).sum((1, 2, 3)), photo, batch_size=batch_size).values
    np.testing.assert_allclose(found, want, atol=1e-6)


def smooth_net():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip
    return eg.Backbone(net, name="smooth", input_size=(24, 24), device="cpu")


def test_explain__adds_up_to_the_change_of_the_answer(rng):
    net = smooth_net()
    photo = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
    question = ask(net, photo, 1)
    found = answer(question, "blur_integrated_gradients", max_sigma=5.0)
    pixels = question.inputs[0].numpy().astype(np.float64)
    blurred = np.float32(gaussian_filter(pixels, (0, 5.0, 5.0), mode="reflect", truncate=8))
    ends = question.scores(torch.cat([question.inputs, torch.from_numpy(blurred)[None]]))
    assert found.values.sum() == pytest.approx(float(ends[0] - ends[1]), rel=1e-3)
    assert found.values.shape == (24, 24)
    assert found.settings["steps"] == 64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"max_sigma": 0.0}, "max_sigma must be above 0"),
        ({"sigma": 3}, "has no option 'sigma'"),
    ],
)
def test_explain__options_are_checked(options, message):
    photo = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ExplGraphError, match=message):
        explain(smooth_net(), photo, 0, "blur_integrated_gradients", **options)


@pytest.mark.shared
@pytest.mark.parametrize("category", ["zebra", "bird"])
def test_explain__is_complete_to_five_percent_on_a_photo(shared, category):
    """Of half the usual side: a quarter of the work."""
    module = torchvision.models.squeezenet1_1(weights=None)
    module.load_state_dict(load_file(shared / "models" / "squeezenet1_1.safetensors"))
    net = eg.Backbone(module, input_size=(112, 112), device="cpu")
    photo = sorted((shared / "animalpart" / category).rglob("*.jpg"))[0]
    question = ask(net, photo)
    path = integrate_blur(
        question.objective, question.inputs, steps=64, max_sigma=112 / 6, batch_size=16
    )
    assert path.values.sum() == pytest.approx(path.end - path.start, rel=0.05)
