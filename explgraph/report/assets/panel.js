// The panel with the facts of a node. Text is set as text: names of users are never read as HTML.

const MOST_LINKS = 10; // parents, or children, that the panel leads to

/** Make an element with attributes and children. */
function element(tag, attributes = {}, ...children) {
  const result = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) result.setAttribute(key, value);
  result.append(...children);
  return result;
}

/** Return a number with what it counts. */
const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

/** Return an id without the beginning of a long one: its end tells nodes apart. */
const shortId = (id) => (id.length > 34 ? `…${id.slice(-33)}` : id);

const percent = (share) => `${Math.round(100 * share)} %`;
const plusMinus = (value, spread) => `${value.toFixed(2)} ± ${spread.toFixed(2)}`;

/** Say in a line what a node is. */
function nodeLine({ nodes }, node) {
  const identity = nodes.name[node] ? `${nodes.id[node]}, ` : "";
  return `${identity}score ${nodes.score[node].toFixed(2)}, fires in ${percent(nodes.fires[node])}`;
}

/** Return the columns from which Bokeh shows the galleries of some nodes under the pointer. */
function galleryColumns({ nodes }, some) {
  return {
    strip: some.map((node) => nodes.strip[node]),
    strip_display: some.map((node) => (nodes.strip[node] ? "block" : "none")),
    scores: some.map((node) => nodes.patches[node].map(([, score]) => score.toFixed(2)).join(" · ")),
  };
}

function createPanel(data, select) {
  const { layers, nodes, edges, counts } = data;
  const title = document.getElementById("panel-title"), panel = document.getElementById("panel");
  const empty = [...panel.childNodes];
  const byId = new Map(nodes.id.map((id, node) => [id, node]));

  function gallery(node) {
    const patches = nodes.patches[node];
    const tiles = patches.map(([photo, score, isMirrored], i) => {
      const words = `${photo}, score ${score.toFixed(2)}${isMirrored ? ", mirrored" : ""}`;
      const tile = element("div", { role: "img", "aria-label": `Patch of ${words}`, title: words });
      tile.style.backgroundImage = `url("${nodes.strip[node]}")`;
      tile.style.backgroundSize = `${100 * patches.length}% 100%`;
      tile.style.backgroundPosition = `${patches.length > 1 ? (100 * i) / (patches.length - 1) : 0}% 0`;
      return element("li", {}, tile,
        element("small", {}, `${score.toFixed(2)}${isMirrored ? ", mirrored" : ""}`));
    });
    return tiles.length ? element("ul", { class: "gallery", "aria-label": "Where it scores best" }, ...tiles)
      : element("p", { class: "faint" }, "It is found in none of the photos.");
  }

  /** A map of where the node lies: the photo's frame, its mean place and how far that varies. */
  function placeMap(node) {
    const [x, y] = [nodes.x[node], nodes.y[node]];
    const make = (tag, attributes) => {
      const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [key, value] of Object.entries(attributes)) shape.setAttribute(key, value);
      return shape;
    };
    const svg = make("svg", { viewBox: "0 0 1 1", width: 72, height: 72, class: "place", role: "img",
      "aria-label": `In the photo: y ${y.toFixed(2)}, x ${x.toFixed(2)}` });
    const color = layers[nodes.layer[node]].color;
    svg.append(
      make("ellipse", { cx: x, cy: y, rx: Math.max(nodes.x_spread[node], 0.02),
        ry: Math.max(nodes.y_spread[node], 0.02), fill: color, "fill-opacity": 0.3 }),
      make("circle", { cx: x, cy: y, r: 0.045, fill: color, stroke: "#fff", "stroke-width": 0.015 }));
    return svg;
  }

  function facts(node) {
    const rows = {
      "Fires in": `${percent(nodes.fires[node])} of ${count(counts.photos, "photo")}`,
      "Rank": `${nodes.rank[node]} of ${counts.nodes.toLocaleString("en")}`,
      "Score in these photos": `mean ${nodes.mean_score[node].toFixed(2)}, best ${nodes.best_score[node].toFixed(2)}`,
      "Sure to": `${Math.round(nodes.sure_px[node])} px`,
    };
    if (nodes.kind) rows["Kind"] = nodes.kind[node];
    if (nodes.contrast) rows["Contrast"] = nodes.contrast[node].toFixed(2);
    if (nodes.group_gain) rows["Group gain"] = nodes.group_gain[node].toFixed(2);
    const list = Object.entries(rows).map(([name, value]) =>
      element("div", {}, element("dt", {}, name), element("dd", {}, value)));
    if (nodes.y[node] !== null) {
      const words = element("span", {},
        `${plusMinus(nodes.y[node], nodes.y_spread[node])} down,`, element("br"),
        `${plusMinus(nodes.x[node], nodes.x_spread[node])} across`);
      list.push(element("div", { class: "where" }, element("dt", {}, "Place, share of the photo"),
        element("dd", {}, placeMap(node), words)));
    }
    return element("dl", { class: "facts" }, ...list);
  }

  /** Buttons that lead to other nodes; those that are not on this page are named below. */
  function links(heading, entries, elsewhere) {
    const buttons = entries.map(([node, more]) => {
      const name = nodes.name[node], id = shortId(nodes.id[node]);
      const button = element("button", { type: "button", title: nodes.id[node] },
        element("img", { src: nodes.thumbnail[node], alt: "" }),
        element("span", {}, name || id,
          element("small", {}, [name && id, more].filter(Boolean).join(" · "))));
      button.addEventListener("click", () => { select(node); title.focus(); });
      return element("li", {}, button);
    });
    const block = element("div", { class: "links" }, element("h4", {}, heading));
    if (buttons.length) block.append(element("ul", {}, ...buttons));
    if (elsewhere.length) {
      const some = elsewhere.slice(0, 5).join(", ");
      const more = elsewhere.length > 5 ? ` and ${elsewhere.length - 5} more` : "";
      block.append(element("p", {}, `Not on this page: ${some}${more}.`));
    }
    if (!buttons.length && !elsewhere.length) block.append(element("p", {}, "None."));
    return block;
  }

  /** The nodes at the other ends of a node's edges, the strongest first and no more than `MOST_LINKS`. */
  function relatives(node, from, to) {
    const entries = [];
    edges[from].forEach((end, edge) => {
      if (end === node) entries.push([edges[to][edge], edges.coactivation[edge]]);
    });
    return entries.sort((a, b) => b[1] - a[1]).slice(0, MOST_LINKS)
      .map(([other, value]) => [other, `${value.toFixed(2)}×`]);
  }

  function split(ids) {
    const here = ids.filter((id) => byId.has(id)).map((id) => [byId.get(id), ""]);
    return [here, ids.filter((id) => !byId.has(id))];
  }

  /** Show a node's facts, or what to do where none is chosen. */
  return function show(node) {
    document.getElementById("clear").hidden = node === null;
    if (node === null) {
      title.textContent = "No node chosen";
      panel.replaceChildren(...empty);
      return;
    }
    const layer = layers[nodes.layer[node]], swatch = element("span", { class: "swatch" });
    swatch.style.background = layer.color;
    title.textContent = nodes.name[node] || nodes.id[node];
    const identity = nodes.name[node] ? nodes.id[node]
      : `filter ${nodes.filter[node]} of layer ${layer.name}`;
    const [, parentsElsewhere] = split(nodes.parents[node]);
    panel.replaceChildren(
      element("p", { class: "identity" }, swatch, identity),
      gallery(node), facts(node),
      links("Parents, above (together, against chance)", relatives(node, "child", "parent"), parentsElsewhere),
      links("Children, below (together, against chance)", relatives(node, "parent", "child"), []),
      links("Other nodes of its filter", ...split(nodes.others[node])));
  };
}
