"""The studio in a real browser: what a person sees and does, by mouse, keyboard and finger."""

import http.server
import re
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest

import explgraph as eg
from explgraph.labelling.session import LabelSession
from tests.support.browsing import DESKTOP, PHONE, chromium
from tests.support.studying import HOSTILE, make_labels, own_copy, served

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytest.importorskip("starlette", reason="Starlette is not installed")
pytest.importorskip("uvicorn", reason="uvicorn is not installed")
expect = playwright.expect

SIDE = 128
FAILS = "Failed to load resource"  # what the browser itself says of an answer other than 200


@pytest.fixture(scope="module")
def browser():
    with chromium(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def labels(world, files, tmp_path_factory):
    return make_labels(world, files, tmp_path_factory.mktemp("studio") / "labels")


@pytest.fixture
def studio(labels, files, world, tmp_path):
    folder = own_copy(labels, tmp_path)
    with served(folder, files.photos, load=lambda: world.net) as (place, session):
        yield place, session


@pytest.fixture
def open_page(browser):
    """Open the studio; at the end nothing may have been complained of, or asked of others."""
    contexts, trouble = [], []

    def opened(place, context=None, allowed=(), **options):
        if context is None:
            context = browser.new_context(**(options or DESKTOP))
            contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))

        def judge(said):
            if said.type in ("error", "warning") and not said.text.startswith(tuple(allowed)):
                trouble.append(said.text)

        own = f"http://127.0.0.1:{place.port}/"
        page.on("console", judge)
        page.on(
            "request",
            lambda asked: (
                None
                if asked.url.startswith((own, "blob:"))
                else trouble.append(f"asked for {asked.url}")
            ),
        )
        page.goto(place.address)
        expect(page.locator("body")).to_have_class("ready")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture
def page(studio, open_page):
    return open_page(studio[0])


def shown(page):
    """The name of the photo in front."""
    return page.locator("#question strong").inner_text()


def settled(page):
    """Wait until the page knows what follows from the answers."""
    expect(page.locator("#saved")).to_have_text("All answers saved")
    expect(page.locator("#saved.busy")).to_have_count(0)


def click_at(page, share):
    box = page.locator("#frame").bounding_box()
    y, x = share
    page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])


def choose(page, index):
    page.locator("#sort").select_option("name")
    page.locator(f"#tile-{index}").click()
    expect(page.locator(f"#tile-{index}")).to_have_attribute("aria-selected", "true")


def places(page):
    """Where the tiles in view have their marks, by photo."""
    return page.locator("#grid .tile").evaluate_all(
        "tiles => Object.fromEntries(tiles.map(tile => {"
        "  const mark = tile.querySelector('.mark');"
        "  return [tile.id, mark && [mark.style.left, mark.style.top].join()];"
        "}))"
    )


def place_heads(page, world, count):
    """Click the heads of the photos that the studio proposes."""
    done = []
    for _ in range(count):
        name = shown(page)
        truth = world.points["head"][world.names.index(name)]
        assert not np.isnan(truth).any(), "hidden in the photo that is asked about first"
        click_at(page, truth)
        expect(page.locator("#question strong")).not_to_have_text(name)
        settled(page)
        done.append(name)
    return done


def kinds(session, part="head"):
    return {answer.image: answer.kind for answer in session.answers(part)}


def test_studio__a_few_clicks_and_the_part_is_everywhere(page, studio, world, tmp_path):
    _, session = studio
    expect(page.locator("#grid .mark")).to_have_count(0)
    first = place_heads(page, world, 1)
    before = places(page)
    assert all(before.values())
    first += place_heads(page, world, 2)
    after = places(page)
    both = before.keys() & after.keys()  # in view, then and now
    assert sum(before[tile] != after[tile] for tile in both) > len(both) / 4
    assert kinds(session) == dict.fromkeys(first, "here")
    for answer in session.answers("head"):
        truth = world.points["head"][world.names.index(answer.image)] * SIDE - 0.5
        assert answer.yx == pytest.approx(truth, abs=0.5)  # half a pixel of 128, on the screen 2
    expect(page.locator("#counter")).to_contain_text("3 answers for head")

    right = shown(page)
    page.keyboard.press("Enter")
    expect(page.locator("#question strong")).not_to_have_text(right)
    settled(page)
    wrong = shown(page)
    click_at(page, (0.2, 0.3))
    expect(page.locator("#question strong")).not_to_have_text(wrong)
    hidden = shown(page)
    page.keyboard.press("x")
    settled(page)
    assert kinds(session) == {
        **dict.fromkeys(first, "here"), right: "right", wrong: "here", hidden: "hidden",
    }  # fmt: skip
    page.locator("#answer-undo").click()
    expect(page.locator("#question strong")).to_have_text(hidden)
    settled(page)
    assert hidden not in kinds(session)

    page.locator("#open-export").click()
    with page.expect_download() as download:
        page.locator("[data-format=coco]").click()
    download.value.save_as(tmp_path / "heads.json")
    written = eg.read_annotations(tmp_path / "heads.json")
    assert set(written.image) == set(world.names)
    own = {answer.image: answer.yx for answer in session.answers("head")}
    row = {image: i for i, image in enumerate(written.image)}
    for image, yx in own.items():
        assert written.yx[row[image]] == pytest.approx(yx, abs=0.01)
    page.keyboard.press("Escape")

    counted = page.locator("#counter").inner_text()
    page.reload()
    expect(page.locator("body")).to_have_class("ready")
    expect(page.locator("#counter")).to_have_text(counted)
    assert page.evaluate("location.search") == ""
    expect(page.locator("#grid .mark")).to_have_count(page.locator("#grid .tile").count())
    with LabelSession.open(session.folder, writable=False) as again:
        assert again.answers("head") == session.answers("head")


def test_studio__two_tabs_see_each_other_and_lose_nothing(page, studio, open_page):
    place, session = studio
    other = open_page(place, page.context, allowed=[FAILS])
    choose(page, 5)
    page.keyboard.press("x")
    expect(other.locator("#counter")).to_contain_text("1 answer for head")
    choose(other, 5)
    expect(other.locator("#tile-5")).to_contain_text("not visible")

    old = other.request.get(f"{place.address.partition('?')[0]}api/news").json()
    other.route("**/api/news", lambda route: route.fulfill(json=old))  # it hears of nothing more
    choose(other, 6)
    choose(page, 6)
    page.keyboard.press("x")
    settled(page)
    other.unroute("**/api/news")
    other.evaluate("document.getElementById('stage').focus()")
    other.keyboard.press("s")
    expect(other.locator("#trouble-text")).to_contain_text("Another window answered this photo")
    expect(other.locator("#tile-6")).to_contain_text("not visible")
    other.locator("#discard").click()
    expect(other.locator("#trouble")).to_be_hidden()
    assert kinds(session) == {"05.png": "hidden", "06.png": "hidden"}
    other.bring_to_front()
    other.locator("#new-part-name").wait_for(state="hidden")
    other.get_by_text("+ part").click()
    other.locator("#new-part-name").fill("fin")
    other.keyboard.press("Enter")
    expect(page.locator(".part")).to_have_count(3)


def test_studio__works_by_keyboard_alone(page, studio, world):
    _, session = studio
    page.keyboard.press("Tab")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    name = shown(page)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#question strong")).not_to_have_text(name)
    page.keyboard.press("ArrowLeft")
    for key in ("Shift+ArrowUp", "Shift+ArrowLeft", "Shift+Alt+ArrowLeft"):
        page.keyboard.press(key)
    expect(page.locator(".mark.draft")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator(".mark.draft")).to_have_count(0)
    name = shown(page)
    for key in ("Shift+ArrowUp", "Shift+ArrowLeft", "Shift+Alt+ArrowLeft", "Enter"):
        page.keyboard.press(key)
    settled(page)
    (answer,) = session.answers("head")
    assert answer.image == name
    assert answer.yx == pytest.approx((0.48 * SIDE - 0.5, 0.476 * SIDE - 0.5))

    page.keyboard.press("2")
    expect(page.locator('.part[aria-pressed="true"]')).to_contain_text("tail")
    page.keyboard.press("x")
    settled(page)
    page.keyboard.press("1")
    page.keyboard.press("n")
    second = shown(page)
    page.keyboard.press("Enter")
    settled(page)
    page.keyboard.press("u")
    expect(page.locator("#question strong")).to_have_text(second)
    settled(page)
    assert (kinds(session), len(kinds(session, "tail"))) == ({name: "here"}, 1)

    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("x")  # is not for the photo now
    page.keyboard.press("Escape")
    expect(page.locator("#stage")).to_be_focused()
    assert kinds(session) == {name: "here"}
    page.locator("#answer-skip").focus()
    page.keyboard.press("Enter")  # presses the button, and is no answer by itself
    settled(page)
    assert sorted(kinds(session).values()) == ["here", "skipped"]


def test_studio__says_what_is_not_saved_and_saves_it_later(studio, open_page):
    place, session = studio
    page = open_page(place, allowed=[FAILS])
    page.route("**/api/answers", lambda route: route.abort())
    name = shown(page)
    page.keyboard.press("x")
    expect(page.locator("#trouble-text")).to_contain_text("Not saved: 1 answer.")
    expect(page.locator("#trouble-command")).to_contain_text("explgraph studio")
    expect(page.locator("#saved")).to_have_text("Not saved")
    assert session.answers("head") == ()
    page.unroute("**/api/answers")
    expect(page.locator("#saved")).to_have_text("All answers saved")  # by itself
    expect(page.locator("#trouble")).to_be_hidden()
    assert kinds(session) == {name: "hidden"}

    full = {"error": "labels/answers.jsonl could not be written: no space is left there: make room"}
    page.route("**/api/answers", lambda route: route.fulfill(status=507, json=full))
    page.keyboard.press("x")
    expect(page.locator("#trouble-text")).to_contain_text("no space is left there: make room")
    page.keyboard.press("s")  # waits for the other
    page.unroute("**/api/answers")
    page.locator("#retry").click()
    settled(page)
    assert sorted(kinds(session).values()) == ["hidden", "hidden"]
    place.stop()
    expect(page.locator("#trouble-text")).to_contain_text("saved are safe", timeout=15_000)


@pytest.fixture
def hostile(world, files, tmp_path):
    """A photo and a part whose names are markup."""
    photos = shutil.copytree(files.photos, tmp_path / "photos")
    names = (HOSTILE, *world.names[1:])
    (photos / world.names[0]).rename(photos / HOSTILE)
    found = replace(world.found, images=names)
    with LabelSession.create(tmp_path / "labels", world.graph, found, parts=[HOSTILE]):
        pass
    with served(tmp_path / "labels", photos) as (place, session):
        yield place, session


def test_studio__names_are_never_markup(hostile, open_page):
    place, session = hostile
    page = open_page(place)
    choose(page, 0)
    expect(page.locator("#question")).to_contain_text(HOSTILE)
    page.locator(".part .name").get_by_text(HOSTILE).wait_for()
    click_at(page, (0.5, 0.5))
    settled(page)
    choose(page, 0)
    expect(page.locator("#counter")).to_contain_text(f"for {HOSTILE}")
    page.wait_for_timeout(500)  # who chooses by hand is not led on
    page.locator("#tab-photo").click()
    expect(page.locator("#nodes img")).to_be_visible()
    expect(page.locator("#look-title")).to_have_text(HOSTILE)
    assert page.locator('img[src="x"]').count() == 0
    assert [answer.image for answer in session.answers(HOSTILE)] == [HOSTILE]


FOREIGN = """
<form id="form" method="post" enctype="text/plain" target="frame"
  action="http://127.0.0.1:{port}/api/answers"><input name='{{"kind":"hidden","part":0,"x":"'
  value='","image":3,"revision":99}}'></form><iframe name="frame"></iframe>
<img id="stolen" src="http://127.0.0.1:{port}/photos/0/thumbnail">
"""


def test_studio__other_pages_can_neither_answer_nor_look(studio, open_page):
    """Not even one that is served to the same browser by another port of this machine."""
    place, session = studio
    page = open_page(place)
    text = FOREIGN.format(port=place.port).encode()

    class Other(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        evil = page.context.new_page()
        evil.goto(f"http://127.0.0.1:{server.server_port}/")
        url = f"http://127.0.0.1:{place.port}/api"
        tried = evil.evaluate(
            """async (url) => {
              const body = JSON.stringify({ kind: "hidden", part: 0, image: 3, revision: 99 });
              const said = [];
              for (const options of [
                { method: "POST", body, mode: "no-cors", credentials: "include" },
                { method: "POST", body, credentials: "include",
                  headers: { "content-type": "application/json" } },
                { credentials: "include" },
              ]) {
                try {
                  const reply = await fetch(`${url}/answers`, options);
                  said.push(reply.type === "opaque" ? "opaque" : reply.status);
                } catch { said.push("refused"); }
              }
              document.getElementById("form").submit();
              return [...said, document.getElementById("stolen").naturalWidth];
            }""",
            url,
        )
        evil.wait_for_timeout(300)
        evil.close()
        server.shutdown()
    assert tried[1:] == ["refused", "refused", 0]
    assert session.answers("head") == ()


def test_studio__fits_a_phone(studio, open_page, world):
    place, session = studio
    page = open_page(place, **PHONE)
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    assert page.evaluate(widths) == [390, 390]
    small = page.evaluate(
        "[...document.querySelectorAll('button, input[type=text], select')]"
        ".filter(e => e.offsetParent && e.offsetHeight < 34).map(e => e.id || e.textContent)"
    )
    assert small == []
    name = shown(page)
    box = page.locator("#frame").bounding_box()
    page.touchscreen.tap(box["x"] + 0.4 * box["width"], box["y"] + 0.6 * box["height"])
    expect(page.locator("#question strong")).not_to_have_text(name)
    settled(page)
    (answer,) = session.answers("head")
    assert answer.yx == pytest.approx((0.6 * SIDE - 0.5, 0.4 * SIDE - 0.5), abs=0.5)
    expect(page.locator("#answer-right")).to_be_in_viewport()
    page.locator("#grid .tile").last.scroll_into_view_if_needed()
    expect(page.locator("#answer-right")).to_be_hidden()  # nobody answers what he does not see
    page.locator("#back").tap()
    expect(page.locator("#frame")).to_be_in_viewport()
    page.locator("#answer-hidden").tap()
    settled(page)
    assert sorted(kinds(session).values()) == ["here", "hidden"]
    assert page.evaluate(widths) == [390, 390]


def test_studio__shows_the_network(page):
    page.locator("#tab-network").click()
    expect(page.locator("#groups img")).to_be_visible(timeout=20_000)
    report = page.frame_locator("#report iframe")
    expect(report.locator("h1")).to_contain_text("Explanatory graph", timeout=20_000)
    expect(report.locator("#status")).not_to_be_empty()  # its scripts run
    page.locator("#tab-photo").click()
    expect(page.locator("#nodes img")).to_be_visible(timeout=20_000)
    page.locator(".methods summary").click()
    for name in ("grad_cam", "integrated_gradients", "occlusion", "saliency"):
        page.locator(f"#methods input[value={name}]").set_checked(name == "saliency")
    page.locator("#explain").click()
    expect(page.locator("#explanation img")).to_be_visible(timeout=20_000)
    page.locator("#decide").click()
    page.locator("#tab-label").click()  # and leaves that
    page.locator("#tab-photo").click()
    expect(page.locator("#explanation")).to_contain_text("Stopped")


def test_studio__ten_thousand_photos_scroll(studio, open_page, browser):
    """As if the server had them: only what is in view is on the page."""
    place, _ = studio
    count = 10_000
    context = browser.new_context(**DESKTOP)
    names = [f"{i:05d}.jpg" for i in range(count)]

    def state(route):
        said = route.fetch().json() | {"images": names, "sizes": [640, 480] * count}
        route.fulfill(json=said)

    def part(route):
        sure = [(7 * i) % 1000 for i in range(count)]
        said = route.fetch().json() | {
            "places": {"at": [5000] * (2 * count), "sure": sure, "seen": [1] * count}
        }
        route.fulfill(json=said)

    context.route("**/api/state", state)
    context.route(re.compile("/api/parts/[01]$"), part)
    context.route("**/photos/*/*", lambda route: route.fulfill(path="docs/images/favicon.svg"))
    page = open_page(place, context)
    expect(page.locator("#shown")).to_have_text("10,000 photos")
    assert page.locator(".tile").count() < 80
    page.locator("#grid-pane").evaluate("pane => { pane.scrollTop = 0; }")
    expect(page.locator("#tile-0")).to_be_in_viewport()
    assert page.locator(".tile").first.get_attribute("id") == "tile-0"
    page.locator("#grid-pane").evaluate("pane => { pane.scrollTop = pane.scrollHeight; }")
    expect(page.locator("#tile-9857")).to_be_in_viewport()  # (7 * 9857) % 1000 == 999
    assert page.locator(".tile").count() < 80
    page.locator("#sort").select_option("name")
    expect(page.locator("#tile-1")).to_be_in_viewport()
    took = page.evaluate(
        """async () => {
          const began = performance.now();
          document.getElementById("sort").value = "doubt";
          document.getElementById("sort").dispatchEvent(new Event("change"));
          await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
          return performance.now() - began;
        }"""
    )
    assert took < 1000  # milliseconds, on a machine that does other things as well
    context.close()
