"""What a study asks for: its file, parsed and checked."""
