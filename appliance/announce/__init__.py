"""Announces one IPv6 address of this box to its network; a process of its own, off by default."""
