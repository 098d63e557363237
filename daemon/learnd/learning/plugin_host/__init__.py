"""Find plugins, load them, and put those in quarantine that break the contract."""
