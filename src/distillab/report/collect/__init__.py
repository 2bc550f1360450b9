"""From the folder of a study to the contents of its report."""

from distillab.report.collect.study import collect_contents

__all__ = ["collect_contents"]
