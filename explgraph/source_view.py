"""Some of the images of a source, as a source of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .decoding import UnreadableImageError
from .images import ImageSource, LoadedImage


class SourceView(ImageSource):
    """Images of another source, in the order of their indices.

    Parameters
    ----------
    whole
        The source.
    indices
        Which of its images.
    folder
        A folder that all of them lie in: they are named as if it had been opened by itself.
    """

    def __init__(self, whole: ImageSource, indices: Sequence[int], folder: str = "") -> None:
        prefix = f"{folder}/" if folder else ""
        items = (whole.items[i] for i in indices)
        self.items = tuple(replace(item, name=item.name.removeprefix(prefix)) for item in items)
        self._whole, self._indices = whole, indices

    def load(self, index: int) -> LoadedImage:
        """Decode one item; errors, too, call it by its name here."""
        try:
            return self._whole.load(self._indices[index])
        except UnreadableImageError as error:
            raise UnreadableImageError(self.items[index].name, error.reason) from error
