"""What the JSON in our files is like: in headers, and in a spool's manifest."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from explgraph.base.layer import LayerSpec, Side

from .material import Material


class Preprocessing(Struct, kw_only=True):
    """How photos were fed to the network, see `explgraph.networks.preprocess`."""

    input_size: tuple[Side, Side]
    fit: str = "stretch"
    mean: list[float] | None = None
    std: list[Annotated[float, Meta(gt=0)]] | None = None
    transform: str | None = None

    def __post_init__(self) -> None:
        counts = [None if held is None else len(held) for held in (self.mean, self.std)]
        if counts not in ([None, None], [1, 1], [3, 3]):
            raise ValueError("`mean` and `std` have three values each, or one, or are both missing")


class Network(Struct, kw_only=True):
    """What headers say of the network, its photos and of how they were made."""

    model: str | None = None
    weight_hash: str | None = None
    graph_hash: str | None = None
    preprocess: Preprocessing | None = None
    precision: str | None = None
    skipped: list[str] = []
    versions: dict[str, str] = {}


Layers = Annotated[list[LayerSpec], Meta(min_length=1)]


Settings = dict[str, int | float]


class GraphHeader(Network, kw_only=True):
    """Of a graph."""

    layers: Layers
    input_size: tuple[Side, Side]
    names: dict[int, str]
    group_names: list[str] | None = None
    config: Settings = {}
    seed: int | None = None
    n_images: Annotated[int, Meta(ge=0)] | None = None
    material: Material | None = None


class ViewsHeader(Struct, kw_only=True):
    """What a header says of the photos seen both ways."""

    layer: LayerSpec
    input_size: tuple[Side, Side]


class MatchesHeader(Network, kw_only=True):
    """Of matches."""

    images: list[str]
    views: ViewsHeader | None = None


class PeaksHeader(Network, kw_only=True):
    """Of peaks."""

    images: list[str]
    layers: Layers
    input_size: tuple[Side, Side]


class ShardHeader(Struct, kw_only=True):
    """Of a shard; what its arrays are like is in the manifest: `shard_columns`.

    ``stamp`` is the SHA-256 of the manifest's key.
    """

    images: list[str]
    stamp: str = ""
    first: Annotated[int, Meta(ge=0)] = 0
    next: Annotated[int, Meta(ge=0)] = 0
    skipped: list[str] = []


_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


_Count = Annotated[int, Meta(ge=0)]


class SpoolImages(Struct, kw_only=True):
    """Which photos a spool is of."""

    count: _Count
    sha256: _Digest


class SpoolKey(Struct, kw_only=True):
    """What readers need to know of what decides a spool's peaks."""

    images: SpoolImages
    input_size: tuple[Side, Side]
    layers: Layers
    mirror: bool
    n_peaks: Annotated[int, Meta(ge=1, le=127)]
    network: Network


class ShardEntry(Struct, kw_only=True):
    """What a manifest says of one file."""

    file: str
    sha256: _Digest
    first: _Count
    next: _Count
    photos: _Count
    skipped: list[str]


class ManifestText(Struct, kw_only=True):
    """Of a spool's manifest, see `explgraph.peaks.spool.manifest`."""

    key: SpoolKey
    shards: list[ShardEntry]
    complete: bool
    digest: _Digest | None = None


class StatisticsKey(Struct, kw_only=True):
    """What a reader needs to know of a key."""

    layers: Layers


class StatisticsHeader(Struct, kw_only=True):
    """Of channel statistics."""

    key: StatisticsKey
    skipped: list[str] = []


class PartHeader(Struct, kw_only=True):
    """What a header says of one part; without ``visible_from`` it is always visible."""

    part: str
    visible_from: float | None = None
    trait_share: Annotated[float, Meta(ge=0, le=1)] | None = None
    clicked: list[str] | None = None


class PartsHeader(Network, kw_only=True):
    """Of parts."""

    parts: Annotated[list[PartHeader], Meta(min_length=1)]
    graph: GraphHeader
    config: Settings


class StageHeader(Struct, kw_only=True):
    """Of a stage of mining, whose arrays are its own affair."""

    key: dict[str, Any]
