"""The dashboard: journal -> facts -> content -> frame -> terminal; each step a function of the one before."""
