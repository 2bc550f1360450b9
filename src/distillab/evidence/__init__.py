"""From finished runs to conclusions: metrics, paired gains, verdicts, effects, harms, curves, the answer."""
