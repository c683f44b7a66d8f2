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

function save(name, blob) {
  const address = URL.createObjectURL(blob);
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function commandField(label, rows) {
  const field = el("textarea", { readonly: true, rows, "aria-label": label, spellcheck: "false" });
  const button = el("button", { type: "button", onclick: () => copy(field, button) }, "Copy");
  return { field, whole: el("div", { class: "command" }, field, button) };
}

const pick = commandField("Command that picks your choices", 4);
const reroll = commandField("Command that makes the rejected afresh", 2);
const pickFrom = commandField("Command that picks from the table", 2);
const changed = el("ul", { class: "changed" });
const saveTable = el("button", { type: "button", onclick: () => save(TABLE, new Blob([pickTable()], { type: "text/csv" })) }, `Download ${TABLE}`);
const forget = el("button", { type: "button", class: "plain-button", onclick: () => forgetChanges() }, "Take these back");
const choicesPart = el("div", null,
  el("p", null, "Run this where you ran kling-batch. The chosen takes then also stand under their jobs' plain names."),
  pick.whole);
const tablePart = el("div", null,
  el("p", null, "As a table, which has your notes too, for the lock:"),
  el("p", { class: "buttons" }, saveTable),
  pickFrom.whole);
const rejectedPart = el("div", null,
  el("p", null, "For fresh sounds in place of the rejected. It says what they cost, and asks:"),
  reroll.whole);
const someChanges = el("div", null, changed, choicesPart, tablePart, rejectedPart, el("p", { class: "buttons" }, forget));
const zipButton = el("button", { type: "button", onclick: () => saveZip() }, "Download as a zip");
const zipWords = el("p", { class: "fine", role: "status" });
const zipFolder = folderField();
const zipPart = el("div", null, el("p", { class: "buttons" }, zipButton), zipWords, zipFolder);
const noChanges = el("p", { class: "quiet" }, "Nothing is chosen or rejected that the lock does not have already. Choose takes with their numbered buttons, or with the key C while you listen.");
const choicesBox = dialog("choices", "Your choices", noChanges, someChanges, zipPart);

const MOST_NAMED = 200;

function showChoices() {
  const all = [
    ...ordered().map(([job, number]) => [job.id, number ? ` take ${number}` : " no take", job.picked ? `, instead of take ${job.picked}` : ""]),
    ...inOrder(rejected).map((take) => [take.job.id, ` take ${take.number}`, " rejected"]),
    ...inOrder(notes.keys()).map((take) => [take.job.id, ` take ${take.number}`, `: ${noteOf(take) || "no note any more"}`]),
  ];
  noChanges.hidden = all.length > 0;
  someChanges.hidden = all.length === 0;
  choicesPart.hidden = changes.size === 0;
  tablePart.hidden = changes.size + notes.size === 0;
  rejectedPart.hidden = rejected.size === 0;
  forget.hidden = changes.size + rejected.size === 0;
  changed.replaceChildren(...all.slice(0, MOST_NAMED).map(([id, words, quiet]) =>
    el("li", null, el("b", null, id), words, el("span", { class: "quiet" }, foreign(quiet)))));
  if (all.length > MOST_NAMED) changed.append(el("li", { class: "quiet" }, `and ${many(all.length - MOST_NAMED, "more")}`));
  pick.field.value = pickCommand();
  pickFrom.field.value = pickFromCommand();
  reroll.field.value = rerollCommand();
  showZip();
  if (!choicesBox.open) choicesBox.showModal();
}

// What is chosen now, also in the lock, in one file.
function showZip() {
  const paths = chosenPaths();
  zipPart.hidden = paths.length === 0;
  zipFolder.hidden = paths.every(canRead);
  zipButton.disabled = !zipFolder.hidden;
  zipButton.textContent = `Download ${many(paths.length, "chosen file")} as a zip`;
}

onGiven.push(() => showZip());

async function saveZip() {
  zipButton.disabled = true;
  zipWords.textContent = "Reading …";
  try {
    save(`${document.querySelector("h1").textContent}-chosen.zip`, await zipOf(chosenPaths()));
    zipWords.textContent = "";
  } catch (error) {
    zipWords.textContent = error.message;
  }
  zipButton.disabled = false;
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
  const words = [changes.size && many(changes.size, "new choice"), rejected.size && `${counted.format(rejected.size)} rejected`, notes.size && many(notes.size, "note")].filter(Boolean);
  choicesButton.replaceChildren(icon("star"), words.join(", ") || "Choices");
  choicesButton.classList.toggle("some", words.length > 0);
  copyButton.hidden = changes.size === 0 || rejected.size + notes.size > 0; // it copies the picks alone
  if (choicesBox.open) showChoices();
}

watchers.push(() => tellChoices());

const factsBody = el("dl", { class: "all-facts" });
const noteField = el("input", { type: "text", maxlength: 500, autocomplete: "off", onkeydown: (event) => endNote(event) });
const noteLabel = el("label", { class: "note-field" }, "Note ", noteField);
const factsBox = dialog("facts", "Take", noteLabel, factsBody);

function endNote(event) {
  if (event.key !== "Enter") return;
  event.preventDefault(); // else it presses the button that has the focus then
  factsBox.close();
}

function showFacts(take, noting = false) {
  const { job } = take;
  const level = (name, unit) => (take[name] === null ? "" : `${fromTo(take.source?.[name], take[name])} ${unit}`);
  noteLabel.hidden = !choosable(take);
  noteField.value = noteOf(take);
  noteField.oninput = () => setNote(take, noteField.value);
  const rows = [
    ["prompt", job.prompt], ["status", take.status], ["why", take.reason], ["what to do", take.repair], ["warning", take.warnings],
    ["origin", take.origin], ["edition", take.edition && String(take.edition)], ["against the other report", take.change], ["cost", unitsOf(take)], ["attempts", take.attempts && String(take.attempts)],
    ["length", [sounds(take) && `${secondsOf(take).toFixed(2)} s`, job.seconds !== null && `${job.seconds.toFixed(1)} s asked for`].filter(Boolean).join(", ")],
    ["sample rate and channels", take.form],
    ["peak", level("peak", "dBFS")], ["true peak", level("truePeak", "dBTP")], ["loudness", level("loudness", "LUFS")],
    ["delivered as", take.source && [`${secondsOf(take.source).toFixed(2)} s`, take.source.form].filter(Boolean).join(", ")],
    ...take.remarks.map(([check, then, said]) => [`${checkName(check)} (${then})`, said]),
    ["tags", job.tags.join(", ")], ...Object.entries(job.meta),
    ...take.files.map(([path, format]) => [format, el("a", { href: linkTo(path), download: true }, foreign(path))]),
    ["task", take.task || "not known"], ["external id", take.name],
  ];
  factsBox.querySelector("h2").textContent = nameOf(take);
  factsBody.replaceChildren(...rows.filter(([, value]) => value).flatMap(([name, value]) =>
    [el("dt", null, foreign(name)), el("dd", null, typeof value === "string" ? foreign(value) : value)]));
  factsBox.showModal();
  if (noting) noteField.focus();
}

const KEYS = [
  ["Space", "play or pause"], ["\u2193  \u2191", "next and previous sound"], ["Shift + \u2193  \u2191", "next and previous job"],
  ["\u2192  \u2190", "a second on or back"], ["1 to 9", "the same place in that take of the job"], ["E", "the same place in an earlier sound of the take, and back"], ["D", "the same place as it was delivered, and finished"], ["M", "what is compared equally loud, or as it is"],
  ["Shift + 1 to 9", "choose that take of the job; again takes it back"], ["C", "choose the take that you hear"], ["R", "reject it, to have it made afresh"], ["N", "note on it"],
  ["L", "loop"], ["O", "play on to the next sound"],
  ["Z", "zoom"], ["S", "spectrogram"], ["A  B", "begin and end a loop here"], ["X", "loop no region"],
  ["I", "all facts about the take"], ["P", "your choices, and their command"], ["V", "compact view, a line a job"], ["/  Ctrl + F", "search in all jobs; Ctrl + F there is the browser's own"], ["?", "these keys"],
];
const useKeys = el("input", { type: "checkbox", checked: true });
const keysBox = dialog("keys", "Keys",
  el("dl", { class: "all-facts" }, KEYS.flatMap(([key, does]) => [el("dt", null, el("kbd", null, key)), el("dd", null, does)])),
  el("p", null, el("label", null, useKeys, " Use these keys")));
