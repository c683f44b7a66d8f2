// The list of jobs, of which only what is in view is drawn: a page of 100,000 takes is scrolled like one of ten.

const TAKES_A_ROW = 12; // a job of more takes goes over several rows
const BEYOND = 700; // pixels that are drawn above and below what is in view

const units = jobs.flatMap((job) => {
  const parts = [];
  for (let from = 0; from === 0 || from < job.takes.length; from += TAKES_A_ROW) {
    parts.push({ job, from, to: Math.min(from + TAKES_A_ROW, job.takes.length), height: 0, place: -1, row: null });
  }
  return parts;
});

const list = el("ol", { class: "jobs", "aria-label": "Jobs" });
let shown = []; // units that pass the filters
let sums = new Float64Array(1); // a Fenwick tree over their heights
let columns = 1;
const drawn = new Set();

// A line a job, for those who know their set; remembered for every page.
const VIEW = "kling-batch view";
const compactButton = el("button", { type: "button", class: "chip", title: "A line a job (V)", onclick: () => changeView() }, "Compact");

function isCompact() {
  return document.body.classList.contains("compact");
}

function setCompact(on) {
  document.body.classList.toggle("compact", on);
  compactButton.setAttribute("aria-pressed", String(on));
  keep(VIEW, on ? "compact" : null);
}

// How tall a row will probably be, until it has been drawn.
function guess(unit) {
  const lines = Math.ceil((unit.to - unit.from) / columns);
  if (isCompact()) return lines * 41 + 9;
  return Math.max(lines * 113 + 20, unit.from ? 60 : 92 + 22 * Math.ceil(unit.job.prompt.length / 50));
}

function heightOf(unit) {
  return unit.height || guess(unit);
}

function addHeight(place, more) {
  for (let node = place + 1; node < sums.length; node += node & -node) sums[node] += more;
}

function topOf(place) {
  let sum = 0;
  for (let node = place; node > 0; node -= node & -node) sum += sums[node];
  return sum;
}

function placeAt(offset) {
  let node = 0;
  for (let bit = 2 ** Math.floor(Math.log2(Math.max(1, shown.length))); bit >= 1; bit /= 2) {
    if (node + bit < sums.length && sums[node + bit] <= offset) {
      node += bit;
      offset -= sums[node];
    }
  }
  return Math.min(node, Math.max(0, shown.length - 1));
}

function show(next) {
  for (const unit of shown) unit.place = -1;
  for (const unit of [...drawn]) erase(unit);
  shown = next;
  shown.forEach((unit, place) => (unit.place = place));
  sumUp();
  draw();
}

function sumUp() {
  sums = new Float64Array(shown.length + 1);
  for (let node = 1; node < sums.length; node += 1) {
    sums[node] += heightOf(shown[node - 1]);
    const parent = node + (node & -node);
    if (parent < sums.length) sums[parent] += sums[node];
  }
}

function erase(unit) {
  unmountRow(unit);
  unit.row.remove();
  unit.row = null;
  drawn.delete(unit);
}

function listTop() {
  return list.getBoundingClientRect().top + window.scrollY;
}

function draw() {
  if (!shown.length) {
    list.style.height = "0px";
    return;
  }
  const top = window.scrollY - listTop();
  const first = placeAt(Math.max(0, top - BEYOND));
  const last = placeAt(Math.max(0, top + window.innerHeight + BEYOND));
  for (const unit of [...drawn]) {
    const outside = unit.place < first || unit.place > last;
    if (outside && !unit.row.contains(document.activeElement)) erase(unit);
  }
  const fresh = [];
  for (let place = first; place <= last; place += 1) {
    if (!shown[place].row) fresh.push(mount(shown[place]));
  }
  settle(fresh, top);
}

// Rows stand in the order of the list, for those who go through the page by ear or by keys.
function mount(unit) {
  unit.row = el("li", { "aria-setsize": shown.length, "aria-posinset": unit.place + 1 }, rowOf(unit));
  const after = [...drawn].filter((other) => other.place > unit.place).sort((one, other) => one.place - other.place)[0];
  list.insertBefore(unit.row, after ? after.row : null);
  drawn.add(unit);
  return unit;
}

// Measures what was drawn, and keeps what is in view where it is when a row above turns out taller than was thought.
function settle(rows, top) {
  const heights = rows.map((unit) => unit.row.getBoundingClientRect().height);
  let moved = 0;
  rows.forEach((unit, index) => {
    const more = heights[index] - heightOf(unit);
    if (more && topOf(unit.place) + heightOf(unit) <= top) moved += more;
    unit.height = heights[index];
    if (more) addHeight(unit.place, more);
  });
  list.style.height = `${topOf(shown.length)}px`;
  for (const unit of drawn) unit.row.style.top = `${topOf(unit.place)}px`;
  if (Math.abs(moved) >= 1) window.scrollBy(0, moved);
}

// Rows that became taller or lower, as by a note.
function measureAgain(touched) {
  settle([...drawn].filter((unit) => touched.includes(unit.job)), window.scrollY - listTop());
}

let awaited = false;

function drawSoon() {
  if (awaited) return;
  awaited = true;
  requestAnimationFrame(() => {
    awaited = false;
    draw();
  });
}

// What stands below the tools and above the player.
function room() {
  return { above: document.querySelector(".tools").offsetHeight + 12, below: document.querySelector(".player").offsetHeight + 12 };
}

function unitOf(take) {
  const at = take.job.takes.indexOf(take);
  return shownUnits(take.job).find((unit) => unit.from <= at && at < unit.to);
}

const firstUnit = new Map();
units.forEach((unit, index) => unit.from || firstUnit.set(unit.job, index));

function unitsOfJob(job) {
  const first = firstUnit.get(job);
  return units.slice(first, first + Math.max(1, Math.ceil(job.takes.length / TAKES_A_ROW)));
}

function shownUnits(job) {
  return unitsOfJob(job).filter((unit) => unit.place >= 0);
}

// Scrolls as little as it takes to see a unit whole. Twice, since what is drawn on the way may be taller than thought.
function reveal(unit) {
  for (let look = 0; look < 2; look += 1) {
    const { above, below } = room();
    const top = listTop() + topOf(unit.place) - above;
    const bottom = listTop() + topOf(unit.place) + heightOf(unit) + below - window.innerHeight;
    if (window.scrollY > top || bottom > top) window.scrollTo(0, top);
    else if (window.scrollY < bottom) window.scrollTo(0, bottom);
    draw();
  }
}

function bringIntoView(take) {
  const unit = unitOf(take);
  if (!unit) return;
  const { above, below } = room();
  const box = cards.get(take)?.card.getBoundingClientRect();
  if (!box || box.top < above || box.bottom > window.innerHeight - below) reveal(unit);
  const card = cards.get(take)?.card.getBoundingClientRect();
  if (card && card.bottom > window.innerHeight - below) window.scrollBy(0, card.bottom - window.innerHeight + below);
}

// The take with a sound before or after one, among those shown.
function neighbour(take, by) {
  const there = take && unitOf(take);
  let place = there ? there.place : by > 0 ? firstInView() : shown.length - 1;
  let at = there ? take.job.takes.indexOf(take) + by : by > 0 ? shown[place]?.from : shown[place]?.to - 1;
  while (shown[place]) {
    const { job, from, to } = shown[place];
    for (; from <= at && at < to; at += by) if (sounds(job.takes[at])) return job.takes[at];
    place += by;
    at = by > 0 ? shown[place]?.from : shown[place]?.to - 1;
  }
  return null;
}

function firstInView() {
  return shown.length ? placeAt(Math.max(0, window.scrollY + room().above - listTop())) : 0;
}

function changeView() {
  setCompact(!isCompact());
  resize();
  say(isCompact() ? "Compact: a line a job" : "Jobs with all their facts");
}

// A new width or view makes other heights: all are guessed anew, and the row at the top stays there.
function resize() {
  const width = list.clientWidth;
  const free = width - (window.innerWidth > 760 ? 0.28 * window.innerWidth + 90 : 24);
  const form = `${width} ${isCompact()}`;
  if (form === resize.form) return;
  resize.form = form;
  columns = Math.max(1, Math.floor(free / (isCompact() ? 162 : 266)));
  const keep = shown[firstInView()];
  for (const unit of units) unit.height = 0;
  for (const unit of drawn) unit.height = unit.row.getBoundingClientRect().height;
  const offset = keep ? listTop() + topOf(keep.place) - window.scrollY : 0;
  sumUp();
  draw();
  if (keep && offset < 0) window.scrollTo(0, listTop() + topOf(keep.place) - offset);
}
