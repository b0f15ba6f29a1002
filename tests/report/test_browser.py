"""The report in a real browser: what a reader sees and does, by mouse, keyboard and finger.

Every photo is plain magenta, so a node's picture is a spot of magenta on the canvas: what is drawn
is counted in screenshots.
"""

import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from explgraph.groups.grouping import group_places
from explgraph.report.writing import write_report
from tests.support.browsing import DESKTOP, PHONE, chromium
from tests.support.reporting import (
    BORDER_GROUP,
    HANDLER,
    NAMED_GROUP,
    NAMES,
    SCRIPT,
    SILENT,
    WING,
    magenta_source,
    reported_graph,
    reported_matches,
)

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
expect = playwright.expect

LINES = {"moves": ("child", 2), "made": ("parent", 4)}  # from which end, and how many
REPEAT, REPEATED = 31, 30  # nodes that lie in the same places


@pytest.fixture(scope="module")
def browser():
    with chromium(playwright) as browser:
        yield browser


@pytest.fixture(scope="module")
def world():
    graph = reported_graph()
    found = reported_matches(graph)
    yx = np.array(found.yx)
    yx[:, REPEAT] = yx[:, REPEATED]
    return graph, replace(found, yx=yx)


@pytest.fixture(scope="module")
def address(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(*world, magenta_source(), path)
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Open the report; at the end nothing may have been fetched, complained of, or run."""
    contexts, trouble = [], []

    def opened(which=address, **options):
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
            if route.request.url.partition("#")[0] == which.partition("#")[0]:
                route.continue_()
            else:
                trouble.append(f"fetched {route.request.url}")
                route.abort()

        context.route("**/*", judge)
        page.goto(which)
        expect(page.locator("#status")).not_to_be_empty()
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
    page.mouse.move(5, 5)  # a card under the pointer would be seen as well
    before = None
    for _ in range(30):
        page.wait_for_timeout(80)
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
    return [tuple((part.start + part.stop) / 2 for part in boxes[i]) for i in large]


def at_spot(page, spot):
    box = page.locator("#graph-canvas").bounding_box()
    return box["x"] + spot[1], box["y"] + spot[0]


def settle(page):
    """Let what was asked for be drawn: the page draws once for each frame of the screen."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def drawn(page):
    """The nodes in the drawing of the graph."""
    settle(page)
    return set(
        page.locator("#graph-canvas [data-node]").evaluate_all(
            "tiles => tiles.map(tile => Number(tile.dataset.node))"
        )
    )


def listed(page):
    """The nodes in the table, in its order."""
    settle(page)
    return page.locator("#node-list tr").evaluate_all("r => r.map(i => Number(i.dataset.node))")


def show_all(page):
    page.locator("#how-many").fill("3")


def choose(page, graph, node):
    page.locator("#search").fill(graph.node_id(node))
    page.locator(f'#node-list [data-node="{node}"] button').click()
    title = graph.names.get(node, graph.node_id(node))
    expect(page.locator("#panel-title")).to_have_text(title)


def lines_of(graph, kind, shown):
    """(child, parent) of the lines among the nodes shown, by a loop."""
    if kind == "moves":
        known = zip(graph.edge_child, graph.edge_parent, graph.edge_spread, strict=True)
        order = sorted(known, key=lambda edge: (edge[0], edge[2], edge[1]))
    else:
        effects = graph.effects
        order = list(zip(effects.child, effects.parent, effects.effect, strict=True))
    end, most = LINES[kind]
    taken, result = {}, []
    for child, parent, _ in order:
        if child in shown and parent in shown:
            key = int(child if end == "child" else parent)
            taken[key] = taken.get(key, 0) + 1
            if taken[key] <= most:
                result.append((int(child), int(parent)))
    return result


def family(lines, node, steps):
    result = {node}
    for source, target in ((0, 1), (1, 0)):
        at = {node}
        for _ in range(steps):
            at = {line[target] for line in lines if line[source] in at}
            result |= at
    return result


def test_report__draws_as_many_nodes_as_it_says(page):
    expect(page.locator("#status")).to_contain_text("72 nodes, all in the table below. 40 nodes")
    shown = drawn(page)
    assert len(shown) == 40
    wanted = 40 - (SILENT in shown)  # its picture is grey
    assert len(spots(page, wanted)) == wanted


def test_report__slider_changes_how_many_and_the_seats_come_first(page, world):
    graph, _ = world
    outside = [n for n in graph.top(72).tolist() if n % 5 != BORDER_GROUP]
    for step, wanted in enumerate((10, 20, 40)):
        page.locator("#how-many").fill(str(step))
        expect(page.locator("#how-many-value")).to_have_text(str(wanted))
        expect(page.locator("#status")).to_contain_text(f"{wanted} nodes drawn")
        assert drawn(page) == set(outside[:wanted])
    show_all(page)
    expect(page.locator("#status")).to_contain_text(f"{len(outside)} nodes drawn")


def test_report__search_by_filter_layer_and_name_finds_all_nodes(page, world):
    graph, _ = world
    search = page.locator("#search")
    ranks = {node: i + 1 for i, node in enumerate(graph.ranking().tolist())}
    for words, wanted in (
        ("3", [i for i in range(72) if graph.node_channel[i] == 3]),
        ("FEATURES.6 7", [45, 46, 47]),
        ("features.9/2/", [54, 55, 56]),
        ("alert(1)", [0]),
        ("хвост", [71]),
        (f"{WING} features.3", [i for i in range(24) if i % 5 == NAMED_GROUP]),
    ):
        search.fill(words)
        mine = sorted(ranks[n] for n in wanted)
        said = " and ".join(map(str, mine)) if len(mine) <= 3 else f"{mine[0]} to {mine[-1]}"
        verb = "matches, rank" if len(mine) == 1 else "match, ranks"
        expect(page.locator("#status")).to_contain_text(f"{len(mine)} {verb} {said}.")
        assert set(listed(page)) == set(wanted)
        assert drawn(page) == set(wanted)
    search.fill("nothing")
    expect(page.locator("#status")).to_have_text("No node matches.")
    expect(page.locator("#pages")).to_have_text("No node is like that.")
    page.locator("#clear-search").click()
    expect(page.locator("#status")).to_contain_text("72 nodes, all in the table")
    assert page.evaluate("document.activeElement.id") == "search"


def test_report__hover_shows_the_gallery(page, world):
    y, x = spots(page)[0]
    place = at_spot(page, (y, x))
    page.mouse.move(place[0] - 3, place[1])
    page.mouse.move(*place)
    image = page.locator(".card img")
    expect(image).to_be_visible()
    width, height = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    assert width == len(NAMES) * height
    expect(page.locator(".card")).to_contain_text("fires in")


@pytest.mark.parametrize("kind", ["moves", "made"])
def test_report__click_keeps_one_step_of_the_family_more_on_demand(page, world, kind):
    graph, _ = world
    page.locator(f"[name=kind][value={kind}]").check()
    show_all(page)
    expect(page.locator("#status")).to_contain_text("58 nodes drawn")
    shown = drawn(page)
    lines = lines_of(graph, kind, shown)
    expect(page.locator("#status")).to_contain_text(f"{len(lines)} lines")
    node = next(n for n in sorted(shown) if n // 24 == 1 and len(family(lines, n, 1)) > 2)
    page.locator(f'#graph-canvas [data-node="{node}"]').click()
    expect(page.locator("#clear")).to_be_visible()

    def bright():
        tiles = page.locator("#graph-canvas [data-node]:not(.dim)")
        return set(tiles.evaluate_all("t => t.map(i => Number(i.dataset.node))"))

    assert bright() == family(lines, node, 1)
    page.locator("#hops").select_option("2")
    assert bright() == family(lines, node, 2)
    page.locator("#hops").select_option("0")
    assert bright() == family(lines, node, 9)
    box = page.locator("#graph-canvas").bounding_box()
    page.mouse.click(box["x"] + 4, box["y"] + box["height"] / 2)
    expect(page.locator("#panel-title")).to_have_text("Nothing chosen")
    assert bright() == shown


def test_report__panel_tells_the_nodes_facts(page, world):
    graph, found = world
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
    expect(panel).to_contain_text(f"Strays by{graph.spread[7]:.0f} px")
    expect(panel).to_contain_text(f"Contrast{graph.contrast[7]:.2f}")
    expect(panel).to_contain_text(f"Group gain{graph.groups.node_gain[7]:.2f}")
    above = panel.locator(".links").filter(has_text="Moves with, above").locator("button")
    assert above.count() == len(graph.parents(7))
    edges = graph.edges[graph.edges["child"] == 7].sort_values("spread_px")
    for button, edge in zip(above.all(), edges.itertuples(), strict=True):
        assert graph.node_id(edge.parent) == button.get_attribute("title")
        assert f"steady within {edge.spread_px:.0f} px" in button.text_content()
    others = panel.locator(".links").filter(has_text="Other nodes of its filter")
    for other in (6, 8):
        expect(others).to_contain_text(graph.node_id(other))
    choose(page, graph, SILENT)
    expect(panel).to_contain_text("found in none of the photos")


def test_report__panel_tells_what_a_response_is_made_of(page, world):
    graph, _ = world
    choose(page, graph, 60)
    made = page.locator("#panel .links").filter(has_text="Is made of, below").locator("button")
    words = [button.text_content() for button in made.all()]
    assert [
        word[word.index("carries" if "carries" in word else "inhibits") :] for word in words
    ] == ["carries 30 %", "inhibits by 20 %", "carries 10 %", "carries 5 %"]
    children = graph.effects.child[graph.effects.parent == 60].tolist()
    assert [b.get_attribute("title") for b in made.all()] == [graph.node_id(c) for c in children]


def test_report__links_lead_to_other_nodes_also_hidden_ones(page, world):
    graph, _ = world
    page.locator("#how-many").fill("0")
    shown = sorted(drawn(page))
    node, parent = next((n, p) for n in shown for p in graph.parents(n).tolist() if p not in shown)
    page.locator(f'#graph-canvas [data-node="{node}"]').click()
    page.locator("#panel .links button").filter(has_text=graph.node_id(parent)).first.click()
    title = graph.names.get(parent, graph.node_id(parent))
    expect(page.locator("#panel-title")).to_have_text(title)
    assert page.evaluate("document.activeElement.id") == "panel-title"


def test_report__works_by_keyboard_alone(page, world):
    graph, _ = world
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "group-name"
    page.keyboard.press("Enter")
    expect(page.locator("#panel-title")).to_have_text("upper left")
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "true"
    page.keyboard.press("Escape")
    expect(page.locator("#panel-title")).to_have_text("Nothing chosen")
    page.locator("#node-list button").first.focus()
    order = listed(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    title = graph.names.get(order[2], graph.node_id(order[2]))
    expect(page.locator("#panel-title")).to_have_text(title)
    row = page.evaluate("Number(document.activeElement.closest('tr').dataset.node)")
    assert row == order[2]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for _ in range(18):  # to the next page of the table
        page.keyboard.press("ArrowDown")
    expect(page.locator("#pages")).to_have_text("21 to 40 of 72 nodes")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#pages")).to_have_text("1 to 20 of 72 nodes")
    page.keyboard.press("Escape")
    expect(page.locator("#panel-title")).to_have_text("Nothing chosen")
    page.locator("#how-many").focus()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#status")).to_contain_text("20 nodes drawn")


def test_report__skip_link_leads_to_the_table(page):
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#node-table') !== null")


def test_report__buttons_zoom_and_move(page):
    page.locator("#how-many").fill("0")
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
    page.locator("#how-many").fill("0")
    page.locator("#zoom-out").click()
    before = np.array(spots(page))
    page.locator("#graph-canvas").scroll_into_view_if_needed()
    box = page.locator("#graph-canvas").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(middle[0] + 20, middle[1] + 10, steps=4)
    page.mouse.move(middle[0] + 30, middle[1] + 15, steps=4)
    page.mouse.up()
    moved = np.array(spots(page))
    np.testing.assert_allclose(moved.mean(axis=0) - before.mean(axis=0), (15, 30), atol=4)
    expect(page.locator("#panel-title")).to_have_text("Nothing chosen")  # it was no click
    page.locator("#reset").click()
    before = np.array(spots(page))
    at = page.evaluate("scrollY")
    page.keyboard.down("Control")
    page.mouse.move(*middle)
    page.mouse.wheel(0, 200)
    page.keyboard.up("Control")
    assert np.ptp(np.array(spots(page)), axis=0)[1] < 0.95 * np.ptp(before, axis=0)[1]
    assert page.evaluate("scrollY") == at
    page.mouse.move(*middle)
    page.mouse.wheel(0, 100)
    for _ in range(40):
        if page.evaluate("scrollY") > at + 50:
            break
        page.wait_for_timeout(50)
    assert page.evaluate("scrollY") > at + 50


def photo_frame(page):
    box = page.locator("#photo-canvas").bounding_box()
    return box["x"] + 1, box["y"] + 1, box["width"] - 2, box["height"] - 2


def to_shown(photo, yx):
    """Of the third photo a box is shown."""
    y, x = yx
    return ((y * 120 - 20) / 100, (x * 200 - 60) / 100) if photo == 2 else (y, x)


def choose_photo(page, photo):
    names = [image.get_attribute("alt") for image in page.locator("#photo-picker img").all()]
    place = next(i for i, name in enumerate(names) if name.startswith(NAMES[photo]))
    page.locator("#photo-picker input").nth(place).check()
    expect(page.locator("#photo-text")).to_contain_text(NAMES[photo])


@pytest.mark.parametrize("photo", [0, 2])
def test_report__photo_shows_a_labelled_place_for_each_group(page, world, photo):
    graph, found = world
    choose_photo(page, photo)
    places = group_places(graph, found)
    left, top, width, height = photo_frame(page)
    for number in range(3):
        ring = page.locator(f'#photo-canvas g[data-place="{number}"] .over').bounding_box()
        y, x = to_shown(photo, places.yx[photo, number].tolist())
        assert ring["x"] + ring["width"] / 2 == pytest.approx(left + x * width, abs=1.5)
        assert ring["y"] + ring["height"] / 2 == pytest.approx(top + y * height, abs=1.5)
    labels = page.locator("#photo-canvas text").all_text_contents()
    assert labels == ["upper left", WING, "lower right"]
    assert page.locator("#photo-canvas .mark").count() == 0
    page.locator('#photo-canvas g[data-place="1"]').dispatch_event("click")
    expect(page.locator("#panel-title")).to_have_text(WING)
    assert page.locator("#photo-canvas text").all_text_contents() == [WING]
    assert page.locator("#photo-canvas .mark").count() > 0  # its nodes


def test_report__a_row_under_the_pointer_shows_its_place_alone(page):
    def opacities():
        return page.locator("#photo-canvas g[data-place]").evaluate_all(
            "p => p.map(i => getComputedStyle(i).opacity)"
        )

    assert opacities() == ["1", "1", "1"]
    page.locator('.row[data-group="1"] .who').hover()
    assert opacities() == ["0.15", "1", "0.15"]
    page.locator("h1").hover()
    assert opacities() == ["1", "1", "1"]


@pytest.mark.parametrize("photo", [0, 2])
def test_report__photo_shows_nodes_where_they_are_once_asked(page, world, photo):
    graph, found = world
    choose_photo(page, photo)
    page.locator("#show-nodes").check()
    shown = drawn(page)
    marks = page.locator("#photo-canvas .mark")
    fires = {n for n in shown if found.score[photo, n] >= graph.score[n] / 2 and n != SILENT}
    assert set(marks.evaluate_all("m => m.map(i => Number(i.dataset.node))")) == fires
    left, top, width, height = photo_frame(page)
    for node in sorted(fires)[:6]:
        box = page.locator(f'#photo-canvas .mark[data-node="{node}"]').bounding_box()
        y, x = to_shown(photo, found.yx[photo, node].tolist())
        assert box["x"] + box["width"] / 2 == pytest.approx(left + x * width, abs=2.5)
        assert box["y"] + box["height"] / 2 == pytest.approx(top + y * height, abs=2.5)
    node = min(fires)
    page.locator(f'#photo-canvas .mark[data-node="{node}"]').dispatch_event("click")
    title = graph.names.get(node, graph.node_id(node))
    expect(page.locator("#panel-title")).to_have_text(title)
    said = page.locator("#photo-text").text_content().partition(" scores ")[2]
    assert float(said.split()[0]) == pytest.approx(found.score[photo, node], abs=0.01)


def test_report__mirrored_photos_are_said_to_be(page):
    text, radios = page.locator("#photo-text"), page.locator("#photo-picker input")
    said = []
    for i in range(4):
        radios.nth(i).check()
        said.append("sees this photo mirrored" in text.text_content())
    names = [image.get_attribute("alt") for image in page.locator("#photo-picker img").all()]
    assert said == [NAMES.index(name.removesuffix(", mirrored")) % 2 == 1 for name in names]
    assert said == [name.endswith(", mirrored") for name in names]


def test_report__chips_rows_and_cells_filter_by_group(page):
    members = [n for n in range(72) if n % 5 == 2]
    ways = (
        page.locator('#chips [data-group="2"]'),
        page.locator('.row[data-group="2"] .group-name'),
        page.locator("#group-graph .cell").filter(has_text="lower right, features.6"),
    )
    for way in ways:
        way.dispatch_event("click")
        expect(page.locator("#panel-title")).to_have_text("lower right")
        expect(page.locator("#status")).to_contain_text("14 nodes of lower right")
        assert drawn(page) == set(members)
        assert set(listed(page)) == set(members)
        pressed = page.locator('#chips [aria-pressed="true"]')
        expect(pressed).to_have_text("lower right 14")
        expect(page.locator(".row.chosen")).to_have_attribute("data-group", "2")
        page.locator("#clear").click()
        expect(page.locator("#status")).to_contain_text("72 nodes, all")
    page.locator('#chips [data-group="-1"]').click()
    assert drawn(page) == {n for n in range(72) if n % 5 == 4}
    page.locator('#chips [data-group="null"]').click()
    expect(page.locator("#status")).to_contain_text("72 nodes, all")


def test_report__rows_show_their_groups_nodes_and_lead_to_them(page, world):
    graph, _ = world
    rows = page.locator(".row")
    expect(rows).to_have_count(4)
    expect(page.locator("details .row")).to_have_attribute("data-group", str(BORDER_GROUP))
    expect(page.locator("details .row")).not_to_be_visible()  # folded away
    patch = rows.nth(2).locator("[data-node]").first
    node = int(patch.get_attribute("data-node"))
    patch.click()
    expect(page.locator("#panel-title")).to_have_text(graph.names.get(node, graph.node_id(node)))
    expect(page.locator(".row.chosen")).to_have_attribute("data-group", "2")


def test_report__the_graph_of_groups_has_cells_and_lines_of_a_kind(page):
    cells = page.locator("#group-graph .cell")
    expect(cells).to_have_count(9)  # three groups in three layers; the border's is folded away
    counts = [int(text) for text in page.locator("#group-graph .cell > text").all_text_contents()]
    wanted = [
        sum(n % 5 == g for n in range(24 * k, 24 * k + 24)) for k in range(3) for g in range(3)
    ]
    assert counts == wanted

    def words():
        return page.locator("#group-graph path title").all_text_contents()

    page.locator("[name=kind][value=moves]").check()
    assert words()
    assert all("steady within" in text for text in words())
    page.locator("[name=kind][value=made]").check()
    made = words()
    assert all("carries" in text or "inhibits" in text for text in made)
    assert any(text.startswith(f"{WING} to ") for text in made)


def test_report__border_and_repeats_can_be_hidden(page, world):
    graph, _ = world
    show_all(page)
    everyone = drawn(page)
    share = graph.mu / 224
    border = {n for n in range(72) if min(share[n].min(), 1 - share[n].max()) < 0.1}
    assert everyone & border
    assert {REPEAT, REPEATED} <= everyone
    page.locator("#hide-border").check()
    assert drawn(page) == everyone - border
    page.locator("#hide-border").uncheck()
    page.locator("#hide-repeats").check()
    expect(page.locator("#status")).to_contain_text("71 nodes")
    order = graph.top(72).tolist()
    repeats = max(REPEAT, REPEATED, key=order.index)
    assert drawn(page) == everyone - {repeats}


def test_report__the_address_names_what_is_chosen_and_brings_it_back(page, world, open_page):
    graph, _ = world
    choose(page, graph, 41)
    assert page.evaluate("location.hash") == "#node=features.6%2F5%2F2"
    page.locator('#chips [data-group="2"]').click()
    assert page.evaluate("location.hash") == "#group=2"
    page.keyboard.press("Escape")
    page.locator("#search").fill("")
    assert page.evaluate("location.hash") == ""
    # What is drawn before the page hears of it does not take it back.
    page.evaluate("""() => {
      location.hash = "group=1&node=features.6/5/2"; // 41 is of group 1
      document.getElementById("hops").dispatchEvent(new Event("input"));
    }""")
    expect(page.locator("#panel-title")).to_have_text(graph.node_id(41))
    expect(page.locator("#status")).to_contain_text(f"15 nodes of {WING}")
    again = open_page(page.url)
    expect(again.locator("#panel-title")).to_have_text(graph.node_id(41))
    expect(again.locator("#status")).to_contain_text(f"15 nodes of {WING}")
    nobody = open_page(page.url.partition("#")[0] + "#node=nobody")
    expect(nobody.locator("#panel-title")).to_have_text("Nothing chosen")


def test_report__table_has_all_nodes_sorted_as_asked(world, open_page, tmp_path):
    graph, found = world
    path = tmp_path / "few.html"
    write_report(graph, found, magenta_source(), path, n_nodes=6)
    page = open_page(path.as_uri())
    gain = graph.groups.node_gain
    ranks = {node: i for i, node in enumerate(graph.ranking().tolist())}
    order = sorted(range(72), key=lambda n: (-round(float(gain[n]), 4), ranks[n]))
    assert listed(page) == order[:20]
    expect(page.locator("#pages")).to_have_text("1 to 20 of 72 nodes")
    for start in (20, 40, 60):
        page.locator("#next").click()
        assert listed(page) == order[start : start + 20]
    assert page.locator("#next").is_disabled()
    for key, falling in (("score", graph.score), ("contrast", graph.contrast)):
        page.locator(f'[data-key="{key}"] button').click()
        expect(page.locator(f'[data-key="{key}"]')).to_have_attribute("aria-sort", "descending")
        expect(page.locator("[aria-sort]")).to_have_count(1)
        shown = falling[listed(page)]
        assert (np.diff(shown) <= 1e-3).all()
        assert shown[0] == falling.max()
        page.locator(f'[data-key="{key}"] button').click()
        expect(page.locator(f'[data-key="{key}"]')).to_have_attribute("aria-sort", "ascending")
        assert falling[listed(page)][0] == falling.min()
    without = next(n for n in range(72) if n not in drawn(page) and n != SILENT)
    page.locator("#search").fill(graph.node_id(without))
    if without not in drawn(page):
        page.locator(f'#node-list [data-node="{without}"] button').click()
        expect(page.locator("#panel")).to_contain_text("No picture of it on this page")
        marks = page.locator(f'#photo-canvas .mark[data-node="{without}"]')
        expect(marks).to_have_count(1)


def test_report__names_typed_in_the_page_are_read_by_rename(page, world, tmp_path):
    graph, _ = world
    expect(page.locator("#save-names")).not_to_be_visible()
    choose(page, graph, 41)
    page.locator("#own-name").fill("the <b>eye</b>")
    page.locator("#own-name").press("Enter")
    expect(page.locator("#panel-title")).to_have_text("the <b>eye</b>")
    page.locator("#search").fill("")
    page.locator('.row[data-group="0"] .group-name').click()
    page.locator("#own-name").fill("beak")
    page.locator("#own-name").press("Enter")
    expect(page.locator('.row[data-group="0"] .group-name')).to_have_text("beak")
    expect(page.locator('#chips [data-group="0"]')).to_contain_text("beak")
    expect(page.locator("header .answer")).to_contain_text("beak")
    assert "beak" in page.locator("#photo-canvas text").all_text_contents()
    with page.expect_download() as download:
        page.locator("#save-names").click()
    path = tmp_path / download.value.suggested_filename
    assert path.name == "names.json"
    download.value.save_as(path)
    assert set(json.loads(path.read_text(encoding="utf-8"))) == {"nodes", "groups"}
    renamed = graph.rename(path)
    assert renamed.names == {**graph.names, 41: "the <b>eye</b>"}
    assert renamed.groups.names == ("beak", WING, "", "")


def luminance(color):
    return np.mean([int(part) for part in color[4:-1].split(",")])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_report__follows_the_color_scheme(open_page, scheme):
    page = open_page(**DESKTOP, color_scheme=scheme)
    is_light = scheme == "light"
    for selector, style in (
        ("body", "backgroundColor"),
        ("#graph-canvas", "backgroundColor"),
        ("#search", "backgroundColor"),
        ("#graph-canvas .band", "fill"),
    ):
        color = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{style}")
        assert (luminance(color) > 200) == is_light
    for selector, style in (
        ("h1", "color"),
        ("#graph-canvas text.layer", "fill"),
        ("#group-graph .heading", "fill"),
        ("#node-list td", "color"),
    ):
        color = page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).{style}")
        assert (luminance(color) < 100) == is_light
    corner = seen(page)[4, 4]
    assert (corner.mean() > 200) == is_light


def test_report__what_users_wrote_is_shown_and_never_run(page, world):
    graph, _ = world
    show_all(page)
    for node, name in ((0, SCRIPT), (30, HANDLER)):
        choose(page, graph, node)
        assert page.locator("#panel-title").inner_text() == name
        expect(page.locator("#status")).to_contain_text("1 matches")
        (spot,) = spots(page)
        place = at_spot(page, spot)
        page.mouse.move(place[0] - 3, place[1])
        page.mouse.move(*place)
        expect(page.locator(".card")).to_contain_text(name)
        page.mouse.move(5, 5)
        page.locator("#search").fill("")
        expect(page.locator("#status")).to_contain_text("72 nodes, all")
    assert page.locator('img[src="x"]').count() == 0


def test_report__asks_for_nothing_even_where_the_browser_would_let_it(open_page):
    # The page's own policy would stop a request before the route sees it.
    page = open_page(**DESKTOP, bypass_csp=True)
    page.locator("#how-many").fill("0")
    page.locator("#photo-picker input").nth(1).check()
    wanted = len(drawn(page) - {SILENT})
    assert len(spots(page, wanted)) == wanted


def test_report__of_a_graph_without_groups_works_as_well(world, open_page, tmp_path, rng):
    graph, _ = world
    path, names = tmp_path / "plain.html", tuple("abcdefghijkl")
    plain = replace(graph, groups=None, contrast=None, effects=None)
    found = replace(reported_matches(plain, names), yx=rng.uniform(0, 1, (12, 72, 2)))
    write_report(plain, found, magenta_source(names), path)
    page = open_page(path.as_uri())
    assert page.locator(".row").count() == page.locator("#group-graph").count() == 0
    assert len(drawn(page)) == 40
    assert listed(page) == graph.ranking()[:20].tolist()
    page.locator("#node-list button").first.click()
    expect(page.locator("#clear")).to_be_visible()


def test_report__fits_a_phone(open_page):
    page = open_page(**PHONE)
    widths = "[document.documentElement.scrollWidth, innerWidth]"
    assert page.evaluate(widths) == [390, 390]
    expect(page.locator("#status")).to_contain_text("20 nodes drawn")
    spot = spots(page)[3]
    page.locator("#graph-canvas").scroll_into_view_if_needed()
    page.touchscreen.tap(*at_spot(page, spot))
    bar = page.locator("#chosen-bar")
    expect(bar).to_be_in_viewport()
    expect(bar.locator("strong")).to_have_text(page.locator("#panel-title").inner_text())
    bar.locator("a").click()
    expect(page.locator("#panel-title")).to_be_in_viewport()
    page.locator("#bar-clear").click()
    expect(bar).not_to_be_visible()
    page.locator(".row .group-name").nth(1).tap()
    expect(bar.locator("strong")).to_have_text(WING)
    assert page.evaluate(widths) == [390, 390]
    small = page.evaluate(
        "[...document.querySelectorAll('button, input[type=search], input[type=text], select')]"
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
