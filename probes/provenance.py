"""Which version of the user's code a run was made with."""

import subprocess
import sys
from pathlib import Path

__all__ = ["git_commit"]

PATIENCE = 2.0  # seconds; a checkout on a slow network disk must not hold a training up


def git_commit(script: str | None = None) -> str | None:
    """The commit of the checkout of `script` (default: the program), `+changes` behind it where files differ.

    None outside a checkout, without git, or where git does not answer in time.
    """
    folder = Path(script if script is not None else sys.argv[0] or ".").absolute().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+changes"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip() or None if answer.returncode == 0 else None
