"""What is decided: gates over any table, which know no column by name, no clock and no file."""
