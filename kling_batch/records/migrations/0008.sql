-- Where the sounds of a synchronous call are, as JSON: its answer is not to be had again.

ALTER TABLE attempts ADD COLUMN answer TEXT;
