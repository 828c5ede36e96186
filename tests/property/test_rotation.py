"""Laws of the rotation, in a simulated cluster over years."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rotation_makers import Paper, Real
from tests.rotations import DAY, HOUR, LONG, PUBLICATION, SECRET, SHORT, START, Cluster
from webhook.tls.rotation import Times

SEEDS = st.integers(0, 2**32)
LIVES = st.sampled_from([LONG, SHORT])


@settings(max_examples=25, deadline=None)
@given(SEEDS, LIVES)
def test_every_served_leaf_verifies_while_leaders_come_and_go(seed: int, times: Times) -> None:
    """Whoever leads, stops or lags, with clocks an hour off: what is served verifies at every step."""
    cluster = Cluster(Paper(), seed, times)
    cluster.events(500, [])
    assert all(cluster.verified)
    assert all(cluster.changes)
    assert cluster.acted <= cluster.asked


@settings(max_examples=25, deadline=None)
@given(SEEDS, LIVES)
def test_hands_break_no_more_than_what_they_touch(seed: int, times: Times) -> None:
    """Secrets and publications damaged, lost, restored: a leaf fails only while what a hand broke is."""
    cluster = Cluster(Paper(), seed, times)
    cluster.events(500, (*PUBLICATION, *SECRET))
    cluster.calm_state()


@settings(max_examples=15, deadline=None)
@given(SEEDS)
def test_after_some_days_in_peace_all_is_done(seed: int) -> None:
    """Four days after the last event the leaf is for the names, by the CA, and no change is under way."""
    cluster = Cluster(Paper(), seed)
    cluster.events(300, (*PUBLICATION, *SECRET))
    state = cluster.calm_state()
    assert state.leaf is not None
    assert state.leaf.names == cluster.names
    assert state.ca is not None
    assert state.leaf.issuer == state.ca.fingerprint
    assert state.next_ca is None
    assert not state.asked


@settings(max_examples=15, deadline=None)
@given(SEEDS, LIVES)
def test_a_bundle_of_any_time_verifies_by_the_cross_certificates(seed: int, times: Times) -> None:
    """A pod keeps the bundle it was born with, over any number of changes of CA."""
    cluster = Cluster(Paper(crosses=True), seed, times)
    for _ in range(20):
        cluster.events(25, [])
        cluster.check_bundles()


@settings(max_examples=2, deadline=None)
@given(SEEDS, LIVES)
def test_paper_and_real_certificates_agree(seed: int, times: Times) -> None:
    """With keys, PEM and real verification the same things happen as on paper, and every leaf verifies."""
    paper, real = (Cluster(makers, seed, times) for makers in (Paper(crosses=True), Real(crosses=True)))
    for cluster in (paper, real):
        cluster.events(250, (*PUBLICATION, *SECRET))
    assert real.trace == paper.trace


@settings(max_examples=1, deadline=None)
@given(SEEDS)
def test_thirty_years_without_any_hand(seed: int) -> None:
    """A CA follows another every seven years; every leaf verifies by any bundle that has not ended."""
    cluster = Cluster(Paper(crosses=True), seed)
    while cluster.now < START + 30 * 365 * DAY:
        cluster.settle()
        cluster.pass_time(cluster.random.choice([HOUR, 3 * DAY, 11 * DAY]))
        cluster.check()
    cluster.check_bundles()
    assert sum("ca_due" in line for line in cluster.trace) == 4  # 6.7 years each
