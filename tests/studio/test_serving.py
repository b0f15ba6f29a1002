"""The studio's server without a browser: who may come in, and what can be asked for."""

import errno
import json
import re
import socket
import time

import pytest

import explgraph as eg
from explgraph.base.errors import ExplGraphError
from explgraph.studio.app import assets
from explgraph.studio.desk import FORMATS
from explgraph.studio.door import PAGE_POLICY, REPORT_POLICY, Keys, trusted_hosts
from explgraph.studio.serving import Place
from tests.support.studying import PATIENCE, Caller, make_labels, own_copy, served

pytest.importorskip("starlette", reason="Starlette is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")

GETS = (
    "/",
    "/assets/main.js",
    "/api/state",
    "/api/news",
    "/api/parts/0",
    "/api/parts/0/next",
    "/api/looks",
    "/photos/0/thumbnail",
    "/photos/0/large",
)
POSTS = {
    "/api/answers": {"kind": "hidden", "part": 0, "image": 3, "revision": 99},
    "/api/undo": {"revision": 99},
    "/api/parts": {"name": "fin"},
    "/api/exports": {"format": "csv"},
    "/api/work": {"kind": "groups"},
    "/api/work/1/leave": {},
}


@pytest.fixture(scope="module")
def labels(world, files, tmp_path_factory):
    return make_labels(world, files, tmp_path_factory.mktemp("studio") / "labels")


@pytest.fixture(scope="module")
def shared_studio(labels, files, tmp_path_factory):
    """For tests that say nothing which stays."""
    folder = own_copy(labels, tmp_path_factory.mktemp("shared"))
    with served(folder, files.photos) as (place, session):
        yield place, session


@pytest.fixture
def studio(labels, files, tmp_path):
    with served(own_copy(labels, tmp_path), files.photos) as (place, session):
        yield Caller(place), session


@pytest.fixture
def caller(shared_studio):
    place, session = shared_studio
    before = session.revision
    yield Caller(place)
    assert session.revision == before


@pytest.mark.parametrize("path", GETS)
def test_door__is_open_with_the_token_alone(caller, path):
    assert caller.ask("GET", path)[0] == 200
    stranger = Caller(caller.place, cookie=False)
    for cookie in ("", "x=y", f"{caller.place.keys.cookie}=", f"{caller.place.keys.cookie}=wrong"):
        status, headers, body = stranger.ask("GET", path, Cookie=cookie)
        assert (status, "set-cookie" in headers) == (403, False)
        assert b"Open the whole address" in body
    assert stranger.ask("GET", f"{path}?token=wrong")[0] == 403
    shown = stranger.ask("GET", f"{path}?token={caller.place.keys.token}")[0]
    assert shown == (200 if path == "/" else 403)


def test_door__gives_the_token_as_a_cookie_that_scripts_and_others_do_not_see(caller):
    stranger = Caller(caller.place, cookie=False)
    _, headers, _ = stranger.ask("GET", f"/?token={caller.place.keys.token}")
    assert headers["set-cookie"].endswith("Path=/; HttpOnly; SameSite=Strict")
    assert headers["set-cookie"].startswith(f"{caller.place.keys.cookie}={caller.place.keys.token}")


def test_door__a_ticket_opens_once(caller):
    stranger = Caller(caller.place, cookie=False)
    query = caller.place.one_time_address().partition("/?")[2]
    assert [stranger.ask("GET", f"/?{query}")[0] for _ in range(2)] == [200, 403]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "x@y"]
)
def test_door__other_names_of_the_server_are_refused(caller, host):
    assert caller.ask("GET", "/api/state", Host=host)[0] == 400


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "0.0.0.0", "192.0.2.7"])
def test_door__the_addresses_that_are_printed_are_those_of_trusted_hosts(host):
    place = Place(host, 8123, Keys(8123), lambda: None)
    trusted = trusted_hosts(host, [socket.gethostname()])
    for address in (place.address, place.one_time_address()):
        shown = re.match(r"http://(.+):8123/\?(token|ticket)=\S{43}$", address)[1]
        assert shown in trusted
        assert shown != "0.0.0.0"


@pytest.mark.parametrize("path", POSTS)
def test_door__what_changes_something_comes_from_the_page_alone(caller, path):
    port, token = caller.place.port, caller.place.keys.token
    others = {
        "none": {},
        "another port": {"Origin": f"http://127.0.0.1:{port + 1}"},
        "another name": {"Origin": f"http://localhost:{port}"},
        "a frame": {"Origin": "null"},
        "encrypted": {"Origin": f"https://127.0.0.1:{port}"},
        "a form": {"Origin": caller.origin, "Content_Type": "text/plain"},
    }
    for how, headers in others.items():
        assert caller.ask("POST", path, POSTS[path], **headers)[0] == 403, how
    stranger = Caller(caller.place, cookie=False)
    asked = f"{path}?token={token}"
    assert stranger.ask("POST", asked, POSTS[path], Origin=caller.origin)[0] == 403


@pytest.mark.parametrize("path", [p for p in POSTS if p not in ("/api/parts",)])
def test_door__nothing_is_changed_by_asking(caller, path):
    assert caller.ask("GET", path)[0] in (404, 405)
    assert caller.ask("PUT", path, POSTS[path], Origin=caller.origin)[0] == 405


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_door__other_pages_cannot_show_photos(caller, site):
    assert caller.ask("GET", "/photos/0/thumbnail", Sec_Fetch_Site=site)[0] == 403
    navigating = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": "navigate"}
    assert caller.ask("GET", "/", **navigating)[0] == 403
    assert caller.ask("GET", f"/?token={caller.place.keys.token}", **navigating)[0] == 200


def test_answers__all_forbid_what_a_page_does_not_need(caller):
    stranger = Caller(caller.place, cookie=False)
    asked = [caller.ask("GET", path) for path in (*GETS, "/none", "/photos/999/thumbnail")]
    asked += [stranger.ask("GET", "/"), caller.ask("GET", "/", Host="evil.example")]
    for _, headers, _ in asked:
        assert headers["content-security-policy"] == PAGE_POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers
    assert "'unsafe" not in PAGE_POLICY
    assert "frame-ancestors 'none'" in PAGE_POLICY


def test_assets__have_no_scripts_or_styles_within():
    page = assets()["studio.html"].body.decode()
    assert page.count("<script") == 1
    assert "style=" not in page
    assert "<style" not in page
    assert "onclick" not in page
    for name, reply in assets().items():
        text = reply.body.decode()
        assert "innerHTML" not in text, name
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), name
        assert "https://" not in text, name


ELSEWHERE = (
    "/photos/-1/thumbnail",
    "/photos/24/thumbnail",
    "/photos/99999999999999999999999/large",
    "/photos/0.png/thumbnail",
    "/photos/..%2f..%2fetc%2fpasswd/thumbnail",
    "/photos/0/../../../../etc/passwd",
    "/../../../../etc/passwd",
    "/assets/../app.py",
    "/assets/..%2fapp.py",
    "/assets/%2e%2e/app.py",
    "/assets/..%5capp.py",
    "/assets//etc/passwd",
    "/assets/%2fetc%2fpasswd",
    "/assets/main.js%00.css",
    "/api/exports/..%2fanswers.jsonl",
    "/api/exports/../session.json",
    "/api/exports/csv",  # which was not written yet
    "/api/parts/2",
    "/api/parts/-1",
    "/api/work/7",
    "/api/work/7/result",
)


@pytest.mark.parametrize("path", ELSEWHERE)
def test_paths__lead_nowhere_else(caller, path):
    status, _, body = caller.ask("GET", path)
    assert status == 404
    assert b"root:" not in body
    assert b"import" not in body


def test_thumbnails__are_made_once_and_links_are_not_followed(studio, tmp_path):
    caller, session = studio
    secret = tmp_path / "secret.jpg"
    secret.write_bytes(b"\xff\xd8\xffsecret")
    kept = session.folder / "thumbnails"
    _, headers, first = caller.ask("GET", "/photos/0/thumbnail")
    assert headers["content-type"] == "image/jpeg"
    assert (kept / "000000.jpg").read_bytes() == first
    changed = (kept / "000000.jpg").stat().st_mtime_ns
    assert caller.ask("GET", "/photos/0/thumbnail")[2] == first
    assert (kept / "000000.jpg").stat().st_mtime_ns == changed
    (kept / "000001.jpg").symlink_to(secret)
    assert b"secret" not in caller.ask("GET", "/photos/1/thumbnail")[2]
    (kept / "000002.jpg").write_bytes(b"no picture")
    assert caller.ask("GET", "/photos/2/thumbnail")[2].startswith(b"\xff\xd8\xff")


def test_photos__gone_ones_say_so(labels, files, tmp_path):
    import shutil

    photos = shutil.copytree(files.photos, tmp_path / "photos")
    with served(own_copy(labels, tmp_path), photos) as (place, _):
        (photos / "00.png").unlink()
        (photos / "01.png").write_bytes(b"no picture")
        for index in (0, 1):
            status, _, body = Caller(place).ask("GET", f"/photos/{index}/thumbnail")
            assert status == 404
            assert f"{index:02d}.png" in json.loads(body)["error"]


def said(caller, kind, image, revision, part=0, **more):
    body = {"kind": kind, "part": part, "image": image, "revision": revision, **more}
    return caller.post("/api/answers", body)


def test_answers__places_are_shares_of_the_photo(studio, world):
    caller, session = studio
    y, x = world.points["head"][0]
    assert said(caller, "here", 0, session.revision, at=[y, x])[0] == 200
    (answer,) = session.answers("head")
    assert answer.image == world.names[0]
    assert answer.yx == pytest.approx((y * 128 - 0.5, x * 128 - 0.5))
    part = caller.get("/api/parts/0")
    assert part["answers"]["image"] == [0]
    assert part["answers"]["at"] == pytest.approx([1e4 * y, 1e4 * x], abs=1)
    where = session.predictions("head")
    assert part["places"]["at"] == pytest.approx(1e4 * where.yx.ravel(), abs=1)
    assert part["places"]["sure"] == pytest.approx(1e3 * where.confidence, abs=1)
    assert caller.get("/api/news")["revision"] == session.revision == part["revision"]


def test_answers__on_what_another_window_changed_are_refused(studio):
    caller, session = studio
    revision = session.revision
    assert said(caller, "hidden", 4, revision)[0] == 200
    status, error = said(caller, "skipped", 4, revision)
    assert status == 409
    assert "04.png" in error["error"]
    assert [answer.kind for answer in session.answers("head")] == ["hidden"]
    assert said(caller, "skipped", 5, revision)[0] == 200  # another photo
    assert said(caller, "hidden", 4, revision, part=1)[0] == 200  # another part
    assert caller.post("/api/undo", {"revision": revision})[0] == 409
    status, undone = caller.post("/api/undo", {"revision": session.revision})
    assert (status, undone["part"], undone["image"]) == (200, 1, 4)


BAD = (
    {},
    {"kind": "here", "part": 0, "image": 0, "revision": 9},  # no place
    {"kind": "here", "part": 0, "image": 0, "revision": 9, "at": [0.5]},
    {"kind": "here", "part": 0, "image": 0, "revision": 9, "at": [1e400, 0]},
    {"kind": "delete", "part": 0, "image": 0, "revision": 9},
    {"kind": "hidden", "part": 0, "image": "../etc/passwd", "revision": 9},
    {"kind": "hidden", "part": 0.5, "image": 0, "revision": 9},
    {"kind": "hidden", "part": 0, "image": 0, "revision": 9, "more": 1},
    {"kind": "hidden", "part": 7, "image": 0, "revision": 9},
    {"kind": "hidden", "part": 0, "image": 24, "revision": 9},
    {"kind": "right", "part": 0, "image": 0, "revision": 9},  # nothing is predicted
    [1] * 70_000,
)


@pytest.mark.parametrize("body", BAD)
def test_answers__that_mean_nothing_are_refused(caller, body):
    status, error = caller.post("/api/answers", body)
    assert status in (404, 422)
    assert error["error"]


def test_answers__a_full_disk_is_said(shared_studio, monkeypatch):
    place, session = shared_studio

    def full(*_, **__):
        raise ExplGraphError("no space is left there") from OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(session, "hide", full)
    status, error = said(Caller(place), "hidden", 0, session.revision)
    assert (status, error["error"]) == (507, "no space is left there")


def test_parts__are_added_once(studio):
    caller, session = studio
    status, made = caller.post("/api/parts", {"name": " fin ", "colour": "#123456"})
    assert (status, made["part"], made["parts"][2]) == (
        200,
        2,
        {"name": "fin", "colour": "#123456"},
    )
    for name in ("fin", "", " ", "x" * 81, "\n"):
        assert caller.post("/api/parts", {"name": name})[0] == 422, name
    assert caller.post("/api/parts", {"name": "a", "colour": "red"})[0] == 422
    assert [part.name for part in session.parts] == ["head", "tail", "fin"]


def test_exports__every_format_is_kept_and_given(studio, world, tmp_path):
    caller, session = studio
    assert caller.post("/api/exports", {"format": "csv"})[0] == 422  # nothing is known
    assert said(caller, "here", 0, session.revision, at=world.points["head"][0].tolist())[0] == 200
    for key, (_, name, media) in FORMATS.items():
        status, made = caller.post("/api/exports", {"format": key, "predictions": key != "csv"})
        assert (status, made["file"]) == (200, str(session.folder / name))
        _, headers, body = caller.ask("GET", f"/api/exports/{key}")
        assert headers["content-type"].startswith(media)
        assert headers["content-disposition"] == f'attachment; filename="{name}"'
        assert (session.folder / name).read_bytes() == body
        (tmp_path / name).write_bytes(body)
        marks = eg.read_annotations(tmp_path / name)
        # For Label Studio what is predicted is no annotation: it is there to be looked through.
        own = key in ("csv", "label-studio")
        assert len(set(marks.image)) == (1 if own else len(world.names)), key
    assert caller.post("/api/exports", {"format": "exe"})[0] == 404


def finished(caller, wish):
    """Ask for work and wait for it."""
    _, job = caller.post("/api/work", wish)
    until = time.monotonic() + PATIENCE
    while job["state"] in ("waiting", "running") and time.monotonic() < until:
        time.sleep(0.05)
        job = caller.get(f"/api/work/{job['number']}")
    return job


def test_work__the_report_is_a_page_without_an_origin(caller, shared_studio):
    job = finished(caller, {"kind": "report"})
    assert job["state"] == "done", job
    _, headers, body = caller.ask("GET", f"/api/work/{job['number']}/result")
    assert headers["content-security-policy"] == REPORT_POLICY
    assert REPORT_POLICY.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in REPORT_POLICY
    assert b"Parts at a glance" in body
    assert finished(caller, {"kind": "report"})["number"] == job["number"]


def test_work__explains_one_photo_and_ends_when_it_is_left(labels, files, world, tmp_path):
    with served(own_copy(labels, tmp_path), files.photos, load=lambda: world.net) as (place, _):
        caller = Caller(place)
        wish = {"kind": "explain", "image": 1, "methods": ["saliency"], "target": "fish"}
        job = finished(caller, wish)
        assert job["state"] == "done", job
        _, headers, body = caller.ask("GET", f"/api/work/{job['number']}/result")
        assert headers["content-type"] == "image/png"
        assert body.startswith(b"\x89PNG")
        wrong = finished(caller, wish | {"target": "teapot"})
        assert wrong["state"] == "failed"
        assert "teapot" in wrong["error"]
        _, long = caller.post("/api/work", {"kind": "decision", "image": 2})
        began = time.monotonic()
        caller.post(f"/api/work/{long['number']}/leave", {})
        while caller.get(f"/api/work/{long['number']}")["state"] not in ("left", "done"):
            assert time.monotonic() - began < PATIENCE
            time.sleep(0.02)
        assert caller.get(f"/api/work/{long['number']}")["state"] == "left"


def test_work__needs_the_network_for_explanations(caller):
    status, error = caller.post("/api/work", {"kind": "explain", "methods": ["saliency"]})
    assert status == 422
    assert "--model" in error["error"]
    assert caller.get("/api/looks")["network"] is False
