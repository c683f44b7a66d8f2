-- Drop the table of the layout before, where a journal has it.

DROP TABLE IF EXISTS standing;
