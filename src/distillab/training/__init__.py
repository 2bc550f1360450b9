"""One teacher or one student, trained: recipes, the loop, stored teacher outputs, checkpoints."""
