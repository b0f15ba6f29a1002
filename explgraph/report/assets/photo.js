// The drawing of a photo: the nodes that fire in it, where they are, with lines to their parents.

const SIZES = [7, 20]; // of marks, pixels, at no score and at the highest in the photo

function createPhotoView(data, plot, select) {
  const { layers, nodes, edges, photos } = data;
  const sources = {};
  for (const name of ["photo", "halos", "lines", "nodes"]) {
    sources[name] = plot.document.get_model_by_name(name);
  }
  const canvas = document.getElementById("photo-canvas"), text = document.getElementById("photo-text");
  let photo = photos[0], drawn = [];
  const mark = onTap(sources.nodes, () => drawn, select);

  function fit() {
    const [height, width] = photo.size;
    showBox(plot, { left: 0, right: width, top: 0, bottom: height });
  }

  /** Show another photo, as large as there is room for. */
  function choose(index) {
    photo = photos[index];
    const [height, width] = photo.size;
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.style.width = `min(100%, ${Math.round((560 * width) / height)}px)`;
    canvas.setAttribute("aria-label", `The photo ${photo.name} with the nodes that fire in it`);
    sources.photo.data = { url: [photo.picture], w: [width], h: [height] };
    fit();
  }

  /** Draw those of the nodes shown that fire here; what is not in the family is dimmed. */
  function highlight(shown, lines, chosen, family) {
    const [height, width] = photo.size, here = new Map();
    photo.nodes.forEach((node, i) => {
      here.set(node, { x: photo.x[i] * width, y: photo.y[i] * height, score: photo.score[i] });
    });
    const isBright = (node) => family === null || family.has(node);
    // The chosen node is drawn last, what is bright before it, the small above the large.
    drawn = shown.filter((node) => here.has(node)).sort((a, b) => (a === chosen) - (b === chosen)
      || isBright(a) - isBright(b) || here.get(b).score - here.get(a).score);
    const most = Math.max(...drawn.map((node) => here.get(node).score), 1e-9);
    const size = (node) => SIZES[0] + (SIZES[1] - SIZES[0]) * Math.sqrt(here.get(node).score / most);
    sources.nodes.data = {
      x: drawn.map((node) => here.get(node).x),
      y: drawn.map((node) => here.get(node).y),
      size: drawn.map((node) => size(node) + (node === chosen ? 5 : 0)),
      marker: drawn.map((node) => layers[nodes.layer[node]].marker),
      color: drawn.map((node) => layers[nodes.layer[node]].color),
      width: drawn.map((node) => (node === chosen ? 3.5 : 1.2)),
      alpha: drawn.map((node) => (isBright(node) ? 0.95 : 0.12)),
      title: drawn.map((node) => nodes.name[node] || nodes.id[node]),
      line: drawn.map((node) => `${nodes.id[node]}, score here ${here.get(node).score.toFixed(2)}`),
      ...galleryColumns(data, drawn),
    };
    showLines(lines.filter((edge) => here.has(edges.child[edge]) && here.has(edges.parent[edge])),
      here, family);
    mark(chosen);
    describe(chosen, here, shown.length);
  }

  function showLines(lines, here, family) {
    // Without a chosen node one line from each child is enough: all of them would hide the photo.
    const first = lines.filter((edge, i) => edges.child[edge] !== edges.child[lines[i - 1]]);
    const some = family === null ? first
      : lines.filter((edge) => family.has(edges.child[edge]) && family.has(edges.parent[edge]));
    const ends = (key, end) => some.map((edge) => here.get(edges[end][edge])[key]);
    const width = some.map((edge) => (family === null ? 1 : 1.5) + 1.5 * edges.strength[edge]);
    const columns = {
      x0: ends("x", "child"), y0: ends("y", "child"),
      x1: ends("x", "parent"), y1: ends("y", "parent"),
      color: some.map((edge) => layers[nodes.layer[edges.child[edge]]].color),
      width, halo: width.map((value) => value + 2),
      alpha: some.map(() => (family === null ? 0.55 : 0.95)),
    };
    sources.halos.data = columns;
    sources.lines.data = columns;
  }

  function describe(chosen, here, shownCount) {
    const name = chosen === null ? "" : nodes.name[chosen] || nodes.id[chosen];
    text.textContent = [
      `${photo.name}: ${drawn.length} of ${count(shownCount, "node")} shown fire here.`,
      photo.mirrored ? "The graph sees this photo mirrored." : "",
      chosen === null ? "" : here.has(chosen)
        ? `${name} scores ${here.get(chosen).score.toFixed(2)} here.`
        : `${name} does not fire here.`,
    ].filter(Boolean).join(" ");
  }

  plot.properties.inner_width.change.connect(fit);
  plot.properties.inner_height.change.connect(fit);
  return { choose, highlight };
}
