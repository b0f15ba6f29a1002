// The studio's page: label parts in some photos, and have them in all.

import { beginAnswers, connection } from "./answers.js";
import { byId } from "./dom.js";
import { beginDialogs } from "./export.js";
import { beginGrid } from "./grid.js";
import { beginKeys } from "./keys.js";
import { beginNetwork } from "./network.js";
import { beginParts } from "./parts.js";
import { beginStage } from "./stage.js";
import { begin, choosePhoto, listen, questions, refresh, store } from "./store.js";

async function main() {
  history.replaceState(null, "", "/"); // the token is in a cookie now, and need not be seen
  try {
    await begin();
  } catch (error) {
    byId("trouble-text").textContent = error.message;
    byId("trouble").hidden = false;
    return;
  }
  document.title = `${store.folder} · explgraph studio`;
  byId("folder").textContent = store.folder;
  beginAnswers();
  beginParts();
  beginStage();
  beginGrid();
  beginKeys();
  beginDialogs();
  beginNetwork();
  const parts = store.parts.map((_, part) => part);
  if (parts.length) await refresh(0).catch(() => {});
  if (questions().length) choosePhoto(questions()[0].image);
  document.body.classList.add("ready");
  byId("stage").focus({ preventScroll: true });
  listen(connection);
  for (const part of parts.slice(1)) await refresh(part).catch(() => {});
}

main();
