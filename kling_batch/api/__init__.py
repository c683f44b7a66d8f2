"""The program for other programs: what the command line does, less the terminal.

project    a manifest, where its things are, and its plan
access     the service, who asks it, and the open clients of a run
session    a run, with everything real around it
run        a run for other programs
"""
