-- The history of a run's limit: a JSON array of [Unix seconds, limit, reason].

ALTER TABLE runs ADD COLUMN limits TEXT NOT NULL DEFAULT '[]';
