"""What the system costs and how often it is wrong, measured: each module is a command that prints its figures."""
