// The dialogs: help, and files for other tools.

import { byId, element } from "./dom.js";
import { post } from "./server.js";
import { refresh, store, unsaved } from "./store.js";

async function write(format, button) {
  const said = byId("export-said");
  if (unsaved.length) {
    said.textContent = "Some answers are not saved yet: see above.";
    return;
  }
  button.disabled = true;
  said.textContent = "Fitting and writing…";
  try {
    const made = await post("/api/exports", { format, predictions: byId("with-predictions").checked });
    said.textContent = `Written: ${made.file}`;
    const link = element("a", { href: `/api/exports/${format}`, download: made.name });
    document.body.append(link);
    link.click();
    link.remove();
    refresh().catch(() => {}); // places were fitted from nothing, and may have moved a little
  } catch (error) {
    said.textContent = `Not written: ${error.message}`;
  }
  button.disabled = false;
}

export function beginDialogs() {
  byId("formats").append(...store.formats.map(({ name, label }) => {
    const button = element("button", { type: "button", "data-format": name }, label);
    button.addEventListener("click", () => write(name, button));
    return button;
  }));
  byId("open-export").addEventListener("click", () => {
    byId("export-said").textContent = "";
    byId("export").showModal();
  });
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("click", (event) => {
      if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    });
    dialog.addEventListener("close", () => byId("stage").focus({ preventScroll: true }));
  }
}
