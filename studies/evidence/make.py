"""Make the evidence base in slices, estimate what is left, or pack what is made.

    export DISTILLAB_DATA=/where/they/are
    python studies/evidence/make.py --tier R --minutes 60 [--workers 2] [--out DIR]
    python studies/evidence/make.py --plan
    python studies/evidence/make.py --pack [--into FOLDER]

``make evidence-base TIER=R MINUTES=60`` runs the first of these, ``make evidence-base-package`` the last.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from distillab.base.crew import make_slice
from distillab.base.design import Design, read_design
from distillab.base.estimate import estimate
from distillab.base.evidence_base import packaged
from distillab.base.making import OutFolder
from distillab.base.packaging import pack, unpack
from distillab.errors import RequestError

HERE = Path(__file__).parent
DESIGNS = {"R": "real.yaml", "S": "worlds.yaml", "T": "long.yaml"}


def main() -> int:
    """Run what the arguments state; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tier", choices=DESIGNS, nargs="+", default=list(DESIGNS))
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--contexts", type=int, help="only the first so many contexts of each tier")
    parser.add_argument("--out", type=Path, default=Path("runs/evidence-base"))
    parser.add_argument("--plan", action="store_true", help="estimate what is left, and train nothing")
    parser.add_argument("--pack", action="store_true", help="merge what is made into the shipped files")
    parser.add_argument("--into", type=Path, help="folder of the files; by default that of the package")
    options = parser.parse_args()
    out = OutFolder(options.out)
    designs = [read_design(HERE / DESIGNS[tier]) for tier in options.tier]
    if options.contexts:
        designs = [design.first(options.contexts) for design in designs]
    try:
        base = options.into or packaged()
        unpack(base, out)  # what ships is not made again
        if options.pack:
            print(pack(out, base))
        elif options.plan:
            print(*(estimate(design, out, options.workers) for design in designs), sep="\n")
        else:
            return _make(designs, out, options.minutes, options.workers)
    except RequestError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _make(designs: list[Design], out: OutFolder, minutes: float, workers: int) -> int:
    made = make_slice(
        designs, out, minutes=minutes, workers=workers, show=lambda text: print(text, flush=True)
    )
    print(f"{made.contexts} contexts made in this slice, {made.left} left")
    for line in made.broken:
        print(line, file=sys.stderr)
    return 1 if made.broken else 0


if __name__ == "__main__":
    sys.exit(main())
