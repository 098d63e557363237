"""The face: what people see and type.  It reads and asks; the control plane decides."""
