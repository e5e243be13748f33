"""One reader for each kind of content: a module whose `READER` is a `medium.MetadataReader`.

They are listed in `formats.REGISTRY`, and run in the child processes only.
"""
