-- The largest value of a sound, also between its samples, its sample rate in Hz and its channels; NULL where an older
-- program looked at it.

ALTER TABLE shapes ADD COLUMN true_peak REAL;
ALTER TABLE shapes ADD COLUMN rate INTEGER;
ALTER TABLE shapes ADD COLUMN channels INTEGER;
