"""How quick a second-order meta-step is, beside the library `higher`.

    python -m benchmarks.metastep [--repeats 5] [--threads 2] [--device cuda:0]

One meta-step is the gradient of MAML's loss over a batch of tasks with respect to all of conv4.  Every side has the
same weights, images, inner steps and rate, and their gradients are compared before the clock starts.  The sides take
turns; a figure is the median of its repeats.  `higher` (Grefenstette et al. 2019, arXiv:1910.01727) runs the network
twice: as learnd's own module, and layer by layer as the papers write it.  It is no dependency: `pip install higher`;
where it is not there, it is left out and said so.

Every side has all the threads, and the allocator as a training sets it.  `higher` has torch share each operation among
the threads; of ours each core takes tasks of its own, as `learnd meta-train` has it, and so does the floor that stands
beside them: the convolutions alone, as torch does them.  y = w * x and its gradients x * dy and w * dy are three; to
differentiate those again takes six more, two of each kind.  Ours multiplies less often than those
(docs/decisions/0017), so it is a floor for what torch's graph can do.

On a GPU the last side is our own plain loop, one task after the other; ours is timed as `learnd meta-train` runs it,
recorded and played again, and without that.  How many kernels run at a time is printed as well.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.figures import spread
from learnd.control.processes.start import KEEP_MEMORY
from learnd.learning.contract.algorithm import Context
from learnd.learning.contract.meta_learner import Episodes, MetaLearner
from learnd.learning.metatraining.core_threads import CoreThreads
from learnd.learning.metatraining.cuda_graphs import WARM, Recordings
from learnd.learning.metatraining.meta_gradient import MetaGradient
from learnd.learning.networks.backbone import Backbone, load_backbone
from learnd.learning.networks.images import normalise
from learnd.learning.plugin_host.catalogue import load_catalogue
from learnd.messages.jobs import BackboneSpec

INNER_RATE = 0.01
Gradients = list[Tensor]  # of the network's parameters, in their order
Side = Callable[[], Gradients]


@dataclass(frozen=True)
class MetaStepSetting:
    ways: int
    shots: int
    tasks: int
    steps: int

    def __str__(self) -> str:
        return f"{self.ways}-way {self.shots}-shot, {self.tasks} tasks, {self.steps} step{'s' * (self.steps > 1)}"


METASTEP_SETTINGS = (MetaStepSetting(5, 1, 32, 1), MetaStepSetting(20, 1, 16, 5))


def drawn(setting: MetaStepSetting, seed: int, side: int, channels: int) -> Episodes:
    """Noise for images: what is in them does not matter for the time.  As many queries as support images."""
    generator = torch.Generator().manual_seed(seed)
    count = setting.ways * setting.shots
    shape = (setting.tasks, count, channels, side, side)
    labels = torch.arange(setting.ways).repeat_interleave(setting.shots).repeat(setting.tasks, 1)
    support, query = (torch.randint(256, shape, generator=generator).to(torch.uint8) for _ in range(2))
    return Episodes(support, labels, query, labels, setting.ways)


def ours(
    backbone: Backbone, setting: MetaStepSetting, episodes: Episodes, batching: str, recorded: bool = False
) -> Side:
    """Our meta-step, as the engine makes it.  batching: "loop", "vmap:<n>" or "auto"."""
    options = {"steps": setting.steps, "rate": INNER_RATE, "head": "zero"}
    learner = load_catalogue(None, {"maml": options}).algorithms["maml"]
    assert isinstance(learner, MetaLearner)
    gradient = MetaGradient(learner, backbone, batching, recordings=Recordings() if recorded else None)
    meta = {name: value.requires_grad_() for name, value in learner.meta_parameters(backbone).items()}
    ctx = Context(torch.Generator())
    return lambda: list(gradient.of(meta, episodes, ctx)[1].values())


def layer_by_layer(backbone: Backbone) -> nn.Module:
    """The same conv4 with the same weights, as the papers write it."""
    own = backbone.module.state_dict()
    layers: list[nn.Module] = []
    for level in range(4):
        outputs, inputs = own[f"blocks.{level}.0.weight"].shape[:2]
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if level < 3 else []
    width, side = own["pool.weight"].shape[0], own["pool.weight"].shape[2]
    layers += [nn.Conv2d(width, width, side, groups=width, bias=False), nn.BatchNorm2d(width), nn.Flatten()]
    network = nn.Sequential(*layers)
    network.load_state_dict(dict(zip(network.state_dict(), own.values(), strict=True)))
    return network.to(backbone.device)


def theirs(
    higher: ModuleType, body: nn.Module, backbone: Backbone, setting: MetaStepSetting, episodes: Episodes
) -> Side:
    """The same meta-step by `higher`, written as its documentation shows."""
    body = copy.deepcopy(body).requires_grad_(True)
    head = nn.Linear(backbone.features, setting.ways)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    network = nn.Sequential(body, head.to(backbone.device)).eval()
    optimiser = torch.optim.SGD(network.parameters(), lr=INNER_RATE)

    def step() -> Gradients:
        network.zero_grad(set_to_none=True)
        for support, labels, query, query_labels in zip(*episodes.tensors, strict=True):
            images, queries = (normalise(some, backbone.preprocess) for some in (support, query))
            with higher.innerloop_ctx(network, optimiser, copy_initial_weights=False) as (inner, descent):
                for _ in range(setting.steps):
                    descent.step(F.cross_entropy(inner(images), labels))
                loss = F.cross_entropy(inner(queries), query_labels) / len(episodes)
                loss.backward()
        return [value.grad for value in body.parameters() if value.grad is not None]

    return step


def floor(backbone: Backbone, setting: MetaStepSetting) -> Callable[[], object]:
    """The convolutions of a meta-step and nothing else, task by task as every task has weights of its own."""
    cores = torch.get_num_threads() if backbone.device.type == "cpu" else 1
    count, side = setting.ways * setting.shots, backbone.preprocess.size
    layers = []
    for level in range(4):
        kernels = backbone.module.state_dict()[f"blocks.{level}.0.weight"]  # (O, I, 3, 3)
        shapes = ((count, width, side >> level, side >> level) for width in kernels.shape[1::-1])
        noise = (torch.randn(shape, device=backbone.device) for shape in shapes)
        x, y = (maps.contiguous(memory_format=torch.channels_last) for maps in noise)
        layers.append((kernels, x, y, level > 0))

    def task(backbone: Backbone) -> None:
        for kernels, x, y, inner in layers:
            mask = [inner, True, False]  # nobody asks for the gradient of the images
            for _ in range(setting.steps * (3 if inner else 2) + 1):  # and once for the queries
                F.conv2d(x, kernels, padding=1)
                torch.ops.aten.convolution_backward(y, x, kernels, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask)

    core_threads = CoreThreads(backbone)
    return lambda: core_threads.do([task] * setting.tasks, min(cores, setting.tasks))


def agree(sides: dict[str, Side]) -> None:
    """Raises AssertionError if the sides do not compute the same; also the warm-up, and the recording."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # in whole float32
        first, *others = ((name, torch.cat([value.flatten() for value in side()])) for name, side in sides.items())
    for side in sides.values() if first[1].is_cuda else ():
        for _ in range(WARM + 2):
            side()
    for name, gradients in others:
        away = float((gradients - first[1]).norm() / first[1].norm())
        assert away < 1e-2, f"{name} and {first[0]} differ by {away:.1%}"


def done(device: torch.device) -> float:
    """The time once the device has nothing left to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def in_turn(sides: Mapping[str, Callable[[], object]], repeats: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each side; each repeat asks all of them, so that what else the machine does falls on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            started = done(device)
            side()
            seconds[name].append(done(device) - started)
    return seconds


def busy(side: Callable[[], object], device: torch.device, steps: int = 5) -> float:
    """How many kernels the GPU runs at a time, on average; below 1 it waits in between.

    Grouped convolutions run several at once, as cuDNN has streams of its own for that.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        started = done(device)
        for _ in range(steps):
            side()
        wall = done(device) - started
    computing: float = sum(event.self_device_time_total for event in profile.key_averages())  # in microseconds
    return computing / 1e6 / wall


def sides_of(setting: MetaStepSetting, backbone: Backbone, higher: ModuleType | None) -> dict[str, Side]:
    """Those to compare, the one to be beaten last."""
    images = backbone.preprocess
    episodes = drawn(setting, 1, images.size, images.channels).to(backbone.device)
    loop = {"learnd, one task after the other": ours(backbone, setting, episodes, "loop")}
    if backbone.device.type == "cuda":
        return {
            "learnd, recorded": ours(backbone, setting, episodes, "auto", recorded=True),
            "learnd, recorded, one after the other": ours(backbone, setting, episodes, "loop", recorded=True),
            "learnd, all tasks side by side": ours(backbone, setting, episodes, "auto"),
            **loop,
        }
    sides = {"learnd, as it trains": ours(backbone, setting, episodes, "auto"), **loop}
    if higher is not None:
        sides["higher, our network"] = theirs(higher, backbone.module, backbone, setting, episodes)
        sides["higher, layer by layer"] = theirs(higher, layer_by_layer(backbone), backbone, setting, episodes)
    return sides


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each side; default: one a core")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = load_backbone(BackboneSpec("conv4"), options.device)
    device = backbone.device
    try:
        higher = importlib.import_module("higher") if device.type == "cpu" else None
    except ImportError:
        higher = None
        print("higher is not installed, so there is nothing to compare with: pip install higher")
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{options.threads} thread(s), float32"
    print(f"conv4, second order, {where}; seconds: median (range) of {options.repeats}")
    for setting in METASTEP_SETTINGS:
        sides = sides_of(setting, backbone, higher)
        agree(sides)
        alone = {"floor: its convolutions alone": floor(backbone, setting)}
        seconds = in_turn({**alone, **sides}, options.repeats, device)
        slowest = list(seconds.values())[-1]
        print(f"\n{setting}")
        for name, measured in seconds.items():
            ratio = statistics.median(slow / mine for slow, mine in zip(slowest, measured, strict=True))
            print(f"  {name:<37} {spread(measured):>26} s   {ratio:6.2f} times the last one's speed")
        for name, side in sides.items() if device.type == "cuda" else ():
            print(f"  {name:<37} kernels at a time, on average: {busy(side, device):4.2f}")
    return 0


if __name__ == "__main__":
    if not KEEP_MEMORY.keys() <= os.environ.keys():  # glibc reads them once, when a process starts
        os.execve(
            sys.executable, [sys.executable, "-m", "benchmarks.metastep", *sys.argv[1:]], {**os.environ, **KEEP_MEMORY}
        )
    raise SystemExit(main())
