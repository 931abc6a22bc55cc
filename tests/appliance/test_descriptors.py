"""The limit on open files, of a process of its own: a limit once lowered stays so."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from appliance.descriptors import raise_descriptor_limit
soft, hard, wanted = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_descriptor_limit(wanted), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "now"),
    [
        pytest.param(256, 512, 400, 400, id="as wanted"),
        pytest.param(256, 512, 1000, 512, id="as far as may be"),
        pytest.param(512, 512, 400, 512, id="more already, and kept"),
    ],
)
def test_the_limit_is_raised_and_never_lowered(soft: int, hard: int, wanted: int, now: int) -> None:
    said = subprocess.run(
        (sys.executable, "-c", SCRIPT, *map(str, (soft, hard, wanted))),
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.split() == [str(now), str(now), str(hard)]
