// The photo in question, large, with its marks: clicked by pointer, moved by keys.

import { beforeNextFrame, byId, element, percent } from "./dom.js";
import { give } from "./answers.js";
import {
  DOUBT, answerOf, large, partData, placeOf, questions, sizeOf, store, watch,
} from "./store.js";

const [STEP, SMALL] = [0.02, 0.004]; // of the photo's longer side, for a key
const MOST = 6; // pixels on the screen for one of the photo
const KINDS = { here: "placed by you", right: "confirmed by you", hidden: "not visible, as you said", skipped: "skipped" };

const [stage, frame, photo, marks] = ["stage", "frame", "photo", "marks"].map(byId);

/** Return a mark at a place [y, x] of a photo. */
export function mark(at, colour, ...classes) {
  const result = element("span", { class: ["mark", ...classes].join(" ") });
  result.style.setProperty("--part", colour);
  result.style.left = `${100 * at[1]}%`;
  result.style.top = `${100 * at[0]}%`;
  return result;
}

/** Return the mark of what is known of a part in a photo, or null. */
export function knownMark(image, part, ...classes) {
  const { colour } = store.parts[part];
  const answer = answerOf(image, part);
  if (answer !== null) {
    return answer.at === null ? null : mark(answer.at, colour, "given", answer.kind, ...classes);
  }
  const place = placeOf(image, part);
  if (place === null) return null;
  const sure = place.sure >= DOUBT ? "sure" : "doubtful";
  return mark(place.at, colour, sure, place.seen ? "seen" : "unseen", ...classes);
}

/** Say what is known of the chosen part in a photo, in a few words. */
export function knownWords(image) {
  const answer = answerOf(image);
  if (answer !== null) return KINDS[answer.kind];
  const place = placeOf(image);
  if (place === null) return "";
  return `${percent(place.sure)} sure${place.seen ? "" : ", perhaps not visible"}`;
}

function fit() {
  const [width, height] = sizeOf(store.image);
  const room = { width: stage.clientWidth, height: stage.clientHeight };
  const scale = Math.min(room.width / width, room.height / height, MOST);
  frame.style.width = `${Math.round(width * scale)}px`;
  frame.style.height = `${Math.round(height * scale)}px`;
}

function draw() {
  if (!store.images.length) return;
  fit();
  const all = store.parts.map((_, part) => part).filter((part) => part !== store.part)
    .map((part) => knownMark(store.image, part, "other"));
  const own = store.draft !== null
    ? mark(store.draft, store.parts[store.part].colour, "draft", "own")
    : store.part < store.parts.length && knownMark(store.image, store.part, "own");
  marks.replaceChildren(...all.filter(Boolean), ...(own ? [own] : []));
  describe();
}

function describe() {
  const name = store.images[store.image];
  const part = store.parts[store.part]?.name;
  const said = knownWords(store.image);
  const asked = questions().find(({ image }) => image === store.image);
  const isFirst = part && partData().places === null && answerOf(store.image) === null;
  byId("question").replaceChildren(
    element("strong", {}, name),
    ...(said ? [" ", element("span", { class: "known" }, said)] : []),
    ...(store.draft !== null ? [element("span", { class: "hint" }, "Enter: the mark is right here")]
      : isFirst ? [element("span", { class: "hint" }, `Click the ${part} in this photo`)]
        : asked ? [element("span", { class: "hint" }, `proposed: ${asked.reason}`)] : []));
  byId("question").title = byId("question").textContent;
  stage.setAttribute("aria-label", part
    ? `${name}, ${part}: ${store.draft !== null ? "the mark was moved" : said || "not known yet"}`
    : name);
}

function show() {
  const address = large(store.image);
  if (photo.getAttribute("src") !== address) {
    byId("unreadable").hidden = true;
    frame.hidden = false;
    photo.src = address;
  }
  draw();
}

/** Load the photos that come next before they are looked at. */
function loadAhead() {
  for (const { image } of questions().slice(0, 2)) new Image().src = large(image);
}

/** Move the mark by keys: from where it is shown, or the middle. */
export function nudge(y, x, isSmall) {
  if (store.part >= store.parts.length) return;
  const from = store.draft ?? answerOf(store.image)?.at ?? placeOf(store.image)?.at ?? [0.5, 0.5];
  const [width, height] = sizeOf(store.image);
  const step = (isSmall ? SMALL : STEP) * Math.max(width, height);
  const inside = (value) => Math.min(Math.max(value, 0), 1);
  store.draft = [inside(from[0] + (y * step) / height), inside(from[1] + (x * step) / width)];
  draw();
}

export function putBack() {
  if (store.draft === null) return false;
  store.draft = null;
  draw();
  return true;
}

/** Bring the photo into view, where the page scrolls: on a phone. */
export const backToPhoto = () => stage.scrollIntoView({ block: "center" });

/** Where the photo is out of view, nobody answers: there is only a way back to it. */
function watchView() {
  new IntersectionObserver(([{ isIntersecting }]) => {
    document.body.classList.toggle("away", !isIntersecting);
  }, { threshold: 0.3 }).observe(stage);
  byId("back").addEventListener("click", backToPhoto);
}

export function beginStage() {
  watchView();
  new ResizeObserver(beforeNextFrame(draw)).observe(stage);
  photo.addEventListener("error", () => {
    frame.hidden = true;
    byId("unreadable").hidden = false;
  });
  frame.addEventListener("click", (event) => {
    const box = frame.getBoundingClientRect();
    if (store.part >= store.parts.length) {
      byId("parts").querySelector(".add")?.click();
      return;
    }
    give("here", [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width]);
  });
  watch((what) => {
    if (what === "photo") show();
    else if (what === "questions") {
      describe();
      loadAhead();
    } else if (what !== "reveal") draw();
  });
  show();
}
