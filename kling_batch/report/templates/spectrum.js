// A spectrogram: how strong each frequency is over time, low ones at the bottom, an octave as tall as any other.

const FRAME = 2048; // samples, of which each column looks at one stretch
const LOWEST = 40; // Hz
const RANGE = 90; // decibels, from what is black to what is brightest
const COLOURS = [[12, 12, 20], [62, 22, 96], [160, 44, 90], [236, 112, 56], [250, 220, 140], [255, 255, 240]];
const fade = Float32Array.from({ length: FRAME }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / FRAME));
const cosines = Float32Array.from({ length: FRAME / 2 }, (_, n) => Math.cos((2 * Math.PI * n) / FRAME));
const sines = Float32Array.from({ length: FRAME / 2 }, (_, n) => Math.sin((2 * Math.PI * n) / FRAME));

// The fast Fourier transform of Cooley and Tukey, in place.
function transform(real, imaginary) {
  for (let one = 1, other = 0; one < FRAME; one += 1) {
    let bit = FRAME >> 1;
    for (; other & bit; bit >>= 1) other ^= bit;
    other ^= bit;
    if (one < other) [real[one], real[other]] = [real[other], real[one]];
  }
  for (let half = 1; half < FRAME; half *= 2) {
    const turn = FRAME / (2 * half);
    for (let start = 0; start < FRAME; start += 2 * half) {
      for (let n = 0; n < half; n += 1) {
        const low = start + n;
        const high = low + half;
        const re = real[high] * cosines[n * turn] + imaginary[high] * sines[n * turn];
        const im = imaginary[high] * cosines[n * turn] - real[high] * sines[n * turn];
        real[high] = real[low] - re;
        imaginary[high] = imaginary[low] - im;
        real[low] += re;
        imaginary[low] += im;
      }
    }
  }
}

// The power of each frequency around a sample, of all channels together.
function powersAt(channels, middle) {
  const powers = new Float32Array(FRAME / 2);
  for (const samples of channels) {
    const first = middle - FRAME / 2;
    const real = Float32Array.from(fade, (weight, n) => weight * (samples[first + n] ?? 0));
    const imaginary = new Float32Array(FRAME);
    transform(real, imaginary);
    for (let bin = 0; bin < powers.length; bin += 1) powers[bin] += (real[bin] ** 2 + imaginary[bin] ** 2) / channels.length;
  }
  return powers;
}

function colourOf(power) {
  const level = 10 * Math.log10(power / (FRAME / 4) ** 2 + 1e-12);
  const place = Math.min(0.999, Math.max(0, 1 + level / RANGE)) * (COLOURS.length - 1);
  const [below, above] = [COLOURS[Math.floor(place)], COLOURS[Math.floor(place) + 1]];
  return below.map((value, index) => value + (place % 1) * (above[index] - value));
}

function frequencyAt(height, rate) {
  return LOWEST * (rate / 2 / LOWEST) ** height;
}

function heightOfFrequency(frequency, rate) {
  return Math.log(frequency / LOWEST) / Math.log(rate / 2 / LOWEST);
}

// Draws the samples from `first` to `last` as an image of so many columns and rows.
function spectrogram(channels, rate, first, last, columns, rows) {
  const image = new ImageData(columns, rows);
  const edges = Array.from({ length: rows + 1 }, (_, row) => (frequencyAt(row / rows, rate) / rate) * FRAME);
  for (let column = 0; column < columns; column += 1) {
    const powers = powersAt(channels, Math.round(first + ((last - first) * (column + 0.5)) / columns));
    for (let row = 0; row < rows; row += 1) {
      let strongest = 0;
      for (let bin = Math.floor(edges[row]); bin === Math.floor(edges[row]) || bin < edges[row + 1]; bin += 1) {
        strongest = Math.max(strongest, powers[Math.min(bin, powers.length - 1)]);
      }
      image.data.set([...colourOf(strongest), 255], 4 * ((rows - 1 - row) * columns + column));
    }
  }
  return image;
}
