"""The DNS door: a small process of its own, so that it outlives the box's bad moments."""
