"""Processes are counted with what they started."""

import os
import subprocess
import sys
import textwrap

from bench.processes import cpu_seconds, memory_mib, memory_of_one_mib, tree, watching

PARENT = textwrap.dedent("""
    import subprocess, sys
    child = subprocess.Popen([sys.executable, "-c", "print('up', flush=True); input()"])
    child.wait()
""")


def test_a_child_s_memory_is_the_tree_s() -> None:
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        assert len(tree(parent.pid)) == 2
        with watching(parent.pid) as peak:
            pass
        assert peak.tree_mib > peak.own_mib > 0
        assert memory_mib(parent.pid) > memory_of_one_mib(parent.pid)
        parent.communicate(b"\n")


def test_work_takes_time_and_what_has_ended_takes_none() -> None:
    before = cpu_seconds(os.getpid())
    while cpu_seconds(os.getpid()) == before:
        sum(range(100_000))
    assert memory_of_one_mib(2**22 + 1) == 0.0
