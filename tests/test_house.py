"""The house rules a linter cannot see: what stands where, how large it is, what papers claim."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.config.sources import FILE_VARIABLE, all_keys, variable_name
from tests.programs import program

HOUSE = Path(__file__).parent.parent
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text("utf-8"))

MODULES = sorted(path for room in ("appliance", "addons") for path in (HOUSE / room).rglob("*.py"))
TESTABLE = [path for path in MODULES if path.name not in ("__init__.py", "__main__.py")]
LOCKS = sorted(HOUSE.glob("requirements*.lock"))
PAPERS = [*HOUSE.glob("*.md"), *HOUSE.glob("docs/**/*.md")]
UNITS = [path for room in ("systemd", "docker") for path in (HOUSE / room).iterdir()]

LINE_COUNT_MAX = 400  # A file splits at 250 and must at 400.
FUNCTION_LINE_COUNT_MAX = 70  # What a screen shows at once.
EXPOSURE_MAX = "20"  # 2.0 of 10, as `systemd-analyze security` counts.

# Names that say nothing of what is inside.
VAGUE_FILES = {"base", "common", "helpers", "manager", "types", "utils"}
VAGUE_VERBS = ("do_", "get_", "handle_", "process_")

# Where packages come from and where somebody works is for each machine to say, not for us.
ELSEWHERE = re.compile(
    r"""pypi[.]org | pythonhosted[.]org | /simple/ | --(extra-)?index-url | --find-links
      | (?<![\w.~])/(root/(?![.]ollama) | home/\w+/ | Users/\w+/ | work/)""",
    re.VERBOSE,
)
UNTRACKED = {".cache", ".git", ".venv", "__pycache__", "build", "dist", "state"}
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def name(path: Path) -> str:
    return str(path.relative_to(HOUSE))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def files(folder: Path) -> Iterator[Path]:
    """Yield every file that is ours, tracked or about to be."""
    for path in sorted(folder.iterdir()):
        is_ours = path.name not in UNTRACKED and not path.name.endswith(("_cache", ".egg-info"))
        if path.is_dir() and is_ours and path.name != ".hypothesis":
            yield from files(path)
        elif path.is_file() and is_ours and not path.name.startswith(".coverage"):
            yield path


@pytest.mark.parametrize("path", TESTABLE, ids=name)
def test_every_module_has_its_test_in_the_mirrored_place(path: Path) -> None:
    mirror = HOUSE / "tests" / path.relative_to(HOUSE).with_name(f"test_{path.name}")
    assert mirror.exists(), f"write {name(mirror)}"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_every_module_says_what_it_is_for_and_fits_in_the_head(path: Path) -> None:
    text = path.read_text("utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "say in a sentence what this file is for"
    assert len(text.splitlines()) <= LINE_COUNT_MAX
    for function in functions(tree):
        line_count = (function.end_lineno or 0) - function.lineno + 1
        assert line_count <= FUNCTION_LINE_COUNT_MAX, f"{function.name} has {line_count} lines"


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_names_say_what_and_at_what_cost(path: Path) -> None:
    assert path.stem not in VAGUE_FILES
    for function in functions(ast.parse(path.read_text("utf-8"))):
        is_named_elsewhere = f"super().{function.name}(" in ast.unparse(function)
        assert is_named_elsewhere or not function.name.lstrip("_").startswith(VAGUE_VERBS)


def test_every_room_has_its_place_in_the_layers() -> None:
    layers = PROJECT["tool"]["importlinter"]["contracts"][0]["layers"]
    placed = {room for layer in layers for room in re.findall(r"[\w.]+", layer)}
    parts = {path.relative_to(HOUSE).parts[:2] for path in MODULES}
    rooms = {f"appliance.{Path(room).stem}" for package, room in parts if package == "appliance"}
    assert rooms - {"appliance.__init__"} <= placed


@pytest.mark.parametrize("path", files(HOUSE), ids=name)
def test_nothing_names_an_index_or_somebody_s_machine(path: Path) -> None:
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        return
    if path != Path(__file__):
        assert not [line for line in text.splitlines() if ELSEWHERE.search(line)]


@pytest.mark.parametrize("path", LOCKS, ids=name)
def test_every_locked_requirement_has_its_hashes(path: Path) -> None:
    text = path.read_text("utf-8").replace("\\\n", " ")
    requirements = [line for line in text.splitlines() if not line.startswith("#")]
    assert requirements
    assert all("==" in line and "--hash=sha256:" in line for line in requirements)


@pytest.mark.parametrize("path", LOCKS, ids=name)
def test_the_locks_hold_what_the_project_asks_for(path: Path) -> None:
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text("utf-8"), re.MULTILINE)
    locked = {canonicalize_name(project): version for project, version in pins}
    asked = list(PROJECT["project"]["dependencies"])
    if "dev" in path.name:
        asked += PROJECT["dependency-groups"]["dev"]
    for requirement in map(Requirement, asked):
        version = locked.get(canonicalize_name(requirement.name), "")
        assert version, f"{requirement} is not locked: make lock"
        assert version in requirement.specifier, f"locked is {version}, asked {requirement}"


@pytest.mark.parametrize("path", PAPERS, ids=name)
def test_every_make_target_in_the_papers_exists(path: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (HOUSE / "Makefile").read_text("utf-8"), re.MULTILINE)
    code = "\n".join(CODE.findall(path.read_text("utf-8")))
    assert set(re.findall(r"\bmake ([a-z-]+)", code)) <= set(targets)


@pytest.mark.parametrize("path", [*PAPERS, *UNITS], ids=name)
def test_every_variable_in_papers_and_units_is_a_key(path: Path) -> None:
    known = {FILE_VARIABLE, *(variable_name(section, key) for section, key in all_keys())}
    assert set(re.findall(r"\bOLLAMA_APPLIANCE_\w+\b", path.read_text("utf-8"))) <= known


@pytest.mark.parametrize("service", sorted(HOUSE.glob("systemd/*.service")), ids=name)
def test_the_services_expose_little(service: Path) -> None:
    analyze = program("systemd-analyze")
    version = subprocess.run([analyze, "--version"], check=True, capture_output=True, text=True)
    if int(version.stdout.split()[1]) < 250:
        pytest.skip("systemd-analyze reviews unit files from version 250 on")
    options = ("security", "--offline=true", f"--threshold={EXPOSURE_MAX}")
    found = subprocess.run(
        [analyze, *options, service], check=False, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stdout + found.stderr


# What the score would let pass one by one.
NEEDED = {
    "ollama-appliance.service": "CAP_NET_BIND_SERVICE",
    "ollama-appliance-announce.service": "CAP_NET_RAW",
}


@pytest.mark.parametrize("service", sorted(HOUSE.glob("systemd/*.service")), ids=name)
def test_the_services_have_a_user_one_capability_and_one_directory(service: Path) -> None:
    lines = [each for each in service.read_text("utf-8").splitlines() if not each.startswith("#")]
    told = dict(each.split("=", 1) for each in lines if "=" in each)
    assert (told["User"], told["Group"]) == ("ollama-appliance", "ollama-appliance")
    assert told["CapabilityBoundingSet"] == NEEDED[service.name] == told["AmbientCapabilities"]
    assert (told["NoNewPrivileges"], told["ProtectSystem"]) == ("yes", "strict")
    assert told["StateDirectoryMode"] == "0700"
    assert told["MemoryMax"]
    assert "ReadWritePaths" not in told


def test_the_container_runs_as_a_user_without_privileges() -> None:
    lines = (HOUSE / "docker" / "Dockerfile").read_text("utf-8").splitlines()
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users, "without the line it is root"
    assert users[-1] not in ("root", "0")
    compose = (HOUSE / "docker" / "compose.yaml").read_text("utf-8")
    for wanted in ("cap_drop: [ALL]", '"no-new-privileges:true"', "read_only: true"):
        assert wanted in compose
    assert "cap_add" not in compose
    assert "privileged:" not in compose
