"""Methods that differ in who teaches: several teachers, peers, earlier selves, chains, or nobody."""

__all__: list[str] = []
