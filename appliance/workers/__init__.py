"""More processes for the https door: they speak TLS and send bodies, and the box itself decides.

Theory of operation. One process's loop and interpreter lock end at some thousand requests a second
and at some GB/s over TLS (docs/PERFORMANCE.md). A *worker* is a process of its own that accepts on
the box's own https sockets, opens TLS with the box's leaf, reads HTTP and sends bodies from
files. What it is asked it asks the box, a parsed request at a time, over a *line*: a pair of
connected Unix sockets. The box answers from the one registry that all doors share, so what is
counted, learnt, granted, filled and let go of has one place. A worker has neither the store, nor
the CA's key, nor what grants are signed with.

    client ── TLS ── worker ── request ──▶ box: Registry.answer
                            ◀── answer, or: pass it through
                            ◀── head, file descriptor, span, span, … end
           ◀── seal, write ─┘

A blob's bytes never cross: its open file does (SCM_RIGHTS), also one that still arrives, and then
spans of it as they become readable. Where a blob goes past the store its bytes cross in chunks, as
fast as the client takes them. What passes through a worker takes to the origin itself, at an
address that the box has resolved and checked.

Whoever accepts first serves: a worker that hangs or is gone costs its own connections, and the
others take the next ones. The box pulls its own tiny model through each worker, by a port that the
worker has to itself; one that fails is ended, and one that has ended is started again. When the
box goes, the control line ends, and so do they.
"""
