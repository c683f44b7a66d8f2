// Which take of each job is chosen. The lock's picks are where it begins; only what differs from them is kept and told.

const STORED = `kling-batch choices ${location.pathname}`;
const changes = new Map(); // job -> number of the take, 0 where the lock's pick is taken back
const watchers = [];

function chosen(job) {
  return changes.get(job) ?? job.picked;
}

function choose(take) {
  if (!choosable(take)) return;
  const number = chosen(take.job) === take.number ? 0 : take.number;
  if (number === take.job.picked) changes.delete(take.job);
  else changes.set(take.job, number);
  store();
  tellChange([take.job]);
  say(number ? `${nameOf(take)} is chosen` : `${take.job.id}: no take is chosen`);
}

function forgetChanges() {
  const touched = [...changes.keys()];
  changes.clear();
  store();
  tellChange(touched);
  say("Your choices are as they were");
}

function tellChange(touched) {
  for (const watcher of watchers) watcher(touched);
}

function store() {
  keep(STORED, changes.size ? { page: run.page, choices: ordered().map(([job, number]) => [job.id, number]) } : null);
}

function recall() {
  const before = kept(STORED);
  if (!before || before.page !== run.page || !Array.isArray(before.choices)) return;
  const wanted = new Map(before.choices);
  for (const job of jobs) {
    const number = wanted.get(job.id);
    const there = number === 0 || job.takes.some((take) => take.number === number && choosable(take));
    if (number !== undefined && number !== job.picked && there) changes.set(job, number);
  }
}

function ordered() {
  return [...changes].sort(([one], [other]) => one.place - other.place);
}

function quoted(word) {
  return /^[A-Za-z0-9_.\/:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function pickWords(...rest) {
  const manifest = run.manifest.startsWith("-") ? `./${run.manifest}` : run.manifest;
  const cleared = ordered().filter(([, number]) => !number).flatMap(([job]) => ["--clear", job.id]);
  return ["kling-batch", "pick", manifest, ...run.place, ...rest, ...cleared].map(quoted).join(" ");
}

function pickCommand() {
  return pickWords(...ordered().filter(([, number]) => number).map(([job, number]) => `${job.id}=${number}`));
}

const TABLE = "picks.csv";

function pickFromCommand() {
  return pickWords("--from", TABLE);
}

function pickTable() {
  const rows = ordered().filter(([, number]) => number).map(([job, number]) => `${job.id},${number}`);
  return ["job_id,take", ...rows, ""].join("\n");
}
