"""Lifelong figures beside their bars.

    python -m benchmarks.lifelong omniglot600 [--seeds 3] [--backbone conv4] [--daemon]
    python -m benchmarks.lifelong alphabets [--orders 5]
    python -m benchmarks.lifelong matrix [--tasks 12]
    python -m benchmarks.lifelong unknown [--seeds 5] [--backbone conv4]
    python -m benchmarks.lifelong mixed [--tasks 40] [--steps 40] [--seed 1] [--home DIR]
    python -m benchmarks.lifelong growth [--tasks 2000]
    python -m benchmarks.lifelong relations

Exits with 1 where a figure falls short.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from benchmarks.figures import conclude
from benchmarks.lifelong import alphabets, growth, matrix, mixed, omniglot600, relations, unknown


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lifelong", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in (("omniglot600", omniglot600), ("unknown", unknown)):
        command = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        command.add_argument("--seeds", type=int, default=module.SEEDS)
        command.add_argument("--backbone", default="conv4", help="conv4, conv4-views, or conv4@FILE")
        if module is omniglot600:
            command.add_argument("--daemon", action="store_true", help="the first seed through the real daemon, too")
    command = commands.add_parser("alphabets", help=(alphabets.__doc__ or "").splitlines()[0])
    command.add_argument("--orders", type=int, default=alphabets.ORDERS)
    command = commands.add_parser("mixed", help=(mixed.__doc__ or "").splitlines()[0])
    command.add_argument("--tasks", type=int, default=mixed.TASKS)
    command.add_argument("--steps", type=int, default=mixed.STEPS)
    command.add_argument("--seed", type=int, default=1)
    command.add_argument("--home", type=Path, help="keep the daemon's home here, for learnd report and the like")
    command = commands.add_parser("growth", help=(growth.__doc__ or "").splitlines()[0])
    command.add_argument("--tasks", type=int, default=growth.TASKS)
    command = commands.add_parser("matrix", help=(matrix.__doc__ or "").splitlines()[0])
    command.add_argument("--tasks", type=int, default=matrix.MATRIX_TASKS, help="at least 2, at most 20")
    commands.add_parser("relations", help=(relations.__doc__ or "").splitlines()[0])
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    if options.command == "omniglot600":
        figures = omniglot600.figures(options.seeds, options.backbone, through_daemon=options.daemon)
    elif options.command == "unknown":
        figures = unknown.figures(options.seeds, options.backbone)
    elif options.command == "mixed":
        figures = mixed.figures(options.tasks, options.steps, options.seed, options.home)
    elif options.command == "growth":
        figures = growth.figures(options.tasks)
    elif options.command == "relations":
        figures = relations.figures()
    elif options.command == "matrix":
        figures = matrix.figures(options.tasks)
    else:
        figures = alphabets.figures(options.orders)
    return conclude(figures)


if __name__ == "__main__":
    raise SystemExit(main())
