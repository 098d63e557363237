"""The dashboard: journal -> facts -> board -> frame -> terminal; each step a function of the one before."""
