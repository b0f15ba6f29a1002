// A look at the network: what it finds in all photos, and what it goes by in one. Made on demand.

import { byId, element, sleep } from "./dom.js";
import { get, post } from "./server.js";
import { store, watch } from "./store.js";

const LOOK = 300; // milliseconds between looks at how far work is
const FIELDS = { class: ["class-field"], filter: ["layer-field", "filter-field"], node: ["node-field"] };

let offers = null, view = "label";
const works = new Map(); // by the box that shows it: the number of the job

/** Have something made, and show it in a box: its progress, then itself, or why not. */
async function make(box, wish, show) {
  leave(box);
  const stop = element("button", { type: "button" }, "Stop");
  const words = element("p", { class: "faint", role: "status" }, "Waiting…");
  const bar = element("progress", { "aria-label": "How far it is" });
  box.replaceChildren(element("div", { class: "making" }, bar, words, stop));
  try {
    let job = await post("/api/work", wish);
    const { number } = job;
    works.set(box, number);
    stop.addEventListener("click", () => leave(box));
    while (job.state === "waiting" || job.state === "running") {
      words.textContent = progressWords(job);
      if (job.total) [bar.max, bar.value] = [job.total, job.done];
      else bar.removeAttribute("value");
      await sleep(LOOK);
      if (works.get(box) !== number) return;
      job = await get(`/api/work/${number}`);
    }
    if (works.get(box) !== number) return;
    works.delete(box);
    if (job.state === "done") box.replaceChildren(show(`/api/work/${number}/result`));
    else box.replaceChildren(element("p", { class: "failed" }, job.error || "It was stopped."));
  } catch (error) {
    box.replaceChildren(element("p", { class: "failed" }, error.message));
  }
}

function progressWords(job) {
  if (job.state === "waiting") return "Waiting for other work to end…";
  const passes = job.passes ? `, ${job.passes.toLocaleString("en")} runs of the network` : "";
  const what = job.what ? `${job.what} ${job.done} of ${job.total}, ` : "";
  return `${what}${job.seconds.toFixed(0)} s${passes}`;
}

/** End the work that a box waits for. */
function leave(box, options = {}) {
  const number = works.get(box);
  if (number === undefined) return;
  works.delete(box);
  box.replaceChildren(element("p", { class: "faint" }, "Stopped."));
  post(`/api/work/${number}/leave`, {}, options).catch(() => {});
}

const picture = (words) => (address) => element("img", { src: address, alt: words, class: "sheet" });

function frame(address) {
  return element("iframe", { src: address, title: "Report of the graph", sandbox: "allow-scripts allow-downloads" });
}

function showNetwork() {
  const [groups, report] = [byId("groups"), byId("report")];
  if (!groups.firstChild || groups.querySelector(".failed, .faint")) {
    if (offers.groups) make(groups, { kind: "groups" }, picture("Parts at a glance: a row for each group of nodes"));
    else groups.replaceChildren(element("p", { class: "faint" }, "This graph has no part groups."));
  }
  if (!report.querySelector("iframe")) make(report, { kind: "report" }, frame);
}

let looked = null; // the photo that the view of one photo shows

function showPhoto() {
  const name = store.images[store.image];
  byId("look-title").textContent = name;
  if (looked === store.image && byId("nodes").querySelector("img")) return; // as it was left
  if (looked !== store.image) byId("explanation").replaceChildren();
  looked = store.image;
  make(byId("nodes"), { kind: "nodes", image: store.image }, picture(`Parts of the graph in ${name}`));
}

function wish(kind) {
  const asked = byId("target-kind").value;
  const target = {
    class: () => byId("target-class").value,
    filter: () => `${byId("target-layer").value}/${byId("target-filter").value}`,
    node: () => byId("target-node").value,
  }[asked]();
  const methods = kind === "explain" ? chosenMethods() : [];
  return { kind, image: store.image, target, methods };
}

const chosenMethods = () =>
  [...byId("methods").querySelectorAll("input:checked")].map((box) => box.value);

function showFields() {
  const kind = byId("target-kind").value;
  for (const ids of Object.values(FIELDS)) for (const id of ids) byId(id).hidden = true;
  for (const id of FIELDS[kind]) byId(id).hidden = false;
  byId("decide").hidden = kind !== "class";
}

function limitFilter() {
  const layer = offers.layers.find(({ name }) => name === byId("target-layer").value);
  byId("target-filter").max = layer.filters - 1;
}

function fillForm() {
  byId("ask").hidden = !offers.network;
  byId("no-network").hidden = offers.network;
  byId("target-layer").append(...offers.layers.map(({ name }) => element("option", { value: name }, name)));
  byId("target-layer").value = offers.layers.at(-1).name;
  byId("target-node").append(...offers.nodes.map(({ id, name }) =>
    element("option", { value: id }, name ? `${name} (${id})` : id)));
  byId("methods").append(...offers.methods.map(({ name, first }) => element("label", { class: "check" },
    element("input", { type: "checkbox", value: name, checked: first }), ` ${name.replaceAll("_", " ")}`)));
  showFields();
  limitFilter();
  nameMethods();
}

function nameMethods() {
  byId("methods-chosen").textContent = chosenMethods().join(", ").replaceAll("_", " ") || "none";
}

async function choose(name) {
  for (const one of ["label", "network", "photo"]) {
    const tab = byId(`tab-${one}`), isOn = one === name;
    tab.setAttribute("aria-selected", String(isOn));
    tab.tabIndex = isOn ? 0 : -1;
    byId(`view-${one}`).hidden = !isOn;
  }
  if (name !== view) for (const box of [...works.keys()]) leave(box);
  view = name;
  if (name === "label") return;
  try {
    if (offers === null) {
      offers = await get("/api/looks");
      fillForm();
    }
  } catch (error) {
    byId(name === "network" ? "groups" : "nodes").replaceChildren(element("p", { class: "failed" }, error.message));
    return;
  }
  if (view === "network") showNetwork();
  else if (view === "photo") showPhoto();
}

function onTabKey(event) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const next = tabs[(tabs.indexOf(event.target) + by + tabs.length) % tabs.length];
  next.focus();
  next.click();
}

export function beginNetwork() {
  for (const one of ["label", "network", "photo"]) {
    byId(`tab-${one}`).addEventListener("click", () => choose(one));
    byId(`tab-${one}`).addEventListener("keydown", onTabKey);
  }
  byId("target-kind").addEventListener("change", showFields);
  byId("target-layer").addEventListener("change", limitFilter);
  byId("methods").addEventListener("change", nameMethods);
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    make(byId("explanation"), wish("explain"), picture("Which pixels speak for it, by each method"));
  });
  byId("decide").addEventListener("click", () => make(byId("explanation"), wish("decision"),
    picture("The nodes on which the network’s answer hangs")));
  addEventListener("pagehide", () => {
    for (const box of [...works.keys()]) leave(box, { keepalive: true });
  });
  watch((what) => { if (what === "photo" && view === "photo") showPhoto(); });
}
