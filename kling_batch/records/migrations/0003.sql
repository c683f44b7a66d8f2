-- What a sound looks like, for the page to listen: peak (1.0 is full scale), loudness (LUFS, NULL for silence), and the
-- largest sample of each part, a byte each. By hash: the same bytes look the same wherever they stand.

CREATE TABLE shapes (
    sha256   TEXT PRIMARY KEY,
    peak     REAL NOT NULL,
    loudness REAL,
    waveform BLOB NOT NULL
) WITHOUT ROWID;
