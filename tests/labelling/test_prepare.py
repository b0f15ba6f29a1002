"""From photos to a session: the network looks at each photo once, whatever comes between."""

import numpy as np
import pytest

import explgraph as eg
from explgraph import pipeline
from explgraph.base.errors import ExplGraphError
from explgraph.labelling import prepare as preparing
from explgraph.labelling.prepare import prepare
from tests.support.world import SMALL_SEED


@pytest.fixture(scope="module")
def net(files):
    return eg.load_backbone(files.small_model, device="cpu")


@pytest.fixture(scope="module")
def small(files):
    return eg.ExplanatoryGraph.load(files.small_graph)


def test_prepare__mines_and_matches(files, net, tmp_path):
    told = []
    with prepare(
        files.zoo / "fish",
        net,
        tmp_path,
        parts=["head"],
        background=files.background,
        seed=SMALL_SEED,
        progress=lambda done, total: told.append((done, total)),
    ) as session:
        mined = eg.mine(
            net, files.zoo / "fish", background=files.background, seed=SMALL_SEED, progress=False
        )
        assert told[-1] == (12, 12)
        assert [part.name for part in session.parts] == ["head"]
        assert session.photos == str(files.zoo / "fish")
        np.testing.assert_array_equal(session.graph.mu, mined.mu)
        found = eg.match(mined, net, files.zoo / "fish", views=True, progress=False)
        np.testing.assert_array_equal(session.found.views.maps, found.views.maps)
    assert not (tmp_path / "making").exists()


def test_prepare__goes_on_where_it_was(files, net, small, tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "_GROUP", 4)
    monkeypatch.setattr(preparing, "span_size", lambda net, options: 4)
    match, looked = pipeline.match, []

    def interrupted(graph, own, images, **options):
        if len(looked) == 2:
            looked.append(None)
            raise KeyboardInterrupt
        looked.append(images.names)
        return match(graph, own, images, **options)

    monkeypatch.setattr(pipeline, "match", interrupted)
    call = (files.zoo / "fish", net, tmp_path, small)
    with pytest.raises(KeyboardInterrupt):
        prepare(*call, batch_size=4, progress=False)
    with prepare(*call, batch_size=4, progress=False) as session:
        names = [name for group in looked if group for name in group]
        assert names == list(session.images)
        whole = match(small, net, files.zoo / "fish", views=True, batch_size=4, progress=False)
        np.testing.assert_array_equal(session.found.views.yx, whole.views.yx)
    count = len(looked)
    with prepare(*call, parts=["tail"], progress=False) as again:
        assert [part.name for part in again.parts] == ["tail"]
    with prepare(*call[:3], parts=["tail", "head"], progress=False) as again:
        assert [part.name for part in again.parts] == ["tail", "head"]
    assert len(looked) == count


def test_prepare__session_of_other_photos_or_graph_is_refused(files, net, small, world, tmp_path):
    prepare(files.zoo / "fish", net, tmp_path, small, progress=False).close()
    with pytest.raises(ExplGraphError, match=r"session of other photos: 0 of these .* and 1 of"):
        prepare(sorted((files.zoo / "fish").iterdir())[1:], net, tmp_path, small, progress=False)
    with pytest.raises(ExplGraphError, match="session of another graph"):
        prepare(files.zoo / "fish", net, tmp_path, world.graph, progress=False)
    eg.LabelSession.open(tmp_path).close()  # it was let go of
