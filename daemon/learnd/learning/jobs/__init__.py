"""The jobs of a worker: learn, predict, survey, consolidate."""
