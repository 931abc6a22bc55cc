"""Measurements of the box beside other programs, for anyone to repeat; README.md has figures."""
