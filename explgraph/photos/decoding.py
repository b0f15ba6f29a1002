"""Any picture, from a file or from memory, as upright 8-bit RGB.

Decisions, for every format alike: the EXIF orientation is applied; transparency is laid over white,
as a browser shows it (dropping it would uncover colours that nobody sees); 16-bit grey is scaled
from its full range 0..65535, whatever the photo's own brightest pixel, so that equal values stay
equal across photos; of an animation the first frame counts; colour profiles are not applied. All
pixels are decoded: a JPEG's reduced size would save memory, but has other pixels than one reduced
afterwards.

Memory is 13 bytes a pixel at most, whatever the mode: what needs more than Pillow's own pictures is
done in strips. The decoders of WebP and JPEG 2000 take up to 25 by themselves.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from explgraph.base.errors import ExplGraphError, lacks_memory, require
from explgraph.base.files import PathLike

from .opening import opened_picture, picture_in

_ORIENTATION = 0x0112  # the EXIF tag
_SAY_HOW_TURNED = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Grey modes with more than 8 bits, and the value that is white. Pillow opens 16-bit PNG as "I;16"
# or, before version 11.3, as "I".
_DEEP_WHITE = {"I;16": 65535, "I;16L": 65535, "I;16B": 65535, "I;16N": 65535, "I": 65535, "F": 1}
_WITH_ALPHA = {"RGBA", "RGBa", "LA", "La", "PA"}
_STRIP = 2**18  # pixels
_FLOAT_SLACK = 1e-3  # rounding of a caller's resize may leave 0..1 by a hair


class UnreadableImageError(ExplGraphError):
    """One image that cannot be used: skipped, or raised when the caller is strict.

    Attributes
    ----------
    name
        Of the image.
    reason
        What is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"cannot read image {name!r}: {reason}. Repair it, or leave it out")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return UnreadableImageError, (self.name, self.reason)


# Errors of the file system that say something about the file asked for. All others, such as of a
# bad disk, a lost network or too many open files, say nothing about it.
_OF_THE_FILE = {
    errno.EACCES,
    errno.EFBIG,
    errno.EINVAL,  # a place before the file's beginning, in a damaged one
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,  # a socket
    errno.EOVERFLOW,
    errno.EPERM,
}


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn whatever goes wrong while a picture is read into one error with its name.

    Raises
    ------
    UnreadableImageError
        If the picture is at fault: it is damaged, gone, or may not be read.
    ExplGraphError
        If it is not, and another time it may well be read: memory is short, the disk fails, too
        many files are open. Nobody may take such a picture for a bad one and go on without it.
    """
    try:
        yield
    except UnreadableImageError:
        raise
    except Exception as error:  # damaged files raise anything: struct, zlib, index, syntax errors
        reason = " ".join(str(error).split()) or type(error).__name__
        if _says_of_picture(error):
            raise UnreadableImageError(name, reason) from error
        raise another_time(name, error) from error


def another_time(name: str, error: Exception) -> ExplGraphError:
    """Return the error of a picture that may well be read when its cause is mended."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return ExplGraphError(
        f"image {name!r} could not be read this time ({type(error).__name__}: {reason}). That "
        "is not the picture's fault, so it is not left out, and the run ends. When the cause "
        "is mended, run it again; one with a spool goes on with resume=True (--resume)"
    )


def _says_of_picture(error: Exception) -> bool:
    if lacks_memory(error) or isinstance(error, (ConnectionError, TimeoutError)):
        return False
    if isinstance(error, OSError) and error.errno is not None:  # Pillow's own have no number
        return error.errno in _OF_THE_FILE
    return True


def read_picture(path: PathLike, name: str, limit: int | None) -> Image.Image:
    """Decode a file of at most ``limit`` pixels (None: any number) to upright RGB.

    Raises
    ------
    UnreadableImageError
        If the file is missing, truncated, no image, too large, or in a colour space without a
        defined white.
    ExplGraphError
        If something else than the picture is at fault, see `reading`.
    """
    with reading(name), opened_picture(path, limit) as image:
        return upright_rgb(image, name)


def decode_picture(data: bytes, name: str, limit: int | None) -> Image.Image:
    """Decode a file's bytes as `read_picture` does the file."""
    with reading(name), picture_in(BytesIO(data), limit) as image:
        return upright_rgb(image, name)


def upright_rgb(image: Image.Image, name: str) -> Image.Image:
    """Turn a picture upright and into RGB.

    Raises
    ------
    UnreadableImageError
        If it is deep grey outside its range, or in a colour space that cannot be converted.
    """
    image.load()  # before the orientation is asked for: some decoders turn the picture themselves
    turn = _UPRIGHT.get(_orientation(image))
    upright = image if turn is None else image.transpose(turn)
    if upright is not image:
        for tags in _SAY_HOW_TURNED:  # or who asks once more turns it once more
            upright.info.pop(tags, None)
    if upright.mode in _DEEP_WHITE:
        return _in_strips(upright, lambda strip: _grey(strip, name))
    try:
        if upright.mode in _WITH_ALPHA or "transparency" in upright.info:
            return _in_strips(upright, _over_white)
        is_ours = upright.mode == "RGB" and upright is not image
        return upright if is_ours else upright.convert("RGB")
    except ValueError as error:
        raise UnreadableImageError(name, str(error)) from error


def _in_strips(image: Image.Image, change: Callable[[Image.Image], Image.Image]) -> Image.Image:
    """Return as RGB what ``change`` makes of a picture's pixels, each by itself."""
    result = Image.new("RGB", image.size)
    rows = max(1, _STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        result.paste(change(strip), (0, top))
    return result


def _grey(strip: Image.Image, name: str) -> Image.Image:
    white = _DEEP_WHITE[strip.mode]
    with np.errstate(invalid="ignore"):  # of a signalling NaN, which is refused below
        values = np.asarray(strip, dtype=np.float64) / white
    if not (values.min() >= 0 and values.max() <= 1):
        raise UnreadableImageError(
            name, f"grey values of mode {strip.mode!r} are not in 0..{white}"
        )
    return Image.fromarray(_to_bytes(values))


def _over_white(strip: Image.Image) -> Image.Image:
    layer = strip.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception as error:  # damaged EXIF data of a photo that is otherwise fine
        if not _says_of_picture(error):
            raise
        return 1


def picture_of(value: object, name: str) -> Image.Image:
    """Turn an item in memory into upright RGB.

    Parameters
    ----------
    value
        A PIL image, an array (H, W) or (H, W, 1|3|4), a tensor (H, W) or (1|3|4, H, W), or a tuple
        or list that begins with one of them, as a Dataset gives (image, target). Numbers are uint8,
        or floats in 0..1.
    name
        For messages.

    Raises
    ------
    UnreadableImageError
        If the values hold NaN.
    ExplGraphError
        If the item is no picture, or its floats are not in 0..1.
    """
    from torch import Tensor

    if isinstance(value, (tuple, list)) and len(value) > 0:
        value = value[0]
    if isinstance(value, Image.Image):
        return upright_rgb(value, name)
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        array = tensor.numpy()
        value = np.moveaxis(array, 0, -1) if array.ndim == 3 else array
    if not isinstance(value, np.ndarray):
        raise ExplGraphError(
            f"image {name!r} must be a PIL image, an array, a tensor, or a tuple (image, target); "
            f"got {type(value).__name__}"
        )
    return _from_array(value, name)


def _from_array(array: NDArray[Any], name: str) -> Image.Image:
    flat = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    require(
        flat.size > 0 and (flat.ndim == 2 or (flat.ndim == 3 and flat.shape[-1] in (3, 4))),
        f"image {name!r} must have shape (H, W) or (H, W, 1|3|4) as an array, (1|3|4, H, W) as a "
        f"tensor; got {array.shape} as an array",
    )
    if flat.dtype.kind == "f":
        flat = _checked_floats(flat, name)
    require(
        flat.dtype == np.uint8, f"image {name!r} must be uint8 or float in 0..1, got {array.dtype}"
    )
    return upright_rgb(Image.fromarray(np.ascontiguousarray(flat)), name)


def _checked_floats(values: NDArray[Any], name: str) -> NDArray[np.uint8]:
    low, high = float(values.min()), float(values.max())
    if not np.isfinite(low + high):
        raise UnreadableImageError(name, "its values are not finite")
    require(
        low >= -_FLOAT_SLACK and high <= 1 + _FLOAT_SLACK,
        f"image {name!r} has float values from {low:.4g} to {high:.4g}, expected 0..1. Divide by "
        "255, or take the normalisation out of the dataset's transform: the backbone has its own",
    )
    return _to_bytes(values)


def _to_bytes(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Round floats in 0..1 to 0..255."""
    return np.rint(255 * np.clip(values.astype(np.float64), 0, 1)).astype(np.uint8)
