"""The configuration: one frozen Config of appliance.conf and the environment.

`doors` and `supply` declare the keys, by section; `keys` is all of them; `kinds` and `values` read
what is written; `sources` is where it stands; `rules` concern more than one key; `loading` puts it
together.
"""

from appliance.config.loading import (
    Config,
    ConfigInvalidError,
    load_config,
    read_environment,
)

__all__ = ["Config", "ConfigInvalidError", "load_config", "read_environment"]
