"""Keeps a C library's remarks off the terminal.

libmpg123, the MP3 decoder inside libsndfile, writes about damage to C's `stderr` and cannot be told not to. There
it would tear a progress bar. File descriptor 2 must not be redirected for that: it belongs to all threads, and what
another one says in the meantime would be lost. C's own `stderr` pointer is used by C code alone, so that is turned
to the null device while something decodes. Where the C library does not offer it (Windows), the remarks stay.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_lock = threading.Lock()
_inside = 0
_saved: int | None = None


@cache
def _pointer() -> tuple[ctypes.c_void_p, int] | None:
    """Find C's `stderr` variable and open a stream to the null device; None where there is no such thing."""
    if sys.platform == "win32":
        return None
    library = ctypes.CDLL(None)
    try:
        variable = ctypes.c_void_p.in_dll(library, "__stderrp" if sys.platform == "darwin" else "stderr")
    except ValueError:
        return None
    library.fopen.restype = ctypes.c_void_p
    null = library.fopen(os.devnull.encode(), b"w")
    return (variable, null) if null else None


@contextmanager
def quiet_decoder() -> Iterator[None]:
    """Let C code write to nowhere. Several threads may be inside at once; the last one out turns it back."""
    _turn(+1)
    try:
        yield
    finally:
        _turn(-1)


def _turn(step: int) -> None:
    """Count who is inside, and turn the pointer when the first comes in or the last goes out."""
    global _inside, _saved  # C's stderr is one for the process, so its state is too
    with _lock:
        found = _pointer()
        was, _inside = _inside, _inside + step
        if found is None:
            return
        variable, null = found
        if was == 0:
            _saved, variable.value = variable.value, null
        elif _inside == 0:
            variable.value = _saved
