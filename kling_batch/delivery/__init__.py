"""From a finished task to files that can be trusted.

    download   a result URL becomes a partial file, gone on with after a cut
    verify     a partial file is decoded, and found whole and of the right length, or not
    place      a verified file gets its final name
    store      finished files by their hash, shared by projects and runs: a folder, or object storage
    lock       what the team knows of every take: a text file beside the manifest

Import the modules themselves: this package imports nothing, so that reading a lock does not cost an HTTP library.
"""
