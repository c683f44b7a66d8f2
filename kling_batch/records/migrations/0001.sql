-- The first layout. `units` is reserved with the intent and settled when the service says what it charged.

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
    id           INTEGER PRIMARY KEY,
    started_at   REAL NOT NULL,
    finished_at  REAL,
    exit_status  INTEGER,
    api_requests INTEGER NOT NULL DEFAULT 0,
    note         TEXT
);

CREATE TABLE attempts (
    external_id TEXT PRIMARY KEY,
    job_id      TEXT NOT NULL,
    take        INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    stage       TEXT NOT NULL,
    units       TEXT NOT NULL,
    run_id      INTEGER NOT NULL,
    task_id     TEXT,
    code        INTEGER,
    message     TEXT NOT NULL DEFAULT '',
    final       INTEGER NOT NULL DEFAULT 0,
    sent_at     REAL,
    created_at  REAL,
    ended_at    REAL
) WITHOUT ROWID;

CREATE TABLE files (
    external_id TEXT NOT NULL,
    format      TEXT NOT NULL,
    path        TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    bytes       INTEGER NOT NULL,
    duration_s  REAL NOT NULL,
    mtime_ns    INTEGER NOT NULL,
    PRIMARY KEY (external_id, format)
) WITHOUT ROWID;
