"""Bytes from disk to a client's socket."""
