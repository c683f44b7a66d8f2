"""How things sound, more or less. Each recipe makes a whole clip's worth."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kling_batch.sandbox.kit import Kit, Signal

Recipe = Callable[[Kit], Signal]

_SETTLED_S = 1.2
"""How long after the first bang or break another may come."""


def rain(kit: Kit) -> Signal:
    """A wash, and drops in front of it."""
    out = kit.noise(600, 9000, tilt=-0.6) * kit.drift(1.5, 0.16, 0.26)
    for at in kit.moments(45):
        hertz = kit.rng.uniform(1200, 4200) * kit.pitch
        kit.place(out, kit.ring([(hertz, 1.0, 0.006)], 0.04), at, 0.5 * kit.loud(), kit.around())
    return out


def wind(kit: Kit) -> Signal:
    """Gusts, with a howl that comes and goes."""
    gusts = kit.drift(0.9, 0.1, 1.0)
    howl = kit.tone((320 + 260 * kit.drift(0.7, 0, 1)) * np.float32(kit.pitch)) * gusts * gusts * np.float32(0.18)
    return kit.noise(90, 900, tilt=-1.2) * gusts * np.float32(0.5) + howl


def thunder(kit: Kit) -> Signal:
    """A crack, then a long rumble."""
    rumble = kit.noise(20, 160, tilt=-1.0)
    envelope = np.zeros(kit.frames, np.float32)
    time = kit.time()
    for at in [0.25, *kit.moments(0.35)]:
        since = np.maximum(time - np.float32(at), 0)
        envelope += np.minimum(since * 12, 1) * np.exp(since / np.float32(-kit.rng.uniform(0.7, 1.8)))
    out = rumble * envelope * np.float32(0.5)
    kit.place(out, kit.hiss(0.7) * kit.fading(0.7, 0.12), 0.25, 0.6, kit.around())
    return out


def water(kit: Kit) -> Signal:
    """A stream: noise that swells, and bubbles that rise in pitch."""
    out = kit.noise(250, 3500, tilt=-1.0) * kit.drift(0.8, 0.1, 0.42)
    for at in kit.moments(16):
        length = kit.rng.uniform(0.03, 0.09)
        low = kit.rng.uniform(350, 1300) * kit.pitch
        rise = np.linspace(low, low * 1.7, max(2, int(length * kit.rate)), dtype=np.float32)
        kit.place(out, kit.tone(rise) * np.hanning(len(rise)).astype(np.float32), at, 0.45 * kit.loud(), kit.around())
    return out


def waves(kit: Kit) -> Signal:
    """Surf: every few seconds one rolls in."""
    swell = np.sin(kit.time() * np.float32(0.7 * kit.tempo) + np.float32(kit.rng.uniform(0, 3))) * np.float32(0.5)
    body = (swell + np.float32(0.55)) ** 2
    out: Signal = kit.noise(60, 700, tilt=-1) * body * np.float32(0.5)
    out += kit.noise(1500, 9000) * body**2 * np.float32(0.22)
    return out


def fire(kit: Kit) -> Signal:
    """A low roar and many small cracks."""
    out = kit.noise(40, 350, tilt=-1.0) * kit.drift(3, 0.12, 0.3)
    for at in kit.moments(22):
        length = kit.rng.uniform(0.004, 0.02)
        kit.place(
            out, kit.hiss(length) * kit.fading(length, length / 3, 0.0005), at, 0.6 * kit.loud() ** 2, kit.around()
        )
    return out


def bell(kit: Kit) -> Signal:
    """A bell that is struck now and then, with the partials of real ones."""
    out = kit.silence()
    root = kit.voice.uniform(280, 720) * kit.pitch
    ratios = [(0.5, 0.5, 3.2), (1.0, 1.0, 2.4), (1.19, 0.6, 1.9), (1.5, 0.4, 1.5), (2.0, 0.5, 1.1), (2.74, 0.3, 0.6)]
    length = min(kit.seconds, 4.0)
    steps = (1.0, 1.25, 1.5, 0.75)
    strikes = [kit.ring([(root * s * r, g, f) for r, g, f in ratios], length) for s in steps]
    for at in kit.beats(0.8, sway=0.2):
        kit.place(out, strikes[kit.rng.integers(len(steps))], at, kit.loud(), kit.around() * 0.5)
    return out


def engine(kit: Kit) -> Signal:
    """A motor: harmonics of its turning, rough, under a changing load."""
    turns = kit.drift(0.5, 0.85, 1.2) * np.float32(kit.voice.uniform(38, 80) * kit.pitch * kit.tempo)
    phase = kit.phase(turns)
    wave = np.zeros(kit.frames, np.float32)
    for harmonic, gain in ((0.5, 0.5), (1, 1.0), (2, 0.7), (3, 0.45), (5, 0.25)):
        wave += np.float32(gain) * np.sin(phase * np.float32(harmonic))
    strokes = (1 + np.sin(phase)) * np.float32(0.16)
    return wave * np.float32(0.3) + kit.noise(80, 1600, tilt=-0.8) * strokes


def footsteps(kit: Kit) -> Signal:
    """Heel, then toe, at a walking pace."""
    out = kit.silence()
    body = kit.voice.uniform(70, 150) * kit.pitch
    grit = kit.voice.uniform(0.15, 0.6)
    for number, at in enumerate(kit.beats(1.9, sway=0.06)):
        side = 0.3 if number % 2 else -0.3
        for delay, gain in ((0.0, 1.0), (kit.rng.uniform(0.09, 0.13), 0.45)):
            thud = kit.ring([(body, 1.0, 0.03), (body * 2.7, 0.4, 0.015)], 0.16)
            thud += kit.hiss(0.16)[: len(thud)] * kit.fading(0.16, 0.02) * np.float32(grit)
            kit.place(out, thud, at + delay, gain * (0.6 + 0.4 * kit.loud()), side)
    return out


def bird(kit: Kit) -> Signal:
    """Phrases of quick, gliding chirps."""
    out = kit.silence()
    base = min(kit.voice.uniform(2200, 4200) * kit.pitch, kit.rate * 0.3)
    for phrase in kit.moments(1.1):
        side = kit.around()
        low, high = base * kit.rng.uniform(0.8, 1.0), base * kit.rng.uniform(1.05, 1.4)
        for note in range(kit.rng.integers(2, 7)):
            length = kit.rng.uniform(0.05, 0.14)
            frames = int(length * kit.rate)
            ends = (high, low) if note % 2 else (low, high)
            glide = np.linspace(*ends, frames, dtype=np.float32)
            kit.place(out, kit.tone(glide) * np.hanning(frames).astype(np.float32), phrase + note * 0.13, 0.7, side)
    return out


def whistle(kit: Kit) -> Signal:
    """Someone who whistles a tune of a few notes."""
    scale = np.array([0, 2, 4, 7, 9, 12])
    tune = scale[kit.voice.integers(len(scale), size=8)]
    notes = np.tile(tune, 8)[: max(2, int(kit.seconds * 2.2 * kit.tempo))]
    steps = np.repeat(notes, kit.frames // len(notes) + 1)[: kit.frames]
    base = kit.voice.uniform(750, 1050) * kit.pitch * 2 ** (kit.rng.integers(-2, 3) / 12)
    vibrato = 1 + 0.008 * kit.tone(5.5)
    smooth = np.convolve(steps, np.ones(64) / 64, mode="same").astype(np.float32)
    tone = kit.tone((np.float32(base) * np.exp2(smooth / np.float32(12)) * vibrato).astype(np.float32))
    out = kit.noise(1500, 4000) * np.float32(0.03)
    out += tone * kit.drift(4, 0.5, 0.9)
    return out


def explosion(kit: Kit) -> Signal:
    """Bangs with a low body, a burst of noise, and sparks that rain down after."""
    out = kit.silence()
    for at in [0.15, *(moment for moment in kit.moments(0.55) if moment > _SETTLED_S)]:
        side = kit.around() * 0.6
        drop = np.geomspace(130, 28, int(1.2 * kit.rate)).astype(np.float32) * np.float32(kit.pitch)
        boom = kit.tone(drop) * kit.fading(len(drop) / kit.rate, 0.35)[: len(drop)]
        kit.place(out, boom, at, 1.0, side)
        kit.place(out, kit.hiss(0.9) * kit.fading(0.9, 0.16, 0.001), at, 0.5 * kit.loud(), side)
        for spark in kit.rng.uniform(0.2, 1.6, 24):
            kit.place(
                out, kit.hiss(0.008) * kit.fading(0.008, 0.002, 0.0003), at + spark, 0.25 * kit.loud(), kit.around()
            )
    return out


def creak(kit: Kit) -> Signal:
    """Wood that sticks and slips, at a pace that wanders."""
    out = kit.silence()
    body = kit.voice.uniform(380, 800) * kit.pitch
    at = 0.1
    while at < kit.seconds - 0.15:
        strain = 0.5 + 0.5 * np.sin(at * 1.7 * kit.tempo + kit.voice.uniform(0, 0.4))
        hertz = body * (0.8 + 0.5 * strain)
        slip = kit.ring([(hertz, 1.0, 0.012), (hertz * 1.62, 0.6, 0.009), (hertz * 2.9, 0.4, 0.006)], 0.06)
        kit.place(out, slip, at, 0.25 + 0.75 * strain * kit.loud(), 0.2)
        at += kit.rng.uniform(0.7, 1.3) * (0.012 + 0.06 * (1 - strain))
    return out


def glass(kit: Kit) -> Signal:
    """A break, and shards that settle."""
    out = kit.silence()
    for start in [0.2, *(moment for moment in kit.moments(0.25) if moment > _SETTLED_S)]:
        kit.place(out, kit.hiss(0.25) * kit.fading(0.25, 0.04, 0.0005), start, 0.7, kit.around() * 0.3)
        for after in kit.rng.exponential(0.35, 36):
            hertz = kit.rng.uniform(2200, 8500) * kit.pitch
            shard = kit.ring([(hertz, 1.0, 0.05), (hertz * 1.51, 0.5, 0.03)], 0.2)
            kit.place(out, shard, start + after, 0.35 * kit.loud(), kit.around())
    return out


def applause(kit: Kit) -> Signal:
    """Many hands, and a murmur behind them."""
    out = kit.noise(200, 1800, tilt=-0.7) * kit.drift(2, 0.05, 0.12)
    claps = [kit.hiss(0.03) * kit.fading(0.03, kit.rng.uniform(0.004, 0.009), 0.0008) for _ in range(12)]
    swell = kit.drift(0.6, 0.4, 1.0)
    for at in kit.moments(110):
        gain = float(swell[min(kit.frames - 1, int(at * kit.rate))])
        kit.place(out, claps[kit.rng.integers(len(claps))], at, 0.5 * gain * kit.loud(), kit.around())
    return out


def clock(kit: Kit) -> Signal:
    """Tick and tock."""
    out = kit.silence()
    body = kit.voice.uniform(1500, 2800) * kit.pitch
    for number, at in enumerate(kit.beats(2.0)):
        hertz = body * (0.82 if number % 2 else 1.0)
        click = kit.ring([(hertz, 1.0, 0.008), (hertz * 2.3, 0.5, 0.004), (hertz * 0.31, 0.5, 0.02)], 0.12)
        kit.place(out, click, at, 0.8 + 0.2 * kit.loud(), 0.1)
    return out


def siren(kit: Kit) -> Signal:
    """A tone that goes up and down."""
    sweep = np.sin(kit.time() * np.float32(2 * np.pi * kit.voice.uniform(0.25, 0.7) * kit.tempo))
    middle = kit.voice.uniform(700, 950) * kit.pitch * kit.rng.uniform(0.95, 1.05)
    tone = kit.tone((np.float32(middle) * (1 + np.float32(0.35) * sweep)).astype(np.float32))
    return np.tanh(tone * 2) * kit.drift(1, 0.5, 0.8)


def beeps(kit: Kit) -> Signal:
    """Zaps and blips of a machine that has something to say."""
    out = kit.silence()
    base = kit.voice.uniform(500, 1300) * kit.pitch
    for at in kit.moments(2.6):
        length = kit.rng.uniform(0.07, 0.3)
        start, stop = base * kit.rng.uniform(1.2, 3.5), base * kit.rng.uniform(0.3, 1.4)
        glide = np.geomspace(start, stop, max(2, int(length * kit.rate))).astype(np.float32)
        wave = np.tanh(kit.tone(np.minimum(glide, kit.rate * 0.4)) * np.float32(2.5))
        kit.place(out, wave * kit.fading(length, length / 2.5)[: len(wave)], at, kit.loud(), kit.around())
    return out


def drums(kit: Kit) -> Signal:
    """A beat of two drums and a stick."""
    out = kit.silence()
    low = kit.voice.uniform(55, 90) * kit.pitch
    pattern = kit.voice.integers(0, 3, 8)
    pattern[0] = 0
    kick = kit.tone(np.geomspace(low * 2.5, low, int(0.3 * kit.rate)).astype(np.float32)) * kit.fading(0.3, 0.1)
    tom = kit.ring([(low * 2.2, 1.0, 0.12), (low * 3.5, 0.5, 0.06)], 0.4)
    stick = kit.hiss(0.1) * kit.fading(0.1, 0.025, 0.0005)
    for number, at in enumerate(kit.beats(4.0, sway=0.03)):
        hit = (kick, tom, stick)[pattern[number % 8]]
        kit.place(out, hit, at, (0.6, 0.5, 0.35)[pattern[number % 8]] * (0.6 + 0.4 * kit.loud()), kit.around() * 0.4)
    return out


def pad(kit: Kit) -> Signal:
    """Slow chords."""
    out = kit.silence()
    root = kit.voice.uniform(110, 196) * kit.pitch
    chords = ((1, 1.189, 1.498), (0.891, 1.122, 1.335), (1.059, 1.335, 1.587), (0.794, 1, 1.189))
    length = min(kit.seconds, 3.2)
    swell = np.sin(kit.time(length) * np.float32(np.pi / length))
    start = kit.rng.integers(len(chords))
    for number, at in enumerate(np.arange(0, max(0.1, kit.seconds - 0.5), length * 0.6)):
        for ratio in chords[(start + number) % len(chords)]:
            for detune in (0.997, 1.004):
                voice = kit.ring([(root * ratio * detune, 1.0, 9.0), (root * ratio * detune * 2, 0.35, 9.0)], length)
                kit.place(out, voice * swell, at, 0.16, 0.5 if detune > 1 else -0.5)
    return out


def babble(kit: Kit) -> Signal:
    """Someone who talks without words: a buzz that is shaped into vowels."""
    hertz = kit.drift(3, 0.85, 1.25) * np.float32(kit.voice.uniform(95, 210) * kit.pitch)
    phase = kit.phase(hertz)
    first, second = kit.drift(5, 300, 800), kit.drift(5, 900, 2300)
    wave = np.zeros(kit.frames, np.float32)
    for harmonic in range(1, 15):
        pitch = hertz * np.float32(harmonic)
        gain = 1 / (1 + ((pitch - first) / 110) ** 2) + np.float32(0.5) / (1 + ((pitch - second) / 160) ** 2)
        wave += gain * np.sin(phase * np.float32(harmonic))
    return wave * np.clip(kit.drift(7 * kit.tempo, -0.5, 1.0), 0, 1)


def bark(kit: Kit) -> Signal:
    """An animal that calls, in twos and threes."""
    out = kit.silence()
    base = kit.voice.uniform(260, 520) * kit.pitch
    for at in kit.moments(0.9):
        for number in range(kit.rng.integers(1, 4)):
            length = kit.rng.uniform(0.12, 0.2)
            bend = np.sin(np.linspace(0.3, np.pi, int(length * kit.rate))).astype(np.float32)
            voice = np.tanh(kit.tone((base * (0.7 + 0.6 * bend)).astype(np.float32)) * 3)
            rough = voice + kit.hiss(length)[: len(voice)] * np.float32(0.35)
            kit.place(out, rough * bend * bend, at + number * 0.32, kit.loud(), 0.2)
    return out


def insects(kit: Kit) -> Signal:
    """Crickets, or a swarm."""
    carrier = kit.tone(min(kit.voice.uniform(3500, 5200) * kit.pitch, kit.rate * 0.4))
    pulse = np.clip(kit.tone(kit.voice.uniform(18, 32) * kit.tempo) + kit.tone(1.6 * kit.tempo), 0, None)
    out = kit.noise(4000, 9000) * np.float32(0.03)
    out += carrier * pulse * kit.drift(1, 0.2, 0.6)
    return out


def horn(kit: Kit) -> Signal:
    """Long notes of brass, two at a time."""
    out = kit.silence()
    base = kit.voice.uniform(180, 330) * kit.pitch
    for at in kit.beats(0.45, sway=0.3):
        length = kit.rng.uniform(0.6, 1.5)
        swell = np.minimum(kit.time(length) * 25, 1) * np.minimum((np.float32(length) - kit.time(length)) * 15, 1)
        for ratio in (1.0, 1.26):
            kit.place(out, np.tanh(kit.tone(base * ratio, length) * 3) * swell, at, 0.5)
    return out


def whoosh(kit: Kit) -> Signal:
    """Something that passes by, from one ear to the other."""
    noise = kit.noise(300, 5000, tilt=-0.5)
    out = kit.silence()
    for at in kit.beats(0.8, sway=0.3):
        length = float(kit.rng.uniform(0.35, 0.9))
        event = noise[0][: int(length * kit.rate)] * np.hanning(int(length * kit.rate)).astype(np.float32) ** 2
        side = kit.rng.choice([-0.8, 0.8])
        kit.place(out, event, at, 0.4 * kit.loud(), side)
        kit.place(out, event, at + length * 0.4, 0.4 * kit.loud(), -side)
    return out
