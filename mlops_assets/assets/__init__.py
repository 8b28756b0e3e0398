"""The assets, one module per layer: each is a call into a rule room and a report of what came out."""
