"""`python -m appliance.dns`: started by the box, told what to do over its standard input."""

import sys

from appliance.dns.child import main

sys.exit(main())
