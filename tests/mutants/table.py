"""Every mutant, in the order of its row."""

from tests.mutants import abuse, safety

# "Safety of bytes" (S) and "Abuse" (A): docs/THREATS.md has what each of the latter stands for.
ROWS = tuple([f"S{number}" for number in range(1, 9)] + [f"A{number}" for number in range(1, 11)])
MUTANTS = (*safety.MUTANTS, *abuse.MUTANTS)
