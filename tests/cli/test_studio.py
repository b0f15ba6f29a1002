"""``explgraph studio``: labels are made once, opened again, and outlive their server."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from explgraph.labelling.session import LabelSession
from explgraph.studio import serving
from tests.support.commands import ok, refused
from tests.support.studying import Caller

pytest.importorskip("starlette", reason="Starlette is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")


@pytest.fixture
def served(monkeypatch):
    """What would be served, without a server."""
    kept = []

    def serve(studio, **options):
        kept.append((studio, options))
        place = serving.Place("127.0.0.1", 8123, serving.Keys(8123), lambda: None)
        options["opened"](place)

    monkeypatch.setattr(serving, "serve", serve)
    monkeypatch.setattr(serving, "open_browser", lambda place: kept.append(place.address))
    return kept


@pytest.fixture(scope="module")
def made(files, tmp_path_factory):
    """A folder of labels, made from photos and a network alone."""
    patch = pytest.MonkeyPatch()
    patch.setattr(serving, "serve", lambda *_, **__: None)
    out = tmp_path_factory.mktemp("made") / "labels"
    photos, model = files.zoo / "fish", files.small_model
    said = ok(
        *("studio", photos, "--model", model, "--parts", "head,tail"),
        *("--background", files.background, "--out", out),
    )
    patch.undo()
    assert f"{out}: 12 photos; answered: head in 0, tail in 0" in said.stdout
    return out


def test_studio__labels_are_opened_again_without_network_or_photos(made, served):
    said = ok("studio", "--out", made, "--json", "--parts", "tail,fin", "--port", "8123")
    data = json.loads(said.stdout)
    assert (data["photos"], data["answers"]) == (12, {"head": 0, "tail": 0, "fin": 0})
    (studio, options), browser = served
    assert (options["host"], options["port"]) == ("127.0.0.1", 8123)
    assert f"Open {browser}" in said.stderr
    assert studio.command == f"explgraph studio --out {made}"
    assert studio.looks.offers()["network"] is False
    assert [part.name for part in studio.desk.session.parts] == ["head", "tail", "fin"]


def test_studio__a_network_is_loaded_when_it_is_asked_for_explanations(made, files, served):
    ok("studio", "--out", made, "--no-browser", "--model", files.small_model)
    ((studio, _),) = served
    assert studio.looks.offers()["network"] is True


def test_studio__says_what_is_missing_or_does_not_belong(made, files, tmp_path, served):
    new = tmp_path / "new"
    assert "holds no labels yet" in refused("studio", "--out", new)
    assert "holds no labels yet" in refused("studio", files.photos, "--out", new)
    assert not new.exists()
    assert "another graph" in refused("studio", "--out", made, "--graph", files.graph)
    assert "photo of the labels" in refused("studio", files.background, "--out", made)
    assert served == []


def test_studio__other_machines_are_warned_of(monkeypatch, caplog):
    places = []
    app = SimpleNamespace(looks=SimpleNamespace(jobs=SimpleNamespace(close=lambda: None)))
    monkeypatch.setattr(serving, "create_app", lambda studio, keys, hosts: places.extend(hosts))
    monkeypatch.setattr(serving, "_server", lambda *_: SimpleNamespace(run=lambda **_: None))
    serving.serve(app, host="127.0.0.1")
    assert caplog.text == ""
    assert "0.0.0.0" not in places
    serving.serve(app, host="0.0.0.0")
    assert "reached from other machines" in caplog.text


def test_studio__what_was_confirmed_outlives_kill_9(made):
    code = "from explgraph.cli import main; main()"
    command = [sys.executable, "-c", code, "studio", "--out", str(made), "--no-browser"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        address = next(filter(None, (re.search(r"http\S+", line) for line in server.stderr)))[0]
        port, token = re.match(r"http://127\.0\.0\.1:(\d+)/\?token=(.+)", address).groups()
        keys = SimpleNamespace(cookie=f"explgraph_studio_{port}", token=token)
        caller = Caller(SimpleNamespace(port=int(port), keys=keys))
        revision = caller.get("/api/news")["revision"]
        for image in range(3):
            body = {"kind": "hidden", "part": 0, "image": image, "revision": revision}
            assert caller.post("/api/answers", body)[0] == 200
        os.kill(server.pid, signal.SIGKILL)
        with pytest.raises((OSError, http.client.HTTPException)):
            for _ in range(100):
                caller.get("/api/news")
    finally:
        server.kill()
        server.communicate()
    with LabelSession.open(made) as session:
        names = list(session.images[:3])
        assert [answer.image for answer in session.answers("head")] == names
