"""The frozen values that cross from one process to another, and their JSON."""
