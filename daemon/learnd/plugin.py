"""All that a plugin imports, in one place:  from learnd.plugin import HeadAlgorithm, Bid, hookimpl"""

# ruff: noqa: I001  # grouped by what an author needs, not by where it lies

# The contract: what a plugin is, and what it is given.
from learnd.errors import PluginError
from learnd.learning.contract.algorithm import Algorithm, Bid, Context, HeadAlgorithm, State, Support, seconds_for
from learnd.learning.contract.hooks import hookimpl
from learnd.learning.contract.meta_learner import Episodes, MetaLearner, over_tasks
from learnd.messages.plugins import Event
from learnd.messages.task import Task

# Networks: the backbone, and what a plugin may bring as one.
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.conv4 import GLYPHS, Conv4
from learnd.learning.networks.images import Preprocess
from learnd.learning.networks.named_tensors import Tensors
from learnd.learning.networks.zoo import Network

# Building blocks: heads, inner loops, calibration.
from learnd.learning.methods.softmax_scale import DEFAULT_SCALE, held_out_losses, scale_without_each
from learnd.learning.methods.gradient_learner import GradientLearner, LabelledImages
from learnd.learning.methods.head_learner import HeadLearner
from learnd.learning.methods.heads import BIAS, LOG_SCALE, WEIGHT, class_means, linear, prototype_head
from learnd.learning.methods.inner_loop import RATE_PREFIX, Descent, Rule, inner_loop
from learnd.learning.methods.subspace import principal

# The test kit: does the plugin keep the contract?
from learnd.learning.conformance import checks_for
from learnd.learning.conformance.check import Check
from learnd.learning.plugin_host.discovery import import_file

__all__ = [  # noqa: RUF022
    # the contract
    "Algorithm",
    "HeadAlgorithm",
    "MetaLearner",
    "Bid",
    "Context",
    "State",
    "Support",
    "Task",
    "Event",
    "Episodes",
    "PluginError",
    "hookimpl",
    "seconds_for",
    "over_tasks",
    # networks
    "Backbone",
    "Conv4",
    "GLYPHS",
    "Network",
    "Preprocess",
    "Tensors",
    # building blocks
    "HeadLearner",
    "GradientLearner",
    "LabelledImages",
    "Descent",
    "Rule",
    "inner_loop",
    "RATE_PREFIX",
    "BIAS",
    "LOG_SCALE",
    "WEIGHT",
    "class_means",
    "linear",
    "prototype_head",
    "principal",
    "DEFAULT_SCALE",
    "held_out_losses",
    "scale_without_each",
    # the test kit
    "Check",
    "checks_for",
    "import_file",
]
