"""The meeting room: the only place where policy, store and upstream meet."""
