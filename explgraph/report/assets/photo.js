// A photo: one labelled place for each group, and nodes where they are asked for.

const UNSURE = 0.5; // of a group's usual agreement: below, its place in a photo is a guess
const MARK = [5, 13]; // of nodes: radius in pixels at no score, and at the highest in the photo
const PLACE = 11; // radius of a group's place, pixels

function createPhotoView(select) {
  const canvas = document.getElementById("photo-canvas"), text = document.getElementById("photo-text");
  const drawing = shape("svg", { "aria-hidden": "true" });
  canvas.append(drawing);
  let photo = photos[0], last = null;

  function choose(index) {
    photo = photos[index];
    const [height, width] = photo.size;
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.style.maxWidth = `min(100%, ${Math.round((460 * width) / height)}px)`;
    canvas.setAttribute("aria-label", `The photo ${photo.name} with the groups that lie in it`);
  }

  /** Draw the groups' places, and some nodes. What is not of a chosen group or family is dimmed. */
  function show(state) {
    last = state;
    const [height, width] = photo.size;
    const scale = (canvas.clientWidth || width) / width; // pixels of the screen per photo's pixel
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.replaceChildren(shape("image", { href: photo.picture, width, height }));
    const here = new Map(photo.nodes.map((node, i) =>
      [node, { x: photo.x[i] * width, y: photo.y[i] * height, score: photo.score[i] }]));
    const drawn = state.nodes.filter((node) => here.has(node));
    drawNodes(drawn, here, state, scale);
    drawPlaces(state, scale);
    describe(state, here, drawn.length);
  }

  function drawNodes(drawn, here, { node: chosen, family, kind }, scale) {
    const most = Math.max(...drawn.map((node) => here.get(node).score), 1e-9);
    const lines = shape("g"), marks = shape("g");
    if (chosen !== null && here.has(chosen)) {
      for (const node of drawn) {
        if (node === chosen || !family?.has(node)) continue;
        const [a, b] = [here.get(chosen), here.get(node)];
        for (const name of ["halo", "line"]) lines.append(shape("line",
          { x1: a.x, y1: a.y, x2: b.x, y2: b.y, class: `${name} ${kind}` }));
      }
    }
    const order = [...drawn].sort((a, b) => (a === chosen) - (b === chosen)
      || here.get(b).score - here.get(a).score);
    for (const node of order) {
      const { x, y, score } = here.get(node), { shape: outline, color } = layers[nodes.layer[node]];
      const radius = MARK[0] + (MARK[1] - MARK[0]) * Math.sqrt(score / most);
      const size = (node === chosen ? radius + 3 : radius) / 6 / scale;
      const dim = family !== null && !family.has(node);
      const mark = shape("path", { d: outline, fill: color, "data-node": node,
        transform: `translate(${x} ${y}) scale(${size})`,
        class: `mark${node === chosen ? " chosen" : ""}${dim ? " dim" : ""}` });
      mark.addEventListener("click", () => select({ node }));
      card.attach(mark, node, () => `${nodeLine(node)}; score here ${figure(score)}`);
      marks.append(mark);
    }
    drawing.append(lines, marks);
  }

  function drawPlaces({ group: chosen, node }, scale) {
    const [height, width] = photo.size;
    const boxes = [], rings = shape("g"), labels = shape("g");
    const order = groups.filter((group) => !group.folded || group.number === chosen);
    const middles = order.map(({ number }) => photo.places[number]);
    order.forEach((group, i) => {
      const [y, x, agreement] = middles[i];
      const [cx, cy] = [x * width, y * height];
      const isSure = agreement >= UNSURE * group.agreement;
      const isDim = (chosen !== null && chosen !== group.number) || (node !== null && chosen === null);
      const classes = `place${isSure ? "" : " unsure"}${isDim ? " dim" : ""}`;
      const words = `${groupName(group.number)}: its nodes agree to ${percent(agreement)}`
        + `${isSure ? "" : ", less than usual: a guess"}`;
      const ring = shape("g", { class: classes, "data-place": group.number },
        shape("title", {}, words),
        shape("circle", { cx, cy, r: PLACE / scale, class: "under" }),
        shape("circle", { cx, cy, r: PLACE / scale, class: "over" }));
      ring.addEventListener("click", () => select({ group: group.number }));
      rings.append(ring);
      if (isDim && chosen !== null) return;
      const name = cut(groupName(group.number), 16);
      const at = free(boxes, { cx, cy, width: (name.length * 7.2 + 4) / scale, height: 16 / scale,
        reach: (PLACE + 3) / scale }, middles.map(([v, u]) => [u * width, v * height]));
      labels.append(shape("text", { x: at.x, y: at.y + 12.5 / scale, class: `${classes} label`,
        "data-place": group.number, "font-size": 13.5 / scale, "stroke-width": 3.5 / scale }, name));
    });
    drawing.append(rings, labels);
  }

  /** Find where a label is in the photo and covers no other, nor another group's place. */
  function free(boxes, { cx, cy, width: w, height: h, reach }, middles) {
    const [height, width] = photo.size;
    const spots = [[cx + reach, cy - h / 2], [cx - reach - w, cy - h / 2], [cx - w / 2, cy - reach - h],
      [cx - w / 2, cy + reach], [cx + reach, cy - 1.3 * h], [cx + reach, cy + 0.4 * h],
      [cx - reach - w, cy - 1.3 * h], [cx - reach - w, cy + 0.4 * h]];
    const cost = ([x, y]) => {
      const outside = Math.max(-x, x + w - width, -y, y + h - height, 0) > 0 ? 20 : 0;
      const covered = boxes.filter((box) => x < box.x + box.w && x + w > box.x
        && y < box.y + box.h && y + h > box.y).length;
      const hidden = middles.filter(([u, v]) => u > x - reach / 2 && u < x + w + reach / 2
        && v > y && v < y + h).length;
      return outside + 8 * covered + 3 * hidden;
    };
    const costs = spots.map(cost), [x, y] = spots[costs.indexOf(Math.min(...costs))];
    const kept = { x: Math.min(Math.max(x, 0), Math.max(width - w, 0)), y, w, h };
    boxes.push(kept);
    return kept;
  }

  function describe({ node: chosen, group }, here, drawn) {
    text.textContent = [
      `${photo.name}.`,
      photo.mirrored ? "The graph sees this photo mirrored." : "",
      drawn ? `${count(drawn, "node")} shown here.` : "",
      group === null || !photo.places[group] ? ""
        : `${groupName(group)}: its nodes agree to ${percent(photo.places[group][2])} here.`,
      chosen === null ? "" : here.has(chosen)
        ? `${nodeName(chosen)} scores ${figure(here.get(chosen).score)} here.`
        : `${nodeName(chosen)} does not fire here.`,
    ].filter(Boolean).join(" ");
  }

  /** Show where a group is while its row is under the pointer. */
  function point(number) {
    drawing.classList.toggle("pointing", number !== null);
    for (const mark of drawing.querySelectorAll("[data-place]")) {
      mark.classList.toggle("pointed", mark.dataset.place === String(number));
    }
  }

  new ResizeObserver(beforeNextFrame(() => { if (last !== null) show(last); })).observe(canvas);
  return { choose, show, point };
}
