"""A local stand-in for the service, which really synthesises sound.

`World` is the service as a state machine: no sockets, no waiting, time as an argument. `SandboxTransport` puts it
behind an `httpx` client inside the process; `app` puts it behind real sockets. Nothing here is shared with
`kling_batch.service`, so that one mistake about the wire cannot hide another.
"""
