"""Settings: the only reader of the environment, the options and the configuration file.

`load` gives a frozen `Settings` or refuses with all problems at once. Nothing here owns a thread. The parts:
`quantities`, `lists` and `addresses` read values, `kinds` says what each kind accepts, `schema` names every
setting once, `presets` gives sets of them, `variables` derives all names, `sources` reads the layers,
`checks` looks at the disk, `loading` puts it together, and `state` knows the user's folders.
"""

from file_watcher.settings.checks import check_roots
from file_watcher.settings.loading import Layers, Loaded, Settled, load, settle
from file_watcher.settings.schema import FileWatchSettings, RabbitMQSettings, Settings
from file_watcher.settings.state import instance_id, prepare_state_folder, state_folder
from file_watcher.settings.variables import OptionInfo, markdown_table, option_table, preset_table

__all__ = [
    "FileWatchSettings",
    "Layers",
    "Loaded",
    "OptionInfo",
    "RabbitMQSettings",
    "Settings",
    "Settled",
    "check_roots",
    "instance_id",
    "load",
    "markdown_table",
    "option_table",
    "prepare_state_folder",
    "preset_table",
    "settle",
    "state_folder",
]
