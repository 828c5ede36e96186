"""What holds for every suite: hypothesis looks for counterexamples, and measures no time."""

from hypothesis import HealthCheck, settings

# A machine that does other work beside is slow for a moment, in whatever example comes then.
settings.register_profile(
    "unhurried",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unhurried")
