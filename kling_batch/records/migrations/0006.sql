-- The kind of task of an attempt; NULL is the kind that every attempt was of before there were others.

ALTER TABLE attempts ADD COLUMN kind TEXT;
