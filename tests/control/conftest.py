from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.control.rights import Unprivileged


@pytest.fixture
def unprivileged() -> Iterator[Unprivileged]:
    rights = Unprivileged()
    yield rights
    rights.clean()
