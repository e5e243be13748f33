"""Builds the parts of the service out of the settings and joins them. Starts nothing.

Each part gets its own small configuration here; this is the only place that knows all of them. `circle` shows how
everything hangs together, `surroundings` what the parts are built with, `parts` what comes out; `noticing`,
`examining`, `deciding`, `sending`, `steered` and `attending` build the parts of one concern each.
"""

from file_watcher.assembly.circle import assemble
from file_watcher.assembly.parts import Parts, watchdog_over
from file_watcher.assembly.surroundings import Surroundings

__all__ = ["Parts", "Surroundings", "assemble", "watchdog_over"]
