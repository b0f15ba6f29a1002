// What is known of the session: photos, parts, answers, predictions. Views are told when it changes.

import { get, post } from "./server.js";

const FINE = 10000, SURE = 1000; // of whole numbers that stand for shares
export const DOUBT = 0.5; // below which a prediction is in doubt
const NEWS = 1000; // milliseconds between looks for what another tab said

export const store = {
  images: [], sizes: [], formats: [], parts: [], version: "", command: "", folder: "",
  revision: 0,   // of the session, as last heard
  part: 0,       // the chosen part
  image: 0,      // the chosen photo
  visits: 0,     // how often a photo was chosen
  draft: null,   // where the mark was moved by keys, [y, x], or null
};

/** Answers that the studio has not confirmed, the oldest first: { part, image, answer, ... }. */
export const unsaved = [];

const data = new Map(); // by part: what `partData` returns
const queues = new Map(); // by part: what is asked about next, the best first
const watchers = new Set();

/** Call a function whenever something changes; it is told what: "photo", "part", "places", ... */
export const watch = (watcher) => { watchers.add(watcher); };
export const tell = (what) => { for (const watcher of watchers) watcher(what); };

/** Return what is known of a part: `answers` by photo, `places`, `progress`, `revision`. */
export const partData = (part = store.part) => data.get(part) ?? EMPTY;
const EMPTY = { revision: 0, answers: new Map(), places: null, progress: null };

export const questions = (part = store.part) => queues.get(part) ?? [];
export const answerOf = (image, part = store.part) => partData(part).answers.get(image) ?? null;

/** Return a prediction, `at` [y, x], `sure`, `seen`; null before the first click. */
export function placeOf(image, part = store.part) {
  const { places } = partData(part);
  if (places === null) return null;
  return {
    at: [places.at[2 * image] / FINE, places.at[2 * image + 1] / FINE],
    sure: places.sure[image] / SURE, seen: places.seen[image] === 1,
  };
}

export const sizeOf = (image) => [store.sizes[2 * image], store.sizes[2 * image + 1]];
export const thumbnail = (image) => `/photos/${image}/thumbnail?${store.version}`;
export const large = (image) => `/photos/${image}/large?${store.version}`;

/** Put what someone said into what is known, before the server has said what follows. */
export function assume(part, image, answer) {
  const known = partData(part);
  const answers = new Map(known.answers);
  if (answer === null) answers.delete(image);
  else answers.set(image, answer);
  data.set(part, { ...known, answers });
  tell("places");
}

function understood(part, said) {
  const answers = new Map(said.answers.image.map((image, i) => {
    const [y, x] = [said.answers.at[2 * i], said.answers.at[2 * i + 1]];
    return [image, { kind: said.answers.kind[i], at: y === null ? null : [y / FINE, x / FINE] }];
  }));
  for (const one of unsaved) if (one.part === part) answers.set(one.image, one.answer);
  return { revision: said.revision, answers, places: said.places, progress: said.progress };
}

export async function begin() {
  Object.assign(store, await get("/api/state"));
}

const underWay = new Map(); // by part: the promise, and whether it has to be done once more

/** Learn anew what is known of a part and what to ask next; of several wishes, the last counts. */
export function refresh(part = store.part) {
  const known = underWay.get(part);
  if (known) {
    known.again = true;
    return known.done;
  }
  const work = { again: false };
  work.done = (async () => {
    try {
      do {
        work.again = false;
        const said = understood(part, await get(`/api/parts/${part}`));
        data.set(part, said);
        heard(said.revision);
        tell("places");
        const asked = await get(`/api/parts/${part}/next`);
        queues.set(part, asked.image.map((image, i) => ({ image, reason: asked.reason[i] })));
        tell("questions");
      } while (work.again);
    } finally {
      underWay.delete(part);
    }
  })();
  underWay.set(part, work);
  return work.done;
}

export const heard = (revision) => { store.revision = Math.max(store.revision, revision); };

export function choosePart(part) {
  if (part < 0 || part >= store.parts.length) return;
  store.part = part;
  store.draft = null;
  tell("part");
  refresh(part).catch(() => {});
}

export function choosePhoto(image) {
  if (image < 0 || image >= store.images.length) return;
  store.image = image;
  store.visits += 1;
  store.draft = null;
  tell("photo");
}

export async function addPart(name) {
  const said = await post("/api/parts", { name });
  store.parts = said.parts;
  heard(said.revision);
  choosePart(said.part);
  await refresh(said.part);
}

/** Look now and then for what other tabs said; `connection` is told true or the error. */
export function listen(connection) {
  let timer = 0, isLooking = false;
  async function look() {
    clearTimeout(timer);
    if (isLooking) return;
    isLooking = true;
    try {
      const news = await get("/api/news");
      connection(true);
      if (news.revision !== store.revision) {
        const isNew = news.revision > store.revision;
        store.revision = news.revision;
        if (news.parts.length !== store.parts.length) {
          store.parts = news.parts;
          tell("part");
        }
        if (isNew) await Promise.all(store.parts.map((_, part) => refresh(part)));
      }
    } catch (error) {
      connection(error);
    } finally {
      isLooking = false;
      timer = setTimeout(look, document.hidden ? 5 * NEWS : NEWS);
    }
  }
  document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
  look();
}
