"""The dashboard: journal_reader -> panels -> layout -> terminal; each step needs only the result of the one before."""
