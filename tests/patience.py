"""How long a test waits for what must come: no test's outcome depends on how busy the machine is."""

from __future__ import annotations

PATIENCE = (
    1500.0  # seconds: nothing waits as long unless it is broken; a busy machine may need minutes for a second's work
)
