// What the page is about, read from its blocks of JSON; page_data.py writes them.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

function readBlocks(name) {
  return [...document.querySelectorAll(`script[data-block="${name}"]`)].map((block) => {
    const value = JSON.parse(block.textContent);
    block.remove();
    return value;
  });
}

const run = readBlocks("run")[0];
const words = readBlocks("words")[0];

function takeOf(job, row) {
  const [number, status, origin, units, attempts, files, task, name, peak, loudness, wave, truePeak, form, note, change, reason, repair, warnings, edition, finishing] = row;
  const [remarks, source, start] = finishing ?? [[], 0, 0];
  return {
    job, number, remarks, start, source: source ? sourceOf(job, source) : null, units, attempts, files, task, name, peak, loudness, wave, truePeak, edition,
    status: run.statuses[status],
    origin: run.origins[origin] ?? "",
    note: words[note] ?? "",
    change: words[change] ?? "",
    reason: words[reason] ?? "",
    repair: words[repair] ?? "",
    warnings: words[warnings] ?? "",
    form: words[form] ?? "",
  };
}

// What a take was finished out of: a sound like the take, of which nothing is said.
function sourceOf(job, row) {
  const [files, peak, loudness, wave, truePeak, form] = row;
  return { job, files, peak, loudness, wave, truePeak, form: words[form] ?? "", start: 0 };
}

function jobOf(row, place) {
  const [id, prompt, seconds, tags, meta, picked, takes] = row;
  const job = { place, id, prompt, seconds, tags, meta, picked, takes: null };
  job.takes = takes.map((take) => takeOf(job, take));
  return job;
}

const jobs = [];
for (const rows of readBlocks("jobs")) for (const row of rows) jobs.push(jobOf(row, jobs.length));

// Whether there is a sound to listen to, and so something to choose.
function sounds(take) {
  return take.files.length > 0;
}

function choosable(take) {
  return take.status === "succeeded";
}

// Whether a check does not let it pass. It can be heard all the same.
function isRejected(take) {
  return take.status === "failed" && take.remarks.some(([, then]) => then === "fail");
}

function secondsOf(take) {
  return sounds(take) ? take.files[0][2] : take.job.seconds;
}

// A file beside the page. The "./" keeps any path from being taken for another host or scheme.
function linkTo(path) {
  return "./" + path.split("/").map(encodeURIComponent).join("/");
}

// What was paid for a take; a sandbox is paid nothing.
function unitsOf(take) {
  return run.sandbox || take.edition ? "" : `${take.units} units`;
}

function nameOf(take) {
  return `${take.job.id}, take ${take.number}${take.edition ? `, earlier, edition ${take.edition}` : ""}`;
}

function decibels(value) {
  return value === null ? "" : `${value.toFixed(1).replace("-", "\u2212")}`;
}

function fromTo(before, after) {
  return [before, after].filter((value) => value !== undefined && value !== null).map(decibels).join(" \u2192 ");
}

function clock(seconds) {
  const whole = Math.floor(seconds + 0.0001);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.${Math.floor(((seconds + 0.0001) % 1) * 10)}`;
}

const counted = new Intl.NumberFormat("en");

function many(count, noun) {
  return `${counted.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}
