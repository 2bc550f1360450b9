"""View models: frozen dataclasses with everything that a report shows."""
