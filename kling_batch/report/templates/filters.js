// What is looked for: words, a status, a tag, jobs without a choice. A job is shown whole where one of its takes fits.

const search = el("input", { type: "search", placeholder: "Search ids, prompts, tags, notes", "aria-label": "Search", autocomplete: "off", spellcheck: "false", oninput: () => filter() });
const tagChoice = el("select", { "aria-label": "Tag", onchange: () => filter() });
const unpicked = el("button", { type: "button", class: "chip", "aria-pressed": "false", title: "Only jobs of which no take is chosen", onclick: () => press(unpicked) }, "Not chosen");
const ORDERS = { id: "Id", loudness: "Loudness", length: "Length", peak: "Peak", status: "Status" };
const orderChoice = el("select", { "aria-label": "Sort", onchange: () => filter() },
  el("option", { value: "" }, "As asked for"), Object.entries(ORDERS).map(([value, words]) => el("option", { value }, words)));
const count = el("p", { class: "count", role: "status", "aria-live": "polite" });
const nothing = el("div", { class: "nothing", hidden: true }, el("p", null, ""), el("button", { type: "button", class: "plain-button", onclick: () => clearFilters() }, "Show all jobs"));
let status = "";

const counts = new Map();
for (const job of jobs) for (const take of job.takes) for (const name of new Set(statesOf(take))) counts.set(name, (counts.get(name) ?? 0) + 1);

const checks = new Set(jobs.flatMap((job) => job.takes.flatMap((take) => take.remarks.map(([check]) => check))));
const chips = [...run.statuses, ...[...checks].sort(), "new", "changed", "louder", "quieter"].filter((name) => counts.has(name)).map((name) =>
  Object.assign(el("button", { type: "button", class: checks.has(name) ? "chip" : `chip ${name}`, "aria-pressed": "false", onclick: () => setStatus(status === name ? "" : name) },
    checkName(name), " ", el("span", { class: "number" }, counted.format(counts.get(name)))), { state: name }));

const tagCounts = new Map();
for (const job of jobs) for (const tag of new Set(job.tags)) tagCounts.set(tag, (tagCounts.get(tag) ?? 0) + 1);
tagChoice.append(el("option", { value: "" }, "All tags"));
[...tagCounts].sort(([one], [other]) => one.localeCompare(other)).forEach(([tag, number], index) =>
  tagChoice.append(Object.assign(el("option", { value: String(index) }, `${tag} (${number})`), { tag })));

// Where a take stands, what checks found in it, and how it differs from another report: `changed, 1.2 LU louder` is two
// of these.
function statesOf(take) {
  return [take.status, ...take.remarks.map(([check]) => check), ...(take.change ? take.change.split(/[ ,]+/) : [])];
}

function press(button) {
  button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  filter();
}

function setStatus(name) {
  status = name;
  for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.state === name));
  filter();
}

function setTag(tag) {
  tagChoice.selectedIndex = [...tagChoice.options].findIndex((option) => option.tag === tag);
  filter();
}

function clearFilters() {
  search.value = "";
  tagChoice.selectedIndex = 0;
  unpicked.setAttribute("aria-pressed", "false");
  setStatus("");
  search.focus();
}

// All words that a job can be found by; made when somebody looks for one.
function wordsOf(job) {
  job.words ??= [job.id, job.prompt, ...job.tags, ...Object.entries(job.meta).flat(), ...job.takes.flatMap((take) => [take.reason, take.warnings, take.note, ...take.remarks.flat()])].join("\n").toLowerCase();
  return job.words;
}

function fits(job, looked, tag, onlyUnpicked) {
  if (tag !== undefined && !job.tags.includes(tag)) return false;
  if (status && !job.takes.some((take) => statesOf(take).includes(status))) return false;
  if (onlyUnpicked && (chosen(job) || !job.takes.some(choosable))) return false;
  return looked.every((word) => wordsOf(job).includes(word));
}

const WORST = ["succeeded", "pending", "unknown", "failed"];
const names = new Intl.Collator("en", { numeric: true });

// What a job is sorted by: its loudest, longest, highest take, or the one that is in the worst way. The most comes first.
function rankOf(job, order) {
  const takes = job.takes.filter((take) => !take.edition);
  if (order === "length") return Math.max(...takes.map((take) => secondsOf(take) ?? 0));
  if (order === "status") return Math.max(...takes.map((take) => WORST.indexOf(take.status)));
  return Math.max(...takes.map((take) => take[order] ?? -Infinity));
}

// The jobs in the order that is asked for; those that are alike as the manifest has them.
function sorted() {
  const order = orderChoice.value;
  if (order === "") return jobs;
  if (order === "id") return [...jobs].sort((one, other) => names.compare(one.id, other.id));
  const ranks = new Map(jobs.map((job) => [job, rankOf(job, order)]));
  return [...jobs].sort((one, other) => ranks.get(other) - ranks.get(one) || 0);
}

function filter() {
  const looked = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const tag = tagChoice.selectedOptions[0]?.tag;
  const onlyUnpicked = unpicked.getAttribute("aria-pressed") === "true";
  const fitting = sorted().filter((job) => fits(job, looked, tag, onlyUnpicked));
  const top = listTop() - room().above;
  if (window.scrollY > top) window.scrollTo(0, Math.max(0, top));
  show(fitting.flatMap((job) => unitsOfJob(job)));
  nothing.hidden = fitting.length > 0;
  nothing.firstElementChild.textContent = jobs.length ? "No job fits." : "There are no jobs.";
  tell(fitting.length);
}

function tell(fitting) {
  count.textContent = fitting === jobs.length ? many(jobs.length, "job") : `${counted.format(fitting)} of ${many(jobs.length, "job")}`;
}
