"""The published claims behind the hypotheses of a profile, with their sources."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class Claim:
    """A published statement. It holds for the data of its source; distillab has not reproduced it.

    Attributes:
        key: Its id, such as ``C18``; it never changes.
        title: The statement in one line.
        statement: The statement with its numbers.
        source: Where it was published.

    Example:
        >>> CLAIMS["C18"].title
        'Distillation can raise the average and lower rare classes'
    """

    key: str
    title: str
    statement: str
    source: str

    def as_dict(self) -> dict[str, JsonValue]:
        """Return title, statement and source as JSON values."""
        return {"title": self.title, "statement": self.statement, "source": self.source}


_ALL = (
    Claim(
        "C1",
        "The gain of distillation grows as the training set shrinks",
        (
            "Training students on fractions of a dataset, with convolutional and transformer teachers, "
            "increases the advantage of distillation over plain training. Label smoothing does not explain "
            "the effect."
        ),
        "arXiv 2510.15516",
    ),
    Claim(
        "C3",
        "On large data with strong recipes, methods differ little",
        (
            "Plain distillation with a strong recipe reaches 83.1 % with ResNet-50, 84.3 % with ViT-S and "
            "85.0 % with ConvNeXtV2-T on ImageNet-1k: the differences between methods seen on CIFAR-100 "
            "shrink there."
        ),
        "Hao et al., NeurIPS 2023, arXiv 2305.15781",
    ),
    Claim(
        "C5",
        "The best teacher depends on the amount of data",
        (
            "With little data, smaller, less confident or earlier teachers lead to better students. The "
            "effect lies in the probabilities of the non-target classes."
        ),
        "OpenReview FUahLuyWLU (CIFAR-100, ImageNet)",
    ),
    Claim(
        "C7",
        "Teacher and student should see the same view",
        (
            "Distillation works best when teacher and student get the same crop, with strong mixup and "
            "long schedules. Students overfit to teacher outputs that were computed once in advance. "
            "Example: BiT-R152x2 (83.0 % at 224 px) to ResNet-50 (82.8 %)."
        ),
        "Beyer et al. 2022, arXiv 2106.05237",
    ),
    Claim(
        "C9",
        "Distillation transfers more with many classes",
        (
            "Teacher outputs carry information that grows with the number of classes; tasks with few "
            "classes profit from subclasses. On a binary polyp task, distillation gained 0.65 points of F1 "
            "and subclass distillation 2.14."
        ),
        "Müller et al., Subclass Distillation; arXiv 2409.20449; arXiv 2109.05587",
    ),
    Claim(
        "C11",
        "For fine-grained classes, accuracy is a poor criterion for choosing a teacher",
        (
            "In 1,216 configurations (3 students, 8 teachers, 8 datasets, 4 strategies), the ratio of the "
            "two largest teacher logits predicted student quality better than teacher accuracy or the "
            "variance over non-target classes."
        ),
        "CVPR 2026, arXiv 2605.15689",
    ),
    Claim(
        "C12",
        "First layers that do not fit the image size cost more than distillation gains",
        (
            "A stem made for large images lowers accuracy on 32x32 images by more than 5 points, about ten "
            "times the usual gain of distillation. At the same gap to the teacher, larger students gain "
            "more."
        ),
        "arXiv 2605.31191 and its repository",
    ),
    Claim(
        "C14",
        "Poorly calibrated teachers have worse students",
        (
            "Over 17 teachers and 2 students on CIFAR-100, the calibration error of the teacher predicted "
            "student accuracy better than the accuracy of the teacher did, with a negative correlation. "
            "Calibrating the teacher helps."
        ),
        "arXiv 2508.20224",
    ),
    Claim(
        "C15",
        "Students with few pixels gain from teachers with many",
        (
            "Students on low-resolution images improve when the teacher sees full resolution. A higher "
            "temperature lowers the calibration error of the student."
        ),
        "CQKD, arXiv 2304.07593",
    ),
    Claim(
        "C16",
        "Augmentations with a stable mean teacher prediction suit distillation",
        (
            "The standard deviation of the mean teacher probability (T.stddev) ranks augmentations by the "
            "test loss of their students without training a student: Pearson 0.958, Spearman 0.967 and "
            "Kendall 0.889 over 9 augmentations (WRN-40-2 to WRN-16-2, CIFAR-100)."
        ),
        "Wang et al., NeurIPS 2022, arXiv 2012.02909",
    ),
    Claim(
        "C18",
        "Distillation can raise the average and lower rare classes",
        ("Students amplify the errors of the teacher on rare classes, although average accuracy improves."),
        "Lukasik et al., TMLR 2022, arXiv 2106.10494",
    ),
    Claim(
        "C19",
        "Methods for long-tailed data help rare classes",
        (
            "Class-balanced distillation after instance-balanced training surpasses its own teacher. "
            "Rebalancing teacher outputs between and within groups of classes improves on plain "
            "distillation on CIFAR-100-LT, TinyImageNet-LT and ImageNet-LT."
        ),
        "arXiv 2104.10510; CVPR 2026, arXiv 2506.18496",
    ),
    Claim(
        "C21",
        "The noisier the labels, the more weight the teacher deserves",
        (
            "With 30 to 50 % wrong labels, the best weight of the teacher exceeds 1. Repeated self-"
            "distillation acts like averaging the labels of similar examples."
        ),
        "Das and Sanghavi, arXiv 2301.13304; arXiv 2402.10482",
    ),
    Claim(
        "C23",
        "Biased transfer data give a biased student, even with an unbiased teacher",
        (
            "Copying the last layer of the teacher and matching features on reweighted examples restores "
            "the accuracy of the worst group."
        ),
        'Lee and Lee, "Debiased Distillation by Transplanting the Last Layer", arXiv 2302.11187',
    ),
    Claim(
        "C26",
        "The stronger the spurious correlation in the transfer data, the worse plain distillation",
        (
            "With increasing correlation, plain distillation falls to near chance, while advanced feature "
            "methods stay robust."
        ),
        "arXiv 2602.00852",
    ),
    Claim(
        "C27",
        "Under distribution shift, complex methods gain little",
        (
            "More than 30 methods on 5 datasets with diversity and correlation shift: complex distillation "
            "algorithms and augmentations gave limited improvements."
        ),
        "arXiv 2312.16242",
    ),
    Claim(
        "C28",
        "A transfer set works if the teacher's predictions on it cover all classes and boundaries",
        (
            "Surrogate images, even synthetic ones, can replace the original data if teacher predictions "
            "on them are spread evenly over the classes, cover the input space and include images near "
            "decision boundaries. The original data are usually best."
        ),
        "Frank and Davis, arXiv 2411.12817; arXiv 2011.09113; arXiv 1911.05275",
    ),
    Claim(
        "C29",
        "Transfer sets from elsewhere fall behind on large tasks",
        (
            "With 1.8 million Places365 images as the transfer set for ImageNet, students reached 55.7 % "
            "(ResNet-50), 45.5 % (ResNet-18) and 39.9 % (MobileNetV2), against 75.5, 68.5 and 70.0 % when "
            "trained on ImageNet itself."
        ),
        "README of the Fast-Datafree repository; arXiv 2110.15094",
    ),
)
CLAIMS: dict[str, Claim] = {claim.key: claim for claim in _ALL}
"""All claims by id, as in ``docs/claims.md``."""
