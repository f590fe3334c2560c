"""The command `finegrid`, a module a group of commands."""
