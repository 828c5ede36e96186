"""A release comes, changes and goes while pods are created all the time; none of them is the worse for it."""

import pytest

from tests.cluster.creating import told
from tests.cluster.lifecycle import lead
from tests.peers.helm import Helm

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]


@pytest.mark.usefixtures("other_image")
async def test_a_whole_life_under_a_create_loop(helm: Helm) -> None:
    """Nothing is refused from before the install until after the uninstall; all that can be is injected.

    Between them: upgrades of values, image, age of certificates and failure policies; with one of the Helms a
    renewal and another CA, while everything may be refused; a rollback.
    """
    story = await lead(helm, f"busy-{helm!r}", rotating=helm.major == 4)
    assert story.refused() == [], told(story.refused())
    assert story.missed() == [], told(story.missed())
    assert story.pods.injected(story.ready, story.leaving) > 200
