"""The files of a state: their names, what each holds, and who writes it.

This is the one place.  A worker writes each file into the `out` folder of its job, with the functions named here; the
daemon checks it (control/knowledge/result_check.py) and moves it to its place (control/knowledge/generations.py).
docs/state.md shows the whole folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from learnd.messages.convert import SCHEMA

# A revision: tasks/<task id>/<revision>/.  Written by learning/jobs/learn.py, and by
# learning/jobs/consolidated_revision.py when a consolidation is accepted.
ADAPTED_FILE = "adapted.safetensors"  # what the algorithm learned; its metadata is an AdaptedNote
STATISTICS_FILE = "statistics.safetensors"  # learning/knowledge/class_statistics.py: counts, sums, scatter per class
EXEMPLARS_FILE = "exemplars.zip"  # learning/knowledge/exemplars.py: a few original images per class
HELD_OUT_IMAGES_FILE = "heldout.zip"  # the same of the held-out images, if there are any
HELD_OUT_FEATURES_FILE = "heldout.safetensors"  # learning/knowledge/held_out.py: their features and labels
REPORT_FILE = "report.json"  # a messages.report.Report
REQUIRED_FILES = (ADAPTED_FILE, STATISTICS_FILE, EXEMPLARS_FILE, REPORT_FILE)

# A version: generations/<number>-<epoch>/.  Written by control/knowledge/generations.py.
MANIFEST_FILE = "manifest.json"  # what it added and removed, with checksums

# The output of other jobs.
BACKBONE_FILE = "backbone.safetensors"  # of an export or a consolidation; kept as backbones/<hash>.safetensors
CONSOLIDATION_FILE = "consolidation.json"  # a messages.outcomes.Consolidation
CLASSIFIER_FILE = "head.safetensors"  # learning/knowledge/classifier_file.py: of a survey; kept beside the journal


@dataclass(frozen=True)
class AdaptedNote:
    """The metadata of ADAPTED_FILE: which algorithm learned it, with which options, on which network.

    classes: in the order of the algorithm's logits.  adapter: of the backbone, "identity" for none.
    """

    algorithm: str
    options: Mapping[str, Any]
    classes: tuple[str, ...]
    backbone_hash: str
    adapter: str

    def metadata(self) -> dict[str, str]:
        """Return it as a safetensors file keeps it."""
        return {
            "algorithm": self.algorithm,
            "options": json.dumps(dict(self.options), sort_keys=True),
            "classes": json.dumps(self.classes),
            "backbone_hash": self.backbone_hash,
            "adapter": self.adapter,
            "schema": str(SCHEMA),
        }

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> AdaptedNote:
        """Return the note of a file.  Raises ValueError or KeyError when the metadata is damaged."""
        options, classes = json.loads(metadata["options"]), json.loads(metadata["classes"])
        if not isinstance(options, dict) or not isinstance(classes, Sequence):
            raise ValueError("options must be an object, classes a list")
        adapter = metadata.get("adapter", "identity")
        return cls(metadata["algorithm"], options, tuple(classes), metadata["backbone_hash"], adapter)
