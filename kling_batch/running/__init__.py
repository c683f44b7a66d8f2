"""From takes to finished takes: what is to be done is decided in plain functions, and done in coroutines.

plan        wanted minus present: an action and a reason for every take
facts       what is present: journal, lock and disk
limits      how many in flight, how much may be spent
work        a take on its way
reading     reads that are repeated until patience ends
account     what the account already holds
engine      submit, settle, and when to stop
watch       seeing tasks end
deliver     results to files
run         all of it, once
"""
