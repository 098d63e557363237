"""Which worker does which job, and what becomes of the result."""
