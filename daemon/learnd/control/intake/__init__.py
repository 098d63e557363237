"""From a folder to a task: found, complete, inspected, queued."""
