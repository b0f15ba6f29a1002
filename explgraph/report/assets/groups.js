// Parts at a glance, and the graph of groups: a column for each group, a row for each layer.

const CELL = 64, COLUMN = 88, ROW = 122, MARGIN = 100, HEAD = 26; // units of the drawing
const FAINTEST = 0.04; // of the strongest line: what is weaker is not drawn
const MOST_LINES = 2; // up from a cell, unless its group is chosen
const MANY = 9; // columns, from which on their headings are small

function createGroupViews(select, point) {
  const rows = [...document.querySelectorAll(".row")];
  for (const row of rows) {
    const number = Number(row.dataset.group);
    row.querySelector(".group-name").addEventListener("click", () => select({ group: number }));
    row.addEventListener("pointerenter", () => point(number));
    row.addEventListener("pointerleave", () => point(null));
    for (const button of row.querySelectorAll("[data-node]")) {
      const node = Number(button.dataset.node);
      button.addEventListener("click", () => select({ group: number, node }));
      card.attach(button, node);
    }
  }
  const drawing = document.getElementById("group-graph");
  const order = groups.filter((group) => !group.folded);
  const used = layers.map((_, layer) => layer).filter((layer) => layers[layer].nodes);

  /** Write the names of groups wherever they stand. */
  function name() {
    for (const text of document.querySelectorAll("[data-name]")) {
      text.textContent = groupName(Number(text.dataset.name));
    }
  }

  const x = (number) => MARGIN + order.findIndex((group) => group.number === number) * COLUMN;
  const y = (layer) => HEAD + (used.length - 1 - used.indexOf(layer)) * ROW;

  function draw(kind, chosen) {
    if (!drawing) return;
    const width = MARGIN + order.length * COLUMN, height = HEAD + used.length * ROW - (ROW - CELL - 18);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.style.minWidth = `${Math.round(width * 0.55)}px`;
    drawing.style.maxWidth = `${Math.round(width * 1.15)}px`;
    drawing.replaceChildren(lines(kind, chosen), ...headings(chosen), ...data.cells
      .filter(({ group }) => !groupOf.get(group).folded).map((cell) => drawnCell(cell, chosen)));
    for (const row of rows) {
      const isChosen = Number(row.dataset.group) === chosen;
      row.classList.toggle("chosen", isChosen);
      row.querySelector(".group-name").setAttribute("aria-pressed", isChosen);
      if (isChosen && row.closest("details")) row.closest("details").open = true;
    }
  }

  function headings(chosen) {
    const names = order.map(({ number }) => {
      const text = shape("text", { x: x(number) + CELL / 2, y: 15, "text-anchor": "middle",
        class: `heading${number === chosen ? " chosen" : ""}${order.length > MANY ? " small" : ""}` },
      cut(groupName(number), 13));
      text.addEventListener("click", () => select({ group: number }));
      return text;
    });
    const labels = used.map((layer) => shape("text",
      { x: 0, y: y(layer) + CELL / 2 + 4, class: "layer", fill: "currentColor" },
      shape("title", {}, layers[layer].name), cutBeginning(layers[layer].name, 13)));
    return [...names, ...labels];
  }

  const cutBeginning = (text, room) => (text.length > room ? `…${text.slice(1 - room)}` : text);

  function drawnCell({ layer, group, nodes: number, best }, chosen) {
    const left = x(group), top = y(layer);
    const words = `${groupName(group)}, ${layers[layer].name}: ${count(number, "node")}`;
    const cell = shape("g", { class: `cell${chosen !== null && chosen !== group ? " dim" : ""}` },
      shape("title", {}, words),
      shape("image", { x: left, y: top, width: CELL, height: CELL,
        href: picture.get(best)?.thumbnail }),
      shape("rect", { x: left, y: top, width: CELL, height: CELL, fill: "none",
        stroke: layers[layer].color, "stroke-width": group === chosen ? 4 : 2 }),
      shape("text", { x: left + CELL / 2, y: top + CELL + 13, "text-anchor": "middle" }, number));
    cell.addEventListener("click", () => select({ group }));
    return cell;
  }

  function lines(kind, chosen) {
    const shown = (data.cell_lines[kind] ?? []).filter(([, child, , parent]) =>
      !groupOf.get(child).folded && !groupOf.get(parent).folded);
    const most = Math.max(...shown.map(([, , , , value]) => Math.abs(value)), 1e-9);
    const result = shape("g", { fill: "none" }), drawn = new Map();
    const strongest = [...shown].sort((a, b) => Math.abs(b[4]) - Math.abs(a[4]));
    for (const [low, child, high, parent, value, more] of strongest) {
      const strength = Math.abs(value) / most, cell = `${low} ${child}`;
      const isIn = chosen === null || chosen === child || chosen === parent;
      drawn.set(cell, (drawn.get(cell) ?? 0) + 1);
      const isMinor = drawn.get(cell) > MOST_LINES && (chosen === null || !isIn);
      if (strength < FAINTEST || isMinor) continue;
      const [x0, x1] = [x(child) + CELL / 2, x(parent) + CELL / 2];
      const [y0, y1] = [y(low), y(high) + CELL + 16], middle = (y0 + y1) / 2;
      const words = kind === "moves"
        ? `${count(value, "edge")}, ${edgeWords(kind, more)} (median)`
        : `${edgeWords(kind, value)} of a node’s response, mean of ${more}`;
      result.append(shape("path", {
        d: `M${x0} ${y0}C${x0} ${middle} ${x1} ${middle} ${x1} ${y1}`,
        class: value < 0 ? "line against" : "line",
        "stroke-width": (0.8 + 7 * Math.sqrt(strength)).toFixed(1),
        "stroke-opacity": (isIn ? 0.2 + 0.7 * Math.sqrt(strength) : 0.05).toFixed(2) },
      shape("title", {}, `${groupName(child)} to ${groupName(parent)}: ${words}`)));
    }
    return result;
  }
  return { draw, name };
}
