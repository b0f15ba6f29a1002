// What is chosen: the facts of a node or of a group, its relatives, and its name, which can be typed.

const MOST_LINKS = 6; // relatives of a kind that the panel leads to at first
const MORE_LINKS = 24; // and at most

function createPanel(select, rename) {
  const title = document.getElementById("panel-title"), panel = document.getElementById("panel");
  const empty = [...panel.childNodes];

  function gallery(node) {
    const { patches, strip } = picture.get(node) ?? { patches: null };
    if (patches === null) {
      return element("p", { class: "faint" },
        `No picture of it on this page, which has ${counts.pictures} nodes in pictures. Its place is on the photos.`);
    }
    const tiles = patches.map(([photo, score, isMirrored], i) => {
      const words = `${photo}, score ${score.toFixed(2)}${isMirrored ? ", mirrored" : ""}`;
      const tile = element("div", { role: "img", "aria-label": `Patch of ${words}`, title: words });
      tile.style.backgroundImage = `url("${strip}")`;
      tile.style.backgroundSize = `${100 * patches.length}% 100%`;
      tile.style.backgroundPosition = `${patches.length > 1 ? (100 * i) / (patches.length - 1) : 0}% 0`;
      return element("li", {}, tile,
        element("small", {}, `${score.toFixed(2)}${isMirrored ? ", mirrored" : ""}`));
    });
    return tiles.length ? element("ul", { class: "gallery", "aria-label": "Where it scores best" }, ...tiles)
      : element("p", { class: "faint" }, "It is found in none of the photos.");
  }

  /** A map of where a node lies: the photo's frame, its mean place and how far that varies. */
  function placeMap(node) {
    const [x, y, color] = [nodes.x[node], nodes.y[node], layers[nodes.layer[node]].color];
    return shape("svg", { viewBox: "0 0 1 1", width: 64, height: 64, class: "map", role: "img",
      "aria-label": `In the photo: y ${y.toFixed(2)}, x ${x.toFixed(2)}` },
    shape("ellipse", { cx: x, cy: y, rx: Math.max(nodes.x_spread[node], 0.02),
      ry: Math.max(nodes.y_spread[node], 0.02), fill: color, "fill-opacity": 0.35 }),
    shape("circle", { cx: x, cy: y, r: 0.045, fill: color, stroke: "#fff", "stroke-width": 0.015 }));
  }

  function factList(rows) {
    return element("dl", { class: "facts" }, ...rows.map(([name, value, why]) =>
      element("div", why ? { class: "wide" } : {}, element("dt", {}, name),
        element("dd", {}, value, ...(why ? [element("small", {}, why)] : [])))));
  }

  function nodeFacts(node) {
    const rows = [
      ["Fires in", `${percent(nodes.fires[node])} of ${count(counts.photos, "photo")}`],
      ["Rank", `${nodes.rank[node]} of ${counts.nodes.toLocaleString("en")}`],
      ["Score in these photos",
        `mean ${figure(nodes.mean_score[node])}, best ${figure(nodes.best_score[node])}`],
      ["Strays by", `${Math.round(nodes.sure_px[node])} px from where it is expected`],
    ];
    if (nodes.kind) rows.push(["Kind", nodes.kind[node]]);
    if (nodes.contrast) {
      const times = Math.exp(nodes.contrast[node]);
      rows.push(["Contrast", figure(nodes.contrast[node]),
        `It scores ${times.toFixed(1)} times as strongly in these photos as on the background.`]);
    }
    if (nodes.group_gain) {
      const times = Math.exp(nodes.group_gain[node]);
      rows.push(["Group gain", figure(nodes.group_gain[node]), times > 1
        ? `A group’s place predicts where it is ${times.toFixed(1)} times as closely as its own usual place.`
        : "No group’s place predicts where it is better than its own usual place."]);
    }
    if (nodes.evidence && nodes.evidence[node] !== null) {
      rows.push(["Evidence", figure(nodes.evidence[node]), "So far the logit of the class falls without it."]);
    }
    const list = factList(rows);
    if (nodes.y[node] !== null) {
      const words = element("span", {},
        `${plusMinus(nodes.y[node], nodes.y_spread[node])} down,`, element("br"),
        `${plusMinus(nodes.x[node], nodes.x_spread[node])} across`);
      list.append(element("div", { class: "where" }, element("dt", {}, "Place, share of the photo"),
        element("dd", {}, placeMap(node), words)));
    }
    return list;
  }

  /** Buttons that lead to other nodes: the first few, more on demand. */
  function links(heading, entries) {
    const block = element("div", { class: "links" }, element("h4", {}, heading));
    if (!entries.length) {
      block.append(element("p", {}, "None."));
      return block;
    }
    const list = element("ul");
    const add = (some) => list.append(...some.map(([node, words]) => {
      const name = nodes.name[node], id = shortId(nodes.id[node]);
      const shown = picture.has(node)
        ? element("img", { src: picture.get(node).thumbnail, alt: "" })
        : element("span", { class: "blank" });
      const button = element("button", { type: "button", title: nodes.id[node] }, shown,
        element("span", {}, name || id,
          element("small", {}, [name && id, words].filter(Boolean).join(" · "))));
      button.addEventListener("click", () => { select({ node }); title.focus(); });
      return element("li", {}, button);
    }));
    add(entries.slice(0, MOST_LINKS));
    block.append(list);
    if (entries.length > MOST_LINKS) {
      const most = Math.min(entries.length, MORE_LINKS);
      const more = element("button", { type: "button", class: "more" },
        `Show ${most - MOST_LINKS} more of ${entries.length}`);
      more.addEventListener("click", () => { add(entries.slice(MOST_LINKS, most)); more.remove(); });
      block.append(more);
    }
    return block;
  }

  /** The nodes at the other ends of a node's edges of a kind, the best first. */
  function relatives(kind, node, from, to) {
    const table = edges[kind], found = [];
    table[from].forEach((end, edge) => {
      if (end === node) found.push([table[to][edge], table.value[edge]]);
    });
    const order = kind === "moves" ? (a, b) => a[1] - b[1] : (a, b) => Math.abs(b[1]) - Math.abs(a[1]);
    return found.sort(order).map(([other, value]) => [other, edgeWords(kind, value)]);
  }

  function nameField(label, value, change) {
    const input = element("input", { type: "text", id: "own-name", autocomplete: "off",
      spellcheck: "false", maxlength: 60, placeholder: "your own name" });
    input.value = value;
    input.addEventListener("change", () => change(input.value.trim()));
    return element("div", { class: "own-name" }, element("label", { for: "own-name" }, label), input);
  }

  function showNode(node) {
    const layer = layers[nodes.layer[node]], swatch = element("span", { class: "swatch" });
    swatch.style.background = layer.color;
    title.textContent = nodes.name[node] || nodes.id[node];
    const identity = nodes.name[node] ? nodes.id[node]
      : `filter ${nodes.filter[node]} of layer ${layer.name}`;
    const number = nodes.group[node], where = element("p", { class: "identity" }, swatch, identity);
    const blocks = [where];
    if (groupOf.has(number)) {
      const button = element("button", { type: "button", class: "small" }, `group ${groupName(number)}`);
      button.addEventListener("click", () => { select({ group: number, node: null }); title.focus(); });
      where.append(button);
    }
    blocks.push(gallery(node), nodeFacts(node));
    if (edges.made) {
      blocks.push(links("Is made of, below", relatives("made", node, "parent", "child")),
        links("Is part of, above", relatives("made", node, "child", "parent")));
    }
    blocks.push(links("Moves with, above", relatives("moves", node, "child", "parent")),
      links("Moves with, below", relatives("moves", node, "parent", "child")));
    const others = everyNode.filter((other) => other !== node
      && nodes.filter[other] === nodes.filter[node] && nodes.layer[other] === nodes.layer[node]);
    blocks.push(links("Other nodes of its filter", others.map((other) =>
      [other, groupOf.has(nodes.group[other]) ? groupName(nodes.group[other]) : ""])));
    blocks.push(nameField("Your name for this node", nodes.name[node],
      (name) => rename("nodes", node, name)));
    panel.replaceChildren(...blocks);
  }

  function showGroup(number) {
    const group = groupOf.get(number);
    title.textContent = groupName(number);
    const rows = [
      ["Nodes", `${group.nodes}, best is no. ${group.best}`],
      ["Usual place", `${figure(group.y)} down, ${figure(group.x)} across`],
      ["Moves by", `± ${percent(group.spread)} of the side`],
      ["Agreement", percent(group.agreement),
        "How much of its nodes’ weight lies where the group’s place lets one expect it, mean of the photos."],
    ];
    if (group.evidence) rows.push(["Evidence for the class", figure(group.evidence.drop),
      `So far the logit falls without a node, mean of ${count(group.evidence.nodes, "node")}.`]);
    const best = everyNode.filter((node) => nodes.group[node] === number)
      .sort((a, b) => nodes.group_gain[b] - nodes.group_gain[a]);
    panel.replaceChildren(
      element("p", { class: "identity" },
        `Group ${number}: ${count(group.nodes, "node")} in the same place${group.name ? `, ${group.region}` : ""}`),
      factList(rows),
      links("Its nodes, by group gain", best.map((node) =>
        [node, `${layers[nodes.layer[node]].name}, ${figure(nodes.group_gain[node])}`])),
      nameField("Your name for this group", group.name, (name) => rename("groups", number, name)));
  }

  /** Show the facts of what is chosen, or what to do where nothing is. */
  return function show({ node, group }) {
    document.getElementById("clear").hidden = node === null && group === null;
    if (node !== null) showNode(node);
    else if (group !== null && groupOf.has(group)) showGroup(group);
    else {
      title.textContent = group === null ? "Nothing chosen" : "Nodes in no group";
      panel.replaceChildren(...empty);
    }
  };
}
