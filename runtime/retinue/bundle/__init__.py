"""Agent → a Databricks App: the resource that a bundle deploys, and the folder it runs from."""

from retinue.bundle.agents import BundledAgent, bundled_agents
from retinue.bundle.bundles import Bundle, bundle_of
from retinue.bundle.plan import AppPlan, BundleError, plan
from retinue.bundle.write import Changes, stale, write

__all__ = [
    "AppPlan",
    "Bundle",
    "BundleError",
    "BundledAgent",
    "Changes",
    "bundle_of",
    "bundled_agents",
    "plan",
    "stale",
    "write",
]
