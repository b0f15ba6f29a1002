// Answers: given on what is shown, saved one after the other, and not forgotten before that.

import { byId, count, say, sleep } from "./dom.js";
import { post } from "./server.js";
import {
  answerOf, assume, choosePart, choosePhoto, heard, partData, placeOf, questions, refresh, store,
  tell, unsaved,
} from "./store.js";

const [SEEN, PATIENCE] = [350, 700]; // milliseconds: to see the mark, for the next proposal
const WORDS = { here: "placed", right: "right", hidden: "not visible", skipped: "skipped" };

let isSaving = false, following = 0, trouble = null, visit = 0;

/** Answer for the chosen part and photo; `at` [y, x] is where it was clicked, or shown. */
export function give(kind, at = null) {
  if (trouble !== null && trouble.isOurs) return;
  const { part, image } = store;
  if (part >= store.parts.length) return;
  const { revision } = partData(part);
  store.draft = null;
  unsaved.push({ part, image, answer: { kind, at }, revision });
  assume(part, image, { kind, at });
  say(`${store.parts[part].name} in ${store.images[image]}: ${WORDS[kind]}.`);
  tell("photo");
  const saved = save();
  if (byId("go-on").checked) goOn(kind === "here" ? saved : null, image);
}

/** Say that the predicted place is right, or that the mark is where it was moved to. */
export function accept() {
  if (store.draft !== null) {
    give("here", store.draft);
    return;
  }
  const place = placeOf(store.image);
  const answer = answerOf(store.image);
  if (place === null) say("Nothing is predicted yet: click the part in the photo.");
  else if (answer !== null && answer.at !== null) goOn(null, store.image);
  else give("right", place.at);
}

/** Go to the photo that helps most; after a click, when it can be known, but not before it is seen. */
async function goOn(saved, from) {
  visit += 1;
  const mine = visit, { part, visits } = store;
  if (saved !== null) {
    await Promise.all([sleep(SEEN), Promise.race([saved, sleep(PATIENCE)])]);
  }
  const isStill = mine === visit && store.part === part && store.visits === visits;
  if (isStill && store.draft === null) goToProposed(from);
}

/** Go to the proposed photo that has no answer yet; not to the one that was just looked at. */
export function goToProposed(from = null) {
  const open = questions().filter(({ image }) => image !== from && answerOf(image) === null);
  if (open.length) choosePhoto(open[0].image);
  else if (from === null) say("No photo is proposed: all have an answer.");
}

/** Save what is not saved, in order; stop at the first that fails. */
async function save() {
  if (isSaving) return;
  isSaving = true;
  const parts = new Set();
  showSaved();
  try {
    while (unsaved.length && trouble === null) {
      const [one] = unsaved;
      const { part, image, revision, answer } = one;
      const said = await post("/api/answers", { part, image, revision, ...answer });
      heard(said.revision);
      unsaved.shift();
      parts.add(part);
    }
  } catch (error) {
    fail(error);
  } finally {
    isSaving = false;
    showSaved();
  }
  await follow(parts);
}

/** Learn what follows from answers that were saved. */
async function follow(parts) {
  following += 1;
  showSaved();
  try {
    await Promise.all([...parts].map((part) => refresh(part)));
  } catch { /* the next look for news says what is wrong */ }
  following -= 1;
  showSaved();
}

function fail(error) {
  const [one] = unsaved;
  if (error.status === 409) { // the photo is shown as it is now, and asked about again
    unsaved.shift();
    if (one.part !== store.part) choosePart(one.part);
    choosePhoto(one.image);
    complain({ message: `Another window answered this photo meanwhile. ${error.message}`, isOurs: false });
    refresh(one.part).catch(() => {});
    save();
    return;
  }
  complain({ status: error.status, message: error.message, isOurs: true });
}

/** Show what went wrong, and what to do. */
function complain(what) {
  trouble = what;
  const noServer = what.status === 0 || what.status === 403;
  const kept = noServer ? " Answers that were saved are safe in the folder of the labels." : "";
  const restart = what.status === 0 ? " Start it again, and open the address that it prints:" : "";
  const lead = what.isOurs && unsaved.length ? `Not saved: ${count(unsaved.length, "answer")}. ` : "";
  byId("trouble-text").textContent = `${lead}${what.message}${kept}${restart}`;
  byId("trouble-command").textContent = store.command;
  byId("trouble-command").hidden = what.status !== 0;
  byId("retry").hidden = !what.isOurs;
  byId("discard").hidden = false;
  byId("discard").textContent = what.isOurs && unsaved.length ? "Discard" : "Close";
  byId("trouble").hidden = false;
}

function calm() {
  trouble = null;
  byId("trouble").hidden = true;
}

export function showSaved() {
  const box = byId("saved");
  const isBad = trouble !== null && trouble.isOurs, isBusy = following > 0;
  box.classList.toggle("bad", isBad);
  box.classList.toggle("busy", isBusy);
  box.textContent = isBad ? (unsaved.length ? "Not saved" : "Not connected") : unsaved.length ? "Saving…"
    : isBusy ? "Saved, places follow…" : "All answers saved";
}

/** Take back the last answer, and look at its photo. */
export async function undo() {
  if (unsaved.length) return;
  visit += 1;
  try {
    const said = await post("/api/undo", { revision: store.revision });
    heard(said.revision);
    if (said.part !== undefined) {
      assume(said.part, said.image, null);
      if (said.part !== store.part) choosePart(said.part);
      choosePhoto(said.image);
      say(`Taken back: ${store.parts[said.part].name} in ${store.images[said.image]}.`);
    }
    await follow(new Set([said.part ?? store.part]));
  } catch (error) {
    complain({ status: error.status, message: error.message, isOurs: false });
  }
}

/** Called with true when the studio answers, else with the error. */
export function connection(state) {
  if (state === true) {
    if (trouble !== null && trouble.status === 0) retry();
  } else if (trouble === null) {
    complain({ status: state.status, message: state.message, isOurs: state.status === 0 || unsaved.length > 0 });
    showSaved();
  }
}

function retry() {
  calm();
  showSaved();
  if (unsaved.length) save();
  else refresh().catch(() => {});
}

export function beginAnswers() {
  byId("retry").addEventListener("click", retry);
  byId("discard").addEventListener("click", () => {
    const lost = unsaved.splice(0);
    calm();
    showSaved();
    for (const { part, image } of lost) assume(part, image, null);
    refresh().catch(() => {});
  });
  addEventListener("beforeunload", (event) => { if (unsaved.length) event.preventDefault(); });
  showSaved();
}
