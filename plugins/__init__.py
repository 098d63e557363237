"""The built-in algorithms, one a file.  They enter by the same door as a user's: see docs/plugins.md."""

__all__ = [
    "anil",
    "cosine",
    "finetune",
    "fomaml",
    "gaussian",
    "linear_probe",
    "lstm_metalearner",
    "maml",
    "matching",
    "metasgd",
    "protonet",
    "reptile",
    "ridge",
    "slda",
]
