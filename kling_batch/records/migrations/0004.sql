-- The files of a set that a run left with nothing to do, as they stood then; what was planned from is in `meta`.

CREATE TABLE standing (
    path     TEXT PRIMARY KEY,
    bytes    INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL
) WITHOUT ROWID;
