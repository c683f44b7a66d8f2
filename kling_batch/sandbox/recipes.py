"""Which words call for which sound, and how it sounds, more or less: `recipes.json`, read."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kling_batch.sandbox.layers import Drone, Events, Layer, Noise

_LAYERS: Mapping[str, type[Layer]] = {"noise": Noise, "drone": Drone, "events": Events}
_TABLE = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))


def _layer(said: Mapping[str, Any]) -> Layer:
    [(name, fields)] = said.items()
    partials = {"partials": _TABLE["partials"][fields["partials"]]} if "partials" in fields else {}
    return _LAYERS[name](**fields | partials)


RECIPES: Mapping[str, tuple[Layer, ...]] = {
    name: tuple(map(_layer, recipe["layers"])) for name, recipe in _TABLE["recipes"].items()
}
WORDS: Mapping[str, str] = {name: recipe["words"] for name, recipe in _TABLE["recipes"].items()}
"""The words that call for each recipe."""
PLAIN: list[str] = _TABLE["plain"]
"""What a prompt gets when none of its words calls for anything."""
PITCH, TEMPO = _TABLE["pitch"], _TABLE["tempo"]
"""What words make of a sound: by which factor it is higher, or quicker."""

_ENDING = re.compile(r"(?<=...)(?:ings?|ed|e?s|(?<=....)y)$")


def words_of(prompt: str) -> list[str]:
    """Take a prompt apart."""
    return re.findall(r"[a-z]+(?:-[a-z]+)*", prompt.lower())


def called_for(words: list[str]) -> list[str]:
    """List the recipes that words call for, in the order of the words."""
    return list(dict.fromkeys(_NAMES[_stem(word)] for word in words if _stem(word) in _NAMES))


def factor(words: set[str], factors: Mapping[str, float]) -> float:
    """Multiply what the words of a prompt stand for, within reason."""
    product = 1.0
    for known, value in factors.items():
        product *= value ** len(words & set(known.split()))
    return min(2.0, max(0.45, product))


def _stem(word: str) -> str:
    """Take the ending off: creak, creaks, creaking, creaky; whistle, whistling; hit, hitting."""
    bare = _ENDING.sub("", word)
    return re.sub(r"([^aeiou])\1$", r"\1", bare).removesuffix("e")


_NAMES = {_stem(word): name for name, words in WORDS.items() for word in words.split()}
