// One sound at a time. The takes of a job that were heard stay loaded, so that going back and forth waits for nothing.

const MOST_LOADED = 9; // browsers refuse a page some dozens
const MOST_LOWERED = 12; // decibels, for the sake of a quieter take
const loaded = new Map(); // sound -> its element, the latest last: a take's, or what that was finished out of
let audio = null; // the element that sounds, alone in the page
let current = null; // the take that was asked for
let opening = null; // the take that is being loaded, while `audio` is the one before
let startAt = 0; // where it will begin, in seconds; null is where the one before is by then
let playOn = false;
let wantsLoop = false;
let asDelivered = false; // takes are heard as they were delivered
let compared = null; // the take of which both sounds were heard

const title = el("p", { class: "now" });
const playButton = iconButton("play", "Play (space)", { class: "main", onclick: () => playOrPause() });
const previousButton = iconButton("previous", "Previous sound (up)", { onclick: () => step(-1) });
const nextButton = iconButton("next", "Next sound (down)", { onclick: () => step(1) });
const loopButton = iconButton("loop", "Loop (L)", { "aria-pressed": "false", onclick: () => setLoop(!wantsLoop) });
const sourceButton = iconButton("source", "As delivered, or finished (D)", { "aria-pressed": "false", hidden: !jobs.some((job) => job.takes.some((take) => take.source)), onclick: () => setDelivered(!asDelivered) });
const onButton = iconButton("on", "Play on to the next sound (O)", { "aria-pressed": "false", onclick: () => setPlayOn(!playOn) });
const seekBar = el("input", {
  type: "range", min: 0, max: 1000, value: 0, step: 1, disabled: true, "aria-label": "Position",
  oninput: () => seekTo(seekBar.valueAsNumber / 1000),
});
const bigWave = el("div", { class: "wave" });
const time = el("p", { class: "time" });
const volume = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 1, "aria-label": "Volume", oninput: () => setVolume() });

// The sound of a take that is heard.
function soundOf(take) {
  return asDelivered && take.source ? take.source : take;
}

function playing() {
  return audio !== null && current !== null && !audio.paused;
}

function elementOf(take) {
  const sound = soundOf(take);
  const element = loaded.get(sound) ?? load(sound, take);
  loaded.delete(sound);
  loaded.set(sound, element);
  for (const other of [...loaded.keys()]) if (other.job !== take.job || loaded.size > MOST_LOADED) unload(other);
  return element;
}

function load(sound, take) {
  const element = Object.assign(el("audio", { preload: "auto" }), { sound, take });
  element.opened = new Promise((done) => {
    element.addEventListener("loadeddata", () => done(true));
    element.addEventListener("error", () => done(false));
  });
  for (const event of ["play", "pause", "seeked"]) element.addEventListener(event, () => element === audio && showPlaying());
  element.addEventListener("timeupdate", () => element === audio && stayInRegion());
  element.addEventListener("ended", () => atEnd());
  addressOf(sound.files[0][0]).then((address) => (element.src = address));
  return element;
}

function unload(sound) {
  const element = loaded.get(sound);
  loaded.delete(sound);
  element.pause();
  URL.revokeObjectURL(element.src);
  element.removeAttribute("src");
}

// Plays a take from a place between 0 and 1; without one from where it is, or from the start.
function play(take, place) {
  if (take === opening) return;
  if (take === current && !take.missing) {
    if (place !== undefined) seekTo(place);
    audio.play().catch(() => showPlaying());
    return;
  }
  if (audio) audio.pause();
  begin(take, (place ?? 0) * secondsOf(soundOf(take)));
}

// Another take at the same place, as one switches between tracks: the one before sounds until the other is there.
function switchTo(take) {
  if (take === current) play(take);
  else begin(take, null);
  say(nameOf(take));
}

// A take as it was delivered and finished, at the same place.
function setDelivered(on) {
  if (on && current && !current.source) {
    say("This sound stands as it was delivered");
    return;
  }
  showDelivered(on);
  compared = current;
  if (current) begin(current, null);
  say(on ? "As delivered" : "Finished");
}

function showDelivered(on) {
  asDelivered = on;
  sourceButton.setAttribute("aria-pressed", String(on));
}

async function begin(take, at) {
  const before = current;
  current = opening = take;
  startAt = at;
  take.missing = false;
  if (before) paintTake(before);
  if (before?.job !== take.job) setRegion(null);
  if (compared !== take) compared = null;
  showTake();
  showPlaying();
  const next = elementOf(take);
  const there = await next.opened;
  if (opening !== take || soundOf(take) !== next.sound) return;
  opening = null;
  if (there) change(next, at ?? placeFor(next));
  else if (next.sound === take) tellMissing();
  else tellNoSource(take, at);
}

function change(next, at) {
  const last = audio;
  audio = next;
  audio.loop = wantsLoop;
  audio.currentTime = at;
  if (region && last) setRegion(region.map((second) => Math.max(0, second + shift(last, next))));
  setVolume();
  audio.play().catch(() => showPlaying());
  if (last !== next) {
    last?.pause();
    last?.remove();
    document.body.append(next);
  }
  showPlaying();
}

// Where the sound before is; the start, where that was at its end or the next is shorter.
function placeFor(next) {
  const at = audio && !audio.ended ? Math.max(0, audio.currentTime + shift(audio, next)) : 0;
  return at >= next.duration ? 0 : at;
}

// By how much later what is heard in one sound is heard in another of the same take: its start was cut off.
function shift(from, to) {
  return from.take === to.take ? from.sound.start - to.sound.start : 0;
}

// From disk a sound is read as it is played. Servers are asked for all of it first: many give no part of a file, and
// then a browser plays from the start wherever one clicks.
async function addressOf(path) {
  const link = linkTo(path);
  if (onDisk) return link;
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

function position() {
  return opening && startAt !== null ? startAt : (audio?.currentTime ?? 0);
}

function lasting() {
  return !opening && audio && Number.isFinite(audio.duration) && audio.duration > 0 ? audio.duration : secondsOf(soundOf(current));
}

function atEnd() {
  if (region) play(current, region[0] / lasting());
  else if (playOn) step(1);
  else showPlaying();
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

// Louder sounds better: takes of a job are lowered to the quietest of them, to be compared by what they are; so are a
// take as it was delivered and finished, once both were heard.
const MATCH = "kling-batch levels";
const matchButton = iconButton("match", "Takes of a job equally loud (M)", { "aria-pressed": String(kept(MATCH) === null), onclick: () => setMatch(!matches()) });

function matches() {
  return matchButton.getAttribute("aria-pressed") === "true";
}

function setMatch(on) {
  matchButton.setAttribute("aria-pressed", String(on));
  keep(MATCH, on ? null : "as they are");
  setVolume();
  if (current) showTake();
  say(on ? "Takes of a job are equally loud" : "Takes are as loud as they are");
}

function loweredBy(take) {
  const { loudness } = soundOf(take);
  const sounds = take.job.takes.filter((one) => one === take || !isRejected(one)).map(soundOf);
  if (compared === take && take.source) sounds.push(take, take.source);
  const all = sounds.map((sound) => sound.loudness).filter((level) => level !== null);
  return matches() && loudness !== null ? Math.min(MOST_LOWERED, loudness - Math.min(...all)) : 0;
}

function setVolume() {
  if (audio && !opening) audio.volume = volume.valueAsNumber * 10 ** (-loweredBy(current) / 20);
}

function tellMissing() {
  const words = `${current.files[0][0]} cannot be played: is it beside this page?`;
  current.missing = true;
  audio?.pause();
  unload(current);
  title.replaceChildren(el("b", null, nameOf(current)), el("span", { class: "wrong" }, words));
  say(words);
  showPlaying();
}

// Goes on with the finished sound, since the other is not there.
function tellNoSource(take, at) {
  const words = `${take.source.files[0][0]} is not beside this page: run with --keep-sources to have it.`;
  unload(take.source);
  showDelivered(false);
  begin(take, at);
  title.replaceChildren(el("b", null, nameOf(take)), el("span", { class: "wrong" }, words));
  say(words);
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
  const lowered = loweredBy(current);
  title.replaceChildren(el("b", null, current.job.id), ` take ${current.number} `,
    soundOf(current) !== current ? el("span", { class: "delivered" }, "as delivered ") : "",
    lowered >= 0.05 ? el("span", { class: "lowered", title: "Lowered to the quietest of what is compared" }, `${decibels(-lowered)} dB `) : "",
    foreign(current.job.prompt, { class: "quiet" }));
  bigWave.replaceChildren(...waveform(soundOf(current).wave));
  seekBar.disabled = false;
  showScope();
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
  stayInRegion();
  const all = lasting();
  const at = Math.min(position(), all);
  seekBar.value = String(Math.round((1000 * at) / all));
  seekBar.setAttribute("aria-valuetext", `${at.toFixed(1)} of ${all.toFixed(1)} seconds`);
  time.textContent = `${clock(at)} / ${clock(all)}`;
  for (const wave of [bigWave, cards.get(current)?.wave]) if (wave) setHeard(wave, at / all);
  markPlace(at);
  if (playing()) drawing = requestAnimationFrame(showPlace);
}

function setHeard(wave, place) {
  wave.lastElementChild.style.clipPath = `inset(0 ${(100 * (1 - place)).toFixed(2)}% 0 0)`;
}
