"use strict";
// Only one sound plays at once: the one that was started last.
let playing = null;
document.addEventListener("play", (event) => {
  if (playing && playing !== event.target) playing.pause();
  playing = event.target;
}, true);
