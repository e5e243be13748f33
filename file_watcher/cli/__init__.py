"""The commands: thin, each in a module that imports what is heavy only when it runs. Owns no thread.

`application` puts them together, `options` makes their options out of the table of settings, `endings`
turns what they return or raise into an exit code and words. A command asks the running service through
the catalog (`asking`), its pages over HTTP (`pages`), or nobody at all.
"""

from file_watcher.cli.application import app, main

__all__ = ["app", "main"]
