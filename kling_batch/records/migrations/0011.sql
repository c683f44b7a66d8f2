-- Where in its source a finished sound begins, in seconds; NULL for what was not finished here.

ALTER TABLE shapes ADD COLUMN start_s REAL;
