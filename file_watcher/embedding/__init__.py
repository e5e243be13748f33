"""The service inside another program: no broker, no server, no signal handler, no log of its own.

`watcher` at the top is its face. Parts: `options` and `roots` (what the program wants), `place` (the catalog), `core`
(the service on a thread), `delivery` (the relay's end), `handover` (the buffer between it and the program), `event` and
`metadata` (what the program gets), `stats`, `errors`, `logs`.
"""
