"""Jobs: what other systems are asked to do about changes, as "scan this folder" instead of 300 file events.

Pure, no thread of its own: `rules` reads what a library's rule `jobs` says, `windows` turns events into changes of
open windows, `job` holds the values that catalog and publisher share. `job_clock` closes the windows.
"""
