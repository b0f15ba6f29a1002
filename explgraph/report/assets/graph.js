// What both drawings share, and the drawing of the graph.
// Bokeh draws, hovers, drags and zooms; here its data sources are filled.

const BAR = 5; // width of the coloured bar at the left of a layer, units of the layout
const CHARACTER = 7.5; // width of a heading's character, pixels
const VEIL = 0.84; // how much of a dimmed picture is covered with white
const LABEL_SCALE = 0.72; // pixels per unit from which on labels have room below their pictures

/** Embed a drawing whose JSON stands in the page, and return its plot. */
async function embed(id) {
  const item = JSON.parse(document.getElementById(`${id}-plot`).textContent);
  const [view] = await Bokeh.embed.embed_item(item, id);
  // A finger that moves up or down scrolls the page, which Bokeh would forbid over a drawing that
  // can be dragged; one that moves sideways drags the drawing.
  const surface = view.canvas_view.events_el;
  surface.style.touchAction = "pan-y pinch-zoom";
  surface.tabIndex = -1; // keys do nothing there: the buttons and the list are for them
  return view.model;
}

/** Let a plot show a box {left, top, right, bottom}, as large as it fits, in the middle. */
function showBox(plot, box) {
  const { inner_width: width, inner_height: height } = plot;
  if (!(width > 0 && height > 0)) return;
  const perPixel = Math.max((box.right - box.left) / width, (box.bottom - box.top) / height);
  const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
  plot.x_range.setv({ start: x - (width / 2) * perPixel, end: x + (width / 2) * perPixel });
  plot.y_range.setv({ start: y + (height / 2) * perPixel, end: y - (height / 2) * perPixel });
}

/** Return the box that a plot shows now. */
function shownBox({ x_range: x, y_range: y }) {
  return { left: x.start, right: x.end, top: y.end, bottom: y.start };
}

/** Call back with the node, or null, that a reader clicks; `rows` tells whose row is which. */
function onTap(source, rows, callback) {
  let isOurs = false;
  source.selected.properties.indices.change.connect(() => {
    if (isOurs) return;
    const [row] = source.selected.indices;
    callback(row === undefined ? null : rows()[row]);
  });
  // What is chosen elsewhere has to be known to Bokeh, or a click beside it would change nothing.
  return (node) => {
    const row = rows().indexOf(node);
    isOurs = true;
    source.selected.indices = row < 0 ? [] : [row];
    isOurs = false;
  };
}

function createGraphView(data, plot, select) {
  const { layers, nodes, edges } = data;
  const sources = {};
  for (const name of ["bands", "bars", "headings", "lines", "pictures", "nodes", "labels"]) {
    sources[name] = plot.document.get_model_by_name(name);
  }
  const labels = plot.renderers.find((renderer) => renderer.data_source === sources.labels);
  let shown = [], lines = [], layout = data.layouts[0], place = new Map(), home = null;
  const mark = onTap(sources.nodes, () => shown, select);

  /** Put the nodes `now` at their places in a layout, with `edgesNow` between them. */
  function show(now, edgesNow, layoutNow) {
    const isMoved = layout !== layoutNow || home === null;
    shown = now;
    lines = edgesNow;
    layout = layoutNow;
    place = new Map(layout.nodes.map((node, i) => [node, [layout.x[i], layout.y[i]]]));
    const x = shown.map((node) => place.get(node)[0]), y = shown.map((node) => place.get(node)[1]);
    const corner = (value) => value - data.tile / 2;
    sources.pictures.data = {
      x: x.map(corner), y: y.map(corner), url: shown.map((node) => nodes.thumbnail[node]) };
    showBands();
    if (isMoved) fit();
  }

  function showBands() {
    const columns = { left: [], right: [], top: [], bottom: [] };
    const texts = { x: [], y: [], text: [] };
    const room = Math.floor((plot.inner_width || 360) / CHARACTER);
    layout.bands.forEach(([top, left, bottom, right], layer) => {
      columns.left.push(left); columns.right.push(right);
      columns.top.push(top); columns.bottom.push(bottom);
      const mine = shown.filter((node) => nodes.layer[node] === layer).length;
      const { name, grid, nodes: all } = layers[layer];
      texts.x.push(left); texts.y.push(top);
      texts.text.push(heading(name, ` · ${grid[0]} × ${grid[1]} cells`,
        ` · ${mine} of ${count(all, "node")}`, room));
    });
    sources.bands.data = columns;
    sources.bars.data = { ...columns, right: columns.left.map((left) => left + BAR),
      color: layers.map((layer) => layer.color) };
    sources.headings.data = texts;
  }

  /** Return a layer's heading of at most `room` characters; of a long name the end tells most. */
  function heading(name, cells, counts, room) {
    const more = name.length + cells.length + counts.length <= room ? cells + counts : counts;
    const left = Math.max(room - more.length, 8);
    return (name.length > left ? `…${name.slice(1 - left)}` : name) + more;
  }

  /** Show which node is chosen; what is not in its family, if there is one, is dimmed. */
  function highlight(chosen, family) {
    const isBright = (node) => family === null || family.has(node);
    const x = shown.map((node) => place.get(node)[0]), y = shown.map((node) => place.get(node)[1]);
    sources.nodes.data = {
      x, y,
      color: shown.map((node) => (node === chosen ? "#1F2328" : layers[nodes.layer[node]].color)),
      width: shown.map((node) => (node === chosen ? 5 : 2)),
      alpha: shown.map((node) => (isBright(node) ? 1 : 0.25)),
      veil: shown.map((node) => (isBright(node) ? 0 : VEIL)),
      title: shown.map((node) => nodes.name[node] || nodes.id[node]),
      line: shown.map((node) => nodeLine(data, node)),
      ...galleryColumns(data, shown),
    };
    const short = (text) => ([...text].length > 12 ? `${[...text].slice(0, 11).join("")}…` : text);
    sources.labels.data = {
      x, y: y.map((value) => value + data.tile / 2),
      text: shown.map((node) => short(nodes.name[node] || nodes.id[node].split("/").slice(-2).join("/"))),
      alpha: shown.map((node) => (isBright(node) ? 1 : 0.25)),
    };
    showLines(isBright, family !== null);
    mark(chosen);
  }

  function showLines(isBright, isChosen) {
    // Many lines hide each other: then they are paler.
    const crowd = Math.min(1, (200 / Math.max(lines.length, 1)) ** 0.3);
    const columns = { x0: [], y0: [], x1: [], y1: [], cx0: [], cy0: [], cx1: [], cy1: [],
      color: [], width: [], alpha: [] };
    for (const edge of lines) {
      const child = edges.child[edge], parent = edges.parent[edge];
      const [x0, y0] = place.get(child), [x1, y1] = place.get(parent), middle = (y0 + y1) / 2;
      const values = { x0, y0, x1, y1, cx0: x0, cy0: middle, cx1: x1, cy1: middle };
      for (const [key, value] of Object.entries(values)) columns[key].push(value);
      const strength = edges.strength[edge], isIn = isBright(child) && isBright(parent);
      columns.color.push(layers[nodes.layer[child]].color);
      columns.width.push((isChosen && isIn ? 1.2 : crowd * 0.7) + crowd * 2.8 * strength);
      columns.alpha.push(isIn ? (isChosen ? 0.9 : crowd * (0.3 + 0.6 * strength)) : 0.05);
    }
    sources.lines.data = columns;
  }

  /** Show all nodes that are shown now, with room for the uppermost layer's heading. */
  function fit() {
    const [height, width] = layout.size;
    const perPixel = Math.max(width / (plot.inner_width || 1), height / (plot.inner_height || 1));
    home = { left: -8 * perPixel, right: width + 8 * perPixel,
      top: -26 * perPixel, bottom: height + 8 * perPixel };
    showBox(plot, home);
  }

  /** Move by shares of what is shown, and zoom about the middle. */
  function move(dx, dy, zoom) {
    const { left, right, top, bottom } = shownBox(plot);
    const width = (right - left) / zoom, height = (bottom - top) / zoom;
    const x = (left + right) / 2 + dx * width, y = (top + bottom) / 2 + dy * height;
    showBox(plot, { left: x - width / 2, right: x + width / 2,
      top: y - height / 2, bottom: y + height / 2 });
  }

  /** Bring a node into sight. */
  function reveal(node) {
    if (!place.has(node)) return;
    const [x, y] = place.get(node), { left, right, top, bottom } = shownBox(plot);
    if (x > left && x < right && y > top && y < bottom) return;
    move((x - (left + right) / 2) / (right - left), (y - (top + bottom) / 2) / (bottom - top), 1);
  }

  function showLabels() {
    const { left, right } = shownBox(plot);
    labels.visible = plot.inner_width / (right - left) >= LABEL_SCALE;
  }
  plot.x_range.properties.end.change.connect(showLabels);
  plot.properties.inner_width.change.connect(() => { showBands(); fit(); });
  plot.properties.inner_height.change.connect(fit);
  return { show, highlight, fit, move, reveal };
}
