"""The control plane: watches, checks, remembers and dispatches.  Never imports torch or numpy."""
