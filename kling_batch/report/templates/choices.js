// What is said of takes: chosen, rejected, a note. The lock is where it begins; only what differs is kept and told.

const STORED = `kling-batch choices ${location.pathname}`;
const TABLE = "picks.csv";
const changes = new Map(); // job -> number of the take, 0 where the lock's pick is taken back
const rejected = new Set(); // takes to be made afresh
const notes = new Map(); // take -> words that differ from the lock's
const watchers = [];

function chosen(job) {
  return changes.get(job) ?? job.picked;
}

function noteOf(take) {
  return notes.get(take) ?? take.note;
}

function choose(take) {
  if (!choosable(take)) return;
  const number = chosen(take.job) === take.number ? 0 : take.number;
  decide(take.job, number);
  if (number) rejected.delete(take);
  tellChange([take.job]);
  say(number ? `${nameOf(take)} is chosen` : `${take.job.id}: no take is chosen`);
}

function decide(job, number) {
  if (number === job.picked) changes.delete(job);
  else changes.set(job, number);
}

function reject(take) {
  if (!choosable(take)) return;
  const taken = !rejected.delete(take);
  if (taken) rejected.add(take);
  if (taken && chosen(take.job) === take.number) decide(take.job, 0);
  tellChange([take.job]);
  say(`${nameOf(take)} is ${taken ? "rejected" : "no longer rejected"}`);
}

function setNote(take, words) {
  if (words.trim() === take.note) notes.delete(take);
  else notes.set(take, words.trim());
  tellChange([take.job]);
}

function forgetChanges() {
  const touched = [...changes.keys(), ...[...rejected].map((take) => take.job)];
  changes.clear();
  rejected.clear();
  tellChange(touched);
  say("Your choices are as they were; your notes stay");
}

function tellChange(touched) {
  store();
  for (const watcher of watchers) watcher(touched);
}

// A sound is rejected or noted, and not its number: a fresh one in its place has another external id.
function store() {
  const all = {
    page: run.page,
    choices: ordered().map(([job, number]) => [job.id, number]),
    rejected: [...rejected].map((take) => take.name),
    notes: [...notes].map(([take, words]) => [take.name, words]),
  };
  keep(STORED, changes.size || rejected.size || notes.size ? all : null);
}

function recall() {
  const before = kept(STORED);
  if (!before || before.page !== run.page || !Array.isArray(before.choices)) return;
  const wanted = new Map(before.choices);
  const away = new Set(before.rejected);
  const words = new Map(before.notes);
  for (const job of jobs) {
    const number = wanted.get(job.id);
    const there = number === 0 || job.takes.some((take) => take.number === number && choosable(take));
    if (number !== undefined && number !== job.picked && there) changes.set(job, number);
    for (const take of job.takes) {
      if (away.has(take.name) && choosable(take)) rejected.add(take);
      if (words.has(take.name) && words.get(take.name) !== take.note) notes.set(take, words.get(take.name));
    }
  }
}

function ordered() {
  return [...changes].sort(([one], [other]) => one.place - other.place);
}

function inOrder(takes) {
  return [...takes].sort((one, other) => one.job.place - other.job.place || one.number - other.number);
}

function quoted(word) {
  return /^[A-Za-z0-9_.\/:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function commandWords(name, ...rest) {
  const manifest = run.manifest.startsWith("-") ? `./${run.manifest}` : run.manifest;
  return ["kling-batch", name, manifest, ...run.place, ...rest].map(quoted).join(" ");
}

function cleared() {
  return ordered().filter(([, number]) => !number).flatMap(([job]) => ["--clear", job.id]);
}

function pickCommand() {
  return commandWords("pick", ...ordered().filter(([, number]) => number).map(([job, number]) => `${job.id}=${number}`), ...cleared());
}

function pickFromCommand() {
  return commandWords("pick", "--from", TABLE, ...cleared());
}

function rerollCommand() {
  return commandWords("reroll", ...inOrder(rejected).map((take) => `${take.job.id}:${take.number}`));
}

function cell(words) {
  return /[",]/.test(words) ? `"${words.replaceAll('"', '""')}"` : words;
}

// New choices; where there are notes, these as well: a row without a word under `picked` has a note alone.
function pickTable() {
  const picked = ordered().filter(([, number]) => number).map(([job, number]) => job.takes.find((take) => take.number === number));
  if (!notes.size) return ["job_id,take", ...picked.map((take) => `${take.job.id},${take.number}`), ""].join("\n");
  const rows = inOrder(new Set([...picked, ...notes.keys()])).map((take) =>
    [take.job.id, take.number, picked.includes(take) ? "yes" : "", cell(noteOf(take))].join(","));
  return ["job_id,take,picked,note", ...rows, ""].join("\n");
}
