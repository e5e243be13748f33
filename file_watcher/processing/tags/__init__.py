"""Audio metadata, read by mutagen in child processes that can be killed.

`pool.TagReader` is what the service uses. This module stays empty: the children import the package too,
and their start must stay short.
"""
