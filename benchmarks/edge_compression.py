"""Pruning, distillation and int8, alone and together, on three real data sets.

    python benchmarks/edge_compression.py --out DIR [--sets cifar20 eurosat corn-leaf] [--seeds 5]
        [--steps 400] [--prune 0.5,0.75,0.9] [--pixels 32] [--train-steps 2000]
        [--write docs/results/edge-compression.csv]

For each set it trains the network of ``studies/systems/edge/SET.yaml``, exports it, and compresses it by
``distillab.api.compress``: the survey of Musa et al. (IJCISIM 2025) states a network three times smaller at
equal accuracy on three real data sets. The same command resumes where it stopped. The data are read from the
folder that ``DISTILLAB_DATA`` names.

Planned minutes of one core per set: 90 at the defaults (110 runs of 400 steps), 5 with ``--pixels 16
--steps 40 --prune 0.5 --train-steps 600`` (30 runs of 40 steps).
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import yaml

from distillab.api import Study
from distillab.api.compression import compress
from distillab.deploy import export_run
from distillab.deploy.compression.result import Compressed
from distillab.study.spec.environment import expand_environment

STUDIES = Path(__file__).parents[1] / "studies" / "systems" / "edge"
SETS = ("cifar20", "eurosat", "corn-leaf")


def run_set(name: str, options: argparse.Namespace) -> Compressed:
    """Train, export and compress the network of a set."""
    out = Path(options.out) / name
    path = STUDIES / f"{name}.yaml"
    keys = expand_environment(yaml.safe_load(path.read_text()), str(path))
    if options.pixels:
        keys["data"]["resolution"] = options.pixels
    if options.train_steps:
        keys["recipe"]["steps"] = options.train_steps
    study = Study(**keys)
    finished = study.run(out / "trained", workers=options.workers)
    model = out / "exported"
    if not (model / "config.json").is_file():
        export_run(finished.folder, None, model)
    return compress(
        model,
        study.spec.source().entry(),
        prune=options.prune,
        steps=options.steps,
        recipe={"batch_size": 64},
        seeds=options.seeds,
        out=out / "compressed",
        workers=options.workers,
        on_progress=lambda stage, share: print(f"{name}: {stage} {share:.0%}", flush=True),
    )


def rows(found: Compressed) -> list[dict[str, object]]:
    """Return the rows of the table of one set: its arms, then distilled against plain fine-tuning."""
    arms = [{"set": found.dataset, "table": "arms", **arm.as_dict()} for arm in found.arms]
    gains = [{"set": found.dataset, "table": "recovery", **gain.as_dict()} for gain in found.recovery]
    return [*arms, *gains]


def main() -> None:
    """Run the sets and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True)
    parser.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--prune", default="0.5,0.75,0.9")
    parser.add_argument("--pixels", type=int, help="of images; by default those of the studies")
    parser.add_argument("--train-steps", type=int, help="of the network to compress")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    found = [run_set(name, options) for name in options.sets]
    for each in found:
        print(f"\n{each.dataset}: {each.headline}")
        for sentence in each.sentences:
            print(f"  {sentence}")
    if options.write:
        table = [row for each in found for row in rows(each)]
        columns = list(dict.fromkeys(key for row in table for key in row))
        with options.write.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
