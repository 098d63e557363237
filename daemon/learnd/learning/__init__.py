"""The data plane: everything that touches pixels and tensors.  Runs inside worker processes only."""
