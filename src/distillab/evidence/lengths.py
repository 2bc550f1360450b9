"""The length of training in a study: which comparisons are of early training, and what varies with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from distillab.evidence.convergence import Arm, Convergence, ValCurve, judge_convergence, tolerated_change
from distillab.evidence.pairs import Row, Runs, by_cell, cell_columns, factor_columns
from distillab.evidence.wording import amount, factor_name, listed
from distillab.printable import counted
from distillab.study.ledger import JobState
from distillab.tasks import Metric


def add_convergence(
    effects: Iterable[Row],
    rows: Sequence[Row],
    metric: Metric,
    *,
    curve: Callable[[str], ValCurve],
    annealed: bool,
    margin: float,
) -> None:
    """Fill in whether both arms of each contrast are trained to the end.

    ``converged`` is true if both are, false if one is not, and null if that cannot be judged.
    ``doubling_plain`` (of the baseline) and ``doubling_distilled`` are the estimated changes of the
    validation score by twice the steps. ``convergence_note`` has the reason in words.

    Args:
        effects: Effect rows, which are changed.
        rows: The result rows that they rest on.
        metric: The primary metric.
        curve: Returns the validation curve of a run.
        annealed: Whether the learning rate falls during training.
        margin: The margin of practical equivalence of the metric, which decides what change is tolerated.
    """
    columns = cell_columns(rows)
    judged = {
        cell: {method: judge_convergence(arms, method, tolerated_change(margin)) for method in arms}
        for cell, runs in by_cell(rows, columns).items()
        for arms in [_arms(runs, curve, annealed)]
    }
    for effect in effects:
        arms = judged.get(tuple(effect.get(column) for column in columns), {})
        sides = {effect[side]: arms.get(effect[side]) for side in ("baseline", "method")}
        plain, distilled = sides.values()
        effect["converged"] = _both(plain, distilled)
        effect["doubling_plain"], effect["doubling_distilled"] = _mean(plain), _mean(distilled)
        notes = [_note(name, each, metric) for name, each in sides.items() if each and _decides(effect, each)]
        effect["convergence_note"] = "; ".join(notes) or None


def _arms(runs: Runs, curve: Callable[[str], ValCurve], annealed: bool) -> dict[str, Arm]:
    arms = {}
    for method, by_seed in runs.items():
        done = {
            seed: row
            for seed, row in by_seed.items()
            if row["status"] == JobState.DONE and row.get("val_score") is not None
        }
        if done:
            arms[method] = Arm(
                {seed: row["val_score"] for seed, row in done.items()},
                {
                    seed: row["val_score_doubled"]
                    for seed, row in done.items()
                    if row.get("val_score_doubled") is not None
                },
                {seed: curve(row["run_id"]) for seed, row in done.items()},
                annealed,
            )
    return arms


def _both(plain: Convergence | None, distilled: Convergence | None) -> bool | None:
    found = [None if each is None else each.converged for each in (plain, distilled)]
    if False in found:
        return False
    return None if None in found else True


def _mean(side: Convergence | None) -> float | None:
    return None if side is None or side.change is None else side.change.mean


def _decides(effect: Row, side: Convergence) -> bool:
    """Return True if a side is a reason for the judgment on its contrast."""
    return effect["converged"] is True or side.converged is effect["converged"]


def _note(name: str, side: Convergence, metric: Metric) -> str:
    if side.change is None:
        return f"{name}: {side.reason}"
    change = f"{amount(side.change.mean, metric)} {metric.unit}"
    by = counted(side.probes, "probe") if side.by == "probe" else "by the end of the curves"
    if side.converged is None:
        return f"{name}: {change} ({by}), {side.reason}"
    return f"{name}: {change} ({by}, certainty {min(100 * side.change.certainty, 99):.0f} %)"


# -- sentences ----------------------------------------------------------------------------------------------


def of_early_training(rows: Iterable[Row]) -> list[Row]:
    """Return the comparisons of which an arm is not trained to the end."""
    return [row for row in rows if row.get("converged") is False]


def qualified(headline: str, rows: Sequence[Row]) -> str:
    """Return a headline that states for how many comparisons it is about early training.

    Example:
        >>> qualified("Distillation (kd) improves accuracy.", [{"converged": False}])
        'Early training: distillation (kd) improves accuracy.'
        >>> qualified("Distillation (kd) improves accuracy.", [{"converged": False}, {"converged": True}])
        'Distillation (kd) improves accuracy; 1 of 2 comparisons is of early training.'
    """
    early = len(of_early_training(rows))
    if not early:
        return headline
    if early == len(rows):
        return f"Early training: {headline[0].lower()}{headline[1:]}"
    verb = "is" if early == 1 else "are"
    return f"{headline.removesuffix('.')}; {early} of {len(rows)} comparisons {verb} of early training."


def early_training(rows: Sequence[Row], metric: Metric, margin: float) -> str:
    """Return in how many comparisons training is too short; an empty text if in none.

    Args:
        rows: The main comparisons of a study.
        metric: The primary metric.
        margin: Its margin of practical equivalence.

    Example:
        >>> from distillab.tasks import Classification
        >>> rows = [{"converged": False}, {"converged": True}]
        >>> print(early_training(rows, Classification.metrics["accuracy"], margin=0.005))
        Early training in 1 of 2 comparisons: twice the steps change accuracy on val by 1 point or more.
    """
    early = len(of_early_training(rows))
    if not early:
        return ""
    where = f"{early} of {counted(len(rows), 'comparison')}"
    return (
        f"Early training in {where}: twice the steps change {metric.label} on val by "
        f"{_tolerated(metric, margin)} or more."
    )


def long_enough(rows: Sequence[Row], metric: Metric, margin: float) -> str:
    """Return that training is long enough, if that was found of all comparisons; else an empty text.

    Args:
        rows: The main comparisons of a study.
        metric: The primary metric.
        margin: Its margin of practical equivalence.

    Example:
        >>> from distillab.tasks import Classification
        >>> row = {"converged": True, "doubling_plain": 0.002, "doubling_distilled": -0.001}
        >>> print(long_enough([row] * 4, Classification.metrics["accuracy"], margin=0.005))
        Training is long enough in all 4 comparisons: twice the steps change accuracy on val by less than ...
    """
    if not rows or any(row.get("converged") is not True for row in rows):
        return ""
    where = {1: "", 2: " in both comparisons"}.get(len(rows), f" in all {len(rows)} comparisons")
    return (
        f"Training is long enough{where}: twice the steps change {metric.label} on val by less than "
        f"{_tolerated(metric, margin)} in both arms{_change_of_gains(rows, metric)}."
    )


def _tolerated(metric: Metric, margin: float) -> str:
    """Return the tolerated change in words: ``1 point``."""
    size = f"{metric.scale * tolerated_change(margin):.2g}"
    return f"{size} {metric.unit.removesuffix('s') if size == '1' else metric.unit}"


def _change_of_gains(rows: Sequence[Row], metric: Metric) -> str:
    """Return how much the gains themselves changed on val, where that is known."""
    changes = [
        row["doubling_distilled"] - row["doubling_plain"]
        for row in rows
        if None not in (row.get("doubling_distilled"), row.get("doubling_plain"))
    ]
    if not changes:
        return ""
    low, high = amount(min(changes), metric), amount(max(changes), metric)
    if low == high:
        return f", and the gain by {low} {metric.unit}"
    return f", and the gains by {low} to {high} {metric.unit}"


def length_caveats(rows: Sequence[Row], place: Callable[[Row], str], metric: Metric) -> list[str]:
    """Return where training was too short, and where that cannot be judged.

    Args:
        rows: The main comparisons of a study.
        place: Returns the condition of a comparison in words.
        metric: The primary metric.

    Example:
        >>> from distillab.tasks import Classification
        >>> row = {"method": "kd", "baseline": "ce", "converged": False}
        >>> row |= {"doubling_plain": 0.123, "doubling_distilled": 0.02}
        >>> print(*length_caveats([row], lambda row: "size 5", Classification.metrics["accuracy"]))
        Early training (size 5, kd): twice the steps change accuracy on val by +12.3 points (ce) and +2.0 ...
    """
    sentences = [
        f"Early training ({', '.join(filter(None, [place(row), row['method']]))}): twice the steps change "
        f"{metric.label} on val by {listed(_changes(row, metric))}, so this gain may not survive longer "
        "training."
        for row in of_early_training(rows)
    ]
    open_ = [row for row in rows if row.get("converged") is None and row.get("convergence_note")]
    if open_:
        where = f"{len(open_)} of {counted(len(rows), 'comparison')}" if len(rows) > 1 else "the comparison"
        sentences.append(
            f"Whether training was long enough cannot be judged in {where} ({open_[0]['convergence_note']})."
        )
    return sentences


def _changes(row: Row, metric: Metric) -> list[str]:
    sides = ((row["doubling_plain"], row["baseline"]), (row["doubling_distilled"], row["method"]))
    return [
        f"{amount(change, metric)} {metric.unit} ({name})" for change, name in sides if change is not None
    ]


def confounded_with_epochs(rows: Iterable[Row]) -> list[str]:
    """Return the factors whose levels differ in epochs at the same number of steps.

    With a fixed number of steps, a larger set is seen less often: an effect of its size cannot be told from
    one of the epochs.

    Args:
        rows: Result rows, or any rows with the columns ``factor.<name>``, ``n_train``, ``steps``, ``epochs``.

    Example:
        >>> rows = [{"factor.size": n, "n_train": 10 * n, "steps": 100, "epochs": 320 // n} for n in (5, 80)]
        >>> confounded_with_epochs(rows)
        ['Epochs fall from 64 to 4 as size grows, at 100 steps: their effects are not separated.']
    """
    rows = [row for row in rows if row.get("steps") and row.get("epochs")]
    sentences = []
    for factor in factor_columns(rows):
        groups: defaultdict[tuple[object, ...], dict[tuple[int, int], Row]] = defaultdict(dict)
        for row in rows:
            others = tuple(row.get(name) for name in factor_columns(rows) if name != factor)
            groups[(*others, row.get("method"), row.get("student"))][row["n_train"], row["epochs"]] = row
        for group in groups.values():
            first, last = min(group), max(group)
            steps = {row["steps"] for row in group.values()}
            if len(steps) == 1 and first[0] < last[0] and first[1] >= 1.5 * last[1]:
                name = factor_name(factor)
                sentences.append(
                    f"Epochs fall from {first[1]:,} to {last[1]:,} as {name} grows, at {steps.pop():,} "
                    "steps: their effects are not separated."
                )
                break
    return sentences
