"""Controls that the conclusions of a study need: what a gain could be, other than distillation."""

from __future__ import annotations

from distillab.factors import LabelNoise
from distillab.methods import MethodSpec
from distillab.study.spec.study import StudySpec

HARD_LABELS = "hard_labels"
RELABELLING = "{hard_labels: {ce_weight: 0, hard_weight: 1}}"


def relabels(spec: StudySpec) -> bool:
    """Return True if a teacher that did not learn the students' wrong labels teaches them.

    Such a teacher corrects labels, and a student that gains may gain by that alone.

    Example:
        >>> values = {"study": "tiny", "data": {"source": "digits"}, "students": "resnet8", "methods": ["kd"]}
        >>> noise = {"factors": {"label_noise": [0, 0.4]}}
        >>> relabels(StudySpec(**values, **noise, teacher={"model": "resnet8", "provenance": "full"}))
        True
        >>> relabels(StudySpec(**values, **noise, teacher={"model": "resnet8", "provenance": "same"}))
        False
    """
    clean = {"full", "external"} & set(spec.teacher.provenance)
    wrong = [
        factor
        for levels in spec.factor_levels()
        for factor in levels
        if isinstance(factor, LabelNoise) and factor.level and "transfer" in factor.roles
    ]
    # Noise in the role teacher reaches full teachers; given ones learned elsewhere.
    return any("external" in clean or (clean and "teacher" not in each.roles) for each in wrong)


def is_relabelling_control(method: MethodSpec) -> bool:
    """Return True if a method is plain training on the labels that the teacher predicts.

    Example:
        >>> from distillab.methods import parse_method
        >>> is_relabelling_control(parse_method({"hard_labels": {"ce_weight": 0, "hard_weight": 1}}, ""))
        True
        >>> is_relabelling_control(parse_method("hard_labels", ""))
        False
    """
    if method.name != HARD_LABELS:
        return False
    return getattr(method.config, "ce_weight", 1) == 0 and getattr(method.config, "hard_weight", 0) > 0


def control_labels(spec: StudySpec) -> list[str]:
    """Return the labels of the methods that are controls: those without knowledge of the study's teacher,
    and under label noise, plain training on the labels that it predicts."""
    relabelling = relabels(spec)
    return [
        each.label
        for each in spec.method_specs()
        if not each.distils or (relabelling and is_relabelling_control(each))
    ]


def missing_controls(spec: StudySpec) -> list[str]:
    """Return a sentence for each control that the conclusions of a study need and that it lacks.

    Example:
        >>> spec = StudySpec(
        ...     study="tiny", data={"source": "digits"}, teacher={"model": "resnet8", "provenance": "full"},
        ...     students="resnet8", methods=["kd"], factors={"label_noise": [0, 0.4]},
        ... )
        >>> print(missing_controls(spec)[0])
        Students have wrong labels and the teacher (full) learned the right ones, so that gains may be ...
    """
    distilled = [each for each in spec.method_specs() if each.distils]
    if not distilled or not relabels(spec) or any(map(is_relabelling_control, distilled)):
        return []
    clean = " and ".join(each for each in spec.teacher.provenance if each != "same")
    known = "the right ones" if clean == "full" else "others"
    sentence = (
        f"Students have wrong labels and the teacher ({clean}) learned {known}, so that gains may be "
        "relabelling alone"
    )
    if "classification" in spec.task_config().kinds():
        return [f"{sentence}: add the method {RELABELLING}, plain training on the teacher's labels."]
    return [f"{sentence}."]
