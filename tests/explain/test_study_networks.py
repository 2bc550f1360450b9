"""Networks of a study as attributions use them: what comes before and after the module is part of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from distillab.data.examples import Examples
from distillab.data.student_transform import StudentTransform
from distillab.errors import RequestError
from distillab.explain import ExplainedNetwork, attribute, attributions
from distillab.explain.study_networks import explained_module, require_explainable
from distillab.models import InputSpec, build_model
from distillab.tasks import Classification, parse_task

IMAGES = Examples.of(np.zeros((4, 1, 16, 16), np.uint8), [0, 1, 2, 0], ("a", "b", "c"))


def test_maps_of_a_student_that_sees_small_images_have_the_size_of_the_data() -> None:
    small = replace(IMAGES, student_transform=StudentTransform(8))
    module = build_model("resnet8", classes=3, inputs=InputSpec(1, 8, 8))
    network = explained_module(module, small, "resnet8", Classification())
    for name in ("grad_cam", "occlusion"):
        assert attribute(name, network, torch.rand(2, 1, 16, 16), torch.tensor([0, 2])).shape == (2, 16, 16)


def test_teacher_of_other_classes_is_explained_in_those_of_the_student() -> None:
    class Four(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.0, 1.0, 2.0, 9.0]]).expand(len(x), -1)

    network = explained_module(Four(), IMAGES, "four", Classification(), (2, 0, 1, -1))
    x = torch.rand(2, 1, 16, 16)
    assert network.forward(x).tolist() == [[1.0, 2.0, 0.0]] * 2
    assert network.predicted(x).tolist() == [1, 1]


def test_probability_of_a_label_among_several_does_not_depend_on_the_others() -> None:
    def logits(x: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.0, 3.0]]).expand(len(x), -1)

    x, first = torch.rand(2, 1, 8, 8), torch.tensor([0, 0])
    inputs = InputSpec(1, 8, 8)
    several = ExplainedNetwork("several", inputs, logits, parse_task("multilabel"))
    assert several.probability(x, first).tolist() == [0.5, 0.5]
    assert several.scores(x)[0].tolist() == [0.0, 3.0]
    one = ExplainedNetwork("one", inputs, logits)
    assert one.probability(x, first)[0] == pytest.approx(1 / (1 + np.exp(3)))
    assert one.scores(x)[0].tolist() == [-1.5, 1.5]


@pytest.mark.parametrize("name", sorted(attributions))
def test_stored_predictions_cannot_be_explained(name: str) -> None:
    with pytest.raises(RequestError, match=r"explain\.attributions: predictions: stored predictions are"):
        require_explainable(["predictions"], IMAGES, Classification(), [name])


@pytest.mark.parametrize("name", sorted(attributions))
def test_ensembles_are_explained_if_their_members_can_be(name: str) -> None:
    require_explainable(["mean(resnet8+resnet8)"], IMAGES, Classification(), [name])
    if attributions[name].reads == "maps":
        with pytest.raises(RequestError, match=r"explain\.attributions: .*needs a feature map"):
            require_explainable(["orbit(resnet8)"], IMAGES, Classification(), [name])
