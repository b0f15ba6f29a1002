// The graph of nodes: groups side by side, layers one above the other; dragged, zoomed, clicked.

const TILE = 64, STEP_X = 78, STEP_Y = 84, GAP = 20, BAND = 24, TOP = 20; // units of the drawing
const LABEL_SCALE = 0.72; // pixels per unit from which on labels have room below their pictures
const MOST_ROWS = 12, DRAG = 4; // rows of a layer at most; pixels of a move that is no click
const LARGEST = 1.3, HIGHEST = 0.68; // pixels per unit; of the window

/** Place some nodes in a box (width, height): groups are columns, layers rows; as large as fits. */
function placeNodes(shown, order, box) {
  const columns = order.filter((group) => shown.some((node) => nodes.group[node] === group));
  const used = layers.map((_, layer) => layer)
    .filter((layer) => shown.some((node) => nodes.layer[node] === layer)).reverse();
  const members = (layer, group) => shown
    .filter((node) => nodes.layer[node] === layer && nodes.group[node] === group)
    .sort((a, b) => (nodes.x[a] ?? 0) - (nodes.x[b] ?? 0));
  const cells = used.map((layer) => columns.map((group) => members(layer, group)));
  let best = null;
  for (let rows = 1; rows <= MOST_ROWS; rows += 1) {
    const wide = columns.map((_, i) =>
      Math.max(...cells.map((row) => Math.ceil(row[i].length / rows)), 1));
    const high = cells.map((row) =>
      Math.max(...row.map((cell, i) => Math.ceil(cell.length / wide[i])), 1));
    const width = wide.reduce((a, b) => a + b, 0) * STEP_X + (columns.length + 1) * GAP;
    const height = high.reduce((a, b) => a + b, 0) * STEP_Y + used.length * BAND + TOP;
    const scale = Math.min(box.width / width, box.height / height, LARGEST);
    if (best === null || scale > best.scale) best = { wide, high, width, height, scale };
  }
  return { ...best, columns, used, cells };
}

function createGraphView(select) {
  const canvas = document.getElementById("graph-canvas");
  const drawing = shape("svg", { class: "drawing", "aria-hidden": "true" });
  canvas.append(drawing);
  let view = { x: 0, y: 0, width: 1, height: 1 }, placed = null, place = new Map();
  let shown = [], lines = [], kind = "moves", tiles = new Map(), drawnLines = [], dragged = false;

  function show(now, linesNow, kindNow, order) {
    [shown, lines, kind] = [now, linesNow, kindNow];
    draw(order);
    fit();
  }

  function draw(order) {
    const most = Math.min(Math.max(innerHeight * HIGHEST, 340), 760);
    placed = placeNodes(shown, order, { width: canvas.clientWidth || 1, height: most });
    canvas.style.height = `${Math.round(Math.min(Math.max(placed.height * placed.scale, 240), most))}px`;
    const bands = shape("g"), pictures = shape("g"), texts = shape("g");
    place = new Map();
    tiles = new Map();
    let top = TOP;
    placed.used.forEach((layer, row) => {
      const height = BAND + placed.high[row] * STEP_Y;
      bands.append(
        shape("rect", { x: 0, y: top, width: placed.width, height: height - 6, class: "band" }),
        shape("rect", { x: 0, y: top, width: 5, height: height - 6, fill: layers[layer].color }));
      texts.append(shape("text", { x: 12, y: top + 16, class: "layer" }, bandWords(layer, row)));
      let left = GAP;
      placed.columns.forEach((group, column) => {
        placed.cells[row][column].forEach((node, i) => {
          const x = left + (i % placed.wide[column]) * STEP_X + (STEP_X - TILE) / 2;
          const y = top + BAND + Math.floor(i / placed.wide[column]) * STEP_Y;
          place.set(node, [x, y]);
          pictures.append(tile(node, x, y));
        });
        left += placed.wide[column] * STEP_X + GAP;
      });
      top += height;
    });
    let left = GAP;
    if (groups.length) placed.columns.forEach((group, column) => {
      const room = Math.floor((placed.wide[column] * STEP_X + GAP) / 7);
      const width = placed.wide[column] * STEP_X;
      texts.append(shape("text", { x: left + width / 2, y: 13, "text-anchor": "middle",
        class: "heading" }, cut(groupName(group), room)));
      left += width + GAP;
    });
    drawing.replaceChildren(bands, lineShapes(), pictures, texts);
  }

  function bandWords(layer, row) {
    const mine = placed.cells[row].reduce((sum, cell) => sum + cell.length, 0);
    const { name, grid, nodes: all } = layers[layer];
    const counted = ` · ${mine} of ${count(all, "node")}`;
    const room = Math.max(Math.floor(placed.width / 7.5) - counted.length, 12);
    const words = `${name} · ${grid[0]} × ${grid[1]} cells`;
    return (words.length <= room ? words : name.length > room ? `…${name.slice(1 - room)}` : name)
      + counted;
  }

  function tile(node, x, y) {
    const result = shape("g", { class: "tile", "data-node": node },
      shape("image", { x, y, width: TILE, height: TILE, href: picture.get(node).thumbnail }),
      shape("rect", { x, y, width: TILE, height: TILE, stroke: layers[nodes.layer[node]].color }),
      shape("text", { x: x + TILE / 2, y: y + TILE + 12, "text-anchor": "middle" },
        cut(nodes.name[node] || `filter ${nodes.filter[node]}`, 12)));
    result.addEventListener("click", (event) => {
      event.stopPropagation();
      if (!dragged) select({ node });
    });
    card.attach(result, node);
    tiles.set(node, result);
    return result;
  }

  function lineShapes() {
    const values = lines.map((edge) => Math.abs(edges[kind].value[edge]));
    const low = Math.min(...values), span = Math.max(...values) - low || 1;
    const crowd = Math.min(1, (160 / Math.max(lines.length, 1)) ** 0.4);
    drawnLines = lines.map((edge, i) => {
      const [child, parent] = [edges[kind].child[edge], edges[kind].parent[edge]];
      const [x0, y0] = place.get(child), [x1, y1] = place.get(parent);
      const [from, to] = [[x0 + TILE / 2, y0], [x1 + TILE / 2, y1 + TILE]];
      const middle = (from[1] + to[1]) / 2;
      // A steady edge is wide; so is one that carries much.
      const share = (values[i] - low) / span, strength = kind === "moves" ? 1 - share : share;
      return shape("path", {
        d: `M${from}C${from[0]} ${middle} ${to[0]} ${middle} ${to}`,
        class: edges[kind].value[edge] < 0 ? "line against" : "line",
        "stroke-width": (0.8 + 2.6 * strength).toFixed(1),
        "stroke-opacity": (crowd * (0.25 + 0.55 * strength)).toFixed(2) },
      shape("title", {}, edgeWords(kind, edges[kind].value[edge])));
    });
    return shape("g", { fill: "none" }, ...drawnLines);
  }

  /** Show which node is chosen; what is not in its family, if there is one, is dimmed. */
  function highlight(chosen, family) {
    for (const [node, mark] of tiles) {
      mark.classList.toggle("chosen", node === chosen);
      mark.classList.toggle("dim", family !== null && !family.has(node));
    }
    lines.forEach((edge, i) => {
      const ends = [edges[kind].child[edge], edges[kind].parent[edge]];
      const isIn = family === null || ends.every((node) => family.has(node));
      drawnLines[i].classList.toggle("dim", !isIn);
      drawnLines[i].classList.toggle("bright", family !== null && isIn);
    });
    if (chosen !== null) reveal(chosen);
  }

  function setView(box) {
    view = box;
    drawing.setAttribute("viewBox", `${box.x} ${box.y} ${box.width} ${box.height}`);
    drawing.classList.toggle("small", canvas.clientWidth / box.width < LABEL_SCALE);
  }

  /** Show all nodes that are shown now. */
  function fit() {
    const [width, height] = [canvas.clientWidth || 1, canvas.clientHeight || 1];
    const scale = placed.scale * 0.985;
    const box = { width: width / scale, height: height / scale };
    setView({ ...box, x: (placed.width - box.width) / 2,
      y: Math.min((placed.height - box.height) / 2, 0) });
  }

  /** Move by shares of what is shown, and zoom about the middle or another point of it. */
  function move(dx, dy, zoom, at = [0.5, 0.5]) {
    const [width, height] = [view.width / zoom, view.height / zoom];
    setView({ width, height, x: view.x + (view.width - width) * at[0] + dx * width,
      y: view.y + (view.height - height) * at[1] + dy * height });
  }

  function reveal(node) {
    if (!place.has(node)) return;
    const [x, y] = place.get(node);
    const isSeen = x + TILE > view.x && x < view.x + view.width
      && y + TILE > view.y && y < view.y + view.height;
    if (!isSeen) setView({ ...view, x: x - view.width / 2, y: y - view.height / 2 });
  }

  let start = null;
  drawing.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.button === 0) start = { x: event.clientX, y: event.clientY, view };
  });
  drawing.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
    if (!dragged && Math.hypot(dx, dy) < DRAG) return;
    if (!dragged) drawing.setPointerCapture(event.pointerId);
    dragged = true;
    card.hide();
    const scale = start.view.width / canvas.clientWidth;
    setView({ ...start.view, x: start.view.x - dx * scale, y: start.view.y - dy * scale });
  });
  for (const end of ["pointerup", "pointercancel"]) {
    drawing.addEventListener(end, () => { start = null; });
  }
  drawing.addEventListener("click", () => { if (!dragged) select({ node: null }); });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return; // without the key the wheel scrolls the page
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    move(0, 0, event.deltaY < 0 ? 1.15 : 1 / 1.15,
      [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
  }, { passive: false });
  return { show, highlight, fit, move };
}
