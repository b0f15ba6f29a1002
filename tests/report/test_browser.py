"""The report in a real browser: what a reader sees and does, by mouse, keyboard and finger.

Every photo is plain magenta, so a node's picture is a spot of magenta on the canvas: what is drawn
is counted in screenshots.
"""

import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from explgraph.drawing.look import COLORS
from explgraph.report.writing import write_report
from tests.support.reporting import (
    HANDLER,
    NAMES,
    SCRIPT,
    SILENT,
    magenta_source,
    reported_graph,
    reported_matches,
)

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
expect = playwright.expect

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
DESKTOP = {"viewport": {"width": 1400, "height": 900}}
PARENTS = 3


def chromium_path():
    known = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    found = [path for name in known if (path := shutil.which(name))]
    return os.environ.get("EXPLGRAPH_CHROMIUM") or next(iter(found), None)


@pytest.fixture(scope="module")
def browser():
    path = chromium_path()
    if path is None:
        pytest.skip("Chromium is not installed: name it in EXPLGRAPH_CHROMIUM")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def world():
    graph = reported_graph()
    return graph, reported_matches(graph)


@pytest.fixture(scope="module")
def address(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(*world, magenta_source(), path)
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Open the report; at the end nothing may have been fetched, complained of, or run."""
    contexts, trouble = [], []

    def opened(**options):
        context = browser.new_context(**(options or DESKTOP))
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
        page.on(
            "console",
            lambda said: trouble.append(said.text) if said.type in ("error", "warning") else None,
        )

        def judge(route):
            if route.request.url == address:
                route.continue_()
            else:
                trouble.append(f"fetched {route.request.url}")
                route.abort()

        context.route("**/*", judge)
        page.goto(address)
        expect(page.locator("#status")).not_to_be_empty()
        expect(page.locator("#photo-text")).not_to_be_empty()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert trouble == []


@pytest.fixture
def page(open_page):
    return open_page()


def seen(page, selector="#graph-canvas"):
    """The pixels of an element, once they no longer change."""
    page.mouse.move(5, 5)  # a gallery under the pointer would be seen as well
    before = None
    for _ in range(30):
        page.wait_for_timeout(120)
        png = page.locator(selector).screenshot(animations="disabled")
        if png == before:
            break
        before = png
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def spots(page, wanted=None):
    """(y, x) middles of the bright magenta spots in the drawing of the graph.

    If it is known how many there should be, they are given a few seconds to be drawn.
    """
    for _ in range(8):
        red, green, blue = np.moveaxis(seen(page), -1, 0)
        labels, count = ndimage.label((red > 180) & (blue > 180) & (green < 90))
        boxes = ndimage.find_objects(labels)
        large = [i for i in range(count) if (labels[boxes[i]] == i + 1).sum() > 30]
        if wanted is None or len(large) == wanted:
            break
    middles = [tuple((part.start + part.stop) / 2 for part in boxes[i]) for i in large]
    return [(y, x) for y, x in middles]


def at_spot(page, spot):
    box = page.locator("#graph-canvas").bounding_box()
    return box["x"] + spot[1], box["y"] + spot[0]


def listed(page):
    return [text.strip() for text in page.locator("#node-list option").all_text_contents()]


def shown_nodes(page):
    values = page.locator("#node-list option").evaluate_all("o => o.map(i => i.value)")
    return {int(value) for value in values}


def choose(page, graph, node):
    page.locator("#node-list").select_option(str(node))
    title = graph.names.get(node, graph.node_id(node))
    expect(page.locator("#panel-title")).to_have_text(title)


def family(graph, node, shown):
    """A node and what the strongest three lines up from each node shown lead to and from."""
    up = {}
    for child in shown:
        mine = [
            (-graph.edge_coactivation[e], graph.edge_parent[e])
            for e in np.flatnonzero(graph.edge_child == child)
            if graph.edge_parent[e] in shown
        ]
        up[child] = [int(parent) for _, parent in sorted(mine)[:PARENTS]]
    down = {n: [c for c in shown if n in up[c]] for n in shown}
    result = {node}
    for ways in (up, down):
        todo = [node]
        while todo:
            todo = [n for at in todo for n in ways[at]]
            result.update(todo)
    return result


def test_report__draws_as_many_nodes_as_it_says(page):
    expect(page.locator("#status")).to_contain_text("Showing 60 of 72 nodes")
    wanted = 60 - (SILENT in shown_nodes(page))  # its picture is grey
    assert len(spots(page, wanted)) == wanted


def test_report__slider_changes_how_many(page, world):
    slider = page.locator("#per-layer")
    counts = []
    for per_layer in (5, 10, 20, 24):
        slider.fill(str([5, 10, 20, 24].index(per_layer)))
        expect(page.locator("#status")).to_contain_text(f"Showing {3 * per_layer} of 72 nodes")
        expect(page.locator("#per-layer-value")).to_have_text(str(per_layer))
        assert len(listed(page)) == 3 * per_layer
        counts.append(len(spots(page, 3 * per_layer - (per_layer == 24))))
    assert counts[:2] == [15, 30]
    assert counts[-1] == 71  # all but the one that is found in no photo


def test_report__least_score_leaves_out_weak_nodes(page, world):
    graph, _ = world
    page.locator("#per-layer").fill("3")
    slider = page.locator("#least-score")
    step = float(slider.get_attribute("step"))
    slider.fill(str(30 * step))
    wanted = int(np.sum(graph.score >= float(slider.input_value())))
    assert 5 < wanted < 70
    expect(page.locator("#status")).to_contain_text(f"Showing {wanted} of 72 nodes")
    assert len(listed(page)) == wanted
    silent = graph.score[SILENT] >= float(slider.input_value())
    assert len(spots(page, wanted - silent)) == wanted - silent


def test_report__search_by_filter_layer_and_name(page, world):
    graph, _ = world
    search = page.locator("#search")
    for words, wanted in (
        ("3", [i for i in range(72) if graph.node_channel[i] == 3]),
        ("FEATURES.6 7", [45, 46, 47]),
        ("features.9/2/", [54, 55, 56]),
        ("alert(1)", [0]),
        ("хвост", [71]),
        ("nothing", []),
    ):
        search.fill(words)
        expect(page.locator("#status")).to_contain_text(f"Showing {len(wanted)} of 72 nodes")
        ids = [graph.node_id(i) for i in graph.ranking().tolist() if i in wanted]
        expect(page.locator("#node-list option")).to_contain_text(ids)
        assert len(listed(page)) == len(wanted)
        assert len(spots(page, len(wanted))) == len(wanted)


def test_report__hover_shows_the_gallery(page, world):
    page.locator("#per-layer").fill("0")
    y, x = spots(page)[0]
    place = at_spot(page, (y, x))
    page.mouse.move(place[0] - 3, place[1])
    page.mouse.move(*place)
    tooltip = page.locator(".bk-Tooltip img")
    expect(tooltip).to_be_visible()
    width, height = tooltip.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert width == len(NAMES) * height
    expect(page.locator(".bk-Tooltip")).to_contain_text("Best scores:")


def test_report__click_keeps_the_family_and_a_click_beside_clears(page, world):
    graph, _ = world
    page.locator("#per-layer").fill("1")
    before = spots(page)
    page.mouse.click(*at_spot(page, before[12]))
    expect(page.locator("#clear")).to_be_visible()
    node = int(page.locator("#node-list").input_value())
    shown = shown_nodes(page)
    assert len(shown) == 30
    kin = family(graph, node, shown) - {SILENT}
    after = spots(page, len(kin))
    assert 1 < len(kin) < 29
    assert len(after) == len(kin)
    y, x = before[12]
    assert min(abs(y - a) + abs(x - b) for a, b in after) < 4  # it is one of them
    box = page.locator("#graph-canvas").bounding_box()
    page.mouse.click(box["x"] + 6, box["y"] + box["height"] / 2)
    expect(page.locator("#panel-title")).to_have_text("No node chosen")
    assert len(spots(page, len(before))) == len(before)


def test_report__panel_tells_the_nodes_facts(page, world):
    graph, found = world
    page.locator("#per-layer").fill("3")
    choose(page, graph, 7)
    panel = page.locator("#panel")
    expect(panel).to_contain_text("filter 2 of layer features.3")
    best = np.argsort(-found.score[:, 7])
    patches = panel.locator(".gallery [role=img]")
    expect(patches).to_have_count(4)
    labels = [patch.get_attribute("aria-label") for patch in patches.all()]
    for label, photo in zip(labels, best, strict=True):
        start, _, rest = label.partition(", score ")
        score, _, ending = rest.partition(", ")
        assert start == f"Patch of {NAMES[photo]}"
        assert float(score) == pytest.approx(found.score[photo, 7], abs=0.006)
        assert ending == ("mirrored" if found.mirrored[photo] else "")
    fires = np.mean(found.score[:, 7] >= graph.score[7] / 2)
    expect(panel).to_contain_text(f"Fires in{100 * fires:.0f} % of 4 photos")
    expect(panel).to_contain_text(f"Sure to{graph.spread[7]:.0f} px")
    groups = panel.locator(".links")
    assert groups.nth(0).locator("button").count() == len(graph.parents(7))
    assert groups.nth(2).locator("button").count() == 2
    for others in (6, 8):
        expect(groups.nth(2)).to_contain_text(graph.node_id(others))
    choose(page, graph, SILENT)
    expect(panel).to_contain_text("found in none of the photos")


def test_report__links_lead_to_other_nodes_also_hidden_ones(page, world):
    graph, _ = world
    page.locator("#per-layer").fill("0")
    shown = sorted(shown_nodes(page))
    outside = [(n, p) for n in shown for p in graph.parents(n).tolist() if p not in shown]
    node, parent = outside[0]
    choose(page, graph, node)
    page.locator("#panel .links button").filter(has_text=graph.node_id(parent)).first.click()
    expect(page.locator("#panel .identity")).to_contain_text(graph.node_id(parent).split("/")[0])
    assert page.locator("#node-list").input_value() == str(parent)
    assert page.evaluate("document.activeElement.id") == "panel-title"


def test_report__works_by_keyboard_alone(page, world):
    graph, _ = world
    order = []
    for _ in range(12):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert order[:4] == ["skip", "per-layer", "least-score", "search"]
    assert order[-2:] == ["reset", "node-list"]
    assert page.evaluate("document.activeElement.shadowRoot") is None
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    second = [node for node in graph.ranking().tolist() if node in shown_nodes(page)][1]
    title = graph.names.get(second, graph.node_id(second))
    expect(page.locator("#panel-title")).to_have_text(title)
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Escape")
    expect(page.locator("#panel-title")).to_have_text("No node chosen")
    for _ in range(9):
        page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.id") == "least-score"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#status")).to_contain_text("Showing 30 of 72 nodes")


def test_report__skip_link_leads_to_the_list(page):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#clear")).to_be_visible()


def test_report__buttons_zoom_and_move(page):
    page.locator("#per-layer").fill("0")
    before = np.array(spots(page))
    page.locator("#zoom-out").click()
    small = np.array(spots(page))
    np.testing.assert_allclose(np.ptp(small, axis=0) * 1.4, np.ptp(before, axis=0), rtol=0.02)
    page.locator("#move-right").click()
    moved = np.array(spots(page))
    width = seen(page).shape[1]
    np.testing.assert_allclose(small[:, 1].mean() - moved[:, 1].mean(), width / 4, rtol=0.05)
    page.locator("#reset").click()
    np.testing.assert_allclose(np.array(spots(page)), before, atol=1)


def test_report__drag_moves_and_ctrl_wheel_zooms_but_the_wheel_scrolls(page):
    page.locator("#per-layer").fill("0")
    before = np.array(spots(page))
    box = page.locator("#graph-canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 20, middle[1] + 10, steps=4)
    page.mouse.move(middle[0] + 40, middle[1] + 20, steps=4)
    page.mouse.up()
    moved = np.array(spots(page))
    np.testing.assert_allclose(moved.mean(axis=0) - before.mean(axis=0), (20, 40), atol=4)
    page.locator("#reset").click()
    page.keyboard.down("Control")
    page.mouse.move(*middle)
    page.mouse.wheel(0, 200)
    page.keyboard.up("Control")
    assert np.ptp(np.array(spots(page)), axis=0)[1] < 0.95 * np.ptp(before, axis=0)[1]
    assert page.evaluate("scrollY") == 0
    page.mouse.move(*middle)
    page.mouse.wheel(0, 300)
    expect(page.locator("header")).not_to_be_in_viewport()


@pytest.mark.parametrize("photo", [0, 2])
def test_report__photo_shows_nodes_where_they_are(page, world, photo):
    graph, found = world
    page.locator("#per-layer").fill("3")
    names = [image.get_attribute("alt") for image in page.locator("#photo-picker img").all()]
    place = next(i for i, name in enumerate(names) if name.startswith(NAMES[photo]))
    page.locator("#photo-picker input").nth(place).check()
    expect(page.locator("#photo-text")).to_contain_text(f"{NAMES[photo]}: 71 of 72 nodes shown")
    for node in (10, 40, 60):
        choose(page, graph, node)
        pixels = seen(page, "#photo-canvas")
        height, width = pixels.shape[0] - 2, pixels.shape[1] - 2  # without the border
        y, x = found.yx[photo, node]
        if photo == 2:  # the box
            y, x = (y * 120 - 20) / 100, (x * 200 - 60) / 100
        color = [int(COLORS[graph.node_layer[node]][i : i + 2], 16) for i in (1, 3, 5)]
        shown = pixels[1 + round(y * height), 1 + round(x * width)]
        if 0.02 < y < 0.98 and 0.02 < x < 0.98:
            np.testing.assert_allclose(shown, color, atol=30)
        said = page.locator("#photo-text").text_content().partition(" scores ")[2]
        assert float(said.split()[0]) == pytest.approx(found.score[photo, node], abs=0.006)


def test_report__mirrored_photos_are_said_to_be(page):
    text, radios = page.locator("#photo-text"), page.locator("#photo-picker input")
    said = []
    for i in range(4):
        radios.nth(i).check()
        said.append("sees this photo mirrored" in text.text_content())
    names = [image.get_attribute("alt") for image in page.locator("#photo-picker img").all()]
    assert said == [NAMES.index(name.removesuffix(", mirrored")) % 2 == 1 for name in names]
    assert said == [name.endswith(", mirrored") for name in names]


def test_report__a_click_on_the_photo_chooses(page, world):
    graph, found = world
    page.locator("#per-layer").fill("3")
    choose(page, graph, 60)  # brought to the front, with its family
    first = page.locator("#photo-picker img").first.get_attribute("alt").removesuffix(", mirrored")
    photo = NAMES.index(first)
    page.keyboard.press("Escape")
    page.locator("#search").fill(graph.node_id(60))
    expect(page.locator("#status")).to_contain_text("Showing 1 of 72")
    canvas = page.locator("#photo-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    y, x = found.yx[photo, 60].tolist()
    assert photo != 2  # not the box
    page.mouse.click(box["x"] + 1 + x * (box["width"] - 2), box["y"] + 1 + y * (box["height"] - 2))
    expect(page.locator("#panel-title")).to_have_text(graph.node_id(60))


def test_report__what_users_wrote_is_shown_and_never_run(page, world):
    graph, _ = world
    page.locator("#per-layer").fill("3")
    for node, name in ((0, SCRIPT), (30, HANDLER)):
        choose(page, graph, node)
        assert page.locator("#panel-title").inner_text() == name
        page.locator("#search").fill(graph.node_id(node))
        expect(page.locator("#status")).to_contain_text("Showing 1 of 72")
        (spot,) = spots(page)
        place = at_spot(page, spot)
        page.mouse.move(place[0] - 3, place[1])
        page.mouse.move(*place)
        expect(page.locator(".bk-Tooltip")).to_contain_text(name)
        page.mouse.move(5, 5)
        page.locator("#search").fill("")
        expect(page.locator("#status")).to_contain_text("Showing 72 of 72")
    assert page.locator('img[src="x"]').count() == 0


def test_report__asks_for_nothing_even_where_the_browser_would_let_it(open_page):
    # The page's own policy would stop a request before the route sees it.
    page = open_page(**DESKTOP, bypass_csp=True)
    page.locator("#per-layer").fill("3")
    page.locator("#photo-picker input").nth(1).check()
    assert len(spots(page, 71)) == 71


def test_report__fits_a_phone(open_page):
    page = open_page(**PHONE)
    widths = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths == [390, 390]
    expect(page.locator("#status")).to_contain_text("Showing 30 of 72 nodes")
    spot = spots(page)[3]
    page.locator("#graph-canvas").scroll_into_view_if_needed()
    page.touchscreen.tap(*at_spot(page, spot))
    expect(page.locator("#clear")).to_be_visible()
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [390, 390]
    small = page.evaluate(
        "[...document.querySelectorAll('button, input[type=search], select')]"
        ".filter(e => e.offsetParent && e.offsetHeight < 30).map(e => e.id || e.textContent)"
    )
    assert small == []


def test_report__a_finger_on_the_drawing_scrolls_the_page(open_page):
    page = open_page(**PHONE)
    page.locator("#graph-canvas").scroll_into_view_if_needed()
    before = page.evaluate("scrollY")
    box = page.locator("#graph-canvas").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = page.context.new_cdp_session(page)
    steps = [("touchStart", [{"x": x, "y": y}])]
    steps += [("touchMove", [{"x": x, "y": y - 20 * i}]) for i in range(1, 11)]
    for kind, points in [*steps, ("touchEnd", [])]:
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert page.evaluate("scrollY") > before + 100
