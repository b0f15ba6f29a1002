// What all of the page shares: its data, elements, and how figures are written.
// Text is set as text: what users wrote is never read as HTML.

const data = JSON.parse(document.getElementById("report-data").textContent);
const { nodes, layers, groups, photos, pictures, edges, counts } = data;
const everyNode = nodes.id.map((_, node) => node);
const groupOf = new Map(groups.map((group) => [group.number, group]));
const picture = new Map(pictures.node.map((node, i) => [node,
  { thumbnail: pictures.thumbnail[i], strip: pictures.strip[i], patches: pictures.patches[i] }]));
const NONE = -1;

/** Make an element with attributes and children. */
function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Make a shape of a drawing. */
function shape(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(result, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) result.setAttribute(key, value);
  }
  result.append(...children);
  return result;
}

/** Return a number with what it counts. */
const count = (number, what) => `${number.toLocaleString("en")} ${what}${number === 1 ? "" : "s"}`;

/** Return an id without the beginning of a long one: its end tells nodes apart. */
const shortId = (id) => (id.length > 34 ? `…${id.slice(-33)}` : id);

const cut = (text, room) => ([...text].length > room ? `${[...text].slice(0, room - 1).join("")}…` : text);
const percent = (share) => `${Math.round(100 * share)} %`;
const figure = (value) => (value === null || value === undefined ? "–" : value.toFixed(2));
const plusMinus = (value, spread) => `${value.toFixed(2)} ± ${spread.toFixed(2)}`;
const nodeName = (node) => nodes.name[node] || shortId(nodes.id[node]);

/** Return what a group is called: its name, or where it lies. */
function groupName(number) {
  const group = groupOf.get(number);
  return group ? group.name || group.region : "no group";
}

/** Say in a line what a node is. */
function nodeLine(node) {
  const identity = nodes.name[node] ? `${nodes.id[node]}, ` : "";
  const where = groupOf.has(nodes.group[node]) ? `group ${groupName(nodes.group[node])}, ` : "";
  return `${identity}${where}rank ${nodes.rank[node]}, fires in ${percent(nodes.fires[node])}`;
}

/** Say what the figure of an edge means. */
function edgeWords(kind, value) {
  if (kind === "moves") return `steady within ${Math.max(Math.round(value), 1)} px`;
  return value < 0 ? `inhibits by ${percent(-value)}` : `carries ${percent(value)}`;
}

/** Call a function once before the next frame, however often it is asked for. */
function beforeNextFrame(action) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; action(); });
  };
}
