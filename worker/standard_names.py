"""The standard names of resource classes and traits, as os-resource-classes and os-traits have them."""

from __future__ import annotations

import os_resource_classes
import os_traits

from worker.core import names

CLASSES = frozenset(os_resource_classes.STANDARDS)
TRAITS = frozenset(os_traits.get_traits())
NAMES = names.Names(CLASSES, TRAITS)
