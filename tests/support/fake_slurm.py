"""The commands of Slurm that submitit uses, as scripts that run allocations on this machine."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

_SCRIPTS = {
    "sbatch": """
cd "$FAKE_SLURM"
n=$(($(ls -d [0-9]* 2>/dev/null | wc -l) + 1))
mkdir "$n"
cp "$1" "$n/script"
export SLURM_JOB_ID=$n SLURM_JOB_NUM_NODES=1 SLURM_NTASKS=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0
cd "$n"
setsid bash -c 'echo $$ > pid; if bash script; then echo COMPLETED > state; else echo FAILED > state; fi' \\
    > /dev/null 2>&1 < /dev/null &
while [ ! -s pid ]; do sleep 0.01; done
echo "Submitted batch job $n"
""",
    "srun": """
[ -e "$FAKE_SLURM/broken" ] && { echo "the node has no Python" >&2; exit 1; }
while [[ "$1" == --* ]]; do
    case "$1" in
        --output) out=$2; shift 2 ;;
        --error) err=$2; shift 2 ;;
        *) shift ;;
    esac
done
name() { local path=${1//%j/$SLURM_JOB_ID}; echo "${path//%t/0}"; }
exec "$@" > "$(name "$out")" 2> "$(name "$err")"
""",
    "sacct": """
cd "$FAKE_SLURM"
echo "JobID|State|NodeList"
for n in [0-9]*; do echo "$n|$(cat "$n/state" 2>/dev/null || echo RUNNING)|here"; done
""",
    "scancel": """
cd "$FAKE_SLURM/$1" || exit 1
[ -e state ] || { echo CANCELLED > state; kill -TERM -- "-$(cat pid)"; }
""",
}


class FakeSlurm:
    """A cluster of one node.

    Args:
        folder: Where commands and allocations are.
        monkeypatch: Puts the commands on the path.
    """

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        commands = folder / "bin"
        commands.mkdir(parents=True)
        for name, text in _SCRIPTS.items():
            script = commands / name
            script.write_text(f"#!/bin/bash\n{text.lstrip()}")
            script.chmod(0o755)
        monkeypatch.setenv("FAKE_SLURM", str(folder))
        monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")

    def running(self) -> list[int]:
        """Return the numbers of the allocations that have not ended."""
        every = [int(path.name) for path in self.folder.iterdir() if path.name.isdigit()]
        return sorted(number for number in every if not (self.folder / str(number) / "state").exists())

    def script(self, number: int) -> str:
        """Return the script of an allocation."""
        return (self.folder / str(number) / "script").read_text()

    def end(self, number: int, state: str) -> None:
        """Kill all processes of an allocation.

        Args:
            number: The allocation.
            state: What ``sacct`` says of it from then on.
        """
        allocation = self.folder / str(number)
        (allocation / "state").write_text(f"{state}\n")
        os.killpg(int((allocation / "pid").read_text()), signal.SIGKILL)

    def break_nodes(self) -> None:
        """Let every further allocation end at once."""
        (self.folder / "broken").touch()
