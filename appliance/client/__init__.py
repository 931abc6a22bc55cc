"""A machine that pulls, examined from its own side: why it does not find the box, or trust it."""
