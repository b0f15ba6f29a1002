// Talking to the studio. An error tells what to do; `status` is 0 where nobody answered.

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options) {
  let reply;
  try {
    reply = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new ServerError(0, "The studio does not answer.");
  }
  if (reply.ok) return reply.json();
  if (reply.status === 403) {
    throw new ServerError(403, "The studio was started again: open the address that it printed.");
  }
  let message = `The studio failed (${reply.status}).`;
  try {
    message = (await reply.json()).error ?? message;
  } catch { /* no JSON: the sentence above stands */ }
  throw new ServerError(reply.status, message);
}

export const get = (path) => ask(path, {});

export const post = (path, value = {}, options = {}) => ask(path, {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(value),
  ...options,
});
