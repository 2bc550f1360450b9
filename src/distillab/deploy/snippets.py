"""Code for the model card: how to use each file without distillab, in at most ten lines."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from distillab.data.examples import IMAGE
from distillab.deploy.description import ModelDescription
from distillab.deploy.detector_files import box_lines, tracker_code
from distillab.deploy.files import INT8, LABELS, ONNX, PROGRAM, SAFETENSORS
from distillab.deploy.recipe import BuildRecipe
from distillab.tasks import Classification

MOST_LINES = 10
IMAGE_FILE = "image.jpg"
FEATURES_FILE = "features.npy"


@dataclass(frozen=True)
class Snippet:
    """Code that predicts one example, run in the folder of the model.

    Attributes:
        title: What it needs.
        file: The model file that it loads.
        code: The code.

    Example:
        >>> Snippet("onnxruntime", "model.onnx", "import onnxruntime").code
        'import onnxruntime'
    """

    title: str
    file: str
    code: str


def snippets_for(
    description: ModelDescription, recipe: BuildRecipe | None, files: Collection[str]
) -> list[Snippet]:
    """Return the snippets for the files of an exported model.

    Args:
        description: What the model is.
        recipe: How a library builds its network; None if none does.
        files: The model files that are there.

    Example:
        >>> import numpy as np
        >>> from distillab.models import InputSpec
        >>> half = np.full(1, 0.5, np.float32)
        >>> description = ModelDescription(
        ...     architecture="resnet8", classes=("a", "b"), item=InputSpec(1, 8, 8), mean=half, std=half
        ... )
        >>> [snippet.title for snippet in snippets_for(description, None, ["model.onnx"])]
        ['onnxruntime']
    """
    found = []
    if ONNX in files or INT8 in files:
        found.append(Snippet("onnxruntime", ONNX if ONNX in files else INT8, _of_onnx(description, files)))
    if PROGRAM in files:
        found.append(Snippet("plain torch", PROGRAM, _of_program(description)))
    if recipe is not None and SAFETENSORS in files and description.modality == IMAGE:
        title = "torch and torchvision" if recipe.library == "torchvision" else "timm"
        found.append(Snippet(title, SAFETENSORS, _of_library(description, recipe)))
    return found


def _of_onnx(description: ModelDescription, files: Collection[str]) -> str:
    if description.task_config().follows:
        opened = f'onnxruntime.InferenceSession("{ONNX}")'
        cells = f'model.run(None, {{"images": {_batch(description)}}})[0]'
        return tracker_code(description, "onnxruntime", opened, cells, _opened("file", description))
    name = "images" if description.modality == IMAGE else "features"
    dense = description.task_config().dense
    result, place = ("cells", "[0]") if dense else ("probabilities", "[0][0]")
    lines = [
        "import numpy as np, onnxruntime",
        *_input_lines(description),
        f'session = onnxruntime.InferenceSession("{ONNX if ONNX in files else INT8}")',
        f'{result} = session.run(None, {{"{name}": {_batch(description)}}}){place}',
        *_label_lines(description),
    ]
    return "\n".join(lines)


def _of_program(description: ModelDescription) -> str:
    if description.task_config().follows:
        opened = f'torch.export.load("{PROGRAM}").module()'
        cells = f"model(torch.tensor({_batch(description)})).detach().numpy()"
        return tracker_code(description, "torch", opened, cells, _opened("file", description))
    dense = description.task_config().dense
    result, place = ("cells", "") if dense else ("probabilities", "[0]")
    lines = [
        "import numpy as np, torch",
        *_input_lines(description),
        f'model = torch.export.load("{PROGRAM}").module()',
        f"{result} = model(torch.tensor({_batch(description)})){place}.detach().numpy()",
        *_label_lines(description),
    ]
    return "\n".join(lines)


def _of_library(description: ModelDescription, recipe: BuildRecipe) -> str:
    mean, std = (values.tolist() for values in description.statistics)
    steps = []
    if description.student_transform is not None:
        side, size = description.student_transform.side, description.item
        steps.append((side, side))
        steps += [(size.height, size.width)] if description.student_transform.back else []
    if recipe.pixels is not None:
        steps.append((recipe.pixels, recipe.pixels))
    mode = description.interpolation or "bilinear"
    resize = "".join(
        f"; x = torch.nn.functional.interpolate(x, {step}, mode={mode!r}, antialias=True)" for step in steps
    )
    layers = "".join(
        f'; model.set_submodule("{path}", torch.nn.{layer})' for path, layer in recipe.layers.items()
    )
    activation = "softmax(1)" if isinstance(description.task_config(), Classification) else "sigmoid()"
    lines = [
        f"import numpy as np, torch, {recipe.library}",
        "from safetensors.torch import load_file",
        *_input_lines(description),
        f"model = {recipe.call}.eval(){layers}",
        f'model.load_state_dict(load_file("{SAFETENSORS}"))',
        f"mean, std = torch.tensor({mean})[:, None, None], torch.tensor({std})[:, None, None]",
        f"x = (torch.tensor({_batch(description)}).permute(0, 3, 1, 2) / 255 - mean) / std{resize}",
        f"probabilities = model(x).{activation}[0].detach().numpy()",
        *_label_lines(description),
    ]
    return "\n".join(lines)


def _input_lines(description: ModelDescription) -> list[str]:
    if description.modality != IMAGE:
        return [f'features = np.load("{FEATURES_FILE}")  # {list(description.item.shape)}, see config.json']
    found = ["from detections import boxes_of_cells"] if description.task_config().dense else []
    return [
        "from PIL import Image, ImageOps",
        *found,
        f"image = {_opened(repr(IMAGE_FILE), description)}",
    ]


def _opened(file: str, description: ModelDescription) -> str:
    """Return the expression that opens an image as the model takes it."""
    size, mode = description.item, "L" if description.item.channels == 1 else "RGB"
    opened = f'ImageOps.exif_transpose(Image.open({file})).convert("{mode}")'
    return f"{opened}.resize(({size.width}, {size.height}), Image.Resampling.BILINEAR)"


def _batch(description: ModelDescription) -> str:
    if description.modality != IMAGE:
        return "np.asarray(features, np.float32)[None]"
    return (
        "np.asarray(image)[None, :, :, None]" if description.item.channels == 1 else "np.asarray(image)[None]"
    )


def _label_lines(description: ModelDescription) -> list[str]:
    if description.task_config().dense:
        return box_lines(description)
    read = f'open("{LABELS}", encoding="utf-8").read().splitlines()'
    if isinstance(description.task_config(), Classification):
        return [f"print({read}[probabilities.argmax()], probabilities.max())"]
    return [f"print(dict(zip({read}, probabilities)))"]
