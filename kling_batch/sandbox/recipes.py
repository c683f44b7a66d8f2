"""Which words call for which sound, and how it sounds, more or less."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kling_batch.sandbox.layers import Drone, Events, Layer, Noise

_HARMONICS = tuple((number, 1 / number) for number in range(1, 8))
_HOLLOW = _HARMONICS[::2]
_WOOD = ((1, 1), (1.62, 0.6), (2.9, 0.4))
_BELL = ((0.5, 0.4), (1, 1), (1.19, 0.5), (1.5, 0.3), (2, 0.4), (2.74, 0.2))
_CHORD = ((1, 1), (1.19, 0.8), (1.5, 0.8), (2, 0.4), (2.005, 0.4))

RECIPES: Mapping[str, tuple[Layer, ...]] = {
    "rain": (
        Noise((600, 9000), (0.16, 0.26)),
        Events(45, (0.02, 0.04), hertz=(2000, 2400), spread=1.9),
    ),
    "thunder": (
        Noise((20, 90), (0.02, 0.5), turns_per_s=2),
        Events(0.4, (0.6, 1.4), hertz=(60, 80), hiss=0.2, steady=True),
    ),
    "wind": (
        Noise((90, 900), (0.05, 0.5)),
        Drone((380, 520), (-0.1, 0.15), stray=1.4, turns_per_s=0.7),
    ),
    "waves": (
        Noise((60, 700), (0.05, 0.5), turns_per_s=0.5, regular=True),
        Noise((1500, 9000), (0.0, 0.2), turns_per_s=0.5, regular=True),
    ),
    "water": (
        Noise((250, 2500), (0.1, 0.3)),
        Events(16, (0.03, 0.09), hertz=(600, 800), spread=1.8, glide=1.7, soft=True),
    ),
    "fire": (
        Noise((40, 250), (0.05, 0.2), turns_per_s=3),
        Events(22, (0.004, 0.03), hiss=1.0),
    ),
    "bell": (Events(0.8, (2.0, 4.0), hertz=(320, 720), spread=1.2, partials=_BELL, steady=True),),
    "engine": (
        Drone((40, 70), (0.3, 0.4), partials=_HARMONICS, stray=1.2, turns_per_s=0.5),
        Noise((80, 1200), (0.05, 0.15), turns_per_s=20),
    ),
    "footsteps": (Events(1.9, (0.08, 0.16), hertz=(80, 150), partials=_WOOD, hiss=0.25, steady=True, repeats=(2, 2)),),
    "bird": (Events(1.2, (0.05, 0.14), hertz=(2400, 4000), spread=1.2, glide=1.3, soft=True, repeats=(2, 6)),),
    "whistle": (
        Drone((900, 1300), (0.4, 0.9), stray=1.5, turns_per_s=2.2),
        Noise((1500, 4000), (0.02, 0.03)),
    ),
    "explosion": (
        Events(0.5, (1.0, 1.4), hertz=(110, 140), glide=0.25, hiss=0.3, steady=True),
        Events(8, (0.005, 0.02), hiss=0.3),
    ),
    "creak": (Events(8, (0.03, 0.06), hertz=(380, 800), spread=1.1, partials=_WOOD, steady=True, repeats=(1, 4)),),
    "glass": (
        Events(0.4, (0.1, 0.3), hiss=1.0, steady=True),
        Events(12, (0.1, 0.3), hertz=(4000, 5000), spread=1.9, partials=_WOOD),
    ),
    "applause": (
        Noise((200, 1800), (0.02, 0.06)),
        Events(110, (0.01, 0.03), hiss=1.0),
    ),
    "clock": (Events(2, (0.06, 0.1), hertz=(1700, 2600), spread=1.2, partials=_WOOD, steady=True),),
    "siren": (Drone((700, 950), (0.5, 0.8), partials=_HOLLOW, stray=1.4, regular=True),),
    "beeps": (Events(2.6, (0.07, 0.3), hertz=(700, 2000), spread=1.8, glide=0.4, partials=_HOLLOW),),
    "drums": (
        Events(2, (0.2, 0.4), hertz=(130, 200), glide=0.5, steady=True),
        Events(3, (0.05, 0.1), hertz=(180, 240), spread=1.3, hiss=0.3, steady=True),
    ),
    "pad": (Events(1, (2.0, 3.2), hertz=(140, 220), spread=1.12, partials=_CHORD, soft=True, steady=True),),
    "babble": (
        Drone((110, 210), (-0.3, 0.8), partials=_HARMONICS, stray=1.2, turns_per_s=3, volume_turns_per_s=8),
        Noise((1500, 3500), (0.0, 0.03), turns_per_s=8),
    ),
    "bark": (
        Events(
            0.9, (0.12, 0.2), hertz=(300, 560), glide=0.7, partials=_HARMONICS, hiss=0.15, repeats=(1, 3), gap_s=0.3
        ),
    ),
    "insects": (Events(4, (0.02, 0.04), hertz=(3500, 5200), soft=True, repeats=(4, 6), gap_s=0.04),),
    "horn": (Events(0.6, (0.8, 1.6), hertz=(180, 330), partials=_HARMONICS, soft=True, steady=True),),
    "whoosh": (Events(0.9, (0.35, 0.9), hiss=1.0, soft=True, steady=True),),
}

WORDS: Mapping[str, str] = {
    "rain": "rain drizzle downpour shower rainfall rainstorm",
    "thunder": "thunder storm lightning earthquake rumble avalanche thunderstorm thunderclap",
    "wind": "wind breeze gust blizzard windy",
    "waves": "wave ocean sea surf beach shore tide",
    "water": "water river stream brook drip splash pour bubble waterfall swim faucet gurgle toilet flush",
    "fire": "fire flame crackle burn sizzle fry campfire torch hearth bonfire",
    "bell": "bell chime gong ding ring coin crystal magic treasure spell jingle",
    "engine": (
        "engine motor car truck vehicle bus machine drill helicopter plane airplane aircraft boat motorboat "
        "saw tractor chainsaw lawnmower vacuum idle rev hum generator train race motorcycle accelerate drive "
        "fan"
    ),
    "footsteps": "footstep walk step boot march hoof hooves gallop horse feet clop",
    "bird": "bird chirp tweet songbird rooster crow owl duck quack pigeon coo",
    "whistle": "whistle flute",
    "explosion": "explosion explode firework bang boom blast gun gunshot gunfire cannon rocket shot bomb burst",
    "creak": "creak squeak door hinge wood wooden oak floor rope chair drawer gate cabinet",
    "glass": "glass shatter break crash bottle dish window ice smash",
    "applause": "applause applaud crowd cheer clap audience ovation stadium",
    "clock": "clock tick tock timer watch type keyboard typewriter click typing",
    "siren": "siren alarm ambulance police emergency",
    "beeps": "beep laser ui zap blip game robot sci-fi phone button power electric electronic",
    "drums": "drum beat percussion tap knock hit hammer bounce thump thud bass",
    "pad": "music string pad choir ambient ambience synth orchestra piano guitar violin song melody space dream drone",
    "babble": (
        "speech speak talk man men woman women voice laugh people child children baby cry murmur tavern "
        "conversation narrate sing snore cough sneeze shout scream whisper laughter"
    ),
    "bark": "dog bark growl cat meow goat sheep bleat cow pig oink monster animal wolf howl roar",
    "insects": "insect cricket bee buzz fly mosquito night cicada frog",
    "horn": "horn honk trumpet brass ship fanfare tuba",
    "whoosh": "whoosh swoosh swing sword swish pass throw arrow cloth paper spray hiss",
}
"""The words that call for each recipe."""

PLAIN = ("pad", "bell", "whoosh", "drums", "beeps", "water", "babble")
"""What a prompt gets when none of its words calls for anything."""

PITCH = {
    1.7: "tiny mouse",
    1.35: "small little high light",
    0.75: "old large big low dark",
    0.6: "heavy deep huge giant",
}
TEMPO = {
    1.6: "fast quick quickly rapid rapidly running hurried heavily",
    0.65: "slow slowly calm gentle gently lazy softly",
}

_ENDING = re.compile(r"(?<=...)(?:ings?|ed|e?s|(?<=....)y)$")


def words_of(prompt: str) -> list[str]:
    """Take a prompt apart."""
    return re.findall(r"[a-z]+(?:-[a-z]+)*", prompt.lower())


def called_for(words: list[str]) -> list[str]:
    """List the recipes that words call for, in the order of the words."""
    return list(dict.fromkeys(_NAMES[_stem(word)] for word in words if _stem(word) in _NAMES))


def factor(words: set[str], factors: Mapping[float, str]) -> float:
    """Multiply what the words of a prompt stand for, within reason."""
    product = 1.0
    for value, known in factors.items():
        product *= value ** len(words & set(known.split()))
    return min(2.0, max(0.45, product))


def _stem(word: str) -> str:
    """Take the ending off: creak, creaks, creaking, creaky; whistle, whistling; hit, hitting."""
    bare = _ENDING.sub("", word)
    return re.sub(r"([^aeiou])\1$", r"\1", bare).removesuffix("e")


_NAMES = {_stem(word): name for name, words in WORDS.items() for word in words.split()}
