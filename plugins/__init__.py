"""The built-in algorithms, one a file.  They enter by the same door as a user's: see docs/plugins.md."""

__all__ = ["cosine", "finetune", "gaussian", "linear_probe", "matching", "protonet", "ridge", "slda"]
