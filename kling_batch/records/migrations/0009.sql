-- Who agreed that a voice be cloned, and when (UTC, as text); and the id of the voice. NULL for all other tasks.

ALTER TABLE attempts ADD COLUMN rights_by TEXT;
ALTER TABLE attempts ADD COLUMN rights_at TEXT;
ALTER TABLE attempts ADD COLUMN voice_id TEXT;
