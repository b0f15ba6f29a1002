"""Parts from few clicks as a scikit-learn estimator."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from threading import Lock
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

import aog
from aog import Localizations, PartConfig, Parts
from aog.clicks import Clicks
from explgraph.base.arrays import F8
from explgraph.base.errors import ExplGraphError, check_shape, require
from explgraph.base.files import PathLike
from explgraph.graphs.graph import ExplanatoryGraph
from explgraph.graphs.matches import Matches
from explgraph.networks.backbone import Backbone

from .pipeline import match

CACHE_BYTES = 2**30
"""What the matches of one graph by one network may take: some thousand photos. Beyond it, those go
first that were not asked for longest."""

Photo = PathLike | NDArray[Any]
"""The path of a file, or an array (H, W[, 1|3|4]) of uint8 or of floats in 0..1."""


class MatchCache:
    """The matches, with views, of photos in one graph by one network; any thread may ask.

    A file is known by its path, its size and when it was changed; an array by its content.
    """

    def __init__(self) -> None:
        self._rows: OrderedDict[Hashable, Matches] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def match(self, graph: ExplanatoryGraph, net: Backbone, photos: Sequence[Photo]) -> Matches:
        """Find the graph's nodes in photos, those of photos seen before without the network.

        Returns
        -------
        One row for each photo, in order, even if one is given twice. Files are named by their
        paths, arrays by six-digit numbers.

        Raises
        ------
        ExplGraphError
            If a photo cannot be read, or as `explgraph.pipeline.match`.
        """
        require(len(photos) > 0, "there are no photos")
        keys = [_key(photo) for photo in photos]
        names = tuple(
            f"{i:06d}" if isinstance(photo, np.ndarray) else str(photo)
            for i, photo in enumerate(photos)
        )
        with self._lock:  # a network is run by one thread at a time: it has hooks on it meanwhile
            rows = {key: self._rows[key] for key in keys if key in self._rows}
            new = {key: i for i, key in enumerate(keys) if key not in rows}
            if new:
                chosen = [photos[i] for i in new.values()]
                found = match(graph, net, chosen, views=True, strict=True, progress=False)
                rows |= {key: found.take(np.array([i])) for i, key in enumerate(new)}
            self._keep(rows)
        return replace(Matches.joined([rows[key] for key in keys]), images=names)

    def _keep(self, rows: dict[Hashable, Matches]) -> None:
        """Make these the youngest entries, and let the oldest go where there are too many."""
        for key, row in rows.items():
            if key not in self._rows:
                self._bytes += _size(row)
            self._rows[key] = row
            self._rows.move_to_end(key)
        while self._bytes > CACHE_BYTES:
            _, oldest = self._rows.popitem(last=False)
            self._bytes -= _size(oldest)


_caches: WeakKeyDictionary[ExplanatoryGraph, WeakKeyDictionary[Backbone, MatchCache]] = (
    WeakKeyDictionary()
)
_caches_lock = Lock()


def match_cache(graph: ExplanatoryGraph, net: Backbone) -> MatchCache:
    """Return the cache that all who use this graph with this network share.

    It goes when either of them does.
    """
    with _caches_lock:
        return _caches.setdefault(graph, WeakKeyDictionary()).setdefault(net, MatchCache())


def _key(photo: Photo) -> Hashable:
    if isinstance(photo, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(photo).data).digest()
        return photo.shape, photo.dtype.str, content
    require(
        isinstance(photo, (str, os.PathLike)),
        f"a photo must be the path of a file or an array (H, W, 3), got {type(photo).__name__}",
    )
    path = Path(photo).absolute()
    require(path.is_file(), f"the photo {path} is not a file")
    about = path.stat()
    return str(path), about.st_mtime_ns, about.st_size


def _size(found: Matches) -> int:
    """Return the bytes of what has an entry for the photo."""
    held = [found, found.views]
    values = [getattr(each, f.name) for each in held if each is not None for f in fields(each)]
    return sum(value.nbytes for value in values if isinstance(value, np.ndarray))


Photos = Sequence[Photo] | NDArray[Any]
"""N photos: paths of files, or arrays, or one array (N, H, W[, 1|3|4])."""

_DEFAULT = PartConfig()


# A dataclass, because scikit-learn reads an estimator's parameters from its constructor; equality
# and text stay scikit-learn's.
@dataclass(eq=False, repr=False)
class PartLocalizer(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Learns from some labelled photos where semantic parts are, and finds them in others.

    Clones share the graph and the network. The network sees a photo once: its matches are kept for
    every localizer with the same graph and network, so that `GridSearchCV` takes little longer
    than one fit. They take a gigabyte at most (`explgraph.estimator.CACHE_BYTES`) and are freed
    with the graph or the network.

    Parameters
    ----------
    graph
        A mined graph.
    net
        The network that it was mined from.
    part
        Name of the part. Several names: points are (N, K, 2).
    n_patterns, reach, width, floor, vote, look, scene, learnt, view, others, doubt, merge
        See `aog.PartConfig`.

    Attributes
    ----------
    parts_
        The fitted `Parts`, which can be saved and used without the estimator.

    Examples
    --------
    With few labels, folds must be made so that each has some:

    >>> import numpy as np
    >>> from sklearn.model_selection import StratifiedKFold
    >>> points = np.array([[0.2, 0.3], [0.4, 0.1], [np.nan, np.nan], [np.nan, np.nan]])
    >>> labelled = ~np.isnan(points[:, 0])
    >>> cv = list(StratifiedKFold(2).split(points, labelled))
    >>> [int(labelled[test].sum()) for _, test in cv]
    [1, 1]

    Then ``GridSearchCV(PartLocalizer(graph, net), {"reach": [0.1, 0.2]}, cv=cv)``.
    """

    graph: ExplanatoryGraph
    net: Backbone
    _: KW_ONLY
    part: str | Sequence[str] = "part"
    n_patterns: int = _DEFAULT.n_patterns
    reach: float = _DEFAULT.reach
    width: float = _DEFAULT.width
    floor: float = _DEFAULT.floor
    vote: float = _DEFAULT.vote
    look: float = _DEFAULT.look
    scene: float = _DEFAULT.scene
    learnt: float = _DEFAULT.learnt
    view: float = _DEFAULT.view
    others: float = _DEFAULT.others
    doubt: float = _DEFAULT.doubt
    merge: float = _DEFAULT.merge

    # By other names, what scikit-learn calls X and y: no metadata to be routed to the methods.
    __metadata_request__fit = {"photos": UNUSED, "points": UNUSED}  # noqa: RUF012
    __metadata_request__score = {"photos": UNUSED, "points": UNUSED}  # noqa: RUF012
    __metadata_request__predict = {"photos": UNUSED}  # noqa: RUF012

    def fit(self, photos: Photos, points: ArrayLike) -> Self:
        """Learn the parts.

        Parameters
        ----------
        photos
            N photos of the category: a list of files, or of arrays, or an array (N, H, W, 3).
        points
            (N, 2) where the part is, (y, x) in the unit square of each photo; NaN, NaN in photos
            without a label, which help too. For K parts, (N, K, 2).

        Raises
        ------
        ExplGraphError
            If a part has no label, a point is outside the unit square, a photo cannot be read, or
            the network is not the one that the graph was mined from.
        """
        require(
            points is not None,
            "PartLocalizer requires y to be passed, but the target y is None: give a point for "
            "each photo",
        )
        listed = _listed(photos)
        labels = self._labels(points, len(listed))
        clicks = [_clicks(name, labels[:, k]) for k, name in enumerate(self._names)]
        settings = {field.name: getattr(self, field.name) for field in fields(PartConfig)}
        config = PartConfig(**settings)
        found = self._match(listed)
        self.parts_: Parts = aog.fit_clicks(self.graph, found, clicks, config=config)
        return self

    def locate(self, photos: Photos) -> Localizations:
        """Find the parts, with sizes, confidences and all else that is known of each answer.

        Parameters
        ----------
        photos
            As for `fit`. Answers name a file by its path, an array by its six-digit number.

        Raises
        ------
        NotFittedError
            Before `fit`.
        ExplGraphError
            If a photo cannot be read.
        """
        check_is_fitted(self)
        return aog.locate(self.parts_, self._match(_listed(photos)))

    def predict(self, photos: Photos) -> F8:
        """Return where the parts are, in the form of `fit`'s points: (N, 2), or (N, K, 2).

        Parameters
        ----------
        photos
            As for `fit`.
        """
        yx = self.locate(photos).yx.astype(np.float64)
        return yx if isinstance(self.part, str) else yx.reshape(-1, len(self._names), 2)

    def score(self, photos: Photos, points: ArrayLike) -> float:
        """Return minus the mean normalised distance, 0 at best.

        The distance of answer and label in the unit square, over its diagonal; the mean over all
        labels of all parts. Photos without a label are left out.

        Parameters
        ----------
        photos, points
            As for `fit`.

        Raises
        ------
        ExplGraphError
            If no photo has a label: give folds some each, see the example above.
        """
        check_is_fitted(self)
        listed = _listed(photos)
        labels = self._labels(points, len(listed))
        labelled = ~np.isnan(labels[..., 0])
        rows = np.flatnonzero(labelled.any(axis=1))
        require(
            len(rows) > 0,
            f"none of the {len(labels)} photos to score has a label: give every fold some, as "
            "StratifiedKFold(n).split(points, labelled) does",
        )
        answers = self.predict([listed[row] for row in rows]).reshape(len(rows), -1, 2)
        distance = np.linalg.norm(answers - labels[rows], axis=-1)[labelled[rows]]
        return -float(distance.mean() / np.sqrt(2))

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.part,) if isinstance(self.part, str) else tuple(self.part)

    def _match(self, photos: Sequence[Photo]) -> Matches:
        return match_cache(self.graph, self.net).match(self.graph, self.net, photos)

    def _labels(self, points: ArrayLike, count: int) -> F8:
        """Return (N, K, 2) checked points."""
        labels = np.asarray(points, dtype=np.float64)
        several = () if isinstance(self.part, str) else (len(self._names),)
        check_shape("points", labels, (count, *several, 2))
        labels = labels.reshape(count, -1, 2)
        missing = np.isnan(labels)
        require(
            bool((missing[..., 0] == missing[..., 1]).all()),
            "a point has one number and one NaN: photos without a label have NaN twice",
        )
        outside = ((labels < 0) | (labels > 1)).any(axis=(1, 2))
        if outside.any():
            row = int(outside.argmax())
            raise ExplGraphError(
                f"points are (y, x) in the unit square of each photo, 0 to 1, but row {row} is "
                f"{labels[row].tolist()}: divide pixels by the photo's height and width"
            )
        return labels

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401  # scikit-learn has no types
        """Say what `fit` takes: photos or their files, and points, of which some may be NaN."""
        from sklearn.utils import RegressorTags  # since 1.6, which first asks for tags

        tags = super().__sklearn_tags__()
        tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.target_tags.required = tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        return tags

    def __sklearn_clone__(self) -> Self:
        # Graph and network do not change and are large: clones share them.
        return type(self)(**self.get_params(deep=False))


def _listed(photos: Photos) -> list[Photo]:
    require(
        not isinstance(photos, (str, os.PathLike)),
        f"photos must be a list of files, in the order of their points, got {photos!r}. All of a "
        "folder: sorted(Path(folder).glob('*.jpg'))",
    )
    if isinstance(photos, np.ndarray) and photos.dtype.kind not in "OU":
        require(
            photos.ndim == 4,
            f"photos must be a list of files, or of arrays, or an array (N, H, W, 3), got an array "
            f"{photos.shape} of {photos.dtype}",
        )
    return list(photos)


def _clicks(part: str, labels: F8) -> Clicks:
    """Return the labels of one part, (N, 2), as clicks in the photos that have one."""
    index = np.flatnonzero(~np.isnan(labels[:, 0]))
    require(
        len(index) > 0,
        f"none of the {len(labels)} photos to fit on has a label for {part!r}: one at least is "
        "needed. In a search, give every fold some, as StratifiedKFold(n).split(points, labelled) "
        "does",
    )
    return Clicks(part, index, labels[index], np.full((len(index), 2), np.nan))
