"""All that a plugin imports, in one place:  from learnd.plugin import HeadAlgorithm, Bid, hookimpl"""

from learnd.errors import PluginError
from learnd.learning.conformance import checks_for
from learnd.learning.conformance.check import Check
from learnd.learning.contract.algorithm import Algorithm, Bid, Context, HeadAlgorithm, State, Support, seconds_for
from learnd.learning.contract.hooks import hookimpl
from learnd.learning.contract.meta_learner import Episodes, MetaLearner, over_tasks
from learnd.learning.methods.calibration import DEFAULT_SCALE, held_out_losses, scale_without_each
from learnd.learning.methods.gradient_learner import GradientLearner, LabelledImages
from learnd.learning.methods.head_learner import HeadLearner
from learnd.learning.methods.heads import BIAS, LOG_SCALE, WEIGHT, class_means, linear, prototype_head
from learnd.learning.methods.inner_loop import RATE_PREFIX, Descent, Rule, inner_loop
from learnd.learning.methods.subspace import principal
from learnd.learning.networks.backbone import Backbone
from learnd.learning.networks.conv4 import GLYPHS, Conv4
from learnd.learning.networks.images import Preprocess
from learnd.learning.networks.named_tensors import Tensors
from learnd.learning.networks.zoo import Network
from learnd.learning.plugin_host.discovery import import_file
from learnd.messages.plugins import Event
from learnd.messages.task import Task

__all__ = [
    "BIAS",
    "DEFAULT_SCALE",
    "GLYPHS",
    "LOG_SCALE",
    "RATE_PREFIX",
    "WEIGHT",
    "Algorithm",
    "Backbone",
    "Bid",
    "Check",
    "Context",
    "Conv4",
    "Descent",
    "Episodes",
    "Event",
    "GradientLearner",
    "HeadAlgorithm",
    "HeadLearner",
    "LabelledImages",
    "MetaLearner",
    "Network",
    "PluginError",
    "Preprocess",
    "Rule",
    "State",
    "Support",
    "Task",
    "Tensors",
    "checks_for",
    "class_means",
    "held_out_losses",
    "hookimpl",
    "import_file",
    "inner_loop",
    "linear",
    "over_tasks",
    "principal",
    "prototype_head",
    "scale_without_each",
    "seconds_for",
]
