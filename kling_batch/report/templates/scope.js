// A closer look at the sound that is heard: a part of it, a region to loop, a spectrogram.

const RATE = 48_000; // Hz, at which sounds are looked at
const SHORTEST = 0.05; // seconds, of a view and of a region
const CLICK = 4; // pixels, up to which a press is no stroke

let left = 0; // the part of the sound in view, of its length
let right = 1;
let region = null; // what is looped, in seconds: from and to
let decoded = { sound: null, channels: null };

const scopeButton = iconButton("zoom", "Zoom and spectrogram (Z)", { "aria-pressed": "false", onclick: () => setScope(scope.hidden) });
const canvas = el("canvas", { role: "img" });
const regionMark = el("div", { class: "region", hidden: true });
const placeMark = el("div", { class: "place" });
const plate = el("div", { class: "plate", onpointerdown: (event) => stroke(event), onwheel: (event) => turnWheel(event) }, canvas, regionMark, placeMark);
const spectrumButton = el("button", { type: "button", class: "chip", "aria-pressed": "false", title: "Spectrogram (S)", onclick: () => setSpectrum(!showsSpectrum()) }, "Spectrogram");
const regionWords = el("span", { class: "fine" });
const wholeButton = el("button", { type: "button", class: "chip", title: "Loop all of it, or nothing (X)", onclick: () => setRegion(null) }, "No region");
const folder = folderField();
const lookWords = el("span", { class: "fine", role: "status" });
const zoomButton = (words, title, factor) => el("button", { type: "button", class: "chip", title, "aria-label": title, onclick: () => zoom(factor, (left + right) / 2) }, words);
const scope = el("section", { class: "scope", "aria-label": "Zoom", hidden: true },
  plate,
  el("div", { class: "chips" }, zoomButton("+", "Zoom in", 0.5), zoomButton("\u2212", "Zoom out", 2), zoomButton("Whole", "All of the sound", Infinity), spectrumButton, wholeButton, regionWords, lookWords),
  folder);

function setScope(on) {
  scope.hidden = !on;
  document.body.classList.toggle("looking", on);
  scopeButton.setAttribute("aria-pressed", String(on));
  showScope();
}

function showsSpectrum() {
  return spectrumButton.getAttribute("aria-pressed") === "true";
}

function setSpectrum(on) {
  spectrumButton.setAttribute("aria-pressed", String(on));
  if (on && scope.hidden) setScope(true);
  else showScope();
}

// Shows the current take, in the part that is in view: a take that is switched to is seen where it is heard.
function showScope() {
  if (scope.hidden || !current) return;
  const sound = soundOf(current);
  if (decoded.sound?.job !== sound.job) [left, right] = [0, 1];
  folder.hidden = canRead(sound.files[0][0]);
  if (decoded.sound !== sound || (!decoded.channels && folder.hidden)) decode(sound);
  drawScope();
}

onGiven.push(() => showScope());

async function decode(sound) {
  decoded = { sound, channels: null };
  const path = sound.files[0][0];
  lookWords.textContent = "";
  if (!canRead(path)) return;
  try {
    const heard = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await bytesOf(path));
    if (decoded.sound !== sound) return;
    decoded.channels = Array.from({ length: heard.numberOfChannels }, (_, index) => heard.getChannelData(index));
    drawScope();
  } catch (error) {
    lookWords.textContent = error.message;
  }
}

function drawScope() {
  const shape = getComputedStyle(plate);
  canvas.width = plate.clientWidth * devicePixelRatio;
  canvas.height = plate.clientHeight * devicePixelRatio;
  const context = canvas.getContext("2d");
  const { channels } = decoded;
  if (showsSpectrum() && channels) drawSpectrum(context, channels);
  else drawWave(context, shape.getPropertyValue("--wave"), channels);
  canvas.setAttribute("aria-label", `${showsSpectrum() && channels ? "Spectrogram" : "Waveform"} of ${nameOf(current)}`);
  markRegion();
  markPlace(position());
}

// The largest sample of each column; without samples, that of the waveform's own 120 columns.
function drawWave(context, colour, channels) {
  const { width, height } = context.canvas;
  const letters = soundOf(current).wave;
  const length = channels ? channels[0].length : letters.length;
  context.fillStyle = colour;
  for (let column = 0; column < width; column += 1) {
    const first = Math.floor(length * (left + ((right - left) * column) / width));
    const last = Math.max(first + 1, Math.floor(length * (left + ((right - left) * (column + 1)) / width)));
    const tall = Math.max(1, (channels ? largest(channels, first, last) : (LETTERS.indexOf(letters[first]) + 1) / 64) * height);
    context.fillRect(column, (height - tall) / 2, 1, tall);
  }
}

function largest(channels, first, last) {
  let most = 0;
  for (const samples of channels) for (let n = first; n < last; n += 1) most = Math.max(most, Math.abs(samples[n]));
  return Math.min(1, most);
}

function drawSpectrum(context, channels) {
  const { width, height } = context.canvas;
  const [columns, rows] = [Math.min(width, 800), Math.min(height, 200)];
  const { length } = channels[0];
  const board = new OffscreenCanvas(columns, rows);
  board.getContext("2d").putImageData(spectrogram(channels, RATE, left * length, right * length, columns, rows), 0, 0);
  context.drawImage(board, 0, 0, width, height);
  context.fillStyle = "#fff";
  context.font = `${11 * devicePixelRatio}px sans-serif`;
  for (const [frequency, words] of [[100, "100 Hz"], [1000, "1 kHz"], [10_000, "10 kHz"]]) {
    context.fillText(words, 4, height * (1 - heightOfFrequency(frequency, RATE)));
  }
}

function zoom(factor, about) {
  if (!current) return;
  const width = Math.min(1, Math.max(SHORTEST / lasting(), (right - left) * factor));
  left = Math.min(1 - width, Math.max(0, about - ((about - left) * width) / (right - left)));
  right = left + width;
  drawScope();
}

function turnWheel(event) {
  event.preventDefault();
  zoom(event.deltaY < 0 ? 0.8 : 1.25, placeOn(event));
}

function placeOn(event) {
  const box = plate.getBoundingClientRect();
  return left + (right - left) * Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
}

// A click plays from there; a stroke loops what it went over.
function stroke(down) {
  if (!current || opening) return;
  const start = placeOn(down);
  plate.setPointerCapture(down.pointerId);
  plate.onpointermove = (event) => {
    if (Math.abs(event.clientX - down.clientX) <= CLICK) return;
    setRegion([start, placeOn(event)].sort((one, other) => one - other).map((place) => place * lasting()));
  };
  plate.onpointerup = plate.onpointercancel = (event) => {
    plate.onpointermove = plate.onpointerup = plate.onpointercancel = null;
    if (Math.abs(event.clientX - down.clientX) <= CLICK) seekTo(start);
  };
}

// An edge of the region is where the sound is now.
function setEdge(end) {
  if (!current || opening) return;
  const at = position();
  const [first, last] = region ?? [0, lasting()];
  if (end) setRegion([first < at ? first : 0, at]);
  else setRegion([at, last > at ? last : lasting()]);
}

function setRegion(next) {
  region = next && next[1] - next[0] >= SHORTEST ? next : null;
  regionWords.textContent = region ? `loops ${region.map((second) => second.toFixed(2)).join(" to ")} s` : "";
  wholeButton.hidden = !region;
  markRegion();
}

function stayInRegion() {
  if (region && !opening && audio && audio.currentTime >= region[1]) audio.currentTime = region[0];
}

function markRegion() {
  regionMark.hidden = !region || scope.hidden;
  if (regionMark.hidden) return;
  const [first, last] = region.map((second) => (second / lasting() - left) / (right - left));
  regionMark.style.left = `${100 * first}%`;
  regionMark.style.width = `${100 * (last - first)}%`;
}

// Follows the sound where it leaves what is in view.
function markPlace(at) {
  if (scope.hidden) return;
  const place = at / lasting();
  if (playing() && (place < left || place > right) && right - left < 1) {
    const width = right - left;
    left = Math.min(1 - width, Math.max(0, place));
    right = left + width;
    drawScope();
    return;
  }
  placeMark.style.left = `${(100 * (place - left)) / (right - left)}%`;
}
