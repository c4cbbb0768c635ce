"""Scripts in processes of their own: what forks, or is watched from outside, must not be the process of the tests."""

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

FORK = """
import os, signal

def fork(work, leave=os._exit):
    '''The exit code of a child that does some work; -14 if it is not done after two minutes.'''
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)  # a child that waits for threads that are not there is ended
        work()
        leave(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def run_script(code: str, *args: object, variables: dict[str, str] | None = None) -> str:
    """What a script prints; it sees the package, and OpenMP pools of two threads whatever the machine has."""
    root = Path(__file__).parents[1]
    places = [str(root / "src"), str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(places)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", dedent(code), *map(str, args)],
        capture_output=True,
        text=True,
        env=environment | (variables or {}),
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
