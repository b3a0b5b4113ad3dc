"""The same examples every time, and as many as each test says."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "tf1_bn",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("tf1_bn")
