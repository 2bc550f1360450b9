"""The model card of an exported model."""

from __future__ import annotations

from distillab.deploy.checks import Checks
from distillab.deploy.description import ModelDescription


def plain_card(description: ModelDescription, checks: Checks) -> str:
    """Return a model card without a statement on distillation."""
    lines = ["---", "library_name: distillab", "---", "", f"# {description.architecture}", ""]
    lines += [f"{len(description.classes)} classes: {', '.join(description.classes)}", ""]
    lines += [f"- `{name}`: {record.bytes:,} bytes" for name, record in checks.files.items()]
    return "\n".join(lines) + "\n"
