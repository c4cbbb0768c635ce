"""Test in new interpreters that waiting OpenMP threads sleep, unless the user has set another policy."""

import os
import subprocess
import sys

import pytest

VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
SHOW = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"


def python(code: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Return the output of a new interpreter with these variables only."""
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES} | changes
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


def test_the_package_sets_the_policy_and_children_inherit_it() -> None:
    assert python(f"import deepgllim; {SHOW}").stdout.strip() == "PASSIVE"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SHOW!r}], check=True)"
    assert python(f"import deepgllim; {child}").stdout.strip() == "PASSIVE"


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("value", ["ACTIVE", ""])
def test_what_the_user_set_stays(name: str, value: str) -> None:
    left = value if name == "OMP_WAIT_POLICY" else "None"
    assert python(f"import deepgllim; {SHOW}", **{name: value}).stdout.strip() == left


def test_nothing_is_set_where_torch_is_loaded_already() -> None:
    """The variable has no effect on torch after it is loaded."""
    code = f"import sys, types; sys.modules['torch'] = types.ModuleType('torch'); import deepgllim; {SHOW}"
    assert python(code).stdout.strip() == "None"


@pytest.mark.skipif(sys.platform != "linux", reason="torch brings GNU's OpenMP runtime on Linux only")
def test_the_runtimes_of_torch_and_scikit_learn_read_it() -> None:
    """No module of the package loads an OpenMP runtime before the policy is set."""
    answer = python("from deepgllim import GLLiMRegressor", OMP_DISPLAY_ENV="VERBOSE", OMP_NUM_THREADS="1").stderr
    policies = {line.strip() for line in answer.splitlines() if "OMP_WAIT_POLICY" in line}
    assert policies == {"OMP_WAIT_POLICY = 'PASSIVE'"}
    assert {line.strip() for line in answer.splitlines() if "GOMP_SPINCOUNT" in line} == {"GOMP_SPINCOUNT = '0'"}
