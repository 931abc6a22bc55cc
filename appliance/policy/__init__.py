"""What we decide: pure verdicts; clocks, sizes and addresses come in as arguments."""
