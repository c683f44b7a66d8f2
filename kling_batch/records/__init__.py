"""What this machine knows of a run, in SQLite: written before an act and right after it. Disposable.

records    the rows as values
layout     where the file is, how it is opened, and its layouts so far
rows       between values and SQLite's rows
journal    held by one run, read, and written with group commit
looking    read by whoever only looks
shapes     what sounds look like, read one by one
hold       one run at a time in a folder
place      which disks can be trusted with it
"""
