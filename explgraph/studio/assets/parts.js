// The parts: one is chosen, others can be added.

import { byId, element } from "./dom.js";
import { goToProposed } from "./answers.js";
import { addPart, choosePart, partData, store, watch } from "./store.js";

const box = byId("parts"), form = byId("new-part"), name = byId("new-part-name");

function draw() {
  const hadFocus = box.contains(document.activeElement);
  box.replaceChildren(...store.parts.map((part, i) => {
    const answered = partData(i).answers.size;
    const dot = element("span", { class: "dot" });
    dot.style.setProperty("--part", part.colour);
    const button = element("button",
      { type: "button", class: "part", "aria-pressed": String(i === store.part), "data-part": i },
      dot, element("span", { class: "name" }, part.name),
      ...(answered ? [element("small", { "aria-label": `${answered} answered` }, String(answered))] : []),
      ...(i < 9 ? [element("kbd", {}, String(i + 1))] : []));
    button.addEventListener("click", () => choosePart(i));
    return button;
  }), addButton());
  if (hadFocus) box.querySelector('[aria-pressed="true"]')?.focus();
}

function addButton() {
  const words = store.parts.length ? "+ part" : "+ Name the part to label";
  const button = element("button", { type: "button", class: "add" }, words);
  button.addEventListener("click", () => open(true));
  return button;
}

function open(isOpen) {
  form.hidden = !isOpen;
  if (isOpen) name.focus();
}

export function beginParts() {
  byId("cancel-part").addEventListener("click", () => open(false));
  name.addEventListener("input", () => name.setCustomValidity(""));
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") open(false);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const isFirst = !store.parts.length;
      await addPart(name.value);
      name.value = "";
      open(false);
      byId("stage").focus();
      if (isFirst) goToProposed();
    } catch (error) {
      name.setCustomValidity(error.message);
      name.reportValidity();
    }
  });
  watch((what) => { if (what === "part" || what === "places") draw(); });
  draw();
  if (!store.parts.length) open(true);
}
