"""From view models to one HTML file."""
