"""Child processes: start them, talk to them in JSON lines, end them."""
