"""The training loop: cohorts of students on one stream of batches."""
