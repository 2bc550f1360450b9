"""From a study folder to the view models of its report."""
