"""The commands, one a file: `command` is what click calls. A module is imported when its command is called."""
