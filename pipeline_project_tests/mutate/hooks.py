"""Settings of pytest for one mutation: hypothesis stops at the first example that fails, and keeps none."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutation",
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)


def pytest_configure() -> None:
    """Take the profile after conftest.py has taken its own, and before any test module is imported."""
    settings.load_profile("mutation")
