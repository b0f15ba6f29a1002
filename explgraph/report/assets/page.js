// What the reader has chosen, and how everything on the page follows it.

const control = Object.fromEntries(
  ["how-many", "search", "hide-border", "hide-repeats", "hops", "status", "chips", "photo-picker",
    "show-nodes", "save-names", "clear", "chosen-bar"].map((id) => [id, document.getElementById(id)]));
const STEPS = [10, 20, 40, 80, 160, 320].filter((n) => n < pictures.node.length);
STEPS.push(pictures.node.length);
const PARENTS = 2; // lines of a kind from each node shown
const CHILDREN = 4;
const order = [false, true].flatMap((isFolded) => groups // of the groups' columns and chips
  .filter((group) => Boolean(group.folded) === isFolded).map((group) => group.number));
order.push(NONE);
const hasFolded = new Set(groups.filter((group) => group.folded).map((group) => group.number));
const state = { node: null, group: null, kind: Object.keys(edges).at(-1), shown: [], lines: [] };
const given = { nodes: {}, groups: {} }; // names typed in this page
counts.pictures = pictures.node.length;

/** Return the words searched for. */
const words = () => control.search.value.toLowerCase().split(/\s+/).filter(Boolean);

/** Tell whether a node has all words: digits are its filter, others stand in its id or names. */
function isFound(node, wanted) {
  if (!wanted.length) return true;
  const group = groupOf.get(nodes.group[node]);
  const text = `${nodes.id[node]} ${nodes.name[node]} ${group?.name ?? ""}`.toLowerCase();
  return wanted.every((word) =>
    /^\d+$/.test(word) ? nodes.filter[node] === Number(word) : text.includes(word));
}

const isHidden = (node) => (control["hide-border"].checked && nodes.border[node])
  || (control["hide-repeats"].checked && nodes.repeats[node]);

/** Return the best lines between nodes shown: up from a child, or down from what is made of it. */
function bestLines(shown, kind) {
  const isShown = new Set(shown), held = new Map(), result = [];
  const [end, most] = kind === "moves" ? ["child", PARENTS] : ["parent", CHILDREN];
  const table = edges[kind];
  for (let edge = 0; edge < table.child.length; edge += 1) { // the best of an end come first
    if (!isShown.has(table.child[edge]) || !isShown.has(table.parent[edge])) continue;
    const before = held.get(table[end][edge]) ?? 0;
    if (before >= most) continue;
    held.set(table[end][edge], before + 1);
    result.push(edge);
  }
  return result;
}

/** Return a node and what lines lead to from it, so many steps up and as many down. */
function familyOf(node, lines, hops) {
  const family = new Set([node]), table = edges[state.kind];
  for (const [from, to] of [["child", "parent"], ["parent", "child"]]) {
    let frontier = new Set([node]);
    for (let step = 0; step < hops && frontier.size; step += 1) {
      const ends = lines.filter((edge) => frontier.has(table[from][edge])).map((edge) => table[to][edge]);
      frontier = new Set(ends.filter((end) => !family.has(end)));
      frontier.forEach((end) => family.add(end));
    }
  }
  return family;
}

/** Show what the controls ask for: the nodes of the graph and of the table. */
function refresh() {
  const wanted = words(), most = STEPS[Number(control["how-many"].value)];
  const fits = (node) => !isHidden(node) && isFound(node, wanted)
    && (state.group === null || nodes.group[node] === state.group);
  const found = everyNode.filter(fits);
  const pictured = pictures.node.filter(fits)
    .filter((node) => state.group !== null || wanted.length || !hasFolded.has(nodes.group[node]));
  state.shown = pictured.slice(0, wanted.length ? Infinity : most);
  if (state.node !== null && !found.includes(state.node)) state.node = null;
  state.lines = bestLines(state.shown, state.kind);
  control["how-many"].setAttribute("aria-valuetext", count(most, "node"));
  document.getElementById("how-many-value").textContent = most;
  graph.show(state.shown, state.lines, state.kind, order);
  table.show(found);
  say(found, wanted);
  showChosen();
}

function say(found, wanted) {
  const clear = document.getElementById("clear-search");
  clear.hidden = found.length > 0;
  const drawn = `${count(state.shown.length, "node")} drawn, ${count(state.lines.length, "line")}`;
  if (!wanted.length) {
    const what = state.group === null ? count(found.length, "node")
      : `${count(found.length, "node")} of ${groupName(state.group)}`;
    control.status.textContent = `${what}, all in the table below. ${drawn}.`;
    return;
  }
  const ranks = found.map((node) => nodes.rank[node]).sort((a, b) => a - b);
  const some = ranks.length <= 3 ? ranks.join(" and ") : `${ranks[0]} to ${ranks.at(-1)}`;
  control.status.textContent = ranks.length === 0 ? "No node matches."
    : `${ranks.length} ${ranks.length === 1 ? "matches, rank" : "match, ranks"} ${some}. ${drawn}.`;
}

/** Show what is chosen everywhere, and in the page's address. */
function showChosen() {
  const { node, group } = state;
  const hops = Number(control.hops.value) || Infinity;
  const family = node === null || !state.shown.includes(node) ? null : familyOf(node, state.lines, hops);
  graph.highlight(node, family);
  groupViews.draw(state.kind, group);
  table.mark(node);
  showPanel(state);
  showPhoto(family);
  for (const chip of control.chips.children) {
    chip.setAttribute("aria-pressed", chip.dataset.group === String(group));
  }
  const bar = control["chosen-bar"];
  bar.hidden = node === null && group === null;
  bar.querySelector("strong").textContent = node === null
    ? (group === null ? "" : groupName(group)) : nodeName(node);
  writeAddress();
}

function showPhoto(family) {
  const { node, group, kind } = state;
  const asked = control["show-nodes"].checked || node !== null || group !== null;
  const base = control["show-nodes"].checked || group !== null ? state.shown : [];
  const kin = family === null ? [] : [...family];
  const some = asked ? [...new Set([...base, ...kin, ...(node === null ? [] : [node])])] : [];
  photo.show({ node, group, kind, family, nodes: some });
}

/** Choose a node or a group, or none: what is not given stays, if it fits. */
function select(wish) {
  card.hide();
  const before = state.group;
  if ("group" in wish) state.group = wish.group === before && !("node" in wish) ? null : wish.group;
  if ("group" in wish && !("node" in wish)) state.node = null;
  if ("node" in wish) {
    state.node = wish.node;
    const isOutside = wish.node !== null && state.group !== null && nodes.group[wish.node] !== state.group;
    if (isOutside) state.group = null;
    if (wish.node !== null && (isHidden(wish.node) || !isFound(wish.node, words()))) {
      for (const id of ["hide-border", "hide-repeats"]) control[id].checked = false;
      control.search.value = "";
      refresh();
      return;
    }
  }
  if (state.group !== before) refresh();
  else showChosen();
}

let written = null; // the part of the address that was written last

/** Let the address name what is chosen; one that somebody has just typed stays until it is read. */
function writeAddress() {
  const parts = [];
  if (state.group !== null) parts.push(`group=${state.group}`);
  if (state.node !== null) parts.push(`node=${encodeURIComponent(nodes.id[state.node])}`);
  const hash = parts.length ? `#${parts.join("&")}` : "";
  if (hash === written) return;
  written = hash;
  if (location.hash !== hash) {
    history.replaceState(null, "", hash || location.pathname + location.search);
  }
}

/** Choose what the page's address names. */
function readAddress() {
  written = null;
  const named = new URLSearchParams(location.hash.slice(1));
  const node = nodes.id.indexOf(named.get("node"));
  const group = named.has("group") ? Number(named.get("group")) : null;
  state.group = order.includes(group) ? group : null;
  state.node = null;
  refresh();
  if (node >= 0) select({ node });
}

function rename(kind, which, name) {
  if (kind === "groups") groupOf.get(which).name = name;
  else nodes.name[which] = name;
  given[kind][kind === "groups" ? which : nodes.id[which]] = name;
  control["save-names"].hidden = false;
  groupViews.name();
  refresh();
}

function saveNames() {
  const file = new Blob([`${JSON.stringify(given, null, 2)}\n`], { type: "application/json" });
  const link = element("a", { href: URL.createObjectURL(file), download: "names.json" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function connectControls() {
  const soon = beforeNextFrame(refresh);
  for (const id of ["how-many", "search", "hide-border", "hide-repeats"]) {
    control[id].addEventListener("input", soon);
  }
  for (const id of ["hops", "show-nodes"]) control[id].addEventListener("input", showChosen);
  for (const radio of document.querySelectorAll("[name=kind]")) {
    radio.checked = radio.value === state.kind;
    radio.addEventListener("change", () => { state.kind = radio.value; refresh(); });
  }
  const clear = () => select({ group: null, node: null });
  control.clear.addEventListener("click", clear);
  document.getElementById("bar-clear").addEventListener("click", clear);
  document.getElementById("clear-search").addEventListener("click", () => {
    control.search.value = "";
    refresh();
    control.search.focus();
  });
  control["save-names"].addEventListener("click", saveNames);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (state.node !== null) select({ node: null });
    else if (state.group !== null) select({ group: null, node: null });
  });
  const moves = { "zoom-in": [0, 0, 1.4], "zoom-out": [0, 0, 1 / 1.4], "move-left": [-0.25, 0, 1],
    "move-right": [0.25, 0, 1], "move-up": [0, -0.25, 1], "move-down": [0, 0.25, 1] };
  for (const [id, move] of Object.entries(moves)) {
    document.getElementById(id).addEventListener("click", () => graph.move(...move));
  }
  document.getElementById("reset").addEventListener("click", () => graph.fit());
  addEventListener("hashchange", () => { // but not where it leads to a place in the page
    if (!document.getElementById(location.hash.slice(1))) readAddress();
  });
}

function setControls() {
  const isNarrow = matchMedia("(max-width: 600px)").matches;
  const slider = control["how-many"], first = STEPS.findIndex((n) => n >= (isNarrow ? 20 : 40));
  slider.max = STEPS.length - 1;
  slider.value = first < 0 ? STEPS.length - 1 : first;
  const chip = (group, name, number) => {
    const button = element("button", { type: "button", class: "chip", "data-group": group },
      name, element("small", {}, ` ${number}`));
    button.addEventListener("click", () => select({ group: group === "null" ? null : group, node: null }));
    return button;
  };
  const named = (number) => element("span", { "data-name": number }, groupName(number));
  const loose = everyNode.filter((node) => nodes.group[node] === NONE).length;
  control.chips.append(chip("null", "all", counts.nodes.toLocaleString("en")),
    ...order.filter((number) => number !== NONE)
      .map((number) => chip(number, named(number), groupOf.get(number).nodes)),
    ...(loose ? [chip(NONE, "no group", loose)] : []));
  control.chips.hidden = groups.length === 0;
  photos.forEach(({ name, picture: source, mirrored }, i) => {
    const input = element("input", { type: "radio", name: "photo", value: i });
    input.checked = i === 0;
    input.addEventListener("change", () => { photo.choose(i); showChosen(); });
    const image = element("img", { src: source, alt: `${name}${mirrored ? ", mirrored" : ""}` });
    control["photo-picker"].append(element("label", { title: name }, input, image));
  });
}

const showPanel = createPanel(select, rename);
const groupViews = createGroupViews(select, (number) => photo.point(number));
const graph = createGraphView(select);
const photo = createPhotoView(select);
const table = createTable(select);
setControls();
connectControls();
groupViews.name();
photo.choose(0);
readAddress();
addEventListener("resize", beforeNextFrame(() => {
  graph.show(state.shown, state.lines, state.kind, order);
  showChosen();
}));
