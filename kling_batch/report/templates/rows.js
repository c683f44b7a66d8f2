// What a job looks like: its words, and its takes side by side.

const cards = new Map(); // take -> the parts of its card that change, while it is drawn

function rowOf(unit) {
  const { job, from, to } = unit;
  const takes = job.takes.slice(from, to);
  const heading = el("h3", { id: `job-${job.place}-${from}` }, job.id, from || to < job.takes.length ? el("small", null, ` takes ${from + 1} to ${to}`) : "");
  const about = el("div", { class: "about" }, heading, ...(from ? [] : aboutJob(job)));
  const list = el("ul", { class: "takes" }, takes.map((take) => el("li", null, cardOf(take))));
  return el("article", { class: "job", "aria-labelledby": heading.id }, about, list);
}

function aboutJob(job) {
  const tags = job.tags.map((tag) =>
    el("button", { type: "button", class: "tag", title: "Show only this tag", onclick: () => setTag(tag) }, foreign(tag)));
  const meta = Object.entries(job.meta).map(([name, value]) => el("div", null, el("dt", null, foreign(name)), el("dd", null, foreign(value))));
  return [
    el("p", { class: "prompt" }, foreign(job.prompt)),
    el("p", { class: "labels" }, el("span", { class: "asked" }, job.seconds === null ? "" : `${job.seconds.toFixed(1)} s`), tags),
    meta.length ? el("dl", { class: "meta" }, meta) : null,
  ];
}

function unmountRow(unit) {
  for (const take of unit.job.takes.slice(unit.from, unit.to)) cards.delete(take);
}

function cardOf(take) {
  return sounds(take) ? soundCard(take) : silentCard(take);
}

function soundCard(take) {
  const button = iconButton("play", "", { class: "play", onclick: () => toggle(take) });
  const wave = el("div", { class: "wave", "aria-hidden": "true", draggable: "true", onclick: (event) => playFrom(event, take, wave), ondragstart: (event) => dragFile(event, take.files[0][0]) }, waveform(take.wave));
  const card = el("div", { class: `take ${take.status}${take.source ? " finished" : ""}`, role: "group", "aria-label": nameOf(take) },
    button, wave, el("div", { class: "verdict" }, chooseButton(take), rejectButton(take)),
    el("p", { class: "levels" }, levels(take), noteButton(take), infoButton(take)),
    el("p", { class: "fine" }, el("span", null, facts(take)), el("span", { class: "links" }, links(take))));
  const note = el("p", { class: "note-words" });
  card.append(note);
  card.append(...troubleOf(take));
  if (take.warnings) card.append(el("p", { class: "warnings" }, foreign(take.warnings)));
  cards.set(take, { card, button, wave, note, choice: card.querySelector(".choose"), away: card.querySelector(".reject"), noted: card.querySelector(".noting") });
  paintTake(take);
  return card;
}

function silentCard(take) {
  const card = el("div", { class: `take silent ${take.status}`, role: "group", "aria-label": nameOf(take) },
    el("p", { class: "what" }, el("b", null, `${take.number}`), el("strong", { class: "status" }, take.status), infoButton(take)),
    troubleOf(take));
  return card;
}

function checkName(check) {
  return check.replaceAll("_", " ");
}

// What a check found: its name leads to all such takes.
function remark([check, then, said]) {
  return el("li", { class: then },
    el("button", { type: "button", class: "remark", title: "Show only takes of which this is said", onclick: () => setStatus(check) }, checkName(check)),
    " ", foreign(said));
}

function troubleOf(take) {
  return [
    take.remarks.length && el("ul", { class: "remarks" }, take.remarks.map(remark)),
    take.reason && el("p", { class: "reason" }, foreign(take.reason)),
    take.repair && !isRejected(take) && el("p", { class: "repair" }, foreign(take.repair)),
  ].filter(Boolean);
}

function chooseButton(take) {
  if (!choosable(take)) return el("span", { class: "choose" }, `${take.number}`);
  return el("button", { type: "button", class: "choose", "aria-pressed": "false", onclick: () => choose(take) },
    el("span", null, `${take.number}`), icon("star"));
}

function rejectButton(take) {
  if (!choosable(take)) return null;
  return iconButton("cross", `Reject ${nameOf(take)}`, { class: "reject", title: `Reject take ${take.number} (R)`, "aria-pressed": "false", onclick: () => reject(take) });
}

function noteButton(take) {
  if (!choosable(take)) return null;
  return iconButton("note", `Note on ${nameOf(take)}`, { class: "info noting", onclick: () => showFacts(take, true) });
}

function infoButton(take) {
  return iconButton("info", `All facts about ${nameOf(take)}`, { class: "info", onclick: () => showFacts(take) });
}

// How long and loud it is; of a finished take also how loud it was as it was delivered.
function levels(take) {
  const { source } = take;
  const known = (name) => source !== null && source[name] !== null;
  const level = (name, unit, meaning) => (take[name] === null ? [] : [el("span", { title: known(name) ? `${meaning}, as delivered and finished` : meaning },
    known(name) ? `${decibels(source[name])} \u2192 ` : "", el("b", null, decibels(take[name])), ` ${unit}`)]);
  return [
    el("span", { title: "Length" }, el("b", null, secondsOf(take).toFixed(2)), " s"),
    ...(source ? level("truePeak", "dBTP", "True peak") : level("peak", "dB", "Peak, in decibels under full scale")),
    ...level("loudness", "LUFS", "Integrated loudness"),
  ];
}

function facts(take) {
  const earlier = take.edition && `earlier, edition ${take.edition}`;
  return [take.change, earlier, take.origin, unitsOf(take), take.attempts > 1 ? many(take.attempts, "attempt") : ""].filter(Boolean).join(" \u00b7 ");
}

function links(take) {
  return take.files.map(([path, format]) => el("a", { href: linkTo(path), download: true, title: `Save ${path}, or drag it to where you want it`, ondragstart: (event) => dragFile(event, path) }, format));
}

// Shows what has changed on a card, if it is drawn.
function paintTake(take) {
  const parts = cards.get(take);
  if (!parts) return;
  const on = take === current && playing();
  const mine = chosen(take.job) === take.number;
  parts.card.classList.toggle("current", take === current);
  parts.card.classList.toggle("playing", on);
  parts.card.classList.toggle("chosen", mine);
  parts.card.classList.toggle("missing", take.missing === true);
  setIcon(parts.button, on ? "pause" : "play");
  parts.button.setAttribute("aria-label", `${on ? "Pause" : "Play"} ${nameOf(take)}`);
  parts.button.title = on ? "Pause" : "Play";
  if (choosable(take)) {
    const picked = take.job.picked === take.number;
    parts.choice.setAttribute("aria-pressed", String(mine));
    parts.choice.setAttribute("aria-label", `Choose ${nameOf(take)}`);
    parts.choice.title = mine ? (picked ? "Picked in the lock" : "Chosen, and not picked in the lock yet") : `Choose take ${take.number}`;
    parts.choice.classList.toggle("recorded", mine && picked);
    parts.card.classList.toggle("rejected", rejected.has(take));
    parts.away.setAttribute("aria-pressed", String(rejected.has(take)));
  }
  parts.note.replaceChildren(foreign(noteOf(take)));
  parts.noted?.classList.toggle("some", noteOf(take) !== "");
  if (take !== current) setHeard(parts.wave, 0);
}

watchers.push((touched) => {
  for (const job of touched) for (const take of job.takes) paintTake(take);
  measureAgain(touched);
});

// A click on a waveform plays from there.
function playFrom(event, take, wave) {
  const box = wave.getBoundingClientRect();
  play(take, Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
}
