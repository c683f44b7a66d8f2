// What opens over the page: the choices and their command, the facts of a take, the keys.

function dialog(name, heading, ...content) {
  const close = el("button", { type: "button", class: "plain-button", onclick: () => box.close() }, "Close");
  const title = el("h2", { id: `${name}-title` }, heading);
  const box = el("dialog", { class: name, "aria-labelledby": title.id, onclick: (event) => event.target === box && box.close() },
    el("div", { class: "inside" }, el("header", null, title, close), content));
  document.body.append(box);
  return box;
}

// Puts words on the clipboard, also where a page from disk or from plain http may not do it the modern way.
async function copy(field, button) {
  field.select();
  let done = false;
  try {
    await navigator.clipboard.writeText(field.value);
    done = true;
  } catch {
    done = document.execCommand("copy");
  }
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before;
  button.textContent = done ? "Copied" : "Press Ctrl+C";
  setTimeout(() => (button.textContent = before), 1600);
  say(done ? "Copied" : "The browser does not let this page copy: press Ctrl and C");
}

function save(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function commandField(label, rows) {
  const field = el("textarea", { readonly: true, rows, "aria-label": label, spellcheck: "false" });
  const button = el("button", { type: "button", onclick: () => copy(field, button) }, "Copy");
  return { field, whole: el("div", { class: "command" }, field, button) };
}

const pick = commandField("Command that picks your choices", 4);
const pickFrom = commandField("Command that picks from the table", 2);
const changed = el("ul", { class: "changed" });
const saveTable = el("button", { type: "button", onclick: () => save(TABLE, pickTable()) }, `Download ${TABLE}`);
const forget = el("button", { type: "button", class: "plain-button", onclick: () => forgetChanges() }, "Take these back");
const someChanges = el("div", null,
  changed,
  el("p", null, "Run this where you ran kling-batch. The chosen takes then also stand under their jobs' plain names."),
  pick.whole,
  el("p", null, "Or save them as a table, to pick from it:"),
  el("p", { class: "buttons" }, saveTable),
  pickFrom.whole,
  el("p", { class: "buttons" }, forget));
const noChanges = el("p", { class: "quiet" }, "Nothing is chosen that the lock does not have already. Choose takes with their numbered buttons, or with the key C while you listen.");
const choicesBox = dialog("choices", "Your choices", noChanges, someChanges);

const MOST_NAMED = 200;

function showChoices() {
  const all = ordered();
  noChanges.hidden = all.length > 0;
  someChanges.hidden = all.length === 0;
  changed.replaceChildren(...all.slice(0, MOST_NAMED).map(([job, number]) =>
    el("li", null, el("b", null, job.id), number ? ` take ${number}` : " no take", job.picked ? el("span", { class: "quiet" }, `, instead of take ${job.picked}`) : "")));
  if (all.length > MOST_NAMED) changed.append(el("li", { class: "quiet" }, `and ${many(all.length - MOST_NAMED, "more job")}`));
  pick.field.value = pickCommand();
  pickFrom.field.value = pickFromCommand();
  if (!choicesBox.open) choicesBox.showModal();
}

const choicesButton = el("button", { type: "button", class: "choices-button", onclick: () => showChoices() });
const copyButton = el("button", { type: "button", class: "copy-button", title: "Copy the kling-batch pick command", onclick: () => copyCommand() }, "Copy command");

function copyCommand() {
  const field = el("textarea", { class: "unseen", "aria-hidden": "true", tabindex: -1 });
  field.value = pickCommand();
  document.body.append(field);
  copy(field, copyButton).finally(() => field.remove());
}

function tellChoices() {
  choicesButton.replaceChildren(icon("star"), changes.size ? many(changes.size, "new choice") : "Choices");
  choicesButton.classList.toggle("some", changes.size > 0);
  copyButton.hidden = changes.size === 0;
  if (choicesBox.open) showChoices();
}

watchers.push(() => tellChoices());

const factsBody = el("dl", { class: "all-facts" });
const factsBox = dialog("facts", "Take", factsBody);

function showFacts(take) {
  const { job } = take;
  const rows = [
    ["prompt", job.prompt], ["status", take.status], ["why", take.reason], ["what to do", take.repair], ["warning", take.warnings],
    ["origin", take.origin], ["cost", unitsOf(take)], ["attempts", String(take.attempts)],
    ["length", [sounds(take) && `${secondsOf(take).toFixed(2)} s`, job.seconds !== null && `${job.seconds.toFixed(1)} s asked for`].filter(Boolean).join(", ")],
    ["sample rate and channels", take.form],
    ["peak", take.peak === null ? "" : `${decibels(take.peak)} dBFS`],
    ["true peak", take.truePeak === null ? "" : `${decibels(take.truePeak)} dBTP`],
    ["loudness", take.loudness === null ? "" : `${decibels(take.loudness)} LUFS`],
    ["tags", job.tags.join(", ")], ...Object.entries(job.meta),
    ...take.files.map(([path, format]) => [format, el("a", { href: linkTo(path), download: true }, foreign(path))]),
    ["task", take.task || "not known"], ["external id", take.name],
  ];
  factsBox.querySelector("h2").textContent = nameOf(take);
  factsBody.replaceChildren(...rows.filter(([, value]) => value !== "").flatMap(([name, value]) =>
    [el("dt", null, foreign(name)), el("dd", null, typeof value === "string" ? foreign(value) : value)]));
  factsBox.showModal();
}

const KEYS = [
  ["Space", "play or pause"], ["\u2193  \u2191", "next and previous sound"], ["Shift + \u2193  \u2191", "next and previous job"],
  ["\u2192  \u2190", "a second on or back"], ["1 to 9", "the same place in that take of the job"], ["M", "takes of a job equally loud, or as they are"],
  ["Shift + 1 to 9", "choose that take of the job; again takes it back"], ["C", "choose the take that you hear"], ["L", "loop"], ["O", "play on to the next sound"],
  ["Z", "zoom"], ["S", "spectrogram"], ["A  B", "begin and end a loop here"], ["X", "loop no region"],
  ["I", "all facts about the take"], ["P", "your choices, and their command"], ["V", "compact view, a line a job"], ["/", "search"], ["?", "these keys"],
];
const useKeys = el("input", { type: "checkbox", checked: true });
const keysBox = dialog("keys", "Keys",
  el("dl", { class: "all-facts" }, KEYS.flatMap(([key, does]) => [el("dt", null, el("kbd", null, key)), el("dd", null, does)])),
  el("p", null, el("label", null, useKeys, " Use these keys")));
