// The table of all nodes: sorted by a click on a heading, searched, in pages.

const PAGE = 20; // rows

const COLUMNS = [
  ["group", "Group", (node) => groupName(nodes.group[node]),
    (node) => (nodes.group[node] === NONE ? Infinity : nodes.group[node])],
  ["layer", "Layer", (node) => layers[nodes.layer[node]].name, (node) => nodes.layer[node]],
  ["kind", "Kind", (node) => nodes.kind[node]],
  ["rank", "Rank", (node) => nodes.rank[node]],
  ["group_gain", "Group gain", (node) => figure(nodes.group_gain[node])],
  ["contrast", "Contrast", (node) => figure(nodes.contrast[node])],
  ["evidence", "Evidence", (node) => figure(nodes.evidence[node])],
  ["score", "Score", (node) => figure(nodes.score[node])],
  ["fires", "Fires in", (node) => percent(nodes.fires[node])],
  ["y", "Down", (node) => figure(nodes.y[node])],
  ["x", "Across", (node) => figure(nodes.x[node])],
  ["sure_px", "Strays, px", (node) => Math.round(nodes.sure_px[node])],
].filter(([key]) => nodes[key] && (key !== "group" || groups.length));

const RISING = new Set(["group", "layer", "kind", "rank", "sure_px", "node"]); // sorted so at first

function createTable(select) {
  const head = document.getElementById("node-head"), body = document.getElementById("node-list");
  const pages = document.getElementById("pages"), previous = document.getElementById("previous");
  const next = document.getElementById("next");
  let found = [], page = 0, chosen = null, sort = nodes.group_gain
    ? { key: "group_gain", rising: false } : { key: "rank", rising: true };

  const headings = [["node", "Node"], ...COLUMNS].map(([key, words]) => {
    const button = element("button", { type: "button" }, words);
    const cell = element("th", { scope: "col", "data-key": key }, button);
    button.addEventListener("click", () => {
      sort = { key, rising: sort.key === key ? !sort.rising : RISING.has(key) };
      page = 0;
      order();
      draw();
    });
    return cell;
  });
  head.append(element("tr", {}, element("th", { scope: "col" }, "Picture"), ...headings));

  function valueOf(node) {
    if (sort.key === "node") return nodeName(node);
    const column = COLUMNS.find(([key]) => key === sort.key);
    return column[3] ? column[3](node) : nodes[sort.key][node];
  }

  function order() {
    const sign = sort.rising ? 1 : -1;
    const value = new Map(found.map((node) => [node, valueOf(node)]));
    found.sort((a, b) => {
      const [u, v] = [value.get(a), value.get(b)];
      if (u === null || v === null) return (u === null) - (v === null); // unknown last, both ways
      return sign * (typeof u === "string" ? u.localeCompare(v) : u - v || 0)
        || nodes.rank[a] - nodes.rank[b];
    });
  }

  function row(node) {
    const button = element("button", { type: "button", class: "plain", title: nodes.id[node],
      "aria-pressed": node === chosen },
    nodes.name[node] || shortId(nodes.id[node]),
    ...(nodes.name[node] ? [element("small", {}, shortId(nodes.id[node]))] : []));
    button.addEventListener("click", () => select({ node }));
    const seen = picture.has(node)
      ? [element("img", { src: picture.get(node).thumbnail, alt: "", loading: "lazy" })] : [];
    const result = element("tr", { "data-node": node, class: node === chosen ? "chosen" : null },
      element("td", { class: "picture" }, ...seen), element("th", { scope: "row" }, button),
      ...COLUMNS.map(([, , words]) => element("td", {}, words(node))));
    if (picture.has(node)) card.attach(result.firstChild, node);
    return result;
  }

  function draw() {
    const last = Math.max(Math.ceil(found.length / PAGE) - 1, 0);
    page = Math.min(page, last);
    body.replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(row));
    for (const cell of headings) {
      const isSorted = cell.dataset.key === sort.key;
      if (isSorted) cell.setAttribute("aria-sort", sort.rising ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
    previous.disabled = page === 0;
    next.disabled = page === last;
    const [from, to] = [page * PAGE + 1, Math.min((page + 1) * PAGE, found.length)];
    pages.textContent = found.length
      ? `${from.toLocaleString("en")} to ${to.toLocaleString("en")} of ${count(found.length, "node")}`
      : "No node is like that.";
  }

  /** Show these nodes, sorted as before, the first page of them. */
  function show(now) {
    found = [...now];
    page = 0;
    order();
    draw();
  }

  /** Mark a node; bring it into the table's page if it is in the table. */
  function mark(node) {
    const hadFocus = body.contains(document.activeElement);
    chosen = node;
    const place = found.indexOf(node);
    if (place >= 0) page = Math.floor(place / PAGE);
    draw();
    if (hadFocus) body.querySelector(".chosen button")?.focus({ preventScroll: true });
  }

  /** Choose the node before or after the chosen one: what the arrow keys do in the table. */
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = found.indexOf(Number(event.target.closest("tr")?.dataset.node));
    if (!step || at < 0) return;
    event.preventDefault();
    const node = found[at + step];
    if (node === undefined) return;
    select({ node });
    body.querySelector(`[data-node="${node}"] button`)?.focus();
  });
  previous.addEventListener("click", () => { page -= 1; draw(); });
  next.addEventListener("click", () => { page += 1; draw(); });
  return { show, mark };
}
