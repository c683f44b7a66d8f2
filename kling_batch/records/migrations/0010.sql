-- What was done to a take's sources, what checks found in them, as JSON, and the files that were made of them.

ALTER TABLE attempts ADD COLUMN recipe TEXT;
ALTER TABLE attempts ADD COLUMN remarks TEXT;

CREATE TABLE finished (
    external_id TEXT NOT NULL,
    format      TEXT NOT NULL,
    path        TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    bytes       INTEGER NOT NULL,
    duration_s  REAL NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    PRIMARY KEY (external_id, format)
) WITHOUT ROWID;
