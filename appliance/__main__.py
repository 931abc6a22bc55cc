"""`python -m appliance`: the command line, where nothing is installed."""

import sys

from appliance.cli import main

sys.exit(main())
