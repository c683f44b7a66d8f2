"""What this machine knows of a run, in SQLite: written before an act and right after it. Disposable.

records    the rows as values
journal    opening, reading, and writing with group commit
hold       one run at a time in a folder
place      which disks can be trusted with it
"""
