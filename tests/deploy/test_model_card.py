"""The model card: metadata that hubs read, code that runs without distillab, and the study's own numbers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from distillab.data.student_transform import StudentTransform
from distillab.deploy import Exported, export_run, load_model
from distillab.deploy.recipe import find_recipe
from distillab.deploy.snippets import MOST_LINES, snippets_for
from distillab.evidence.schema import read_rows
from distillab.study.folder import StudyFolder
from support.exported import built, describe, smooth_images, written
from support.studies import rows_of

BLOCK = re.compile(r"### (.+?)\n\n```python\n(.*?)\n```", re.DOTALL)


def blocks(folder: Path) -> dict[str, str]:
    """Return the snippets of a card by their titles."""
    return dict(BLOCK.findall((folder / "README.md").read_text()))


def run_alone(code: str, folder: Path) -> str:
    """Run code in a folder by an isolated Python in which distillab cannot be imported."""
    guard = "import sys; sys.modules['distillab'] = None\n"
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    run = subprocess.run(
        [sys.executable, "-I", "-W", "ignore", "-c", guard + code],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def put_image(folder: Path, size: tuple[int, int, int]) -> Path:
    """Write the image that the snippets open: a photograph of another size, turned by its EXIF entry."""
    pixels = smooth_images(1, (3, size[1] * 2, size[2] * 3), seed=11)[0].transpose(1, 2, 0)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "image.jpg", exif=exif, quality=95)
    return folder / "image.jpg"


OTHER_SCALING = {"scale": (2.0, 1.0, 0.5), "shift": (0.1, 0.0, 0.2)}
NETWORKS: list[tuple[str, tuple[int, int, int], dict[str, object], set[str]]] = [
    ("resnet8", (1, 12, 16), {}, {"onnxruntime", "plain torch"}),
    ("torchvision:squeezenet1_1", (3, 48, 48), {}, {"onnxruntime", "torch and torchvision"}),
    ("torchvision:squeezenet1_1@48", (1, 20, 24), {}, {"onnxruntime", "torch and torchvision"}),
    ("timm:test_resnet", (3, 32, 32), {"student_transform": StudentTransform(16)}, {"onnxruntime", "timm"}),
    ("timm:test_vit", (1, 32, 32), {}, {"onnxruntime", "timm"}),
    ("timm:test_efficientnet", (3, 72, 80), {"scaling": OTHER_SCALING}, {"onnxruntime", "timm"}),
]


@pytest.mark.parametrize(("name", "size", "more", "titles"), NETWORKS, ids=[each[0] for each in NETWORKS])
def test_snippets_run_without_distillab_and_agree_with_it(
    name: str, size: tuple[int, int, int], more: dict[str, object], titles: set[str], tmp_path: Path
) -> None:
    own = "plain torch" in titles
    formats = ["onnx", "pt2"] if own else ["onnx", "safetensors"]
    made = written(tmp_path / "model", describe(name, size, **more), formats)
    image = put_image(made.folder, size)
    found = blocks(made.folder)
    assert set(found) == titles
    predicted = load_model(made.folder / "model.onnx").predict(image)
    assert all(len(code.splitlines()) <= MOST_LINES for code in found.values())
    printed = run_alone("\n".join(found.values()), made.folder).splitlines()
    assert len(printed) == len(titles)
    for line in printed:
        label, probability = line.rsplit(" ", 1)
        assert label == predicted.labels[0]
        assert float(probability) == pytest.approx(float(predicted.probabilities.max()), abs=2e-4)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("torchvision:resnet18", (3, 32, 32)),
        ("torchvision:resnet18", (1, 224, 224)),
        ("torchvision:mobilenet_v2", (3, 64, 64)),
        ("torchvision:densenet121", (3, 32, 32)),
        ("torchvision:vit_b_16@96", (3, 64, 64)),
        ("torchvision:googlenet", (3, 96, 96)),
        ("timm:resnet18", (3, 64, 64)),
        ("timm:mobilenetv3_small_050", (3, 96, 96)),
        ("timm:xception41", (3, 96, 96)),
    ],
)
def test_common_networks_have_a_recipe(name: str, size: tuple[int, int, int]) -> None:
    import torch

    description = describe(name, size)
    with torch.device("meta"):
        network = description.build()
    recipe = find_recipe(network, description)
    assert recipe is not None
    assert all(
        len(each.code.splitlines()) <= MOST_LINES
        for each in snippets_for(description, recipe, ["model.safetensors"])
    )


@pytest.mark.parametrize("name", ["resnet8", "mean(resnet8+resnet14)", "support.networks:linear"])
def test_network_that_no_library_names_has_no_recipe(name: str) -> None:
    description = describe(name, (3, 8, 8))
    assert find_recipe(built(description), description) is None


def test_metadata_is_read_by_the_hub(exported_run: Exported, study_folder: StudyFolder) -> None:
    card = ModelCard.load(exported_run.folder / "README.md")
    run = yaml.safe_load((exported_run.folder / "README.md").read_text().split("---")[1])
    assert card.data.pipeline_tag == "image-classification" and "distillab" in card.data.tags
    accuracy = next(each for each in card.data.eval_results if each.metric_type == "accuracy")
    row = exported_row(exported_run, study_folder)
    assert accuracy.metric_value == pytest.approx(row["accuracy"], abs=1e-6)
    assert accuracy.dataset_name == "digits" and run["model-index"][0]["name"]


def exported_row(made: Exported, folder: StudyFolder) -> dict[str, object]:
    text = (made.folder / "config.json").read_text()
    return next(row for row in rows_of(folder) if str(row["run_id"]) in text)


def test_statement_holds_the_numbers_of_the_study(study_folder: StudyFolder, tmp_path: Path) -> None:
    run = next(row for row in rows_of(study_folder) if row["method"] == "kd")
    made = export_run(study_folder, str(run["run_id"]), tmp_path / "model", formats=["safetensors"])
    card = (made.folder / "README.md").read_text()
    assert "knowledge-distillation" in card and "Distilled by `kd`" in card
    for effect in read_rows(study_folder.effects_file):
        if effect["metric"] == "accuracy" and effect["baseline"] == "ce":
            assert f"{100 * effect['gain']:+.1f} |" in card
            assert f"| {effect['n_pairs']} | {effect['verdict_family']} |" in card
    assert f"{100 * run['accuracy']:.1f} %" in card
    assert f"{100 * run['agreement']:.1f} %" in card
    assert f"teacher {100 * run['teacher_accuracy']:.1f} %" in card
    assert f"{100 * run['worst_class_accuracy']:.1f} % of" in card
    assert "plain student of the same seed" in card
    assert "corruptions (images of 8x8 pixels are too small to corrupt)" in card  # nothing invented


def test_agreement_on_the_errors_of_the_teacher_is_counted(study_folder: StudyFolder) -> None:
    from distillab.artefacts import LOGITS, load_logits
    from distillab.deploy import find_run
    from distillab.deploy.export import describe_run, trained_network
    from distillab.deploy.loaded import TorchEngine
    from distillab.deploy.statement import make_statement

    run_id = next(row["run_id"] for row in rows_of(study_folder) if row["method"] == "kd")
    run = find_run(study_folder, str(run_id))
    description = describe_run(run)
    found = make_statement(
        run, description, TorchEngine(trained_network(run, description), description)
    ).teacher
    assert found is not None and run.cell.outputs is not None
    folder = study_folder.store.folder
    teacher = load_logits(folder("outputs", run.cell.outputs) / LOGITS)["test"].argmax(1)
    student = load_logits(folder("student", run.job.id) / LOGITS)["test.last"].argmax(1)
    labels = study_folder.dataset.eval["test"].labels
    wrong = teacher != labels
    assert found.errors == wrong.sum()
    assert found.corrected == (student[wrong] == labels[wrong]).sum()
    assert found.repeated == (student[wrong] == teacher[wrong]).sum()


def test_corruptions_are_measured_where_they_can_be() -> None:
    from distillab.deploy.loaded import TorchEngine
    from distillab.deploy.robustness import CORRUPTIONS, measure_robustness
    from support.exported import examples_for

    description = describe("resnet8", (3, 32, 32))
    network = built(description)
    student, plain = TorchEngine(network, description), TorchEngine(description.build(), description)
    found = measure_robustness(student, plain, description, examples_for(network, description, 8))
    assert [each.corruption for each in found.scores] == ["none", *CORRUPTIONS]
    assert found.scores[0].student == 1.0
    assert all(
        each.ci_low is not None and each.ci_low <= each.difference <= each.ci_high
        for each in found.scores[1:]
    )  # type: ignore[operator]
    assert np.isfinite([each.student for each in found.scores]).all()
