-- name: get_meta
-- One fact about the journal itself.
SELECT value FROM meta WHERE key = :key;

-- name: set_meta
-- Keep one fact about the journal itself.
INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value;

-- name: save_attempt
-- Keep where an attempt stands; the row is made with the intent and only ever moves on.
INSERT INTO attempts (external_id, job_id, take, attempt, stage, units, run_id, task_id, code, message, final,
                      sent_at, created_at, ended_at, kind, answer, rights_by, rights_at, voice_id, recipe, remarks)
VALUES (:external_id, :job_id, :take, :attempt, :stage, :units, :run_id, :task_id, :code, :message, :final,
        :sent_at, :created_at, :ended_at, :kind, :answer, :rights_by, :rights_at, :voice_id, :recipe, :remarks)
ON CONFLICT (external_id) DO UPDATE SET
    stage = excluded.stage, units = excluded.units, run_id = excluded.run_id, task_id = excluded.task_id,
    code = excluded.code, message = excluded.message, final = excluded.final, sent_at = excluded.sent_at,
    created_at = excluded.created_at, ended_at = excluded.ended_at, answer = excluded.answer,
    rights_by = excluded.rights_by, rights_at = excluded.rights_at, voice_id = excluded.voice_id,
    recipe = excluded.recipe, remarks = excluded.remarks;

-- name: disown_attempts
-- Another account made all of it.
UPDATE attempts SET run_id = 0;

-- name: save_file
-- Keep what stands under a final name.
INSERT OR REPLACE INTO files (external_id, format, path, sha256, bytes, duration_s, mtime_ns)
VALUES (:external_id, :format, :path, :sha256, :bytes, :duration_s, :mtime_ns);

-- name: all_attempts
-- Everything that was ever asked for.
SELECT external_id, job_id, take, attempt, stage, units, run_id, task_id, code, message, final,
       kind, sent_at, created_at, ended_at, answer, rights_by, rights_at, voice_id, recipe, remarks
FROM attempts;

-- name: all_files
-- Everything that ever got its final name.
SELECT external_id, format, path, sha256, bytes, duration_s, mtime_ns FROM files;

-- name: save_finished
-- Keep what was made of the files of an attempt.
INSERT OR REPLACE INTO finished (external_id, format, path, sha256, bytes, duration_s, mtime_ns)
VALUES (:external_id, :format, :path, :sha256, :bytes, :duration_s, :mtime_ns);

-- name: all_finished
-- Everything that was ever made of files.
SELECT external_id, format, path, sha256, bytes, duration_s, mtime_ns FROM finished;

-- name: start_run
-- A run begins.
INSERT INTO runs (started_at) VALUES (:now);

-- name: end_run
-- A run ends, and how.
UPDATE runs SET finished_at = :now, exit_status = :exit_status, api_requests = :api_requests, note = :note,
                limits = :limits
WHERE id = :run_id;

-- name: last_run
-- How the latest run began and ended.
SELECT id, started_at, finished_at, exit_status, api_requests, note, limits FROM runs ORDER BY id DESC LIMIT 1;

-- name: forget_unfinished
-- Forget tasks of a sandbox that is gone; what was delivered and what failed stays.
DELETE FROM attempts WHERE stage IN ('intent', 'created', 'succeeded', 'withdrawn');

-- name: forget_attempt
-- Forget one attempt of a sandbox that is gone.
DELETE FROM attempts WHERE external_id = :external_id;

-- name: save_shape
-- Keep what a sound looks like.
INSERT OR REPLACE INTO shapes (sha256, peak, loudness, waveform, true_peak, rate, channels, start_s)
VALUES (:sha256, :peak, :loudness, :waveform, :true_peak, :rate, :channels, :start_s);

-- name: all_shapes
-- What every sound looks like.
SELECT sha256, peak, loudness, waveform, true_peak, rate, channels, start_s FROM shapes;
