// What the reader has chosen, and how everything on the page follows it.

const data = JSON.parse(document.getElementById("report-data").textContent);
const { nodes, edges, layouts, layers, photos } = data;
const control = Object.fromEntries(
  ["per-layer", "least-score", "search", "node-list", "status", "photo-picker"]
    .map((id) => [id, document.getElementById(id)]));
const state = { chosen: null, shown: [], lines: [] };

/** Return the words searched for. */
const words = () => control.search.value.toLowerCase().split(/\s+/).filter(Boolean);

/** Tell whether a node has all words: digits are its filter, others stand in its id or name. */
function isFound(node, wanted) {
  const text = `${nodes.id[node]} ${nodes.name[node]}`.toLowerCase();
  return wanted.every((word) =>
    /^\d+$/.test(word) ? nodes.filter[node] === Number(word) : text.includes(word));
}

/** Return the strongest lines up from each node shown, at most `edges.most` of them. */
function strongest(shown) {
  const isShown = new Set(shown), count = new Map(), result = [];
  edges.child.forEach((child, edge) => { // by child, the strongest first
    const before = count.get(child) ?? 0;
    if (before >= edges.most || !isShown.has(child) || !isShown.has(edges.parent[edge])) return;
    count.set(child, before + 1);
    result.push(edge);
  });
  return result;
}

/** Return a node and all that the lines drawn lead to, up from it and down from it. */
function familyOf(node, lines) {
  const family = new Set([node]);
  for (const [from, to] of [["child", "parent"], ["parent", "child"]]) {
    let frontier = [node];
    while (frontier.length) {
      const ends = lines.filter((edge) => frontier.includes(edges[from][edge]))
        .map((edge) => edges[to][edge]);
      frontier = [...new Set(ends)].filter((end) => !family.has(end));
      frontier.forEach((end) => family.add(end));
    }
  }
  return family;
}

/** Show what the sliders and the search ask for. */
function refresh() {
  const wanted = words(), least = Number(control["least-score"].value);
  const fits = (node) => nodes.score[node] >= least && isFound(node, wanted);
  // A search looks at all nodes of the page: the smallest layout that has all it finds is taken.
  const found = wanted.length ? layouts.at(-1).nodes.filter(fits) : null;
  const layout = found === null ? layouts[Number(control["per-layer"].value)]
    : layouts.find((some) => found.every((node) => some.nodes.includes(node)));
  state.shown = found ?? layout.nodes.filter(fits);
  state.lines = strongest(state.shown);
  if (!state.shown.includes(state.chosen)) state.chosen = null;
  const perLayer = String(layouts[Number(control["per-layer"].value)].per_layer);
  document.getElementById("per-layer-value").textContent = perLayer;
  control["per-layer"].setAttribute("aria-valuetext", `${perLayer} nodes per layer`);
  document.getElementById("least-score-value").textContent = least.toFixed(2);
  graph.show(state.shown, state.lines, layout);
  showList();
  select(state.chosen);
  const why = found === null ? "" : ", all that the search finds";
  control.status.textContent = state.shown.length
    ? `Showing ${state.shown.length} of ${count(nodes.id.length, "node")}`
      + ` and ${count(state.lines.length, "line")}${why}.`
    : `Showing 0 of ${count(nodes.id.length, "node")}: none on this page is like that.`;
}

function showList() {
  const best = [...state.shown].sort((a, b) => nodes.rank[a] - nodes.rank[b]);
  control["node-list"].replaceChildren(...best.map((node) => {
    const words = [nodes.name[node], shortId(nodes.id[node]), nodes.score[node].toFixed(2)];
    return element("option", { value: node, title: nodes.id[node] }, words.filter(Boolean).join(" · "));
  }));
}

/** Choose a node, or none; a node that is not shown now is searched for. */
function select(node) {
  if (node !== null && !state.shown.includes(node)) {
    control["least-score"].value = 0;
    control["per-layer"].value = layouts.findIndex((layout) => layout.nodes.includes(node));
    control.search.value = "";
    state.chosen = node;
    refresh();
    return;
  }
  state.chosen = node;
  const family = node === null ? null : familyOf(node, state.lines);
  graph.highlight(node, family);
  if (node !== null) graph.reveal(node);
  if (photo !== null) photo.highlight(state.shown, state.lines, node, family);
  control["node-list"].value = node ?? "";
  showPanel(node);
}

/** Call a function once before the next frame, however often it is asked for. */
function beforeNextFrame(action) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; action(); });
  };
}

function connectControls() {
  const soon = beforeNextFrame(refresh);
  for (const id of ["per-layer", "least-score", "search"]) control[id].addEventListener("input", soon);
  control["node-list"].addEventListener("change", () => select(Number(control["node-list"].value)));
  document.getElementById("clear").addEventListener("click", () => {
    select(null);
    control["node-list"].focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state.chosen !== null) select(null);
  });
  const moves = { "zoom-in": [0, 0, 1.4], "zoom-out": [0, 0, 1 / 1.4], "move-left": [-0.25, 0, 1],
    "move-right": [0.25, 0, 1], "move-up": [0, -0.25, 1], "move-down": [0, 0.25, 1] };
  for (const [id, move] of Object.entries(moves)) {
    document.getElementById(id).addEventListener("click", () => graph.move(...move));
  }
  document.getElementById("reset").addEventListener("click", () => graph.fit());
}

function setControls() {
  const slider = control["per-layer"], isNarrow = matchMedia("(max-width: 600px)").matches;
  slider.max = layouts.length - 1;
  const first = layouts.findIndex((layout) => layout.per_layer >= (isNarrow ? 10 : 20));
  slider.value = first < 0 ? layouts.length - 1 : first;
  const most = Math.max(...nodes.score);
  control["least-score"].max = most;
  control["least-score"].step = most / 100;
  control["least-score"].value = 0;
  photos.forEach(({ name, picture, mirrored }, i) => {
    const input = element("input", { type: "radio", name: "photo", value: i });
    input.checked = i === 0;
    input.addEventListener("change", () => { photo.choose(i); select(state.chosen); });
    const image = element("img", { src: picture, alt: `${name}${mirrored ? ", mirrored" : ""}` });
    control["photo-picker"].append(element("label", { title: name }, input, image));
  });
}

let graph, photo = null;
const showPanel = createPanel(data, select);

(async () => {
  setControls();
  graph = createGraphView(data, await embed("graph-canvas"), select);
  connectControls();
  refresh();
  // The graph can be used before the photo below it is ready.
  photo = createPhotoView(data, await embed("photo-canvas"), select);
  photo.choose(0);
  select(state.chosen);
})();
