"""The commands of `learnd`, one module each."""
