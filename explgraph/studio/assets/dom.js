// Elements, and how figures are written. Text is set as text: what users wrote is never HTML.

export const byId = (id) => document.getElementById(id);

/** Make an element with attributes and children. */
export function element(tag, attributes = {}, ...children) {
  const result = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) result.setAttribute(key, "");
    else if (value !== null && value !== undefined && value !== false) result.setAttribute(key, value);
  }
  result.append(...children);
  return result;
}

/** Return a number with what it counts. */
export const count = (number, what) =>
  `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;
export const percent = (share) => `${Math.round(100 * share)} %`;

/** Call a function once before the next frame, however often it is asked for. */
export function beforeNextFrame(action) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; action(); });
  };
}

export const sleep = (milliseconds) => new Promise((done) => { setTimeout(done, milliseconds); });

/** Say something to who listens rather than looks. */
export function say(text) {
  byId("said").textContent = text;
}
