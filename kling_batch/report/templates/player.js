// One player for all sounds, so that only one sounds at a time.

let audio = null; // made when something is played
let current = null; // the take in it
let opening = null; // the take that is being fetched for it
let playOn = false;

const title = el("p", { class: "now" });
const playButton = iconButton("play", "Play (space)", { class: "main", onclick: () => playOrPause() });
const previousButton = iconButton("previous", "Previous sound (up)", { onclick: () => step(-1) });
const nextButton = iconButton("next", "Next sound (down)", { onclick: () => step(1) });
const loopButton = iconButton("loop", "Loop (L)", { "aria-pressed": "false", onclick: () => setLoop(!looping()) });
const onButton = iconButton("on", "Play on to the next sound (O)", { "aria-pressed": "false", onclick: () => setPlayOn(!playOn) });
const seekBar = el("input", {
  type: "range", min: 0, max: 1000, value: 0, step: 1, disabled: true, "aria-label": "Position",
  oninput: () => seekTo(seekBar.valueAsNumber / 1000),
});
const bigWave = el("div", { class: "wave" });
const time = el("p", { class: "time" });
const volume = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 1, "aria-label": "Volume", oninput: () => setVolume() });
let wantsLoop = false;

function looping() {
  return wantsLoop;
}

function playing() {
  return audio !== null && current !== null && !audio.paused;
}

function player() {
  if (audio) return audio;
  audio = el("audio", { preload: "auto" });
  audio.loop = wantsLoop;
  audio.volume = volume.valueAsNumber;
  for (const event of ["play", "pause", "seeked", "loadedmetadata"]) audio.addEventListener(event, () => showPlaying());
  audio.addEventListener("ended", () => (playOn ? step(1) : showPlaying()));
  audio.addEventListener("error", () => tellMissing());
  document.body.append(audio);
  return audio;
}

// Plays a take from a place between 0 and 1; without one from where it is, or from the start.
function play(take, place) {
  if (take === opening) return;
  if (take === current && !take.missing) {
    if (place !== undefined) seekTo(place);
    audio.play().catch(() => showPlaying());
    return;
  }
  const before = current;
  current = opening = take;
  take.missing = false;
  player().pause();
  if (before) paintTake(before);
  showTake();
  open(take, place ?? 0);
}

async function open(take, place) {
  const source = await sourceOf(take);
  if (opening !== take) return;
  opening = null;
  URL.revokeObjectURL(audio.src);
  audio.src = source;
  if (place) audio.currentTime = place * secondsOf(take);
  audio.play().catch(() => showPlaying());
  showPlaying();
}

// From disk a sound is read as it is played. Servers are asked for all of it first: many give no part of a file, and
// then a browser plays from the start wherever one clicks.
async function sourceOf(take) {
  const link = linkTo(take.files[0][0]);
  if (location.protocol === "file:") return link;
  try {
    const answer = await fetch(link);
    return answer.ok ? URL.createObjectURL(await answer.blob()) : link;
  } catch {
    return link;
  }
}

function playOrPause() {
  if (playing()) audio.pause();
  else if (current) play(current);
  else step(1);
}

function toggle(take) {
  if (current === take) playOrPause();
  else play(take);
}

function seekTo(place) {
  if (!current || opening) return;
  audio.currentTime = Math.min(1, Math.max(0, place)) * lasting();
  showPlaying();
}

function seekBy(seconds) {
  if (current && !opening) seekTo((audio.currentTime + seconds) / lasting());
}

function lasting() {
  return !opening && Number.isFinite(audio.duration) && audio.duration > 0 ? audio.duration : secondsOf(current);
}

function setLoop(on) {
  wantsLoop = on;
  if (audio) audio.loop = on;
  loopButton.setAttribute("aria-pressed", String(on));
  say(on ? "Loop is on" : "Loop is off");
}

function setPlayOn(on) {
  playOn = on;
  onButton.setAttribute("aria-pressed", String(on));
  say(on ? "Goes on to the next sound" : "Stops after each sound");
}

function setVolume() {
  if (audio) audio.volume = volume.valueAsNumber;
}

function tellMissing() {
  if (!current || opening) return;
  current.missing = true;
  title.replaceChildren(el("b", null, nameOf(current)), el("span", { class: "wrong" }, `${current.files[0][0]} cannot be played: is it beside this page?`));
  say(`${current.files[0][0]} cannot be played. Is it beside this page?`);
  showPlaying();
}

// To the sound before or after, among those shown; to the first or last when nothing was played yet.
function step(by) {
  const next = neighbour(current, by);
  if (!next) {
    say(by > 0 ? "That was the last sound" : "That was the first sound");
    return;
  }
  play(next);
  bringIntoView(next);
  say(nameOf(next));
}

function stepJob(by) {
  let next = current && neighbour(current, by);
  while (next && next.job === current.job) next = neighbour(next, by);
  if (next && by < 0) next = next.job.takes.find(sounds);
  if (!next) return;
  play(next);
  bringIntoView(next);
  say(nameOf(next));
}

function showTake() {
  title.replaceChildren(el("b", null, current.job.id), ` take ${current.number} `, foreign(current.job.prompt, { class: "quiet" }));
  bigWave.replaceChildren(...waveform(current.wave));
  seekBar.disabled = false;
}

let drawing = 0;

function showPlaying() {
  const on = playing();
  setIcon(playButton, on ? "pause" : "play");
  playButton.setAttribute("aria-label", on ? "Pause (space)" : "Play (space)");
  if (current) paintTake(current);
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(showPlace);
}

function showPlace() {
  if (!current) return;
  const all = lasting();
  const at = opening ? 0 : Math.min(audio.currentTime, all);
  seekBar.value = String(Math.round((1000 * at) / all));
  seekBar.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${all.toFixed(1)} seconds`);
  time.textContent = `${clock(at)} / ${clock(all)}`;
  for (const wave of [bigWave, cards.get(current)?.wave]) if (wave) setHeard(wave, at / all);
  if (playing()) drawing = requestAnimationFrame(showPlace);
}

function setHeard(wave, place) {
  wave.lastElementChild.style.clipPath = `inset(0 ${(100 * (1 - place)).toFixed(2)}% 0 0)`;
}
