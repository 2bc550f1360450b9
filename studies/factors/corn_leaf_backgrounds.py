"""Write corn_leaf_backgrounds.csv: diseased leaves that do not lie on the gray table of the others.

    python studies/factors/corn_leaf_backgrounds.py FOLDER_WITH_THE_CLASSES

The rule: of the outermost three pixels at 32 x 32, less than a fifth are gray (HSV saturation below 50 and
value between 60 and 215, of 255). Most of these are photographs from fields; some are leaves that fill the
frame.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("Blight", "Gray_Leaf_Spot")  # the other two have one background each
EDGE, SATURATION, DARK, BRIGHT, SHARE = 3, 50, 60, 215, 0.2


def gray_share(path: Path) -> float:
    """Return the share of gray pixels along the border."""
    hsv = np.asarray(Image.open(path).convert("RGB").resize((32, 32)).convert("HSV"))
    border = np.ones(hsv.shape[:2], dtype=bool)
    border[EDGE:-EDGE, EDGE:-EDGE] = False
    _, saturation, value = hsv[border].T
    return float(((saturation < SATURATION) & (value > DARK) & (value < BRIGHT)).mean())


if __name__ == "__main__":
    root = Path(sys.argv[1])
    paths = [path for name in CLASSES for path in sorted((root / name).iterdir())]
    rows = [f"{path.relative_to(root).as_posix()},other" for path in paths if gray_share(path) < SHARE]
    table = Path(__file__).with_suffix(".csv")
    table.write_text("\n".join(["file,background", *rows]) + "\n")
