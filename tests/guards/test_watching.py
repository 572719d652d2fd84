"""Rules for Prometheus and the Grafana dashboard name what exists: metrics, and sections of the runbook."""

import re

from app.domain.alarms import KINDS
from app.metrics.table import METRICS
from tests.support.prometheus import DEPLOYED, dashboard, named
from tests.support.repo import ROOT

RULES = (DEPLOYED / "rules.yml").read_text("utf-8")
PAGE = (ROOT / "docs" / "runbook.md").read_text("utf-8")
# For questions of the moment; every other metric is in a rule or on the dashboard.
UNSHOWN = {
    "filmgate_backup_age_seconds",
    "filmgate_build_info",
    "filmgate_data_format",
    "filmgate_due",
    "filmgate_held_oldest_seconds",
    "filmgate_kept_bytes",
    "filmgate_paused_teams",
    "filmgate_process_open_fds",
    "filmgate_quarantined_oldest_seconds",
    "filmgate_store_keys",
    "filmgate_store_replicas",
    "filmgate_team_reserved_usd",
    "filmgate_worker_heartbeat_seconds",
}


def test_rules_and_dashboard_name_metrics_that_exist() -> None:
    """And the other way round: a metric that nobody looks at is on a list here."""
    used = named(RULES) | {name for _, query in dashboard() for name in named(query)}
    known = {metric.name for metric in METRICS}
    assert used - known == set()
    assert known - used == UNSHOWN


def test_each_rule_has_its_section_in_the_runbook() -> None:
    """Its anchor is as GitHub makes it; the rule of all alarms names their kinds."""
    headings = re.findall("^## (.+)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).replace(" ", "-").lower() for heading in headings}
    named_in_rules = set(re.findall(r"runbook\.md#([\w-]+)", RULES))
    assert len(named_in_rules) > 8
    assert named_in_rules - anchors == set()
    assert KINDS.keys() <= anchors
    assert RULES.count("- alert: ") == RULES.count("runbook: ")
