"""What every test may ask for."""

from __future__ import annotations

import os

import hypothesis

# In CI the same examples each time, so that a failure there is this change's; at home new ones at every run.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("home", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") == "true" else "home")
