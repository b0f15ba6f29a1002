// The keyboard: everything that a pointer can do.

import { byId } from "./dom.js";
import { accept, give, goToProposed, undo } from "./answers.js";
import { photosInOrder, photosInRow } from "./grid.js";
import { nudge, putBack } from "./stage.js";
import { choosePart, choosePhoto, store, tell } from "./store.js";

const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
const OWN = "input, select, textarea, dialog, iframe, [role=tab]"; // keep their keys to themselves

/** Go some photos on in the order of the grid. */
export function step(by) {
  const order = photosInOrder();
  const now = order.indexOf(store.image);
  const next = now < 0 ? 0 : Math.min(Math.max(now + by, 0), order.length - 1);
  if (!order.length) return;
  choosePhoto(order[next]);
  tell("reveal");
}

const ACTIONS = {
  Enter: accept,
  x: () => give("hidden"),
  s: () => give("skipped"),
  u: undo,
  n: () => goToProposed(),
  "?": () => byId("help").showModal(),
};

function onKey(event) {
  const target = event.target instanceof Element ? event.target : document.body;
  if (byId("view-label").hidden || target.closest(OWN) || event.isComposing) return;
  if ((event.ctrlKey || event.metaKey) && event.key === "z" && !event.shiftKey) {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey) return;
  if (event.key in ARROWS) {
    const [y, x] = ARROWS[event.key];
    event.preventDefault();
    if (event.shiftKey) nudge(y, x, event.altKey);
    else if (!event.altKey) step(x || y * photosInRow());
    return;
  }
  if (event.altKey || event.repeat) return;
  if (event.key === "Home" || event.key === "End") {
    event.preventDefault();
    step(event.key === "Home" ? -Infinity : Infinity);
  } else if (event.key === "Escape") putBack();
  else if (/^[1-9]$/.test(event.key)) choosePart(Number(event.key) - 1);
  else if (event.key === "Enter" && target.closest("button, a, summary")) return;
  else {
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (!(key in ACTIONS)) return;
    event.preventDefault();
    ACTIONS[key]();
  }
}

/** What was clicked by a pointer gives the keys back to the photo. */
function onClick(event) {
  const isPointer = event.detail > 0;
  if (isPointer && event.target.closest(".actions button, .parts .part")) byId("stage").focus({ preventScroll: true });
}

export function beginKeys() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", onClick);
  const on = (id, action) => byId(id).addEventListener("click", action);
  on("answer-right", accept);
  on("answer-hidden", () => give("hidden"));
  on("answer-skip", () => give("skipped"));
  on("answer-undo", undo);
  on("previous", () => step(-1));
  on("next", () => step(1));
  on("proposed", () => goToProposed());
  on("open-help", () => byId("help").showModal());
}
