// Keys, and the page put together.

const OWN_KEYS = "input, select, textarea, dialog[open] *";

function digitOf(event) {
  return Number(/^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1] ?? 0);
}

// A number is a take of the job that is heard: the same place in it; with Shift, chosen.
function onDigit(number, shifted) {
  const take = current?.job.takes.find((one) => one.number === number);
  if (!current) say("Play a sound first");
  else if (take && shifted) choose(take);
  else if (take && sounds(take)) switchTo(take);
}

// The sounds that a take had before, one after the other, and that of today again.
function toEarlier() {
  const sounded = current?.job.takes.filter((take) => take.number === current.number && sounds(take)) ?? [];
  if (sounded.length > 1) switchTo(sounded[(sounded.indexOf(current) + 1) % sounded.length]);
  else say("There is no earlier sound of it");
}

const PLAIN = {
  " ": () => playOrPause(), ArrowDown: () => step(1), ArrowUp: () => step(-1), ArrowRight: () => seekBy(1), ArrowLeft: () => seekBy(-1),
  l: () => setLoop(!wantsLoop), o: () => setPlayOn(!playOn), e: () => toEarlier(), m: () => setMatch(!matches()), c: () => current && choose(current), r: () => current && reject(current), n: () => current && showFacts(current, true), i: () => current && showFacts(current),
  d: () => setDelivered(!asDelivered), z: () => setScope(scope.hidden), s: () => setSpectrum(!showsSpectrum()), a: () => setEdge(false), b: () => setEdge(true), x: () => setRegion(null),
  p: () => showChoices(), v: () => changeView(), "/": () => search.focus(), "?": () => keysBox.showModal(),
};
const SHIFTED = { ArrowDown: () => stepJob(1), ArrowUp: () => stepJob(-1), "?": PLAIN["?"], "/": PLAIN["/"] };

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && event.target === search) {
    search.value = "";
    search.blur();
    filter();
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f" && useKeys.checked && !event.target.closest(OWN_KEYS)) {
    event.preventDefault();
    search.focus();
    search.select();
    say("Search in all jobs. The same keys again search what is drawn.");
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || !useKeys.checked || event.target.closest(OWN_KEYS)) return;
  if (event.key === " " && event.target.closest("button, a, summary")) return;
  const number = digitOf(event);
  const act = number ? () => onDigit(number, event.shiftKey) : (event.shiftKey ? SHIFTED : PLAIN)[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-job], a[data-status]");
  if (!link) return;
  event.preventDefault();
  if (link.dataset.status) {
    setStatus(link.dataset.status);
    list.scrollIntoView();
  } else {
    goTo(jobs.find((one) => one.id === link.dataset.job));
  }
});

function goTo(job) {
  if (!shownUnits(job).length) clearFilters();
  const unit = shownUnits(job)[0];
  reveal(unit);
  unit.row.tabIndex = -1;
  unit.row.focus({ preventScroll: true });
}

const tools = el("div", { class: "tools", role: "search" },
  el("label", { class: "search" }, icon("search"), search),
  el("div", { class: "chips", role: "group", "aria-label": "Filters" }, chips, unpicked, tagCounts.size ? tagChoice : null, el("label", { class: "sorting" }, "Sort ", orderChoice)),
  count,
  compactButton,
  el("button", { type: "button", class: "chip help", onclick: () => keysBox.showModal() }, "Keys"));

const bar = el("section", { class: "player", "aria-label": "Player" },
  scope,
  el("div", { class: "transport" }, previousButton, playButton, nextButton, loopButton, onButton, sourceButton, matchButton, scopeButton),
  title,
  el("div", { class: "seek" }, bigWave, seekBar),
  time,
  el("label", { class: "volume", title: "Volume" }, icon("sound"), volume),
  el("div", { class: "picking" }, choicesButton, copyButton));

// In the viewer's own time and way of writing it; what was written stays to be pointed at.
for (const moment of document.querySelectorAll("time")) {
  moment.title = moment.textContent;
  moment.textContent = new Date(moment.dateTime).toLocaleString([], { dateStyle: "medium", timeStyle: "long" });
}

document.getElementById("plain").remove();
bigWave.replaceChildren(...waveform(""));
setHeard(bigWave, 0);
time.textContent = `${clock(0)} / ${clock(0)}`;
title.append(el("span", { class: "quiet" }, "Press play, or space"));
document.getElementById("sounds").append(tools, list, nothing);
document.body.append(bar, live);
recall();
setCompact(kept(VIEW) === "compact");
tellChoices();
resize();
filter();
setRegion(null);
window.addEventListener("scroll", drawSoon, { passive: true });
window.addEventListener("resize", () => showScope());
new ResizeObserver(() => resize()).observe(list);
const asked = jobs.find((job) => location.hash === `#job-${encodeURIComponent(job.id)}`);
if (asked) goTo(asked);
