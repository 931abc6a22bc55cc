"""How many files and sockets this process may have open, raised to all that it may ask for.

Systems give a process 1,024 by default, for the sake of old programs, and let it have many more if
it says so. A classroom's connections need them.
"""

import resource

DESCRIPTORS_WANTED = 65536  # What the service's unit says, too; nothing here needs more.


def raise_descriptor_limit(wanted: int = DESCRIPTORS_WANTED) -> int:
    """Raise the soft limit as far as `wanted` or the hard limit; returns what holds now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    raised = wanted if hard == unlimited else min(wanted, hard)
    if soft == unlimited or soft >= raised:
        return wanted if soft == unlimited else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised
