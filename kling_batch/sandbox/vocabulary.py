"""Which words call for which sounds, and which bend them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from kling_batch.sandbox import recipes
from kling_batch.sandbox.recipes import Recipe

_WORDS: Mapping[Recipe, str] = {
    recipes.rain: "rain drizzle downpour shower rainfall rainstorm",
    recipes.thunder: "thunder storm lightning earthquake rumble avalanche thunderstorm thunderclap",
    recipes.wind: "wind breeze gust blizzard windy",
    recipes.waves: "wave ocean sea surf beach shore tide",
    recipes.water: "water river stream brook drip splash pour bubble waterfall swim faucet gurgle toilet flush",
    recipes.fire: "fire flame crackle burn sizzle fry campfire torch hearth bonfire",
    recipes.bell: "bell chime gong ding ring coin crystal magic treasure spell jingle",
    recipes.engine: (
        "engine motor car truck vehicle bus machine drill helicopter plane airplane aircraft boat motorboat saw "
        "tractor chainsaw lawnmower vacuum idle rev hum generator train race motorcycle accelerate drive fan"
    ),
    recipes.footsteps: "footstep walk step boot march hoof hooves gallop horse feet clop",
    recipes.bird: "bird chirp tweet songbird rooster crow owl duck quack pigeon coo",
    recipes.whistle: "whistle flute",
    recipes.explosion: "explosion explode firework bang boom blast gun gunshot gunfire cannon rocket shot bomb burst",
    recipes.creak: "creak squeak door hinge wood wooden oak floor rope chair drawer gate cabinet",
    recipes.glass: "glass shatter break crash bottle dish window ice smash",
    recipes.applause: "applause applaud crowd cheer clap audience ovation stadium",
    recipes.clock: "clock tick tock timer watch type keyboard typewriter click typing",
    recipes.siren: "siren alarm ambulance police emergency",
    recipes.beeps: "beep laser ui zap blip game robot sci-fi phone button power electric electronic",
    recipes.drums: "drum beat percussion tap knock hit hammer bounce thump thud bass",
    recipes.pad: (
        "music string pad choir ambient ambience synth orchestra piano guitar violin song melody space dream drone"
    ),
    recipes.babble: (
        "speech speak talk man men woman women voice laugh people child children baby cry murmur tavern conversation "
        "narrate sing snore cough sneeze shout scream whisper laughter"
    ),
    recipes.bark: "dog bark growl cat meow goat sheep bleat cow pig oink monster animal wolf howl roar",
    recipes.insects: "insect cricket bee buzz fly mosquito night cicada frog",
    recipes.horn: "horn honk trumpet brass ship fanfare tuba",
    recipes.whoosh: "whoosh swoosh swing sword swish pass throw arrow cloth paper spray hiss",
}
PLAIN = (
    recipes.pad,
    recipes.bell,
    recipes.whoosh,
    recipes.drums,
    recipes.beeps,
    recipes.water,
    recipes.babble,
)
"""What a prompt gets when none of its words calls for anything."""

PITCH: Mapping[str, float] = {
    **dict.fromkeys(("tiny", "mouse"), 1.7),
    **dict.fromkeys(("small", "little", "high", "light"), 1.35),
    **dict.fromkeys(("old", "large", "big", "low", "dark"), 0.75),
    **dict.fromkeys(("heavy", "deep", "huge", "giant"), 0.6),
}
TEMPO: Mapping[str, float] = {
    **dict.fromkeys(("fast", "quick", "quickly", "rapid", "rapidly", "running", "hurried", "heavily"), 1.6),
    **dict.fromkeys(("slow", "slowly", "calm", "gentle", "gently", "lazy", "softly"), 0.65),
}
FAR = frozenset({"distant", "far", "muffled", "faint", "faintly", "background", "distance"})
HALL = frozenset({"echo", "echoes", "echoing", "cave", "hall", "reverb", "cathedral", "church", "tunnel", "dungeon"})


def words_of(prompt: str) -> list[str]:
    """Take a prompt apart."""
    return re.findall(r"[a-z]+(?:-[a-z]+)*", prompt.lower())


def factor(words: set[str], factors: Mapping[str, float]) -> float:
    """Multiply what the words of a prompt stand for, within reason."""
    product = 1.0
    for word in sorted(words & factors.keys()):
        product *= factors[word]
    return min(2.0, max(0.45, product))


def called_for(words: list[str]) -> list[Recipe]:
    """List the recipes that words call for, in the order of the words."""
    return list(dict.fromkeys(_RECIPE_OF[word] for word in words if word in _RECIPE_OF))


_SHORT = 3
"""Up to here a `y` makes another word: many is not a man."""


def _forms(word: str) -> Iterator[str]:
    """Bend a word as English does: creak, creaks, creaking, creaky; whistle, whistling; hit, hitting."""
    stem = word.removesuffix("e")
    yield from (word, word + "s", word + "es")
    endings = ("ing", "ed", "er", "ers") if len(word) <= _SHORT else ("ing", "ed", "er", "ers", "y")
    for ending in endings:
        yield stem + ending
        yield word + word[-1] + ending


def _table() -> dict[str, Recipe]:
    """Map every word to its recipe. A word as it is written counts for more than one that was bent."""
    pairs = [(word, recipe) for recipe, words in _WORDS.items() for word in words.split()]
    table = dict(pairs)
    for word, recipe in pairs:
        for form in _forms(word):
            table.setdefault(form, recipe)
    return table


_RECIPE_OF = _table()
