"""The conformance kit: what every plugin keeps, ours or a user's, put to the test on a small real network.

    @pytest.mark.parametrize("check", checks_for(Mine), ids=str)
    def test_mine_keeps_the_contract(check):
        check()

`learnd plugins check FILE` makes the same checks in a process of its own.
"""

from __future__ import annotations

from learnd.learning.conformance import contract_checks, new_process_check, outer_loop_checks, task_checks
from learnd.learning.conformance.check import Check
from learnd.learning.contract.algorithm import Algorithm
from learnd.learning.contract.checks import check_class
from learnd.learning.contract.meta_learner import MetaLearner

__all__ = ["checks_for"]


def checks_for(algorithm: type[Algorithm] | Algorithm, *, new_process: bool = True) -> list[Check]:
    """Every check that concerns an algorithm: a class stands for its defaults, an instance for its options.

    new_process: also the one check that starts another process, which takes some seconds.
    Raises PluginError if a class cannot be made without arguments.
    """
    made = algorithm if isinstance(algorithm, Algorithm) else check_class(algorithm)()
    trials = [*contract_checks.HOST_TRIALS, *task_checks.TASK_TRIALS]
    trials += outer_loop_checks.OUTER_LOOP_TRIALS if isinstance(made, MetaLearner) else ()
    trials += new_process_check.PROCESS_TRIALS if new_process else ()
    return [Check(made, trial) for trial in trials]
