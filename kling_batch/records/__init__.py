"""What is known of every take: on this machine, in the team, and as bytes; folded once into the state of a take.

journal       this machine, in SQLite: written before an act and right after it; disposable
attempts      its rows as values
fields        what a field of the lock or a cell of the journal may hold
layout        where its file is, how it is opened, and its layouts so far
snapshot      it is read without being held
run_lock      one run at a time in a folder, one writer at a time of a lock
local_disk    which disks can be trusted with it
lock          the team, in a text file beside the manifest
merging       a run's part in a lock that others write to as well
store         bytes by their hash, in a folder
object_store  the same in object storage
store_at      either of them by its name
lease         one run of a set at a time, of all machines, by an object in the bucket
shared_lock   the team's lock in the bucket
account       what was learned of an account, in the user's state folder
state         all of that, folded into what is known of a take
"""
