// Elements without markup: every word of manifest and service comes in as text.

const SVG = "http://www.w3.org/2000/svg";

function el(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", width: 16, height: 16 }, svg("use", { href: `#i-${name}` }));
}

function setIcon(button, name) {
  button.querySelector("use").setAttribute("href", `#i-${name}`);
}

function iconButton(name, label, attributes) {
  return el("button", { type: "button", "aria-label": label, title: label, ...attributes }, icon(name));
}

// Words of others keep their own direction of writing, and do not turn those around them.
function foreign(text, attributes) {
  return el("bdi", attributes, text);
}

// What the browser keeps from one visit to the next. It may refuse to, as some do for a file: then it lasts as long as
// the page.
function keep(name, value) {
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, JSON.stringify(value));
  } catch {
    return;
  }
}

function kept(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

const COLUMN = 3;
const HALF = 50;

// A waveform as one path: a bar a column, as tall on both sides. Without one, a line to seek on.
function wavePath(letters) {
  if (!letters) return `M0 ${HALF - 2}h${120 * COLUMN}v4h-${120 * COLUMN}z`;
  let path = "";
  for (let column = 0; column < letters.length; column += 1) {
    const tall = Math.max(1.5, (LETTERS.indexOf(letters[column]) / 63) * (HALF - 2));
    path += `M${column * COLUMN} ${(HALF - tall).toFixed(1)}h2v${(2 * tall).toFixed(1)}h-2z`;
  }
  return path;
}

// Two paths, one over the other: what has been heard is the upper one, cut off where the sound is.
function waveform(letters) {
  const path = wavePath(letters);
  const draw = (kind) =>
    svg("svg", { class: kind, viewBox: `0 0 ${120 * COLUMN} ${2 * HALF}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      svg("path", { d: path }));
  return [draw("rest"), draw("heard")];
}

const live = el("p", { class: "unseen", role: "status", "aria-live": "polite" });

// Tells those who do not see the page. The same words twice are told twice.
function say(text) {
  live.textContent = live.textContent === text ? `${text}\u00a0` : text;
}
