"""A release comes, changes and goes while pods are created all the time; none of them is the worse for it."""

from collections.abc import Callable

import pytest

from tests.cluster.creating import told
from tests.cluster.lifecycle import SHORT_LIVES, live, variables
from tests.cluster.release import Release
from tests.peers.helm import Helm
from webhook.kube.api import Api

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


@pytest.mark.usefixtures("other_image")
async def test_a_whole_life_under_a_create_loop(
    helm: Helm, release: Callable[..., Release], busy: str, admin: Api
) -> None:
    """Nothing is refused from before the install until after the uninstall; all that can be is injected.

    Between them: upgrades of values, image and age of certificates, a renewal, another CA, a rollback.
    """
    ours = release({"webhook": {"extraEnv": variables(SHORT_LIVES)}}, helm=helm)
    story = await live(admin, ours, busy)
    assert story.refused() == [], told(story.refused())
    assert story.missed() == [], told(story.missed())
    assert story.pods.injected(story.ready, story.leaving) > 500
