// All photos as a grid. Only those in view are on the page: ten thousand scroll as well as ten.

import { beforeNextFrame, byId, count, element, percent } from "./dom.js";
import { DOUBT, answerOf, choosePhoto, partData, placeOf, sizeOf, store, thumbnail, watch } from "./store.js";
import { backToPhoto, knownMark } from "./stage.js";

const [WIDTH, NARROW, CAPTION, GAP, SHAPE] = [134, 104, 22, 8, 0.75]; // pixels; height to width
const AHEAD = 1; // rows beside those in view
const WORDS = { here: "placed", right: "right", hidden: "not visible", skipped: "skipped" };

const grid = byId("grid"), pane = byId("grid-pane");
let order = [], columns = 1, tile = { width: WIDTH, height: 0 };
const shown = new Map(); // by photo: its tile

/** Return the photos in the order of the grid, as they are chosen to be shown. */
export const photosInOrder = () => order;
export const photosInRow = () => columns;

function arrange() {
  const wanted = byId("show").value;
  const { answers, places } = partData();
  order = store.images.map((_, image) => image).filter((image) => {
    if (wanted === "all") return true;
    return answers.has(image) === (wanted === "answered");
  });
  if (byId("sort").value === "doubt" && places !== null) {
    const rank = (image) => (answers.has(image) ? 2000 : places.sure[image]);
    order.sort((a, b) => rank(a) - rank(b) || a - b);
  }
  byId("shown").textContent = order.length === store.images.length
    ? count(order.length, "photo") : `${order.length.toLocaleString("en")} of ${count(store.images.length, "photo")}`;
}

function measure() {
  const room = grid.clientWidth || 1;
  const wish = room < 480 ? NARROW : WIDTH;
  columns = Math.max(1, Math.floor((room + GAP) / (wish + GAP)));
  const width = Math.floor((room + GAP) / columns) - GAP;
  tile = { width, height: Math.round(width * SHAPE) + CAPTION };
  const rows = Math.ceil(order.length / columns);
  grid.style.height = `${Math.max(rows * (tile.height + GAP) - GAP, 0)}px`;
}

/** Put the tiles on the page that are in view, and take the others off. */
function draw() {
  const box = grid.getBoundingClientRect();
  const view = getComputedStyle(pane).overflowY === "auto" ? pane.getBoundingClientRect()
    : { top: 0, bottom: innerHeight };
  const row = tile.height + GAP;
  const first = Math.max(Math.floor((view.top - box.top) / row) - AHEAD, 0) * columns;
  const last = (Math.floor((view.bottom - box.top) / row) + 1 + AHEAD) * columns;
  const wanted = new Set(order.slice(first, last));
  for (const [image, element_] of shown) {
    if (!wanted.has(image)) {
      element_.remove();
      shown.delete(image);
    }
  }
  order.slice(first, last).forEach((image, i) => {
    const box = place(image, first + i);
    if (grid.children[i] !== box) grid.insertBefore(box, grid.children[i] ?? null); // as read aloud
  });
  grid.setAttribute("aria-activedescendant", `tile-${store.image}`);
}

function place(image, position) {
  let box = shown.get(image);
  if (!box) {
    box = makeTile(image);
    shown.set(image, box);
  }
  const [column, row] = [position % columns, Math.floor(position / columns)];
  box.style.width = `${tile.width}px`;
  box.style.height = `${tile.height}px`;
  box.style.transform = `translate(${column * (tile.width + GAP)}px, ${row * (tile.height + GAP)}px)`;
  box.setAttribute("aria-posinset", position + 1);
  box.setAttribute("aria-setsize", order.length);
  box.setAttribute("aria-selected", String(image === store.image));
  fill(box, image);
  return box;
}

function makeTile(image) {
  const picture = element("img", { alt: "", src: thumbnail(image), draggable: "false", decoding: "async" });
  picture.addEventListener("error", () => { picture.hidden = true; }, { once: true });
  const fitted = element("span", { class: "fitted" }, picture, element("span", { class: "marks" }));
  const box = element("div", { class: "tile", role: "option", id: `tile-${image}`, title: store.images[image] },
    element("span", { class: "room" }, fitted), element("span", { class: "caption" }));
  box.addEventListener("click", () => {
    choosePhoto(image);
    if (document.body.classList.contains("away")) backToPhoto();
  });
  return box;
}

function fill(box, image) {
  const [width, height] = sizeOf(image);
  const room = { width: tile.width, height: tile.height - CAPTION };
  const scale = Math.min(room.width / width, room.height / height);
  const fitted = box.firstChild.firstChild;
  fitted.style.width = `${width * scale}px`;
  fitted.style.height = `${height * scale}px`;
  const own = store.part < store.parts.length ? knownMark(image, store.part, "small") : null;
  fitted.lastChild.replaceChildren(...(own ? [own] : []));
  box.lastChild.replaceChildren(...caption(image));
  box.setAttribute("aria-label", `${store.images[image]}, ${box.lastChild.textContent || "not known yet"}`);
}

function caption(image) {
  const answer = answerOf(image);
  if (answer !== null) return [element("span", { class: `given ${answer.kind}` }, WORDS[answer.kind])];
  const place = placeOf(image);
  if (place === null) return [];
  if (!place.seen) return [element("span", {}, `${percent(place.sure)} · hidden?`)];
  const bar = element("span", { class: place.sure < DOUBT ? "bar-room doubtful" : "bar-room" }, element("span"));
  bar.firstChild.style.width = `${100 * place.sure}%`;
  return [bar, element("span", {}, percent(place.sure))];
}

function counter() {
  const { progress } = partData();
  const part = store.parts[store.part];
  byId("counter").textContent = progress === null || !part ? "" : [
    `${count(progress.answered, "answer")} for ${part.name}`,
    progress.right ? `${percent(progress.right)} expected right` : null,
    `${count(progress.doubt, "photo")} left in doubt`,
  ].filter(Boolean).join(" · ");
  const share = (number) => `${progress ? (100 * number) / Math.max(progress.photos, 1) : 0}%`;
  byId("meter-answered").style.width = share(progress?.answered ?? 0);
  byId("meter-right").style.width = share((progress?.right ?? 0) * (progress?.photos ?? 0));
}

/** Bring the chosen photo into view. */
function reveal() {
  const position = order.indexOf(store.image);
  if (position < 0 || getComputedStyle(pane).overflowY !== "auto") return;
  const top = Math.floor(position / columns) * (tile.height + GAP);
  if (top < pane.scrollTop) pane.scrollTop = top;
  else if (top + tile.height > pane.scrollTop + pane.clientHeight) {
    pane.scrollTop = top + tile.height - pane.clientHeight;
  }
}

export function beginGrid() {
  const redraw = beforeNextFrame(draw);
  const anew = beforeNextFrame(() => { arrange(); measure(); draw(); counter(); });
  for (const id of ["sort", "show"]) byId(id).addEventListener("change", () => { anew(); pane.scrollTop = 0; });
  addEventListener("scroll", redraw, { passive: true, capture: true });
  addEventListener("resize", anew);
  new ResizeObserver(anew).observe(pane);
  watch((what) => {
    if (what === "reveal") reveal();
    if (what === "photo" || what === "reveal") redraw();
    else if (what !== "questions") anew();
  });
  anew();
}
