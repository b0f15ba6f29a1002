"""Picture files are regular, of a named format and of a bounded size; what fails is told apart."""

import errno
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from explgraph.base.errors import ExplGraphError
from explgraph.photos import decoding, opening
from explgraph.photos.decoding import UnreadableImageError, read_picture
from explgraph.photos.images import open_images
from tests.support.patience import at_once

ANY = None


def saved(path, size=(8, 6), **options):
    Image.new("RGB", size, "red").save(path, **options)
    return path


# ---- formats and kinds of files


@pytest.mark.parametrize(
    "kind", ["BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP"]
)
def test_read_picture__formats_are_told_by_content(tmp_path, kind):
    path = saved(tmp_path / "a.png", format=kind)
    found = np.asarray(read_picture(path, "a", ANY)).astype(int)
    np.testing.assert_allclose(found, np.broadcast_to([255, 0, 0], (6, 8, 3)), atol=3)


@pytest.mark.parametrize("kind", ["EPS", "ICO", "TGA", "SGI", "PCX"])
def test_read_picture__other_formats_of_pillow_are_refused(tmp_path, kind):
    path = saved(tmp_path / "a.png", format=kind)
    with pytest.raises(UnreadableImageError, match=r"no picture in any of the formats JPEG, PNG"):
        read_picture(path, "a", ANY)


def test_read_picture__postscript_in_a_png_starts_no_ghostscript(tmp_path, monkeypatch):
    called, gs = tmp_path / "called", tmp_path / "bin" / "gs"
    gs.parent.mkdir()
    gs.write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
    gs.chmod(0o755)
    monkeypatch.setenv("PATH", f"{gs.parent}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "a.png"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\nshowpage\n%%EOF\n")
    with pytest.raises(UnreadableImageError, match="no picture in any"):
        read_picture(path, "a", ANY)
    assert not called.exists()


def test_pictures__pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    for name in ("pipe.png", "link.png", "zero.png"):
        with at_once(), pytest.raises(ExplGraphError, match=f"{name} is neither"):
            open_images(tmp_path / name)
        with at_once(), pytest.raises(ExplGraphError, match="not files"):
            open_images([tmp_path / name])
        with at_once(), pytest.raises(UnreadableImageError, match=r"is a (named pipe|device)"):
            read_picture(tmp_path / name, name, ANY)  # it was a file when it was listed
    saved(tmp_path / "a.png")
    assert open_images(tmp_path).names == ("a.png",)


# ---- size


def test_max_pixels__larger_pictures_are_unreadable_and_the_message_says_how_to_raise_it(tmp_path):
    source = open_images(saved(tmp_path / "a.png"), max_pixels=47)
    with pytest.raises(UnreadableImageError) as caught:
        source.load(0)
    for told in ("8 x 6 are 48 pixels", "the 47 that", "EXPLGRAPH_MAX_PIXELS", "max_pixels=..."):
        assert told in str(caught.value)
    assert open_images(tmp_path, max_pixels=48).load(0).photo_size == (6, 8)
    assert open_images([tmp_path / "a.png"], max_pixels=48).load(0).photo_size == (6, 8)


def test_max_pixels__of_the_environment_counts_for_the_command_line(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.png")
    monkeypatch.setenv("EXPLGRAPH_MAX_PIXELS", "47")
    with pytest.raises(UnreadableImageError, match="more than the 47"):
        open_images(path).load(0)
    assert open_images(path, max_pixels=48).load(0).photo_size == (6, 8)
    for wrong in ("0", "-5", "1.5", "many", "1_000"):
        monkeypatch.setenv("EXPLGRAPH_MAX_PIXELS", wrong)
        with pytest.raises(ExplGraphError, match=f"EXPLGRAPH_MAX_PIXELS must be .* got '{wrong}'"):
            open_images(path)
    with pytest.raises(ExplGraphError, match="max_pixels must be a whole number"):
        open_images(path, max_pixels=0)


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "TIFF"])
def test_max_pixels__pillows_own_limit_is_ours_and_gives_way(tmp_path, monkeypatch, kind):
    path = saved(tmp_path / "a", (40, 30), format=kind)
    for theirs in (1199, 100):  # Pillow would warn, which is an error here, or refuse
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", theirs)
        with pytest.raises(UnreadableImageError, match=r"1200 pixels.*EXPLGRAPH_MAX_PIXELS"):
            open_images(path).load(0)
        loaded = open_images(path, max_pixels=1200).load(0).image
        assert loaded.size == loaded.crop((0, 0, 40, 30)).size == (40, 30)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert open_images(path).load(0).image.size == (40, 30)


def exif_of_a_turned_camera():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_load__memory_is_a_small_multiple_of_the_pixels(tmp_path):
    """By mode, bytes of memory for each pixel of 9 million, of which RGB itself takes 3."""
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("the peak of a process's memory is measured by Linux alone")
    side, turned = 3000, {"exif": exif_of_a_turned_camera()}
    ramp = np.add.outer(np.arange(side), np.arange(side)) // 64
    Image.fromarray(ramp.astype(np.uint16) * 600).save(tmp_path / "deep.png", **turned)
    Image.fromarray(ramp.astype(np.float32) / 255).save(tmp_path / "floats.tif")
    colours = np.repeat(ramp.astype(np.uint8)[..., None], 4, axis=2)
    Image.fromarray(colours).save(tmp_path / "alpha.png", compress_level=1, **turned)
    Image.fromarray(colours[..., :3]).save(tmp_path / "plain.jpg", **turned)
    Image.fromarray(ramp > 50).save(tmp_path / "bits.png")
    measured = textwrap.dedent("""
        import sys
        from explgraph.photos.images import open_images
        def memory(of):
            with open("/proc/self/status") as status:
                return next(1024 * int(l.split()[1]) for l in status if l.startswith(of + ":"))
        open_images("bits.png").load(0), open_images("deep.png")
        import numpy
        for name in sys.argv[1:]:
            with open("/proc/self/clear_refs", "w") as peak:
                peak.write("5")
            before = memory("VmRSS")
            width, height = open_images(name).load(0).image.size
            print(name, (memory("VmHWM") - before) / (width * height))
        """)
    names = ["deep.png", "floats.tif", "alpha.png", "plain.jpg", "bits.png"]
    command = [sys.executable, "-c", measured, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    bytes_per_pixel = dict(re.findall(r"(\S+) (\S+)\n", done.stdout))
    assert list(bytes_per_pixel) == names
    assert max(float(value) for value in bytes_per_pixel.values()) < 14, bytes_per_pixel


# ---- whose fault it is

OTHERS = [
    OSError(errno.EMFILE, "Too many open files"),
    OSError(errno.ENFILE, "Too many open files in system"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    OSError(errno.EAGAIN, "Resource temporarily unavailable"),
    OSError(errno.ESTALE, "Stale file handle"),
    ConnectionError("reset by peer"),
    TimeoutError("timed out"),
    MemoryError(),
    OSError("out of memory when reading image file"),  # Pillow's
]
ITS_OWN = [
    OSError(errno.ENOENT, "No such file or directory"),
    OSError(errno.EACCES, "Permission denied"),
    OSError(errno.EINVAL, "Invalid argument"),
    OSError("image file is truncated"),
    SyntaxError("broken PNG file"),
    ZeroDivisionError(),
]


def failing(error):
    def fail(*_):
        raise error

    return fail


@pytest.mark.parametrize("error", OTHERS, ids=repr)
@pytest.mark.parametrize(
    "place", [opening.open_regular, decoding.upright_rgb], ids=["open", "load"]
)
def test_read_picture__what_is_not_the_pictures_fault_ends_the_run(
    tmp_path, monkeypatch, error, place
):
    path = saved(tmp_path / "a.png")
    module = opening if place is opening.open_regular else decoding
    monkeypatch.setattr(module, place.__name__, failing(error))
    with pytest.raises(
        ExplGraphError, match=r"'a\.png' could not be read this time.*--resume"
    ) as e:
        open_images(path).load(0)
    assert not isinstance(e.value, UnreadableImageError)
    assert type(error).__name__ in str(e.value)


@pytest.mark.parametrize("error", ITS_OWN, ids=repr)
def test_read_picture__what_is_the_pictures_fault_is_told_of_it(tmp_path, monkeypatch, error):
    path = saved(tmp_path / "a.png")
    monkeypatch.setattr(opening, "open_regular", failing(error))
    with pytest.raises(UnreadableImageError, match=r"a\.png"):
        open_images(path).load(0)


class Failing:
    """A map-style Dataset whose items cannot be read."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        raise self.error


@pytest.mark.parametrize("error", [OTHERS[0], OTHERS[2], OTHERS[-1]], ids=repr)
def test_load__item_of_a_dataset_that_is_not_at_fault_ends_the_run(error):
    with pytest.raises(ExplGraphError, match="'000000' could not be read this time") as caught:
        open_images(Failing(error)).load(0)
    assert not isinstance(caught.value, UnreadableImageError)


def test_load__item_of_a_dataset_whose_own_fault_it_is():
    with pytest.raises(UnreadableImageError, match="Permission denied"):
        open_images(Failing(ITS_OWN[1])).load(0)
    with pytest.raises(ZeroDivisionError):  # a mistake in the Dataset's code
        open_images(Failing(ITS_OWN[-1])).load(0)


def test_load__too_many_open_files(tmp_path):
    """The real one: no handle is left, the picture is sound."""
    path = saved(tmp_path / "a.png")
    code = f"""
import os, resource
from explgraph.base.errors import ExplGraphError
from explgraph.photos.images import open_images
source = open_images({str(path)!r})
source.load(0)
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
try:
    source.load(0)
except ExplGraphError as error:
    print(type(error).__name__, "this time" in str(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["ExplGraphError", "True"], done.stderr
